//! Events in time: counts per bucket. Where events stand for others, `design` is
//! how many times as much their counts vary for that alone; elsewhere it is 1.

use super::interval::Interval;
use super::z;

/// Variance over mean of counts, at least 1: 1 is what chance alone gives.
pub fn dispersion(counts: &[f64]) -> f64 {
    let n = counts.len() as f64;
    if n < 2.0 {
        return 1.0;
    }
    let mean = counts.iter().sum::<f64>() / n;
    if mean == 0.0 {
        return 1.0;
    }
    let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (variance / mean).max(1.0)
}

/// Events per bucket, with the interval of a mean whose variance is
/// `dispersion` times its own (a score interval: it is right at 0 too).
pub fn mean(counts: &[f64], design: f64) -> Interval {
    let n = counts.len() as f64;
    if n == 0.0 {
        return Interval::unknown(f64::NAN);
    }
    let total = counts.iter().sum::<f64>();
    let spread = z() * z() * dispersion(counts).max(design);
    let middle = total + spread / 2.0;
    let half = (spread * (total + spread / 4.0)).sqrt();
    Interval::new(total / n, ((middle - half) / n).max(0.0), (middle + half) / n)
}

/// The rate of `after` over that of `before`, per bucket. A phase without any
/// event counts as half of one.
pub fn ratio(before: &[f64], after: &[f64], design: [f64; 2]) -> Interval {
    let (n, m) = (before.len() as f64, after.len() as f64);
    if n == 0.0 || m == 0.0 {
        return Interval::unknown(f64::NAN);
    }
    let total = |counts: &[f64], design: f64| counts.iter().sum::<f64>().max(0.5 * design);
    let (b, a) = (total(before, design[0]), total(after, design[1]));
    let ln = (a / m).ln() - (b / n).ln();
    let half =
        z() * (dispersion(before).max(design[0]) / b + dispersion(after).max(design[1]) / a).sqrt();
    Interval::new(ln.exp(), (ln - half).exp(), (ln + half).exp())
}
