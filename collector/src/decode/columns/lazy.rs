//! Builders of columns that rows may have nothing for.

use std::ops::{Deref, DerefMut};

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int32Builder,
    Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};

/// A builder without memory until something is appended. A request fills few of
/// its table's columns, and Arrow's builders begin with room for a thousand
/// values: of a hundred columns that are pages which nobody needs.
#[derive(Debug)]
pub(crate) struct Lazy<B>(B);

pub(crate) type Texts = Lazy<StringBuilder>;
pub(crate) type Longs = Lazy<Int64Builder>;
pub(crate) type Integers = Lazy<Int32Builder>;
pub(crate) type Doubles = Lazy<Float64Builder>;
pub(crate) type Flags = Lazy<BooleanBuilder>;
pub(crate) type Times = Lazy<TimestampMicrosecondBuilder>;
pub(crate) type Dates = Lazy<Date32Builder>;

impl<B> Deref for Lazy<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.0
    }
}

impl<B> DerefMut for Lazy<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.0
    }
}

/// A builder that can be caught up with the current row.
pub(crate) trait Sparse: ArrayBuilder {
    fn append_nulls(&mut self, count: usize);
}

impl<B: Sparse> Lazy<B> {
    /// Pads to `row`, whose value is appended next.
    pub fn at(&mut self, row: usize) -> &mut B {
        let behind = row.saturating_sub(self.0.len());
        if behind > 0 {
            self.0.append_nulls(behind);
        }
        &mut self.0
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
        ArrayBuilder::finish_cloned(&self.0)
    }
}

macro_rules! lazy {
    ($($builder:ty: $empty:expr),+ $(,)?) => {
        $(impl Default for Lazy<$builder> {
            fn default() -> Self {
                Lazy($empty)
            }
        }

        impl Sparse for $builder {
            fn append_nulls(&mut self, count: usize) {
                <$builder>::append_nulls(self, count);
            }
        })+
    };
}

lazy! {
    StringBuilder: StringBuilder::with_capacity(0, 0),
    Int64Builder: Int64Builder::with_capacity(0),
    Int32Builder: Int32Builder::with_capacity(0),
    Float64Builder: Float64Builder::with_capacity(0),
    BooleanBuilder: BooleanBuilder::with_capacity(0),
    TimestampMicrosecondBuilder: TimestampMicrosecondBuilder::with_capacity(0),
    Date32Builder: Date32Builder::with_capacity(0),
}
