//! Upkeep of the tables that all nodes share, by the one that holds the lease:
//! checkpoints and clean logs, retention, and objects that nothing names.
//!
//! Beside the route. Everything is fenced by the tables' own logs: a node that
//! wrongly believes that it holds the lease loses at the first conflict. **S3**:
//! what retention drops stays for the grace like what compaction replaces.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`lease`] | which node does it |
//! | [`pins`] | days that others keep, whatever their age |
//! | [`retention`] | which days have outlived their limit: a pure rule |
//! | [`tenants`] | whose tables there are on the store |
//! | [`vacuum`] | which unnamed objects may go: a pure rule |
//!
//! Deliberately not here: how an entry is written (`table`), joining files (`compact`).

pub mod lease;
pub mod pins;
pub mod retention;
pub mod tenants;
pub mod vacuum;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schema::{Clock, TableDef, Tenant, Version};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commit::Committers;
use crate::compact::doomed::Doomed;
use crate::live::{Live, LiveSet};
use crate::metrics::{Metrics, TableLabel};
use crate::store::{BULK, Store};
use crate::table::orphans::{self, Kind};
use crate::table::{self, DeltaTable, Orphan, Why};
use crate::{CompactionSettings, Error, RetentionSettings, failpoint};
use lease::{Held, Lease};
use pins::Pins;
use vacuum::Vacuum;

/// How often the lease is looked at, and the tables' versions.
const TICK: Duration = Duration::from_secs(5);
/// How often the tables' folders are listed.
const VACUUM_EVERY: Duration = Duration::from_secs(1800);
/// When folders are listed again after that failed.
const VACUUM_AGAIN: Duration = Duration::from_secs(60);
/// Commits between checkpoints of a table's log: whoever opens it reads as many
/// entries beside the checkpoint.
const CHECKPOINT_EVERY: u64 = 100;
/// As many are enough when the last one is [`A_WHILE`] ago.
const CHECKPOINT_FEW: u64 = 10;
const A_WHILE: Duration = Duration::from_secs(60);
const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// What a running storage gives to the task.
pub struct Parts {
    pub compaction: CompactionSettings,
    pub retention: RetentionSettings,
    pub pins: Arc<Pins>,
    pub store: Store,
    pub live: Arc<LiveSet>,
    /// Told of tables that this node has no rows of.
    pub entered: mpsc::UnboundedSender<Arc<Live>>,
    pub committers: Arc<Committers>,
    pub doomed: Arc<Doomed>,
    /// Told whether this node holds the lease.
    pub leads: Arc<AtomicBool>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub cancel: CancellationToken,
}

pub struct Upkeep {
    parts: Parts,
    lease: Lease,
    vacuum: Vacuum,
    /// Per table, as far as it was looked up.
    checkpoints: HashMap<(Tenant, &'static str), Checkpoint>,
    vacuum_at: Instant,
}

/// The newest checkpoint of a table, and since when it is known.
#[derive(Debug, Clone, Copy)]
struct Checkpoint {
    version: u64,
    since: Instant,
}

impl Checkpoint {
    fn is_behind(self, version: u64) -> bool {
        let enough = match self.since.elapsed() < A_WHILE {
            true => CHECKPOINT_EVERY,
            false => CHECKPOINT_FEW,
        };
        version >= self.version + enough
    }
}

impl Upkeep {
    pub fn new(parts: Parts, lease: Lease) -> Upkeep {
        Upkeep {
            parts,
            lease,
            vacuum: Vacuum::default(),
            checkpoints: HashMap::new(),
            vacuum_at: Instant::now(),
        }
    }

    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        let cancel = self.parts.cancel.clone();
        while cancel.run_until_cancelled(tick.tick()).await.is_some() {
            // A step is left at a table's end and never in the middle: the library
            // that reads tables panics when its runtime goes away under it.
            match self.step().await {
                Ok(()) => failing = false,
                Err(error) => {
                    // Once per outage: the committers tell of it as well.
                    if !failing {
                        tracing::warn!(
                            error = error.told(),
                            "upkeep of the tables waits; trying again"
                        );
                    }
                    failing = true;
                }
            }
        }
    }

    /// One look at everything, if this node is the one to do so.
    async fn step(&mut self) -> Result<(), Error> {
        let held = self.lease.hold(Instant::now()).await;
        let leads = matches!(held, Ok(Some(_)));
        self.parts.leads.store(leads, Ordering::Relaxed);
        let held = held?;
        self.parts.metrics.lease_held.set(i64::from(held.is_some()));
        let Some(held) = held else { return Ok(()) };
        let tables: Vec<(Arc<Live>, usize, Arc<TableDef>)> = self
            .parts
            .live
            .all()
            .into_iter()
            .flat_map(|live| {
                let outputs = live.outputs().into_iter().enumerate();
                outputs
                    .map(move |(output, table)| (live.clone(), output, table))
                    .collect::<Vec<_>>()
            })
            .collect();
        let cancel = self.parts.cancel.clone();
        for (live, output, table) in &tables {
            if cancel.is_cancelled() {
                return Ok(());
            }
            self.checkpoint(live, *output, table).await?;
        }
        self.expire(&tables, held).await?;
        if Instant::now() >= self.vacuum_at {
            // A store that fails is not listed again at every look.
            self.vacuum_at = Instant::now() + VACUUM_AGAIN;
            self.enter().await?;
            for (live, _, table) in &tables {
                if cancel.is_cancelled() {
                    return Ok(());
                }
                self.sweep(live, table, held).await?;
            }
            self.vacuum_at = Instant::now() + VACUUM_EVERY.min(self.parts.compaction.grace);
        }
        Ok(())
    }

    /// Takes on the tables of tenants that this node has no rows of: somebody
    /// must do their upkeep.
    async fn enter(&self) -> Result<(), Error> {
        let Parts { store, live, entered, .. } = &self.parts;
        for (tenant, table) in tenants::tables(store, live.catalog()).await? {
            // A folder of that name may be anybody's.
            if live.get(&tenant, table.name).is_some()
                || !DeltaTable::is_there(store, &tenant, table.clone()).await?
            {
                continue;
            }
            let (live, new) = live.enter(&tenant, &table);
            if new && entered.send(live).is_err() {
                tracing::debug!("the node is stopping; a table is not entered");
            }
        }
        Ok(())
    }

    /// Writes a checkpoint when the log has grown by a hundred entries since the
    /// last one, or by ten and it is a while ago, and drops the entries that it made needless long ago.
    async fn checkpoint(
        &mut self,
        live: &Live,
        output: usize,
        table: &Arc<TableDef>,
    ) -> Result<(), Error> {
        let Some(Version(version)) = live.committed(output).map(|c| c.version) else {
            return Ok(());
        };
        let now = |version| Checkpoint { version, since: Instant::now() };
        let known = self.checkpoints.entry((live.tenant.clone(), table.name)).or_insert(now(0));
        if !known.is_behind(version) {
            return Ok(());
        }
        let store = &self.parts.store;
        // The holder before may have written one.
        match table::newest_checkpoint(store, &live.tenant, table).await? {
            Some(newest) if newest > known.version => *known = now(newest),
            _ => {}
        }
        if known.is_behind(version) {
            table::checkpoint(store, &live.tenant, table, Version(version)).await?;
            *known = now(version);
            let keep = self.parts.compaction.log_retention;
            let gone = table::clean_log(store, &live.tenant, table, keep).await?;
            tracing::debug!(table = table.name, version, gone, "wrote a checkpoint");
        }
        Ok(())
    }

    /// Drops the days of each table that have outlived its limit. What is
    /// derived goes after its base: a hint may lead nowhere, and may not lack.
    async fn expire(
        &self,
        tables: &[(Arc<Live>, usize, Arc<TableDef>)],
        held: Held,
    ) -> Result<(), Error> {
        let today = self.parts.clock.now_unix_nano().div_euclid(NANOS_PER_DAY);
        let today = i32::try_from(today).unwrap_or(i32::MAX);
        for (live, output, table) in tables {
            let Some(keep) = self.parts.retention.of(&live.tenant, live.table.name) else {
                continue;
            };
            // Of the base alone: other tables may be dated by the local clock.
            let Some(base) = live.committed(0) else { continue };
            let days: BTreeSet<i32> = base.files.iter().map(|file| file.date).collect();
            drop(base);
            let Some(before) = retention::expired_before(&days, today, keep) else { continue };
            let Some(committed) = live.committed(*output) else { continue };
            let kept = |day: i32| self.parts.pins.holds(&live.tenant, live.table.name, day);
            let expired = |file: &&Arc<crate::DataFile>| {
                file.date < before && plain(&file.path) && !kept(file.date)
            };
            let old: Vec<_> = committed.files.iter().filter(expired).cloned().collect();
            drop(committed);
            let base_has = |d: i32| {
                let base = live.committed(0);
                base.is_some_and(|base| base.files.iter().any(|file| file.date == d))
            };
            let old: Vec<_> =
                old.into_iter().filter(|file| *output == 0 || !base_has(file.date)).collect();
            if old.is_empty() {
                continue;
            }
            let rows: u64 = old.iter().map(|file| file.rows).sum();
            let why = Why::Expire { at_millis: held.store_time.timestamp_millis() };
            let dropped =
                self.parts.committers.rewrite(live, *output, old.clone(), Vec::new(), why).await?;
            let Some(version) = dropped else { continue };
            let label =
                TableLabel { tenant: live.tenant.to_string(), table: table.name.to_owned() };
            self.parts.metrics.expired_rows.get_or_create(&label).inc_by(rows);
            tracing::info!(table = table.name, %version, rows, files = old.len(), "dropped days beyond the retention");
            let when = Instant::now() + self.parts.compaction.grace;
            self.parts.doomed.add(old, when);
        }
        Ok(())
    }

    /// Removes what lies in a table's folder and nobody can want.
    async fn sweep(&mut self, live: &Live, table: &Arc<TableDef>, held: Held) -> Result<(), Error> {
        let (store, now) = (&self.parts.store, Instant::now());
        let mut orphans = table::orphans(store, &live.tenant, table).await?;
        orphans.extend(orphans::unfinished(store, &live.tenant, table).await?);
        let prefix = format!("{}/{}/", live.tenant, table.name);
        let grace = self.parts.compaction.grace;
        let due = self.vacuum.due(&prefix, &orphans, held.store_time, now, grace);
        let (temps, objects): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|orphan| orphan.kind == Kind::Unfinished);
        for some in temps.chunks(1).chain(objects.chunks(BULK)) {
            failpoint::hit("vacuum_before");
            orphans::remove(store, some).await?;
            failpoint::hit("vacuum_after");
            for Orphan { path, .. } in some {
                tracing::info!(path, "removed a file that no version names");
            }
            self.parts.metrics.vacuumed_files.inc_by(some.len() as u64);
        }
        Ok(())
    }
}

/// Whether every reader writes this path alike: one of another writer that
/// needs escapes is not removed under a name that it does not know.
fn plain(path: &str) -> bool {
    let (_, file) = path.rsplit_once("/date=").unwrap_or_default();
    file.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=".contains(&b))
}
