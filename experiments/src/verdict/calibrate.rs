//! A/A calibration: how often an indicator would have been called moved where
//! nothing was injected. Nominal p-values are not to be trusted; intervals are
//! widened until the family of them errs in at most 5 % of fault-free windows.

use crate::document::provider::Measure;
use crate::indicator::series::Series;
use crate::statistics::{ALPHA, Interval};
use crate::window::{BUCKET, Phases, Span};

use super::compare;

/// Pseudo-windows without which nothing is known of the false-flag rate.
pub const LEAST: usize = 30;
/// Pseudo-windows at most: they slide, so more say little more.
pub const MOST: usize = 240;
/// An indicator whose intervals must be widened more is of no use to stop a run.
pub const UNUSABLE: f64 = 5.0;

/// Where no stretch of history is as long as a run, its lengths are divided by
/// these; shorter windows are noisier, and intervals are judged by their own width.
const SHRINK: [usize; 3] = [1, 2, 3];

/// What the history of an indicator says of its noise.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Calibration {
    pub pseudo_windows: usize,
    /// What the run's lengths were divided by to find as many.
    pub shrunk: usize,
    /// Share of them that nominal intervals would have flagged.
    pub nominal_rate: f64,
    /// The share after widening.
    pub rate: f64,
    /// By how much intervals are widened, at least 1.
    pub widen: f64,
}

impl Calibration {
    pub fn is_calibrated(&self) -> bool {
        self.pseudo_windows >= LEAST
    }

    pub fn is_usable(&self) -> bool {
        self.is_calibrated() && self.widen <= UNUSABLE
    }
}

/// Slides a window of the run's own lengths over fault-free stretches.
/// `family` is how many indicators are judged together.
pub fn calibrate(
    measure: &Measure,
    history: &[Series],
    beside: Option<Beside<'_>>,
    phases: &Phases,
    family: usize,
) -> Calibration {
    let mut best = None;
    for shrunk in SHRINK {
        let found = at_scale(measure, history, beside, phases, family, shrunk);
        if found.is_calibrated() {
            return found;
        }
        best = best.or(Some(found));
    }
    // Stretches too short for a run: a window across several is noisier than one
    // within, never quieter.
    let joined = [beside.map(|beside| Series::joined(beside.stretches())).unwrap_or_default()];
    let beside = beside.map(|beside| beside.instead(&joined));
    let found = at_scale(measure, &[Series::joined(history)], beside, phases, family, 1);
    if found.is_calibrated() {
        return found;
    }
    best.unwrap_or(Calibration {
        pseudo_windows: 0,
        shrunk: 1,
        nominal_rate: 0.0,
        rate: 0.0,
        widen: 1.0,
    })
}

/// What else a move is taken against, in the same stretches of history.
#[derive(Debug, Clone, Copy)]
pub enum Beside<'a> {
    /// The time that the baseline is like: it takes the place of what came before.
    Season(&'a [Series]),
    /// The control, whose move is taken off.
    Control(&'a [Series]),
}

impl<'a> Beside<'a> {
    fn stretches(self) -> &'a [Series] {
        match self {
            Beside::Season(stretches) | Beside::Control(stretches) => stretches,
        }
    }

    fn instead(self, stretches: &[Series]) -> Beside<'_> {
        match self {
            Beside::Season(_) => Beside::Season(stretches),
            Beside::Control(_) => Beside::Control(stretches),
        }
    }
}

/// What a pseudo-window is made of, in buckets.
struct Lengths {
    before: usize,
    /// Where what is compared with that begins.
    after_from: usize,
    whole: usize,
}

impl Lengths {
    fn of(phases: &Phases, seasonal: bool, shrunk: usize) -> Lengths {
        let length = |span: Span| match span.buckets as usize {
            0 => 0,
            buckets => (buckets / shrunk).max(compare::LEAST_BUCKETS),
        };
        let (before, after) = (length(phases.baseline), length(phases.injection));
        let settle = phases.injection.from.saturating_sub(phases.baseline.to()).max(0)
            / BUCKET.nanos()
            / shrunk as i64;
        let after_from = if seasonal { 0 } else { before + settle as usize };
        // Of what is empty there is no window.
        let whole = if before > 0 && after > 0 { after_from + after } else { 0 };
        Lengths { before, after_from, whole }
    }
}

/// Buckets of fault-free time that one pseudo-window takes: no piece of history
/// needs to be longer.
pub fn needed(phases: &Phases) -> u32 {
    let lengths = Lengths::of(phases, phases.season().is_some(), 1);
    u32::try_from(lengths.whole).unwrap_or(u32::MAX)
}

fn at_scale(
    measure: &Measure,
    history: &[Series],
    beside: Option<Beside<'_>>,
    phases: &Phases,
    family: usize,
    shrunk: usize,
) -> Calibration {
    let seasonal = matches!(beside, Some(Beside::Season(_)));
    let Lengths { before, after_from, whole } = Lengths::of(phases, seasonal, shrunk);
    let mut starts: Vec<(usize, usize)> = Vec::new();
    if whole > 0 {
        for (index, stretch) in history.iter().enumerate() {
            let last = (stretch.buckets.len() + 1).saturating_sub(whole);
            starts.extend((0..last).map(|start| (index, start)));
        }
    }
    // Evenly over all of them, never two at one place.
    let step = starts.len().div_ceil(MOST).max(1);
    let mut scores: Vec<f64> = starts
        .iter()
        .step_by(step)
        .filter_map(|(index, start)| {
            let stretch = &history[*index];
            let moved = |from: &Series, to: &Series| {
                let quiet = from.part(*start..start + before);
                let same = to.part(start + after_from..start + whole);
                compare::shift(measure, &quiet, &same, 1.0).ok()
            };
            let shift = match beside {
                None => moved(stretch, stretch)?,
                Some(Beside::Season(then)) => moved(then.get(*index)?, stretch)?,
                Some(Beside::Control(others)) => {
                    let other = others.get(*index)?;
                    compare::less(measure, moved(stretch, stretch)?, &moved(other, other)?)
                }
            };
            score(&shift.moved)
        })
        .collect();
    scores.sort_by(f64::total_cmp);
    let n = scores.len();
    let rate =
        |limit: f64| scores.iter().filter(|score| **score > limit).count() as f64 / n.max(1) as f64;
    // Each member may err so much that the family errs in 5 %.
    let allowed = ALPHA / family.max(1) as f64;
    let spare = (allowed * n as f64).floor() as usize;
    let threshold = scores.get(n.saturating_sub(spare + 1)).copied().unwrap_or(f64::INFINITY);
    let widen = threshold.max(1.0);
    Calibration { pseudo_windows: n, shrunk, nominal_rate: rate(1.0), rate: rate(widen), widen }
}

/// How many half-widths an interval is away from nothing having moved.
fn score(moved: &Interval) -> Option<f64> {
    // Equal values on both sides: no noise, though no width either.
    if moved.estimate == 0.0 {
        return Some(0.0);
    }
    let half = match moved.estimate > 0.0 {
        true => moved.estimate - moved.low,
        false => moved.high - moved.estimate,
    };
    Some(moved.estimate.abs() / half).filter(|score| !score.is_nan())
}
