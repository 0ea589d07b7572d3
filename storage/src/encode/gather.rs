//! Rows of several batches, gathered in a file's order.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use schema::rows::{Place, stretches, widths};
use schema::{Rows, TableDef};

use super::codes::{coded, coded_lists, held, typed};
use super::interleave::{interleaved, shaped};
use super::parquet::{CHUNK, file_schema, stored};
use super::plain::{self, Plain};
use crate::Error;

/// Bytes of text that what is held may add to a chunk: one of a few bytes per row can
/// stand for a megabyte.
const CHUNK_BYTES: usize = 64 << 20;

/// Rows of a type that is asked for.
const NONE: &[(usize, usize)] = &[];

/// Gathers rows as a file has them: without `date`, and texts by codes.
pub(super) struct Gather<'a> {
    batches: &'a [Rows],
    schema: SchemaRef,
    columns: Vec<Source>,
    /// Bytes of text of what is held, set by set.
    widths: Vec<Vec<usize>>,
}

/// Where a column of the file comes from.
enum Source {
    /// No row has a value.
    Nowhere,
    /// A column of each batch.
    Own(Vec<ArrayRef>),
    /// A column of a set that is held, by the set's index.
    Held(usize, ArrayRef),
    /// A map of a set that is held: it stays there, and a row names its own.
    HeldMap(usize, ArrayRef),
    /// A map: the values in each batch, and the keys in a set.
    Shaped { values: Vec<ArrayRef>, set: usize, keys: ArrayRef },
}

impl<'a> Gather<'a> {
    pub fn new(table: &TableDef, batches: &'a [Rows]) -> Result<Gather<'a>, Error> {
        if batches.iter().any(|rows| rows.layout() != &table.layout) {
            return Err(Error::Internal(format!("rows do not have the layout of {}", table.name)));
        }
        if !batches.windows(2).all(|pair| pair[0].shares(&pair[1])) {
            return Err(Error::Internal(format!(
                "rows of {} have origins of their own",
                table.name
            )));
        }
        let rows = batches.iter().map(Rows::num_rows).sum();
        let source = |column| match table.layout.place(column) {
            Place::Held(set, column) => {
                let held =
                    batches.iter().take(1).map(|rows| rows.held()[set].values.column(column));
                let column = coded(held.cloned().collect(), rows)?.pop();
                Ok(column.map_or(Source::Nowhere, |column| match column.data_type() {
                    DataType::Map(..) => Source::HeldMap(set, column),
                    _ => Source::Held(set, column),
                }))
            }
            Place::Own(column) | Place::Shaped { own: column, .. }
                if batches.iter().all(|rows| rows.own()[column].is_none()) =>
            {
                Ok(Source::Nowhere)
            }
            Place::Shaped { own, set, keys } => {
                let values: Vec<ArrayRef> =
                    batches.iter().map(|rows| rows.own_column(own)).collect();
                // Every entry has a key.
                let entries = values.iter().map(|list| list.as_list::<i32>().values().len()).sum();
                let keys =
                    coded_lists(vec![batches[0].held()[set].values.column(keys).clone()], entries)?;
                Ok(Source::Shaped { values: coded_lists(values, 0)?, set, keys: keys[0].clone() })
            }
            Place::Own(column) => {
                let own = batches.iter().map(|rows| rows.own_column(column)).collect();
                coded(own, 0).map(Source::Own)
            }
        };
        let columns = stored(table).map(source).collect::<Result<Vec<Source>, Error>>()?;
        let fields = file_schema(table)?;
        let field = |(source, field): (&Source, &FieldRef)| match source {
            Source::Nowhere => Ok(field.clone()),
            Source::Own(all) => Ok(typed(field, &all[0])),
            Source::Held(_, column) => Ok(typed(field, column)),
            Source::HeldMap(_, maps) => Ok(typed(field, &held(&[], maps)?)),
            Source::Shaped { values, keys, .. } => {
                Ok(typed(field, &shaped(field.data_type(), values, keys, NONE, &[])?))
            }
        };
        let fields = columns.iter().zip(fields.fields()).map(field);
        let fields = fields.collect::<Result<Vec<FieldRef>, Error>>()?;
        Ok(Gather {
            batches,
            schema: Arc::new(Schema::new(fields)),
            columns,
            widths: batches.first().map_or_else(Vec::new, |rows| {
                rows.held().iter().map(|held| widths(&held.values)).collect()
            }),
        })
    }

    /// The columns in which no row has a value.
    pub fn empty(&self) -> Plain {
        let columns = self.columns.iter().zip(self.schema.fields());
        let empty = columns.filter(|(source, _)| matches!(source, Source::Nowhere));
        empty.flat_map(|(_, field)| plain::leaves(field)).collect()
    }

    /// Divides rows so that each chunk fits in the cache, and its columns into
    /// Arrow's offsets.
    pub fn chunks(&self, rows: &[(usize, usize)]) -> impl Iterator<Item = Range<usize>> {
        let width = |at: usize| {
            let (batch, row) = rows[at];
            let held = self.batches[batch].held().iter().zip(&self.widths);
            held.map(|(held, widths)| widths[held.of[row] as usize]).sum()
        };
        stretches(rows.len(), CHUNK, CHUNK_BYTES, width)
    }

    pub fn rows(&self, rows: &[(usize, usize)]) -> Result<RecordBatch, Error> {
        let held_of = |set: usize| {
            let of: Vec<&[u32]> = self.batches.iter().map(|rows| &*rows.held()[set].of).collect();
            UInt32Array::from_iter_values(rows.iter().map(|&(batch, row)| of[batch][row]))
        };
        let held_of: Vec<UInt32Array> = (0..self.widths.len()).map(held_of).collect();
        let mut columns = Vec::with_capacity(self.columns.len());
        for (source, field) in self.columns.iter().zip(self.schema.fields()) {
            columns.push(match source {
                Source::Nowhere => new_null_array(field.data_type(), rows.len()),
                Source::Own(all) => interleaved(all, rows)?,
                Source::Held(set, column) => take(column, &held_of[*set], None)?,
                Source::HeldMap(set, maps) => held(held_of[*set].values(), maps)?,
                Source::Shaped { values, set, keys } => {
                    shaped(field.data_type(), values, keys, rows, held_of[*set].values())?
                }
            });
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
