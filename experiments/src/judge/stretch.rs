//! History in unbroken stretches.

use std::ops::Range;

use crate::indicator::Series;
use crate::window::{BUCKET, Span};

/// Empty buckets that break a stretch of history: nothing was recorded there.
const BREAK: usize = 6;

/// Cuts series of one stretch where others' windows lie and where nothing was
/// recorded of one of them.
pub(super) fn stretches(all: &[&Series], span: Span, others: &[Span]) -> Vec<Range<usize>> {
    let length = all.iter().map(|series| series.buckets.len()).max().unwrap_or(0);
    let taken = |at: usize| {
        let from = span.from + at as i64 * BUCKET.nanos();
        let bucket = Span { from, buckets: 1 };
        others.iter().any(|other| other.overlaps(bucket))
    };
    let silent = |at: usize| {
        all.iter().any(|series| series.buckets.get(at).is_none_or(|bucket| bucket.n == 0.0))
    };
    let mut found = Vec::new();
    let (mut start, mut quiet) = (0, 0);
    for at in 0..=length {
        let over = at == length || taken(at);
        quiet = if !over && silent(at) { quiet + 1 } else { 0 };
        if over || quiet >= BREAK {
            let end = if over { at } else { at + 1 - quiet };
            if all.iter().all(|series| series.part(start..end).n() > 0.0) && end > start {
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

    /// Scenario: a history with a window of another run in it, a long silence and
    /// a short one; the same beside a control that ends earlier.
    /// Guarantees: it is cut at the first two, and the short silence stays; what
    /// only one of both has is no history.
    #[test]
    fn history_is_cut_where_it_is_not_fault_free() {
        let mut series = Series::empty(60);
        series.buckets.iter_mut().for_each(|bucket| bucket.n = 1.0);
        series.buckets[10..18].fill(Bucket::default());
        series.buckets[40..43].fill(Bucket::default());
        let span = Span { from: 0, buckets: 60 };
        let other = Span { from: 30 * BUCKET.nanos(), buckets: 2 };
        let lengths: Vec<usize> =
            stretches(&[&series], span, &[other]).iter().map(Range::len).collect();
        assert_eq!(lengths, [10, 12, 28]);
        let mut beside = Series::empty(60);
        beside.buckets[..50].iter_mut().for_each(|bucket| bucket.n = 1.0);
        let both = stretches(&[&series, &beside], span, &[other]);
        assert_eq!(both.iter().map(Range::len).collect::<Vec<_>>(), [10, 12, 18]);
    }
}
