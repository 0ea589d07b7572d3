//! The page of a chunk that is not written yet.

use arrow::buffer::NullBuffer;

use super::levels::Levels;

/// Encoded bytes after which a page ends before it has all its rows.
const PAGE_BYTES: usize = 1 << 20;
/// The same for numbers that stand for levels or codes.
const PAGE_VALUES: usize = 1 << 18;

/// Levels and values of rows; values by codes, or as they are.
#[derive(Default)]
pub struct Open<B> {
    pub repetition: Levels,
    /// One for each value, NULLs and empty lists too, whether or not it is written.
    pub definition: Levels,
    pub codes: Vec<u32>,
    /// Values as Parquet has them without codes.
    pub plain: Vec<u8>,
    pub rows: usize,
    pub nulls: u64,
    pub bounds: B,
}

impl<B: Default> Open<B> {
    /// Whether the page has to end before it has all its rows.
    pub fn is_full(&self) -> bool {
        self.plain.len() >= PAGE_BYTES || self.definition.count() >= PAGE_VALUES
    }

    /// The levels of flat rows that are all alike.
    pub fn flat(&mut self, rows: usize, level: u8) {
        self.definition.push(level, rows);
    }

    /// The levels of lists that end one where the next begins: `most` is that of an
    /// element, `empty` that of a list without any, and `nulls` are the elements'.
    pub fn lists(&mut self, ends: &[i32], most: u8, empty: u8, nulls: Option<&NullBuffer>) {
        for list in ends.windows(2) {
            let count = (list[1] - list[0]) as usize;
            self.repetition.push(0, 1);
            self.repetition.push(1, count.saturating_sub(1));
            match nulls {
                _ if count == 0 => {
                    self.definition.push(empty, 1);
                    self.nulls += 1;
                }
                None => self.definition.push(most, count),
                Some(nulls) => {
                    for element in list[0]..list[1] {
                        let is_null = nulls.is_null(element as usize);
                        self.definition.push(most - u8::from(is_null), 1);
                        self.nulls += u64::from(is_null);
                    }
                }
            }
        }
    }

    /// Its room serves the next page.
    pub fn clear(&mut self) {
        self.repetition.clear();
        self.definition.clear();
        self.codes.clear();
        self.plain.clear();
        (self.rows, self.nulls, self.bounds) = (0, 0, B::default());
    }
}
