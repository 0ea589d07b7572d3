//! Guards that ask: by SQL, after the blast radius, and whether anything is told at all.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::daemon::{Daemon, Launch};
use crate::guards::{FAILING, Shop, document, guard, open, until};
use crate::otlp::{Encoding, Request, Signal};
use crate::vertical::now;

const SECOND: i64 = 1_000_000_000;

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
    assert_eq!(stop["guard"], "failures", "{stop}");
    // The guard's own decision, or already what the run is latched by.
    assert!(stop["reason"] == "threshold" || stop["reason"] == "aborted", "{stop}");
    assert!(stop["detail"].as_str().unwrap().contains("> 5"), "{stop}");
    daemon.stop().await;
}

/// Some seconds of three services that nothing but time binds together, five requests
/// a second each; those that are named fail.
async fn seconds(daemon: &Daemon, times: impl Iterator<Item = i64> + Clone, failing: &[&str]) {
    let of = |(number, service): (usize, &&str)| {
        let failed = failing.contains(service);
        let span = |begin: i64| {
            let took = 20 + (begin / 50_000_000 * 7 + number as i64) % 13;
            let id = format!("{:016x}", begin + number as i64);
            json!({
                "traceId": format!("{id:0>32}"), "spanId": id, "name": "GET /", "kind": 2,
                "startTimeUnixNano": begin.to_string(),
                "endTimeUnixNano": (begin + took * 1_000_000).to_string(),
                "status": {"code": if failed { 2 } else { 0 }},
            })
        };
        let begins = times.clone().flat_map(|at| (0..5).map(move |n| at + n * SECOND / 20));
        let spans: Vec<Value> = begins.map(span).collect();
        let name = json!({"key": "service.name", "value": {"stringValue": service}});
        json!({"resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans}]})
    };
    let all: Vec<Value> = ["frontend", "payment", "search"].iter().enumerate().map(of).collect();
    let body = json!({ "resourceSpans": all }).to_string();
    daemon.ack(Encoding::HttpJson, &Request::from_json(Signal::Traces, &body)).await;
}

/// Scenario: three quarters of an hour in which nothing happens; then a fault of payment is injected,
/// and search, which nobody named, fails with it.
/// Guarantees: the guard after the blast radius finds search off target and stops the
/// run with 503; the answer names it and not the target, and the run ends aborted.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_stops_what_reaches_beyond_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let start = now().as_nanos() as i64;
    // Five of every ten seconds are enough to know what is usual.
    for minute in (1..45).rev() {
        let ago = (1..=60).map(move |second| minute * 60 - second).filter(|ago| ago % 10 < 5);
        seconds(&daemon, ago.map(|ago| start - (ago + 1) * SECOND), &[]).await;
    }
    // A look takes its time on a busy machine.
    let beyond = "{name: beyond, type: blast-radius, grace: 4m}";
    let run = document(beyond, "blast-radius: {off-target: abort}\n")
        .replace("baseline: 10s", "baseline: 300s");
    open(&daemon, "wide", &run).await;
    let (run, inject) = ("/api/v1/experiments/runs/wide", "/api/v1/experiments/runs/wide/inject");
    let marked = daemon.client.post(&daemon.url(inject), &[], "{}").await.unwrap();
    assert_eq!(marked.status, 200, "{}", marked.text());
    let deadline = Instant::now() + Duration::from_secs(480);
    let stop = loop {
        let last = now().as_nanos() as i64 - SECOND;
        seconds(&daemon, [last].into_iter(), &["payment", "search"]).await;
        let answer = guard(&daemon, "wide", "").await;
        if answer.status == 503 {
            break answer.json();
        }
        assert!(Instant::now() < deadline, "{}", answer.text());
        sleep(Duration::from_secs(1)).await;
    };
    assert_eq!((&stop["guard"], &stop["verdict"]), (&json!("beyond"), &json!("stop")), "{stop}");
    let detail = stop["detail"].as_str().unwrap();
    assert!(detail.contains("search") && !detail.contains("payment"), "{stop}");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let run = daemon.client.get(&daemon.url(run)).await.unwrap().json();
        if run["state"] == "aborted" {
            break;
        }
        assert!(Instant::now() < deadline, "{run}");
        sleep(Duration::from_millis(100)).await;
    }
    daemon.stop().await;
}

/// Scenario: a run without any guard of its own, while requests come in; then nothing
/// comes any more.
/// Guarantees: the guard that is always on says go, cannot tell, and stops the run after
/// its grace, each time with its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_can_see_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let shop = Shop::open(&daemon);
    open(&daemon, "unseen", &document("{type: telemetry-health, grace: 2s}", "")).await;
    let go = until(&daemon, "unseen", 200).await;
    assert_eq!(go["guard"], "telemetry-health", "{go}");
    drop(shop);
    let blind = until(&daemon, "unseen", 424).await;
    assert_eq!((&blind["reason"], &blind["guard"]), (&json!("pipeline_gap"), &go["guard"]));
    let stop = until(&daemon, "unseen", 503).await;
    assert_eq!(stop["guard"], go["guard"], "{stop}");
    assert!(stop["detail"].as_str().unwrap().contains("no telemetry arrived"), "{stop}");
    daemon.stop().await;
}
