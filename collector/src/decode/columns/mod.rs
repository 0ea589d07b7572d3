//! Arrow builders that know how to be sparse, and the batch they make.
//!
//! Builders are filled row by row; a column that a row has nothing for is left
//! behind and padded with NULLs when it is next used, so that a row costs what
//! it says and not what its table could hold.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`filled`] | numbers that every row has |
//! | [`lazy`] | a builder that takes no memory before its first value |
//! | [`map`] | `map<string, string>` |
//! | [`shaped`] | the same with keys that stand once for many rows |
//! | [`list`] | lists of numbers and of structs |
//! | [`scattered`] | numbers that some rows have |
//! | [`promoted`] | the typed columns of attribute keys |

mod filled;
mod lazy;
mod list;
mod map;
mod promoted;
mod scattered;
mod shaped;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::model::Id;
use super::outcome::{Warning, Warnings};
use super::text::hex;
pub(super) use filled::Filled;
pub(super) use lazy::{Doubles, Flags, Integers, Longs, Texts};
use lazy::{Lazy, Sparse};
pub(super) use list::{Numbers, Structs};
pub(super) use map::MapColumn;
pub(super) use promoted::Promoted;
pub(super) use scattered::{SomeDoubles, SomeIntegers, SomeLongs};
pub(super) use shaped::ShapedMap;

/// Appends a text that OTLP cannot tell from an absent one: empty is NULL.
pub(super) fn append_text(builder: &mut Texts, text: &str) {
    if text.is_empty() { builder.append_null() } else { builder.append_value(text) }
}

/// Appends the id of a record that may lack one: what is not an id is NULL and
/// remarked (D1).
pub(super) fn append_id<const N: usize>(
    builder: &mut Texts,
    id: &Id<N>,
    buffer: &mut String,
    warnings: &mut Warnings,
) {
    match id {
        Id::Valid(id) => builder.append_value(hex(id, buffer)),
        Id::Absent => builder.append_null(),
        Id::Invalid => {
            warnings.add(Warning::InvalidId);
            builder.append_null();
        }
    }
}

/// The columns of a schema, as they get finished. One that nobody fills stays
/// `None`: tables gain columns before decoders learn of them, and few rows have all.
#[derive(Debug)]
pub(super) struct Finished<'s> {
    schema: &'s SchemaRef,
    columns: Vec<Option<ArrayRef>>,
    /// Where the next one is looked for first: they come about in order.
    next: usize,
}

impl<'s> Finished<'s> {
    pub fn new(schema: &'s SchemaRef) -> Finished<'s> {
        Finished { schema, columns: vec![None; schema.fields().len()], next: 0 }
    }

    pub fn add(&mut self, name: &str, column: ArrayRef) {
        let fields = self.schema.fields();
        let mut places = (self.next..fields.len()).chain(0..self.next);
        let place = places.find(|place| fields[*place].name() == name);
        debug_assert!(place.is_some(), "nobody's column: {name}");
        if let Some(place) = place {
            self.columns[place] = Some(column);
            self.next = place + 1;
        }
    }

    /// The same of one that no row may have filled.
    pub fn add_if_any(&mut self, name: &str, column: Option<ArrayRef>) {
        if let Some(column) = column {
            self.add(name, column);
        }
    }

    /// A column that no row filled stays away.
    pub fn sparse(&mut self, name: &str, builder: Lazy<impl Sparse>, rows: usize) {
        if builder.len() > 0 {
            self.add(name, builder.column(rows));
        }
    }

    /// One per column of the schema.
    pub fn columns(self) -> Vec<Option<ArrayRef>> {
        self.columns
    }

    /// The same as a batch.
    pub fn batch(self, rows: usize) -> Result<RecordBatch, ArrowError> {
        let columns = self.columns.into_iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| {
            column.unwrap_or_else(|| new_null_array(field.data_type(), rows))
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(self.schema), columns.collect(), &options)
    }
}
