//! Compaction: many small files become few large ones, beside everything else.
//!
//! Last station of the route in, after the commit. One task, one job at a time,
//! and only while ingest has memory to spare. A job reads its inputs, merges
//! them by the table's order into new files, and has the table's committer swap
//! them in by one log entry; the entry is published like any other, so that a
//! snapshot sees the old files or the new ones (**S1**, **S2**).
//!
//! **K1** the rows stay the same, **K2** no watermark moves, **S3** what was
//! replaced stays on the store while a snapshot of this node names it, and for
//! a grace beyond the longest query for those that others hold.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`mod@plan`] | which files are joined: a pure policy |
//! | [`merge`] | sorted files as one sorted stream (K1) |
//! | [`columns`] | by codes, and maps that rows share each once |
//! | [`width`] | how wide rows are, and so how many are read at once |
//! | [`join`] | a job: merge, encode, upload |
//! | [`group`] | a row group in memory, as batches |
//! | [`upload`] | a new object, part by part |
//! | [`doomed`] | replaced files, until nobody can be reading them (S3) |
//!
//! Every node joins its own files. What other logs have left of days long over,
//! the holder of the lease joins, fenced by the table's log.
//!
//! Deliberately not here: what an entry looks like (`table`), what else concerns
//! all nodes (`upkeep`).

pub mod columns;
pub mod doomed;
pub mod group;
pub mod join;
pub mod merge;
pub mod plan;
pub mod upload;
pub mod width;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use schema::{Budget, Clock, TableDef, Tenant, Version, WalId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;
use crate::commit::Committers;
use crate::disk::Disk;
use crate::live::{Live, LiveSet};
use crate::metrics::{Metrics, TableLabel};
use crate::stage::Stage;
use crate::store::Store;
use crate::table::Why;
use crate::{CompactionSettings, DataFile, Error, Origin};
use doomed::Doomed;
use join::{Hands, Joined, Joiner};
use merge::Broken;
use plan::{Job, Policy, Whose};

/// How often tables are looked at.
const TICK: Duration = Duration::from_secs(2);
/// Days after which the holder of the lease joins what other nodes have left:
/// by then they have done their own.
const LEFT_ALONE: i32 = 3;
/// Bytes staged from which on the store is behind, and commits go first.
const BACKLOG: u64 = 64 << 20;
/// How long a table rests after a job failed.
const REST: Duration = Duration::from_secs(60);
/// The share of the ingest budget that a job's open row groups may have beside
/// it, and the most that they ever get.
const MEMORY_SHARE: u64 = 16;
const MOST_MEMORY: u64 = 96 << 20;
const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// What joining has done for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    pub tenant: Tenant,
    pub table: &'static str,
    pub jobs: u64,
    pub files_in: u64,
    pub files_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// The table's version when it was done; `None` if it has none.
    pub version: Option<Version>,
    /// Files of it that are live then, whoever wrote them.
    pub files: u64,
}

type Answer = Result<Vec<Compacted>, Error>;

/// Asks for everything to be joined that may be.
#[derive(Clone)]
pub struct Compacting(mpsc::Sender<oneshot::Sender<Answer>>);

impl Compacting {
    pub async fn all(&self) -> Answer {
        let stopping = || Error::Busy("the node is stopping".into());
        let (sender, done) = oneshot::channel();
        self.0.send(sender).await.map_err(|_| stopping())?;
        done.await.map_err(|_| stopping())?
    }
}

/// The handle, and what the task listens to.
pub fn channel() -> (Compacting, mpsc::Receiver<oneshot::Sender<Answer>>) {
    let (sender, inbox) = mpsc::channel(16);
    (Compacting(sender), inbox)
}

pub struct Compactor {
    pub hands: Arc<Hands>,
    pub settings: CompactionSettings,
    pub wal_id: WalId,
    pub store: Store,
    pub stage: Arc<Stage>,
    pub live: Arc<LiveSet>,
    pub committers: Arc<Committers>,
    pub budget: Budget,
    pub disk: Arc<Disk>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub cancel: CancellationToken,
    pub doomed: Arc<Doomed>,
    /// Whether this node holds the lease.
    pub leads: Arc<AtomicBool>,
    pub known: Known,
    pub chance: Chance,
}

/// What the task remembers.
#[derive(Debug, Default)]
pub struct Known {
    /// Files that cannot be joined, until the next start.
    unfit: Mutex<HashSet<String>>,
    tables: Mutex<HashMap<(Tenant, &'static str), Seen>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Nothing was due at this version on this day, with or without the lease.
    idle: Option<(Version, i32, bool)>,
    rest_until: Option<Instant>,
}

impl Compactor {
    pub async fn run(self, mut inbox: mpsc::Receiver<oneshot::Sender<Answer>>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Once begun, work ends by itself soon after the token is cancelled.
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                Some(done) = inbox.recv() => {
                    let answer = self.all().await;
                    // Who asked may have gone; the work is done all the same.
                    let _ = done.send(answer);
                }
                _ = tick.tick() => self.due().await,
            }
        }
    }

    /// Everything that may be joined, as if every day were over.
    async fn all(&self) -> Answer {
        let mut answers = Vec::new();
        for live in self.live.all() {
            for (output, table) in live.outputs().into_iter().enumerate() {
                let mut compacted = Compacted::none(&live, &table);
                let own = Whose::Own(self.wal_id);
                while let Some(job) = self.plan(&live, output, &table, own, i32::MAX) {
                    self.one(&live, output, &table, &job, &mut compacted).await?;
                }
                let committed = live.committed(output);
                compacted.version = committed.as_ref().map(|committed| committed.version);
                compacted.files = committed.map_or(0, |committed| committed.files.len() as u64);
                answers.push(compacted);
            }
        }
        self.doomed.sweep(self.store.objects()).await;
        Ok(answers)
    }

    /// What is due now, the tables in turn.
    async fn due(&self) {
        let mut done = true;
        while done && !self.cancel.is_cancelled() {
            // As long as there is work this does not return.
            self.doomed.sweep(self.store.objects()).await;
            done = false;
            for live in self.live.all() {
                for (output, table) in live.outputs().into_iter().enumerate() {
                    match self.look(&live, output, &table).await {
                        Ok(joined) => done |= joined,
                        Err(error) => {
                            let name = table.name;
                            tracing::warn!(
                                table = name,
                                error = error.told(),
                                "files could not be joined; they stay as they are, and it is tried again"
                            );
                            self.seen(&live, &table, |seen| {
                                seen.rest_until = Some(Instant::now() + REST);
                            });
                        }
                    }
                }
            }
        }
    }

    /// Runs one job of a table, if one is due; whether it did.
    async fn look(
        &self,
        live: &Arc<Live>,
        output: usize,
        table: &Arc<TableDef>,
    ) -> Result<bool, Error> {
        let Some(version) = live.committed(output).map(|committed| committed.version) else {
            return Ok(false);
        };
        let (today, leads) = (self.today(), self.leads.load(Ordering::Relaxed));
        let now = Some((version, today, leads));
        let seen = self.seen(live, table, |seen| *seen);
        let rests = seen.rest_until.is_some_and(|until| Instant::now() < until);
        if !self.settings.enabled || rests || seen.idle == now || !self.calm() {
            return Ok(false);
        }
        // Late rows of a day still come for a day.
        let own = self.plan(live, output, table, Whose::Own(self.wal_id), today - 1);
        let job = match own {
            Some(job) => Some(job),
            None => self.shared(live, output, table, today),
        };
        match job {
            Some(job) => {
                let mut compacted = Compacted::none(live, table);
                self.one(live, output, table, &job, &mut compacted).await?;
                Ok(true)
            }
            None => {
                self.seen(live, table, |seen| seen.idle = now);
                Ok(false)
            }
        }
    }

    /// Small files of this node that one table has at most.
    fn most_small(&self) -> usize {
        let own = |file: &DataFile| file.origin.is_some_and(|origin| origin.wal_id == self.wal_id);
        let small = |file: &DataFile| file.size < self.settings.target_bytes / 2 && own(file);
        let of = |live: &Arc<Live>| -> Option<usize> {
            let committed = (0..live.outputs().len()).filter_map(|output| live.committed(output));
            committed.map(|known| known.files.iter().filter(|file| small(file)).count()).max()
        };
        self.live.all().iter().filter_map(of).max().unwrap_or(0)
    }

    /// Bytes that the open row groups of a job may take.
    fn memory_bytes(&self) -> u64 {
        (self.budget.limit() / MEMORY_SHARE).min(MOST_MEMORY)
    }

    /// Whether ingest has memory, and the volume room, to spare.
    fn calm(&self) -> bool {
        !self.budget.is_pressed() && self.stage.bytes() <= BACKLOG && self.disk.check().is_ok()
    }

    fn today(&self) -> i32 {
        let days = self.clock.now_unix_nano().div_euclid(NANOS_PER_DAY);
        i32::try_from(days).unwrap_or(i32::MAX)
    }

    /// What the holder of the lease joins over all logs: what their nodes have
    /// left of days long over. Of a table that has an index only files that the
    /// index tells of: a joined file does not say whose rows it has. The index
    /// itself need not: its table's watermarks say whose rows it tells of.
    fn shared(&self, live: &Live, output: usize, table: &TableDef, today: i32) -> Option<Job> {
        if !self.leads.load(Ordering::Relaxed) {
            return None;
        }
        let job = self.plan(live, output, table, Whose::Anyones, today - LEFT_ALONE)?;
        if output > 0 || table.derived.is_none() {
            return Some(job);
        }
        let known = live.committed(1)?.watermarks;
        let told =
            |o: Origin| o.is_mixed() || known.get(&o.wal_id).is_some_and(|mark| *mark >= o.last);
        let all = job.files().filter_map(|file| file.origin).all(told);
        all.then_some(job)
    }

    fn plan(
        &self,
        live: &Live,
        output: usize,
        table: &TableDef,
        whose: Whose,
        open_from: i32,
    ) -> Option<Job> {
        let committed = live.committed(output)?;
        let policy = Policy {
            target_bytes: self.settings.target_bytes,
            memory_bytes: self.memory_bytes(),
            whose,
            open_from,
        };
        let unfit = self.known.unfit.lock();
        // The next start looks for the names of what the stage still holds.
        let held = live.first_held();
        let released = |o: Origin| {
            o.wal_id != self.wal_id || o.is_mixed() || held.is_none_or(|held| o.last < held)
        };
        let fit = |f: &DataFile| !unfit.contains(&f.path) && f.origin.is_none_or(released);
        let jobs = plan::plan(table, &committed.files, &policy, fit);
        jobs.into_iter().next()
    }

    /// Runs a job to its end and counts it.
    async fn one(
        &self,
        live: &Arc<Live>,
        output: usize,
        table: &Arc<TableDef>,
        job: &Job,
        compacted: &mut Compacted,
    ) -> Result<(), Error> {
        let label = TableLabel { tenant: live.tenant.to_string(), table: table.name.to_owned() };
        let started = Instant::now();
        let joiner = Joiner {
            hands: self.hands.clone(),
            objects: self.store.objects(),
            budget: self.budget.clone(),
            memory_bytes: self.memory_bytes(),
            wal_id: self.wal_id,
            boot: self.stage.boot(),
            waiting: self.most_small(),
            cancel: self.cancel.clone(),
            chance: self.chance.clone(),
        };
        let Joined { inputs, files, most_held } = match joiner.run(&live.tenant, table, job).await {
            Ok(joined) => joined,
            Err(Broken::Unfit { path, why }) => {
                tracing::warn!(
                    path,
                    why,
                    "this file cannot be joined to others; it stays as it is"
                );
                self.known.unfit.lock().insert(path);
                return Ok(());
            }
            Err(Broken::Failed(error)) => {
                self.metrics.compaction_failures.get_or_create(&label).inc();
                return Err(error);
            }
        };
        let size = |file: &DataFile| file.size;
        let bytes_in: u64 = inputs.iter().map(|file| size(file)).sum();
        let bytes_out: u64 = files.iter().map(size).sum();
        let swap = self.committers.rewrite(live, output, inputs.clone(), files.clone(), Why::Join);
        match swap.await {
            Ok(Some(version)) => {
                tracing::debug!(table = table.name, %version, files = inputs.len(), bytes = bytes_in, held = most_held, into = files.len(), "joined");
            }
            Ok(None) => {
                tracing::info!(
                    table = table.name,
                    "another entry took a file first; a join is given up"
                );
                joiner.discard(&files).await;
                return Ok(());
            }
            Err(error) => {
                self.metrics.compaction_failures.get_or_create(&label).inc();
                // An open outcome: an entry may name the new files yet.
                return Err(error);
            }
        }
        let m = &self.metrics;
        m.compactions.get_or_create(&label).inc();
        m.compaction_files_in.get_or_create(&label).inc_by(inputs.len() as u64);
        m.compaction_files_out.get_or_create(&label).inc_by(files.len() as u64);
        m.compaction_bytes_in.get_or_create(&label).inc_by(bytes_in);
        m.compaction_bytes_out.get_or_create(&label).inc_by(bytes_out);
        m.compaction_seconds.observe(started.elapsed().as_secs_f64());
        compacted.jobs += 1;
        compacted.files_in += inputs.len() as u64;
        compacted.files_out += files.len() as u64;
        compacted.bytes_in += bytes_in;
        compacted.bytes_out += bytes_out;
        self.doomed.add(inputs, Instant::now() + self.settings.grace);
        Ok(())
    }

    fn seen<T>(&self, live: &Live, table: &TableDef, with: impl FnOnce(&mut Seen) -> T) -> T {
        let key = (live.tenant.clone(), table.name);
        with(self.known.tables.lock().entry(key).or_default())
    }
}

impl Compacted {
    fn none(live: &Live, table: &TableDef) -> Compacted {
        Compacted {
            tenant: live.tenant.clone(),
            table: table.name,
            jobs: 0,
            files_in: 0,
            files_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            version: None,
            files: 0,
        }
    }
}
