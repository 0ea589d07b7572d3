//! Bodies of requests, made once; before each send the ids and times in them are
//! written anew.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

use crate::client::Result;

#[path = "../../src/commands/demo/shop/mod.rs"]
#[expect(dead_code, reason = "when its fault is, only the demo asks")]
mod shop;

use shop::{Counts, Shop};

/// Items of a request at least: about what an SDK exports at once.
const ITEMS: usize = 512;
/// Visits to the shop in a second: two windows of traces are a request.
const VISITS: i64 = 2;
/// Distinct bodies of a signal.
const BODIES: usize = 32;

#[derive(Clone, Copy)]
pub enum Signal {
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
pub struct Body {
    pub signal: Signal,
    pub items: u64,
    bytes: Vec<u8>,
    /// Where eight bytes of an id begin.
    ids: Vec<usize>,
    /// Where a time stands, and when it was, before the end of the request's own.
    times: Vec<(usize, u64)>,
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

/// What the shop tells of a signal, in requests of [`ITEMS`] and a few more.
fn told(signal: Signal) -> Result<Vec<Body>> {
    let mut bodies = Vec::new();
    let mut shop = Shop::open(now(), VISITS);
    let (mut open, mut counts) = (Vec::new(), Counts::default());
    while bodies.len() < BODIES {
        let Some(window) = shop.next_window() else {
            shop = Shop::open(now(), VISITS);
            continue;
        };
        counts.add(&window);
        for (path, request) in window.requests() {
            if path == signal.path() {
                open.push(request);
            }
        }
        if signal.items(&counts) >= ITEMS {
            let items = signal.items(&std::mem::take(&mut counts));
            bodies.push(body(signal, items, std::mem::take(&mut open))?);
        }
    }
    Ok(bodies)
}

/// Nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a bench has the machine's clock")]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i64)
}

fn body(signal: Signal, items: usize, requests: Vec<serde_json::Value>) -> Result<Body> {
    let (mut bytes, mut ids, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for request in requests {
        // Requests behind each other are one request.
        match signal {
            Signal::Traces => {
                let request: ExportTraceServiceRequest = serde_json::from_value(request)?;
                let scopes = request.resource_spans.iter().flat_map(|of| &of.scope_spans);
                for span in scopes.flat_map(|of| &of.spans) {
                    let of_span = [&span.trace_id, &span.span_id, &span.parent_span_id];
                    ids.extend(of_span.into_iter().filter(|id| !id.is_empty()).cloned());
                    times.extend([span.start_time_unix_nano, span.end_time_unix_nano]);
                }
                request.encode(&mut bytes)?;
            }
            Signal::Logs => {
                let request: ExportLogsServiceRequest = serde_json::from_value(request)?;
                let scopes = request.resource_logs.iter().flat_map(|of| &of.scope_logs);
                for record in scopes.flat_map(|of| &of.log_records) {
                    ids.extend([record.trace_id.clone(), record.span_id.clone()]);
                    times.extend([record.time_unix_nano, record.observed_time_unix_nano]);
                }
                request.encode(&mut bytes)?;
            }
            Signal::Metrics => {
                let request: ExportMetricsServiceRequest = serde_json::from_value(request)?;
                times.extend(times_of(&request));
                request.encode(&mut bytes)?;
            }
        }
    }
    let newest = times.iter().copied().max().unwrap_or(0);
    let mut places: Vec<usize> = Vec::new();
    for id in &ids {
        places.extend(positions(&bytes, id));
    }
    places.sort_unstable();
    places.dedup();
    times.sort_unstable();
    times.dedup();
    let time = |time: &u64| {
        let ago = newest - time;
        positions(&bytes, &time.to_le_bytes()).into_iter().map(move |at| (at, ago))
    };
    let times = times.iter().flat_map(time).collect();
    Ok(Body { signal, items: items as u64, bytes, ids: places, times })
}

fn times_of(request: &ExportMetricsServiceRequest) -> Vec<u64> {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let scopes = request.resource_metrics.iter().flat_map(|of| &of.scope_metrics);
    let data = scopes.flat_map(|of| &of.metrics).filter_map(|metric| metric.data.as_ref());
    let times = data.flat_map(|data| -> Vec<[u64; 2]> {
        match data {
            Data::Gauge(of) => {
                of.data_points.iter().map(|p| [p.start_time_unix_nano, p.time_unix_nano]).collect()
            }
            Data::Sum(of) => {
                of.data_points.iter().map(|p| [p.start_time_unix_nano, p.time_unix_nano]).collect()
            }
            Data::Histogram(of) => {
                of.data_points.iter().map(|p| [p.start_time_unix_nano, p.time_unix_nano]).collect()
            }
            // The shop has no others.
            Data::ExponentialHistogram(_) | Data::Summary(_) => Vec::new(),
        }
    });
    times.flatten().filter(|time| *time > 0).collect()
}

/// Wherever these bytes stand: ids and times of nanoseconds are found by what they are.
fn positions(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(bytes, wanted).collect()
}
