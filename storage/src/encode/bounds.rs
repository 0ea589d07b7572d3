//! Bounds of texts, short enough for a footer: never inside what occurs.

use ::parquet::data_type::ByteArray;
use ::parquet::file::statistics::{Statistics, ValueStatistics};

/// Bytes of a bound; a longer one is cut, and a cut maximum raised.
const LONGEST: usize = 64;

/// The least and the greatest of some texts.
#[derive(Debug, Default, Clone)]
pub struct Bounds(Option<(Vec<u8>, Vec<u8>)>);

impl Bounds {
    pub fn meet(&mut self, text: &[u8]) {
        match &mut self.0 {
            None => self.0 = Some((text.to_vec(), text.to_vec())),
            Some((low, _)) if text < low.as_slice() => text.clone_into(low),
            Some((_, high)) if text > high.as_slice() => text.clone_into(high),
            Some(_) => {}
        }
    }

    pub fn join(&mut self, other: &Bounds) {
        if let Some((low, high)) = &other.0 {
            self.meet(low);
            self.meet(high);
        }
    }

    pub fn get(&self) -> Option<(&[u8], &[u8])> {
        self.0.as_ref().map(|(low, high)| (low.as_slice(), high.as_slice()))
    }

    /// What a file says of a column with these bounds.
    pub fn statistics(&self, nulls: u64) -> Statistics {
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
