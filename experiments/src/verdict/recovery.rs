//! Whether an indicator came back: the first bucket from which it stays inside
//! of its tolerance.

use crate::document::provider::Measure;
use crate::document::scope::Recovery;
use crate::document::tolerance::Limits;
use crate::document::units::Period;
use crate::indicator::series::Series;
use crate::window::BUCKET;

use super::compare;
use super::evidence::Source;
use super::finding::{Reason, Ruling};

/// Buckets of a stretch that must have rows to be judged.
const SEEN: f64 = 0.8;
/// Two points of a metric are no further apart.
const STAY_SEEN: Period = Period::secs(60);
/// What the first buckets of a stay must show by themselves: without it a long
/// good stay would hide a bad beginning.
const ONSET: usize = 3;

/// Whether and when it came back, in buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    After(usize),
    Never,
    /// The stretch is shorter than the stay.
    TooShort,
    /// Too few rows to tell.
    Unseen,
}

fn buckets(length: Period) -> usize {
    usize::try_from(length.nanos() / BUCKET.nanos()).unwrap_or(usize::MAX).max(1)
}

/// The first bucket of a recovery from which it stays within the limits.
pub fn back(measure: &Measure, series: &Series, limits: Limits, expected: Recovery) -> Back {
    let (within, stay) = (buckets(expected.within), buckets(expected.stay));
    // Points of metrics come in their own time. That they did not stop is settled
    // before this is asked.
    let apart = match Source::of(measure.family) {
        Source::Metrics => series.longest_silence().1.min(buckets(STAY_SEEN)) + 1,
        _ => 1,
    };
    let good = |from: usize, length: usize| {
        let part = series.part(from..from + length);
        let seen = part.buckets.iter().filter(|b| b.n > 0.0 || b.value.is_some()).count();
        let wanted = (length / apart).max(1);
        if (seen as f64) < SEEN * wanted as f64 {
            return None;
        }
        let inside = |value: f64| {
            limits.low.is_none_or(|low| value >= low)
                && limits.high.is_none_or(|high| value <= high)
        };
        // Too few to tell is not recovered.
        compare::estimate(measure, &part).ok().map(inside)
    };
    let Some(last) = series.buckets.len().checked_sub(stay) else { return Back::TooShort };
    let mut unseen = 0;
    for from in 0..=last {
        match (good(from, stay), good(from, ONSET.min(stay))) {
            (Some(true), Some(true)) => return Back::After(from),
            (Some(true), None) if from <= within => return Back::After(from),
            (None, _) => unseen += 1,
            _ => {}
        }
    }
    if unseen > last / 2 { Back::Unseen } else { Back::Never }
}

/// `series` is the recovery phase.
pub fn recovered(measure: &Measure, series: &Series, limits: Limits, expected: Recovery) -> Ruling {
    let (within, stay) = (buckets(expected.within), buckets(expected.stay));
    let seconds = |bucket: usize| bucket as f64 * BUCKET.0.as_secs_f64();
    let few = |detail: String| Ruling::inconclusive(Reason::TooFew, detail);
    match back(measure, series, limits, expected) {
        Back::After(from) => {
            let told = format!("inside its tolerance again after {:.0} s", seconds(from));
            if from <= within {
                return Ruling::held(told);
            }
            Ruling::deviated(format!("{told}, expected within {}", expected.within))
        }
        Back::TooShort => {
            few(format!("the recovery is shorter than the stay of {}", expected.stay))
        }
        Back::Unseen => few("too few rows in the recovery to tell whether it came back".into()),
        Back::Never if series.buckets.len() - stay < within => {
            few(format!("not back, and the recovery ends before {} have passed", expected.within))
        }
        Back::Never => Ruling::deviated(format!(
            "not back within the {:.0} s looked at",
            seconds(series.buckets.len())
        )),
    }
}
