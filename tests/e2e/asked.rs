//! Guards that ask: by SQL, and after the blast radius.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::daemon::{Daemon, Launch};
use crate::guards::{FAILING, Shop, document, open, until};
use crate::otlp::{Encoding, Request, Signal};
use crate::vertical::now;

/// Scenario: a guard that counts failed requests by a query of its own, while requests
/// are well and then fail.
/// Guarantees: it goes by its answers, by value, and stops the run by its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_by_sql_stops_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let shop = Shop::open(&daemon);
    let query = "{name: failures, provider: {type: sql, result: scalar, query: \"SELECT count(*) FROM spans WHERE service_name = 'frontend' AND is_error AND {window}\"}, when: \"> 5\", for: 0s}";
    open(&daemon, "asked", &document(query, "")).await;
    let go = until(&daemon, "asked", 200).await;
    assert_eq!(go["verdict"], "go", "{go}");
    shop.turn(FAILING);
    let stop = until(&daemon, "asked", 503).await;
    assert_eq!((&stop["guard"], &stop["reason"]), (&json!("failures"), &json!("threshold")));
    assert!(stop["value"].as_f64().unwrap() > 5.0, "{stop}");
    daemon.stop().await;
}

/// One second of three services that nothing but time binds together: each takes
/// 20 to 32 ms, unless it is `slow`.
async fn second(daemon: &Daemon, at: i64, slow: Option<&str>) {
    let of = |(number, service): (usize, &&str)| {
        let span = |n: i64| {
            let begin = at + n * 50_000_000;
            let usual = 20 + (begin / 50_000_000 * 7 + number as i64) % 13;
            let took = if slow == Some(*service) { usual * 30 } else { usual };
            let id = format!("{:016x}", begin + number as i64);
            json!({
                "traceId": format!("{id:0>32}"), "spanId": id, "name": "GET /", "kind": 2,
                "startTimeUnixNano": begin.to_string(),
                "endTimeUnixNano": (begin + took * 1_000_000).to_string(),
            })
        };
        let spans: Vec<Value> = (0..5).map(span).collect();
        let name = json!({"key": "service.name", "value": {"stringValue": service}});
        json!({"resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans}]})
    };
    let all: Vec<Value> = ["frontend", "payment", "search"].iter().enumerate().map(of).collect();
    let body = json!({ "resourceSpans": all }).to_string();
    daemon.ack(Encoding::HttpJson, &Request::from_json(Signal::Traces, &body)).await;
}

/// Scenario: two hours in which nothing happens; then a fault of payment is injected,
/// and search, which nobody named, becomes slow.
/// Guarantees: the guard after the blast radius finds it off target, twice, and stops
/// the run; the answer names the service.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_stops_what_reaches_beyond_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let start = now().as_nanos() as i64;
    // Five of every ten seconds are enough to know what is usual.
    for ago in (1..7_200).rev().filter(|ago| ago % 10 < 5) {
        second(&daemon, start - ago * 1_000_000_000, None).await;
    }
    let run = document("{name: beyond, type: blast-radius}", "blast-radius: {off-target: abort}\n")
        .replace("baseline: 10s", "baseline: 300s");
    open(&daemon, "wide", &run).await;
    let inject = daemon.url("/api/v1/experiments/runs/wide/inject");
    let deadline = Instant::now() + Duration::from_secs(30);
    while daemon.client.post(&inject, &[], "{}").await.unwrap().status != 200 {
        assert!(Instant::now() < deadline, "it cannot be marked");
    }
    let deadline = Instant::now() + Duration::from_secs(240);
    let stop = loop {
        second(&daemon, now().as_nanos() as i64 - 1_000_000_000, Some("search")).await;
        let answer = daemon.client.get(&daemon.url("/api/v1/guards/wide")).await.unwrap();
        if answer.status == 503 {
            break answer.json();
        }
        assert!(Instant::now() < deadline, "{}", answer.text());
        sleep(Duration::from_secs(1)).await;
    };
    assert_eq!((&stop["guard"], &stop["verdict"]), (&json!("beyond"), &json!("stop")), "{stop}");
    assert!(stop["detail"].as_str().unwrap().contains("search"), "{stop}");
    daemon.stop().await;
}
