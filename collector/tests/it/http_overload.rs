//! What the HTTP door answers when it cannot store now (H15 to H17, B1, B2).

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use schema::ErrorKind;

use crate::support::http::{JSON, PROTOBUF, post};
use crate::support::sink::Mood;
use crate::support::{Server, eventually, payload};

/// Scenario: the budget is held; requests come.
/// Guarantees: H15 and B2, 503 with a Retry-After of 1 to 3 whole seconds.
#[tokio::test]
async fn otlp_h15_overload_is_503_with_a_short_retry_after() {
    let server = Server::within(64 << 10, |_| {}).await;
    let held = server.budget.try_reserve(60 << 10).unwrap();
    let body = payload::sized_logs(1, 4 << 10);
    let mut delays = HashSet::new();
    for _ in 0..20 {
        let reply = post(server.http, "/v1/logs", &[PROTOBUF], body.clone()).await;
        assert_eq!((reply.status, reply.fault().0), (StatusCode::SERVICE_UNAVAILABLE, 14));
        let seconds: u64 = reply.header("retry-after").parse().unwrap();
        assert!((1..=3).contains(&seconds));
        delays.insert(reply.body);
    }
    assert!(delays.len() > 1, "the delays in the details do not differ");
    drop(held);
    let reply = post(server.http, "/v1/logs", &[PROTOBUF], body).await;
    assert_eq!(reply.status, StatusCode::OK);
}

/// Scenario: stored rows hold their part of the budget until they are let go.
/// Guarantees: B1, what is acked and not yet staged counts; then there is room.
#[tokio::test]
async fn inv_b1_rows_hold_the_budget_until_they_are_let_go() {
    let server = Server::within(1 << 20, |_| {}).await;
    server.sink.holds.store(true, Ordering::SeqCst);
    let body = payload::sized_logs(1, 100 << 10);
    let mut stored = 0;
    while post(server.http, "/v1/logs", &[PROTOBUF], body.clone()).await.status == StatusCode::OK {
        stored += 1;
        assert!(stored < 20, "the budget never filled");
    }
    let rows: u64 = server.sink.held.lock().iter().map(|batch| batch.reservation.bytes()).sum();
    assert_eq!((stored, server.budget.used()), (server.sink.rows(), rows));
    server.sink.held.lock().clear();
    assert_eq!(server.budget.used(), 0);
    let reply = post(server.http, "/v1/logs", &[PROTOBUF], body).await;
    assert_eq!(reply.status, StatusCode::OK);
}

/// Scenario: the sink refuses with every kind of error, and panics.
/// Guarantees: H17, 503 with Retry-After for what may pass, never 500.
#[tokio::test]
async fn otlp_h17_storage_faults_are_503() {
    let server = Server::start().await;
    for (kind, status) in [
        (ErrorKind::Unavailable, 503),
        (ErrorKind::Throttled, 503),
        (ErrorKind::Internal, 503),
        (ErrorKind::Corrupt, 503),
        (ErrorKind::DeadlineExceeded, 503),
        (ErrorKind::Invalid, 400),
        (ErrorKind::TooLarge, 413),
    ] {
        server.sink.set(Mood::Refuses(kind));
        let reply = post(server.http, "/v1/logs", &[JSON], payload::JSON_LOG).await;
        assert_eq!(reply.status.as_u16(), status, "{kind}");
        assert_eq!(reply.header("retry-after").is_empty(), status != 503, "{kind}");
    }
    server.sink.set(Mood::Panics);
    let reply = post(server.http, "/v1/logs", &[JSON], payload::JSON_LOG).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    eventually("the budget is whole again", || server.budget.used() == 0).await;
}

/// Scenario: storage hangs past the cap; the daemon is not ready.
/// Guarantees: G17 and H17 over HTTP, 503 each time.
#[tokio::test]
async fn otlp_h17_hanging_and_starting_are_503() {
    let server = Server::with(|s| s.deadline = Duration::from_millis(100)).await;
    server.sink.set(Mood::Waits);
    let late = post(server.http, "/v1/logs", &[JSON], payload::JSON_LOG).await;
    assert_eq!((late.status, late.fault().0), (StatusCode::SERVICE_UNAVAILABLE, 4));
    server.collector.set_ready(false);
    let closed = post(server.http, "/v1/logs", &[JSON], payload::JSON_LOG).await;
    assert_eq!((closed.status, closed.fault().0), (StatusCode::SERVICE_UNAVAILABLE, 14));
    assert!(!closed.header("retry-after").is_empty());
}
