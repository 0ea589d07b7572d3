//! The numbers storage is run with. Components (stores, clocks, budgets) come
//! through constructors instead.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schema::Tenant;

use crate::Error;

const DAY: Duration = Duration::from_secs(86_400);

/// When an append is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before every ack; one fsync serves all requests of a few milliseconds.
    Always,
    /// At least this often; a power loss may take what was acked since.
    Interval(Duration),
    /// When the operating system likes.
    Off,
}

/// What an ack promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckLevel {
    /// The rows are in this node's log.
    Log,
    /// The rows are in their table: whatever this node loses, they stay. Acks
    /// wait for the commit, and are refused while the store is away.
    Store,
}

#[derive(Debug, Clone)]
pub struct WalSettings {
    pub dir: PathBuf,
    pub sync: Sync,
    /// Bytes at which a segment is closed and the next one begun.
    pub segment_bytes: u64,
    /// Bytes of all segments at which appends are refused.
    pub max_bytes: u64,
}

#[derive(Debug, Clone)]
pub struct StageSettings {
    pub dir: PathBuf,
    /// Bytes of staged, uncommitted files at which staging pauses.
    pub max_bytes: u64,
}

/// Local copies of committed files of a remote store.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    pub dir: PathBuf,
    /// Bytes of all copies; the oldest ones go first. 0 keeps none.
    pub max_bytes: u64,
}

#[derive(Debug, Clone)]
pub struct FlushSettings {
    /// Age of a table's oldest hot row at which it is sealed.
    pub max_age: Duration,
    /// Bytes of a table's hot rows at which it is sealed; a sixteenth of ingest's memory
    /// at most.
    pub max_bytes: u64,
}

impl FlushSettings {
    /// The settings that hold within a budget: what is written and what comes in
    /// meanwhile take less than what requests wait for
    /// ([`Budget::is_pressed`](schema::Budget::is_pressed)).
    pub fn within(&self, budget: &schema::Budget) -> FlushSettings {
        let most = budget.limit() / 16;
        FlushSettings { max_bytes: self.max_bytes.min(most), ..self.clone() }
    }
}

#[derive(Debug, Clone)]
pub struct CompactionSettings {
    /// Whether files are joined without being asked.
    pub enabled: bool,
    /// Bytes that a file should have; from half of it on it is left alone.
    pub target_bytes: u64,
    /// How long a replaced file stays on the store: longer than any query.
    pub grace: Duration,
    /// How long entries of a table's log stay, once a checkpoint stands in for
    /// them, for those who follow it entry by entry.
    pub log_retention: Duration,
}

/// How long the rows of a table are kept, by the day of their event. A table
/// that is not named keeps them for ever; what is derived follows its base.
#[derive(Debug, Clone, Default)]
pub struct RetentionSettings {
    /// Of every tenant that does not say otherwise, by table.
    pub tables: BTreeMap<String, Duration>,
    /// Of one tenant, by its name, then by table.
    pub tenants: BTreeMap<String, BTreeMap<String, Duration>>,
    /// Nothing is dropped before [`crate::Pins`] were told what to keep.
    pub waits: bool,
}

impl RetentionSettings {
    pub fn of(&self, tenant: &Tenant, table: &str) -> Option<Duration> {
        let own = self.tenants.get(tenant.as_str()).and_then(|tables| tables.get(table));
        own.or_else(|| self.tables.get(table)).copied()
    }

    fn validate(&self) -> Result<(), Error> {
        let own = self.tenants.iter().flat_map(|(tenant, tables)| {
            tables.iter().map(move |(table, keep)| (format!("tenants.{tenant}.{table}"), keep))
        });
        let mut all = self.tables.iter().map(|(table, keep)| (table.clone(), keep)).chain(own);
        if let Some((key, _)) = all.find(|(_, keep)| **keep < DAY) {
            return Err(Error::Settings(format!(
                "retention.{key} is below a day; whole days are dropped, so use at least 1d"
            )));
        }
        for tenant in self.tenants.keys() {
            if let Err(error) = Tenant::new(tenant) {
                return Err(Error::Settings(format!("retention.tenants.{tenant}: {error}")));
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub ack: AckLevel,
    pub wal: WalSettings,
    pub stage: StageSettings,
    pub cache: CacheSettings,
    pub flush: FlushSettings,
    pub compaction: CompactionSettings,
    pub retention: RetentionSettings,
    /// Where statements spill: watched here, written to by the engine.
    pub spill_dir: PathBuf,
    /// Share of each data volume that is kept free, 0.0 to 1.0; below it
    /// appends are refused.
    pub disk_reserve: f64,
}

impl Settings {
    /// Defaults under one data folder.
    pub fn under(dir: impl Into<PathBuf>) -> Settings {
        let dir = dir.into();
        Settings {
            ack: AckLevel::Log,
            wal: WalSettings {
                dir: dir.join("wal"),
                sync: Sync::Always,
                segment_bytes: 64 << 20,
                max_bytes: 1 << 30,
            },
            stage: StageSettings { dir: dir.join("stage"), max_bytes: 10 << 30 },
            cache: CacheSettings { dir: dir.join("cache"), max_bytes: 4 << 30 },
            flush: FlushSettings { max_age: Duration::from_secs(60), max_bytes: 64 << 20 },
            compaction: CompactionSettings {
                enabled: true,
                target_bytes: 256 << 20,
                grace: Duration::from_secs(600),
                log_retention: Duration::from_secs(86_400),
            },
            retention: RetentionSettings::default(),
            spill_dir: dir.join("spill"),
            disk_reserve: 0.05,
        }
    }

    pub fn validate(&self) -> Result<(), Error> {
        let no = |message: &str| Err(Error::Settings(message.into()));
        if self.wal.segment_bytes < 1 << 20 {
            return no("wal.segment_bytes is below 1 MiB; use at least 1MiB");
        }
        if self.wal.max_bytes < 2 * self.wal.segment_bytes {
            return no(
                "wal.max_bytes holds fewer than two segments; raise it to at least twice wal.segment_bytes",
            );
        }
        if self.flush.max_age.is_zero() || self.flush.max_bytes == 0 {
            return no("flush.max_age and flush.max_bytes must be above zero");
        }
        if self.compaction.target_bytes < 1 << 20 {
            return no("compaction.target_bytes is below 1 MiB; use at least 1MiB");
        }
        self.retention.validate()?;
        if !(0.0..1.0).contains(&self.disk_reserve) {
            return no("disk.reserve must be at least 0% and below 100%");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a table is full and written, and fills again meanwhile; budgets from a
    /// small sidecar's to a large gateway's.
    /// Guarantees: B2: no request waits for that.
    #[test]
    fn inv_b2_a_table_that_is_written_keeps_nobody_waiting() {
        for limit in [1 << 20, 64 << 20, 512 << 20, 64 << 30] {
            let budget = schema::Budget::new(limit);
            let flush = FlushSettings { max_age: Duration::from_secs(60), max_bytes: 64 << 20 };
            let flush = flush.within(&budget);
            assert!((1..=64 << 20).contains(&flush.max_bytes));
            let _twice = budget.reserve_regardless(2 * flush.max_bytes);
            assert!(!budget.is_pressed(), "{limit}");
        }
    }
}
