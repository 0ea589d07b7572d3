//! So many of so many.

use super::interval::Interval;
use super::{ALPHA, normal, z};

/// Below this in any cell the exact interval or test is used.
const SMALL_CELL: f64 = 10.0;

/// `hits` of `n`. Whole numbers, but for weights and what over-dispersion takes off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Share {
    pub hits: f64,
    pub n: f64,
}

impl Share {
    pub fn new(hits: u64, n: u64) -> Share {
        Share { hits: hits as f64, n: n as f64 }
    }

    pub fn ratio(self) -> f64 {
        self.hits / self.n
    }

    /// What this is worth when buckets vary `dispersion` times as much as chance.
    pub fn over(self, dispersion: f64) -> Share {
        Share { hits: self.hits / dispersion, n: self.n / dispersion }
    }

    fn is_small(self) -> bool {
        self.hits < SMALL_CELL || self.n - self.hits < SMALL_CELL
    }
}

/// Wilson's score interval.
pub fn wilson(share: Share) -> Interval {
    let Share { n, .. } = share;
    if n <= 0.0 {
        return Interval::unknown(f64::NAN);
    }
    let (p, z) = (share.ratio(), z());
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).max(0.0).sqrt();
    let scale = 1.0 + z * z / n;
    Interval::new(p, ((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// The exact interval of Clopper and Pearson, which never errs more often than
/// it says.
pub fn clopper_pearson(share: Share) -> Interval {
    let Share { hits, n } = share;
    if n <= 0.0 {
        return Interval::unknown(f64::NAN);
    }
    let low = match hits > 0.0 {
        true => normal::beta_quantile(ALPHA / 2.0, hits, n - hits + 1.0),
        false => 0.0,
    };
    let high = match hits < n {
        true => normal::beta_quantile(1.0 - ALPHA / 2.0, hits + 1.0, n - hits),
        false => 1.0,
    };
    Interval::new(share.ratio(), low, high)
}

/// The interval of one ratio: exact where a cell is small, Wilson's elsewhere.
pub fn interval(share: Share) -> Interval {
    if share.is_small() { clopper_pearson(share) } else { wilson(share) }
}

/// Newcombe's interval of `after` less `before`, which joins the intervals of
/// the two (his tenth method, by Wilson's; by the exact ones where cells are small).
pub fn newcombe(before: Share, after: Share) -> Interval {
    join(before, wilson(before), after, wilson(after))
}

/// The interval of a difference: exact parts where a cell is small.
pub fn difference(before: Share, after: Share) -> Interval {
    join(before, interval(before), after, interval(after))
}

fn join(before: Share, b: Interval, after: Share, a: Interval) -> Interval {
    let b = Interval { estimate: before.ratio(), ..b };
    apart(b, Interval { estimate: after.ratio(), ..a })
}

/// `a` less `b` of two independent estimates, by the distances to their own ends
/// (the method of variance estimates recovery, Zou and Donner 2008).
pub fn apart(b: Interval, a: Interval) -> Interval {
    let difference = a.estimate - b.estimate;
    if !(b.is_known() && a.is_known()) {
        return Interval::unknown(difference);
    }
    let below = ((a.estimate - a.low).powi(2) + (b.high - b.estimate).powi(2)).sqrt();
    let above = ((a.high - a.estimate).powi(2) + (b.estimate - b.low).powi(2)).sqrt();
    Interval::new(difference, difference - below, difference + above)
}

/// Fisher's exact test of two shares, two-sided: the sum of all tables at most
/// as likely as this one.
pub fn fisher(before: (u64, u64), after: (u64, u64)) -> f64 {
    let ((a, n), (b, m)) = (before, after);
    let (hits, all) = (a + b, n + m);
    if n == 0 || m == 0 {
        return 1.0;
    }
    let ln = |x: u64| {
        normal::ln_choose(n, x) + normal::ln_choose(m, hits - x) - normal::ln_choose(all, hits)
    };
    let seen = ln(a);
    let sum: f64 = (hits.saturating_sub(m)..=hits.min(n))
        .map(ln)
        // Equal up to rounding is equal.
        .filter(|x| *x <= seen + 1e-7)
        .map(f64::exp)
        .sum();
    sum.min(1.0)
}

/// How many times as much buckets vary as chance alone would have them: at
/// least 1. `(hits, n)` per bucket.
pub fn dispersion(buckets: &[(f64, f64)]) -> f64 {
    let hits: f64 = buckets.iter().map(|(hits, _)| hits).sum();
    let n: f64 = buckets.iter().map(|(_, n)| n).sum();
    let p = hits / n;
    let filled = buckets.iter().filter(|(_, n)| *n > 0.0);
    let count = filled.clone().count();
    if count < 2 || !(p > 0.0 && p < 1.0) {
        return 1.0;
    }
    let sum: f64 = filled
        .map(|(hits, n)| {
            let expected = n * p;
            (hits - expected).powi(2) / (expected * (1.0 - p))
        })
        .sum();
    (sum / (count - 1) as f64).max(1.0)
}
