//! History in unbroken stretches.

use std::ops::Range;

use crate::indicator::Series;
use crate::radius::history::BREAK;

/// Cuts a piece of series where nothing was recorded of one of them.
pub(super) fn stretches(all: &[&Series], piece: Range<usize>) -> Vec<Range<usize>> {
    let length = all.iter().map(|series| series.buckets.len()).max().unwrap_or(0);
    let silent = |at: usize| {
        all.iter().any(|series| series.buckets.get(at).is_none_or(|bucket| bucket.n == 0.0))
    };
    let last = piece.end.min(length);
    let mut found = Vec::new();
    let (mut start, mut quiet) = (piece.start, 0);
    for at in piece.start..=last {
        let over = at == last;
        quiet = if !over && silent(at) { quiet + 1 } else { 0 };
        if over || quiet >= BREAK {
            let end = if over { at } else { at + 1 - quiet };
            if end > start && all.iter().all(|series| series.part(start..end).n() > 0.0) {
                found.push(start..end);
            }
            start = at + 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::Bucket;

    /// Scenario: pieces of a history of which one has a long silence in it and a
    /// short one; the same beside a control that ends earlier.
    /// Guarantees: it is cut at the first, and the short silence stays; what only
    /// one of both has is no history, and nothing reaches into another piece.
    #[test]
    fn history_is_cut_where_nothing_was_recorded() {
        let mut series = Series::empty(60);
        series.buckets.iter_mut().for_each(|bucket| bucket.n = 1.0);
        series.buckets[10..18].fill(Bucket::default());
        series.buckets[40..43].fill(Bucket::default());
        let cut = |all: &[&Series]| {
            let pieces = [0..30, 32..60].into_iter();
            pieces.flat_map(|piece| stretches(all, piece)).map(|r| r.len()).collect::<Vec<_>>()
        };
        assert_eq!(cut(&[&series]), [10, 12, 28]);
        let mut beside = Series::empty(60);
        beside.buckets[..50].iter_mut().for_each(|bucket| bucket.n = 1.0);
        assert_eq!(cut(&[&series, &beside]), [10, 12, 18]);
    }
}
