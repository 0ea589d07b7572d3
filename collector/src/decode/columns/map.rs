//! `map<string, string>`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, MapArray, StringArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use schema::tables::common::{map_entry_fields, string_map};

/// Rows of maps; the keys of a row come sorted and once.
#[derive(Debug)]
pub(crate) struct MapColumn {
    keys: StringBuilder,
    values: StringBuilder,
    offsets: Vec<i32>,
}

/// The entries of one map, kept to be repeated over many rows.
#[derive(Debug)]
pub(crate) struct MapRow {
    keys: StringArray,
    values: StringArray,
}

impl Default for MapColumn {
    fn default() -> Self {
        MapColumn::new()
    }
}

impl MapColumn {
    pub fn new() -> MapColumn {
        MapColumn { keys: StringBuilder::new(), values: StringBuilder::new(), offsets: vec![0] }
    }

    pub fn entry(&mut self, key: &str, value: Option<&str>) {
        self.keys.append_value(key);
        self.values.append_option(value);
    }

    /// Ends the row that holds the entries since the last one.
    pub fn end_row(&mut self) {
        // The batch's size limit keeps entries far below 2^31.
        self.offsets.push(self.keys.offsets_slice().len() as i32 - 1);
    }

    /// Appends the same entries as the next `count` rows, as blocks.
    pub fn repeat(&mut self, row: &MapRow, count: usize) -> Result<(), ArrowError> {
        for _ in 0..count {
            self.keys.append_array(&row.keys)?;
            self.values.append_array(&row.values)?;
            self.end_row();
        }
        Ok(())
    }

    /// The entries so far as one row.
    pub fn into_row(mut self) -> MapRow {
        MapRow { keys: self.keys.finish(), values: self.values.finish() }
    }

    pub fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        let DataType::Map(entry, sorted) = string_map() else {
            return Err(ArrowError::SchemaError("a string map is not a map".into()));
        };
        let keys = Arc::new(self.keys.finish());
        let values = Arc::new(self.values.finish());
        let entries = StructArray::try_new(map_entry_fields(), vec![keys, values], None)?;
        let offsets = OffsetBuffer::new(self.offsets.into());
        let mut map = MapArray::try_new(entry, offsets, entries, None, sorted)?;
        map.shrink_to_fit();
        Ok(Arc::new(map))
    }
}

impl MapRow {
    /// Bytes that one more row with these entries takes.
    pub fn bytes(&self) -> usize {
        self.keys.value_data().len() + self.values.value_data().len() + 8 * self.keys.len()
    }
}
