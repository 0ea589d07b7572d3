//! What the gRPC door answers to requests right and wrong (G1 to G13, G26 to G28).

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use schema::Door;
use tonic::Code;

use crate::support::grpc::{Client, LOGS, METRICS, TRACES, frame};
use crate::support::{Server, payload};

/// Scenario: each of the three services, an unknown one, and profiles.
/// Guarantees: G1 and G13, three calls exist and others are UNIMPLEMENTED.
#[tokio::test]
async fn otlp_g1_three_services_and_no_other() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    for (path, message) in
        [(TRACES, payload::spans(2, 0)), (METRICS, payload::points(3, 0)), (LOGS, payload::logs(4))]
    {
        assert_eq!(client.export(path, &message).await.code(), Code::Ok, "{path}");
    }
    let taken = server.sink.taken.lock().clone();
    let door = Door::OtlpGrpc;
    assert_eq!(taken, [("spans", door, 2), ("metrics", door, 3), ("logs", door, 4)]);
    for path in [
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
        "/",
    ] {
        assert_eq!(client.export(path, b"").await.code(), Code::Unimplemented, "{path}");
    }
}

/// Scenario: a request of which everything is stored.
/// Guarantees: G2, OK with a message of no bytes, so partial success is unset.
#[tokio::test]
async fn otlp_g2_success_leaves_partial_success_unset() {
    let server = Server::start().await;
    let reply = Client::connect(server.grpc).await.export(TRACES, &payload::spans(1, 0)).await;
    assert_eq!((reply.http, reply.code()), (200, Code::Ok));
    assert_eq!(reply.headers["content-type"], "application/grpc");
    assert_eq!(&reply.data[..], frame(0, b""));
    assert_eq!(server.sink.rows(), 1);
}

/// Scenario: no bytes, and envelopes empty at every level.
/// Guarantees: G3, OK and nothing is appended.
#[tokio::test]
async fn otlp_g3_an_empty_request_is_ok_and_stores_nothing() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    for path in [TRACES, METRICS, LOGS] {
        // No resource; one without scopes; one with a scope without items.
        for message in [&b""[..], &[0x0a, 0], &[0x0a, 2, 0x12, 0]] {
            let reply = client.export(path, message).await;
            assert_eq!((reply.code(), &reply.data[..]), (Code::Ok, &frame(0, b"")[..]));
        }
    }
    assert_eq!(server.sink.asked(), 0);
}

/// Scenario: some items of each signal are bad.
/// Guarantees: G4, OK with the exact count of items and a message; the good are stored.
#[tokio::test]
async fn otlp_g4_partial_success_counts_items() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    let reply = client.export(TRACES, &payload::spans(3, 2)).await;
    assert_eq!(reply.code(), Code::Ok);
    let partial = ExportTraceServiceResponse::decode(&reply.data[5..]).unwrap().partial_success;
    let partial = partial.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert!(partial.error_message.contains("invalid_id: 2"), "{}", partial.error_message);

    let reply = client.export(METRICS, &payload::points(4, 1)).await;
    let partial = ExportMetricsServiceResponse::decode(&reply.data[5..]).unwrap().partial_success;
    assert_eq!(partial.unwrap().rejected_data_points, 1);
    assert_eq!(server.sink.rows(), 7);
    let metrics = server.metrics();
    assert!(metrics.contains(
        "cloudsail_otlp_rejected_items_total{signal=\"traces\",door=\"otlp_grpc\",reason=\"invalid_id\"} 2"
    ));
    assert!(
        metrics.contains(
            "cloudsail_otlp_accepted_items_total{signal=\"metrics\",door=\"otlp_grpc\"} 4"
        )
    );
}

/// Scenario: every item is bad.
/// Guarantees: G5, INVALID_ARGUMENT, not OK; nothing is appended.
#[tokio::test]
async fn otlp_g5_nothing_accepted_is_invalid_argument() {
    let server = Server::start().await;
    let reply = Client::connect(server.grpc).await.export(TRACES, &payload::spans(0, 3)).await;
    assert_eq!(reply.code(), Code::InvalidArgument);
    assert!(reply.message().contains("3 rejected"), "{}", reply.message());
    assert_eq!((reply.retry(), server.sink.asked()), (None, 0));
}

/// Scenario: an attribute value is longer than the limit and is cut.
/// Guarantees: G6, a remark is partial success with nothing rejected.
#[tokio::test]
async fn otlp_g6_a_remark_is_a_message_with_nothing_rejected() {
    let server = Server::with(|s| s.decode.max_value_bytes = 100).await;
    let attribute = opentelemetry_proto::tonic::common::v1::KeyValue {
        key: "k".into(),
        value: payload::text(&"x".repeat(1000)),
        ..Default::default()
    };
    let record = LogRecord { attributes: vec![attribute], ..LogRecord::default() };
    let message = payload::log_records(vec![record]);
    let reply = Client::connect(server.grpc).await.export(LOGS, &message).await;
    let partial = ExportLogsServiceResponse::decode(&reply.data[5..]).unwrap().partial_success;
    let partial = partial.unwrap();
    assert_eq!(partial.rejected_log_records, 0);
    assert!(partial.error_message.contains("values were cut"), "{}", partial.error_message);
    assert_eq!(server.sink.rows(), 1);
}

/// Scenario: truncated messages, wrong wire types, endless varints, field 0.
/// Guarantees: G7, INVALID_ARGUMENT with BadRequest, never INTERNAL.
#[tokio::test]
async fn otlp_g7_undecodable_protobuf_is_invalid_argument() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    let whole = payload::spans(1, 0);
    for message in [
        &whole[..whole.len() - 1],
        &[0x0a, 0x05, 0x01],
        &[0x0d, 0, 0, 0, 0],
        &[0xff; 11],
        &[0x02, 0],
        b"{\"resourceSpans\":[]}",
    ] {
        let reply = client.export(TRACES, message).await;
        assert_eq!(reply.code(), Code::InvalidArgument, "{message:?}");
        assert!(reply.bad_request());
        assert_eq!(reply.retry(), None);
    }
    assert_eq!(server.sink.asked(), 0);
}

/// Scenario: a declared length over the limit, a body over it after
/// decompression, and one at the limit.
/// Guarantees: G8 and G9, RESOURCE_EXHAUSTED without RetryInfo, before the body came.
#[tokio::test]
async fn otlp_g8_too_large_is_resource_exhausted_and_final() {
    let message = payload::sized_logs(1, 1000);
    let limit = message.len() as u64;
    let server = Server::with(|s| s.max_request_bytes = limit).await;
    let mut client = Client::connect(server.grpc).await;
    assert_eq!(client.export(LOGS, &message).await.code(), Code::Ok);

    // Only the prefix is ever sent: the answer does not wait for the body.
    let prefix = frame(0, &[])[..1].iter().copied().chain(u32::MAX.to_be_bytes()).collect();
    let never = std::time::Duration::from_secs(3600);
    let declared = client.pieces(LOGS, &[], vec![prefix, vec![0]], never);
    let declared = tokio::time::timeout(std::time::Duration::from_secs(5), declared).await.unwrap();
    let over = client.export(LOGS, &payload::sized_logs(1, 1001)).await;
    let packed = payload::gzip(&payload::sized_logs(9, 900));
    let inflated = client.compressed(LOGS, "gzip", &packed).await;
    for reply in [declared, over, inflated] {
        assert_eq!(reply.code(), Code::ResourceExhausted);
        assert_eq!(reply.retry(), None);
        assert!(reply.message().contains("limits.max_request_bytes"), "{}", reply.message());
    }
    assert_eq!(server.sink.rows(), 1);
}

/// Scenario: 5 MiB with the default limit; a length of 1 GiB declared by a liar
/// who sends nothing more.
/// Guarantees: G9, the default is past 4 MiB, and a promise reserves next to nothing.
#[tokio::test]
async fn otlp_g9_the_default_limit_is_64_mib_and_promises_reserve_nothing() {
    let server = Server::within(2 << 30, |s| s.max_request_bytes = 1 << 30).await;
    let mut client = Client::connect(server.grpc).await;
    assert_eq!(collector::Settings::default().max_request_bytes, 64 << 20);
    assert_eq!(client.export(LOGS, &payload::sized_logs(5, 1 << 19)).await.code(), Code::Ok);
    let prefix = [&[0][..], &(200_u32 << 20).to_be_bytes()].concat();
    let never = std::time::Duration::from_secs(3600);
    let liar = client.start(LOGS, &[], vec![prefix, vec![0]], never);
    let served = async {
        crate::support::eventually("the liar is admitted", || server.budget.used() > 0).await;
        assert!(server.budget.used() <= 1 << 20, "{}", server.budget.used());
    };
    tokio::select! {
        _ = liar => panic!("nothing was to be answered"),
        () = served => {}
    }
    crate::support::eventually("the liar's bytes return", || server.budget.used() == 0).await;
}

/// Scenario: every supported coding, flagged and not, and unsupported ones.
/// Guarantees: G11, gzip, zstd, deflate and identity work; others are
/// UNIMPLEMENTED and told what works.
#[tokio::test]
async fn otlp_g11_codings_are_negotiated() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    let plain = payload::logs(3);
    for (name, packed) in payload::codings(&plain) {
        assert_eq!(client.compressed(LOGS, name, &packed).await.code(), Code::Ok, "{name}");
        // A single message may go uncompressed in a compressed call.
        let reply = client.send(LOGS, &[("grpc-encoding", name)], frame(0, &plain)).await;
        assert_eq!(reply.code(), Code::Ok, "{name}");
    }
    let reply = client.send(LOGS, &[("grpc-encoding", "identity")], frame(0, &plain)).await;
    assert_eq!(reply.code(), Code::Ok);
    assert_eq!(server.sink.rows(), 3 * 7);
    for name in ["snappy", "br", "lz4"] {
        let reply = client.compressed(LOGS, name, &plain).await;
        assert_eq!(reply.code(), Code::Unimplemented, "{name}");
        assert_eq!(reply.headers["grpc-accept-encoding"], "identity,gzip,zstd,deflate");
    }
}

/// Scenario: a compression flag without a coding, flags that do not exist, and
/// payloads that are not what they are said to be.
/// Guarantees: G12, INTERNAL for the flag, INVALID_ARGUMENT for the payload.
#[tokio::test]
async fn otlp_g12_flags_and_corrupt_payloads() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    let plain = payload::logs(1);
    assert_eq!(client.send(LOGS, &[], frame(1, &plain)).await.code(), Code::Internal);
    assert_eq!(client.send(LOGS, &[], frame(2, &plain)).await.code(), Code::Internal);
    for (name, packed) in payload::codings(&plain) {
        let cut = client.compressed(LOGS, name, &packed[..packed.len() - 1]).await;
        assert_eq!(cut.code(), Code::InvalidArgument, "{name}");
        let not = client.compressed(LOGS, name, &plain).await;
        assert_eq!(not.code(), Code::InvalidArgument, "{name}");
    }
    assert_eq!(server.sink.asked(), 0);
}

/// Scenario: calls without a message, with half of one, and with two.
/// Guarantees: G12, a broken framing is the sender's fault and never repeated.
#[tokio::test]
async fn otlp_g12_a_call_has_one_message() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    let whole = frame(0, &payload::logs(1));
    let two = [whole.clone(), whole.clone()].concat();
    for body in [vec![], whole[..3].to_vec(), whole[..whole.len() - 1].to_vec(), two] {
        let reply = client.send(LOGS, &[], body).await;
        assert_eq!(reply.code(), Code::InvalidArgument, "{}", reply.message());
    }
    // In as many pieces as it has bytes, it is one message still.
    let pieces = whole.iter().map(|byte| vec![*byte]).collect();
    let reply = client.pieces(LOGS, &[], pieces, std::time::Duration::ZERO).await;
    assert_eq!((reply.code(), server.sink.rows()), (Code::Ok, 1));
}

/// Scenario: other content types on the gRPC port.
/// Guarantees: G13, 415 with a hint, without a gRPC status.
#[tokio::test]
async fn otlp_g13_another_content_type_is_415() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    for other in ["application/json", "application/x-protobuf", "application/grpc-web", ""] {
        let reply = client.send(LOGS, &[("content-type", other)], vec![]).await;
        assert_eq!(reply.http, 415, "{other:?}");
        assert!(reply.status.is_none());
        assert!(String::from_utf8_lossy(&reply.data).contains("4318"));
    }
    let content_type = [("content-type", "application/grpc+proto")];
    let reply = client.send(LOGS, &content_type, frame(0, b"")).await;
    assert_eq!(reply.code(), Code::Ok);
}

/// Scenario: a log body whose bytes are not UTF-8, and a field nobody knows.
/// Guarantees: G26 and G27, the record is kept.
#[tokio::test]
async fn otlp_g26_invalid_utf8_and_unknown_fields_do_not_cost_the_batch() {
    let server = Server::start().await;
    let mut message = payload::sized_logs(2, 10);
    let body = message.windows(10).position(|w| w == b"xxxxxxxxxx").unwrap();
    message[body] = 0xff;
    // Field 999, a varint.
    message.extend([0xb8, 0x3e, 1]);
    let reply = Client::connect(server.grpc).await.export(LOGS, &message).await;
    assert_eq!((reply.code(), server.sink.rows()), (Code::Ok, 2));
}

/// Scenario: a value of a thousand nested arrays beside a plain one.
/// Guarantees: G28, the deep record is rejected, its sibling kept, the daemon lives.
#[tokio::test]
async fn otlp_g28_deep_nesting_costs_only_its_record() {
    let server = Server::start().await;
    let mut client = Client::connect(server.grpc).await;
    let nested = |levels| {
        let mut value = AnyValue::default();
        for _ in 0..levels {
            let array = ArrayValue { values: vec![value] };
            value = AnyValue { value: Some(any_value::Value::ArrayValue(array)) };
        }
        LogRecord { body: Some(value), ..LogRecord::default() }
    };
    let siblings = payload::log_records(vec![nested(1000), nested(1)]);
    let reply = client.export(LOGS, &siblings).await;
    assert_eq!((reply.code(), server.sink.rows()), (Code::Ok, 1));
    let alone = client.export(LOGS, &payload::log_records(vec![nested(1000)])).await;
    assert_eq!(alone.code(), Code::InvalidArgument);
}
