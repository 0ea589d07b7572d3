//! Items whose content follows from their id, so that anything read back can
//! be judged without a copy of what was sent.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::otlp::{Request, Signal};

/// run (16 bits), client (8), signal (8), sequence (32); never zero, since
/// runs count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u64);

impl Id {
    pub fn new(run: u16, client: u8, signal: Signal, sequence: u32) -> Id {
        let signal = signal as u64;
        Id(u64::from(run) << 48 | u64::from(client) << 40 | signal << 32 | u64::from(sequence))
    }

    /// As `span_id` and in the other tables as an attribute.
    pub fn hex(self) -> String {
        format!("{:016x}", self.0)
    }

    pub fn run(self) -> u16 {
        (self.0 >> 48) as u16
    }

    fn trace_id(self) -> Vec<u8> {
        // Eight items make a trace.
        let trace = u128::from(self.0 >> 3) | 1 << 127;
        trace.to_be_bytes().to_vec()
    }

    /// Half a word to a few hundred bytes, different for every id.
    pub fn content(self) -> String {
        let mut state = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let words = state >> 59;
        let mut text = String::new();
        for _ in 0..=words {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(&format!("{state:x} "));
        }
        text
    }

    /// A moment that is the item's own, within two seconds that are its run's.
    pub fn time(self, base: u64) -> u64 {
        let own = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20;
        run_start(self.run(), base) + own % 1_000_000_007
    }
}

/// Runs have times of their own, so that one can be read back by its files.
pub fn run_start(run: u16, base: u64) -> u64 {
    base + u64::from(run) * 2_000_000_000
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    let value = Value::StringValue(value.into());
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn resource(id: Id) -> Option<Resource> {
    let service = format!("load-{}", id.0 >> 40 & 0xff);
    Some(Resource { attributes: vec![text("service.name", service)], ..Default::default() })
}

fn both(signal: Signal, protobuf: Vec<u8>, json: serde_json::Result<String>) -> Request {
    Request { signal, protobuf, json: json.expect("a request is JSON") }
}

/// One request with these items. `base` is the sender's time, in nanoseconds.
pub fn request(signal: Signal, ids: &[Id], base: u64) -> Request {
    let resource = resource(ids[0]);
    match signal {
        Signal::Traces => {
            let spans = ids.iter().map(|id| Span {
                trace_id: id.trace_id(),
                span_id: id.0.to_be_bytes().to_vec(),
                name: format!("op-{}", id.0 % 7),
                start_time_unix_nano: id.time(base),
                end_time_unix_nano: id.time(base) + id.0 % 1_000_000,
                attributes: vec![text("load.id", id.hex()), text("load.content", id.content())],
                ..Default::default()
            });
            let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..Default::default() }];
            let of = ResourceSpans { resource, scope_spans, ..Default::default() };
            let request = ExportTraceServiceRequest { resource_spans: vec![of] };
            both(signal, request.encode_to_vec(), serde_json::to_string(&request))
        }
        Signal::Logs => {
            let log_records = ids.iter().map(|id| LogRecord {
                time_unix_nano: id.time(base),
                trace_id: id.trace_id(),
                span_id: id.0.to_be_bytes().to_vec(),
                body: text("", "something happened").value,
                attributes: vec![text("load.id", id.hex()), text("load.content", id.content())],
                ..Default::default()
            });
            let log_records = log_records.collect();
            let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
            let of = ResourceLogs { resource, scope_logs, ..Default::default() };
            let request = ExportLogsServiceRequest { resource_logs: vec![of] };
            both(signal, request.encode_to_vec(), serde_json::to_string(&request))
        }
        Signal::Metrics => {
            let data_points = ids.iter().map(|id| NumberDataPoint {
                time_unix_nano: id.time(base),
                value: Some(number_data_point::Value::AsInt(id.0 as i64)),
                attributes: vec![text("load.id", id.hex()), text("load.content", id.content())],
                ..Default::default()
            });
            let gauge = Gauge { data_points: data_points.collect() };
            let data = Some(metric::Data::Gauge(gauge));
            let metrics = vec![Metric { name: "load.gauge".into(), data, ..Default::default() }];
            let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
            let of = ResourceMetrics { resource, scope_metrics, ..Default::default() };
            let request = ExportMetricsServiceRequest { resource_metrics: vec![of] };
            both(signal, request.encode_to_vec(), serde_json::to_string(&request))
        }
    }
}
