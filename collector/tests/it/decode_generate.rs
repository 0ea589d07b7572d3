//! Random requests, and their JSON in all the forms that senders use.

use std::fmt::Write;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::*;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::decode_support::NOW;

/// Reproducible chance (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn many<T>(&mut self, most: usize, mut make: impl FnMut(&mut Dice) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        let pool = [
            "",
            "a",
            "ü",
            "\"quoted\\\"",
            "😀\u{0}\n\t",
            "service",
            "/cart/{id}",
            "\u{7f}\u{2028}",
        ];
        self.pick(&pool).into()
    }

    fn key(&mut self) -> String {
        let pool = [
            "",
            "a",
            "b",
            "http.route",
            "http.response.status_code",
            "service.name",
            "server.port",
            "deployment.environment",
            "deployment.environment.name",
            "http.status_code",
            "rpc.grpc.status_code",
            "error.type",
            "zz.ü",
        ];
        self.pick(&pool).into()
    }

    fn small(&mut self) -> u32 {
        let any = self.roll() as u32;
        self.pick(&[0, 1, 2, 0x3ff, u32::MAX, any])
    }

    fn signed(&mut self) -> i32 {
        self.small() as i32
    }

    fn int(&mut self) -> i64 {
        let any = self.roll() as i64;
        self.pick(&[0, 1, -1, 500, i64::MAX, i64::MIN, 9_007_199_254_740_993, any])
    }

    fn double(&mut self) -> f64 {
        let any = f64::from_bits(self.roll());
        // JSON has one NaN only.
        let any = if any.is_nan() { f64::NAN } else { any };
        self.pick(&[
            0.0,
            -0.0,
            1.0,
            0.1,
            -2.5e10,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            any,
        ])
    }

    /// For fields without presence, where prost takes -0.0 for the default.
    fn unsigned_zero(&mut self) -> f64 {
        self.double() + 0.0
    }

    fn time(&mut self) -> u64 {
        let near = (NOW as u64).wrapping_add(self.roll() % 1_000_000_007);
        self.pick(&[near, near, near, near, near, 0, 1, i64::MAX as u64, 1 << 63, u64::MAX])
    }

    fn count(&mut self) -> u64 {
        let any = self.roll() >> 1;
        self.pick(&[0, 1, 2, 3, any])
    }

    fn id(&mut self, length: usize) -> Vec<u8> {
        match self.below(12) {
            0 => vec![],
            1 => vec![0; length],
            2 => vec![7; length - 1],
            _ => (0..length).map(|_| self.roll() as u8).collect(),
        }
    }

    fn value(&mut self, depth: usize) -> AnyValue {
        let value = match self.below(if depth == 0 { 7 } else { 9 }) {
            0 => None,
            1 => Some(Value::BoolValue(self.one_in(2))),
            2 => Some(Value::IntValue(self.int())),
            3 => Some(Value::DoubleValue(self.double())),
            4 => Some(Value::BytesValue((0..self.below(5)).map(|_| self.roll() as u8).collect())),
            5 | 6 => Some(Value::StringValue(self.text())),
            7 => {
                let values = self.many(3, |dice| dice.value(depth - 1));
                Some(Value::ArrayValue(ArrayValue { values }))
            }
            _ => {
                let values = self.many(3, |dice| dice.pair(depth - 1));
                Some(Value::KvlistValue(KeyValueList { values }))
            }
        };
        AnyValue { value }
    }

    fn pair(&mut self, depth: usize) -> KeyValue {
        let value = if self.one_in(8) { None } else { Some(self.value(depth)) };
        KeyValue { key: self.key(), value, key_strindex: 0 }
    }

    fn attributes(&mut self) -> Vec<KeyValue> {
        self.many(6, |dice| dice.pair(3))
    }

    fn resource(&mut self) -> Option<Resource> {
        if self.one_in(5) {
            return None;
        }
        let attributes = self.attributes();
        Some(Resource { attributes, dropped_attributes_count: self.small(), entity_refs: vec![] })
    }

    fn scope(&mut self) -> Option<InstrumentationScope> {
        if self.one_in(5) {
            return None;
        }
        Some(InstrumentationScope {
            name: self.text(),
            version: self.text(),
            attributes: self.attributes(),
            dropped_attributes_count: self.small(),
        })
    }

    fn span(&mut self) -> Span {
        Span {
            trace_id: self.id(16),
            span_id: self.id(8),
            trace_state: self.text(),
            parent_span_id: self.id(8),
            flags: self.small(),
            name: self.text(),
            kind: self.below(8) as i32 - 1,
            start_time_unix_nano: self.time(),
            end_time_unix_nano: self.time(),
            attributes: self.attributes(),
            dropped_attributes_count: self.small(),
            events: self.many(2, |dice| Event {
                time_unix_nano: dice.time() >> 1,
                name: dice.text(),
                attributes: dice.attributes(),
                dropped_attributes_count: dice.small(),
            }),
            dropped_events_count: self.small(),
            links: self.many(2, |dice| Link {
                trace_id: dice.id(16),
                span_id: dice.id(8),
                trace_state: dice.text(),
                attributes: dice.attributes(),
                dropped_attributes_count: dice.small(),
                flags: dice.small(),
            }),
            dropped_links_count: self.small(),
            status: (!self.one_in(3))
                .then(|| Status { message: self.text(), code: self.below(4) as i32 }),
        }
    }

    pub fn traces(&mut self) -> ExportTraceServiceRequest {
        let resource_spans = self.many(3, |dice| ResourceSpans {
            resource: dice.resource(),
            scope_spans: dice.many(3, |dice| ScopeSpans {
                scope: dice.scope(),
                spans: dice.many(3, Dice::span),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportTraceServiceRequest { resource_spans }
    }

    fn log_record(&mut self) -> LogRecord {
        LogRecord {
            time_unix_nano: self.time(),
            observed_time_unix_nano: self.time(),
            severity_number: self.below(27) as i32 - 1,
            severity_text: self.text(),
            body: (!self.one_in(4)).then(|| self.value(4)),
            attributes: self.attributes(),
            dropped_attributes_count: self.small(),
            flags: self.small(),
            trace_id: self.id(16),
            span_id: self.id(8),
            event_name: self.text(),
        }
    }

    pub fn logs(&mut self) -> ExportLogsServiceRequest {
        let resource_logs = self.many(3, |dice| ResourceLogs {
            resource: dice.resource(),
            scope_logs: dice.many(3, |dice| ScopeLogs {
                scope: dice.scope(),
                log_records: dice.many(3, Dice::log_record),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportLogsServiceRequest { resource_logs }
    }

    fn exemplar(&mut self) -> Exemplar {
        let value = match self.below(3) {
            0 => None,
            1 => Some(exemplar::Value::AsInt(self.int())),
            _ => Some(exemplar::Value::AsDouble(self.double())),
        };
        Exemplar {
            filtered_attributes: self.attributes(),
            time_unix_nano: self.time() >> 1,
            span_id: self.id(8),
            trace_id: self.id(16),
            value,
        }
    }

    fn number(&mut self) -> NumberDataPoint {
        let value = match self.below(4) {
            0 => None,
            1 => Some(number_data_point::Value::AsInt(self.int())),
            _ => Some(number_data_point::Value::AsDouble(self.double())),
        };
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            exemplars: self.many(2, Dice::exemplar),
            flags: self.small(),
            value,
        }
    }

    fn optional(&mut self) -> Option<f64> {
        (!self.one_in(3)).then(|| self.double())
    }

    /// As many that increase, mostly those of the point before, else a bit off.
    fn bounds(&mut self, count: usize) -> Vec<f64> {
        let mut bounds: Vec<f64> = (0..count).map(|n| n as f64 * 1.5).collect();
        let last = bounds.last_mut().filter(|_| self.one_in(4));
        if let Some(last) = last {
            *last = match self.below(5) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                _ if *last == 0.0 => -0.0,
                _ => last.next_up(),
            };
        }
        bounds
    }

    fn histogram(&mut self) -> HistogramDataPoint {
        let bounds = self.below(4);
        let buckets = if self.one_in(5) { self.below(4) } else { bounds + 1 };
        HistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            count: self.count(),
            sum: self.optional(),
            bucket_counts: (0..buckets).map(|_| self.count()).collect(),
            explicit_bounds: self.bounds(bounds),
            exemplars: self.many(2, Dice::exemplar),
            flags: self.small(),
            min: self.optional(),
            max: self.optional(),
        }
    }

    fn buckets(&mut self) -> Option<exponential_histogram_data_point::Buckets> {
        if self.one_in(3) {
            return None;
        }
        let bucket_counts = self.many(4, Dice::count);
        Some(exponential_histogram_data_point::Buckets { offset: self.signed(), bucket_counts })
    }

    fn exponential(&mut self) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            count: self.count(),
            sum: self.optional(),
            scale: self.signed(),
            zero_count: self.count(),
            positive: self.buckets(),
            negative: self.buckets(),
            flags: self.small(),
            exemplars: self.many(2, Dice::exemplar),
            min: self.optional(),
            max: self.optional(),
            zero_threshold: self.unsigned_zero(),
        }
    }

    fn summary(&mut self) -> SummaryDataPoint {
        SummaryDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            count: self.count(),
            sum: self.unsigned_zero(),
            quantile_values: self.many(3, |dice| summary_data_point::ValueAtQuantile {
                quantile: dice.unsigned_zero(),
                value: dice.unsigned_zero(),
            }),
            flags: self.small(),
        }
    }

    fn metric(&mut self) -> Metric {
        let aggregation_temporality = self.below(4) as i32;
        let data = match self.below(6) {
            0 => None,
            1 => Some(Data::Gauge(Gauge { data_points: self.many(3, Dice::number) })),
            2 => Some(Data::Sum(Sum {
                data_points: self.many(3, Dice::number),
                aggregation_temporality,
                is_monotonic: self.one_in(2),
            })),
            3 => Some(Data::Histogram(Histogram {
                data_points: self.many(3, Dice::histogram),
                aggregation_temporality,
            })),
            4 => Some(Data::ExponentialHistogram(ExponentialHistogram {
                data_points: self.many(3, Dice::exponential),
                aggregation_temporality,
            })),
            _ => Some(Data::Summary(Summary { data_points: self.many(3, Dice::summary) })),
        };
        Metric {
            name: self.text(),
            description: self.text(),
            unit: self.text(),
            metadata: self.attributes(),
            data,
        }
    }

    pub fn metrics(&mut self) -> ExportMetricsServiceRequest {
        let resource_metrics = self.many(3, |dice| ResourceMetrics {
            resource: dice.resource(),
            scope_metrics: dice.many(3, |dice| ScopeMetrics {
                scope: dice.scope(),
                metrics: dice.many(3, Dice::metric),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportMetricsServiceRequest { resource_metrics }
    }
}

/// Hex digits of either case.
pub fn hex(dice: &mut Dice, bytes: &[u8]) -> String {
    let upper = dice.one_in(2);
    bytes.iter().fold(String::new(), |mut text, byte| {
        let written = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
        written.expect("writing to a string succeeds");
        text
    })
}
