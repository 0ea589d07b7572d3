//! Group commit: many requests share one log write, one fsync, one moment at
//! which they become visible, and then their acks.
//!
//! One thread owns the [`Log`]. It takes whatever has queued up while the last
//! fsync ran, so the group grows with the load and a lone request waits for
//! nobody. **D1**: acks are sent after the log's answer. **D2**: the rows join
//! their table before the ack. **D3**: the thread itself releases log segments,
//! between groups, so nothing on its way to a table can be forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use schema::{
    Ack, Batch, Budget, Clock, Door, Position, Refusal, Reservation, Rows, TableDef, Tenant,
};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::books::Books;
use crate::disk::Disk;
use crate::live::buffer::{FULL_RUN_ROWS, add_counts};
use crate::live::{Counts, Live, LiveSet};
use crate::metrics::Metrics;
use crate::settings::Sync;
use crate::wal::{Entry, Log};
use crate::{Error, SegmentInfo, WalSettings};

/// Requests that may queue for the log; beyond it callers wait.
const QUEUE: usize = 4096;
/// Bytes of rows after which a group is closed though more requests wait, so
/// that an ack never waits for an unbounded write.
const GROUP_BYTES: u64 = 32 << 20;

pub type Answer = Result<Ack, Refusal>;

enum Order {
    Append(Box<Batch>, oneshot::Sender<Answer>),
    /// Drop segments that no table needs.
    Release,
    /// Make everything appended so far durable.
    Sync(oneshot::Sender<Result<(), Error>>),
    Stop,
}

/// What the log looked like after the last group.
#[derive(Debug, Clone, Default)]
pub struct LogStatus {
    pub bytes: u64,
    pub last: Position,
    pub segments: Vec<SegmentInfo>,
    /// Why appends are refused at the moment.
    pub refusing: Option<String>,
}

/// The handle to the log's thread.
pub struct Appender {
    orders: mpsc::Sender<Order>,
    status: Arc<Mutex<LogStatus>>,
    /// Why nothing may be appended any more, once that is so.
    closed: Arc<Mutex<Option<String>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Rows should be sealed now.
    due: Arc<Notify>,
}

/// What the thread works with.
pub struct Writer {
    pub log: Log,
    pub settings: WalSettings,
    pub live: Arc<LiveSet>,
    pub books: Arc<Books>,
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    pub disk: Arc<Disk>,
    pub metrics: Metrics,
    /// Where the thread waits with a deadline.
    pub runtime: tokio::runtime::Handle,
    /// Tells the pipeline that a tenant's table is new.
    pub entered: mpsc::UnboundedSender<Arc<Live>>,
    /// The log's last position before this process.
    pub start: Position,
    /// Hot bytes of a table from which on it is sealed.
    pub flush_bytes: u64,
}

impl Appender {
    /// Starts the thread. `stopped` is cancelled when it ends, for whatever reason.
    pub fn start(writer: Writer, stopped: tokio_util::sync::DropGuard) -> Result<Appender, Error> {
        let (orders, inbox) = mpsc::channel(QUEUE);
        let status = Arc::new(Mutex::new(writer.status(None)));
        let (shared, closed) = (status.clone(), Arc::new(Mutex::new(None)));
        let (gate, due) = (closed.clone(), Arc::new(Notify::new()));
        let told = due.clone();
        let thread = std::thread::Builder::new()
            .name("cloudsail-wal".into())
            .spawn(move || {
                let _stopped = stopped;
                writer.run(inbox, &shared, &gate, &told);
            })
            .map_err(Error::disk("the log's thread could not be started"))?;
        Ok(Appender { orders, status, closed, thread: Mutex::new(Some(thread)), due })
    }

    /// Queues a batch; the answer comes when it is durable and visible.
    pub async fn append(&self, batch: Batch) -> Answer {
        let stopping = || Refusal::unavailable("the log is closed: the node is stopping");
        let (sender, answer) = oneshot::channel();
        let order = Order::Append(Box::new(batch), sender);
        self.orders.send(order).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Asks for segments to be dropped that no table needs any more.
    pub fn release(&self) {
        // A full queue means groups are running; the next release catches up.
        let _ = self.orders.try_send(Order::Release);
    }

    /// Makes everything acked so far durable, whatever `wal.sync` says. Rows may
    /// be staged only then: a position that a power loss takes back is given
    /// again, and must not be in a file already.
    pub async fn sync(&self) -> Result<(), Error> {
        let stopping = || Error::Busy("the log is closed: the node is stopping".into());
        let (sender, done) = oneshot::channel();
        self.orders.send(Order::Sync(sender)).await.map_err(|_| stopping())?;
        done.await.map_err(|_| stopping())?
    }

    pub fn status(&self) -> LogStatus {
        self.status.lock().clone()
    }

    /// Resolves when rows should be sealed before the next look at their age: a table
    /// is full, or memory is short. At full load a tick is a long time.
    pub async fn due(&self) {
        self.due.notified().await;
    }

    /// Refuses every append from now on, retryably: another node may take them.
    pub fn close(&self, reason: String) {
        self.closed.lock().get_or_insert(reason);
    }

    /// Why appends are refused, if they are.
    pub fn refusing(&self) -> Option<String> {
        self.closed.lock().clone().or_else(|| self.status.lock().refusing.clone())
    }

    /// Finishes what is queued and ends the thread.
    pub async fn stop(&self) {
        let _ = self.orders.send(Order::Stop).await;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the log's thread ended by a panic");
            }
        }
    }
}

/// The requests that share an fsync, by tenant and table.
type Group = BTreeMap<(Tenant, &'static str), Vec<Share>>;

/// Requests that share a record.
struct Share {
    table: Arc<TableDef>,
    counts: Counts,
    rows: Vec<Rows>,
    paid: Option<Reservation>,
    answers: Vec<oneshot::Sender<Answer>>,
}

impl Writer {
    fn run(
        mut self,
        mut inbox: mpsc::Receiver<Order>,
        status: &Mutex<LogStatus>,
        closed: &Mutex<Option<String>>,
        due: &Notify,
    ) {
        // Ages of rows are measured on the runtime's clock, by whoever asks.
        let runtime = self.runtime.clone();
        let _clock = runtime.enter();
        let mut synced = Instant::now();
        loop {
            let Some(first) = self.next(&mut inbox, &mut synced) else { break };
            let mut group: Group = BTreeMap::new();
            let (mut bytes, mut release, mut stop) = (0, false, false);
            let mut syncs = Vec::new();
            let mut order = Some(first);
            while let Some(one) = order.take() {
                match one {
                    Order::Append(batch, answer) => {
                        bytes += batch.reservation.bytes();
                        join(&mut group, *batch, answer);
                    }
                    Order::Release => release = true,
                    // After the group that stands before it in the queue.
                    Order::Sync(done) => syncs.push(done),
                    Order::Stop => stop = true,
                }
                if bytes < GROUP_BYTES && !stop {
                    order = inbox.try_recv().ok();
                }
            }
            let refused =
                if group.is_empty() { None } else { self.commit(group, status, closed, due) };
            let synced: Vec<_> = syncs.into_iter().map(|done| (done, self.log.sync())).collect();
            if release || stop {
                self.release();
            }
            let refusing = refused.or_else(|| self.room(closed).err().map(|why| why.to_string()));
            *status.lock() = self.status(refusing);
            // After the status: whoever has the answer may read it there.
            for (done, synced) in synced {
                // Whoever asked and left finds the log synced all the same.
                let _ = done.send(synced);
            }
            if stop {
                break;
            }
        }
        if let Err(error) = self.log.sync() {
            tracing::error!(%error, "the log could not be synced at the end");
        }
    }

    /// Waits for the next order; under `wal.sync: interval` no longer than the
    /// interval, and syncs when it has passed.
    fn next(&mut self, inbox: &mut mpsc::Receiver<Order>, synced: &mut Instant) -> Option<Order> {
        let Sync::Interval(interval) = self.settings.sync else { return inbox.blocking_recv() };
        loop {
            let left = interval.saturating_sub(synced.elapsed());
            if left.is_zero() {
                if let Err(error) = self.log.sync() {
                    tracing::error!(%error, "the log could not be synced; it goes on in a new segment");
                }
                *synced = Instant::now();
                continue;
            }
            let wait = async { tokio::time::timeout(left, inbox.recv()).await };
            if let Ok(order) = self.runtime.block_on(wait) {
                return order;
            }
        }
    }

    /// Writes a group, makes it visible, answers everyone. The reason, when it
    /// had to be refused.
    fn commit(
        &mut self,
        group: Group,
        status: &Mutex<LogStatus>,
        closed: &Mutex<Option<String>>,
        due: &Notify,
    ) -> Option<String> {
        let received = self.clock.now_unix_nano();
        let mut entries = Vec::with_capacity(group.len());
        let mut waiting = Vec::with_capacity(group.len());
        let shares = group.into_iter().flat_map(|((tenant, _), shares)| {
            shares.into_iter().map(move |share| (tenant.clone(), share))
        });
        for (tenant, mut share) in shares {
            let rows = match share.rows.len() {
                1 => share.rows.swap_remove(0),
                _ => match Rows::concat(share.rows) {
                    Ok(rows) => rows,
                    Err(error) => {
                        refuse(share.answers, Refusal::from(Error::from(error)));
                        continue;
                    }
                },
            };
            entries.push(Entry {
                tenant: tenant.clone(),
                table: share.table.clone(),
                counts: share.counts.clone(),
                rows: rows.clone(),
                received_unix_nano: received,
            });
            waiting.push((tenant, share.table, share.counts, rows, share.paid, share.answers));
        }
        let started = Instant::now();
        let written = self.room(closed).and_then(|()| self.log.append(entries));
        self.metrics.wal_append_seconds.observe(started.elapsed().as_secs_f64());
        let positions = match written {
            Ok(positions) => positions,
            Err(error) => {
                let refusal = Refusal::from(error);
                self.metrics.wal_refused.inc_by(waiting.len() as u64);
                let reason = refusal.message.clone();
                for (.., answers) in waiting {
                    refuse(answers, refusal.clone());
                }
                return Some(reason);
            }
        };
        // Before anybody can see the rows: a table whose watermark is above the
        // last position is taken for the work of another copy of this log.
        status.lock().last = self.log.last();
        for (position, (tenant, table, counts, rows, paid, answers)) in
            positions.into_iter().zip(waiting)
        {
            let bytes = rows.bytes();
            let paid = match paid {
                Some(mut paid) => {
                    paid.settle(bytes);
                    paid
                }
                None => self.budget.reserve_regardless(bytes),
            };
            let (live, new) = self.live.enter(&tenant, &table);
            live.part(self.start);
            let pushed = self.books.accept(&tenant, &table, &counts, || {
                live.push(position, rows, &counts, received, paid, &self.budget)
            });
            if let Err(error) = pushed {
                // The record is durable and will be replayed; only this node's
                // memory has no place for it, so nobody may be told "stored".
                tracing::error!(%error, %position, "durable rows could not be made visible");
                refuse(
                    answers,
                    Refusal::new(schema::ErrorKind::DeadlineExceeded, error.to_string()),
                );
                continue;
            }
            if self.budget.is_pressed() || live.hot_bytes() >= self.flush_bytes {
                due.notify_one();
            }
            if new && self.entered.send(live).is_err() {
                tracing::debug!("a new table came in while the pipeline was stopping");
            }
            for answer in answers {
                // A sender that went away leaves its rows stored; that is its ack.
                let _ = answer.send(Ok(Ack { position }));
            }
        }
        None
    }

    /// Whether there is room for another group on this disk.
    fn room(&mut self, closed: &Mutex<Option<String>>) -> Result<(), Error> {
        if let Some(reason) = &*closed.lock() {
            return Err(Error::Busy(reason.clone()));
        }
        let (used, limit) = (self.log.bytes(), self.settings.max_bytes);
        if used >= limit {
            return Err(Error::Busy(format!(
                "the write-ahead log holds {used} of wal.max_bytes {limit}: waiting for rows to be staged"
            )));
        }
        self.disk.check()?;
        // Nobody sends to a node that is red: it finds out by itself whether
        // the disk takes a segment again (F15).
        self.log.mend()
    }

    fn release(&mut self) {
        let pushed = self.log.last();
        let up_to = self.live.forgettable(pushed);
        match self.log.release(up_to) {
            Ok(0) => {}
            Ok(bytes) => tracing::debug!(bytes, %up_to, "log segments released"),
            Err(error) => {
                tracing::warn!(%error, "log segments could not be released; trying again later")
            }
        }
    }

    fn status(&self, refusing: Option<String>) -> LogStatus {
        self.metrics.wal_bytes.set(self.log.bytes() as i64);
        LogStatus {
            bytes: self.log.bytes(),
            last: self.log.last(),
            segments: self.log.segments(),
            refusing,
        }
    }
}

/// Small requests become one record: each has a head and metadata for every
/// column. A large one is a record of its own, and its rows are not copied.
fn join(group: &mut Group, batch: Batch, answer: oneshot::Sender<Answer>) {
    let shares = group.entry((batch.tenant, batch.table.name)).or_default();
    let rows = |share: &Share| share.rows.iter().map(Rows::num_rows).sum::<usize>();
    if shares.last().is_none_or(|last| rows(last) + batch.rows.num_rows() > FULL_RUN_ROWS) {
        shares.push(Share {
            table: batch.table,
            counts: Vec::new(),
            rows: Vec::new(),
            paid: None,
            answers: Vec::new(),
        });
    }
    let Some(share) = shares.last_mut() else { return };
    let doors: [(Door, u64); 1] = [(batch.door, batch.rows.num_rows() as u64)];
    add_counts(&mut share.counts, &doors);
    share.rows.push(batch.rows);
    match &mut share.paid {
        Some(paid) => paid.absorb(batch.reservation),
        None => share.paid = Some(batch.reservation),
    }
    share.answers.push(answer);
}

fn refuse(answers: Vec<oneshot::Sender<Answer>>, refusal: Refusal) {
    for answer in answers {
        // Whoever no longer waits has read the connection's end as a failure.
        let _ = answer.send(Err(refusal.clone()));
    }
}
