//! What guards tell of themselves.
//!
//! | name | kind | unit, labels |
//! | --- | --- | --- |
//! | `cloudsail_chaos_guard_latency_seconds` | histogram | from the receipt of rows to the decision with them |
//! | `cloudsail_chaos_guard_runs` | gauge | runs whose guards are evaluated |
//! | `cloudsail_chaos_guard_fired` | counter | `mode` |
//! | `cloudsail_chaos_guard_missed_batches` | counter | batches that were stored and not counted |
//! | `cloudsail_chaos_webhooks` | counter | `outcome` |

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Mode {
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone)]
pub struct Metrics {
    latency: Histogram,
    runs: Gauge,
    fired: Family<Mode, Counter>,
    missed: Counter,
    webhooks: Family<Outcome, Counter>,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            latency: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            runs: Gauge::default(),
            fired: Family::default(),
            missed: Counter::default(),
            webhooks: Family::default(),
        };
        let m = &metrics;
        registry.register_with_unit(
            "cloudsail_chaos_guard_latency",
            "From the receipt of rows to the guards' decision with them",
            Unit::Seconds,
            m.latency.clone(),
        );
        registry.register(
            "cloudsail_chaos_guard_runs",
            "Runs whose guards are evaluated",
            m.runs.clone(),
        );
        registry.register(
            "cloudsail_chaos_guard_fired",
            "Guards that fired, by mode: enforce, shadow",
            m.fired.clone(),
        );
        registry.register(
            "cloudsail_chaos_guard_missed_batches",
            "Batches that were stored and not counted by guards",
            m.missed.clone(),
        );
        registry.register(
            "cloudsail_chaos_webhooks",
            "Webhooks by outcome: delivered, failed, denied",
            m.webhooks.clone(),
        );
        metrics
    }

    pub fn decided(&self, after: Duration) {
        self.latency.observe(after.as_secs_f64());
    }

    pub fn watching(&self, runs: usize) {
        self.runs.set(i64::try_from(runs).unwrap_or(i64::MAX));
    }

    pub fn fired(&self, shadow: bool) {
        let mode = if shadow { "shadow" } else { "enforce" };
        self.fired.get_or_create(&Mode { mode }).inc();
    }

    pub fn missed(&self, batches: u64) {
        self.missed.inc_by(batches);
    }

    pub fn webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&Outcome { outcome }).inc();
    }
}
