//! What the HTTP door answers to requests right and wrong (H1 to H10, H14, H24).

use http::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use schema::Door;

use crate::support::http::{JSON, PROTOBUF, Reply, post, post_http2, request};
use crate::support::{Server, payload};

/// Scenario: the three paths, with a slash at the end, and behind a prefix.
/// Guarantees: H1, each stores its signal and none redirects.
#[tokio::test]
async fn otlp_h1_paths_prefixes_and_slashes() {
    let server = Server::with(|s| s.http_prefixes = vec!["/otlp".into()]).await;
    for path in ["/v1/traces", "/v1/traces/", "/otlp/v1/traces"] {
        let reply = post(server.http, path, &[PROTOBUF], payload::spans(1, 0)).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
    }
    post(server.http, "/v1/metrics", &[PROTOBUF], payload::points(2, 0)).await;
    post(server.http, "/v1/logs", &[PROTOBUF], payload::logs(3)).await;
    let taken = server.sink.taken.lock().clone();
    let door = Door::OtlpHttp;
    assert_eq!(taken[..3], [("spans", door, 1); 3]);
    assert_eq!(taken[3..], [("metrics", door, 2), ("logs", door, 3)]);
}

/// Scenario: requests of which everything is stored, in both encodings.
/// Guarantees: H2 and H3, 200, the request's content type, zero bytes or `{}`.
#[tokio::test]
async fn otlp_h2_success_is_200_in_the_requests_encoding() {
    let server = Server::start().await;
    let reply = post(server.http, "/v1/traces", &[PROTOBUF], payload::spans(1, 0)).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!((reply.header("content-type"), &reply.body[..]), (PROTOBUF.1, &b""[..]));
    let odd = ("content-type", "Application/JSON; charset=UTF-8");
    for json in [JSON, odd] {
        let reply = post(server.http, "/v1/logs", &[json], payload::JSON_LOG).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!((reply.header("content-type"), &reply.body[..]), (JSON.1, &b"{}"[..]));
    }
    assert_eq!(server.sink.rows(), 3);
}

/// Scenario: the whole of H2 once more, for the empty body of H3.
/// Guarantees: H3, protobuf success has Content-Length 0 and its content type.
#[tokio::test]
async fn otlp_h3_protobuf_success_has_no_bytes() {
    let server = Server::start().await;
    let reply = post(server.http, "/v1/logs", &[PROTOBUF], payload::logs(1)).await;
    assert_eq!((reply.header("content-length"), reply.header("content-type")), ("0", PROTOBUF.1));
}

/// Scenario: two of five spans are bad, in both encodings.
/// Guarantees: H4, partial success with the count as a string in JSON.
#[tokio::test]
async fn otlp_h4_partial_success_in_both_encodings() {
    let server = Server::start().await;
    let reply = post(server.http, "/v1/traces", &[PROTOBUF], payload::spans(3, 2)).await;
    assert_eq!(reply.status, StatusCode::OK);
    let partial = ExportTraceServiceResponse::decode(&reply.body[..]).unwrap().partial_success;
    assert_eq!(partial.unwrap().rejected_spans, 2);
    let good = r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174"}"#;
    let bad = r#"{"traceId":"","spanId":"EEE19B7EC3C1B174"}"#;
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{good},{bad}]}}]}}]}}"#);
    let json = post(server.http, "/v1/traces", &[JSON], body).await;
    assert_eq!(json.status, StatusCode::OK);
    let partial = &json.json()["partialSuccess"];
    assert_eq!(partial["rejectedSpans"], "1");
    assert!(partial["errorMessage"].as_str().unwrap().contains("invalid_id: 1"));
    assert_eq!(server.sink.rows(), 4);
}

/// Scenario: empty bodies and empty objects.
/// Guarantees: H5, no bytes are an empty protobuf request, but not JSON.
#[tokio::test]
async fn otlp_h5_empty_bodies() {
    let server = Server::start().await;
    assert_eq!(post(server.http, "/v1/logs", &[PROTOBUF], "").await.status, StatusCode::OK);
    assert_eq!(post(server.http, "/v1/logs", &[JSON], "{}").await.status, StatusCode::OK);
    let empty = post(server.http, "/v1/logs", &[JSON], "").await;
    assert_eq!((empty.status, empty.fault().0), (StatusCode::BAD_REQUEST, 3));
    assert_eq!(server.sink.asked(), 0);
}

/// Scenario: bodies that are not what they say, and items that are all bad.
/// Guarantees: H6, 400 with a Status that has BadRequest, in the request's encoding.
#[tokio::test]
async fn otlp_h6_undecodable_is_400_with_details() {
    let server = Server::start().await;
    let reply = post(server.http, "/v1/traces", &[PROTOBUF], &[0xff_u8; 11][..]).await;
    assert_eq!((reply.status, reply.fault().0), (StatusCode::BAD_REQUEST, 3));
    let status = tonic_types::Status::decode(&reply.body[..]).unwrap();
    assert_eq!(status.details[0].type_url, "type.googleapis.com/google.rpc.BadRequest");

    for body in ["{\"resourceLogs\": 1}", "[]", "{} x", "null!"] {
        let reply = post(server.http, "/v1/logs", &[JSON], body).await;
        assert_eq!((reply.status, reply.fault().0), (StatusCode::BAD_REQUEST, 3), "{body}");
        let detail = &reply.json()["details"][0];
        assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest");
        assert!(!detail["fieldViolations"][0]["description"].as_str().unwrap().is_empty());
    }
    let all_bad = post(server.http, "/v1/traces", &[PROTOBUF], payload::spans(0, 2)).await;
    assert_eq!((all_bad.status, all_bad.fault().0), (StatusCode::BAD_REQUEST, 3));
    assert_eq!(server.sink.asked(), 0);
}

/// Scenario: a refusal of each of our layers, asked in protobuf, JSON and neither.
/// Guarantees: H7 and H24, each body is a Status in that encoding, JSON by default.
#[tokio::test]
async fn otlp_h7_every_refusal_is_a_status_in_the_requests_encoding() {
    let server = Server::with(|s| s.max_request_bytes = 100).await;
    let large = "x".repeat(101);
    let unknown = ("content-type", "text/plain");
    for content_type in [PROTOBUF, JSON, unknown] {
        let encoded = if content_type == PROTOBUF { PROTOBUF.1 } else { JSON.1 };
        let coded = [content_type, ("content-encoding", "snappy")];
        let post = |path, headers, body| request(server.http, "POST", path, headers, body);
        let mut replies = vec![
            (404, post("/v2/traces", &coded[..1], String::new()).await),
            (405, request(server.http, "PUT", "/v1/logs", &coded[..1], "").await),
            (415, post("/v1/logs", &coded[..], String::new()).await),
        ];
        if content_type != unknown {
            replies.push((413, post("/v1/logs", &coded[..1], large.clone()).await));
            replies.push((400, post("/v1/logs", &coded[..1], "?".into()).await));
        }
        for (status, reply) in replies {
            assert_eq!(reply.status.as_u16(), status, "{content_type:?}");
            assert_eq!(reply.header("content-type"), encoded, "{status}");
            assert!(!reply.fault().1.is_empty());
            hardened(&reply);
        }
    }
}

/// Scenario: every other method on a signal's path.
/// Guarantees: H8, 405 with Allow; OPTIONS is answered.
#[tokio::test]
async fn otlp_h8_other_methods_are_405() {
    let server = Server::start().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE"] {
        let reply = request(server.http, method, "/v1/traces", &[], "").await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(reply.header("allow"), "POST, OPTIONS");
        assert_eq!(reply.fault().0, 12);
    }
    let head = request(server.http, "HEAD", "/v1/traces", &[], "").await;
    assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
    let options = request(server.http, "OPTIONS", "/v1/traces", &[], "").await;
    assert_eq!(
        (options.status, options.header("allow")),
        (StatusCode::NO_CONTENT, "POST, OPTIONS")
    );
}

/// Scenario: paths that are none of ours.
/// Guarantees: H9, 404 naming those that are.
#[tokio::test]
async fn otlp_h9_an_unknown_path_names_the_known_ones() {
    let server = Server::start().await;
    for path in ["/", "/v1", "/v1/trace", "/v1development/profiles", "/otlp/v1/traces"] {
        let reply = post(server.http, path, &[JSON], "{}").await;
        assert_eq!((reply.status, reply.fault().0), (StatusCode::NOT_FOUND, 5), "{path}");
        for valid in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
            assert!(reply.fault().1.contains(valid));
        }
    }
}

/// Scenario: content types missing, other, and meant for another port.
/// Guarantees: H10, 415 with a hint.
#[tokio::test]
async fn otlp_h10_other_content_types_are_415() {
    let server = Server::start().await;
    let other = [
        ("application/grpc", "4317"),
        ("application/protobuf", "application/x-protobuf"),
        ("application/x-protobuf-gzip", "Content-Encoding"),
        ("text/plain", "application/json"),
    ];
    for (content_type, hint) in other {
        let reply = post(server.http, "/v1/logs", &[("content-type", content_type)], "").await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert!(reply.fault().1.contains(hint), "{}", reply.fault().1);
    }
    let none = post(server.http, "/v1/logs", &[], "").await;
    assert_eq!(none.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

/// Scenario: 3,000 bad spans beside a good one.
/// Guarantees: H14, the answer is short, with the exact count.
#[tokio::test]
async fn otlp_h14_answers_are_short() {
    let server = Server::start().await;
    let reply = post(server.http, "/v1/traces", &[PROTOBUF], payload::spans(1, 3000)).await;
    let partial = ExportTraceServiceResponse::decode(&reply.body[..]).unwrap().partial_success;
    assert_eq!(partial.unwrap().rejected_spans, 3000);
    assert!(reply.body.len() < 2048, "{}", reply.body.len());
}

/// Scenario: the same request over HTTP/1.1 and over HTTP/2 without TLS.
/// Guarantees: H21, prior knowledge works and answers alike.
#[tokio::test]
async fn otlp_h21_http2_prior_knowledge() {
    let server = Server::start().await;
    let reply = post_http2(server.http, "/v1/logs", &[PROTOBUF], payload::logs(2)).await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 0));
    let reply = post_http2(server.http, "/v1/x", &[JSON], "").await;
    assert_eq!((reply.status, reply.fault().0), (StatusCode::NOT_FOUND, 5));
    assert_eq!(server.sink.rows(), 2);
}

/// Scenario: answers good and bad, to a sender that would take gzip.
/// Guarantees: H22, small bodies stay plain, and say so by no encoding.
#[tokio::test]
async fn otlp_h22_small_answers_are_not_compressed() {
    let server = Server::start().await;
    let offered = [JSON, ("accept-encoding", "gzip")];
    for (path, body) in [("/v1/logs", payload::JSON_LOG), ("/v1/logs", "?"), ("/", "")] {
        let reply = post(server.http, path, &offered, body).await;
        assert_eq!(reply.header("content-encoding"), "");
    }
}

/// Scenario: answers good and bad.
/// Guarantees: H24, nosniff, no-store, and no word about who answers.
#[tokio::test]
async fn otlp_h24_answers_are_hardened() {
    let server = Server::start().await;
    for (path, body) in [("/v1/logs", payload::JSON_LOG), ("/v1/logs", "?"), ("/", "")] {
        hardened(&post(server.http, path, &[JSON], body).await);
    }
}

fn hardened(reply: &Reply) {
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!((reply.header("server"), reply.header("x-powered-by")), ("", ""));
}
