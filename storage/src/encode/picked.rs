//! Which rows are gathered: named one by one as a sort has them, or by stretches as a
//! merge of sorted files does.

use std::ops::Range;

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;

/// Rows, or elements, that follow each other in one of several arrays.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    pub array: usize,
    pub from: usize,
    pub to: usize,
}

impl Stretch {
    pub fn range(self) -> Range<usize> {
        self.from..self.to
    }

    /// The elements of lists that end here.
    pub fn elements(self, ends: &[i32]) -> Stretch {
        Stretch { from: ends[self.from] as usize, to: ends[self.to] as usize, ..self }
    }
}

/// The rows that are gathered, in their order.
pub trait Picked: Copy {
    fn count(self) -> usize;

    fn stretches(self) -> impl Iterator<Item = Stretch> + Clone;

    /// What they have in these arrays.
    fn values<T: Copy>(self, parts: &[&[T]]) -> Vec<T>;

    /// The same where only what is no NULL matters.
    fn present<T: Copy + Default>(self, parts: &[&[T]], nulls: &NullBuffer) -> Vec<T>;

    /// Which of them are NULL, if any may be.
    fn nulls(self, parts: &[Option<&NullBuffer>]) -> Option<NullBuffer>;
}

/// Single rows (array, row).
impl Picked for &[(usize, usize)] {
    fn count(self) -> usize {
        self.len()
    }

    fn stretches(self) -> impl Iterator<Item = Stretch> + Clone {
        self.iter().map(|&(array, row)| Stretch { array, from: row, to: row + 1 })
    }

    fn values<T: Copy>(self, parts: &[&[T]]) -> Vec<T> {
        self.iter().map(|&(array, row)| parts[array][row]).collect()
    }

    /// Most columns have values in few rows, which lie together.
    fn present<T: Copy + Default>(self, parts: &[&[T]], nulls: &NullBuffer) -> Vec<T> {
        let mut values = vec![T::default(); self.len()];
        for (from, to) in nulls.valid_slices() {
            for (value, &(array, row)) in values[from..to].iter_mut().zip(&self[from..to]) {
                *value = parts[array][row];
            }
        }
        values
    }

    fn nulls(self, parts: &[Option<&NullBuffer>]) -> Option<NullBuffer> {
        let valid = |&(array, row): &(usize, usize)| parts[array].is_none_or(|n| n.is_valid(row));
        any(parts).then(|| self.iter().map(valid).collect())
    }
}

/// Rows of which many follow each other.
impl Picked for &[Stretch] {
    fn count(self) -> usize {
        self.iter().map(|stretch| stretch.range().len()).sum()
    }

    fn stretches(self) -> impl Iterator<Item = Stretch> + Clone {
        self.iter().copied()
    }

    fn values<T: Copy>(self, parts: &[&[T]]) -> Vec<T> {
        let mut values = Vec::with_capacity(self.count());
        for stretch in self {
            values.extend_from_slice(&parts[stretch.array][stretch.range()]);
        }
        values
    }

    fn present<T: Copy + Default>(self, parts: &[&[T]], _: &NullBuffer) -> Vec<T> {
        self.values(parts)
    }

    fn nulls(self, parts: &[Option<&NullBuffer>]) -> Option<NullBuffer> {
        any(parts).then(|| {
            let mut valid = BooleanBufferBuilder::new(self.count());
            for stretch in self {
                match parts[stretch.array] {
                    Some(nulls) => {
                        let bits = nulls.offset() + stretch.from..nulls.offset() + stretch.to;
                        valid.append_packed_range(bits, nulls.validity());
                    }
                    None => valid.append_n(stretch.range().len(), true),
                }
            }
            NullBuffer::new(valid.finish())
        })
    }
}

fn any(parts: &[Option<&NullBuffer>]) -> bool {
    parts.iter().flatten().any(|nulls| nulls.null_count() > 0)
}
