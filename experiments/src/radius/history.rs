//! Fault-free time, in pieces: what a phase is compared with where its baseline
//! was not recorded, and what false flags are counted on.

use serde_json::Value;

use crate::indicator::Table;
use crate::judge::HISTORY;
use crate::verdict::calibrate;
use crate::window::{BUCKET, Phases, Span, Window};

/// Buckets of the shortest piece: fewer make no comparison.
const LEAST: u32 = 4;
/// Pieces at most: more say little more, and cost a scan.
const MOST: usize = 120;
/// What a baseline's length is divided by until there are enough pieces.
const SHRINK: [u32; 3] = [1, 2, 3];

/// A day on each side of a run, as far as it is known of: a run that is judged
/// long after has fault-free time behind it too.
pub fn reach(phases: &Phases, judged: i64) -> Span {
    let from = phases.start().saturating_sub(HISTORY.nanos());
    Span::between(from, judged.min(phases.end().saturating_add(HISTORY.nanos())))
}

/// The run itself, which is no history of its own.
pub fn own(phases: &Phases, window: &Window) -> Span {
    let end = phases.end().max(window.recover).saturating_add(BUCKET.nanos());
    Span::between(phases.start().min(window.inject), end)
}

/// Stretches in which anything was recorded and no window lies, oldest first.
/// `table` holds the recorded buckets of `reach`.
pub fn stretches(table: &Table, reach: Span, phases: &Phases, window: &Window) -> Vec<Span> {
    let own = own(phases, window);
    let taken =
        |bucket: Span| own.overlaps(bucket) || window.others.iter().any(|w| w.overlaps(bucket));
    let mut quiet: Vec<Span> = Vec::new();
    for row in &table.rows {
        let Some(at) = row.first().and_then(Value::as_i64) else { continue };
        let bucket =
            Span { from: reach.from.saturating_add(at.saturating_mul(BUCKET.nanos())), buckets: 1 };
        if taken(bucket) {
            continue;
        }
        match quiet.last_mut() {
            Some(last) if last.to() == bucket.from => last.buckets += 1,
            _ => quiet.push(bucket),
        }
    }
    quiet.retain(|span| span.buckets >= LEAST);
    quiet
}

/// Stretches cut into pieces about as long as a baseline, or shorter ones where
/// these are too few to count false flags on.
pub fn pieces(stretches: &[Span], baseline: u32) -> Vec<Span> {
    let cut = |shrink: u32| -> Vec<Span> {
        let length = (baseline / shrink).max(LEAST);
        stretches.iter().flat_map(|span| parts(*span, length)).collect()
    };
    let mut cuts = SHRINK.into_iter().map(cut);
    let first = cuts.next().unwrap_or_default();
    let found = if first.len() >= calibrate::LEAST {
        first
    } else {
        cuts.find(|cut| cut.len() >= calibrate::LEAST).unwrap_or(first)
    };
    // Evenly over all of them.
    let step = found.len().div_ceil(MOST).max(1);
    found.into_iter().step_by(step).collect()
}

fn parts(span: Span, length: u32) -> impl Iterator<Item = Span> {
    let count = (span.buckets / length).max(1);
    let each = span.buckets / count;
    (0..count).map(move |at| Span {
        from: span.from + i64::from(at * each) * BUCKET.nanos(),
        buckets: each,
    })
}
