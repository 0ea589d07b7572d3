//! Whether an indicator came back: the first bucket from which it stays inside
//! of its tolerance.

use crate::document::provider::Measure;
use crate::document::scope::Recovery;
use crate::document::tolerance::Limits;
use crate::indicator::series::Series;
use crate::window::BUCKET;

use super::compare;
use super::finding::{Reason, Ruling};

/// Buckets of a stretch that must have rows to be judged.
const SEEN: f64 = 0.8;
/// What the first buckets of a stay must show by themselves: without it a long
/// good stay would hide a bad beginning.
const ONSET: usize = 3;

/// `series` is the recovery phase.
pub fn recovered(measure: &Measure, series: &Series, limits: Limits, expected: Recovery) -> Ruling {
    let buckets =
        |length: crate::document::units::Period| (length.nanos() / BUCKET.nanos()).max(1) as usize;
    let (within, stay) = (buckets(expected.within), buckets(expected.stay));
    let seconds = |bucket: usize| bucket as f64 * BUCKET.0.as_secs_f64();
    let good = |from: usize, length: usize| {
        let part = series.part(from..from + length);
        let seen = part.buckets.iter().filter(|b| b.n > 0 || b.value.is_some()).count();
        if (seen as f64) < SEEN * length as f64 {
            return None;
        }
        let inside = |value: f64| {
            limits.low.is_none_or(|low| value >= low)
                && limits.high.is_none_or(|high| value <= high)
        };
        // Too few to tell is not recovered.
        compare::estimate(measure, &part).ok().map(inside)
    };
    let last = series.buckets.len().checked_sub(stay);
    let Some(last) = last else {
        let detail = format!("the recovery is shorter than the stay of {}", expected.stay);
        return Ruling::inconclusive(Reason::TooFew, detail);
    };
    let mut unseen = 0;
    for from in 0..=last {
        match (good(from, stay), good(from, ONSET.min(stay))) {
            (Some(true), Some(true)) | (Some(true), None) if from <= within => {
                return Ruling::held(format!(
                    "inside its tolerance again after {:.0} s",
                    seconds(from)
                ));
            }
            (Some(true), Some(true)) => {
                return Ruling::deviated(format!(
                    "inside its tolerance again after {:.0} s, expected within {}",
                    seconds(from),
                    expected.within
                ));
            }
            (None, _) => unseen += 1,
            _ => {}
        }
    }
    if unseen > last / 2 {
        let detail = "too few rows in the recovery to tell whether it came back";
        return Ruling::inconclusive(Reason::TooFew, detail);
    }
    if last < within {
        let detail =
            format!("not back, and the recovery ends before {} have passed", expected.within);
        return Ruling::inconclusive(Reason::TooFew, detail);
    }
    Ruling::deviated(format!(
        "not back within the {:.0} s looked at",
        seconds(series.buckets.len())
    ))
}
