use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use futures::executor::block_on;
use regex::Regex;
use schema::ErrorKind;
use serde_json::{Value, json};

use super::*;
use crate::completeness::Grade;
use crate::indicator::Table;
use crate::statistics::random::Random;
use crate::verdict::{Reason, Verdict};
use crate::window::BUCKET;

const SECOND: i64 = 1_000_000_000;
const DOCUMENT: &str = include_str!("../../../configs/experiments/twelve-lines.yaml");
const INJECT: i64 = 1_700_000_000 * SECOND;

/// An engine over a shop that answers each kind of statement from the stretch
/// that it names, the same every time.
struct Engine {
    errors: u64,
    /// The mix of endpoints moves with the fault.
    moved: bool,
    /// Spans are lost with the fault.
    torn: bool,
    /// Spans do not tell of errors any more with the fault.
    blind: bool,
    fault: Option<Error>,
    asked: Mutex<Vec<String>>,
}

impl Engine {
    fn new(errors: u64) -> Engine {
        Engine {
            errors,
            moved: false,
            torn: false,
            blind: false,
            fault: None,
            asked: Mutex::default(),
        }
    }
}

/// The stretches that a statement names, those of its last part left out where
/// that looks around them.
fn stretches(sql: &str) -> Vec<(i64, i64)> {
    let named = Regex::new("time >= '([0-9-]{10}T[^']*Z)' AND time < '([^']*Z)'").unwrap();
    let nanos = |text: &str| {
        let since = humantime::parse_rfc3339(text).unwrap().duration_since(UNIX_EPOCH).unwrap();
        since.as_nanos() as i64
    };
    let all = named.captures_iter(sql).map(|found| (nanos(&found[1]), nanos(&found[2])));
    let mut inside: Vec<(i64, i64)> = Vec::new();
    for (from, to) in all {
        if inside.last().is_some_and(|(_, last)| from < *last) {
            break;
        }
        inside.push((from, to));
    }
    inside
}

#[async_trait]
impl Ask for Engine {
    async fn ask(&self, sql: &str) -> Result<Table, Error> {
        self.asked.lock().unwrap().push(sql.to_owned());
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        // What is asked for without an end is asked of everything.
        let inside = stretches(sql);
        let (from, to) = inside.first().map_or((0, 0), |f| (f.0, inside[inside.len() - 1].1));
        let buckets = (to - from) / BUCKET.nanos();
        let is_inside = |bucket: &i64| {
            let at = from + bucket * BUCKET.nanos();
            inside.iter().any(|(from, to)| (*from..*to).contains(&at))
        };
        let mut random = Random::new(from as u64);
        let bitten = (INJECT..INJECT + 300 * SECOND).contains(&from);
        let table = |columns: &[&str], rows: Vec<Vec<Value>>| Table {
            columns: columns.iter().map(|name| name.to_string()).collect(),
            rows,
            ..Table::default()
        };
        let zeros = |columns: &[&str]| table(columns, vec![vec![json!(0); columns.len()]]);
        if sql.contains("otelcol_exporter") {
            return Ok(zeros(&["spans", "logs", "metrics"]));
        }
        if sql.contains("AS unanswered") {
            return Ok(zeros(&["pairs", "skewed", "apart", "calls", "unanswered"]));
        }
        if sql.contains("AS blind") {
            let mut table = zeros(&["keys", "gone", "blind"]);
            table.rows[0][2] = json!(u64::from(bitten && self.blind));
            return Ok(table);
        }
        if ["AS spans", "AS orphans", "AS traces", "AS records", "AS points"]
            .iter()
            .any(|c| sql.contains(c))
        {
            let lost = if bitten && self.torn { 90 } else { 0 };
            let columns = ["spans", "traces", "records", "orphans", "lost"];
            let none = ["negative", "unnamed", "rootless", "without_trace", "repeated"];
            let more = ["roots", "instant", "cut", "early", "late", "many_rooted"];
            if sql.contains("AS points") {
                let row = [1_000, 10, 3, 0, 0, 0, 5, 0, 0, 0, 0].map(|n| json!(n)).to_vec();
                let columns =
                    ["points", "series", "services", "missing", "resets", "overflowed", "names"];
                let none = ["drifted", "frozen", "repeated", "unnamed"];
                return Ok(table(&[&columns[..], &none].concat(), vec![row]));
            }
            let counts = [1_000, 100, 1_000, lost, lost, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let row = counts.map(|n| json!(n)).to_vec();
            return Ok(table(&[&columns[..], &none, &more].concat(), vec![row]));
        }
        if sql.contains("alert_event_revisions") {
            let known = sql.contains("count(*)");
            let rows = if known { vec![vec![json!(1)]] } else { Vec::new() };
            return Ok(table(&["n"], rows));
        }
        if sql.contains("AS watermark") {
            return Ok(table(&["watermark"], vec![vec![json!(INJECT + 7_200 * SECOND)]]));
        }
        if sql.contains("AS endpoint") {
            let of = if bitten && self.moved { [10, 40] } else { [40, 10] };
            let rows = ["GET /", "POST /"].into_iter().zip(of);
            let rows = rows.map(|(name, n)| vec![json!(name), Value::Null, json!(buckets * n)]);
            return Ok(table(&["endpoint", "th", "n"], rows.collect()));
        }
        if sql.contains("SELECT service_name") {
            let rows = (0..buckets).flat_map(|b| {
                ["frontend", "checkout"].map(|name| vec![json!(name), json!(b), json!(100)])
            });
            return Ok(table(&["service_name", "bucket", "n"], rows.collect()));
        }
        if sql.contains("AS cell") {
            let gap = if sql.contains("pairs") && bitten { 300 } else { 0 };
            let rows = (0..buckets).filter(is_inside).flat_map(|b| {
                let mut cells = [0u64; 9];
                (0..40).for_each(|_| cells[random.below(5) + random.below(5)] += 1);
                let cell = |(at, n): (usize, u64)| {
                    vec![json!(b), json!(1_700 + at as i64 + gap), Value::Null, json!(n)]
                };
                cells.into_iter().enumerate().filter(|(_, n)| *n > 0).map(cell).collect::<Vec<_>>()
            });
            return Ok(table(&["bucket", "cell", "th", "n"], rows.collect()));
        }
        let rows = (0..buckets).filter(is_inside).map(|b| {
            let n = 90 + random.below(20) as u64;
            let hits = if bitten { self.errors } else { 0 };
            vec![json!(b), Value::Null, json!(n), json!(hits)]
        });
        Ok(table(&["bucket", "th", "n", "hits"], rows.collect()))
    }
}

fn experiment() -> Experiment {
    Experiment::parse(DOCUMENT, &Allowed::new()).unwrap()
}

fn window() -> Window {
    Window {
        run_id: "r1".into(),
        inject: INJECT,
        recover: INJECT + 300 * SECOND,
        uncertainty_ms: 0,
        others: Vec::new(),
        aborted: None,
    }
}

fn judged(engine: &Engine) -> Result<Report, Error> {
    block_on(judge(&experiment(), &window(), INJECT + 7_200 * SECOND, engine))
}

/// Scenario: the twelve-line document is judged over a shop that keeps its
/// tolerances, and over one with errors.
/// Guarantees: held and deviated; each finding carries the statements that were
/// asked, and no statement is asked twice.
#[test]
fn a_document_and_rows_make_a_report() {
    let engine = Engine::new(0);
    let report = judged(&engine).unwrap();
    assert_eq!(report.verdict, Verdict::Held, "{report:#?}");
    let mut asked = engine.asked.lock().unwrap().clone();
    for sql in report.findings.iter().flat_map(|finding| &finding.evidence_sql) {
        assert!(asked.contains(sql), "{sql}");
    }
    let all = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), all);
    // Alerts have no rows of their own to be ingested: they are written as they are told.
    let bound = |sql: &String| sql.contains("ingest_time <= ") || sql.contains(" AND time <= ");
    assert!(asked.iter().all(bound), "{asked:#?}");
    let report = judged(&Engine::new(10)).unwrap();
    assert_eq!((report.verdict, report.reason), (Verdict::Deviated, None));
}

/// Scenario: the mix of endpoints moves with a fault that harms nothing.
/// Guarantees: J1: what is compared is asked for endpoint by endpoint, by
/// statements that the report carries, and verified by them.
#[test]
fn a_moved_mix_is_asked_for_by_endpoint() {
    let engine = || Engine { moved: true, ..Engine::new(0) };
    let report = judged(&engine()).unwrap();
    assert_eq!(report.verdict, Verdict::Held, "{}", report.detail);
    let ratio = &report.findings[2];
    assert!(ratio.detail.contains("weighted to the baseline's mix"), "{}", ratio.detail);
    let by_endpoint = |sql: &&String| sql.contains("parent_span_id IS NULL AND name = 'POST /'");
    assert_eq!(ratio.evidence_sql.iter().filter(by_endpoint).count(), 2);
    assert_eq!(block_on(verify(&report, &engine())).unwrap(), Verified::Same);
}

/// Scenario: a tenth of the spans lose their parents with a fault that harms
/// nothing, and with one that does; the attribute that tells of errors is not told
/// any more.
/// Guarantees: J2: nothing that depends on spans is held, a deviation is one all
/// the same, and the report says how whole each source was, by which statements.
#[test]
fn inv_j2_broken_telemetry_caps_a_verdict() {
    let torn = |errors| Engine { torn: true, ..Engine::new(errors) };
    let report = judged(&torn(0)).unwrap();
    assert_eq!((report.verdict, report.reason), (Verdict::Inconclusive, Some(Reason::PipelineGap)));
    assert!(report.detail.contains("spans of the injection are broken"), "{}", report.detail);
    let graded = |grade: Grade| {
        let of = report.completeness.iter().filter(|entry| entry.grade == Some(grade));
        of.map(|entry| (entry.source.as_str(), entry.phase)).collect::<Vec<_>>()
    };
    assert_eq!(graded(Grade::Broken), [("spans", crate::window::Phase::Injection)]);
    assert_eq!(graded(Grade::Whole).len(), 2);
    assert!(report.completeness.iter().all(|entry| entry.sql.contains("AS orphans")));
    assert_eq!(block_on(verify(&report, &torn(0))).unwrap(), Verified::Same);
    assert_eq!(judged(&torn(10)).unwrap().verdict, Verdict::Deviated);
    let blind = judged(&Engine { blind: true, ..Engine::new(0) }).unwrap();
    assert_eq!((blind.verdict, blind.reason), (Verdict::Inconclusive, Some(Reason::PipelineGap)));
}

/// Scenario: a document that compares with a week ago, and one with a control.
/// Guarantees: J1: both are asked for by statements that the report carries, and
/// verified by them.
#[test]
fn another_week_and_a_control_are_asked_for() {
    for (line, words) in [
        ("window: {baseline: {like: -7d}}", "time >= '2023-11-0"),
        ("control: {services: {checkout: checkout-control}}", "service_name = 'checkout-control'"),
    ] {
        let text = DOCUMENT.replace("target:", &format!("{line}\ntarget:"));
        let experiment = Experiment::parse(&text, &Allowed::new()).unwrap();
        let engine = Engine::new(0);
        let (window, at) = (window(), INJECT + 7_200 * SECOND);
        let report = block_on(judge(&experiment, &window, at, &engine)).unwrap();
        assert_eq!(report.verdict, Verdict::Held, "{}", report.detail);
        let latency = report.findings.iter().find(|f| f.hypothesis == "checkout-p95").unwrap();
        let asked = latency.evidence_sql.iter().filter(|sql| sql.contains(words)).count();
        assert!(asked >= 2, "{line}: {:#?}", latency.evidence_sql);
        assert_eq!(block_on(verify(&report, &engine)).unwrap(), Verified::Same);
    }
}

/// Scenario: a hypothesis relative to its baseline over two days of history.
/// Guarantees: it asks for no more of them than forty runs take, away from the run,
/// and tells the statement; one that is absolute asks for none.
#[test]
fn history_costs_no_more_than_forty_runs() {
    let engine = Engine::new(0);
    let at = INJECT + 2 * 86_400 * SECOND;
    let report = block_on(judge(&experiment(), &window(), at, &engine)).unwrap();
    let latency = report.findings.iter().find(|f| f.hypothesis == "checkout-p95").unwrap();
    assert_eq!(latency.verdict, Verdict::Held, "{}", latency.detail);
    let of = |sql: &String| stretches(sql);
    let history = latency.evidence_sql.iter().map(of).max_by_key(Vec::len).unwrap();
    let run = (600 + 15 + 285) * SECOND;
    assert_eq!(history.len(), 40);
    assert!(history.iter().all(|(from, to)| to - from == run), "{history:?}");
    // From the beginning of its baseline to a minute after its recovery.
    let near = (INJECT - 600 * SECOND, INJECT + 660 * SECOND);
    let apart = |(from, to): &(i64, i64)| *to <= near.0 || *from >= near.1;
    assert!(history.iter().all(apart), "{near:?}: {history:?}");
    assert!(history[0].0 < INJECT - 80_000 * SECOND && history[39].1 > INJECT + 80_000 * SECOND);
    let ratio = report.findings.iter().find(|f| f.hypothesis == "checkout-error_ratio").unwrap();
    assert!(ratio.evidence_sql.iter().all(|sql| stretches(sql).len() <= 2));
}

/// Scenario: a report is verified over the same rows, and over others.
/// Guarantees: J1: the same verdict over the same rows; a difference is told; a
/// document that was changed afterwards is refused.
#[test]
fn inv_j1_a_report_is_verified() {
    let report = judged(&Engine::new(0)).unwrap();
    let read = Report::read(&report.to_json().unwrap()).unwrap();
    let verified = |report: &Report, errors| block_on(verify(report, &Engine::new(errors)));
    assert_eq!(verified(&read, 0).unwrap(), Verified::Same);
    let Verified::Different(how) = verified(&read, 10).unwrap() else { panic!() };
    assert!(how[0].contains("was held and is deviated"), "{how:?}");
    let mut forged = read;
    forged.document = forged.document.replace("0.01", "0.5");
    assert!(verified(&forged, 0).unwrap_err().to_string().contains("was changed"));
}

/// Scenario: the engine cannot be reached; it refuses every statement.
/// Guarantees: J2: the first is an error, no verdict; the second is inconclusive.
#[test]
fn inv_j2_an_engine_that_does_not_answer_passes_nothing() {
    let failing = |kind| {
        let fault = Error::Engine { kind, message: "no".into() };
        judged(&Engine { fault: Some(fault), ..Engine::new(0) })
    };
    assert_eq!(failing(ErrorKind::Unavailable).unwrap_err().kind(), ErrorKind::Unavailable);
    let report = failing(ErrorKind::Invalid).unwrap();
    assert_eq!((report.verdict, report.reason), (Verdict::Inconclusive, Some(Reason::Error)));
}

/// Scenario: the whole vocabulary with its query is judged.
/// Guarantees: `{window}` is replaced by the phase's predicate, and what this
/// version does not judge is inconclusive.
#[test]
fn inv_j2_what_is_not_judged_is_no_pass() {
    let text = include_str!("../../../configs/experiments/full.yaml");
    let experiment = Experiment::parse(text, &Allowed::new()).unwrap();
    let engine = Engine::new(0);
    let window = window();
    let judged = judge(&experiment, &window, INJECT + 7_200 * SECOND, &engine);
    let report = block_on(judged).unwrap();
    let asked = engine.asked.lock().unwrap();
    let query = asked.iter().find(|sql| sql.contains("order.id")).unwrap();
    assert!(query.contains("(time >= '") && !query.contains("{window}"), "{query}");
    let of = |name: &str| {
        let found = report.findings.iter().find(|finding| finding.hypothesis.starts_with(name));
        found.map(|finding| (finding.verdict, finding.reason))
    };
    assert_eq!(of("scaling"), Some((Verdict::Inconclusive, Some(Reason::Error))));
    assert_eq!(of("alert PaymentLatencyHigh"), Some((Verdict::Deviated, None)), "missed");
    assert_eq!(of("no alert but"), Some((Verdict::Held, None)));
    assert_ne!(report.verdict, Verdict::Held);
}
