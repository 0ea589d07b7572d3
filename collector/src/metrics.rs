//! What this crate tells about itself. Per request, never per row.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use schema::{Door, Signal};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    signal: &'static str,
    door: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    signal: &'static str,
    door: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    signal: &'static str,
    door: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Opened {
    door: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    door: &'static str,
    reason: &'static str,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<Outcome, Counter>,
    seconds: Family<Request, Histogram>,
    refused: Family<Cause, Counter>,
    accepted: Family<Request, Counter>,
    rejected: Family<Cause, Counter>,
    warnings: Family<Cause, Counter>,
    received: Family<Request, Counter>,
    connections: Family<Opened, Gauge>,
    turned_away: Family<Closed, Counter>,
    quarantined: Counter,
    /// Requests turned away for want of memory, for whoever asks in this process.
    shortages: AtomicU64,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_5, 2.0, 15))
            }),
            refused: Family::default(),
            accepted: Family::default(),
            rejected: Family::default(),
            warnings: Family::default(),
            received: Family::default(),
            connections: Family::default(),
            turned_away: Family::default(),
            quarantined: Counter::default(),
            shortages: AtomicU64::new(0),
        };
        let m = &metrics;
        registry.register(
            "cloudsail_otlp_requests",
            "Export requests by outcome: ok, partial, refused, or cancelled by the sender",
            m.requests.clone(),
        );
        registry.register_with_unit(
            "cloudsail_otlp_request_duration",
            "From the head of an export request to its answer",
            Unit::Seconds,
            m.seconds.clone(),
        );
        registry.register(
            "cloudsail_otlp_refused_requests",
            "Export requests refused, by reason",
            m.refused.clone(),
        );
        registry.register(
            "cloudsail_otlp_accepted_items",
            "Spans, data points and log records acked",
            m.accepted.clone(),
        );
        registry.register(
            "cloudsail_otlp_rejected_items",
            "Spans, data points and log records rejected while decoding, by reason",
            m.rejected.clone(),
        );
        registry.register(
            "cloudsail_otlp_decode_warnings",
            "Oddities met while decoding that rejected nothing, by kind",
            m.warnings.clone(),
        );
        registry.register_with_unit(
            "cloudsail_otlp_received",
            "Bodies of export requests, as sent",
            Unit::Bytes,
            m.received.clone(),
        );
        registry.register(
            "cloudsail_otlp_connections",
            "Open connections of the OTLP doors",
            m.connections.clone(),
        );
        registry.register(
            "cloudsail_otlp_turned_away_connections",
            "Connections closed without a request, by reason",
            m.turned_away.clone(),
        );
        registry.register(
            "cloudsail_otlp_quarantined_payloads",
            "Payloads that made the decoder panic and are refused from then on",
            m.quarantined.clone(),
        );
        metrics
    }

    /// A request answered; `signal` is absent when the path named none.
    pub(crate) fn request(
        &self,
        signal: Option<Signal>,
        door: Door,
        outcome: &'static str,
        took: Duration,
    ) {
        let (signal, door) = (name(signal), door.as_str());
        self.requests.get_or_create(&Outcome { signal, door, outcome }).inc();
        self.seconds.get_or_create(&Request { signal, door }).observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, signal: Option<Signal>, door: Door, reason: &'static str) {
        let cause = Cause { signal: name(signal), door: door.as_str(), reason };
        self.refused.get_or_create(&cause).inc();
    }

    pub(crate) fn accepted(&self, signal: Signal, door: Door, items: u64) {
        self.accepted.get_or_create(&request(signal, door)).inc_by(items);
    }

    pub(crate) fn rejected(&self, signal: Signal, door: Door, reason: &'static str, items: u64) {
        let cause = Cause { signal: signal.as_str(), door: door.as_str(), reason };
        self.rejected.get_or_create(&cause).inc_by(items);
    }

    pub(crate) fn warned(&self, signal: Signal, door: Door, reason: &'static str, times: u64) {
        let cause = Cause { signal: signal.as_str(), door: door.as_str(), reason };
        self.warnings.get_or_create(&cause).inc_by(times);
    }

    pub(crate) fn received(&self, signal: Signal, door: Door, bytes: u64) {
        self.received.get_or_create(&request(signal, door)).inc_by(bytes);
    }

    /// The gauge of a door's open connections.
    pub(crate) fn connections(&self, door: Door) -> Gauge {
        self.connections.get_or_create_owned(&Opened { door: door.as_str() })
    }

    pub(crate) fn turned_away(&self, door: Door, reason: &'static str) {
        self.turned_away.get_or_create(&Closed { door: door.as_str(), reason }).inc();
    }

    pub(crate) fn short(&self) {
        self.shortages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn shortages(&self) -> u64 {
        self.shortages.load(Ordering::Relaxed)
    }

    pub(crate) fn quarantined(&self) {
        self.quarantined.inc();
    }
}

fn request(signal: Signal, door: Door) -> Request {
    Request { signal: signal.as_str(), door: door.as_str() }
}

fn name(signal: Option<Signal>) -> &'static str {
    signal.map_or("unknown", Signal::as_str)
}
