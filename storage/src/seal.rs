//! The sealer: decides when a table's hot rows are sealed, and stages them.
//!
//! One task, one range at a time: encoding is the heaviest work of the node
//! and two cores are enough to share. **D3**: the log is asked to forget only
//! after the range is staged. **C2**: a table's ranges are staged in order.

use std::sync::Arc;
use std::time::Duration;

use schema::Budget;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::append::Appender;
use crate::cache::Cache;
use crate::commit::Committers;
use crate::disk::Disk;
use crate::hand::Hand;
use crate::live::{Live, LiveSet};
use crate::metrics::{Metrics, TableLabel};
use crate::pace::Pace;
use crate::stage::Stage;
use crate::wal::Files;
use crate::{AckLevel, Error, FlushSettings, Sync, WalSettings};

/// How often tables are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Under `ack.level: store` senders wait for the commit: it comes this soon, and
/// takes along what came in while the last one ran.
const STORE_AGE: Duration = Duration::from_secs(1);
/// How long a table rests after staging failed.
const REST: Duration = Duration::from_secs(1);

/// Asks the sealer to seal and stage everything there is now.
#[derive(Clone)]
pub struct Sealing(mpsc::Sender<oneshot::Sender<Result<(), Error>>>);

impl Sealing {
    pub async fn all(&self) -> Result<(), Error> {
        let stopping = || Error::Busy("the node is stopping".into());
        let (sender, done) = oneshot::channel();
        self.0.send(sender).await.map_err(|_| stopping())?;
        done.await.map_err(|_| stopping())?
    }
}

pub struct Sealer {
    pub ack: AckLevel,
    pub flush: FlushSettings,
    pub wal: WalSettings,
    pub stage_max_bytes: u64,
    pub live: Arc<LiveSet>,
    pub stage: Arc<Stage>,
    /// Encodes.
    pub hand: Hand,
    pub appender: Arc<Appender>,
    pub committers: Arc<Committers>,
    pub budget: Budget,
    pub disk: Arc<Disk>,
    pub cache: Option<Arc<Cache>>,
    pub pace: Arc<Pace>,
    pub metrics: Metrics,
    /// Keeps the data folder locked for as long as something is staged.
    pub lock: Arc<dyn Files>,
    /// Cancelled when every row is due, whatever its age.
    pub draining: CancellationToken,
}

/// The thread that writes what is sealed.
pub fn hand() -> Result<Hand, Error> {
    Hand::start("cloudsail-seal")
}

/// The handle, and what the task listens to.
pub fn channel() -> (Sealing, mpsc::Receiver<oneshot::Sender<Result<(), Error>>>) {
    let (sender, inbox) = mpsc::channel(16);
    (Sealing(sender), inbox)
}

impl Sealer {
    pub async fn run(
        self,
        mut inbox: mpsc::Receiver<oneshot::Sender<Result<(), Error>>>,
        cancel: CancellationToken,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut rest_until: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                Some(done) = inbox.recv() => {
                    self.live.all().iter().for_each(|live| { live.seal(); });
                    let staged = self.stage_sealed().await;
                    // Who asked may have gone; the work is done all the same.
                    let _ = done.send(staged);
                    continue;
                }
                // First: at full load rows are due all the time.
                _ = tick.tick() => self.observe(),
                () = self.appender.due() => {}
            }
            if rest_until.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            self.seal_due();
            rest_until = match self.stage_sealed().await {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(
                        error = error.told(),
                        "sealed rows could not be staged; they stay in the log and are tried again"
                    );
                    Some(Instant::now() + REST)
                }
            };
        }
    }

    /// Seals what is old or large enough, and under pressure what frees most.
    fn seal_due(&self) {
        let tables = self.live.all();
        for live in &tables {
            let status = live.status();
            let age = match self.ack {
                AckLevel::Log => self.pace.age(self.flush.max_age, status.staged),
                AckLevel::Store if status.staged == 0 => STORE_AGE.min(self.flush.max_age),
                AckLevel::Store => self.flush.max_age,
            };
            if status.hot_bytes >= self.flush.max_bytes
                || status.age >= age
                || self.draining.is_cancelled()
            {
                live.seal();
            }
        }
        if self.budget.is_pressed()
            && let Some(live) = tables.iter().max_by_key(|live| live.status().hot_bytes)
        {
            live.seal();
        }
        // A quiet table holds the whole log back by its oldest record.
        if self.appender.status().bytes > self.wal.max_bytes / 2
            && let Some(live) = tables
                .iter()
                .filter(|live| live.first_unstaged().is_some())
                .min_by_key(|live| live.first_unstaged())
        {
            live.seal();
        }
    }

    /// Stages every sealed range. The first error ends it: the disk that
    /// failed one range would fail the next.
    async fn stage_sealed(&self) -> Result<(), Error> {
        for live in self.live.all() {
            while live.next_sealed().is_some() {
                if self.stage.bytes() >= self.stage_max_bytes {
                    return Err(Error::Busy(format!(
                        "the stage holds {} bytes, at or over stage.max_bytes {}: waiting for commits",
                        self.stage.bytes(),
                        self.stage_max_bytes
                    )));
                }
                self.stage_one(&live).await?;
            }
        }
        Ok(())
    }

    async fn stage_one(&self, live: &Arc<Live>) -> Result<(), Error> {
        let Some(sealed) = live.next_sealed() else { return Ok(()) };
        if self.wal.sync != Sync::Always {
            self.appender.sync().await?;
        }
        let label =
            TableLabel { tenant: live.tenant.to_string(), table: live.table.name.to_owned() };
        let (stage, lock, started) = (self.stage.clone(), self.lock.clone(), Instant::now());
        // It outlives this task when that is aborted, and no other process or
        // start may look at the stage meanwhile.
        let write = move || {
            let _lock = lock;
            stage.write(&sealed)
        };
        let staged = match self.hand.run(write).await.flatten() {
            Ok(staged) => staged,
            Err(error) => {
                self.metrics.stage_failures.get_or_create(&label).inc();
                return Err(error);
            }
        };
        self.metrics.stage_seconds.observe(started.elapsed().as_secs_f64());
        tracing::debug!(table = label.table, first = %staged.first, last = %staged.last, bytes = staged.bytes, "staged");
        self.pace.staged(staged.bytes);
        self.metrics.staged_bytes.inc_by(staged.bytes);
        let replaced = live.staged(staged);
        self.hand.leave(move || drop(replaced));
        self.appender.release();
        self.committers.wake(live);
        Ok(())
    }

    fn observe(&self) {
        if self.appender.refusing().is_some() {
            // Has the log look again, though nobody sends: readiness follows.
            self.appender.release();
        }
        let m = &self.metrics;
        m.memory_used_bytes.set(self.budget.used() as i64);
        m.memory_limit_bytes.set(self.budget.limit() as i64);
        m.stage_bytes.set(self.stage.bytes() as i64);
        let free = self.disk.outbox(self.stage_max_bytes, self.stage.bytes());
        if let Ok(space) = self.disk.space() {
            m.disk_free_bytes.set(space.free as i64);
        }
        if let Some(cache) = &self.cache {
            cache.shed();
        }
        m.stage_free_bytes.set(free as i64);
        m.stage_lasts_seconds.set(self.pace.lasts(free));
        for live in self.live.all() {
            let status = live.status();
            let label =
                TableLabel { tenant: live.tenant.to_string(), table: live.table.name.to_owned() };
            m.hot_rows.get_or_create(&label).set(status.hot_rows as i64);
            m.hot_bytes.get_or_create(&label).set(status.hot_bytes as i64);
        }
    }
}
