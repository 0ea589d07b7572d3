//! Numbers that every row has.

use std::sync::Arc;

use arrow::array::{ArrayRef, PrimitiveArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{ArrowNativeType, ArrowPrimitiveType};

use super::lazy::{ROOM, exact};

/// A plain vector: nothing is padded, and no NULL is looked for at each number.
#[derive(Debug)]
pub(crate) struct Filled<N>(Vec<N>);

impl<N> Default for Filled<N> {
    fn default() -> Self {
        Filled(Vec::with_capacity(ROOM))
    }
}

impl<N: ArrowNativeType> Filled<N> {
    pub fn push(&mut self, number: N) {
        self.0.push(number);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn as_slice(&self) -> &[N] {
        &self.0
    }

    /// Without spare capacity, as [`Lazy::column`](super::lazy::Lazy::column).
    pub fn exact(self) -> ScalarBuffer<N> {
        exact(self.0).into()
    }

    pub fn column<T: ArrowPrimitiveType<Native = N>>(self) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(self.exact(), None))
    }
}
