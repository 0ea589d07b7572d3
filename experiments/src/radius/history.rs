//! Fault-free time, in pieces: what a phase is compared with, and what false
//! flags are counted on.

use serde_json::Value;

use crate::document::units::Period;
use crate::indicator::Table;
use crate::judge::HISTORY;
use crate::verdict::calibrate;
use crate::window::{BUCKET, Phases, Span, Window};

/// Buckets of the shortest piece: fewer make no comparison.
const LEAST: u32 = 4;
/// Buckets of the longest piece: many short ones say more than few long ones.
const LONGEST: u32 = 12;
/// Pieces at most, so that a day costs no more than a little of it does.
const MOST: usize = 40;
/// Empty buckets that break a stretch of one service's time: nothing was recorded there.
pub const BREAK: usize = 6;
/// The same where they overlap, which costs no scan.
const MOST_OVERLAPPING: usize = 80;
/// What a piece's length is divided by until there are enough.
const SHRINK: [u32; 3] = [1, 2, 3];
/// How far from other windows history lies. Edges are told by people and tools,
/// faults are prepared and cleaned up, and telemetry lags: within a minute of a
/// window little is surely fault-free. Less is kept away where that leaves too
/// little of it.
const MARGINS: [Period; 3] = [Period::secs(60), Period::secs(30), Period::secs(0)];

/// Fault-free time around a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// What false flags are counted on, oldest first, all of one length. They
    /// overlap where there is little.
    pub pieces: Vec<Span>,
    /// What it keeps away from other windows, in nanoseconds.
    pub margin: i64,
}

impl History {
    /// `recorded` holds the buckets of `reach` in which anything was recorded.
    pub fn of(recorded: &Table, reach: Span, phases: &Phases, window: &Window) -> History {
        let length = phases.baseline.buckets.min(LONGEST);
        let of = |margin: Period| {
            let taken = taken(phases, window, margin.nanos());
            let pieces = pieces(&stretches(told(recorded), reach, &taken, 0), length);
            History { pieces, margin: margin.nanos() }
        };
        let mut all = MARGINS.into_iter().map(of);
        let enough = |history: &History| history.pieces.len() >= calibrate::LEAST;
        all.clone().find(enough).or_else(|| all.next_back()).unwrap_or_default()
    }

    /// What one indicator of one service is calibrated on, for runs of `needed`
    /// buckets: all of a short history, and of a long one no more than so many runs
    /// of it take.
    pub fn of_runs(recorded: &Table, reach: Span, taken: &[Span], needed: u32) -> Vec<Span> {
        let whole = stretches(told(recorded), reach, taken, BREAK as u32 - 1);
        let runs: Vec<Span> =
            whole.iter().flat_map(|span| parts(*span, needed.max(1), needed.max(1))).collect();
        if runs.len() <= MOST { whole } else { evenly(runs, MOST) }
    }

    /// All that is not taken, for what is told by few points.
    pub fn all(reach: Span, taken: &[Span]) -> Vec<Span> {
        stretches(0..i64::from(reach.buckets), reach, taken, 0)
    }

    /// What is asked of the engine.
    pub fn asked(&self) -> Vec<Span> {
        joined(&self.pieces)
    }
}

/// Pieces without their overlaps.
pub fn joined(pieces: &[Span]) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if piece.from <= last.to() => {
                *last = Span::between(last.from, piece.to());
            }
            _ => joined.push(*piece),
        }
    }
    joined
}

/// Those pieces that do not overlap.
pub fn apart(pieces: &[Span]) -> Vec<Span> {
    let mut apart: Vec<Span> = Vec::new();
    for piece in pieces {
        if apart.last().is_none_or(|last| last.to() <= piece.from) {
            apart.push(*piece);
        }
    }
    apart
}

/// A day on each side of a run, as far as it is known of: a run that is judged
/// long after has fault-free time behind it too.
pub fn reach(phases: &Phases, judged: i64) -> Span {
    let from = phases.start().saturating_sub(HISTORY.nanos());
    Span::between(from, judged.min(phases.end().saturating_add(HISTORY.nanos())))
}

/// Where no history is: the run itself, other windows, and `margin` around them.
pub fn taken(phases: &Phases, window: &Window, margin: i64) -> Vec<Span> {
    let around = |from: i64, to: i64| {
        let to = to.saturating_add(margin).saturating_add(BUCKET.nanos() - 1);
        Span::between(from.saturating_sub(margin), to)
    };
    let end = phases.end().max(window.recover);
    // What lies before the injection is near to it even if no baseline is planned.
    let begin = phases.start().min(window.inject.saturating_sub(margin));
    let mut taken = vec![around(begin.saturating_add(margin), end)];
    taken.extend(window.others.iter().map(|other| around(other.from, other.to())));
    taken
}

/// The buckets in which anything was recorded.
fn told(recorded: &Table) -> impl Iterator<Item = i64> {
    recorded.rows.iter().filter_map(|row| row.first().and_then(Value::as_i64))
}

/// Stretches of buckets that were told and are not taken, oldest first. Up to
/// `pause` empty buckets do not break one.
fn stretches(
    told: impl Iterator<Item = i64>,
    reach: Span,
    taken: &[Span],
    pause: u32,
) -> Vec<Span> {
    let mut quiet: Vec<Span> = Vec::new();
    let is_taken = |span: Span| taken.iter().any(|taken| taken.overlaps(span));
    for at in told {
        let bucket =
            Span { from: reach.from.saturating_add(at.saturating_mul(BUCKET.nanos())), buckets: 1 };
        if is_taken(bucket) {
            continue;
        }
        match quiet.last_mut() {
            Some(last) => {
                let between = Span::between(last.to(), bucket.from);
                match between.buckets <= pause && !is_taken(between) {
                    true => last.buckets += between.buckets + 1,
                    false => quiet.push(bucket),
                }
            }
            None => quiet.push(bucket),
        }
    }
    quiet
}

/// Stretches cut into pieces of `length` buckets, shorter ones where these are
/// too few to count false flags on, and overlapping ones where those are.
pub fn pieces(stretches: &[Span], length: u32) -> Vec<Span> {
    let cut = |length: u32, step: u32| -> Vec<Span> {
        stretches.iter().flat_map(|span| parts(*span, length, step)).collect()
    };
    let each = SHRINK.map(|shrink| (length / shrink).max(LEAST));
    let apart = each.into_iter().map(|length| cut(length, length));
    for found in apart {
        if found.len() >= calibrate::LEAST {
            return evenly(found, MOST);
        }
    }
    evenly(cut(each[SHRINK.len() - 1], 1), MOST_OVERLAPPING)
}

fn parts(span: Span, length: u32, step: u32) -> impl Iterator<Item = Span> {
    let count = (span.buckets + step).saturating_sub(length) / step;
    (0..count).map(move |at| Span {
        from: span.from + i64::from(at * step) * BUCKET.nanos(),
        buckets: length,
    })
}

/// At most so many, spread over all of them.
fn evenly(found: Vec<Span>, most: usize) -> Vec<Span> {
    let n = found.len();
    if n <= most {
        return found;
    }
    (0..most).filter_map(|at| found.get(at * n / most).copied()).collect()
}
