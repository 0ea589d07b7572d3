//! Bodies of requests, made once; before each send the ids and times in them are
//! written anew.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::client::Result;

#[path = "../../src/commands/demo/shop/mod.rs"]
#[expect(dead_code, reason = "when its fault is, only the demo asks")]
mod shop;

use shop::{Counts, Shop};

/// Items of a request at least: about what an SDK exports at once.
const ITEMS: usize = 512;
/// Visits to a shop in a second: about two windows of its traces are a request, and
/// twenty of its logs.
const VISITS: i64 = 4;
/// Distinct bodies of a signal.
const BODIES: u64 = 32;

#[derive(Clone, Copy, Default)]
pub enum Signal {
    #[default]
    Traces,
    Logs,
    Metrics,
}

impl FromStr for Signal {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Signal, String> {
        match name {
            "traces" => Ok(Signal::Traces),
            "logs" => Ok(Signal::Logs),
            "metrics" => Ok(Signal::Metrics),
            _ => Err(format!("{name} is no signal; there are traces, logs and metrics")),
        }
    }
}

impl Signal {
    pub fn path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Logs => "/v1/logs",
            Signal::Metrics => "/v1/metrics",
        }
    }

    /// Of a request that was taken: the items that were not.
    pub fn rejected(self, answer: &[u8]) -> Result<u64> {
        let rejected = match self {
            Signal::Traces => ExportTraceServiceResponse::decode(answer)?
                .partial_success
                .map(|partial| partial.rejected_spans),
            Signal::Logs => ExportLogsServiceResponse::decode(answer)?
                .partial_success
                .map(|partial| partial.rejected_log_records),
            Signal::Metrics => ExportMetricsServiceResponse::decode(answer)?
                .partial_success
                .map(|partial| partial.rejected_data_points),
        };
        Ok(rejected.unwrap_or(0).try_into()?)
    }

    fn items(self, counts: &Counts) -> usize {
        match self {
            Signal::Traces => counts.spans,
            Signal::Logs => counts.logs,
            Signal::Metrics => counts.points,
        }
    }
}

/// A request with its ids and times in known places.
#[derive(Default)]
pub struct Body {
    pub signal: Signal,
    pub items: u64,
    bytes: Vec<u8>,
    /// Where eight bytes of an id begin.
    ids: Vec<usize>,
    /// Where a time stands, and how long before the newest of the request it was.
    times: Vec<(usize, u64)>,
    /// Where measured numbers stand, and which of their bits differ from send to send.
    numbers: Vec<(usize, u64)>,
}

impl Body {
    /// The same telemetry of now; `seed` is a number that no other send has.
    pub fn renew(&self, seed: u64, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.bytes);
        // A bijection: the ids of two sends of a body differ.
        let key = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let now = now().unsigned_abs();
        for at in &self.ids {
            let id = eight(into, *at) ^ key;
            into[*at..*at + 8].copy_from_slice(&id.to_le_bytes());
        }
        for (at, bits) in &self.numbers {
            let number = eight(into, *at) ^ (key.rotate_left(*at as u32) & bits);
            into[*at..*at + 8].copy_from_slice(&number.to_le_bytes());
        }
        for (at, ago) in &self.times {
            into[*at..*at + 8].copy_from_slice(&(now - ago).to_le_bytes());
        }
    }
}

fn eight(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |all, byte| (all << 8) | u64::from(*byte))
}

/// Of signals with a comma between them: requests of each in turn.
pub fn bodies(signals: &str) -> Result<Vec<Body>> {
    let of = |signal: &str| told(signal.parse()?);
    let mut of: Vec<Vec<Body>> = signals.split(',').map(of).collect::<Result<_>>()?;
    let mut bodies = Vec::new();
    while let Some(next) = of.iter_mut().map(Vec::pop).collect::<Option<Vec<Body>>>() {
        bodies.extend(next);
    }
    Ok(bodies)
}

/// What shops tell of a signal: a request of [`ITEMS`] and a few more from each.
fn told(signal: Signal) -> Result<Vec<Body>> {
    let of = |nth: u64| {
        let mut shop = Shop::open(now(), VISITS, nth);
        let (mut requests, mut counts) = (Vec::new(), Counts::default());
        while signal.items(&counts) < ITEMS {
            let window = shop.next_window().ok_or("a shop's ten minutes are no request")?;
            counts.add(&window);
            let of = window.requests().into_iter().filter(|(path, _)| *path == signal.path());
            requests.extend(of.map(|(_, request)| request));
        }
        body(signal, signal.items(&counts), requests)
    };
    (0..BODIES).map(of).collect()
}

/// Nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a bench has the machine's clock")]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i64)
}

/// What is written anew in an item.
enum Part {
    Id(Vec<u8>),
    Time(u64),
    /// A measured number and the bits of it that may differ, behind its tag.
    Number([u8; 9], u64),
}

impl Part {
    fn tagged(field: u8, number: [u8; 8], bits: u64) -> Part {
        let mut bytes = [field << 3 | 1; 9];
        bytes[1..].copy_from_slice(&number);
        Part::Number(bytes, bits)
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Part::Id(id) => memmem::find(bytes, id),
            Part::Time(time) => memmem::find(bytes, &time.to_le_bytes()),
            Part::Number(tagged, _) => memmem::find(bytes, tagged).map(|at| at + 1),
        }
    }
}

fn body(signal: Signal, items: usize, requests: Vec<serde_json::Value>) -> Result<Body> {
    // Logs and points of many windows are told as of one; spans keep their durations.
    let windows = match signal {
        Signal::Traces => 1,
        Signal::Logs | Signal::Metrics => requests.len().max(1) as u64,
    };
    let mut body = Body { signal, items: items as u64, ..Body::default() };
    for request in requests {
        let mut from = body.bytes.len();
        // Requests behind each other are one request.
        let items: Vec<Vec<Part>> = match signal {
            Signal::Traces => {
                let request: ExportTraceServiceRequest = serde_json::from_value(request)?;
                request.encode(&mut body.bytes)?;
                let scopes = request.resource_spans.into_iter().flat_map(|of| of.scope_spans);
                scopes.flat_map(|of| of.spans).map(span).collect()
            }
            Signal::Logs => {
                let request: ExportLogsServiceRequest = serde_json::from_value(request)?;
                request.encode(&mut body.bytes)?;
                let scopes = request.resource_logs.into_iter().flat_map(|of| of.scope_logs);
                scopes.flat_map(|of| of.log_records).map(record).collect()
            }
            Signal::Metrics => {
                let request: ExportMetricsServiceRequest = serde_json::from_value(request)?;
                request.encode(&mut body.bytes)?;
                let scopes = request.resource_metrics.into_iter().flat_map(|of| of.scope_metrics);
                let data = scopes.flat_map(|of| of.metrics).filter_map(|metric| metric.data);
                data.flat_map(points).collect()
            }
        };
        // Items stand in the order of the request, so each is looked for behind the last.
        for parts in items {
            let mut end = from;
            for part in parts {
                let at = part.find(&body.bytes[from..]).ok_or("an item is not where it was")?;
                let at = from + at;
                end = end.max(at);
                match part {
                    Part::Id(_) => body.ids.push(at),
                    Part::Time(time) => body.times.push((at, time)),
                    Part::Number(_, bits) => body.numbers.push((at, bits)),
                }
            }
            from = end + 1;
        }
    }
    let newest = body.times.iter().map(|(_, time)| *time).max().unwrap_or(0);
    body.times.iter_mut().for_each(|(_, time)| *time = (newest - *time) / windows);
    Ok(body)
}

fn span(span: Span) -> Vec<Part> {
    let ids = [span.trace_id, span.span_id, span.parent_span_id];
    let ids = ids.into_iter().filter(|id| !id.is_empty()).map(Part::Id);
    ids.chain([span.start_time_unix_nano, span.end_time_unix_nano].map(Part::Time)).collect()
}

fn record(record: LogRecord) -> Vec<Part> {
    let times = [record.time_unix_nano, record.observed_time_unix_nano].map(Part::Time);
    [record.trace_id, record.span_id].map(Part::Id).into_iter().chain(times).collect()
}

fn points(data: Data) -> Vec<Vec<Part>> {
    // Half of a double's digits, and of an integer as many as its size does not tell by.
    const DOUBLE: u64 = (1 << 26) - 1;
    let times = |times: [u64; 2]| times.into_iter().filter(|time| *time > 0).map(Part::Time);
    let number = |point: NumberDataPoint| {
        let value = point.value.map(|value| match value {
            Value::AsDouble(value) => Part::tagged(4, value.to_le_bytes(), DOUBLE),
            Value::AsInt(value) => {
                let digits = u64::BITS - value.unsigned_abs().leading_zeros();
                Part::tagged(6, value.to_le_bytes(), (1 << (digits / 2)) - 1)
            }
        });
        times([point.start_time_unix_nano, point.time_unix_nano]).chain(value).collect()
    };
    let histogram = |point: HistogramDataPoint| {
        let sum = point.sum.map(|sum| Part::tagged(5, sum.to_le_bytes(), DOUBLE));
        times([point.start_time_unix_nano, point.time_unix_nano]).chain(sum).collect()
    };
    match data {
        Data::Gauge(of) => of.data_points.into_iter().map(number).collect(),
        Data::Sum(of) => of.data_points.into_iter().map(number).collect(),
        Data::Histogram(of) => of.data_points.into_iter().map(histogram).collect(),
        // A shop has no others.
        Data::ExponentialHistogram(_) | Data::Summary(_) => Vec::new(),
    }
}
