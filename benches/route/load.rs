//! Requests like those of a fleet: 25 services, 13 attributes per span, about
//! 700 bytes each, every id and time its own. Seeded, so that runs compare.

use collector::decode::{Context, Decoded, Encoding, Limits, decode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use schema::{Catalog, Signal};
use serde::Serialize;

/// Items per request.
pub const ITEMS: usize = 512;
pub const SERVICES: usize = 25;
/// 2026-01-01; within the day, so that every row goes to one partition.
pub const BASE: u64 = 1_767_225_600_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

pub fn resource(service: usize) -> Option<Resource> {
    let mut attributes = vec![
        text("service.name", format!("service-{service:02}")),
        text("service.namespace", format!("team-{}", service % 5)),
        text(
            "service.instance.id",
            format!("8f1c{service:04}-77b0-4d2e-9a55-3f60d1c0{service:04}"),
        ),
        text("service.version", format!("1.{service}.0")),
        text("deployment.environment.name", "production"),
        text("k8s.pod.name", format!("service-{service:02}-6d4cf56db6-x{service:03}")),
        text("k8s.namespace.name", "shop"),
        text("k8s.node.name", format!("node-{}", service % 7)),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", "go"),
    ];
    for n in 0..16 {
        attributes.push(text(&format!("resource.key.{n:02}"), format!("resource value {n}")));
    }
    Some(Resource { attributes, ..Default::default() })
}

pub fn scope() -> Option<InstrumentationScope> {
    let version = "0.60.0".into();
    Some(InstrumentationScope { name: "otelhttp".into(), version, ..Default::default() })
}

pub fn record(chance: &mut StdRng) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("http.request.method", ["GET", "POST"][chance.random_range(0..2)]),
        text("http.route", format!("/api/v1/items/{}", chance.random_range(0..40))),
        attribute("http.response.status_code", Value::IntValue(200)),
        text("server.address", "shop.example.org"),
        attribute("server.port", Value::IntValue(8443)),
        attribute("retry", Value::BoolValue(chance.random_bool(0.1))),
        attribute("score", Value::DoubleValue(chance.random::<f64>())),
        text("user.id", format!("{:016x}", chance.next_u64())),
    ];
    for n in 0..5 {
        attributes
            .push(text(&format!("app.key.{n}"), format!("value {}", chance.random_range(0..9))));
    }
    attributes
}

pub fn id(chance: &mut StdRng, bytes: usize) -> Vec<u8> {
    let mut id = vec![0; bytes];
    chance.fill_bytes(&mut id);
    id[0] |= 1;
    id
}

fn traces(chance: &mut StdRng) -> ExportTraceServiceRequest {
    let per_service = ITEMS.div_ceil(SERVICES);
    let resource_spans = (0..SERVICES).map(|service| {
        let left = ITEMS.saturating_sub(service * per_service).min(per_service);
        let spans = (0..left).map(|_| {
            let start = BASE + chance.random_range(0..3600 * SECOND);
            Span {
                trace_id: id(chance, 16),
                span_id: id(chance, 8),
                parent_span_id: id(chance, 8),
                name: format!("GET /api/v1/items/{}", chance.random_range(0..40)),
                kind: chance.random_range(1..6),
                start_time_unix_nano: start,
                end_time_unix_nano: start + chance.random_range(0..SECOND),
                attributes: record(chance),
                ..Default::default()
            }
        });
        let scope_spans =
            vec![ScopeSpans { scope: scope(), spans: spans.collect(), ..Default::default() }];
        ResourceSpans { resource: resource(service), scope_spans, ..Default::default() }
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

fn logs(chance: &mut StdRng) -> ExportLogsServiceRequest {
    let log_records = (0..ITEMS).map(|_| LogRecord {
        time_unix_nano: BASE + chance.random_range(0..3600 * SECOND),
        severity_number: 9,
        severity_text: "INFO".into(),
        body: text("", format!("handled request {} in time", chance.next_u32())).value,
        trace_id: id(chance, 16),
        span_id: id(chance, 8),
        attributes: record(chance),
        ..Default::default()
    });
    let log_records = log_records.collect();
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..Default::default() }];
    let of = ResourceLogs { resource: resource(0), scope_logs, ..Default::default() };
    ExportLogsServiceRequest { resource_logs: vec![of] }
}

fn metrics(chance: &mut StdRng) -> ExportMetricsServiceRequest {
    let data_points = (0..ITEMS).map(|_| NumberDataPoint {
        time_unix_nano: BASE + chance.random_range(0..3600 * SECOND),
        value: Some(number_data_point::Value::AsDouble(chance.random())),
        attributes: vec![text("pool", format!("pool-{}", chance.random_range(0..99)))],
        ..Default::default()
    });
    let gauge = Gauge { data_points: data_points.collect() };
    let data = Some(metric::Data::Gauge(gauge));
    let metrics = vec![Metric { name: "pool.usage".into(), data, ..Default::default() }];
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..Default::default() }];
    let of = ResourceMetrics { resource: resource(0), scope_metrics, ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![of] }
}

/// One request of [`ITEMS`] items.
pub fn body(signal: Signal, encoding: Encoding, seed: u64) -> Vec<u8> {
    fn written(message: &(impl Message + Serialize), encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Protobuf => message.encode_to_vec(),
            Encoding::Json => serde_json::to_vec(message).expect("a request is JSON"),
        }
    }
    let chance = &mut StdRng::seed_from_u64(seed);
    match signal {
        Signal::Traces => written(&traces(chance), encoding),
        Signal::Logs => written(&logs(chance), encoding),
        Signal::Metrics => written(&metrics(chance), encoding),
    }
}

/// The rows of a request, as the daemon decodes them.
pub fn rows(catalog: &Catalog, signal: Signal, encoding: Encoding, body: &[u8]) -> Decoded {
    let context = Context {
        node_id: "bench",
        ingest_unix_nano: (BASE + 3600 * SECOND) as i64,
        table: catalog.of(signal),
        limits: &Limits::default(),
    };
    let decoded = decode(signal, encoding, body, &context).expect("the request is sound");
    assert_eq!(decoded.accepted, ITEMS as u64, "{:?}", decoded.rejected);
    decoded
}
