//! The README's cookbook and list of functions, word for word.

use std::collections::BTreeMap;
use std::sync::Arc;

use schema::{Door, Signal, Tenant};
use serde_json::{Value, json};
use storage::LedgerRow;

use super::ask::asker;
use super::source::{START, TestSource, log, origin, point, span};

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The statements of the cookbook by what they are called.
fn recipes() -> Vec<(String, String)> {
    let readme = readme();
    let section = readme.split("\n## Cookbook\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let block = section.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let recipe = |text: &str| {
        let (title, sql) = text.trim().strip_prefix("-- ").unwrap().split_once('\n').unwrap();
        (title.to_owned(), sql.trim_end_matches(';').to_owned())
    };
    block.split("\n\n").map(recipe).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A shop in its last hour: a request with a trace, a deploy, metrics.
async fn hour() -> Arc<TestSource> {
    let source = TestSource::new();
    let of = |id: &str, parent: Value, fields: Value| {
        let mut row = json!({"trace_id": TRACE, "span_id": id, "parent_span_id": parent});
        for (name, value) in fields.as_object().unwrap() {
            row[name] = value.clone();
        }
        row
    };
    let web = json!({
        "service_name": "web", "http.route": "/cart", "duration_ns": 3_000_000_000i64,
        "service_version": "1",
    });
    let call = json!({"service_name": "web", "kind": "CLIENT", "name": "call", "duration_ns": 2_000_000_000i64});
    let cart = json!({
        "service_name": "cart", "name": "GET /items", "http.route": "/items",
        "duration_ns": 1_000_000_000i64,
    });
    let trace = [
        span(1_800, of("01", Value::Null, web)),
        span(1_800, of("02", json!("01"), call)),
        span(1_800, of("03", json!("02"), cart)),
    ];
    source.flush(origin(1, 1), &trace).await;
    let deployed = json!({
        "service_name": "web", "http.route": "/pay", "is_error": true, "service_version": "2",
        "trace_id": "bb", "span_id": "04", "duration_ns": 500_000_000,
    });
    source.flush(origin(2, 2), &[span(2_000, deployed)]).await;
    let said = json!({"trace_id": TRACE, "span_id": "03", "service_name": "cart", "body": "found"});
    source.commit("logs", origin(3, 3), &[log(1_801, said)]).await;

    let mut points = Vec::new();
    for n in 0..2i64 {
        let start = json!((START + 1_740) * 1_000_000_000);
        for (series, pod) in [(1, "web-1"), (2, "web-2")] {
            let fields = json!({
                "k8s.pod.name": pod, "service_name": "web", "start_time_unix_nano": start,
                "value": (n + 1) as f64 * 60.0, "value_int": (n + 1) * 60,
            });
            points.push(point(1_800 + n * 60, "http.server.requests", series, fields));
        }
        let fields = json!({
            "service_name": "web", "metric_kind": "HISTOGRAM", "is_monotonic": null,
            "http.route": "/cart", "start_time_unix_nano": start, "explicit_bounds": [1.0, 2.0],
            "bucket_counts": [0, 50 * (n + 1), 0], "count": 50 * (n + 1),
        });
        points.push(point(1_800 + n * 60, "http.server.request.duration", 3, fields));
        let fields = json!({"metric_kind": "GAUGE", "value": n as f64, "is_monotonic": null});
        points.push(point(1_800 + n * 60, "process.memory.usage", 4, fields));
    }
    source.hot("metrics", &points);
    let usage = |service: &str, rows: i64| {
        json!({
            "date": START / 86_400, "tenant": "default", "service_name": service, "signal": "traces",
            "rows": rows, "bytes_in": rows * 10, "bytes_stored": rows * 2, "bytes_scanned": 0,
        })
    };
    source.hot("usage_parts", &[usage("web", 3), usage("cart", 1), usage("web", 4)]);
    *source.ledger.lock() = vec![LedgerRow {
        tenant: Tenant::default(),
        signal: Signal::Traces,
        door: Door::OtlpGrpc,
        accepted: 4,
        persisted: 4,
        in_flight: 0,
        dropped: Vec::new(),
    }];
    source
}

/// What each must answer over that hour.
fn answers() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        (
            "Rate, errors and duration by service",
            vec![
                "2026-11-23T10:30:00Z,cart,1,0,0.016666666666666666,0.0,1000.0,1000.0,1000.0",
                "2026-11-23T10:30:00Z,web,1,0,0.016666666666666666,0.0,3000.0,3000.0,3000.0",
                "2026-11-23T10:33:00Z,web,1,1,0.016666666666666666,1.0,500.0,500.0,500.0",
            ],
        ),
        ("p99 by route", vec!["web,/cart,1,3000.0", "cart,/items,1,1000.0", "web,/pay,1,500.0"]),
        (
            "The slowest traces",
            vec!["4bf92f3577b34da6a3ce929d0e0e4736,web,GET /,3000.0,3,0", "bb,web,GET /,500.0,1,1"],
        ),
        (
            "Where the time of a trace went",
            vec![
                "GET /,web,3000.0,1000.0,true",
                "  call,web,2000.0,1000.0,true",
                "    GET /items,cart,1000.0,1000.0,true",
            ],
        ),
        ("The logs of a trace", vec!["2026-11-23T10:30:01Z,cart,INFO,found"]),
        ("Errors around each deploy", vec!["web,1,true,0.5", "web,2,false,0.0", "web,2,true,1.0"]),
        (
            "A metric's rate by pod",
            vec![
                "2026-11-23T10:30:00Z,web-1,1.0",
                "2026-11-23T10:30:00Z,web-2,1.0",
                "2026-11-23T10:31:00Z,web-1,1.0",
                "2026-11-23T10:31:00Z,web-2,1.0",
            ],
        ),
        ("A histogram's quantile by route", vec!["2026-11-23T10:30:00Z,web,/cart,1.99"]),
        ("Who calls whom", vec!["web,cart,GET /items,1,0,1000.0,1000.0,false"]),
        (
            "Cardinality by metric",
            vec![
                "http.server.requests,2",
                "http.server.request.duration,1",
                "process.memory.usage,1",
            ],
        ),
        ("Cost by service", vec!["web,7,14", "cart,1,2"]),
        ("The latest value of each series of a metric", vec!["shop,{},1.0,2026-11-23T10:31:00Z"]),
        ("Do the books balance?", vec!["default,traces,otlp_grpc,,4,4,0,0"]),
    ])
}

/// Scenario: the README's cookbook over an hour of a shop.
/// Guarantees: every statement answers, and as it says.
#[tokio::test]
async fn the_cookbook_answers() {
    let asker = asker(&hour().await);
    let mut answers = answers();
    for (title, sql) in recipes() {
        let mut rows = asker.rows(&sql).await;
        if title == "Cardinality by attribute" {
            assert!(rows.contains(&"spans,record,http.route,true,3".into()), "{rows:?}");
            continue;
        }
        let wanted = answers.remove(title.as_str());
        if title == "Cardinality by metric" {
            // Two metrics of one series have no order.
            rows[1..].sort();
        }
        assert_eq!(Some(rows.iter().map(String::as_str).collect()), wanted, "{title}\n{sql}");
    }
    assert!(answers.is_empty(), "not in the README: {answers:?}");
}

/// Scenario: the README's tables of functions against the session's list.
/// Guarantees: what is listed exists, and every helper is listed.
#[tokio::test]
async fn every_helper_of_the_readme_exists() {
    let readme = readme();
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|line| line.split(" | ").next());
    let calls = first.flat_map(|cell| cell.split('`')).filter_map(|part| part.split_once('('));
    let named: Vec<String> = calls.map(|(name, _)| name.to_owned()).collect();
    let asker = asker(&TestSource::new());
    let sql = "SELECT DISTINCT routine_name FROM information_schema.routines";
    let known = asker.rows(sql).await;
    for name in &named {
        assert!(known.contains(name), "{name} is in the README and nowhere else");
    }
    for name in [
        "attr",
        "time_bucket",
        "p50",
        "p90",
        "p95",
        "p99",
        "quantile",
        "error_ratio",
        "metric_rate",
        "metric_quantile",
        "red",
        "service_graph",
        "trace_tree",
    ] {
        assert!(named.iter().any(|listed| listed == name), "{name} is not in the README");
    }
    let shown = asker.rows("SHOW FUNCTIONS").await;
    assert!(shown.iter().any(|line| line.starts_with("metric_rate,")), "{}", shown.len());
}
