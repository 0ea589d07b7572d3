//! `map<string, string>`.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, MapArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use schema::tables::common::string_map;

use super::Texts;

static STRING_MAP: LazyLock<DataType> = LazyLock::new(string_map);

/// Rows of maps; the keys of a row come sorted and once.
#[derive(Debug)]
pub(crate) struct MapColumn {
    keys: Texts,
    values: Texts,
    offsets: Vec<i32>,
}

impl Default for MapColumn {
    fn default() -> Self {
        MapColumn { keys: Texts::default(), values: Texts::default(), offsets: vec![0] }
    }
}

impl MapColumn {
    /// As [`Lazy::few`](super::lazy::Lazy::few).
    pub fn few() -> MapColumn {
        MapColumn { keys: Texts::few(), values: Texts::few(), offsets: vec![0] }
    }

    pub fn entry(&mut self, key: &str, value: Option<&str>) {
        self.keys.append_value(key);
        self.values.append_option(value);
    }

    /// Ends the row that holds the entries since the last one.
    pub fn end_row(&mut self) {
        // The batch's size limit keeps entries far below 2^31.
        self.offsets.push(self.keys.len() as i32);
    }

    /// Without spare capacity, as [`Lazy::column`](super::lazy::Lazy::column).
    pub fn finish(self) -> Result<ArrayRef, ArrowError> {
        let DataType::Map(entry, sorted) = &*STRING_MAP else {
            return Err(ArrowError::SchemaError("a string map is not a map".into()));
        };
        let DataType::Struct(fields) = entry.data_type() else {
            return Err(ArrowError::SchemaError("a string map has no entries".into()));
        };
        let columns = vec![self.keys.exact(), self.values.exact()];
        let entries = StructArray::try_new(fields.clone(), columns, None)?;
        let offsets = OffsetBuffer::new(self.offsets.as_slice().to_vec().into());
        Ok(Arc::new(MapArray::try_new(entry.clone(), offsets, entries, None, *sorted)?))
    }
}
