//! The smallest effect that samples can show, in four of five runs.

use super::interval::Interval;
use super::{normal, z};

const POWER: f64 = 0.8;

/// What a difference must be for its interval to leave out zero.
pub fn detectable(interval: &Interval) -> f64 {
    let half = (interval.high - interval.low) / 2.0;
    half * (z() + normal::quantile(POWER)) / z()
}

/// The ratio that `n` samples tell from a ratio of `base`, less `base`. At most
/// what is left to 1.
pub fn detectable_ratio(n: f64, base: f64) -> f64 {
    let reach = (z() + normal::quantile(POWER)).powi(2) / n.max(f64::MIN_POSITIVE);
    let (mut low, mut high) = (base, 1.0);
    // d² = reach · p(1 - p) at p = base + d.
    for _ in 0..60 {
        let p = f64::midpoint(low, high);
        if (p - base).powi(2) < reach * p * (1.0 - p) { low = p } else { high = p }
    }
    high - base
}
