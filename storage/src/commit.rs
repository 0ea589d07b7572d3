//! The committers: one task per table on the store. Each owns its Delta table,
//! uploads what is staged, commits it with the watermark in one entry (C1), in
//! position order (C2), and publishes the outcome to the live table.
//!
//! A store that is away costs nothing but time: the task tries again with a
//! growing, jittered pause, and the answers to queries say what they miss.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use schema::{TableDef, Tenant, Version, WalId};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::append::Appender;
use crate::books::Books;
use crate::live::Live;
use crate::live::buffer::add_counts;
use crate::metrics::{Metrics, TableLabel};
use crate::progress::Progress;
use crate::stage::{Stage, Staged, upload};
use crate::store::Store;
use crate::table::{Committed, DeltaTable};
use crate::{DataFile, Error, Place};

/// How often a table is read anew, to see what others have committed.
const REFRESH: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long one range may travel, or a table's log be read: ample for a slow
/// line, and an end to waiting for an answer that never comes (F23).
const PATIENCE: Duration = Duration::from_secs(600);
/// Commits between checkpoints of a table's log.
const CHECKPOINT_EVERY: u64 = 100;

/// What committers share.
pub struct Shared {
    pub store: Store,
    pub stage: Arc<Stage>,
    pub wal_id: WalId,
    pub progress: Arc<Progress>,
    pub books: Arc<Books>,
    pub appender: Arc<Appender>,
    pub metrics: Metrics,
}

/// The handle to every committer.
pub struct Committers {
    shared: Shared,
    cancel: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
    bells: Mutex<HashMap<(Tenant, &'static str), Bells>>,
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
        }
    }

    /// Starts the committers of a live table.
    pub fn enter(self: &Arc<Self>, live: &Arc<Live>) {
        let outputs = live.outputs().into_iter().enumerate();
        let bells: Bells = outputs
            .map(|(output, table)| {
                Arc::new(Bell {
                    table,
                    output,
                    wake: Notify::new(),
                    asked: AtomicU64::new(0),
                    done: watch::Sender::new((0, None)),
                })
            })
            .collect();
        for bell in &bells {
            let (this, live, bell) = (self.clone(), live.clone(), bell.clone());
            self.tasks.lock().spawn(async move { this.run(&live, &bell).await });
        }
        self.bells.lock().insert((live.tenant.clone(), live.table.name), bells);
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

    /// Whether a committer has ended though nobody asked for it.
    pub async fn failed(&self) -> String {
        loop {
            if let Some(Err(error)) = self.tasks.lock().try_join_next() {
                return format!("a committer ended: {error}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
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
        let mut pause = Duration::ZERO;
        loop {
            let ticket = bell.asked.load(Ordering::SeqCst);
            let attempt = async { self.attempt(live, bell, &mut table).await };
            let outcome = tokio::select! {
                () = self.cancel.cancelled() => return,
                outcome = attempt => outcome,
            };
            let failed = match outcome {
                Ok(()) => {
                    pause = Duration::ZERO;
                    None
                }
                Err(error) => {
                    let reason = describe(&error);
                    self.shared.metrics.commit_failures.get_or_create(&label).inc();
                    if pause.is_zero() {
                        tracing::warn!(
                            table = label.table,
                            tenant = label.tenant,
                            error = reason,
                            "the table could not be reached; acked rows stay in log and stage, trying again"
                        );
                    }
                    live.behind(bell.output, reason.clone());
                    pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                    Some(reason)
                }
            };
            bell.done.send_replace((ticket, failed));
            let idle =
                if pause.is_zero() { REFRESH } else { jitter(pause, self.shared.wal_id, bell) };
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = bell.wake.notified() => {}
                () = tokio::time::sleep(idle) => {}
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
    ) -> Result<(), Error> {
        let output = bell.output;
        if table.is_none() {
            let s = &self.shared;
            let opened =
                DeltaTable::open(&s.store, &live.tenant, bell.table.clone(), Some(s.wal_id));
            let opened = answered(opened).await?;
            match opened.current() {
                Some(committed) => self.publish(live, output, committed)?,
                None => live.absent(output),
            }
            *table = Some(opened);
        }
        let Some(delta) = table.as_mut() else { return Ok(()) };
        let pending = live.uncommitted(output);
        let Some(last) = pending.last().map(|staged| staged.last) else {
            if let Some(committed) = answered(delta.refresh()).await? {
                self.publish(live, output, committed)?;
            }
            return Ok(());
        };
        for staged in &pending {
            answered(upload(&self.shared.stage, &self.shared.store, staged)).await?;
        }
        let committed = delta.commit(files(&pending, &bell.table), last).await?;
        let version = committed.version;
        self.publish(live, output, committed)?;
        let label =
            TableLabel { tenant: live.tenant.to_string(), table: bell.table.name.to_owned() };
        self.shared.metrics.commits.get_or_create(&label).inc();
        tracing::debug!(table = bell.table.name, %version, watermark = %last, "committed");
        if version.0 > 0
            && version.0.is_multiple_of(CHECKPOINT_EVERY)
            && let Err(error) = answered(delta.checkpoint()).await
        {
            tracing::warn!(table = bell.table.name, %error, "checkpoint failed; the log is still whole, the next one may succeed");
        }
        Ok(())
    }

    /// Publishes what the table holds: books the rows that are persisted now,
    /// makes that durable, and only then lets go of the manifests.
    fn publish(&self, live: &Arc<Live>, output: usize, committed: Committed) -> Result<(), Error> {
        let s = &self.shared;
        let (tenant, name) = (&live.tenant, live.table.name);
        let watermark = committed.watermark;
        let known = s.appender.status().last;
        if watermark > known {
            let reason = format!(
                "table {name} has a watermark of {watermark} for this log, whose last position is {known}: \
                 wal.dir is an old copy of a log that went on elsewhere; stop this node, move wal.dir and \
                 stage.dir aside (keep them) and start it with empty ones"
            );
            s.appender.close(reason.clone());
            return Err(Error::Corrupt(reason));
        }
        let booked = s.progress.watermark(tenant, name);
        let mut rows = Vec::new();
        if output == 0 {
            let pending = live.uncommitted(0);
            let fresh = pending.iter().filter(|o| o.last <= watermark && o.last > booked);
            fresh.for_each(|staged| add_counts(&mut rows, &staged.counts));
        }
        let released =
            s.books.persist(tenant, &live.table, &rows, || live.publish(output, committed));
        if output == 0 && watermark > booked {
            let total: u64 = rows.iter().map(|(_, n)| n).sum();
            let label = TableLabel { tenant: tenant.to_string(), table: name.to_owned() };
            s.metrics.committed_rows.get_or_create(&label).inc_by(total);
            s.progress.record(tenant, name, watermark, &rows)?;
        }
        for staged in released {
            s.stage.release(&staged)?;
        }
        Ok(())
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

fn describe(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Half to whole of a pause, spread over nodes and tables by their names so
/// that they do not come back in step.
fn jitter(pause: Duration, wal_id: WalId, bell: &Bell) -> Duration {
    let attempts = bell.done.borrow().0;
    let seed = crc32fast::hash(format!("{wal_id}{}{attempts}", bell.table.name).as_bytes());
    pause / 2 + (pause / 2).mul_f64(f64::from(seed) / f64::from(u32::MAX))
}
