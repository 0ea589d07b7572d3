//! Arrow builders that know how to be sparse, and the batch they make.
//!
//! Builders are filled row by row; a column that a row has nothing for is left
//! behind and padded with NULLs when it is next used, so that a row costs what
//! it says and not what its table could hold.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`lazy`] | a builder that takes no memory before its first value |
//! | [`map`] | `map<string, string>` |
//! | [`shaped`] | the same with keys that stand once for many rows |
//! | [`list`] | lists of numbers and of structs |
//! | [`promoted`] | the typed columns of attribute keys |

mod lazy;
mod list;
mod map;
mod promoted;
mod shaped;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::model::Id;
use super::outcome::{Warning, Warnings};
use super::text::hex;
pub(super) use lazy::{Dates, Doubles, Flags, Integers, Longs, Texts, Times};
use lazy::{Lazy, Sparse};
pub(super) use list::{Numbers, Structs};
pub(super) use map::MapColumn;
pub(super) use promoted::Promoted;
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

/// Finished columns by name.
#[derive(Debug, Default)]
pub(super) struct Finished {
    columns: HashMap<String, ArrayRef>,
}

impl Finished {
    pub fn add(&mut self, name: &str, column: ArrayRef) {
        self.columns.insert(name.to_owned(), column);
    }

    /// A column that no row filled stays away.
    pub fn sparse(&mut self, name: &str, builder: Lazy<impl Sparse>, rows: usize) {
        if builder.len() > 0 {
            self.add(name, builder.column(rows));
        }
    }

    /// Exactly these columns. One that nobody filled is `None`: tables gain columns
    /// before decoders learn of them, and few rows have all.
    pub fn columns(mut self, schema: &SchemaRef) -> Vec<Option<ArrayRef>> {
        let fields = schema.fields().iter();
        let columns = fields.map(|field| self.columns.remove(field.name())).collect();
        debug_assert!(self.columns.is_empty(), "nobody's columns: {:?}", self.columns.keys());
        columns
    }

    /// The same as a batch.
    pub fn batch(self, schema: &SchemaRef, rows: usize) -> Result<RecordBatch, ArrowError> {
        let columns = self.columns(schema).into_iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| {
            column.unwrap_or_else(|| new_null_array(field.data_type(), rows))
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect(), &options)
    }
}
