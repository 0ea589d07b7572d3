//! How bodies arrive at the HTTP door: coded, large, chunked (H11 to H13, H21).

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::http::{JSON, PROTOBUF, one, post, raw};
use crate::support::{Server, eventually, payload};

/// Scenario: every known coding in odd spellings, and every unknown one.
/// Guarantees: H11, 200 for the known, 415 and Accept-Encoding for others.
#[tokio::test]
async fn otlp_h11_content_encodings() {
    let server = Server::start().await;
    let plain = payload::logs(2);
    let [(_, gzip), (_, zstd), (_, deflate)] = payload::codings(&plain);
    for (name, body) in [
        ("gzip", &gzip),
        ("GZip", &gzip),
        ("x-gzip", &gzip),
        ("zstd", &zstd),
        ("deflate", &deflate),
        ("identity", &plain),
    ] {
        let headers = [PROTOBUF, ("content-encoding", name)];
        let reply = post(server.http, "/v1/logs", &headers, body.clone()).await;
        assert_eq!(reply.status, StatusCode::OK, "{name}");
    }
    assert_eq!(server.sink.rows(), 12);
    let json = [JSON, ("content-encoding", "gzip")];
    let body = payload::gzip(payload::JSON_LOG.as_bytes());
    assert_eq!(post(server.http, "/v1/logs", &json, body).await.status, StatusCode::OK);
    for name in ["snappy", "x-snappy-framed", "lz4", "br", "", "gzip, gzip", "deflate, gzip"] {
        let headers = [PROTOBUF, ("content-encoding", name)];
        let reply = post(server.http, "/v1/logs", &headers, plain.clone()).await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{name}");
        assert_eq!(reply.header("accept-encoding"), "gzip, zstd, deflate");
    }
}

/// Scenario: bodies that are truncated, followed by garbage, of two members, or
/// not what their coding says.
/// Guarantees: H12, 400 with code 3; whole sequences are accepted.
#[tokio::test]
async fn otlp_h12_corrupt_bodies_are_400_and_sequences_are_not() {
    let server = Server::start().await;
    let plain = payload::logs(1);
    let (left, right) = plain.split_at(7);
    for (name, body) in payload::codings(&plain) {
        let headers = [PROTOBUF, ("content-encoding", name)];
        let truncated = body[..body.len() - 1].to_vec();
        let trailing = [&body[..], b"garbage"].concat();
        for bad in [plain.clone(), truncated, trailing, Vec::new()] {
            let reply = post(server.http, "/v1/logs", &headers, bad).await;
            assert_eq!((reply.status, reply.fault().0), (StatusCode::BAD_REQUEST, 3), "{name}");
        }
    }
    assert_eq!(server.sink.asked(), 0);
    let gzip = [payload::gzip(left), payload::gzip(right)].concat();
    let zstd = [payload::zstd(left), payload::zstd(right)].concat();
    for (name, body) in [("gzip", gzip), ("zstd", zstd)] {
        let headers = [PROTOBUF, ("content-encoding", name)];
        let reply = post(server.http, "/v1/logs", &headers, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{name}");
    }
}

/// Scenario: bodies over the limit, told by their length, found by counting,
/// and found after decompression.
/// Guarantees: H13, G10 and F34, 413 each time; a declared length is refused
/// before the body, and what a bomb takes stays within the budget.
#[tokio::test]
async fn otlp_h13_too_large_is_413_however_it_is_found() {
    let server = Server::within(16 << 20, |s| s.max_request_bytes = 1 << 20).await;
    // Nothing but the head is sent.
    let head = "POST /v1/logs HTTP/1.1\r\nContent-Type: application/json\r\n";
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(format!("{head}Content-Length: 1048577\r\n\r\n").as_bytes()).await.unwrap();
    let declared = one(&mut socket).await;

    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n100001\r\n").into_bytes();
    chunked.extend(vec![b' '; 0x100001]);
    let counted = crate::support::http::parse(&raw(server.http, &chunked).await);

    let mut replies = vec![declared, counted];
    for (name, bomb) in payload::codings(&vec![0; 16 << 20]) {
        let headers = [JSON, ("content-encoding", name)];
        replies.push(post(server.http, "/v1/logs", &headers, bomb).await);
    }
    for reply in replies {
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!((reply.fault().0, reply.header("retry-after")), (8, ""));
        assert!(reply.fault().1.contains("1048576 bytes"), "{}", reply.fault().1);
    }
    eventually("the budget is whole again", || server.budget.used() == 0).await;
    assert_eq!(server.sink.asked(), 0);
}

/// Scenario: 3 MiB, past the default of many frameworks.
/// Guarantees: H13, only our own limit limits.
#[tokio::test]
async fn otlp_h13_only_our_own_limit_limits() {
    let server = Server::start().await;
    let body = payload::sized_logs(6, 1 << 19);
    let reply = post(server.http, "/v1/logs", &[PROTOBUF], body).await;
    assert_eq!((reply.status, server.sink.rows()), (StatusCode::OK, 6));
}

/// Scenario: a sender waits for 100 Continue; one is refused before it sends.
/// Guarantees: H21, the body is asked for only when it is wanted.
#[tokio::test]
async fn otlp_h21_expect_100_continue() {
    let server = Server::start().await;
    let body = payload::logs(1);
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        )
    };
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(head("/v1/logs").as_bytes()).await.unwrap();
    assert_eq!(one(&mut socket).await.status, StatusCode::CONTINUE);
    socket.write_all(&body).await.unwrap();
    assert_eq!(one(&mut socket).await.status, StatusCode::OK);
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(head("/v2/logs").as_bytes()).await.unwrap();
    assert_eq!(one(&mut socket).await.status, StatusCode::NOT_FOUND);
}

/// Scenario: a chunked body in odd pieces with a trailer, then another request
/// on the same connection, then two pipelined ones.
/// Guarantees: H21, chunks, keep-alive and pipelining work.
#[tokio::test]
async fn otlp_h21_chunks_keep_alive_and_pipelining() {
    let server = Server::start().await;
    let body = payload::logs(1);
    let head = "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n";
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.chunks(5) {
        chunked.extend(format!("{:x};ext=1\r\n", piece.len()).into_bytes());
        chunked.extend([piece, b"\r\n"].concat());
    }
    chunked.extend(b"0\r\nTrailer: 1\r\n\r\n");
    let sized = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    let sized = [&sized[..], &body].concat();
    let mut socket = TcpStream::connect(server.http).await.unwrap();
    socket.write_all(&chunked).await.unwrap();
    assert_eq!(one(&mut socket).await.status, StatusCode::OK);
    socket.write_all(&sized).await.unwrap();
    assert_eq!(one(&mut socket).await.status, StatusCode::OK);
    socket.write_all(&[&sized[..], &chunked, &sized].concat()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(one(&mut socket).await.status, StatusCode::OK);
    }
    assert_eq!(server.sink.rows(), 5);
}
