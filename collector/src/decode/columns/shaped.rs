//! The map of the records' own attributes: its values row by row, its keys and
//! types once for all records that have the same.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use schema::TableDef;
use schema::rows::{Held, Place};
use schema::table::Of;

use super::{Filled, Finished, Texts};

#[derive(Debug)]
pub(crate) struct ShapedMap {
    values: Texts,
    /// Per row where its values end.
    ends: Filled<i32>,
    /// Per row its shape.
    of: Filled<u32>,
    /// Shapes by their types and keys.
    known: HashMap<Vec<u8>, u32>,
    keys: Texts,
    key_ends: Vec<i32>,
    types: Texts,
}

impl Default for ShapedMap {
    fn default() -> Self {
        ShapedMap {
            values: Texts::default(),
            ends: Filled::default(),
            of: Filled::default(),
            known: HashMap::new(),
            keys: Texts::few(),
            key_ends: Vec::new(),
            types: Texts::few(),
        }
    }
}

impl ShapedMap {
    /// The number of the shape with these keys, sorted and once each, and the letters
    /// of their types.
    pub fn shape<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k str> + Clone,
        letters: impl Iterator<Item = char> + Clone,
    ) -> u32 {
        let mut told = Vec::new();
        for (key, letter) in keys.clone().zip(letters.clone()) {
            told.push(letter as u8);
            told.extend_from_slice(&(key.len() as u64).to_le_bytes());
            told.extend_from_slice(key.as_bytes());
        }
        let next = self.known.len() as u32;
        let shape = *self.known.entry(told).or_insert(next);
        if shape == next {
            keys.for_each(|key| self.keys.append_value(key));
            self.key_ends.push(self.keys.len() as i32);
            if letters.clone().any(|letter| letter != 's') {
                let _infallible = letters.map(|letter| self.types.write_char(letter)).last();
                self.types.append_value("");
            } else {
                self.types.append_null();
            }
        }
        shape
    }

    /// The value of the next key of the row at hand.
    pub fn value(&mut self, value: Option<&str>) {
        self.values.append_option(value);
    }

    /// Ends the row that holds the values since the last one.
    pub fn end_row(&mut self, shape: u32) {
        self.of.push(shape);
        // The batch's size limit keeps entries far below 2^31.
        self.ends.push(self.values.len() as i32);
    }

    /// Adds the values, which have the name of the map, to what is finished; gives
    /// what is held of the rows. `types` is the column of the letters.
    pub fn finish(
        self,
        name: &str,
        types: &str,
        finished: &mut Finished<'_>,
        table: &TableDef,
    ) -> Result<Held, ArrowError> {
        let layout = &table.layout;
        let (Place::Shaped { own, .. }, Some(set)) = (layout.find(name)?, layout.set(Of::Shape))
        else {
            let text = format!("{} holds no keys of {name}", table.name);
            return Err(ArrowError::SchemaError(text));
        };
        let (shapes, schema) = (self.known.len(), &layout.held[set]);
        finished.add(
            name,
            list(layout.own.field(own).data_type(), self.ends.as_slice(), &self.values)?,
        );
        let mut held = Finished::new(schema);
        let keys = list(schema.field_with_name(name)?.data_type(), &self.key_ends, &self.keys)?;
        held.add(name, keys);
        held.sparse(types, self.types, shapes);
        Ok(Held { of: self.of.exact(), values: held.batch(shapes)? })
    }
}

/// Without spare capacity, as [`Lazy::column`](super::lazy::Lazy::column).
fn list(list: &DataType, ends: &[i32], texts: &Texts) -> Result<ArrayRef, ArrowError> {
    let DataType::List(element) = list else {
        return Err(ArrowError::SchemaError(format!("{list} is not a list")));
    };
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.extend_from_slice(ends);
    let offsets = OffsetBuffer::new(offsets.into());
    Ok(Arc::new(ListArray::try_new(element.clone(), offsets, texts.exact(), None)?))
}
