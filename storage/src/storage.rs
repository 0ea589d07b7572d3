//! The running storage of a node: everything wired, opened from local disk
//! alone, ended in order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use object_store::ObjectStore;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use schema::{Ack, Batch, Budget, Catalog, Clock, Meter, Refusal, Sink, Tenant, WalId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::append::{Appender, Writer};
use crate::books::Books;
use crate::cache::{self, Cache, Cached};
use crate::commit::{Committers, Flushed, Shared};
use crate::compact::doomed::Doomed;
use crate::compact::{self, Compacted, Compacting, Compactor};
use crate::disk::{Class, Disk};
use crate::drain::Left;
use crate::live::{Live, LiveSet};
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::recover::{self, Recovered};
use crate::seal::{self, Sealer, Sealing};
use crate::stage::Stage;
use crate::status::{Status, TableStatus};
use crate::store::Store;
use crate::upkeep::lease::Lease;
use crate::upkeep::pins::Pins;
use crate::upkeep::{self, Upkeep};
use crate::{AckLevel, Chance, Error, LedgerRow, SegmentInfo, Settings, Snapshot, Source, wal};

/// What a node gives to its storage.
#[derive(Clone)]
pub struct Components {
    pub settings: Settings,
    pub catalog: Arc<Catalog>,
    pub store: Store,
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    /// Told of what is written to files.
    pub meter: Meter,
    /// Tells names of one start and one join from another's (C4).
    pub chance: Chance,
}

/// See the [crate](crate) for the route.
pub struct Storage {
    wal_id: WalId,
    live: Arc<LiveSet>,
    books: Arc<Books>,
    appender: Arc<Appender>,
    committers: Arc<Committers>,
    sealing: Sealing,
    compacting: Compacting,
    stage: Arc<Stage>,
    /// `None` on a local store.
    cache: Option<Arc<Cache>>,
    store: Store,
    disk: Arc<Disk>,
    pace: Arc<Pace>,
    budget: Budget,
    settings: Settings,
    tasks: Mutex<JoinSet<()>>,
    cancel: CancellationToken,
    draining: CancellationToken,
    reopen: CancellationToken,
    /// The books as the start found them.
    recovered: Vec<LedgerRow>,
    /// Cancelled when the log's thread has ended.
    log_ended: CancellationToken,
    pins: Arc<Pins>,
}

impl Storage {
    /// Recovers from local disk (D4) and starts every task. The store is not
    /// touched before this returns, unless what this node knows of its own
    /// commits cannot be read.
    pub async fn open(
        components: Components,
        registry: &mut Registry,
    ) -> Result<Arc<Storage>, Error> {
        components.settings.validate()?;
        let dir = components.settings.wal.dir.clone();
        let folder = tokio::task::spawn_blocking(move || wal::Disk::open(dir));
        let folder = folder
            .await
            .map_err(|panic| Error::Internal(format!("locking panicked: {panic}")))??;
        Storage::open_on(Arc::new(folder), components, registry).await
    }

    /// [`open`](Self::open) with the log in other files than `wal.dir`.
    pub async fn open_on(
        files: Arc<dyn wal::Files>,
        components: Components,
        registry: &mut Registry,
    ) -> Result<Arc<Storage>, Error> {
        let Components { settings, store, budget, clock, chance, .. } = components.clone();
        settings.validate()?;
        let metrics = Metrics::new(registry);
        let disk = Arc::new(Disk::of(&settings, store.local_root()));
        let (Recovered { log, wal_id, stage, progress, lineage, live, books }, cache) = {
            let (disk, metrics) = (disk.clone(), metrics.clone());
            tokio::task::spawn_blocking(move || {
                let recovered = recover::run(files, &components, &metrics)?;
                // Files of a local store are on this disk already.
                let cache = match components.store.local_root() {
                    Some(_) => None,
                    None => Some(Arc::new(Cache::open(&components.settings.cache, disk, metrics)?)),
                };
                Ok::<_, Error>((recovered, cache))
            })
            .await
            .map_err(|panic| Error::Internal(format!("recovery panicked: {panic}")))??
        };

        let recovered = books.read(&live);
        let (cancel, draining) = (CancellationToken::new(), CancellationToken::new());
        let (log_ended, reopen) = (CancellationToken::new(), CancellationToken::new());
        let (entered, mut new_tables) = tokio::sync::mpsc::unbounded_channel();
        let lock = log.files();
        let writer = Writer {
            start: log.last(),
            log,
            settings: settings.wal.clone(),
            live: live.clone(),
            books: books.clone(),
            budget: budget.clone(),
            clock: clock.clone(),
            disk: disk.clone(),
            metrics: metrics.clone(),
            runtime: tokio::runtime::Handle::current(),
            entered: entered.clone(),
            flush_bytes: settings.flush.within(&budget).max_bytes,
        };
        let appender = Arc::new(Appender::start(writer, log_ended.clone().drop_guard())?);
        appender.release();
        if lineage.parted_at().is_some() {
            appender.close("another copy of this log went on elsewhere, and the store has yet to tell how far; the node starts over with a new log id then".into());
        }
        let pace = Arc::new(Pace::default());
        let (offers, offered) = cache::channel();
        let shared = Shared {
            store: store.clone(),
            stage: stage.clone(),
            wal_id,
            progress,
            lineage,
            reopen: reopen.clone(),
            books: books.clone(),
            appender: appender.clone(),
            pace: pace.clone(),
            copies: cache.is_some().then_some(offers),
            metrics: metrics.clone(),
        };
        let committers = Arc::new(Committers::new(shared, cancel.child_token()));
        committers.enter(&live.all());

        let (sealing, inbox) = seal::channel();
        let sealer = Sealer {
            ack: settings.ack,
            flush: settings.flush.within(&budget),
            wal: settings.wal.clone(),
            stage_max_bytes: settings.stage.max_bytes,
            live: live.clone(),
            stage: stage.clone(),
            hand: seal::hand()?,
            appender: appender.clone(),
            committers: committers.clone(),
            budget: budget.clone(),
            disk: disk.clone(),
            cache: cache.clone(),
            pace: pace.clone(),
            metrics: metrics.clone(),
            lock,
            draining: draining.clone(),
        };
        let (compacting, asked) = compact::channel();
        let (doomed, leads) = (Arc::new(Doomed::default()), Arc::new(AtomicBool::new(false)));
        let compactor = Compactor {
            hands: Arc::default(),
            settings: settings.compaction.clone(),
            wal_id,
            store: store.clone(),
            stage: stage.clone(),
            live: live.clone(),
            committers: committers.clone(),
            budget: budget.clone(),
            disk: disk.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            cancel: cancel.clone(),
            doomed: doomed.clone(),
            leads: leads.clone(),
            known: Default::default(),
            chance: chance.fork(),
        };
        let pins = Arc::new(Pins::new(settings.retention.waits));
        let parts = upkeep::Parts {
            compaction: settings.compaction.clone(),
            retention: settings.retention.clone(),
            pins: pins.clone(),
            store: store.clone(),
            live: live.clone(),
            entered,
            committers: committers.clone(),
            doomed,
            leads,
            clock,
            metrics,
            cancel: cancel.clone(),
        };
        let upkeep = Upkeep::new(parts, Lease::new(store.objects(), wal_id));
        let mut tasks = JoinSet::new();
        tasks.spawn(sealer.run(inbox, cancel.clone()));
        tasks.spawn(compactor.run(asked));
        tasks.spawn(upkeep.run());
        if let Some(cache) = &cache {
            tasks.spawn(cache::run(cache.clone(), offered, cancel.clone()));
        }
        let (enter, ending) = (committers.clone(), cancel.clone());
        tasks.spawn(async move {
            while let Some(Some(live)) = ending.run_until_cancelled(new_tables.recv()).await {
                enter.enter(&[live]);
            }
        });
        Ok(Arc::new(Storage {
            wal_id,
            live,
            books,
            appender,
            committers,
            sealing,
            compacting,
            stage,
            cache,
            store,
            disk,
            pace,
            budget,
            settings,
            tasks: Mutex::new(tasks),
            cancel,
            draining,
            reopen,
            recovered,
            log_ended,
            pins,
        }))
    }

    /// Seals and stages everything acked before the call.
    pub async fn stage(&self) -> Result<(), Error> {
        self.sealing.all().await
    }

    /// Seals, stages and commits everything acked before the call. An error
    /// means that it is as safe as before, but not all of it is committed.
    pub async fn flush(&self) -> Result<Vec<Flushed>, Error> {
        loop {
            let staged = self.sealing.all().await;
            let mut reached = Vec::new();
            for live in self.live.all() {
                reached.extend(self.committers.flush(&live).await?);
            }
            self.appender.release();
            let full = self.stage.bytes() >= self.settings.stage.max_bytes;
            match staged {
                Ok(()) => return Ok(reached),
                // The stage was full, and has room now for what comes next.
                Err(Error::Busy(_)) if !full => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes no more rows, writes out and commits those there are, and says what
    /// is left to do. Ask again until that is nothing; there is no way back but
    /// to open the storage anew.
    pub async fn drain(&self) -> Result<Left, Error> {
        self.appender.close("the node is draining: send to another one".into());
        self.draining.cancel();
        // What was queued before is in the log and in its table after this.
        self.appender.sync().await?;
        Ok(Left::of(&self.live, &self.stage, &self.appender.status()))
    }

    /// The books as the start found them: what is in flight there was in the
    /// log or the stage and not committed yet, as far as was known.
    pub fn recovered(&self) -> &[LedgerRow] {
        &self.recovered
    }

    /// Where it is told which days are kept beyond their limit.
    pub fn pins(&self) -> &Arc<Pins> {
        &self.pins
    }

    /// Joins every file that may be joined, and says what was done per table.
    pub async fn compact(&self) -> Result<Vec<Compacted>, Error> {
        self.compacting.all().await
    }

    /// Makes everything acked durable, whatever `wal.sync` says.
    pub async fn sync(&self) -> Result<(), Error> {
        self.appender.sync().await
    }

    /// Ready means recovered and accepting; the store may be away.
    pub fn ready(&self) -> Result<(), String> {
        if self.log_ended.is_cancelled() {
            return Err("the write-ahead log has stopped".into());
        }
        self.appender.refusing().or_else(|| self.store_missed()).map_or(Ok(()), Err)
    }

    /// Resolves when the storage is to be shut down and opened anew, because its
    /// log needs a new id (faults.md F42). Nothing is taken in meanwhile.
    pub async fn parted(&self) {
        self.reopen.cancelled().await;
    }

    /// Resolves with the reason when only a human can tell what is to become of
    /// the log's rows (faults.md F42). Until then none is taken in.
    pub async fn undecided(&self) -> String {
        self.committers.undecided().await
    }

    /// Resolves when a task of storage has ended though nobody asked it to.
    pub async fn failed(&self) -> String {
        tokio::select! {
            () = self.log_ended.cancelled() => "the write-ahead log's thread has ended".into(),
            why = self.committers.failed() => why,
            why = self.task_ended() => why,
        }
    }

    async fn task_ended(&self) -> String {
        loop {
            if let Some(ended) = self.tasks.lock().try_join_next() {
                return format!(
                    "the sealer, the compactor, the upkeep or a watcher ended: {ended:?}"
                );
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends in order: seal, stage, commit if time allows, close the log. Call
    /// it when nothing appends any more. Says who was late; what was not
    /// committed is staged or in the log, and the next start goes on from it.
    pub async fn shutdown(&self, deadline: Duration) -> Vec<String> {
        let mut late = Vec::new();
        let end = tokio::time::Instant::now() + deadline;
        match tokio::time::timeout_at(end, self.sealing.all()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => late.push(format!("staging: {}", error.told())),
            Err(_) => late.push("staging: out of time; the rows stay in the log".into()),
        }
        for live in self.live.all() {
            let name = live.table.name;
            match tokio::time::timeout_at(end, self.committers.flush(&live)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => late.push(format!("commit of {name}: {}", error.told())),
                Err(_) => late.push(format!("commit of {name}: out of time; the rows stay staged")),
            }
        }
        self.cancel.cancel();
        self.committers.stop().await;
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        self.appender.release();
        self.appender.stop().await;
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout_at(end, ended).await.is_err() {
            late.push("joins and upkeep: out of time; the tables stay as they are".into());
            tasks.shutdown().await;
        }
        late
    }

    pub fn status(&self) -> Status {
        let log = self.appender.status();
        Status {
            wal_id: self.wal_id.to_string(),
            wal_bytes: log.bytes,
            wal_last_position: log.last.0,
            refusing: self.appender.refusing(),
            stage_bytes: self.stage.bytes(),
            stage_limit_bytes: self.settings.stage.max_bytes,
            stage_lasts_seconds: self.stage_lasts(),
            cache_bytes: self.cache.as_ref().map_or(0, |cache| cache.bytes()),
            memory_used_bytes: self.budget.used(),
            memory_limit_bytes: self.budget.limit(),
            disk: self.disk.space().ok(),
            tables: TableStatus::all(&self.live),
        }
    }

    /// Why rows that are acked by the store alone cannot be taken.
    fn store_missed(&self) -> Option<String> {
        if self.settings.ack == AckLevel::Log {
            return None;
        }
        let tables = self.live.all();
        tables.iter().find_map(|live| live_behind(live))
    }

    fn stage_lasts(&self) -> Option<u64> {
        let free = self.disk.outbox(self.settings.stage.max_bytes, self.stage.bytes());
        Some(self.pace.lasts(free)).filter(|lasts| lasts.is_finite()).map(|lasts| lasts as u64)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Everybody whose rows are or were here.
    pub fn tenants(&self) -> BTreeSet<Tenant> {
        self.live.tenants()
    }

    /// Whether other nodes write to a table too, as far as it was read.
    pub fn is_shared(&self, tenant: &Tenant, table: &'static str) -> bool {
        let committed = self.live.get(tenant, table).and_then(|live| live.committed(0));
        committed.is_some_and(|known| known.watermarks.keys().any(|log| *log != self.wal_id))
    }
}

#[async_trait]
impl Sink for Storage {
    async fn append(&self, batch: Batch) -> Result<Ack, Refusal> {
        if self.settings.ack == AckLevel::Log {
            return self.appender.append(batch).await;
        }
        let (tenant, table) = (batch.tenant.clone(), batch.table.name);
        // What would wait for an absent store comes back soon and is taken then;
        // taken now it would come back all the same, and be there twice.
        if let Some(reason) = self.live.get(&tenant, table).and_then(|live| live_behind(&live)) {
            return Err(Refusal::unavailable(format!("ack.level is store: {reason}")));
        }
        let ack = self.appender.append(batch).await?;
        match self.live.get(&tenant, table) {
            Some(live) => live.reaches(ack.position).await,
            None => return Err(Refusal::unavailable(format!("table {table} is gone"))),
        }
        Ok(ack)
    }
}

/// Why a table cannot be committed to at the moment, if it cannot.
fn live_behind(live: &Live) -> Option<String> {
    (0..live.outputs().len()).find_map(|output| live.incomplete(output))
}

impl Source for Storage {
    fn snapshot(&self, tenant: &Tenant, table: &str) -> Option<Snapshot> {
        self.live.snapshot(tenant, table)
    }

    fn catalog(&self) -> &Catalog {
        self.live.catalog()
    }

    /// Recent files come from their local copies, if there are any.
    fn store(&self) -> Arc<dyn ObjectStore> {
        match &self.cache {
            Some(cache) => Arc::new(Cached::new(self.store.objects(), cache.clone())),
            None => self.store.objects(),
        }
    }

    fn spill_room(&self) -> u64 {
        self.disk.room(Class::Spill)
    }

    fn stage(&self) -> Arc<dyn ObjectStore> {
        self.stage.objects()
    }

    fn ledger(&self) -> Vec<LedgerRow> {
        self.books.read(&self.live)
    }

    fn wal_segments(&self) -> Vec<SegmentInfo> {
        self.appender.status().segments
    }
}

/// Dropped without [`Storage::shutdown`], everything stops where it is; the
/// next start recovers.
impl Drop for Storage {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
