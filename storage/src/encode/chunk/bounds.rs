//! The least and the greatest of what a page or a chunk has, for indexes and footers.
//!
//! Of texts they are short, and never inside what occurs. Of numbers they pass over
//! NaN, which has no place in an order, and take both zeros in, as Parquet asks.

use ::parquet::data_type::ByteArray;
use ::parquet::file::statistics::{Statistics, ValueStatistics};
use arrow::datatypes::ToByteSlice;

use super::number::Number;

/// Bytes of a bound of texts; a longer one is cut, and a cut maximum raised.
const LONGEST: usize = 64;
/// Numbers that are compared side by side.
const LANES: usize = 8;

pub trait Bounds: Default {
    /// As it is written.
    type Bound: PartialOrd;

    fn join(&mut self, other: &Self);

    /// The least and the greatest, if there are values that have an order.
    fn written(&self) -> Option<(Self::Bound, Self::Bound)>;

    /// A bound as an index has it.
    fn bytes(bound: &Self::Bound) -> Vec<u8>;

    /// What a file says of a column with these bounds.
    fn statistics(&self, nulls: u64) -> Statistics;
}

#[derive(Debug, Default, Clone)]
pub struct TextBounds(Option<(Vec<u8>, Vec<u8>)>);

impl TextBounds {
    pub fn meet(&mut self, text: &[u8]) {
        match &mut self.0 {
            None => self.0 = Some((text.to_vec(), text.to_vec())),
            Some((low, _)) if text < low.as_slice() => text.clone_into(low),
            Some((_, high)) if text > high.as_slice() => text.clone_into(high),
            Some(_) => {}
        }
    }
}

impl Bounds for TextBounds {
    type Bound = Vec<u8>;

    fn join(&mut self, other: &TextBounds) {
        if let Some((low, high)) = &other.0 {
            self.meet(low);
            self.meet(high);
        }
    }

    fn written(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.0.as_ref().map(|(low, high)| (floor(low).0, ceiling(high).0))
    }

    fn bytes(bound: &Vec<u8>) -> Vec<u8> {
        bound.clone()
    }

    fn statistics(&self, nulls: u64) -> Statistics {
        let (low, high) = match &self.0 {
            Some((low, high)) => (Some(floor(low)), Some(ceiling(high))),
            None => (None, None),
        };
        let exact =
            |bound: &Option<(Vec<u8>, bool)>| bound.as_ref().is_some_and(|(_, exact)| *exact);
        let (low_exact, high_exact) = (exact(&low), exact(&high));
        let value = |bound: Option<(Vec<u8>, bool)>| bound.map(|(bytes, _)| ByteArray::from(bytes));
        let statistics = ValueStatistics::new(value(low), value(high), None, Some(nulls), false);
        statistics.with_min_is_exact(low_exact).with_max_is_exact(high_exact).into()
    }
}

/// Of nothing while the least is above the greatest.
#[derive(Debug, Clone, Copy)]
pub struct NumberBounds<T> {
    low: T,
    high: T,
}

impl<T: Number> Default for NumberBounds<T> {
    fn default() -> NumberBounds<T> {
        NumberBounds { low: T::MOST, high: T::LEAST }
    }
}

impl<T: Number> NumberBounds<T> {
    pub fn meet(&mut self, numbers: &[T]) {
        let (rows, rest) = numbers.as_chunks::<LANES>();
        if !rows.is_empty() {
            // The order of comparisons with NaN is not the compiler's to change.
            let mut lanes = [*self; LANES];
            for row in rows {
                for (lane, number) in lanes.iter_mut().zip(row) {
                    lane.widen(*number, *number);
                }
            }
            lanes.iter().for_each(|lane| self.join(lane));
        }
        rest.iter().for_each(|number| self.widen(*number, *number));
    }

    /// NaN is neither less nor greater.
    fn widen(&mut self, low: T, high: T) {
        self.low = if low < self.low { low } else { self.low };
        self.high = if high > self.high { high } else { self.high };
    }
}

impl<T: Number> Bounds for NumberBounds<T> {
    type Bound = T;

    fn join(&mut self, other: &NumberBounds<T>) {
        self.widen(other.low, other.high);
    }

    fn written(&self) -> Option<(T, T)> {
        (self.low <= self.high).then(|| T::with_zeros(self.low, self.high))
    }

    fn bytes(bound: &T) -> Vec<u8> {
        bound.to_byte_slice().to_vec()
    }

    fn statistics(&self, nulls: u64) -> Statistics {
        T::statistics(self.written(), nulls)
    }
}

/// A text that is not greater, and whether it is the same.
pub fn floor(text: &[u8]) -> (Vec<u8>, bool) {
    (cut(text).to_vec(), text.len() <= LONGEST)
}

/// A text that is not less: the last letter that has a next one is raised.
pub fn ceiling(text: &[u8]) -> (Vec<u8>, bool) {
    if text.len() <= LONGEST {
        return (text.to_vec(), true);
    }
    let cut = std::str::from_utf8(cut(text)).unwrap_or_default();
    let raised = cut.char_indices().rev().find_map(|(at, letter)| {
        let next = char::from_u32(letter as u32 + 1)?;
        (next.len_utf8() == letter.len_utf8()).then(|| format!("{}{next}", &cut[..at]))
    });
    match raised {
        Some(raised) => (raised.into_bytes(), false),
        None => (text.to_vec(), true),
    }
}

/// The beginning of a text, whole letters of it.
fn cut(text: &[u8]) -> &[u8] {
    let letter = |at: &usize| text[*at] & 0xC0 != 0x80;
    match text.len() > LONGEST {
        true => &text[..(0..=LONGEST).rev().find(letter).unwrap_or(0)],
        false => text,
    }
}
