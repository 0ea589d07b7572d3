//! Builders of columns that rows may have nothing for.

use std::cell::OnceCell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder,
    PrimitiveArray, PrimitiveBuilder, StringBuilder,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::ArrowPrimitiveType;

/// A builder that is made for its first value: a request fills few of its table's
/// columns. In a box, since all of them together are moved about several times.
#[derive(Debug)]
pub(crate) struct Lazy<B> {
    builder: OnceCell<Box<B>>,
    /// Values that it has room for at first.
    room: usize,
}

/// About the rows of a request: a column that grows from nothing is moved ten times
/// until then.
pub(super) const ROOM: usize = 512;
/// About the resources of a request, or its metrics. What is not filled costs too:
/// an allocator finds small blocks sooner than large ones.
pub(super) const FEW: usize = 32;
/// Bytes of a text, roughly.
const TEXT: usize = 16;

pub(crate) type Texts = Lazy<StringBuilder>;
pub(crate) type Longs = Lazy<Int64Builder>;
pub(crate) type Integers = Lazy<Int32Builder>;
pub(crate) type Doubles = Lazy<Float64Builder>;
pub(crate) type Flags = Lazy<BooleanBuilder>;

impl<B> Default for Lazy<B> {
    fn default() -> Self {
        Lazy::with_room(ROOM)
    }
}

impl<B> Lazy<B> {
    /// A column of what is held once for many rows.
    pub fn few() -> Lazy<B> {
        Lazy::with_room(FEW)
    }

    pub(super) fn with_room(room: usize) -> Lazy<B> {
        Lazy { builder: OnceCell::new(), room }
    }
}

impl<B: Sparse> Deref for Lazy<B> {
    type Target = B;

    fn deref(&self) -> &B {
        self.builder.get_or_init(|| Box::new(B::with_room(self.room)))
    }
}

impl<B: Sparse> DerefMut for Lazy<B> {
    fn deref_mut(&mut self) -> &mut B {
        self.builder.get_or_init(|| Box::new(B::with_room(self.room)));
        self.builder.get_mut().unwrap_or_else(|| unreachable!("it was just made"))
    }
}

/// A builder that can be caught up with the current row.
pub(crate) trait Sparse: ArrayBuilder {
    fn with_room(room: usize) -> Self;
    fn copied(&self) -> ArrayRef;
    fn append_nulls(&mut self, count: usize);
}

impl<B: Sparse> Lazy<B> {
    /// Values that it has.
    pub fn len(&self) -> usize {
        self.builder.get().map_or(0, |builder| builder.len())
    }

    /// Pads to `row`, whose value is appended next.
    pub fn at(&mut self, row: usize) -> &mut B {
        let behind = row.saturating_sub(self.len());
        if behind > 0 {
            self.append_nulls(behind);
        }
        self
    }

    /// The column over `rows` rows, without spare capacity: batches wait in
    /// memory, and what they are charged is what they hold (B1).
    pub fn column(mut self, rows: usize) -> ArrayRef {
        self.at(rows);
        self.exact()
    }

    /// What was appended, copied to memory of its size. Shrinking in place would
    /// not do: an allocator keeps a block of which more than half is used, and
    /// memory that grew is scarcely over half full. The block that is left behind
    /// is warm for the next request.
    pub fn exact(&self) -> ArrayRef {
        B::copied(self)
    }
}

/// What was appended, as [`Lazy::exact`], unless so little of the room is left that a
/// copy would be for nothing: batches tend to have as many records as there is room for.
pub(super) fn exact<N: Copy>(numbers: Vec<N>) -> Vec<N> {
    let room = numbers.capacity();
    if numbers.len() >= room - room / 16 { numbers } else { numbers.as_slice().to_vec() }
}

/// As Arrow copies them, but not to memory that is aligned to cache lines: an
/// allocator has such only by a detour.
fn numbers<T: ArrowPrimitiveType>(builder: &PrimitiveBuilder<T>) -> PrimitiveArray<T> {
    let values = builder.values_slice().to_vec();
    let nulls = builder.validity_slice().map(|bits| {
        NullBuffer::new(BooleanBuffer::new(Buffer::from(bits.to_vec()), 0, values.len()))
    });
    PrimitiveArray::new(values.into(), nulls)
}

macro_rules! lazy {
    ($($builder:ty: $with_room:expr, $copied:expr;)+) => {
        $(impl Sparse for $builder {
            fn with_room(room: usize) -> Self {
                let with_room: fn(usize) -> $builder = $with_room;
                with_room(room)
            }

            fn copied(&self) -> ArrayRef {
                let copied: fn(&$builder) -> _ = $copied;
                Arc::new(copied(self))
            }

            fn append_nulls(&mut self, count: usize) {
                <$builder>::append_nulls(self, count);
            }
        })+
    };
}

lazy! {
    StringBuilder: |room| Self::with_capacity(room, TEXT * room), StringBuilder::finish_cloned;
    BooleanBuilder: Self::with_capacity, BooleanBuilder::finish_cloned;
    Int64Builder: Self::with_capacity, numbers;
    Int32Builder: Self::with_capacity, numbers;
    Float64Builder: Self::with_capacity, numbers;
}
