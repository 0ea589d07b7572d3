//! Rows of a table on their way in: what a resource and a scope say of all
//! their items stands once, and each row says whose it is.
//!
//! A request repeats 26 attributes of a resource on every span of it. Held like
//! this they are decoded, logged, kept in memory and sorted once for all of
//! them. Whoever needs a column as the table has it [projects](Rows::project).
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`layout`] | which columns stand where |
//! | [`pieces`] | cutting rows that stand for more bytes than they hold |

pub mod layout;
pub mod pieces;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat, interleave_record_batch, take};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

pub use layout::{Layout, Place};
pub use pieces::{stretches, widths};

/// Rows of one table. Cloning and slicing copy nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    layout: Arc<Layout>,
    /// `None`: no row has a value. Of a wide table most columns are like that.
    own: Vec<Option<ArrayRef>>,
    /// Per row the index of its origin.
    origin_of: ScalarBuffer<u32>,
    origins: RecordBatch,
}

impl Rows {
    /// Fails where the parts are not of the layout or a row names no origin.
    pub fn new(
        layout: &Arc<Layout>,
        mut own: Vec<Option<ArrayRef>>,
        origin_of: ScalarBuffer<u32>,
        origins: RecordBatch,
    ) -> Result<Rows, ArrowError> {
        let count = origin_of.len();
        for column in &mut own {
            column.take_if(|column| column.null_count() == count);
        }
        let known = origin_of.iter().all(|origin| (*origin as usize) < origins.num_rows());
        let fits = |(field, column): (&FieldRef, &Option<ArrayRef>)| {
            let of = |column: &ArrayRef| column.data_type() == field.data_type();
            column.as_ref().is_none_or(|column| column.len() == count && of(column))
        };
        let fields = layout.own.fields();
        if !known
            || fields.len() != own.len()
            || !fields.iter().zip(&own).all(fits)
            || origins.schema_ref() != &layout.origin
        {
            return Err(ArrowError::InvalidArgumentError(format!(
                "{count} rows of {} origins do not fit the layout of their table",
                origins.num_rows()
            )));
        }
        Ok(Rows { layout: layout.clone(), own, origin_of, origins })
    }

    /// From rows as the table has them; equal origins become one.
    pub fn plain(layout: &Arc<Layout>, rows: &RecordBatch) -> Result<Rows, ArrowError> {
        let (mut own, mut origin) = (Vec::new(), Vec::new());
        for (column, array) in rows.columns().iter().enumerate() {
            match layout.places.get(column) {
                Some(Place::Own(_)) => own.push(Some(array.clone())),
                _ => origin.push(array.clone()),
            }
        }
        let count = rows.num_rows();
        let origins = batch(&layout.origin, origin, count)?;
        let rows = Rows::new(layout, own, (0..count as u32).collect(), origins)?;
        Rows::share(vec![rows]).map(|mut shared| shared.swap_remove(0))
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub fn num_rows(&self) -> usize {
        self.origin_of.len()
    }

    /// The columns that differ from row to row; `None` where all are NULL.
    pub fn own(&self) -> &[Option<ArrayRef>] {
        &self.own
    }

    /// One of them, written out.
    pub fn own_column(&self, index: usize) -> ArrayRef {
        let nulls = || new_null_array(self.layout.own.field(index).data_type(), self.num_rows());
        self.own[index].clone().unwrap_or_else(nulls)
    }

    /// Per row, its row in [`origins`](Self::origins).
    pub fn origin_of(&self) -> &[u32] {
        &self.origin_of
    }

    /// [`origin_of`](Self::origin_of) to take by.
    pub fn taken(&self) -> UInt32Array {
        UInt32Array::new(self.origin_of.clone(), None)
    }

    /// A row per resource and scope.
    pub fn origins(&self) -> &RecordBatch {
        &self.origins
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        let own: usize = self.own.iter().flatten().map(|own| own.get_array_memory_size()).sum();
        (own + self.origins.get_array_memory_size() + self.origin_of.inner().capacity()) as u64
    }

    pub fn slice(&self, from: usize, count: usize) -> Rows {
        Rows {
            layout: self.layout.clone(),
            own: self
                .own
                .iter()
                .map(|own| own.as_ref().map(|own| own.slice(from, count)))
                .collect(),
            origin_of: self.origin_of.slice(from, count),
            origins: self.origins.clone(),
        }
    }

    /// The columns with these indices, as the table has them.
    pub fn project(&self, columns: &[usize]) -> Result<RecordBatch, ArrowError> {
        let schema = Arc::new(self.layout.schema.project(columns)?);
        let taken = self.taken();
        let column = |column: &usize| match self.layout.places[*column] {
            Place::Own(index) => Ok(self.own_column(index)),
            Place::Origin(index) => take(self.origins.column(index), &taken, None),
        };
        let columns = columns.iter().map(column).collect::<Result<_, _>>()?;
        batch(&schema, columns, self.num_rows())
    }

    /// The same by name.
    pub fn select(&self, names: &[&str]) -> Result<RecordBatch, ArrowError> {
        let index = |name: &&str| self.layout.schema.index_of(name);
        self.project(&names.iter().map(index).collect::<Result<Vec<usize>, _>>()?)
    }

    /// One column as the table has it.
    pub fn column(&self, name: &str) -> Result<ArrayRef, ArrowError> {
        Ok(self.select(&[name])?.column(0).clone())
    }

    /// Every column as the table has it.
    pub fn to_batch(&self) -> Result<RecordBatch, ArrowError> {
        self.project(&(0..self.layout.places.len()).collect::<Vec<usize>>())
    }

    /// Whether both name the same set of origins by the same numbers.
    pub fn shares(&self, other: &Rows) -> bool {
        let columns = self.origins.columns().iter().zip(other.origins.columns());
        let mut columns = columns.map(|(a, b)| Arc::ptr_eq(a, b));
        self.origins.num_rows() == other.origins.num_rows() && columns.all(|same| same)
    }

    /// The same rows over one set of distinct origins; their own columns are
    /// not copied.
    pub fn share(rows: Vec<Rows>) -> Result<Vec<Rows>, ArrowError> {
        let Some(first) = rows.first() else { return Ok(rows) };
        let layout = first.layout.clone();
        if rows.len() > 1 && rows.iter().all(|one| one.shares(first)) {
            return Ok(rows);
        }
        let fields = layout.origin.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut distinct: Vec<(usize, usize)> = Vec::new();
        let mut indices = Vec::with_capacity(rows.len());
        for (index, one) in rows.iter().enumerate() {
            let count = one.origins.num_rows();
            let keys = converter.convert_columns(one.origins.columns())?;
            // Without columns there is nothing to convert, and one origin.
            let key = |row: usize| if keys.num_rows() == 0 { &[] } else { keys.row(row).data() };
            let mut map = Vec::with_capacity(count);
            for row in 0..count {
                let next = distinct.len() as u32;
                let key = key(row);
                let found = known.get(key).copied();
                map.push(found.unwrap_or(next));
                if found.is_none() {
                    known.insert(key.to_vec(), next);
                    distinct.push((index, row));
                }
            }
            let map = |origin: &u32| map[*origin as usize];
            indices.push(one.origin_of.iter().map(map).collect::<ScalarBuffer<u32>>());
        }
        let sources: Vec<&RecordBatch> = rows.iter().map(|one| &one.origins).collect();
        let origins = match layout.origin.fields().is_empty() {
            true => batch(&layout.origin, Vec::new(), distinct.len())?,
            false => interleave_record_batch(&sources, &distinct)?,
        };
        let shared = |(one, origin_of): (Rows, ScalarBuffer<u32>)| Rows {
            origin_of,
            origins: origins.clone(),
            ..one
        };
        Ok(rows.into_iter().zip(indices).map(shared).collect())
    }

    /// All rows in order, over one set of distinct origins. There must be some.
    pub fn concat(rows: Vec<Rows>) -> Result<Rows, ArrowError> {
        let shared = Rows::share(rows)?;
        let Some(first) = shared.first() else {
            return Err(ArrowError::InvalidArgumentError("there are no rows to join".into()));
        };
        let column = |index: usize| {
            if shared.iter().all(|one| one.own[index].is_none()) {
                return Ok(None);
            }
            let parts: Vec<ArrayRef> = shared.iter().map(|one| one.own_column(index)).collect();
            concat(&parts.iter().map(|part| part.as_ref()).collect::<Vec<&dyn Array>>()).map(Some)
        };
        let own = (0..first.own.len()).map(column).collect::<Result<_, _>>()?;
        let origin_of = shared.iter().flat_map(|one| one.origin_of.iter().copied()).collect();
        Ok(Rows { layout: first.layout.clone(), own, origin_of, origins: first.origins.clone() })
    }

    /// Consecutive pieces of at most `most` rows, each of which takes not much
    /// more than `bytes` for what its origins say of it when it is projected.
    pub fn pieces(&self, most: usize, bytes: usize) -> impl Iterator<Item = Rows> {
        let widths = widths(&self.origins);
        stretches(self.num_rows(), most, bytes, move |row| widths[self.origin_of[row] as usize])
            .map(|piece| self.slice(piece.start, piece.len()))
    }
}

fn batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}
