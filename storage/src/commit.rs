//! The committers: one task per table on the store. Each owns its Delta table,
//! uploads what is staged, commits it with the watermark in one entry (C1), in
//! position order (C2), and publishes the outcome to the live table.
//!
//! A store that is away costs nothing but time: the task tries again with a
//! growing, jittered pause, and the answers to queries say what they miss.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use schema::{Position, TableDef, Tenant, Version, WalId};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::append::Appender;
use crate::books::Books;
use crate::cache::Offer;
use crate::lineage::Lineage;
use crate::live::Live;
use crate::live::buffer::add_counts;
use crate::metrics::{Metrics, TableLabel};
use crate::pace::{Pace, Pause, spread};
use crate::progress::Progress;
use crate::stage::{Stage, Staged, upload};
use crate::store::Store;
use crate::table::{Committed, DeltaTable, Why};
use crate::{DataFile, Error, Place};

/// How often a table is read anew, to see what others have committed.
const REFRESH: Duration = Duration::from_secs(10);
/// How often a table is looked for that nobody has written to: most nodes have
/// several, and each look is paid for.
const REFRESH_ABSENT: Duration = Duration::from_secs(60);
/// Ranges that one entry commits at most: a backlog of hours becomes few
/// entries, and none of them is large.
const RANGES_PER_COMMIT: usize = 64;
/// Ranges of a table that queue for the stage's few uploads at a time.
const UPLOADS: usize = 2;
/// How long one range may travel, or a table's log be read: ample for a slow
/// line, and an end to waiting for an answer that never comes (F23).
const PATIENCE: Duration = Duration::from_secs(600);

/// What committers share.
pub struct Shared {
    pub store: Store,
    pub stage: Arc<Stage>,
    pub wal_id: WalId,
    pub progress: Arc<Progress>,
    pub lineage: Lineage,
    /// Cancelled when the storage is to be opened anew.
    pub reopen: CancellationToken,
    pub books: Arc<Books>,
    pub appender: Arc<Appender>,
    pub pace: Arc<Pace>,
    /// Where files are offered whose commit is published.
    pub copies: Option<mpsc::Sender<Offer>>,
    pub metrics: Metrics,
}

/// The handle to every committer.
pub struct Committers {
    shared: Shared,
    cancel: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
    bells: Mutex<HashMap<(Tenant, &'static str), Bells>>,
    /// Why only a human can tell whose rows the log has, once that is so.
    undecided: watch::Sender<Option<String>>,
}

/// The committers of one live table, by output.
type Bells = Vec<Arc<Bell>>;

/// How a committer is woken and how it tells of its attempts.
struct Bell {
    table: Arc<TableDef>,
    output: usize,
    wake: Notify,
    /// Raised by who wants a full attempt that starts after this moment.
    asked: AtomicU64,
    /// The last finished attempt: which request it answers, and its error.
    done: watch::Sender<(u64, Option<String>)>,
    /// Files to be replaced, at the committer's next step.
    swaps: Mutex<Vec<Swap>>,
}

impl Bell {
    fn new((output, table): (usize, Arc<TableDef>)) -> Arc<Bell> {
        let (wake, asked, swaps) = (Notify::new(), AtomicU64::new(0), Mutex::default());
        Arc::new(Bell { table, output, wake, asked, done: watch::Sender::new((0, None)), swaps })
    }
}

/// Files for others, by one entry.
struct Swap {
    remove: Vec<Arc<DataFile>>,
    add: Vec<DataFile>,
    why: Why,
    done: oneshot::Sender<Result<Option<Version>, Error>>,
}

/// How an attempt that did not fail ended.
enum Attempt {
    /// Nothing was left when it began to commit.
    Whole,
    /// More ranges wait than one entry takes; it took so long.
    Part(Duration),
}

/// What a flush reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flushed {
    pub tenant: Tenant,
    pub table: &'static str,
    /// `None`: the table holds no row yet.
    pub version: Option<Version>,
}

impl Committers {
    pub fn new(shared: Shared, cancel: CancellationToken) -> Committers {
        Committers {
            shared,
            cancel,
            tasks: Mutex::new(JoinSet::new()),
            bells: Mutex::new(HashMap::new()),
            undecided: watch::Sender::new(None),
        }
    }

    /// Starts the committers of live tables; at a start, of all of them at once.
    pub fn enter(self: &Arc<Self>, lives: &[Arc<Live>]) {
        let of = |live: &Arc<Live>| live.outputs().into_iter().enumerate().map(Bell::new).collect();
        let bells: Vec<Bells> = lives.iter().map(of).collect();
        let each =
            || lives.iter().zip(&bells).flat_map(|(live, of)| of.iter().map(move |b| (live, b)));
        let tables = each().map(|(live, bell)| (&live.tenant, bell.table.name));
        if let Err(error) = self.shared.lineage.expect(tables) {
            // Without the note only a human can tell, should it ever matter.
            tracing::warn!(%error, "the log's lineage could not be noted");
        }
        for (live, bell) in each() {
            let (this, live, bell) = (self.clone(), live.clone(), bell.clone());
            self.tasks.lock().spawn(async move { this.run(&live, &bell).await });
        }
        let named = lives.iter().map(|live| (live.tenant.clone(), live.table.name)).zip(bells);
        self.bells.lock().extend(named);
    }

    fn bells(&self, live: &Live) -> Bells {
        let key = (live.tenant.clone(), live.table.name);
        self.bells.lock().get(&key).cloned().unwrap_or_default()
    }

    /// Something was staged.
    pub fn wake(&self, live: &Live) {
        self.bells(live).iter().for_each(|bell| bell.wake.notify_one());
    }

    /// Commits what is staged now, or says why it could not.
    pub async fn flush(&self, live: &Live) -> Result<Vec<Flushed>, Error> {
        let mut reached = Vec::new();
        for bell in self.bells(live) {
            let ticket = bell.asked.fetch_add(1, Ordering::SeqCst) + 1;
            let mut done = bell.done.subscribe();
            bell.wake.notify_one();
            let stopping = |_| Error::Busy("the node is stopping".into());
            let (_, failed) =
                done.wait_for(|(answered, _)| *answered >= ticket).await.map_err(stopping)?.clone();
            if let Some(message) = failed {
                return Err(Error::Table {
                    table: bell.table.name.into(),
                    message,
                    kind: schema::ErrorKind::Unavailable,
                });
            }
            reached.push(Flushed {
                tenant: live.tenant.clone(),
                table: bell.table.name,
                version: live.committed(bell.output).map(|committed| committed.version),
            });
        }
        Ok(reached)
    }

    /// Replaces files of an output by others, by one entry of its committer, and
    /// publishes it. `None`: another entry took one of them first, nothing is done.
    pub async fn rewrite(
        &self,
        live: &Live,
        output: usize,
        remove: Vec<Arc<DataFile>>,
        add: Vec<DataFile>,
        why: Why,
    ) -> Result<Option<Version>, Error> {
        let stopping = || Error::Busy("the node is stopping".into());
        let bells = self.bells(live);
        let bell = bells.iter().find(|bell| bell.output == output).ok_or_else(stopping)?;
        let (done, answer) = oneshot::channel();
        bell.swaps.lock().push(Swap { remove, add, why, done });
        bell.wake.notify_one();
        tokio::select! {
            () = self.cancel.cancelled() => Err(stopping()),
            answer = answer => answer.map_err(|_| stopping())?,
        }
    }

    /// Whether a committer has ended though nobody asked for it.
    pub async fn failed(&self) -> String {
        loop {
            if let Some(Err(error)) = self.tasks.lock().try_join_next() {
                return format!("a committer ended: {error}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Resolves with the reason when [`parted`](Self::parted) leaves it to a human.
    pub async fn undecided(&self) -> String {
        let mut undecided = self.undecided.subscribe();
        match undecided.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // The sender lives as long as this does.
            _ => std::future::pending().await,
        }
    }

    /// Ends every committer between two steps and joins it.
    pub async fn stop(&self) {
        self.cancel.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a committer ended badly");
            }
        }
    }

    async fn run(&self, live: &Arc<Live>, bell: &Bell) {
        let label =
            TableLabel { tenant: live.tenant.to_string(), table: bell.table.name.to_owned() };
        let mut table = None;
        let mut pause = Pause::new(self.shared.wal_id, bell.table.name);
        loop {
            let ticket = bell.asked.load(Ordering::SeqCst);
            let attempt = async { self.attempt(live, bell, &mut table).await };
            let outcome = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                outcome = attempt => outcome,
            };
            let mut idle = REFRESH;
            let failed = match outcome {
                // More is waiting: half of the time is left to other writers.
                Ok(Attempt::Part(took)) => {
                    pause.reset();
                    let seed = (self.shared.wal_id, took);
                    tokio::select! {
                        biased;
                        () = self.cancel.cancelled() => return,
                        () = tokio::time::sleep(spread(took * 2, seed)) => {}
                    }
                    continue;
                }
                Ok(Attempt::Whole) => {
                    pause.reset();
                    if table.as_ref().is_some_and(|table| table.current().is_none()) {
                        idle = REFRESH_ABSENT;
                    }
                    None
                }
                Err(error) => {
                    let reason = error.told();
                    self.shared.metrics.commit_failures.get_or_create(&label).inc();
                    if !pause.failing() {
                        tracing::warn!(
                            table = label.table,
                            tenant = label.tenant,
                            error = reason,
                            "the table could not be reached; acked rows stay in log and stage, trying again"
                        );
                    }
                    live.behind(bell.output, reason.clone());
                    idle = pause.longer();
                    Some(reason)
                }
            };
            bell.done.send_replace((ticket, failed));
            let until = tokio::time::Instant::now() + idle;
            loop {
                tokio::select! {
                    biased;
                    () = self.cancel.cancelled() => return,
                    () = tokio::time::sleep_until(until) => break,
                    () = bell.wake.notified() => {}
                }
                // What is staged meanwhile does not cut a pause short (F22); a
                // flush that somebody waits for does.
                if !pause.failing() || bell.asked.load(Ordering::SeqCst) != ticket {
                    break;
                }
            }
        }
    }

    /// Loads the table if need be, commits everything staged, or reads the
    /// table anew when there is nothing to commit.
    async fn attempt(
        &self,
        live: &Arc<Live>,
        bell: &Bell,
        table: &mut Option<DeltaTable>,
    ) -> Result<Attempt, Error> {
        let output = bell.output;
        if table.is_none() {
            let s = &self.shared;
            let opened =
                DeltaTable::open(&s.store, &live.tenant, bell.table.clone(), Some(s.wal_id));
            let mut opened = answered(opened).await?;
            answered(self.recall(live, bell, &mut opened)).await?;
            match opened.current() {
                Some(committed) => self.publish(live, bell, committed)?,
                None => live.absent(output),
            }
            *table = Some(opened);
        }
        let Some(delta) = table.as_mut() else { return Ok(Attempt::Whole) };
        let swaps = std::mem::take(&mut *bell.swaps.lock());
        for Swap { remove, add, why, done } in swaps {
            let outcome = delta.rewrite(&remove, add, why).await;
            // Only snapshots may hold them by the time the asker counts.
            drop(remove);
            // Also when another entry came first: the next plan must see it.
            if let Some(committed) = delta.current() {
                self.publish(live, bell, committed)?;
            }
            // The asker may have gone; the entry stands.
            let _ = done.send(outcome.map(|swapped| swapped.map(|committed| committed.version)));
        }
        let mut pending = live.uncommitted(output);
        let waiting = pending.len();
        pending.truncate(RANGES_PER_COMMIT);
        let Some(last) = pending.last().map(|staged| staged.last) else {
            if let Some(committed) = answered(delta.refresh()).await? {
                self.publish(live, bell, committed)?;
            }
            return Ok(Attempt::Whole);
        };
        let started = Instant::now();
        self.upload(&pending).await?;
        let uploaded = Instant::now();
        let committed = match delta.commit(files(&pending, &bell.table), last).await {
            Ok(committed) => committed,
            Err(error) => {
                // What was read on the way may tell of another copy of the log.
                if let Some(seen) = delta.current() {
                    self.publish(live, bell, seen)?;
                }
                return Err(error);
            }
        };
        self.shared.pace.committed(uploaded.elapsed());
        let version = committed.version;
        self.publish(live, bell, committed)?;
        let label =
            TableLabel { tenant: live.tenant.to_string(), table: bell.table.name.to_owned() };
        self.shared.metrics.commits.get_or_create(&label).inc();
        tracing::debug!(table = bell.table.name, %version, watermark = %last, "committed");
        let all = waiting == pending.len();
        Ok(if all { Attempt::Whole } else { Attempt::Part(started.elapsed()) })
    }

    /// What was committed and not booked before a restart may have been joined or
    /// dropped since by the holder of the lease: it is no other copy's commit.
    async fn recall(&self, live: &Live, bell: &Bell, table: &mut DeltaTable) -> Result<(), Error> {
        let Some(committed) = table.current() else { return Ok(()) };
        let name = bell.table.name;
        let mut held = live.uncommitted(bell.output);
        held.retain(|range| range.last <= committed.watermark && !range.is_in(name, &committed));
        let files: Vec<&DataFile> = held.iter().flat_map(|range| range.files(name)).collect();
        if files.is_empty() { Ok(()) } else { table.recall(&files).await }
    }

    /// Puts the files of ranges on the store, a few at a time. After a failure
    /// nothing more begins, for a store that is down gets no backlog to refuse
    /// (F22); but what began ends, for broken off it would leave parts behind and
    /// be sent all over again.
    async fn upload(&self, pending: &[Arc<Staged>]) -> Result<(), Error> {
        let mut waiting = pending.iter();
        let mut sending = FuturesUnordered::new();
        let mut outcome = Ok(());
        loop {
            while outcome.is_ok()
                && sending.len() < UPLOADS
                && let Some(staged) = waiting.next()
            {
                sending.push(answered(upload(&self.shared.stage, &self.shared.store, staged)));
            }
            match sending.next().await {
                Some(ended) => outcome = outcome.and(ended),
                None => return outcome,
            }
        }
    }

    /// Publishes what the table holds: books the rows that are persisted now,
    /// makes that durable, and only then lets go of the manifests. What a failing
    /// disk keeps from being done is left to the next call.
    fn publish(&self, live: &Arc<Live>, bell: &Bell, committed: Committed) -> Result<(), Error> {
        let (s, output) = (&self.shared, bell.output);
        let (tenant, name) = (&live.tenant, live.table.name);
        let watermark = committed.watermark;
        let booked = s.progress.watermark(tenant, name);
        // Above what this very output has published already.
        let pending = live.uncommitted(output);
        let mut covered = pending.iter().filter(|range| range.last <= watermark);
        // A range that is booked may have been joined or dropped since.
        let own = covered.clone().all(|range| {
            output == 0 && range.last <= booked || range.is_in(bell.table.name, &committed)
        });
        let known = booked.max(live.committed(output).map_or(booked, |seen| seen.watermark));
        let ends = watermark <= known || covered.any(|range| range.last == watermark);
        if !own || !ends {
            return Err(self.parted(live, bell, watermark));
        }
        s.lineage.in_order(tenant, bell.table.name)?;
        let mut rows = Vec::new();
        if output == 0 {
            let fresh = pending.iter().filter(|o| o.last <= watermark && o.last > booked);
            fresh.for_each(|staged| add_counts(&mut rows, &staged.counts));
        }
        s.books.persist(tenant, &live.table, &rows, || live.publish(output, committed));
        if output == 0 && watermark > booked {
            let total: u64 = rows.iter().map(|(_, n)| n).sum();
            let label = TableLabel { tenant: tenant.to_string(), table: name.to_owned() };
            s.metrics.committed_rows.get_or_create(&label).inc_by(total);
            s.progress.record(tenant, name, watermark, &rows)?;
        }
        s.progress.save()?;
        for staged in live.spent(s.progress.watermark(tenant, name)) {
            s.stage.release(&staged)?;
            live.released(&staged);
            if let Some(offers) = &s.copies
                && s.stage.copies(&staged).any(|copy| offers.try_send(copy).is_err())
            {
                tracing::debug!("files are committed faster than copies of them are kept");
            }
        }
        Ok(())
    }
}

impl Committers {
    /// The table holds what this log never committed: another copy of it went
    /// on elsewhere. Nothing more is taken in until that is settled.
    fn parted(&self, live: &Live, bell: &Bell, watermark: Position) -> Error {
        let (s, name) = (&self.shared, bell.table.name);
        let found = format!(
            "table {name} has a watermark of {watermark} that this log did not commit: wal.dir is an older copy \
             of a log that went on elsewhere"
        );
        let verdict = s.lineage.parted(&live.tenant, name);
        let renews = matches!(verdict, Ok(true));
        let reason = match verdict {
            Ok(true) => {
                format!(
                    "{found}; the node starts over with a new log id, and keeps what only it holds"
                )
            }
            Ok(false) => format!(
                "{found}, and which rows only it holds cannot be told; stop this node, move wal.dir and stage.dir \
                 aside (keep them) and start it with empty ones"
            ),
            Err(error) => format!("{found}, which could not be noted: {error}"),
        };
        s.appender.close(reason.clone());
        match renews {
            true => s.reopen.cancel(),
            false => drop(self.undecided.send_replace(Some(reason.clone()))),
        }
        Error::Corrupt(reason)
    }
}

/// The files of staged ranges that belong to one output, as they are named on
/// the store.
fn files(pending: &[Arc<Staged>], table: &TableDef) -> Vec<DataFile> {
    let outputs = pending.iter().flat_map(|staged| &staged.outputs);
    let files = outputs.filter(|output| output.table == table.name).flat_map(|o| &o.files);
    files.cloned().map(|file| DataFile { place: Place::Store, ..file }).collect()
}

async fn answered<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let silence = || Error::Busy(format!("the store gave no answer within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| silence())?
}
