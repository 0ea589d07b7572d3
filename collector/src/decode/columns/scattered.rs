//! Numbers that some rows have.

use std::sync::Arc;

use arrow::array::{ArrayRef, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int32Type, Int64Type};

use super::lazy::{ROOM, exact};

/// The numbers that there are, and in which rows: the rows without are seen to once,
/// at the end.
#[derive(Debug)]
pub(crate) struct Scattered<T: ArrowPrimitiveType> {
    rows: Vec<u32>,
    values: Vec<T::Native>,
    /// How many there is room for at first.
    room: usize,
}

pub(crate) type SomeLongs = Scattered<Int64Type>;
pub(crate) type SomeIntegers = Scattered<Int32Type>;
pub(crate) type SomeDoubles = Scattered<Float64Type>;

impl<T: ArrowPrimitiveType> Default for Scattered<T> {
    fn default() -> Self {
        Scattered::with_room(ROOM)
    }
}

impl<T: ArrowPrimitiveType> Scattered<T> {
    pub(super) fn with_room(room: usize) -> Scattered<T> {
        Scattered { rows: Vec::new(), values: Vec::new(), room }
    }

    /// Rows come in order, each at most once.
    pub fn set(&mut self, row: usize, value: T::Native) {
        if self.rows.is_empty() {
            self.rows.reserve(self.room);
            self.values.reserve(self.room);
        }
        // A request has fewer bytes than this has numbers.
        self.rows.push(row as u32);
        self.values.push(value);
    }

    pub fn set_option(&mut self, row: usize, value: Option<T::Native>) {
        if let Some(value) = value {
            self.set(row, value);
        }
    }

    /// The column over `rows` rows, without spare capacity; `None` if none has a number.
    pub fn column(self, rows: usize) -> Option<ArrayRef> {
        if self.rows.is_empty() {
            return None;
        }
        if self.rows.len() == rows {
            return Some(Arc::new(PrimitiveArray::<T>::new(exact(self.values).into(), None)));
        }
        let mut values = vec![T::Native::default(); rows];
        let mut valid = vec![0u8; rows.div_ceil(8)];
        for (row, value) in self.rows.into_iter().zip(self.values) {
            let row = row as usize;
            values[row] = value;
            valid[row / 8] |= 1 << (row % 8);
        }
        let valid = NullBuffer::new(BooleanBuffer::new(Buffer::from(valid), 0, rows));
        Some(Arc::new(PrimitiveArray::<T>::new(values.into(), Some(valid))))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: numbers in all, some or no rows.
        /// Guarantees: each is in its row, and the others are NULL.
        #[test]
        fn numbers_are_in_their_rows(values in vec(any::<Option<i64>>(), 0..40)) {
            let mut column = SomeLongs::default();
            for (row, value) in values.iter().enumerate() {
                column.set_option(row, *value);
            }
            let expected: ArrayRef = Arc::new(Int64Array::from(values.clone()));
            let any = values.iter().any(Option::is_some);
            prop_assert_eq!(column.column(values.len()), any.then_some(expected));
        }
    }
}
