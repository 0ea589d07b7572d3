//! The vertical slice, for each way in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::daemon::Launch;
use crate::expect;
use crate::otlp::{Encoding, Request, Signal};

/// The second that the fixtures are written in. It is replaced by a present
/// one, so that rows go to today's partition.
const WRITTEN_AT: &str = "1700000000";

const REQUESTS: [(Signal, &str); 3] = [
    (Signal::Traces, include_str!("fixtures/traces.json")),
    (Signal::Logs, include_str!("fixtures/logs.json")),
    (Signal::Metrics, include_str!("fixtures/metrics.json")),
];
const ROWS: &str = include_str!("fixtures/rows.json");

#[expect(clippy::disallowed_methods, reason = "a sender reads its own clock")]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// The fixtures' requests and their rows, moved to a second of the present.
pub fn fixtures() -> (Vec<Request>, Vec<expect::Expected>) {
    let second = (now().as_secs() - 60).to_string();
    let requests = REQUESTS
        .iter()
        .map(|(signal, json)| Request::from_json(*signal, &json.replace(WRITTEN_AT, &second)));
    (requests.collect(), expect::parse(&ROWS.replace(WRITTEN_AT, &second)))
}

async fn slice(encoding: Encoding) {
    let dir = tempfile::tempdir().unwrap();
    // Nothing leaves memory by itself: what is seen before the flush is hot.
    let launch = Launch::new(dir.path()).set("flush.max_age=1h");
    let (requests, rows) = fixtures();
    let daemon = launch.start().await;
    for request in &requests {
        daemon.ack(encoding, request).await;
    }
    expect::check(&daemon, &rows).await;
    let acked = expect::dump(&daemon).await;
    assert!(acked.iter().all(|table| !table.rows.is_empty()));

    daemon.kill().await;
    let daemon = launch.start().await;
    expect::assert_same(&acked, &expect::dump(&daemon).await, "after SIGKILL, unflushed");

    daemon.flush().await;
    expect::assert_same(&acked, &expect::dump(&daemon).await, "after the flush");
    expect::check(&daemon, &rows).await;

    daemon.stop().await;
    let daemon = launch.start().await;
    expect::assert_same(&acked, &expect::dump(&daemon).await, "after a restart");
    daemon.stop().await;
}

/// Scenario: all signals by OTLP/HTTP protobuf; SQL at once, after SIGKILL,
/// after the flush, after a restart.
/// Guarantees: D1, D2, D4, S1: the same rows each time, to the nanosecond.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d2_rows_are_seen_and_stay_http_protobuf() {
    slice(Encoding::HttpProtobuf).await;
}

/// Scenario: the same by OTLP/HTTP JSON.
/// Guarantees: D1, D2, D4, S1.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d2_rows_are_seen_and_stay_http_json() {
    slice(Encoding::HttpJson).await;
}

/// Scenario: the same by OTLP/gRPC.
/// Guarantees: D1, D2, D4, S1.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d2_rows_are_seen_and_stay_grpc() {
    slice(Encoding::Grpc).await;
}

/// Scenario: one request of every signal through all three ways in.
/// Guarantees: contract J15: the rows are identical but for their arrival.
#[tokio::test(flavor = "multi_thread")]
async fn otlp_j15_every_encoding_gives_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).set("flush.max_age=1h").start().await;
    let (requests, _) = fixtures();
    for request in &requests {
        let mut forms = Vec::new();
        let table = request.signal.table();
        let mut since = String::new();
        for encoding in Encoding::ALL {
            daemon.ack(encoding, request).await;
            let query = format!("SELECT * FROM {table} {since} ORDER BY ingest_time");
            let mut found = daemon.sql(&query).await;
            let arrival = found.columns.iter().position(|c| c == "ingest_time").unwrap();
            let latest = found.rows.last().unwrap()[arrival].clone();
            since = format!("WHERE ingest_time > '{}'", latest.as_str().unwrap());
            found.rows.iter_mut().for_each(|row| row[arrival] = Value::Null);
            // One request arrives at one moment, so its order is its rows'.
            found.rows.sort_by_key(|row| serde_json::to_string(row).unwrap());
            forms.push(vec![found]);
        }
        assert!(!forms[0][0].rows.is_empty(), "{table}");
        expect::assert_same(&forms[0], &forms[1], table);
        expect::assert_same(&forms[0], &forms[2], table);
    }
    daemon.stop().await;
}
