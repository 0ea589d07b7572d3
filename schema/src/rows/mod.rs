//! Rows of a table on their way in: what a resource and a scope say of all
//! their items stands once, and so do what a metric says of all its points and the
//! keys of attributes that many records have; each row says whose it is.
//!
//! A request repeats 26 attributes of a resource on every span of it, and the keys
//! of 13 others. Held like this they are decoded, logged, kept in memory and
//! sorted once for all of them. Whoever needs a column as the table has it
//! [projects](Rows::project).
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`layout`] | which columns stand where |
//! | [`held`] | values that stand once for many rows |
//! | [`shaped`] | maps whose keys do |
//! | [`pieces`] | cutting rows that stand for more bytes than they hold |

pub mod held;
pub mod layout;
pub mod pieces;
pub mod shaped;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{concat, take};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;

pub use held::Held;
pub use layout::{Layout, Place};
pub use pieces::{stretches, widths};

/// The set of what resources and scopes say; every row has an origin.
pub const ORIGINS: usize = 0;

/// Rows of one table. Cloning and slicing copy nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    layout: Arc<Layout>,
    /// `None`: no row has a value. Of a wide table most columns are like that.
    own: Vec<Option<ArrayRef>>,
    /// One per set of the layout.
    held: Vec<Held>,
    count: usize,
}

impl Rows {
    /// Fails where the parts are not of the layout or a row names nothing that
    /// is held.
    pub fn new(
        layout: &Arc<Layout>,
        mut own: Vec<Option<ArrayRef>>,
        held: Vec<Held>,
    ) -> Result<Rows, ArrowError> {
        let count = held.first().map_or(0, |origins| origins.of.len());
        for column in &mut own {
            column.take_if(|column| column.null_count() == count);
        }
        let fits = |(field, column): (&FieldRef, &Option<ArrayRef>)| {
            let of = |column: &ArrayRef| column.data_type() == field.data_type();
            column.as_ref().is_none_or(|column| column.len() == count && of(column))
        };
        let fields = layout.own.fields();
        let mut sets = layout.held.iter().zip(&held);
        if layout.held.len() != held.len()
            || !sets.all(|(schema, held)| held.fits(schema, count))
            || fields.len() != own.len()
            || !fields.iter().zip(&own).all(fits)
            || !layout.places.iter().all(|place| shapes_fit(*place, &own, &held))
        {
            return Err(ArrowError::InvalidArgumentError(format!(
                "{count} rows of {} origins do not fit the layout of their table",
                held.first().map_or(0, |origins| origins.values.num_rows())
            )));
        }
        Ok(Rows { layout: layout.clone(), own, held, count })
    }

    /// From rows as the table has them; what is equal is held once.
    pub fn plain(layout: &Arc<Layout>, rows: &RecordBatch) -> Result<Rows, ArrowError> {
        let (mut own, mut held) = (Vec::new(), vec![Vec::new(); layout.held.len()]);
        for (place, array) in layout.places.iter().zip(rows.columns()) {
            match *place {
                Place::Own(_) => own.push(Some(array.clone())),
                Place::Held(set, _) => held[set].push(array.clone()),
                Place::Shaped { own: index, set, keys } => {
                    let fields = (&layout.own.fields()[index], &layout.held[set].fields()[keys]);
                    let (values, keys) = shaped::parted(array, fields.0, fields.1)?;
                    own.push(Some(values));
                    held[set].push(keys);
                }
            }
        }
        let count = rows.num_rows();
        let each = |(schema, columns): (&SchemaRef, Vec<ArrayRef>)| {
            let values = batch(schema, columns, count)?;
            Ok(Held { of: (0..count as u32).collect(), values })
        };
        let held = layout.held.iter().zip(held).map(each).collect::<Result<_, ArrowError>>()?;
        let rows = Rows::new(layout, own, held)?;
        Rows::share(vec![rows]).map(|mut shared| shared.swap_remove(0))
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub fn num_rows(&self) -> usize {
        self.count
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

    /// What is held, in the order of the layout.
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// Per row, its row in [`origins`](Self::origins).
    pub fn origin_of(&self) -> &[u32] {
        &self.held[ORIGINS].of
    }

    /// A row per resource and scope.
    pub fn origins(&self) -> &RecordBatch {
        &self.held[ORIGINS].values
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        let own: usize = self.own.iter().flatten().map(|own| own.get_array_memory_size()).sum();
        (own + self.held.iter().map(Held::bytes).sum::<usize>()) as u64
    }

    pub fn slice(&self, from: usize, count: usize) -> Rows {
        Rows {
            layout: self.layout.clone(),
            own: self
                .own
                .iter()
                .map(|own| own.as_ref().map(|own| own.slice(from, count)))
                .collect(),
            held: self.held.iter().map(|held| held.slice(from, count)).collect(),
            count,
        }
    }

    /// The columns with these indices, as the table has them.
    pub fn project(&self, columns: &[usize]) -> Result<RecordBatch, ArrowError> {
        let schema = Arc::new(self.layout.schema.project(columns)?);
        let taken: Vec<UInt32Array> = self.held.iter().map(Held::taken).collect();
        let column = |column: &usize| match self.layout.places[*column] {
            Place::Own(index) => Ok(self.own_column(index)),
            Place::Held(set, index) => take(self.held[set].values.column(index), &taken[set], None),
            Place::Shaped { own, set, keys } => {
                let data_type = self.layout.schema.field(*column).data_type();
                let keys = self.held[set].values.column(keys);
                match &self.own[own] {
                    Some(values) => shaped::mapped(data_type, values, keys, &self.held[set].of),
                    None => Ok(new_null_array(data_type, self.count)),
                }
            }
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

    /// Whether both name the same sets by the same numbers.
    pub fn shares(&self, other: &Rows) -> bool {
        self.held.iter().zip(&other.held).all(|(a, b)| a.shares(b))
    }

    /// The same rows over one set of distinct origins, and one of each other kind;
    /// their own columns are not copied.
    pub fn share(mut rows: Vec<Rows>) -> Result<Vec<Rows>, ArrowError> {
        let sets = rows.first().map_or(0, |first| first.held.len());
        for set in 0..sets {
            let held: Vec<&Held> = rows.iter().map(|one| &one.held[set]).collect();
            let shared = Held::share(&held)?;
            for (one, held) in rows.iter_mut().zip(shared) {
                one.held[set] = held;
            }
        }
        Ok(rows)
    }

    /// All rows in order, over one set of distinct origins, and one of each other kind.
    /// There must be some.
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
        let held = (0..first.held.len()).map(|set| {
            let of = shared.iter().flat_map(|one| one.held[set].of.iter().copied()).collect();
            Held { of, values: first.held[set].values.clone() }
        });
        let count = shared.iter().map(Rows::num_rows).sum();
        Ok(Rows { layout: first.layout.clone(), own, held: held.collect(), count })
    }

    /// Consecutive pieces of at most `most` rows, each of which takes not much
    /// more than `bytes` for what is held of it when it is projected.
    pub fn pieces(&self, most: usize, bytes: usize) -> impl Iterator<Item = Rows> {
        let widths: Vec<Vec<usize>> = self.held.iter().map(|held| widths(&held.values)).collect();
        let width = move |row: usize| {
            let held = self.held.iter().zip(&widths);
            held.map(|(held, widths)| widths[held.of[row] as usize]).sum()
        };
        stretches(self.num_rows(), most, bytes, width)
            .map(|piece| self.slice(piece.start, piece.len()))
    }
}

fn shapes_fit(place: Place, all: &[Option<ArrayRef>], held: &[Held]) -> bool {
    match place {
        Place::Shaped { own, set, keys } => all[own]
            .as_ref()
            .is_none_or(|values| shaped::fit(values, held[set].values.column(keys), &held[set].of)),
        _ => true,
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
