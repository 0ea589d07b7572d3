//! `cloudsail experiment completeness` over rows that a daemon has.

use serde_json::{Value, json};

use crate::daemon::{Launch, run};
use crate::experiment::code;
use crate::otlp::{Encoding, Request, Signal};

const SECOND: i64 = 1_000_000_000;
/// 2026-11-20T10:00:00Z.
const FROM: i64 = 1_795_168_800 * SECOND;

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

fn resource(service: &str) -> Value {
    json!({"attributes": attributes(&[("service.name", service)])})
}

/// Two calls a second to pay in the minute from `begin` on, which say how they ended in
/// the attribute `ended`. Where that is `None`, pay tells of every other one, and five
/// requests are handed on to a service whose clock is 6 s behind.
fn spans(begin: i64, ended: Option<&str>) -> Request {
    let spoiled = ended.is_none();
    let span = |id: String, parent: &str, kind: u8, start: i64, told: Value| {
        json!({
            "traceId": format!("{:0>32}", &id[1..]), "spanId": id, "parentSpanId": parent,
            "name": "op", "kind": kind, "attributes": told, "startTimeUnixNano": start.to_string(),
            "endTimeUnixNano": (start + SECOND / 50).to_string(),
        })
    };
    let (mut front, mut pay, mut clock) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..120 {
        let start = begin + at * SECOND / 2;
        let id = |of: char| format!("{of}{}", &format!("{start:016x}")[1..]);
        let status = ended.map(|name| (name, "200"));
        let told: Vec<(&str, &str)> = [("peer.service", "pay")].into_iter().chain(status).collect();
        let told = attributes(&told);
        front.push(span(id('a'), "", 3, start, told));
        if !spoiled || at % 2 == 0 {
            pay.push(span(id('b'), &id('a'), 2, start, json!([])));
        }
        if spoiled && (20..25).contains(&at) {
            front.push(span(id('c'), &id('a'), 1, start, json!([])));
            clock.push(span(id('d'), &id('c'), 2, start - 6 * SECOND, json!([])));
        }
    }
    let of = |service: &str, spans: Vec<Value>| json!({"resource": resource(service), "scopeSpans": [{"spans": spans}]});
    let body = json!({"resourceSpans": [of("front", front), of("pay", pay), of("clock", clock)]});
    Request::from_json(Signal::Traces, &body.to_string())
}

/// Ten records, four of which their sender cut.
fn logs() -> Request {
    let record = |at: i64| {
        json!({
            "timeUnixNano": (FROM + at * SECOND).to_string(), "body": {"stringValue": format!("said {at}")},
            "traceId": format!("{at:032x}"), "droppedAttributesCount": if at < 5 { 1 } else { 0 },
        })
    };
    let records: Vec<Value> = (1..11).map(record).collect();
    let body = json!({"resourceLogs": [{"resource": resource("front"), "scopeLogs": [{"logRecords": records}]}]});
    Request::from_json(Signal::Logs, &body.to_string())
}

/// A Collector that gave up 40 spans within the minute, and a node that rejected 3
/// records; each has told of others before.
fn refusals() -> Request {
    let sum = |name: &str, told: Value, points: [(i64, i64); 3]| {
        let point = |(at, value): (i64, i64)| {
            json!({
                "timeUnixNano": (FROM + at * SECOND).to_string(), "asInt": value.to_string(), "attributes": told,
                "startTimeUnixNano": (FROM - 3_600 * SECOND).to_string(),
            })
        };
        let points: Vec<Value> = points.into_iter().map(point).collect();
        json!({"name": name, "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points}})
    };
    let metrics = [
        sum("otelcol_exporter_send_failed_spans", json!([]), [(-10, 5), (10, 25), (40, 45)]),
        sum(
            "cloudsail_otlp_rejected_items",
            attributes(&[("signal", "logs")]),
            [(-10, 9), (10, 9), (40, 12)],
        ),
    ];
    let body = json!({"resourceMetrics": [{"resource": resource("otelcol"), "scopeMetrics": [{"metrics": metrics}]}]});
    Request::from_json(Signal::Metrics, &body.to_string())
}

/// Scenario: a minute in which calls are answered and say how they ended, one in which
/// they say so by a newer name, and one in which they are not and do not, a clock is 6 s behind, records are cut, and a
/// Collector and a node tell what they gave up.
/// Guarantees: each is counted as what it is, by its own row; spans and logs are broken
/// and the exit code says so, the minute before is whole, and of a time without a row
/// nothing is said to be.
#[tokio::test(flavor = "multi_thread")]
async fn what_hides_a_fault_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let minutes = [(-2, "http.status_code"), (-1, "http.response.status_code")];
    let minutes = minutes.map(|(at, ended)| spans(FROM + at * 60 * SECOND, Some(ended)));
    let sent = minutes.into_iter().chain([spans(FROM, None), logs(), refusals()]);
    for request in sent {
        daemon.ack(Encoding::HttpJson, &request).await;
    }
    let server = daemon.url("");
    let counted = async |from: &str, to: &str, exit: i32| {
        let args = ["experiment", "completeness", "--from", from, "--to", to, "--json"];
        let args: Vec<&str> = args.into_iter().chain(["--server", &server]).collect();
        let text = code(&run(dir.path(), &args).await, exit);
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()
    };
    let before = counted("2026-11-20T09:59:00Z", "2026-11-20T10:00:00Z", 0).await;
    let grades = json!({"spans": "whole", "logs": null, "metrics": "whole"});
    assert_eq!(before["grades"], grades, "{before}");
    counted("2026-11-20T08:59:00Z", "2026-11-20T09:00:00Z", 1).await;
    let told = counted("2026-11-20T10:00:00Z", "2026-11-20T10:01:00Z", 1).await;
    let grades = json!({"spans": "broken", "logs": "broken", "metrics": "whole"});
    assert_eq!(told["grades"], grades, "{told}");
    let spans = &told["counts"]["spans"];
    for (what, n) in [
        ("calls", 120),
        ("unanswered", 60),
        ("apart", 1),
        ("skewed", 1),
        ("keys", 4),
        ("gone", 1),
        ("blind", 1),
        ("grown", 0),
        ("refused", 40),
    ] {
        assert_eq!(spans[what], n, "{what}: {spans}");
    }
    let logs = &told["counts"]["logs"];
    assert_eq!((&logs["cut"], &logs["refused"]), (&json!(4), &json!(3)), "{logs}");
    daemon.stop().await;
}
