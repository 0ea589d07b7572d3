//! Whole requests: empty, partly bad, all bad, undecodable (B.1, decode's half).

use collector::decode::{Encoding, Limits, Reason, Warning};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use schema::{ErrorKind, Signal};

use crate::decode_support::*;

const SIGNALS: [Signal; 3] = Signal::ALL;

/// Scenario: requests without items, with envelopes empty at every level.
/// Guarantees: G3, no rows and no error.
#[test]
fn otlp_g3_empty_requests_have_no_rows() {
    for signal in SIGNALS {
        // Resources, scopes and their parts have these numbers in every signal.
        for body in [&[][..], &[0x0a, 0], &[0x0a, 2, 0x0a, 0], &[0x0a, 2, 0x12, 0]] {
            let decoded = decode(signal, Encoding::Protobuf, body).unwrap();
            assert!(decoded.rows.is_none());
            assert_eq!(decoded.rejected.count(), 0);
            assert_eq!(decoded.message(), None);
        }
    }
    for (signal, text) in [
        (Signal::Traces, "{}"),
        (Signal::Traces, r#"{"resourceSpans":[]}"#),
        (Signal::Traces, r#"{"resourceSpans":[{}]}"#),
        (Signal::Logs, r#"{"resourceLogs":[{"scopeLogs":[{}]}]}"#),
        (Signal::Metrics, r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[]}]}]}"#),
    ] {
        let decoded = json(signal, text).unwrap();
        assert!(decoded.rows.is_none() && decoded.rejected.count() == 0, "{text}");
    }
}

/// Scenario: two good spans and three bad ones over two resources.
/// Guarantees: G4, the count is of items and exact, and the message names the
/// first offenders and stays small.
#[test]
fn otlp_g4_rejected_items_are_counted_and_named() {
    let bad = Span { name: "bad".repeat(1000), trace_id: vec![1; 5], ..span() };
    let mut request = traces(vec![span(), bad.clone(), bad.clone()]);
    request.resource_spans.extend(traces(vec![bad, span()]).resource_spans);
    let decoded = protobuf(Signal::Traces, &request);
    assert_eq!(decoded.accepted, 2);
    assert_eq!(decoded.rejected.count(), 3);
    assert_eq!(decoded.rejected.get(Reason::InvalidId), 3);
    let message = decoded.message().unwrap();
    assert!(message.starts_with("3 rejected (invalid_id: 3): span [0][0][1]: "), "{message}");
    assert!(message.contains("span [1][0][0]: \"badbad"), "{message}");
    assert!(message.len() <= 1024);
}

/// Scenario: every span of a request is bad.
/// Guarantees: G5, no rows, so that the door can refuse the request.
#[test]
fn otlp_g5_all_rejected_leaves_no_rows() {
    let bad = Span { span_id: vec![0; 8], ..span() };
    let decoded = protobuf(Signal::Traces, &traces(vec![bad]));
    assert!(decoded.rows.is_none());
    assert_rejected(&decoded, Reason::InvalidId);
}

/// Scenario: an attribute is longer than the limit; nothing else is odd.
/// Guarantees: G6, a message without a rejection.
#[test]
fn otlp_g6_a_warning_is_told_without_a_rejection() {
    let long = text("long", &"x".repeat(70_000));
    let decoded =
        protobuf(Signal::Traces, &traces(vec![Span { attributes: vec![long], ..span() }]));
    assert_eq!((decoded.accepted, decoded.rejected.count()), (1, 0));
    assert_eq!(decoded.message().unwrap(), "1 values were cut: they exceed the limits");
}

/// Scenario: bodies that are not protobuf, or not of these messages.
/// Guarantees: G7, an `Invalid` error that says where and why.
#[test]
fn otlp_g7_undecodable_protobuf_is_invalid() {
    let good = traces(vec![span()]).encode_to_vec();
    let cut = &good[..good.len() - 3];
    let cases: [(&[u8], &str); 12] = [
        (cut, "bytes left"),
        (&[0x0a], "a varint is cut off"),
        (&[0x0a, 5, 0], "a field of 5 bytes has 1 bytes left"),
        (&[0x00, 0], "field number 0 does not exist"),
        (&[0x0f], "wire type 7 does not exist"),
        (&[0x08, 1], "field 1 is not a string, bytes or message"),
        (&[0x0c], "a group ends that has not begun"),
        (&[0x2b, 0x34], "a group ends that has not begun"),
        (&[0x2b, 0x08], "a varint is cut off"),
        (&[0x31, 1, 2], "a number is cut off"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "a varint is too long"),
        (&[0x0a, 4, 0x12, 2, 0x12, 0x30], "in resources[0].scopes[0]"),
    ];
    for (body, cause) in cases {
        let error = decode(Signal::Traces, Encoding::Protobuf, body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(cause), "{cause}: {error}");
        assert!(error.to_string().contains("at byte"), "{error}");
    }
    let error = decode(Signal::Traces, Encoding::Protobuf, b"{\"resourceSpans\":[]}").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// Scenario: a span's name and an attribute's key are not UTF-8.
/// Guarantees: G26, the span is stored with U+FFFD and the fault is counted.
#[test]
fn otlp_g26_invalid_utf8_is_replaced_and_counted() {
    let mut body =
        traces(vec![Span { attributes: vec![text("kkk", "v")], ..span() }]).encode_to_vec();
    for needle in [&b"GET /"[..], b"kkk"] {
        let at = body.windows(needle.len()).position(|window| window == needle).unwrap();
        body[at + 1] = 0xff;
    }
    assert!(ExportTraceServiceRequest::decode(&body[..]).is_err(), "prost gives up");
    let decoded = decode(Signal::Traces, Encoding::Protobuf, &body).unwrap();
    let row = row(&decoded);
    assert_eq!(row["name"], "G\u{fffd}T /");
    assert_eq!(row["attributes"]["k\u{fffd}k"], "v");
    assert_eq!(decoded.warnings.get(Warning::InvalidUtf8), 2);
}

/// Scenario: fields of later protocol versions at every level, groups among
/// them, enum numbers nobody knows, and values that only profiles have.
/// Guarantees: G27, unknown fields change nothing, numbers stay, such values
/// are absent and counted.
#[test]
fn otlp_g27_unknown_fields_are_passed_over() {
    let unknown =
        [0xba, 0x3e, 2, 1, 2, 0xc3, 0x3e, 0x08, 1, 0xc4, 0x3e, 0xc9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8];
    let wrap = |tag: u8, inner: Vec<u8>| {
        let mut field = vec![tag << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut field);
        [&unknown[..], &field, &inner, &unknown].concat()
    };
    let known = Span { kind: 77, ..span() };
    let span_bytes = [&unknown[..], &known.encode_to_vec(), &unknown].concat();
    let body = wrap(1, wrap(2, wrap(2, span_bytes)));
    let decoded = decode(Signal::Traces, Encoding::Protobuf, &body).unwrap();
    let bare = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans { spans: vec![known], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    assert_eq!(decoded.rows, protobuf(Signal::Traces, &bare).rows);
    assert_eq!(row(&decoded)["kind"], "77");

    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let mut profile = attribute("strindex", Value::StringValueStrindex(3));
    profile.key_strindex = 4;
    let decoded =
        protobuf(Signal::Traces, &traces(vec![Span { attributes: vec![profile], ..span() }]));
    assert_eq!(row(&decoded)["attributes"]["strindex"], serde_json::Value::Null);
    assert_eq!(decoded.warnings.get(Warning::UnknownValue), 2);
}

/// Scenario: values nested to the limit, past it, and absurdly deep, in every
/// place that holds values and in both encodings.
/// Guarantees: G28, one limit for both; a record past it is rejected, whatever
/// prost and serde_json would have said, and nothing overflows.
#[test]
fn otlp_g28_depth_has_one_limit() {
    for maps in [true, false] {
        for depth in [24, 25, 28] {
            let value = nested(depth, maps);
            let spans =
                traces(vec![Span { attributes: vec![attribute("a", value.clone())], ..span() }]);
            let mut resource = traces(vec![span()]);
            resource.resource_spans[0].resource.as_mut().unwrap().attributes =
                vec![attribute("a", value.clone())];
            let mut scope = traces(vec![span()]);
            scope.resource_spans[0].scope_spans[0].scope.as_mut().unwrap().attributes =
                vec![attribute("a", value)];
            for request in [spans, resource, scope] {
                let decoded = protobuf(Signal::Traces, &request);
                if depth <= 24 {
                    assert_eq!(decoded.accepted, 1, "{depth}");
                } else {
                    assert_rejected(&decoded, Reason::TooDeep);
                }
            }
        }
    }
    // Only the deep record goes; its neighbour stays.
    let open = r#"{"arrayValue":{"values":["#;
    for depth in [24, 25, 200] {
        let body = format!("{}{{}}{}", open.repeat(depth), "]}}".repeat(depth));
        let request = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}},{{"timeUnixNano":1}}]}}]}}]}}"#
        );
        let decoded = json(Signal::Logs, &request).unwrap();
        assert_eq!(decoded.accepted, if depth == 24 { 2 } else { 1 }, "{depth}");
        assert_eq!(decoded.rejected.get(Reason::TooDeep), u64::from(depth != 24));
    }
    let hostile = format!(r#"{{"resourceLogs":{}"#, "[".repeat(1_000_000));
    assert_eq!(json(Signal::Logs, &hostile).unwrap_err().kind(), ErrorKind::Invalid);
    // A million levels of protobuf: each is a length around the rest.
    let mut value = vec![0x2a, 0];
    for _ in 0..10_000 {
        let mut outer = vec![0x0a];
        prost::encoding::encode_varint(value.len() as u64, &mut outer);
        outer.append(&mut value);
        value.push(0x2a);
        prost::encoding::encode_varint(outer.len() as u64, &mut value);
        value.append(&mut outer);
    }
    let mut body = value;
    for tag in [2, 6, 2, 2, 1u8] {
        let mut outer = vec![tag << 3 | 2];
        prost::encoding::encode_varint(body.len() as u64, &mut outer);
        outer.append(&mut body);
        body = outer;
    }
    let decoded = decode(Signal::Logs, Encoding::Protobuf, &body).unwrap();
    assert_eq!(decoded.rejected.get(Reason::TooDeep), 1);
}

/// Scenario: a configured depth far past any stack's patience.
/// Guarantees: G28, a setting cannot bring the overflow back.
#[test]
fn otlp_g28_a_configured_depth_is_bounded() {
    let limits = Limits { max_depth: usize::MAX, ..Limits::default() };
    let open = r#"{"arrayValue":{"values":["#;
    let body = format!("{}{{}}{}", open.repeat(200), "]}}".repeat(200));
    let request =
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}}]}}]}}]}}"#);
    let decoded = decode_with(Signal::Logs, Encoding::Json, request.as_bytes(), &limits).unwrap();
    assert_rejected(&decoded, Reason::TooDeep);
}
