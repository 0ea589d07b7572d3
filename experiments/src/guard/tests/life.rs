use serde_json::json;

use super::*;
use crate::guard::asked;
use crate::guard::ring::Ring;
use crate::indicator::Table;
use crate::tap::Losses;

const T: i64 = 1_795_168_800 * SECOND;
const ERRORS: &str =
    "{service: shop, indicator: error_ratio, when: \"> 0.05\", for: 2s, min-samples: 5}";

pub fn table(columns: &[&str], rows: serde_json::Value) -> Table {
    Table {
        columns: columns.iter().map(|name| name.to_string()).collect(),
        rows: rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect(),
        ..Table::default()
    }
}

pub const CELLS: [&str; 5] = ["second", "cell", "n", "errors", "traced"];

/// A watcher with its flow, and rows that come as a second of them at a time.
pub struct Stage {
    pub watcher: Watcher,
    pub flow: Flow,
    pub now: i64,
    next: u64,
}

impl Stage {
    pub fn new(guards: &str) -> Stage {
        let watcher = Watcher::new("run", experiment(guards), T, T);
        Stage { watcher, flow: Flow::new(T, Losses::default()), now: T, next: 0 }
    }

    /// Everything that is asked is answered: with no row, and `usual` requests a
    /// second of shop beside as many of others.
    pub fn answer(&mut self, usual: u64) -> usize {
        let questions = self.watcher.questions(self.now);
        let asked = questions.len();
        for question in questions {
            let Question::Sql(want, _) = question else { panic!("{question:?}") };
            let told = match &want {
                Want::Cells(..) | Want::Total(..) => table(&CELLS, json!([])),
                Want::Usual(_) => table(&["bucket", "n", "hits"], json!([[0, usual * 600, 0]])),
                Want::Flowed(_) => table(
                    &["service_name", "bucket", "n"],
                    json!([["shop", 0, usual * 600], ["cart", 0, usual * 600]]),
                ),
                other => panic!("{other:?}"),
            };
            self.watcher.answered(want, Answer::Table(Ok(told)), self.now, self.now);
        }
        asked
    }

    /// So many requests of a service arrive now, some of them failed.
    pub fn arrive(&mut self, service: &'static str, count: u64, errors: u64) {
        let rows: Vec<Row> = (0..count)
            .map(|at| Row {
                error: at < errors,
                duration: 1_000_000 * (10 + at as i64),
                ..Row::served(
                    service,
                    {
                        self.next += 1;
                        self.next
                    },
                    self.now,
                )
            })
            .collect();
        let heard = hear(&watch(&self.watcher), "spans", &rows);
        self.flow.take(&heard);
        self.watcher.take(&heard);
    }

    pub fn evaluate(&mut self) -> (Decision, Vec<Fired>) {
        self.watcher.evaluate(&self.flow, self.now)
    }

    /// Lets a second pass and looks.
    pub fn second(&mut self, shop: (u64, u64), cart: u64) -> Decision {
        self.now += SECOND;
        if shop.0 > 0 {
            self.arrive("shop", shop.0, shop.1);
        }
        if cart > 0 {
            self.arrive("cart", cart, 0);
        }
        self.evaluate().0
    }

    /// Listening, with everything known that is asked for at the start.
    pub fn settled(guards: &str, usual: u64) -> Stage {
        let mut stage = Stage::new(guards);
        for _ in 0..12 {
            stage.second((usual, 0), usual);
            stage.answer(usual);
        }
        stage
    }
}

/// Scenario: a guard is opened, is told what it did not hear, and sees traffic
/// in health and then with errors.
/// Guarantees: it cannot tell before it knows; it stops after `for` and not
/// before, says value and samples, fires once, and stays stopped.
#[test]
fn a_guard_stops_a_run_and_stays() {
    let mut stage = Stage::new(ERRORS);
    let first = stage.second((10, 0), 10);
    assert_eq!(
        (first.verdict, first.reason.as_deref()),
        (Verdict::CannotTell, Some("pipeline_gap"))
    );
    let mut stage = Stage::settled(ERRORS, 10);
    let (go, fired) = stage.evaluate();
    assert_eq!((go.verdict, go.value, fired.len()), (Verdict::Go, Some(0.0), 0));
    assert_eq!(stage.second((10, 10), 10).verdict, Verdict::Go);
    assert_eq!(stage.second((10, 10), 10).verdict, Verdict::Go);
    stage.now += SECOND;
    let (stop, fired) = stage.evaluate();
    assert_eq!((stop.verdict, stop.reason.as_deref()), (Verdict::Stop, Some("threshold")));
    assert!(stop.value.unwrap() > 0.05 && stop.n >= 20, "{stop:?}");
    assert_eq!(
        (fired.len(), fired[0].shadow, &fired[0].action[..]),
        (1, false, &["deny".to_owned()][..])
    );
    for _ in 0..30 {
        let (after, again) = {
            stage.second((10, 0), 10);
            stage.evaluate()
        };
        assert_eq!((after.verdict, again.len()), (Verdict::Stop, 0));
    }
}

/// Scenario: errors that last for less than `for`; a shadow guard that fires.
/// Guarantees: the first stops nothing; the second is told and stops nothing.
#[test]
fn short_errors_and_shadow_guards_stop_nothing() {
    let mut stage = Stage::settled(&ERRORS.replace("for: 2s", "window: 1s, for: 2s"), 10);
    for at in 0..12 {
        let bad = if at % 3 == 0 { 10 } else { 0 };
        assert_ne!(stage.second((10, bad), 10).verdict, Verdict::Stop);
    }
    let shadow = ERRORS.replace("for: 2s", "for: 0s, mode: shadow");
    let mut stage = Stage::settled(&shadow, 10);
    stage.now += SECOND;
    stage.arrive("shop", 20, 20);
    let (decision, fired) = stage.evaluate();
    assert_eq!(decision.verdict, Verdict::Go);
    assert!(fired[0].shadow && fired[0].decision.verdict == Verdict::Stop);
}

/// Scenario: batches that were never counted, then an answer by SQL.
/// Guarantees: the guard cannot tell while rows are missing, stops all the same
/// when what it has says so, and counts what was asked for in place of it.
#[test]
fn missed_rows_are_asked_for() {
    let mut stage = Stage::settled(ERRORS, 10);
    let miss = |stage: &mut Stage| {
        stage.now += SECOND;
        assert!(stage.flow.lost(Losses { missed: stage.now as u64, refused: 0 }, stage.now));
        stage.watcher.lost(stage.now);
    };
    miss(&mut stage);
    assert_eq!(stage.evaluate().0.verdict, Verdict::CannotTell);
    assert_eq!(stage.answer(10), 0, "rows of this second are not visible yet");
    for _ in 0..11 {
        stage.second((10, 0), 10);
        stage.answer(10);
    }
    assert_eq!(stage.evaluate().0.verdict, Verdict::Go);
    miss(&mut stage);
    for _ in 0..4 {
        stage.second((10, 10), 10);
    }
    assert_eq!(stage.evaluate().0.verdict, Verdict::Stop);
}

/// Scenario: a guard that counts since the injection, found again after a restart.
/// Guarantees: nothing before the injection counts; what SQL tells is added to
/// what was heard since, each once.
#[test]
fn a_count_since_the_injection_outlives_a_restart() {
    let guard = "{service: shop, indicator: errors, since: inject, when: \"> 500\", for: 0s}";
    let mut stage = Stage::settled(guard, 10);
    assert_eq!(stage.evaluate().0.verdict, Verdict::Go);
    // Injected a minute ago, by a daemon that is no more.
    let inject = stage.now - 60 * SECOND;
    stage.watcher.injected(inject, stage.now);
    stage.second((10, 10), 0);
    let mut whole = 0;
    for _ in 0..4 {
        stage.second((10, 10), 0);
        for question in stage.watcher.questions(stage.now) {
            let Question::Sql(want, sql) = question else { panic!() };
            let told = match &want {
                Want::Cells(..) => table(&CELLS, json!([])),
                Want::Total(_, upto) => {
                    assert!(sql.contains(&format!(">= {inject}")), "{sql}");
                    whole = *upto;
                    table(&CELLS, json!([[0, 1700, 400, 400, 400, 0], [0, 1710, 80, 80, 80, 0]]))
                }
                other => panic!("{other:?}"),
            };
            stage.watcher.answered(want, Answer::Table(Ok(told)), stage.now, stage.now);
        }
    }
    let heard = (stage.now - whole) / SECOND + 1;
    let decision = stage.evaluate().0;
    assert_eq!(decision.value, Some(480.0 + 10.0 * heard as f64), "{decision:?}");
    stage.second((50, 50), 0);
    assert_eq!(stage.evaluate().0.verdict, Verdict::Stop);
}

/// Scenario: an indicator that no row alone tells, asked by SQL: answers in
/// tolerance, an error, NaN, none any more.
/// Guarantees: each asks a statement of its window; what is no number is blind.
#[test]
fn edges_and_queries_are_asked_for() {
    let edge = "{edge: shop->pay, indicator: gap_p50, when: \"> 300ms\", for: 0s, min-samples: 3}";
    let sql =
        "{name: q, provider: {type: sql, query: SELECT 1, result: scalar}, when: \"> 5\", for: 0s}";
    for (guard, columns, fine, bad, broken) in [
        (
            edge,
            &["bucket", "cell", "n"][..],
            json!([[0, 1600, 5], [1, 1610, 5]]),
            json!([[0, 2000, 5], [1, 2010, 5]]),
            json!([[0, "x", 5]]),
        ),
        (sql, &["v"][..], json!([[1]]), json!([[6]]), json!([["NaN"]])),
    ] {
        let mut stage = Stage::settled("{service: shop, indicator: rate, when: \"< 1\"}", 10);
        stage.watcher = Watcher::new("run", experiment(guard), T, stage.now);
        assert_eq!(stage.second((0, 0), 10).verdict, Verdict::CannotTell);
        for (rows, expected) in
            [(fine, Verdict::Go), (broken, Verdict::CannotTell), (bad, Verdict::Stop)]
        {
            stage.now += 6 * SECOND;
            stage.arrive("cart", 10, 0);
            let questions = stage.watcher.questions(stage.now);
            assert_eq!(questions.len(), 1, "{questions:?}");
            let Question::Sql(want, _) = questions[0].clone() else { panic!() };
            let told = Answer::Table(Ok(table(columns, rows)));
            stage.watcher.answered(want, told, stage.now, stage.now);
            assert_eq!(stage.evaluate().0.verdict, expected, "{guard}");
        }
    }
    let silent = Watcher::new("run", experiment(edge), T, T);
    let mut stage = Stage { watcher: silent, ..Stage::new(edge) };
    for _ in 0..29 {
        assert_eq!(stage.second((0, 0), 10).verdict, Verdict::CannotTell);
        stage.watcher.questions(stage.now);
    }
    for _ in 0..4 {
        stage.second((0, 0), 10);
    }
    assert_eq!(stage.evaluate().0.verdict, Verdict::Stop, "an engine that never answers");
}

/// Scenario: more distinct rows in one window than are told apart.
/// Guarantees: memory is bounded; all rows are counted still.
#[test]
fn a_flood_is_counted_in_bounded_memory() {
    use crate::guard::ring::DISTINCT;
    use crate::guard::tally::Mark;
    let mut ring = Ring::new(10, 60 * SECOND, T - SECOND);
    let mark =
        |id: u64| Mark { id, ended: T, cell: 1, error: false, traced: true, weight: Some(1.0) };
    let many: Vec<Mark> = (0..DISTINCT as u64 + 100).map(mark).collect();
    ring.take(T / SECOND, &many);
    assert_eq!(ring.window(T, 10).n, DISTINCT as u64 + 100);
    assert_eq!(ring.distinct(), DISTINCT);
    ring.take(T / SECOND + 20, &[mark(7)]);
    assert_eq!((ring.distinct(), ring.window(T + 20 * SECOND, 10).n), (1, 1));
}

/// Scenario: the statements that ask for what was not heard.
/// Guarantees: literals cannot end early; only what was received in time counts.
#[test]
fn statements_for_cells_are_as_agreed() {
    let experiment = experiment("{service: \"it's\", endpoint: a, indicator: p95, when: \"> 1s\"}");
    let watcher = Watcher::new("run", experiment, T, T);
    let subject = watcher.subjects().next().unwrap();
    let text = asked::cells(subject, T, T + SECOND, 60 * SECOND, None);
    assert!(
        text.contains("service_name = 'it''s' AND kind IN ('SERVER', 'CONSUMER') AND name = 'a'"),
        "{text}"
    );
    assert!(
        text.contains("ingest_time >= '2026-11-20T10:00:00.000000Z' AND ingest_time <"),
        "{text}"
    );
    let since = asked::cells(subject, T, T + SECOND, 60 * SECOND, Some(T));
    assert!(since.contains(&format!("greatest(duration_ns, 0) >= {T} GROUP BY")), "{since}");
}
