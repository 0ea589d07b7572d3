//! What the gRPC door answers when it cannot store now (G10, G14 to G18, G20).

use std::time::{Duration, Instant};

use schema::ErrorKind;
use tonic::Code;

use crate::support::grpc::{Client, LOGS, TRACES, frame};
use crate::support::sink::Mood;
use crate::support::{Server, eventually, payload};

/// Scenario: 16 MiB of zeros in each coding, with a limit of 1 MiB.
/// Guarantees: G10 and F34, RESOURCE_EXHAUSTED without RetryInfo, at once.
#[tokio::test]
async fn otlp_g10_a_bomb_is_resource_exhausted() {
    let server = Server::with(|s| s.max_request_bytes = 1 << 20).await;
    let mut client = Client::connect(server.grpc).await;
    for (name, packed) in payload::codings(&vec![0; 16 << 20]) {
        let begun = Instant::now();
        let reply = client.compressed(LOGS, name, &packed).await;
        assert_eq!(reply.code(), Code::ResourceExhausted, "{name}: {}", reply.message());
        assert_eq!(reply.retry(), None);
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}");
    }
    eventually("the budget is whole again", || server.budget.used() == 0).await;
}

/// Scenario: the budget is held by stored rows; a request comes.
/// Guarantees: G14, G15 and B2, UNAVAILABLE with a RetryInfo of 1 to 3 s, and
/// the same request is taken once the budget is free.
#[tokio::test]
async fn otlp_g14_overload_is_unavailable_with_retry_info() {
    let server = Server::within(64 << 10, |_| {}).await;
    let mut client = Client::connect(server.grpc).await;
    let held = server.budget.try_reserve(60 << 10).unwrap();
    let message = payload::sized_logs(1, 4 << 10);
    let mut delays = Vec::new();
    for _ in 0..5 {
        let reply = client.export(LOGS, &message).await;
        assert_eq!(reply.code(), Code::Unavailable, "{}", reply.message());
        let delay = reply.retry().expect("RetryInfo");
        assert!((Duration::from_secs(1)..=Duration::from_secs(3)).contains(&delay));
        delays.push(delay);
    }
    delays.dedup();
    assert!(delays.len() > 1, "no jitter: {delays:?}");
    assert_eq!(server.sink.asked(), 0);
    drop(held);
    assert_eq!(client.export(LOGS, &message).await.code(), Code::Ok);
    assert!(server.metrics().contains(
        "cloudsail_otlp_refused_requests_total{signal=\"logs\",door=\"otlp_grpc\",reason=\"memory\"} 5"
    ));
}

/// Scenario: a request that the whole budget could not pay for.
/// Guarantees: G8 and B2, it is final, because no wait would help.
#[tokio::test]
async fn otlp_g8_what_never_fits_the_budget_is_final() {
    let server = Server::within(64 << 10, |_| {}).await;
    let message = payload::sized_logs(1, 20 << 10);
    let reply = Client::connect(server.grpc).await.export(LOGS, &message).await;
    assert_eq!((reply.code(), reply.retry()), (Code::ResourceExhausted, None));
    assert!(reply.message().contains("limits.memory"), "{}", reply.message());
}

/// Scenario: before the daemon is ready, and after it stopped being so.
/// Guarantees: G14, UNAVAILABLE with RetryInfo.
#[tokio::test]
async fn otlp_g14_not_ready_is_unavailable() {
    let server = Server::starting(1 << 30, |_| {}).await;
    let mut client = Client::connect(server.grpc).await;
    let message = payload::logs(1);
    let reply = client.export(LOGS, &message).await;
    assert_eq!(reply.code(), Code::Unavailable);
    assert!(reply.retry().is_some());
    server.collector.set_ready(true);
    assert_eq!(client.export(LOGS, &message).await.code(), Code::Ok);
    server.collector.set_ready(false);
    assert_eq!(client.export(LOGS, &message).await.code(), Code::Unavailable);
}

/// Scenario: the sink refuses with every kind of error, and panics.
/// Guarantees: G16, G20 and G21, faults of storage come back as UNAVAILABLE with
/// RetryInfo, and neither INTERNAL, UNKNOWN nor a forbidden code is emitted.
#[tokio::test]
async fn otlp_g16_storage_faults_are_unavailable() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    let message = payload::logs(1);
    for (kind, code) in [
        (ErrorKind::Unavailable, Code::Unavailable),
        (ErrorKind::Throttled, Code::Unavailable),
        (ErrorKind::Internal, Code::Unavailable),
        (ErrorKind::Corrupt, Code::Unavailable),
        (ErrorKind::NotFound, Code::Unavailable),
        (ErrorKind::Cancelled, Code::Unavailable),
        (ErrorKind::DeadlineExceeded, Code::DeadlineExceeded),
        (ErrorKind::Invalid, Code::InvalidArgument),
        (ErrorKind::TooLarge, Code::ResourceExhausted),
    ] {
        server.sink.set(Mood::Refuses(kind));
        let reply = client.export(LOGS, &message).await;
        assert_eq!(reply.code(), code, "{kind}");
        assert_eq!(
            reply.retry().is_some(),
            code == Code::Unavailable || code == Code::DeadlineExceeded
        );
    }
    server.sink.set(Mood::Panics);
    let reply = client.export(LOGS, &message).await;
    assert_eq!(reply.code(), Code::Unavailable);
    assert!(reply.retry().is_some());
    server.sink.set(Mood::Takes);
    assert_eq!(client.export(LOGS, &message).await.code(), Code::Ok);
    eventually("the budget is whole again", || server.budget.used() == 0).await;
}

/// Scenario: storage hangs; one sender gives two seconds, one gives no limit.
/// Guarantees: G17, DEADLINE_EXCEEDED before the sender's deadline, and at the
/// cap without one; what was handed over is stored all the same.
#[tokio::test]
async fn otlp_g17_the_wait_ends_before_the_senders_deadline() {
    let server = Server::with(|s| s.deadline = Duration::from_millis(1800)).await;
    server.sink.set(Mood::Waits);
    let mut client = Client::connect(server.grpc).await;
    for (headers, least, most) in [
        (&[("grpc-timeout", "2S")][..], 1400, 2000),
        (&[][..], 1700, 5000),
        (&[("grpc-timeout", "60S")], 1700, 5000),
    ] {
        let begun = Instant::now();
        let reply = client.send(LOGS, headers, frame(0, &payload::logs(1))).await;
        let took = begun.elapsed().as_millis();
        assert_eq!(reply.code(), Code::DeadlineExceeded);
        assert!((least..most).contains(&took), "{headers:?} took {took} ms");
    }
    for stored in 1..=3 {
        server.sink.release();
        eventually("each is stored", || server.sink.rows() == stored).await;
    }
}

/// Scenario: a sender resets its call while the body is on its way, and another
/// while the append is under way.
/// Guarantees: G18, the first leaves nothing, the second is stored whole.
#[tokio::test]
async fn otlp_g18_a_cancelled_call_is_stored_whole_or_not_at_all() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    let whole = frame(0, &payload::spans(50, 0));
    let halves = vec![whole[..whole.len() / 2].to_vec(), vec![]];
    let partly = client.start(TRACES, &[], halves, Duration::from_secs(3600));
    tokio::select! {
        _ = partly => panic!("half a message was answered"),
        () = eventually("half of it is in", || server.budget.used() > 0) => {}
    }
    eventually("its bytes return", || server.budget.used() == 0).await;
    assert_eq!(server.sink.asked(), 0);

    server.sink.set(Mood::Waits);
    let call = client.start(TRACES, &[], vec![whole], Duration::ZERO);
    tokio::select! {
        _ = call => panic!("a waiting sink was answered for"),
        () = eventually("the append is under way", || server.sink.asked() == 1) => {}
    }
    let cancelled =
        "cloudsail_otlp_requests_total{signal=\"traces\",door=\"otlp_grpc\",outcome=\"cancelled\"}";
    eventually("it is counted", || server.metrics().contains(cancelled)).await;
    server.sink.release();
    eventually("it is stored whole", || server.sink.rows() == 50).await;
    eventually("the budget is whole again", || server.budget.used() == 0).await;
}

/// Scenario: many large requests at once against a small budget.
/// Guarantees: F33 and B1, the budget is never exceeded by bodies, and each is
/// stored or told to come back.
#[tokio::test]
async fn fault_f33_a_crowd_is_admitted_by_its_bytes() {
    let server = Server::within(8 << 20, |_| {}).await;
    let message = frame(0, &payload::sized_logs(1, 512 << 10));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let (addr, message) = (server.grpc, message.clone());
        clients.spawn(async move {
            let halves = message.chunks(message.len() / 2 + 1).map(<[u8]>::to_vec).collect();
            let mut client = Client::connect(addr).await;
            client.pieces(LOGS, &[], halves, Duration::from_millis(50)).await.code()
        });
    }
    let mut peak = 0;
    let mut codes = Vec::new();
    while !clients.is_empty() {
        tokio::select! {
            Some(code) = clients.join_next() => codes.push(code.unwrap()),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
        peak = peak.max(server.budget.used());
    }
    let stored = codes.iter().filter(|code| **code == Code::Ok).count();
    assert!(codes.iter().all(|code| [Code::Ok, Code::Unavailable].contains(code)), "{codes:?}");
    assert!(stored > 0 && stored < 24, "{stored} stored");
    assert_eq!(server.sink.rows(), stored);
    assert!(peak <= 8 << 20, "{peak}");
}
