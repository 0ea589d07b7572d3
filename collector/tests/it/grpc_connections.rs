//! How the gRPC door treats connections (G13, G22 to G25, F35, F36).

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use schema::ErrorKind;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::support::grpc::{self, Client, LOGS, frame};
use crate::support::sink::Mood;
use crate::support::{Server, eventually, http, payload};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const SERVICES: [&str; 4] = [
    "",
    "opentelemetry.proto.collector.trace.v1.TraceService",
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "opentelemetry.proto.collector.logs.v1.LogsService",
];

/// Scenario: HTTP/1.1, TLS and nonsense on the gRPC port.
/// Guarantees: G13, the connection is closed at once and counted by reason.
#[tokio::test]
async fn otlp_g13_other_protocols_are_closed() {
    let server = Server::start().await;
    let http1 = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for opening in [&http1[..], &tls[..], b"\0\0\0\0"] {
        let mut socket = TcpStream::connect(server.grpc).await.unwrap();
        socket.write_all(opening).await.unwrap();
        let closed = tokio::time::timeout(Duration::from_secs(5), async {
            // A reset is as good a close as an end.
            let mut byte = [0];
            tokio::io::AsyncReadExt::read(&mut socket, &mut byte).await.unwrap_or(0)
        });
        assert_eq!(closed.await.unwrap(), 0);
    }
    let metrics = server.metrics();
    let name = "cloudsail_otlp_turned_away_connections_total";
    assert!(
        metrics.contains(&format!("{name}{{door=\"otlp_grpc\",reason=\"http1\"}} 2")),
        "{metrics}"
    );
    assert!(metrics.contains(&format!("{name}{{door=\"otlp_grpc\",reason=\"tls\"}} 1")));
}

/// Scenario: 150 calls wait on one connection; then headers of 20 KiB come.
/// Guarantees: G22, at least 100 streams at once, and a bounded header list.
#[tokio::test]
async fn otlp_g22_many_streams_and_small_headers() {
    let server = Server::start().await;
    server.sink.set(Mood::Waits);
    let mut client = Client::connect(server.grpc).await;
    let message = frame(0, &payload::logs(1));
    let calls: Vec<_> =
        (0..150).map(|_| client.start(LOGS, &[], vec![message.clone()], Duration::ZERO)).collect();
    let calls = futures::future::join_all(calls);
    tokio::pin!(calls);
    tokio::select! {
        _ = &mut calls => panic!("a waiting sink was answered for"),
        () = eventually("all are under way", || server.sink.asked() == 150) => {}
    }
    for _ in 0..150 {
        server.sink.release();
        let rows = server.sink.rows();
        eventually("one goes on", || server.sink.rows() > rows || rows == 150).await;
    }
    for call in calls.await {
        assert_eq!(grpc::reply(call.unwrap()).await.unwrap().code(), Code::Ok);
    }
    let large = "x".repeat(20 << 10);
    let call = client.start(LOGS, &[("x-large", large.as_str())], vec![message], Duration::ZERO);
    let status = call.await.map(|response| response.status().as_u16());
    assert!(matches!(status, Ok(431) | Err(_)), "{status:?}");
}

/// Scenario: a connection grows old while a call is in flight.
/// Guarantees: G23, GOAWAY lets the call finish, then the connection ends.
#[tokio::test]
async fn otlp_g23_an_old_connection_finishes_its_calls() {
    let server = Server::with(|s| s.connection_age = Duration::from_millis(200)).await;
    server.sink.set(Mood::Waits);
    let mut client = Client::connect(server.grpc).await;
    let call = client.start(LOGS, &[], vec![frame(0, &payload::logs(1))], Duration::ZERO);
    let finishing = async {
        eventually("the append is under way", || server.sink.asked() == 1).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        server.sink.release();
    };
    let (call, ()) = tokio::join!(call, finishing);
    assert_eq!(grpc::reply(call.unwrap()).await.unwrap().code(), Code::Ok);
    let ended = tokio::time::timeout(Duration::from_secs(5), client.connection.join_next());
    ended.await.expect("the connection ends").unwrap().unwrap().unwrap();
}

/// Scenario: a connection without calls; one whose peer answers no ping.
/// Guarantees: G23 and S15, both are closed.
#[tokio::test]
async fn otlp_g23_idle_and_dead_connections_are_closed() {
    let server = Server::with(|s| s.grpc_idle_timeout = Duration::from_millis(200)).await;
    let mut client = Client::connect(server.grpc).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), client.connection.join_next());
    ended.await.expect("an idle connection ends").unwrap().unwrap().unwrap();

    let server = Server::with(|s| {
        s.keepalive_interval = Duration::from_millis(100);
        s.keepalive_timeout = Duration::from_millis(100);
    })
    .await;
    let mut socket = TcpStream::connect(server.grpc).await.unwrap();
    // A preface and empty SETTINGS, and never a word again.
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let begun = Instant::now();
    http::rest(&mut socket).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Scenario: a client pings twenty times in a row and has no stream.
/// Guarantees: G23, every ping is answered and the connection stays.
#[tokio::test]
async fn otlp_g23_pings_without_streams_are_answered() {
    let server = Server::start().await;
    let mut socket = TcpStream::connect(server.grpc).await.unwrap();
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    for _ in 0..20 {
        socket.write_all(b"\0\0\x08\x06\0\0\0\0\0pingpong").await.unwrap();
    }
    let mut acks = 0;
    while acks < 20 {
        let mut head = [0; 9];
        let read = tokio::io::AsyncReadExt::read_exact(&mut socket, &mut head);
        tokio::time::timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        tokio::io::AsyncReadExt::read_exact(&mut socket, &mut payload).await.unwrap();
        acks += usize::from(head[3..5] == [6, 1] && payload == b"pingpong");
    }
}

/// Scenario: a drain begins while a call is in flight and a watcher watches.
/// Guarantees: G24 and D1, the call is answered and stored, health says
/// NOT_SERVING, new connections are refused, and the drain ends.
#[tokio::test]
async fn otlp_g24_a_drain_answers_what_is_in_flight() {
    let mut server = Server::start().await;
    server.sink.set(Mood::Waits);
    let addr = server.grpc;
    let mut client = Client::connect(addr).await;
    let mut watcher = Client::connect(addr).await;
    let watching = watcher.start(WATCH, &[], vec![frame(0, b"")], Duration::ZERO).await.unwrap();
    let call = client.start(LOGS, &[], vec![frame(0, &payload::logs(1))], Duration::ZERO);
    let sink = server.sink.clone();
    let finishing = async {
        eventually("the append is under way", || sink.asked() == 1).await;
        server.cancel.cancel();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(TcpStream::connect(addr).await.is_err(), "a draining door accepts nothing");
        sink.release();
        server.drain().await;
    };
    let begun = Instant::now();
    let (call, ()) = tokio::join!(call, finishing);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(grpc::reply(call.unwrap()).await.unwrap().code(), Code::Ok);
    assert_eq!(server.sink.rows(), 1);
    let watched = grpc::reply(watching).await.unwrap();
    let last = HealthCheckResponse::decode(&watched.data[watched.data.len() - 2..]).unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
}

/// Scenario: a drain begins while storage hangs, past its time.
/// Guarantees: G24 and G18, the connection is given up in time, and the drain
/// ends only when what was handed over is stored.
#[tokio::test]
async fn otlp_g24_a_drain_gives_up_connections_and_no_rows() {
    let mut server = Server::with(|s| s.drain_timeout = Duration::from_millis(300)).await;
    server.sink.set(Mood::Waits);
    let sink = server.sink.clone();
    let mut client = Client::connect(server.grpc).await;
    let call = client.start(LOGS, &[], vec![frame(0, &payload::logs(1))], Duration::ZERO);
    let giving_up = async {
        eventually("the append is under way", || sink.asked() == 1).await;
        server.cancel.cancel();
    };
    let (call, ()) = tokio::join!(call, giving_up);
    assert!(call.is_err(), "{call:?}");
    let still = tokio::time::timeout(Duration::from_millis(300), server.drain()).await;
    assert!(still.is_err(), "the drain ended before the append");
    sink.release();
    server.drain().await;
    assert_eq!(sink.rows(), 1);
}

/// Scenario: health is asked for each service, before and after the daemon is
/// ready, and for one that does not exist.
/// Guarantees: G25, SERVING only after recovery.
#[tokio::test]
async fn otlp_g25_health_follows_readiness() {
    async fn check(client: &mut Client, service: &str) -> Result<ServingStatus, Code> {
        let request = HealthCheckRequest { service: service.into() }.encode_to_vec();
        let reply = client.export(CHECK, &request).await;
        match reply.code() {
            Code::Ok => Ok(HealthCheckResponse::decode(&reply.data[5..]).unwrap().status()),
            code => Err(code),
        }
    }
    let server = Server::starting(1 << 20, |_| {}).await;
    let mut client = Client::connect(server.grpc).await;
    for (ready, status) in [
        (false, ServingStatus::NotServing),
        (true, ServingStatus::Serving),
        (false, ServingStatus::NotServing),
    ] {
        server.collector.set_ready(ready);
        for service in SERVICES {
            assert_eq!(check(&mut client, service).await, Ok(status), "{service}");
        }
    }
    assert_eq!(check(&mut client, "nobody").await, Err(Code::NotFound));
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    assert_eq!(client.export(reflection, b"").await.code(), Code::Unimplemented);
}

/// Scenario: a message of which a byte comes now and then; a connection that
/// sends half a preface.
/// Guarantees: F35 and S15, both end when their time is over and hold no memory.
#[tokio::test]
async fn fault_f35_slow_senders_are_ended() {
    let server = Server::with(|s| {
        s.body_timeout = Duration::from_millis(200);
        s.header_timeout = Duration::from_millis(200);
    })
    .await;
    let pieces = frame(0, &payload::logs(1)).into_iter().map(|byte| vec![byte]).collect();
    let mut client = Client::connect(server.grpc).await;
    let reply = client.pieces(LOGS, &[], pieces, Duration::from_millis(50)).await;
    assert_eq!(reply.code(), Code::DeadlineExceeded);
    eventually("its bytes return", || server.budget.used() == 0).await;
    assert_eq!(http::raw(server.grpc, b"PRI * HT").await, Bytes::new());
    assert!(server.metrics().contains("reason=\"silent\"} 1"));
}

/// Scenario: more connections than one address may have; one leaves.
/// Guarantees: F36, the rest are closed at once, and a place is free again.
#[tokio::test]
async fn fault_f36_connections_are_bounded() {
    let server = Server::with(|s| s.max_connections_per_peer = 2).await;
    let mut first = Client::connect(server.grpc).await;
    let mut second = Client::connect(server.grpc).await;
    server.sink.set(Mood::Refuses(ErrorKind::Unavailable));
    for client in [&mut first, &mut second] {
        assert_eq!(client.export(LOGS, &payload::logs(1)).await.code(), Code::Unavailable);
    }
    assert_eq!(http::raw(server.grpc, b"").await, Bytes::new());
    assert!(server.metrics().contains("reason=\"too_many\"} 1"));
    drop(first);
    let open = "cloudsail_otlp_connections{door=\"otlp_grpc\"} 1\n";
    eventually("a place is free", || server.metrics().contains(open)).await;
    let mut third = Client::connect(server.grpc).await;
    assert_eq!(third.export(LOGS, &payload::logs(1)).await.code(), Code::Unavailable);
}
