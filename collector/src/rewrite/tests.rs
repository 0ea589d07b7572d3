use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, metric,
};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde::Serialize;

use super::*;

const T: u64 = 1_661_000_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

fn traces(delta: u64) -> ExportTraceServiceRequest {
    let event = Event { time_unix_nano: T + delta + 5, name: "e".into(), ..Default::default() };
    let span = |start, end| Span {
        trace_id: vec![7; 16],
        name: "timeUnixNano".into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        events: vec![event.clone()],
        ..Default::default()
    };
    let spans = vec![span(T + delta, T + delta + 10), span(0, T + delta + 3)];
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }],
    }
}

fn logs(delta: u64) -> ExportLogsServiceRequest {
    let record = |time_unix_nano, observed_time_unix_nano| LogRecord {
        time_unix_nano,
        observed_time_unix_nano,
        ..Default::default()
    };
    let log_records = vec![record(0, T + delta), record(T + delta + 9, 0), record(0, 0)];
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }],
    }
}

fn metrics(delta: u64) -> ExportMetricsServiceRequest {
    use metric::Data;
    let (start, time) = (T + delta, T + delta + 1);
    let exemplars = || vec![Exemplar { time_unix_nano: time + 1, ..Default::default() }];
    let number = || NumberDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        exemplars: exemplars(),
        ..Default::default()
    };
    let histogram = HistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        exemplars: exemplars(),
        ..Default::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        exemplars: exemplars(),
        ..Default::default()
    };
    let summary = SummaryDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        ..Default::default()
    };
    let metrics = [
        Data::Gauge(Gauge { data_points: vec![number()] }),
        Data::Sum(Sum { data_points: vec![number()], ..Default::default() }),
        Data::Histogram(Histogram { data_points: vec![histogram], ..Default::default() }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential],
            ..Default::default()
        }),
        Data::Summary(Summary { data_points: vec![summary] }),
    ]
    .map(|data| Metric { name: "m".into(), data: Some(data), ..Default::default() });
    let scope_metrics = vec![ScopeMetrics { metrics: metrics.into(), ..Default::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..Default::default() }],
    }
}

/// Both encodings of a request, and of the one that shifting it must give.
fn check<M: Message + Serialize>(signal: Signal, before: M, after: M, expected: Peek) {
    let json = |message: &M| serde_json::to_vec(message).unwrap();
    for (encoding, body, moved) in [
        (Encoding::Protobuf, before.encode_to_vec(), after.encode_to_vec()),
        (Encoding::Json, json(&before), json(&after)),
    ] {
        assert_eq!(peek(signal, encoding, &body).unwrap(), expected, "{encoding:?}");
        let shifted = shift(signal, encoding, body, HOUR).unwrap();
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        assert_eq!(text(&shifted), text(&moved), "{encoding:?}");
        assert_eq!(shifted, moved, "{encoding:?}");
    }
    assert_eq!(json::signal(&json(&before)), Some(signal));
}

/// Scenario: a request of each signal, in both encodings, with every field that
/// holds a time, and some that are not set.
/// Guarantees: each time moves by the same constant, zero stays, nothing else changes.
#[test]
fn every_timestamp_moves_and_nothing_else() {
    let extent =
        |items, first, last| Peek { items, first_time: Some(first), last_time: Some(last) };
    let hour = HOUR as u64;
    check(Signal::Traces, traces(0), traces(hour), extent(2, T + 3, T + 10));
    check(Signal::Logs, logs(0), logs(hour), extent(3, T, T + 9));
    check(Signal::Metrics, metrics(0), metrics(hour), extent(5, T + 1, T + 1));
}

/// Scenario: answers with and without a partial success, in both encodings.
/// Guarantees: the count and the reason come out; an answer of all taken has none.
#[test]
fn partial_successes_are_read() {
    let told = Some((3, "too old".to_owned()));
    let json = br#"{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}"#;
    assert_eq!(partial_success(Encoding::Json, json).unwrap(), told);
    let protobuf = [b"\x0a\x0b\x08\x03\x12\x07", &b"too old"[..]].concat();
    assert_eq!(partial_success(Encoding::Protobuf, &protobuf).unwrap(), told);
    assert_eq!(partial_success(Encoding::Json, b"{}").unwrap(), None);
    assert_eq!(partial_success(Encoding::Protobuf, b"").unwrap(), None);
    assert!(partial_success(Encoding::Json, b"<html>").is_err());
}

/// Scenario: bodies that are cut, or no OTLP at all.
/// Guarantees: an error, never a panic; an empty request has no items.
#[test]
fn broken_bodies_are_errors() {
    let body = traces(0).encode_to_vec();
    for cut in 1..body.len() {
        // Cutting between fields leaves a valid, shorter message.
        if let Ok(peek) = peek(Signal::Traces, Encoding::Protobuf, &body[..cut]) {
            assert!(peek.items < 2, "{cut}");
        }
    }
    assert!(peek(Signal::Logs, Encoding::Protobuf, &[0xff; 12]).is_err());
    assert!(peek(Signal::Logs, Encoding::Json, b"[]").is_err());
    assert_eq!(peek(Signal::Logs, Encoding::Protobuf, b"").unwrap(), Peek::default());
    assert_eq!(json::signal(b"{}"), None);
    for odd in
        [&b"{\"timeUnixNano"[..], b"\"timeUnixNano\":", b"{\"a\":\"\\", b"\"timeUnixNano\":-5"]
    {
        assert_eq!(json::shift(odd, 1), odd);
    }
}
