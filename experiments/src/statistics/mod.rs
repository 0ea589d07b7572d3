//! Comparisons of samples, as pure functions: what the numbers of one phase say
//! beside those of another, with how sure that is. Chance, where it is needed,
//! comes from a seed.
//!
//! The unit is a time bucket, not a span: spans of one trace and one second are
//! not independent. Every interval is at 95 %, so either end of it errs in 2.5
//! of a hundred cases, also where both ends must lie inside of a tolerance.
//!
//! | file | its part |
//! | --- | --- |
//! | [`interval`] | an estimate with its interval, and where that lies |
//! | [`normal`] | the normal and the beta distribution |
//! | [`rank`] | Mann-Whitney, Hodges-Lehmann, A12, dependence of buckets |
//! | [`ratio`] | Wilson, Clopper-Pearson, Newcombe, Fisher, over-dispersion |
//! | [`rate`] | counts in time: rate ratio with dispersion |
//! | [`bootstrap`] | quantiles by moving blocks |
//! | [`multiple`] | Holm, Benjamini-Hochberg |
//! | [`power`] | the smallest effect that can be seen |
//! | [`random`] | the seeded generator |

pub mod bootstrap;
pub mod interval;
pub mod multiple;
pub mod normal;
pub mod power;
pub mod random;
pub mod rank;
pub mod rate;
pub mod ratio;
#[cfg(test)]
mod tests;

pub use interval::{Interval, Standing};

/// The two-sided error of every interval.
pub const ALPHA: f64 = 0.05;

/// The normal quantile that goes with [`ALPHA`], 1.96.
pub fn z() -> f64 {
    normal::quantile(1.0 - ALPHA / 2.0)
}
