use async_trait::async_trait;
use futures::executor::block_on;
use serde_json::{Value, json};

use super::*;

/// Answers every column with a number of its own.
struct Counted(&'static [(&'static str, Value)]);

#[async_trait]
impl Ask for Counted {
    async fn ask(&self, _: &str) -> Result<Table, Error> {
        let columns = self.0.iter().map(|(name, _)| name.to_string()).collect();
        let row = self.0.iter().map(|(_, value)| value.clone()).collect();
        Ok(Table { columns, rows: vec![row], ..Table::default() })
    }
}

/// Scenario: a day with repeated rows; one in which a tenth of the spans have no
/// parent, within whole traces and in traces that begin elsewhere; logs of which
/// half belong to no trace.
/// Guarantees: what is doubled is torn and no worse, what is lost is broken, what
/// begins elsewhere is so only when it did not before, and what cannot be joined
/// to traces is torn.
#[test]
fn what_is_lost_is_worse_than_what_is_doubled() {
    let day =
        Spans { spans: 328_848, traces: 4_483, roots: 4_590, repeated: 7_780, ..Spans::default() };
    assert_eq!(day.grade(), Grade::Torn);
    assert_eq!(Spans { repeated: 0, ..day.clone() }.grade(), Grade::Whole);
    assert_eq!(Spans { orphans: 33_000, lost: 33_000, ..day.clone() }.grade(), Grade::Broken);
    // Parents that are recorded nowhere are a habit, unless they once were.
    let browsers = Spans { orphans: 33_000, rootless: 4_000, ..day.clone() };
    assert_eq!((browsers.grade(), browsers.beside(&browsers)), (Grade::Torn, Grade::Torn));
    assert_eq!(browsers.beside(&day), Grade::Broken);
    assert_eq!(Spans { early: 89, late: 9_379, repeated: 0, ..day }.grade(), Grade::Whole);
    let logs = Logs { records: 100, without_trace: 50, ..Logs::default() };
    assert_eq!((logs.grade(), Logs { unnamed: 50, ..logs }.grade()), (Grade::Torn, Grade::Broken));
}

/// Scenario: answers with a NULL for a sum over nothing, with text for a count,
/// and without a column.
/// Guarantees: only the first is a zero.
#[test]
fn inv_j2_what_is_no_count_is_no_zero() {
    let table =
        |value| Table { columns: vec!["n".into()], rows: vec![vec![value]], ..Table::default() };
    assert_eq!(count(&table(Value::Null), "n"), Ok(0));
    assert_eq!(count(&table(json!(7)), "n"), Ok(7));
    assert!(count(&table(json!("many")), "n").is_err());
    assert!(count(&table(json!(7)), "m").is_err());
    let span = Span { from: 0, buckets: 3 };
    let some = Counted(&[("spans", Value::Null)]);
    assert!(block_on(check(span, 1, &some)).unwrap_err().to_string().contains("has no repeated"));
}

/// Scenario: metrics of which points do not come, counters fall, attributes are
/// given up, units change, nobody is named, series stand still, multiply, or whole
/// services fall silent.
/// Guarantees: what is lost or means something else is broken from a twentieth on,
/// what is odd is torn and no worse, and silence and growth are told beside what is
/// usual.
#[test]
fn metrics_are_graded_by_their_own_cadence() {
    let good = Metrics { points: 1_000, series: 50, services: 10, names: 20, ..Metrics::default() };
    assert_eq!((good.grade(), good.beside(&good)), (Grade::Whole, Grade::Whole));
    type Change = (&'static str, fn(&mut Metrics, u64));
    let changes: [Change; 5] = [
        ("missing", |metrics, n| metrics.missing = n),
        ("resets", |metrics, n| metrics.resets = n),
        ("overflowed", |metrics, n| metrics.overflowed = n),
        ("unnamed", |metrics, n| metrics.unnamed = n),
        ("drifted", |metrics, n| metrics.drifted = n.min(2)),
    ];
    for (name, change) in changes {
        let mut spoiled = good.clone();
        change(&mut spoiled, 100);
        assert_eq!(spoiled.grade(), Grade::Broken, "{name}");
    }
    assert_eq!(Metrics { missing: 10, ..good.clone() }.grade(), Grade::Torn);
    assert_eq!(Metrics { repeated: 900, frozen: 40, ..good.clone() }.grade(), Grade::Torn);
    assert_eq!(Metrics { services: 9, ..good.clone() }.beside(&good), Grade::Broken);
    assert_eq!(Metrics { services: 12, ..good.clone() }.beside(&good), Grade::Whole);
    assert_eq!(Metrics { series: 500, ..good.clone() }.beside(&good), Grade::Torn);
    assert_eq!(Metrics::default().beside(&good), Grade::Broken);
}

/// Scenario: clocks that differ by little and by a bucket, calls that are not answered
/// as ever and no more, attributes that are not told any more, of errors and others,
/// names without end, and items that senders gave up or cut.
/// Guarantees: what hides a fault or puts it into another part of the run is broken,
/// what is odd is torn and no worse, and a habit is none of it.
#[test]
fn what_hides_a_fault_is_broken() {
    let good =
        Spans { spans: 1_000, traces: 100, pairs: 10, calls: 500, keys: 40, ..Spans::default() };
    let spans = |change: fn(&mut Spans)| {
        let mut spans = good.clone();
        change(&mut spans);
        (spans.grade(), spans.beside(&good))
    };
    let (whole, torn, broken) = (Grade::Whole, Grade::Torn, Grade::Broken);
    assert_eq!(spans(|_| {}), (whole, whole));
    assert_eq!(spans(|spans| spans.skewed = 10), (whole, whole));
    assert_eq!(spans(|spans| spans.apart = 1), (broken, broken));
    assert_eq!(spans(|spans| spans.unanswered = 50), (whole, broken));
    assert_eq!(spans(|spans| spans.gone = 20), (torn, torn));
    assert_eq!(spans(|spans| spans.blind = 1), (broken, broken));
    assert_eq!(spans(|spans| spans.grown = 1), (torn, torn));
    assert_eq!(spans(|spans| spans.refused = 100), (broken, broken));
    assert_eq!(spans(|spans| spans.cut = 900), (torn, torn));
    let usual = Spans { unanswered: 490, ..good.clone() };
    assert_eq!(usual.beside(&usual), whole);
    let logs = Logs { records: 100, ..Logs::default() };
    assert_eq!(Logs { cut: 90, ..logs.clone() }.grade(), torn);
    assert_eq!(Logs { refused: 10, ..logs }.grade(), broken);
    let metrics = Metrics { points: 100, series: 5, services: 1, names: 5, ..Metrics::default() };
    assert_eq!(Metrics { refused: 10, ..metrics }.grade(), broken);
}
