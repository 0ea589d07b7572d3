//! What the decode tests share: a context, small requests, rows as JSON.

use arrow::json::writer::{JsonArray, WriterBuilder};
use collector::decode::{self, Context, Decoded, Encoding, Error, Limits, Reason};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use schema::{Catalog, Signal};
use serde_json::Value as Json;

/// 2026-11-23T00:00:00Z, when every request of these tests arrives.
pub const NOW: i64 = 1_795_392_000_000_000_000;

pub fn decode_with(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    limits: &Limits,
) -> Result<Decoded, Error> {
    let catalog = Catalog::default();
    let table = catalog.of(signal);
    let cx = Context { node_id: "node-1", ingest_unix_nano: NOW, table, limits };
    let decoded = decode::decode(signal, encoding, body, &cx)?;
    let rows = decoded.rows.as_ref().map_or(0, |rows| rows.num_rows());
    assert_eq!(rows as u64, decoded.accepted, "accepted is the number of rows");
    if let Some(rows) = &decoded.rows {
        assert!(rows.num_rows() > 0, "no rows is None");
        assert_eq!(rows.layout(), &table.layout, "the layout is exactly the table's");
    }
    Ok(decoded)
}

pub fn decode(signal: Signal, encoding: Encoding, body: &[u8]) -> Result<Decoded, Error> {
    decode_with(signal, encoding, body, &Limits::default())
}

pub fn protobuf(signal: Signal, request: &impl Message) -> Decoded {
    decode(signal, Encoding::Protobuf, &request.encode_to_vec()).expect("the request is valid")
}

pub fn json(signal: Signal, text: &str) -> Result<Decoded, Error> {
    decode(signal, Encoding::Json, text.as_bytes())
}

/// The rows as JSON objects, NULLs included.
pub fn rows(decoded: &Decoded) -> Vec<Json> {
    let Some(batch) = &decoded.rows else { return Vec::new() };
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(&batch.to_batch().expect("rows are whole")).expect("rows are JSON");
    writer.finish().expect("rows are JSON");
    serde_json::from_slice(&writer.into_inner()).expect("rows are JSON")
}

/// The only row.
pub fn row(decoded: &Decoded) -> Json {
    let mut rows = rows(decoded);
    assert_eq!(rows.len(), 1, "{:?}", decoded.rejected.message());
    rows.remove(0)
}

/// Asserts that nothing was accepted and one item rejected for a reason.
#[track_caller]
pub fn assert_rejected(decoded: &Decoded, reason: Reason) {
    assert_eq!(decoded.accepted, 0);
    assert_eq!(decoded.rejected.reasons().collect::<Vec<_>>(), [(reason, 1)]);
    let message = decoded.rejected.message().expect("a rejection is told");
    assert!(message.contains(reason.as_str()) && message.len() <= 1024, "{message}");
}

pub fn any(value: any_value::Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

pub fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: any(value), ..KeyValue::default() }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

pub fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

/// A value inside that many maps, or arrays.
pub fn nested(depth: usize, maps: bool) -> any_value::Value {
    (0..depth).fold(any_value::Value::IntValue(1), |inner, _| {
        if maps {
            any_value::Value::KvlistValue(KeyValueList { values: vec![attribute("k", inner)] })
        } else {
            let values = vec![AnyValue { value: Some(inner) }];
            any_value::Value::ArrayValue(ArrayValue { values })
        }
    })
}

pub fn service(name: &str) -> Option<Resource> {
    Some(Resource { attributes: vec![text("service.name", name)], ..Resource::default() })
}

pub fn library() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "lib".into(),
        version: "1.2".into(),
        ..InstrumentationScope::default()
    })
}

/// A valid span of one millisecond.
pub fn span() -> Span {
    Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        name: "GET /".into(),
        start_time_unix_nano: NOW as u64,
        end_time_unix_nano: NOW as u64 + 1_000_000,
        ..Span::default()
    }
}

pub fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { scope: library(), spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: service("shop"), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

pub fn log() -> LogRecord {
    LogRecord {
        time_unix_nano: NOW as u64,
        observed_time_unix_nano: NOW as u64 + 5,
        body: any(any_value::Value::StringValue("hello".into())),
        ..LogRecord::default()
    }
}

pub fn logs(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { scope: library(), log_records, ..ScopeLogs::default() }];
    let resource_logs =
        vec![ResourceLogs { resource: service("shop"), scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}

pub fn metric(name: &str, data: Data) -> Metric {
    Metric { name: name.into(), unit: "s".into(), data: Some(data), ..Metric::default() }
}

pub fn metrics(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { scope: library(), metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics {
        resource: service("shop"),
        scope_metrics,
        ..ResourceMetrics::default()
    }];
    ExportMetricsServiceRequest { resource_metrics }
}
