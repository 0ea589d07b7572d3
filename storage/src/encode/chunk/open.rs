//! The page of a chunk that is not written yet.

use arrow::buffer::NullBuffer;

/// Encoded bytes after which a page ends before it has all its rows.
const PAGE_BYTES: usize = 1 << 20;
/// The same for numbers that stand for levels or codes.
const PAGE_VALUES: usize = 1 << 18;

/// Levels and values of rows; values by codes, or as they are.
#[derive(Default)]
pub struct Open<B> {
    pub repetition: Vec<u8>,
    /// One for each value, NULLs and empty lists too, whether or not it is written.
    pub definition: Vec<u8>,
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
        self.plain.len() >= PAGE_BYTES || self.definition.len() >= PAGE_VALUES
    }

    /// The levels of flat rows that are all alike.
    pub fn flat(&mut self, rows: usize, level: u8) {
        self.definition.resize(self.definition.len() + rows, level);
    }

    /// The levels of lists that end one where the next begins: `most` is that of an
    /// element, `empty` that of a list without any, and `nulls` are the elements'.
    pub fn lists(&mut self, ends: &[i32], most: u8, empty: u8, nulls: Option<&NullBuffer>) {
        let levels = |list: &[i32]| (list[1] - list[0]).max(1) as usize;
        let mut at = self.definition.len();
        let end = at + ends.windows(2).map(levels).sum::<usize>();
        self.repetition.resize(end, 1);
        self.definition.resize(end, most);
        for list in ends.windows(2) {
            self.repetition[at] = 0;
            if list[0] == list[1] {
                self.definition[at] = empty;
                self.nulls += 1;
            }
            if let Some(nulls) = nulls {
                let elements = self.definition[at..].iter_mut().zip(list[0]..list[1]);
                for (level, _) in elements.filter(|(_, at)| nulls.is_null(*at as usize)) {
                    *level = most - 1;
                    self.nulls += 1;
                }
            }
            at += levels(list);
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
