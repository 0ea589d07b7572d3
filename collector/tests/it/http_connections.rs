//! How the HTTP door treats connections (H7, H19 to H21, G13, G24, F35).

use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::http::{JSON, PROTOBUF, one, parse, post, raw, rest};
use crate::support::sink::Mood;
use crate::support::{Server, eventually, payload};

const HEAD: &str = "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n";

/// Scenario: heads that no HTTP library would let through.
/// Guarantees: H7 and H24, even these are answered with a Status, hardened,
/// and the connection is closed.
#[tokio::test]
async fn otlp_h7_heads_that_are_none_are_answered_with_a_status() {
    let server = Server::start().await;
    let large = format!("{HEAD}X: {}\r\n\r\n", "x".repeat(20 << 10));
    for (head, status) in [
        ("nonsense\r\n\r\n", 400),
        ("POST /v1/logs HTTP/9.9\r\n\r\n", 400),
        ("POST /v1/logs HTTP/1.1\r\nbad header\r\n\r\n", 400),
        ("POST /v1/logs HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (&large, 431),
    ] {
        let reply = parse(&raw(server.http, head.as_bytes()).await);
        assert_eq!(reply.status.as_u16(), status, "{head:.40}");
        assert!(!reply.fault().1.is_empty());
        assert_eq!(reply.header("connection"), "close");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    }
}

/// Scenario: Content-Length and Transfer-Encoding together, alone and behind a
/// sound request.
/// Guarantees: H21, 400 in the request's encoding and close; the sound one is answered.
#[tokio::test]
async fn otlp_h21_two_lengths_are_400_and_close() {
    let server = Server::start().await;
    let two = format!("{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let reply = parse(&raw(server.http, two.as_bytes()).await);
    assert_eq!((reply.status, reply.fault().0), (StatusCode::BAD_REQUEST, 3));
    assert_eq!(reply.header("content-type"), PROTOBUF.1);

    let sound = format!("{HEAD}Content-Length: 0\r\n\r\n");
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all([sound, two].concat().as_bytes()).await.unwrap();
    assert_eq!(one(&mut socket).await.status, StatusCode::OK);
    assert_eq!(one(&mut socket).await.status, StatusCode::BAD_REQUEST);
    assert!(rest(&mut socket).await.is_empty());
}

/// Scenario: senders leave in the middle of a sized and of a chunked body.
/// Guarantees: H19, nothing is appended, the bytes return, and it is counted.
#[tokio::test]
async fn otlp_h19_half_a_body_stores_nothing() {
    let server = Server::start().await;
    let body = payload::logs(1);
    let half = &body[..body.len() / 2];
    let sized = format!("{HEAD}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", half.len());
    for head in [sized, chunked.into_bytes()] {
        let mut socket = TcpStream::connect(server.http).await.unwrap();
        socket.write_all(&[&head[..], half].concat()).await.unwrap();
        eventually("half of it is in", || server.budget.used() > 0).await;
        drop(socket);
        eventually("its bytes return", || server.budget.used() == 0).await;
    }
    let counted = "cloudsail_otlp_refused_requests_total{signal=\"logs\",door=\"otlp_http\",reason=\"broken_body\"} 2";
    eventually("both are counted", || server.metrics().contains(counted)).await;
    assert_eq!(server.sink.asked(), 0);
}

/// Scenario: a sender closes its half after the body and waits for the answer.
/// Guarantees: H21, a half-closed connection is answered.
#[tokio::test]
async fn otlp_h21_a_half_closed_connection_is_answered() {
    let server = Server::start().await;
    let body = payload::logs(1);
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    let head = format!("{HEAD}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    socket.write_all(&[&head[..], &body].concat()).await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(parse(&rest(&mut socket).await).status, StatusCode::OK);
}

/// Scenario: a head, a body and a connection that take their time.
/// Guarantees: H20 and F35, 408 for the first two, a silent close for idleness,
/// each when its own time is over.
#[tokio::test]
async fn otlp_h20_slow_heads_slow_bodies_and_idleness_end() {
    let server = Server::with(|s| {
        s.header_timeout = Duration::from_millis(200);
        s.body_timeout = Duration::from_millis(400);
        s.http_idle_timeout = Duration::from_millis(800);
    })
    .await;
    let (took, status) = timed(&server, HEAD.as_bytes()).await;
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert_eq!(status, Some(StatusCode::REQUEST_TIMEOUT));
    let slow_body = format!("{HEAD}Content-Length: 10\r\n\r\n1");
    let (took, status) = timed(&server, slow_body.as_bytes()).await;
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert_eq!(status, Some(StatusCode::REQUEST_TIMEOUT));
    eventually("its bytes return", || server.budget.used() == 0).await;

    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(format!("{HEAD}Content-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(one(&mut socket).await.status, StatusCode::OK);
    let idle = Instant::now();
    assert!(rest(&mut socket).await.is_empty());
    assert!(idle.elapsed() > Duration::from_millis(700), "{:?}", idle.elapsed());
    assert_eq!(timed(&server, b"").await.1, None);
}

/// Sends bytes, waits for the close; the time it took and the status, if any.
async fn timed(server: &Server, bytes: &[u8]) -> (Duration, Option<StatusCode>) {
    let begun = Instant::now();
    let answer = raw(server.http, bytes).await;
    (begun.elapsed(), (!answer.is_empty()).then(|| parse(&answer).status))
}

/// Scenario: a sender that is refused goes on sending many megabytes.
/// Guarantees: H13, the answer reaches it and is not lost in a reset.
#[tokio::test]
async fn otlp_h13_a_refused_sender_gets_its_answer() {
    let server = Server::with(|s| s.max_request_bytes = 1000).await;
    let body = vec![b' '; 8 << 20];
    let reply = post(server.http, "/v1/logs", &[JSON], body).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Scenario: TLS on the plaintext port.
/// Guarantees: G13, the connection is closed and counted.
#[tokio::test]
async fn otlp_g13_tls_on_the_http_port_is_closed() {
    let server = Server::start().await;
    assert!(raw(server.http, b"\x16\x03\x01\x02\x00").await.is_empty());
    let counted =
        "cloudsail_otlp_turned_away_connections_total{door=\"otlp_http\",reason=\"tls\"} 1";
    assert!(server.metrics().contains(counted));
}

/// Scenario: a drain begins while a request is in flight and a connection idles.
/// Guarantees: G24 and D1, the request is answered and stored, and the drain ends.
#[tokio::test]
async fn otlp_g24_a_drain_answers_http_requests_in_flight() {
    let mut server = Server::start().await;
    server.sink.set(Mood::Waits);
    let _idle = TcpStream::connect(server.http).await.unwrap();
    let mut kept = TcpStream::connect(server.http).await.unwrap();
    kept.write_all(format!("{HEAD}Content-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(one(&mut kept).await.status, StatusCode::OK);
    let (addr, sink) = (server.http, server.sink.clone());
    let call = post(addr, "/v1/logs", &[PROTOBUF], payload::logs(1));
    let finishing = async {
        eventually("the append is under way", || sink.asked() == 1).await;
        server.cancel.cancel();
        assert!(rest(&mut kept).await.is_empty());
        sink.release();
        server.drain().await;
    };
    let (reply, ()) = tokio::join!(call, finishing);
    assert_eq!((reply.status, sink.rows()), (StatusCode::OK, 1));
    assert!(TcpStream::connect(addr).await.is_err());
}
