//! The interval of a quantile, by drawing blocks of buckets again and again:
//! neighbours stay together, so dependence in time is kept.

use super::ALPHA;
use super::interval::Interval;
use super::random::Random;

/// Buckets of 5 s in a block of 30 s.
pub const BLOCK: usize = 6;
pub const DRAWS: usize = 1_000;

/// What sums of weights are off by, as a share of them.
const ROUNDING: f64 = 1e-12;

/// A bucket's values with how often each occurs; more than once by a weight too.
pub type Cells = [(f64, f64)];

/// The smallest value that at least the share `q` of all does not exceed; NaN
/// of nothing. `cells` are sorted by value.
pub fn quantile(cells: &Cells, q: f64) -> f64 {
    let total: f64 = cells.iter().map(|(_, n)| n).sum();
    let mut upto = 0.0;
    for (value, n) in cells {
        upto += n;
        if upto >= q * total - ROUNDING * total {
            return *value;
        }
    }
    f64::NAN
}

/// The quantile of all buckets together, by moving blocks.
pub fn interval(buckets: &[&Cells], q: f64, seed: u64) -> Interval {
    let mut values: Vec<f64> = buckets.iter().flat_map(|b| b.iter().map(|(v, _)| *v)).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    // Each bucket by the places of its values, so that a draw only adds.
    let placed: Vec<Vec<(usize, f64)>> = buckets
        .iter()
        .map(|cells| {
            let place = |v: &f64| values.partition_point(|known| known < v);
            cells.iter().map(|(v, n)| (place(v), *n)).collect()
        })
        .collect();
    let mut counts = vec![0.0; values.len()];
    let of = |counts: &[f64]| {
        let total: f64 = counts.iter().sum();
        let mut upto = 0.0;
        let at = counts.iter().position(|n| {
            upto += n;
            upto >= q * total - ROUNDING * total
        });
        at.map_or(f64::NAN, |at| values[at])
    };
    let add = |counts: &mut [f64], bucket: &[(usize, f64)]| {
        bucket.iter().for_each(|(at, n)| counts[*at] += n);
    };
    placed.iter().for_each(|bucket| add(&mut counts, bucket));
    let estimate = of(&counts);
    let n = placed.len();
    // One block would be drawn the same each time.
    if n < 3 || values.is_empty() || values.iter().any(|v| !v.is_finite()) {
        return Interval::unknown(estimate);
    }
    let block = BLOCK.min(n / 3).max(1);
    let mut random = Random::new(seed);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            counts.fill(0.0);
            let mut left = n;
            while left > 0 {
                let start = random.below(n - block + 1);
                let take = block.min(left);
                placed[start..start + take].iter().for_each(|bucket| add(&mut counts, bucket));
                left -= take;
            }
            of(&counts)
        })
        .filter(|value| value.is_finite())
        .collect();
    drawn.sort_by(f64::total_cmp);
    let last = drawn.len().saturating_sub(1) as f64;
    let at = |share: f64| drawn.get((last * share).round() as usize).copied();
    match (at(ALPHA / 2.0), at(1.0 - ALPHA / 2.0)) {
        (Some(low), Some(high)) => Interval::new(estimate, low.min(estimate), high.max(estimate)),
        _ => Interval::unknown(estimate),
    }
}
