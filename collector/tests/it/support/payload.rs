//! Telemetry to send.

use std::io::Write;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

pub const NOW: u64 = 1_700_000_000_000_000_000;

/// `good` spans, then `bad` ones whose ids are none.
pub fn spans(good: usize, bad: usize) -> Vec<u8> {
    let spans = (0..good + bad)
        .map(|n| Span {
            trace_id: if n < good { vec![1; 16] } else { vec![0; 16] },
            span_id: vec![2; 8],
            name: format!("span {n}"),
            start_time_unix_nano: NOW,
            end_time_unix_nano: NOW + 1,
            ..Span::default()
        })
        .collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

pub fn text(text: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(any_value::Value::StringValue(text.into())) })
}

pub fn log_records(records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

pub fn logs(records: usize) -> Vec<u8> {
    sized_logs(records, 10)
}

/// Records whose bodies have `bytes` bytes.
pub fn sized_logs(records: usize, bytes: usize) -> Vec<u8> {
    let record =
        LogRecord { time_unix_nano: NOW, body: text(&"x".repeat(bytes)), ..LogRecord::default() };
    log_records(vec![record; records])
}

/// `good` points, then `bad` ones without a time.
pub fn points(good: usize, bad: usize) -> Vec<u8> {
    let data_points = (0..good + bad)
        .map(|n| NumberDataPoint {
            time_unix_nano: if n < good { NOW } else { 0 },
            value: Some(number_data_point::Value::AsInt(n as i64)),
            ..NumberDataPoint::default()
        })
        .collect();
    let metrics = vec![Metric {
        name: "m".into(),
        data: Some(metric::Data::Gauge(Gauge { data_points })),
        ..Metric::default()
    }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

/// One log record in JSON.
pub const JSON_LOG: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
    {"timeUnixNano":"1700000000000000000","body":{"stringValue":"hello"}}]}]}]}"#;

pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(plain: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(plain, 1).unwrap()
}

/// What each coding makes of a body, by its name.
pub fn codings(plain: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    [("gzip", gzip(plain)), ("zstd", zstd(plain)), ("deflate", zlib(plain))]
}
