use serde_json::{Value, json};

use super::*;
use crate::document::provider::{Outcome, Provider};
use crate::document::scope::Scaling;
use crate::document::{Allowed, Experiment};
use crate::verdict::evidence::{Flow, Gap, Source};
use crate::window::Phase;

/// One of each statement, as it was last agreed to.
const GOLDEN: &str = include_str!("statements.sql");

fn measure(probe: &str) -> Measure {
    let text = format!(
        "{{apiVersion: chaos/v1, kind: Experiment, title: t, target: {{services: [a]}}, effect-check: none, steady-state-hypothesis: {{probes: [{probe}]}}}}"
    );
    let experiment = Experiment::parse(&text, &Allowed::new()).unwrap_or_else(|e| panic!("{e}"));
    match &experiment.steady_state_hypothesis.probes[0].provider {
        Provider::Measure(measure) => measure.clone(),
        Provider::Sql { .. } => panic!("no measure"),
    }
}

const SPAN: Span = Span { from: 1_661_140_434_000_000_000, buckets: 3 };
const JUDGED: i64 = 1_661_150_000_000_000_000;

fn all() -> String {
    let probes = [
        "{service: pay, indicator: rate, min: 1}",
        "{service: pay, endpoint: \"it's\", indicator: error_ratio, max: 1%}",
        "{service: pay, indicator: p95, max: 1s}",
        "{service: pay, endpoint: charge, indicator: self.p50, max: 1s}",
        "{edge: shop->pay, indicator: gap_p50, max: 1s}",
        "{edge: shop->pay, operation: charge, indicator: error_ratio, max: 1%}",
        "{edge: shop->pay, indicator: calls, max: 1}",
        "{edge: shop->pay, indicator: call_ratio, min: 1%}",
        "{edge: shop->pay, indicator: mask_ratio, min: 1%}",
        "{edge: shop->pay, indicator: retry_ratio, max: 1%}",
        "{edge: shop->pay, operation: charge, indicator: timeout_ratio, max: 1%}",
        "{service: pay, indicator: log.error_ratio, max: 1%}",
        "{service: pay, indicator: log.trace_id_ratio, min: 1%}",
        "{service: pay, indicator: resource.cpu, max: 1}",
        "{service: pay, indicator: resource.throttling, max: 1%}",
        "{service: pay, indicator: resource.restarts, max: 0.5}",
        "{service: pay, indicator: resource.oom_kills, max: 0.5}",
        "{service: pay, indicator: resource.replicas, min: 1}",
        "{service: pay, indicator: trace.root_success, min: 1%}",
        "{service: pay, indicator: trace.complete_ratio, min: 1%}",
        "{service: pay, indicator: trace.structure_divergence, max: 1%}",
        "{service: pay, indicator: slo.budget_burned, objective: 99%, max: 10%}",
        "{service: pay, indicator: slo.burn_rate, objective: 99%, max: 1}",
    ];
    let mut text = String::new();
    for probe in probes {
        let measure = measure(probe);
        text += &format!("-- {measure}\n{};\n\n", statement(&measure, SPAN, JUDGED));
    }
    let ratio = measure(probes[1]);
    let strata =
        [Stratum::At("GET /".into()), Stratum::Elsewhere(vec!["GET /".into(), "it's".into()])];
    for stratum in strata {
        let stretch = Stretch { stratum: Some(&stratum), ..Stretch::new(SPAN, JUDGED) };
        let sql = of(&ratio, &stretch);
        text += &format!("-- {ratio} at {stratum}\n{sql};\n\n");
    }
    let shape = measure("{service: pay, indicator: trace.structure_divergence, max: 1%}");
    let before = Span { from: SPAN.from - 60_000_000_000, buckets: 9 };
    let stretch = Stretch { usual: Some(before), ..Stretch::new(SPAN, JUDGED) };
    text += &format!("-- {shape} beside a baseline\n{};\n\n", of(&shape, &stretch));
    let scaling = |model: Option<&str>| Scaling {
        workload: "pay".into(),
        model: model.map(str::to_owned),
        time_to_ready: None,
        overshoot: None,
    };
    for model in [None, Some("pay-hpa")] {
        let sql = scale::statement(&scaling(model), SPAN, JUDGED);
        text += &format!("-- pods by {}\n{sql};\n\n", model.unwrap_or("the workload"));
    }
    let by_metrics = [
        ("{service: pay, indicator: error_ratio, max: 1%}", &["http.server.request.duration"][..]),
        (
            "{service: pay, endpoint: charge, indicator: p95, max: 1s}",
            &["traces.span.metrics.duration"],
        ),
    ];
    for (probe, metrics) in by_metrics {
        let measure = meter::instead_of(&measure(probe)).unwrap();
        let sql = meter::statement(&measure, metrics, &Stretch::new(SPAN, JUDGED));
        text += &format!("-- {measure} by metrics\n{sql};\n\n");
    }
    let pieces = [SPAN, before];
    let few = Stretch { pieces: Some(&pieces), ..Stretch::new(SPAN, JUDGED) };
    text += &format!("-- in pieces\n{};\n\n", of(&ratio, &few));
    text += &format!("-- what flowed\n{};\n\n", flow::rows(Source::Logs, SPAN, JUDGED));
    text += &format!("-- how far\n{};\n\n", flow::watermark(Source::Spans, SPAN.from, JUDGED));
    text += &format!("-- the load\n{};\n\n", flow::load(SPAN, JUDGED));
    text += &format!("-- what was scanned\n{};\n", query::scanned(SPAN, JUDGED));
    text
}

/// Scenario: one statement of each indicator, for a stretch of three buckets.
/// Guarantees: they are as agreed in `statements.sql`; literals cannot end early.
#[test]
fn statements_are_as_agreed() {
    let text = all();
    assert!(text == GOLDEN, "statements.sql must say:\n{text}");
    assert!(text.contains("name = 'it''s'"));
}

fn table(columns: &[&str], rows: Value) -> Table {
    let rows = rows.as_array().unwrap().iter();
    Table {
        columns: columns.iter().map(|name| name.to_string()).collect(),
        rows: rows.map(|row| row.as_array().unwrap().clone()).collect(),
        ..Table::default()
    }
}

/// Scenario: answers of each shape.
/// Guarantees: buckets without rows are there and empty, cells are sorted and in
/// milliseconds, numbers may be text.
#[test]
fn rows_become_buckets() {
    let ratio = measure("{service: pay, indicator: error_ratio, max: 1%}");
    let rows = table(&["bucket", "n", "hits"], json!([[0, 10, 1], [2, "7", 0]]));
    let series = answer::series(&ratio, SPAN, &rows).unwrap();
    assert_eq!(series.shares(), [(1.0, 10.0), (0.0, 0.0), (0.0, 7.0)]);
    assert_eq!((series.n(), series.sampled, series.longest_silence()), (17.0, 0, (1, 1)));
    assert!(!series.is_weighted() && series.design() == 1.0);
    let latency = measure("{service: pay, indicator: p95, max: 1s}");
    let cell = |ms: f64| ((ms * 1e6).ln() * text::CELLS).floor() as i64;
    let rows = json!([[1, cell(200.0), 1], [1, cell(100.0), 3]]);
    let rows = table(&["bucket", "cell", "n"], rows);
    let cells = &answer::series(&latency, SPAN, &rows).unwrap().buckets[1].cells;
    assert!((cells[0].0 - 100.0).abs() < 1.0 && (cells[1].0 - 200.0).abs() < 2.0, "{cells:?}");
    let mut flow = Flow::default();
    let rows = table(&["service_name", "bucket", "n"], json!([["a", 0, 5], [null, 2, 1]]));
    answer::flow(&mut flow, Phase::Baseline, SPAN, &rows).unwrap();
    assert_eq!(flow.others("a", Phase::Baseline, 3), [0, 0, 1]);
    assert_eq!(flow.total(Phase::Baseline), 6);
}

/// Scenario: rows that stand for none but themselves, for ten, for an unknown
/// number of others, and durations of which each stands for four.
/// Guarantees: counts are of what rows stand for, worth is of rows (Kish), and
/// what is not known is told, not guessed.
#[test]
fn sampled_rows_count_as_what_they_stand_for() {
    let ratio = measure("{service: pay, indicator: error_ratio, max: 1%}");
    let columns = ["bucket", "th", "n", "hits"];
    let rows = json!([[0, null, 10, 1], [0, "e6666666666668", 10, 1], [2, "8", 6, 3]]);
    let series = answer::series(&ratio, SPAN, &table(&columns, rows)).unwrap();
    let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-6, "{found}");
    near(series.buckets[0].n, 110.0);
    near(series.buckets[0].hits, 11.0);
    near(series.buckets[0].worth(), 110.0 * 110.0 / 1_010.0);
    near(series.buckets[2].worth(), 6.0);
    near(series.worth(), 122.0 * 122.0 / 1_034.0);
    assert_eq!(series.sampled, 0);
    let unknown = json!([[0, "unknown", 3, 1], [1, "8", 2, 0]]);
    let series = answer::series(&ratio, SPAN, &table(&columns, unknown)).unwrap();
    assert_eq!((series.n(), series.sampled), (7.0, 3));
    let latency = measure("{service: pay, indicator: p95, max: 1s}");
    let rows = json!([[0, 1_800, "c", 5], [0, 1_900, null, 5]]);
    let rows = table(&["bucket", "cell", "th", "n"], rows);
    let series = answer::series(&latency, SPAN, &rows).unwrap();
    let counts: Vec<f64> = series.buckets[0].cells.iter().map(|(_, n)| *n).collect();
    assert_eq!(counts, [20.0, 5.0]);
    let load = table(&["endpoint", "th", "n"], json!([["a", null, 4], ["a", "8", 4]]));
    assert_eq!(answer::counts("endpoint", &load).unwrap()["a"], 12.0);
}

/// Scenario: a service tells metrics of its own and a collector's; only the
/// collector's, of durations alone; none.
/// Guarantees: its own word is taken, all of it that counts a request once, and
/// never two that count the same; a duration is read at either end of its bucket.
#[test]
fn metrics_are_chosen_so_that_nothing_counts_twice() {
    let [ratio, latency] = ["error_ratio, max: 1%", "p95, max: 1s"]
        .map(|text| measure(&format!("{{service: pay, indicator: {text}}}")));
    let told = |names: &[&str]| {
        table(&["metric_name", "n"], names.iter().map(|name| json!([name, 5])).collect())
    };
    let own = ["http.server.request.duration", "rpc.server.duration"];
    let all = told(&[&own[..], &["traces.span.metrics.calls", "calls"]].concat());
    assert_eq!(meter::chosen(&ratio, &all).unwrap(), own);
    let spans = told(&["traces.span.metrics.duration", "calls"]);
    assert_eq!(meter::chosen(&latency, &spans).unwrap(), ["traces.span.metrics.duration"]);
    assert_eq!(meter::chosen(&ratio, &spans).unwrap(), ["calls"]);
    assert!(meter::chosen(&ratio, &told(&[])).unwrap().is_empty());
    let rows = table(&["bucket", "low_cell", "cell", "n"], json!([[0, 1_800, 1_900, 7]]));
    let ends = ["low_cell", "cell"]
        .map(|end| answer::series_of(end, &latency, SPAN, &rows).unwrap().buckets[0].cells[0].0);
    assert!(ends[1] / ends[0] > 2.7 && ends[1] / ends[0] < 2.8, "{ends:?}");
    let no_unit = table(&["bucket", "low_cell", "cell", "n"], json!([[0, null, null, 7]]));
    assert!(matches!(answer::series(&latency, SPAN, &no_unit), Err(Gap::Error(_))));
}

/// Scenario: points of pods as they come; two series that tell the same; a row of
/// nothing that was asked for; NaN.
/// Guarantees: J2: only the first is read.
#[test]
fn inv_j2_pods_are_told_by_one_series() {
    let read = |rows| scale::points(&table(&["what", "series", "time_unix_nano", "value"], rows));
    let good =
        read(json!([["desired", "1", 5, 2.0], ["ready", "2", 5, 2], ["desired", "1", 9, 3]]));
    let found: Vec<_> = good.unwrap().iter().map(|point| (point.at, point.value)).collect();
    assert_eq!(found, [(5, 2.0), (5, 2.0), (9, 3.0)]);
    for bad in [
        json!([["ready", "1", 5, 2], ["ready", "2", 6, 2]]),
        json!([["other", "1", 5, 2]]),
        json!([["ready", "1", 5, "NaN"]]),
    ] {
        assert!(matches!(read(bad.clone()), Err(Gap::Error(_))), "{bad}");
    }
}

/// Scenario: NaN, text, NULL, a missing column, a bucket outside, two metrics,
/// more hits than rows, an answer that was cut or is incomplete, rows for a scalar.
/// Guarantees: J2: each is an error or a gap, never a zero.
#[test]
fn inv_j2_what_is_no_number_is_an_error() {
    let gauge = measure("{service: pay, indicator: resource.cpu, max: 1}");
    let ratio = measure("{service: pay, indicator: error_ratio, max: 1%}");
    let kills = measure("{service: pay, indicator: resource.oom_kills, max: 0}");
    let counters = ["bucket", "n", "hits", "series"];
    let gauges = ["bucket", "n", "value", "series"];
    let ratios = ["bucket", "n", "hits"];
    for (measure, columns, rows) in [
        (&gauge, &gauges[..], json!([[0, 1, "NaN", 1]])),
        (&gauge, &gauges, json!([[0, 1, null, 1]])),
        (&gauge, &gauges, json!([[0, 1, 0.5, 2]])),
        (&kills, &counters, json!([[0, 1, 0, 2]])),
        (&kills, &counters[..3], json!([[0, 1, 0]])),
        (&ratio, &ratios, json!([[3, 1, 0]])),
        (&ratio, &ratios, json!([[-1, 1, 0]])),
        (&ratio, &ratios, json!([[0, 1, 2]])),
        (&ratio, &ratios, json!([[0, "many", 2]])),
        (&ratio, &ratios[..2], json!([[0, 1]])),
    ] {
        let answer = answer::series(measure, SPAN, &table(columns, rows.clone()));
        assert!(matches!(answer, Err(Gap::Error(_))), "{rows}: {answer:?}");
    }
    let whole = table(&ratios, json!([[0, 1, 0]]));
    let cut = Table { truncated: true, ..whole.clone() };
    let partial = Table { incomplete: vec!["another node".into()], ..whole };
    for table in [cut, partial] {
        assert!(matches!(answer::series(&ratio, SPAN, &table), Err(Gap::Incomplete(_))));
    }
    for rows in [json!([]), json!([[1], [2]]), json!([[1, 2]]), json!([[null]]), json!([["NaN"]])] {
        let answer = answer::value(Outcome::Scalar, &table(&["a", "b"], rows.clone()));
        assert!(matches!(answer, Err(Gap::Error(_))), "{rows}");
    }
    assert_eq!(answer::value(Outcome::Rows, &table(&["a"], json!([[1], [2]]))).unwrap(), 2);
    let rows = answer::value(Outcome::Table, &table(&["a"], json!([[1]]))).unwrap();
    assert_eq!(rows, json!([{"a": 1}]));
    assert_eq!(answer::number("n", &table(&["n"], json!([[null]]))).unwrap(), None);
}
