//! What the engine tells about itself. Counted per statement, never per row.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    pub door: &'static str,
    /// `done`, `truncated`, or the name of an error kind.
    pub outcome: &'static str,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    pub statements: Family<Outcome, Counter>,
    pub seconds: Histogram,
    pub running: Gauge,
    pub rows: Counter,
    pub bytes_read: Counter,
    pub files_read: Counter,
    pub files_pruned: Counter,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            statements: Family::default(),
            // 1 ms to about 65 s.
            seconds: Histogram::new(exponential_buckets(0.001, 4.0, 9)),
            running: Gauge::default(),
            rows: Counter::default(),
            bytes_read: Counter::default(),
            files_read: Counter::default(),
            files_pruned: Counter::default(),
        };
        let statements = metrics.statements.clone();
        registry.register(
            "cloudsail_query_statements",
            "Statements by door and outcome",
            statements,
        );
        registry.register_with_unit(
            "cloudsail_query_duration",
            "Time from admission to the last row",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        let running = metrics.running.clone();
        registry.register("cloudsail_query_running", "Statements running now", running);
        registry.register("cloudsail_query_rows", "Rows answered", metrics.rows.clone());
        let bytes = metrics.bytes_read.clone();
        registry.register_with_unit(
            "cloudsail_query_read",
            "Bytes read from Parquet files",
            Unit::Bytes,
            bytes,
        );
        let read = metrics.files_read.clone();
        registry.register("cloudsail_query_files_read", "Parquet files opened", read);
        let pruned = metrics.files_pruned.clone();
        registry.register(
            "cloudsail_query_files_pruned",
            "Parquet files left unopened thanks to statistics or the trace index",
            pruned,
        );
        metrics
    }
}
