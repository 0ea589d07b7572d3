//! What storage tells of itself. Per group, seal or commit, never per row.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TableLabel {
    pub tenant: String,
    pub table: String,
}

#[derive(Debug, Clone)]
pub struct Metrics {
    pub wal_bytes: Gauge,
    pub wal_append_seconds: Histogram,
    pub wal_refused: Counter,
    pub wal_quarantined_rows: Counter,
    pub wal_torn_bytes: Counter,
    pub memory_used_bytes: Gauge,
    pub memory_limit_bytes: Gauge,
    pub hot_rows: Family<TableLabel, Gauge>,
    pub hot_bytes: Family<TableLabel, Gauge>,
    pub stage_bytes: Gauge,
    pub staged_bytes: Counter,
    pub stage_free_bytes: Gauge,
    pub stage_lasts_seconds: Gauge<f64, AtomicU64>,
    pub stage_seconds: Histogram,
    pub stage_failures: Family<TableLabel, Counter>,
    pub commits: Family<TableLabel, Counter>,
    pub commit_failures: Family<TableLabel, Counter>,
    pub committed_rows: Family<TableLabel, Counter>,
    pub disk_free_bytes: Gauge,
    pub cache_bytes: Gauge,
    pub cache_hits: Counter,
    pub cache_damaged: Counter,
    pub compactions: Family<TableLabel, Counter>,
    pub compaction_failures: Family<TableLabel, Counter>,
    pub compaction_files_in: Family<TableLabel, Counter>,
    pub compaction_files_out: Family<TableLabel, Counter>,
    pub compaction_bytes_in: Family<TableLabel, Counter>,
    pub compaction_bytes_out: Family<TableLabel, Counter>,
    pub compaction_seconds: Histogram,
    pub lease_held: Gauge,
    pub expired_rows: Family<TableLabel, Counter>,
    pub vacuumed_files: Counter,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let metrics = Metrics {
            wal_bytes: Gauge::default(),
            wal_append_seconds: seconds(),
            wal_refused: Counter::default(),
            wal_quarantined_rows: Counter::default(),
            wal_torn_bytes: Counter::default(),
            memory_used_bytes: Gauge::default(),
            memory_limit_bytes: Gauge::default(),
            hot_rows: Family::default(),
            hot_bytes: Family::default(),
            stage_bytes: Gauge::default(),
            staged_bytes: Counter::default(),
            stage_free_bytes: Gauge::default(),
            stage_lasts_seconds: Gauge::default(),
            stage_seconds: seconds(),
            stage_failures: Family::default(),
            commits: Family::default(),
            commit_failures: Family::default(),
            committed_rows: Family::default(),
            disk_free_bytes: Gauge::default(),
            cache_bytes: Gauge::default(),
            cache_hits: Counter::default(),
            cache_damaged: Counter::default(),
            compactions: Family::default(),
            compaction_failures: Family::default(),
            compaction_files_in: Family::default(),
            compaction_files_out: Family::default(),
            compaction_bytes_in: Family::default(),
            compaction_bytes_out: Family::default(),
            compaction_seconds: seconds(),
            lease_held: Gauge::default(),
            expired_rows: Family::default(),
            vacuumed_files: Counter::default(),
        };
        let m = &metrics;
        let bytes = || Unit::Bytes;
        let r = registry;
        r.register_with_unit(
            "cloudsail_wal_size",
            "Size of the write-ahead log",
            bytes(),
            m.wal_bytes.clone(),
        );
        r.register_with_unit(
            "cloudsail_wal_append",
            "Time to write and sync one group of requests",
            Unit::Seconds,
            m.wal_append_seconds.clone(),
        );
        r.register(
            "cloudsail_wal_refused_groups",
            "Shares of groups that the log refused (retryably)",
            m.wal_refused.clone(),
        );
        r.register(
            "cloudsail_wal_quarantined_rows",
            "Acked rows lost to damaged log records, found at start",
            m.wal_quarantined_rows.clone(),
        );
        r.register_with_unit(
            "cloudsail_wal_torn",
            "Unacked bytes cut off the log's end at start",
            bytes(),
            m.wal_torn_bytes.clone(),
        );
        r.register_with_unit(
            "cloudsail_ingest_memory_used",
            "Bytes of the ingest budget in use (B1)",
            bytes(),
            m.memory_used_bytes.clone(),
        );
        r.register_with_unit(
            "cloudsail_ingest_memory_limit",
            "The ingest budget (limits.memory)",
            bytes(),
            m.memory_limit_bytes.clone(),
        );
        r.register("cloudsail_hot_rows", "Rows in memory, not sealed", m.hot_rows.clone());
        r.register_with_unit(
            "cloudsail_hot",
            "Bytes of rows in memory, not sealed",
            bytes(),
            m.hot_bytes.clone(),
        );
        r.register_with_unit(
            "cloudsail_stage_size",
            "Bytes staged and not committed",
            bytes(),
            m.stage_bytes.clone(),
        );
        r.register_with_unit(
            "cloudsail_staged",
            "Bytes staged since the start",
            bytes(),
            m.staged_bytes.clone(),
        );
        r.register_with_unit(
            "cloudsail_stage_free",
            "Bytes that may still be staged, by stage.max_bytes and disk.reserve",
            bytes(),
            m.stage_free_bytes.clone(),
        );
        r.register_with_unit(
            "cloudsail_stage_lasts",
            "Time until the stage is full if nothing is committed, at the staging rate of the last minutes",
            Unit::Seconds,
            m.stage_lasts_seconds.clone(),
        );
        r.register_with_unit(
            "cloudsail_stage_write",
            "Time to encode and sync one sealed range",
            Unit::Seconds,
            m.stage_seconds.clone(),
        );
        r.register(
            "cloudsail_stage_failures",
            "Sealed ranges that could not be staged and are tried again",
            m.stage_failures.clone(),
        );
        r.register("cloudsail_commits", "Commits of own rows", m.commits.clone());
        r.register(
            "cloudsail_commit_failures",
            "Commits that failed and are tried again",
            m.commit_failures.clone(),
        );
        r.register(
            "cloudsail_committed_rows",
            "Rows in own commits of this process",
            m.committed_rows.clone(),
        );
        r.register_with_unit(
            "cloudsail_disk_free",
            "Free bytes on the volume of the log",
            bytes(),
            m.disk_free_bytes.clone(),
        );
        r.register_with_unit(
            "cloudsail_cache_size",
            "Bytes of local copies of committed files",
            bytes(),
            m.cache_bytes.clone(),
        );
        r.register(
            "cloudsail_cache_hits",
            "Reads of committed files answered from a local copy",
            m.cache_hits.clone(),
        );
        r.register(
            "cloudsail_cache_damaged",
            "Local copies that could not be read or were not what they were; the store was asked",
            m.cache_damaged.clone(),
        );
        r.register(
            "cloudsail_compactions",
            "Joins of files into larger ones",
            m.compactions.clone(),
        );
        r.register(
            "cloudsail_compaction_failures",
            "Joins that failed and are tried again",
            m.compaction_failures.clone(),
        );
        r.register(
            "cloudsail_compaction_files_in",
            "Files that joins have replaced",
            m.compaction_files_in.clone(),
        );
        r.register(
            "cloudsail_compaction_files_out",
            "Files that joins have written",
            m.compaction_files_out.clone(),
        );
        r.register_with_unit(
            "cloudsail_compaction_read",
            "Bytes of files that joins have replaced",
            bytes(),
            m.compaction_bytes_in.clone(),
        );
        r.register_with_unit(
            "cloudsail_compaction_written",
            "Bytes of files that joins have written",
            bytes(),
            m.compaction_bytes_out.clone(),
        );
        r.register_with_unit(
            "cloudsail_compaction",
            "Time of one join, from its inputs to its commit",
            Unit::Seconds,
            m.compaction_seconds.clone(),
        );
        r.register(
            "cloudsail_lease_held",
            "Whether this node does the upkeep of the tables",
            m.lease_held.clone(),
        );
        r.register(
            "cloudsail_expired_rows",
            "Rows dropped because their day has outlived the retention",
            m.expired_rows.clone(),
        );
        r.register(
            "cloudsail_vacuumed_files",
            "Files removed that no version named",
            m.vacuumed_files.clone(),
        );
        metrics
    }
}
