//! The data set: every value is a hash of (trace, place in it, salt).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

pub const PER_TRACE: usize = 16;
/// 2026-11-22 00:00:00 UTC.
const START: u64 = 1_795_305_600_000_000_000;
const HOUR: u64 = 3_600_000_000_000;
/// From one span of a trace to the next.
const STEP: u64 = 1_500_000;
/// The service that fails from half past eleven in the last hour.
const PAYMENT: usize = 16;
const SERVICES: [&str; 25] = [
    "frontend-web",
    "api-gateway",
    "mobile-bff",
    "auth-service",
    "user-service",
    "cart-service",
    "checkout-service",
    "product-catalog",
    "pricing-service",
    "inventory-service",
    "recommendation-service",
    "search-service",
    "review-service",
    "ad-service",
    "email-service",
    "notification-service",
    "payment-service",
    "fraud-detection",
    "ledger-service",
    "currency-service",
    "shipping-service",
    "quote-service",
    "warehouse-service",
    "image-provider",
    "accounting-worker",
];
const METHODS: [&str; 8] = ["GET", "GET", "POST", "PUT", "GET", "DELETE", "POST", "GET"];
const COMMANDS: [&str; 8] =
    ["SELECT", "INSERT", "UPDATE", "SELECT", "SELECT", "GET", "SET", "DELETE"];
const FAILURES: [&str; 4] = [
    "java.net.SocketTimeoutException: Read timed out after 3000 ms",
    "io.grpc.StatusRuntimeException: UNAVAILABLE: upstream connect error",
    "PaymentDeclinedError: insufficient_funds",
    "PSQLException: ERROR: deadlock detected",
];

pub struct Shop {
    pub hours: usize,
    /// Per hour.
    pub traces: usize,
    /// Per hour.
    pub logs: usize,
}

/// 64 mixed bits of (trace, place, salt).
fn hash(trace: usize, place: usize, salt: u64) -> u64 {
    let mut z = (trace as u64 * 64 + place as u64).wrapping_mul(1_000_003).wrapping_add(salt);
    z = z.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Uniform in [0, 1).
fn unit(trace: usize, place: usize, salt: u64) -> f64 {
    (hash(trace, place, salt) >> 11) as f64 / (1u64 << 53) as f64
}

fn service(trace: usize, place: usize) -> usize {
    match place {
        0 => (unit(trace, 0, 1) * 3.0) as usize % 3,
        _ => 3 + (unit(trace, place, 1).powf(1.6) * 22.0) as usize % 22,
    }
}

fn parent(trace: usize, place: usize) -> usize {
    (place - 1).saturating_sub((unit(trace, place, 2).powi(3) * place as f64) as usize)
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn trace_id(trace: usize) -> Vec<u8> {
    [hash(trace, 0, 77).to_be_bytes(), hash(trace, 0, 78).to_be_bytes()].concat()
}

fn span_id(trace: usize, place: usize) -> Vec<u8> {
    hash(trace, place, 79).to_be_bytes().to_vec()
}

fn user(x: f64) -> String {
    format!("u{:07}", (x.powi(3) * 1e6) as u64)
}

impl Shop {
    /// A request of the spans of some traces of an hour.
    pub fn spans(&self, hour: usize, traces: Range<usize>) -> Vec<u8> {
        // By service and pod, as their own exporters grouped them.
        let mut pods: BTreeMap<(usize, usize), Vec<Span>> = BTreeMap::new();
        for nth in traces {
            let trace = hour * self.traces + nth;
            for place in 0..PER_TRACE {
                let pod = (unit(trace, place, 10) * 3.0) as usize % 3;
                let pod = (service(trace, place), pod);
                pods.entry(pod).or_default().push(self.span(hour, nth, place));
            }
        }
        let resource_spans = pods.into_iter().map(|((service, pod), spans)| {
            let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..Default::default() }];
            ResourceSpans { resource: resource(service, pod), scope_spans, ..Default::default() }
        });
        ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec()
    }

    /// When a trace began, traces of an hour one after the other.
    fn start(&self, hour: usize, nth: usize) -> u64 {
        let trace = hour * self.traces + nth;
        let part = (nth as f64 + unit(trace, 0, 3)) / self.traces as f64;
        START + hour as u64 * HOUR + (part * HOUR as f64) as u64
    }

    fn span(&self, hour: usize, nth: usize, place: usize) -> Span {
        let trace = hour * self.traces + nth;
        let of = |salt| unit(trace, place, salt);
        let (service, e, x) = (service(trace, place), of(9), of(10));
        let name = SERVICES[service];
        let slow = if place == 0 { 9.0 } else { 1.0 };
        let duration = ((of(4) + of(5) + of(6) - 1.5) * 2.6).exp() * 4e6 * slow;
        let (op, shape) = ((of(7) * 8.0) as usize % 8, (of(8) * 6.0) as usize % 6);
        let start = self.start(hour, nth) + place as u64 * STEP;
        let late = hour + 1 == self.hours && start % HOUR > HOUR / 2;
        let incident = if service == PAYMENT && late { 0.15 } else { 0.0 };
        let failed = e < 0.012 + incident;
        let path = format!("/api/v1/{name}/op{op}");
        let (kind, title, mut attributes) = match (place, shape) {
            (0, _) | (_, 2) => {
                let status = if failed {
                    500
                } else if x < 0.03 {
                    404
                } else {
                    200
                };
                let attributes = vec![
                    text("http.route", format!("{path}/{{id}}")),
                    text("http.request.method", METHODS[op]),
                    attribute("http.response.status_code", Value::IntValue(status)),
                ];
                (2, format!("{} {path}/{{id}}", METHODS[op]), attributes)
            }
            (_, 0 | 1 | 3) => {
                let system = if op < 5 { "postgresql" } else { "redis" };
                let title = format!("{} table_{op}", COMMANDS[op]);
                (3, title, vec![text("db.system.name", system)])
            }
            (_, 4) => (1, format!("handler.step{op}"), Vec::new()),
            _ => (4, format!("publish topic-{op}"), Vec::new()),
        };
        let variant = ["control", "treatment-a", "treatment-b"][(x * 3.0) as usize % 3];
        let address = (e * 211.0) as u64 + 11;
        attributes.extend([
            text("user.id", user(x)),
            text("app.request.id", format!("{:016x}", hash(trace, place, 81))),
            text("app.tenant.id", format!("tenant-{}", (x * x * 2000.0) as u64)),
            text("url.path", format!("{path}/{}", (e * 200_000.0) as u64)),
            text("client.address", format!("{address}.{}.{}.{place}", (x * 255.0) as u64, op * 31)),
            text("thread.name", format!("worker-{}", (e * 32.0) as u64)),
            text("app.feature_flag.variant", variant),
            text("server.address", format!("{name}.svc.cluster.local")),
        ]);
        let parent_span_id = match place {
            0 => Vec::new(),
            _ => span_id(trace, parent(trace, place)),
        };
        let message = "upstream request failed".to_owned();
        Span {
            trace_id: trace_id(trace),
            span_id: span_id(trace, place),
            parent_span_id,
            name: title,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: start + duration as u64,
            attributes,
            status: failed.then_some(Status { message, code: 2 }),
            ..Default::default()
        }
    }

    /// A request of the log records of those of some traces that have any;
    /// empty when none has.
    pub fn records(&self, hour: usize, traces: Range<usize>) -> Vec<u8> {
        let stride = (self.traces * PER_TRACE / self.logs.max(1)).max(1);
        let mut services: BTreeMap<usize, Vec<LogRecord>> = BTreeMap::new();
        for nth in traces.filter(|nth| nth % stride == 0) {
            let first = nth / stride * PER_TRACE;
            for place in (0..PER_TRACE).filter(|place| first + place < self.logs) {
                let trace = hour * self.traces + nth;
                let record = self.record(hour, nth, place);
                services.entry(service(trace, place)).or_default().push(record);
            }
        }
        let resource_logs = services.into_iter().map(|(service, log_records)| {
            let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..Default::default() }];
            ResourceLogs { resource: resource(service, 0), scope_logs, ..Default::default() }
        });
        ExportLogsServiceRequest { resource_logs: resource_logs.collect() }.encode_to_vec()
    }

    fn record(&self, hour: usize, nth: usize, place: usize) -> LogRecord {
        let trace = hour * self.traces + nth;
        let [a, b, c] = [91, 92, 93].map(|salt| unit(trace, place, salt));
        let name = SERVICES[service(trace, place)];
        let (severity, number) = match a {
            _ if a < 0.02 => ("ERROR", 17),
            _ if a < 0.1 => ("WARN", 13),
            _ if a < 0.3 => ("DEBUG", 5),
            _ => ("INFO", 9),
        };
        let order = (b * 2e5) as u64;
        let mut body = String::new();
        let written = match c {
            _ if number == 17 => {
                let (why, attempt) = (FAILURES[(c * 4.0) as usize % 4], (b * 3.0) as u64);
                write!(body, "failed to process order {order}: {why} (attempt {attempt} of 3)")
            }
            _ if c < 0.2 => {
                write!(body, "handled request for order {order} in {:.2} ms", c * 300.0)
            }
            _ if c < 0.4 => {
                let (rows, took) = ((c * 50.0) as u64, b * 20.0);
                write!(
                    body,
                    r#"{{"msg":"cart updated","cart_id":{order},"rows":{rows},"took_ms":{took:.3}}}"#
                )
            }
            _ if c < 0.6 => {
                let line = (b * 400.0) as u64;
                write!(
                    body,
                    r#"level=info caller={name}/handler.go:{line} msg="cache lookup" key=product:{order} hit=true"#
                )
            }
            _ if c < 0.8 => {
                let (x, y, bytes) = ((b * 255.0) as u64, (c * 255.0) as u64, (c * 6e4) as u64);
                write!(
                    body,
                    r#"10.100.{x}.{y} - - "GET /api/v1/{name}/{order} HTTP/1.1" 200 {bytes}"#
                )
            }
            _ => {
                let (active, idle) = ((b * 20.0) as u64, (c * 20.0) as u64);
                write!(body, "connection pool {name}-pool: active={active} idle={idle} waiting=0")
            }
        };
        // Writing to a string does not fail.
        written.unwrap_or_default();
        LogRecord {
            time_unix_nano: self.start(hour, nth) + place as u64 * STEP,
            severity_number: number,
            severity_text: severity.into(),
            body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
            attributes: vec![
                text("logger.name", format!("com.example.shop.{name}")),
                text("thread.name", format!("worker-{}", (b * 32.0) as u64)),
                text("user.id", user(b)),
            ],
            trace_id: trace_id(trace),
            span_id: span_id(trace, place),
            ..Default::default()
        }
    }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "shop".into(), ..Default::default() })
}

fn resource(service: usize, pod: usize) -> Option<Resource> {
    let name = SERVICES[service];
    let set = hash(service, 0, 80) >> 24;
    let attributes = vec![
        text("service.name", name),
        text("k8s.cluster.name", "prod-eu-1"),
        text("k8s.pod.name", format!("{name}-{set:010x}-{pod}")),
    ];
    Some(Resource { attributes, ..Default::default() })
}
