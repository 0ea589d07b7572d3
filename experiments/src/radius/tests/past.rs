//! Which fault-free time is taken, and how it is cut.

use serde_json::json;

use super::super::history::{self, History};
use crate::indicator::Table;
use crate::window::{BUCKET, Phases, Span, Window};

const SECOND: i64 = 1_000_000_000;

/// A run of a minute at 10,000 s with a baseline of 45 s, and other windows of
/// three minutes each.
fn run(others: &[i64]) -> (Window, Phases) {
    let window = Window {
        run_id: "r".into(),
        inject: 10_000 * SECOND,
        recover: 10_060 * SECOND,
        uncertainty_ms: 0,
        others: others.iter().map(|at| Span::between(at * SECOND, (at + 180) * SECOND)).collect(),
        aborted: None,
    };
    let phases = Phases {
        baseline: Span { from: 9_955 * SECOND, buckets: 9 },
        injection: Span { from: 10_000 * SECOND, buckets: 12 },
        recovery: Span { from: 10_060 * SECOND, buckets: 0 },
    };
    (window, phases)
}

/// History where something was recorded from these seconds to those.
fn history(others: &[i64], recorded: &[(i64, i64)]) -> History {
    let (window, phases) = run(others);
    let reach = history::reach(&phases, i64::MAX);
    let buckets = recorded.iter().flat_map(|(from, to)| (*from..*to).step_by(5));
    let bucket = |at: i64| vec![json!((at * SECOND - reach.from).div_euclid(BUCKET.nanos()))];
    let table = Table { rows: buckets.map(bucket).collect(), ..Table::default() };
    History::of(&table, reach, &phases, &window)
}

fn within(history: &History, from: i64, to: i64) -> usize {
    let inside = |piece: &&Span| piece.from < to * SECOND && piece.to() > from * SECOND;
    history.pieces.iter().filter(inside).count()
}

/// Scenario: an hour is recorded, with another window in it.
/// Guarantees: pieces are as long as a baseline, no more than forty, over all of
/// the hour, a minute away from the other window and from the run.
#[test]
fn history_keeps_away_from_windows() {
    let found = history(&[8_000], &[(7_000, 11_000)]);
    assert_eq!((found.pieces.len(), found.margin), (40, 60 * SECOND));
    assert!(found.pieces.iter().all(|piece| piece.buckets == 9));
    assert_eq!(within(&found, 8_000 - 60, 8_180 + 60), 0);
    assert_eq!(within(&found, 9_940, 10_120), 0);
    assert!(within(&found, 7_000, 7_900) > 5 && within(&found, 10_125, 11_000) > 5);
}

/// Scenario: little is recorded, always right before another window.
/// Guarantees: pieces are cut shorter first, then overlap, and only where neither
/// gives enough do they come nearer; what is asked of the engine never overlaps.
#[test]
fn little_history_is_used_up() {
    let others: Vec<i64> = (0..10).map(|at| 1_000 + at * 600).collect();
    let before =
        |seconds: i64| -> Vec<(i64, i64)> { others.iter().map(|at| (at - seconds, *at)).collect() };
    let shorter = history(&others, &before(150));
    assert_eq!((shorter.pieces[0].buckets, shorter.margin), (4, 60 * SECOND));
    let overlapping = history(&others, &before(100));
    assert_eq!((overlapping.pieces[0].buckets, overlapping.margin), (4, 60 * SECOND));
    assert!(overlapping.pieces.windows(2).any(|pair| pair[0].overlaps(pair[1])));
    let nearer = history(&others, &before(70));
    assert_eq!(nearer.margin, 30 * SECOND);
    for found in [shorter, overlapping, nearer] {
        assert!(found.pieces.len() >= 30, "{found:?}");
        assert!(found.asked().windows(2).all(|pair| !pair[0].overlaps(pair[1])));
    }
    assert!(history(&others, &before(20)).pieces.len() < 30);
}

/// Scenario: a day of one service, with pauses, and with another window in it; an
/// hour of it.
/// Guarantees: of the day as much is taken as forty runs are long, whole runs and
/// over all of it; of the hour everything. Short pauses break nothing, long ones
/// do, and nothing that is taken is bridged.
#[test]
fn history_of_an_indicator_is_bounded() {
    let reach = Span { from: 0, buckets: 17_280 };
    let of = |told: &dyn Fn(i64) -> bool, taken: &[Span], needed| {
        let rows = (0..17_280).filter(|at| told(*at)).map(|at| vec![json!(at)]).collect();
        let table = Table { rows, ..Table::default() };
        History::of_runs(&table, reach, taken, needed)
    };
    let day = of(&|_| true, &[], 183);
    assert_eq!(day.len(), 40);
    assert!(day.iter().all(|piece| piece.buckets == 183));
    assert!(day[0].from == 0 && day[39].to() > reach.to() / 10 * 9);
    let hour = of(&|at| (600..1_320).contains(&at), &[], 183);
    assert_eq!(hour, [Span { from: 600 * BUCKET.nanos(), buckets: 720 }]);
    let paused = of(&|at| at < 900 && at % 6 == 0 || (950..1_000).contains(&at), &[], 183);
    assert_eq!(paused.iter().map(|piece| piece.buckets).collect::<Vec<_>>(), [895, 50]);
    let other = Span { from: 603 * BUCKET.nanos(), buckets: 1 };
    let cut = of(&|at| at < 900 && at % 6 == 0, &[other], 183);
    assert_eq!(cut.iter().map(|piece| piece.buckets).collect::<Vec<_>>(), [601, 289]);
    assert!(of(&|_| false, &[], 183).is_empty());
    assert_eq!(History::all(reach, &[other]).len(), 2);
}
