//! Lists of numbers and of structs.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, ListArray, PrimitiveArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, FieldRef};
use arrow::error::ArrowError;

use super::lazy::{FEW, ROOM};

/// Numbers of a list, roughly.
const LIST: usize = 8;

/// Where each row's elements end, and which rows are NULL.
#[derive(Debug)]
struct Rows {
    ends: Vec<i32>,
    nulls: NullBufferBuilder,
    /// How many there is room for at first.
    room: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Rows::with_room(ROOM)
    }
}

impl Rows {
    fn with_room(room: usize) -> Rows {
        Rows { ends: Vec::new(), nulls: NullBufferBuilder::new(0), room }
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Catches up with rows that are left out.
    fn pad(&mut self, row: usize, null: bool) {
        if self.ends.is_empty() {
            self.ends.reserve(self.room);
        }
        let behind = row.saturating_sub(self.ends.len());
        if behind == 0 {
            return;
        }
        let last = self.ends.last().copied().unwrap_or_default();
        self.ends.resize(row, last);
        match null {
            true => self.nulls.append_n_nulls(behind),
            false => self.nulls.append_n_non_nulls(behind),
        }
    }

    fn end(&mut self, elements: usize) {
        // The batch's size limit keeps elements far below 2^31.
        self.ends.push(elements as i32);
        self.nulls.append_non_null();
    }

    /// Without spare capacity, as [`Lazy::column`](super::lazy::Lazy::column).
    fn list(self, element: FieldRef, values: ArrayRef) -> Result<ArrayRef, ArrowError> {
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.ends);
        let offsets = OffsetBuffer::new(offsets.into());
        let nulls = self.nulls.finish_cloned();
        Ok(Arc::new(ListArray::try_new(element, offsets, values, nulls)?))
    }
}

fn element_of(list: &DataType) -> Result<FieldRef, ArrowError> {
    match list {
        DataType::List(element) => Ok(Arc::clone(element)),
        other => Err(ArrowError::SchemaError(format!("{other} is not a list"))),
    }
}

/// A list of numbers in each row; a row without one is NULL.
#[derive(Debug)]
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    rows: Rows,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Numbers { values: Vec::new(), rows: Rows::default() }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// As [`Lazy::few`](super::lazy::Lazy::few).
    pub fn few() -> Numbers<T> {
        Numbers { values: Vec::new(), rows: Rows::with_room(FEW) }
    }

    /// Whether no row has a list.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn set(&mut self, row: usize, numbers: impl ExactSizeIterator<Item = T::Native>) {
        self.rows.pad(row, true);
        // Of some columns every list is empty.
        if self.values.is_empty() && numbers.len() > 0 {
            self.values.reserve(LIST * self.rows.room);
        }
        self.values.extend(numbers);
        self.rows.end(self.values.len());
    }

    /// The numbers of a row; none where it has no list.
    pub fn row(&self, row: usize) -> &[T::Native] {
        let end = |row: usize| self.rows.ends.get(row).map_or(0, |end| *end as usize);
        let start = row.checked_sub(1).map_or(0, end);
        self.values.get(start..end(row)).unwrap_or_default()
    }

    pub fn finish(mut self, list: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.rows.pad(rows, true);
        let values = PrimitiveArray::<T>::new(self.values.as_slice().to_vec().into(), None);
        self.rows.list(element_of(list)?, Arc::new(values))
    }
}

/// The rows of a list of structs; its owner holds a builder for each field. A row
/// that is left out is NULL, or an empty list.
#[derive(Debug, Default)]
pub(crate) struct Structs<const NULL: bool> {
    rows: Rows,
    elements: usize,
}

impl<const NULL: bool> Structs<NULL> {
    /// Whether no row has a list.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Counts an element whose fields were appended.
    pub fn element(&mut self) {
        self.elements += 1;
    }

    /// Ends a row that holds the elements since the last one.
    pub fn end_row(&mut self, row: usize) {
        self.rows.pad(row, NULL);
        self.rows.end(self.elements);
    }

    pub fn elements(&self) -> usize {
        self.elements
    }

    pub fn finish(
        mut self,
        list: &DataType,
        fields: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<ArrayRef, ArrowError> {
        self.rows.pad(rows, NULL);
        let element = element_of(list)?;
        let DataType::Struct(names) = element.data_type() else {
            return Err(ArrowError::SchemaError(format!("{list} is not a list of structs")));
        };
        let values = StructArray::try_new_with_length(names.clone(), fields, None, self.elements)?;
        self.rows.list(Arc::clone(&element), Arc::new(values))
    }
}
