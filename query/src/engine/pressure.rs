//! The memory of the whole process, which the pool does not see all of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use schema::ErrorKind;

use super::admission::Admission;
use super::share::Share;
use super::stop::Stop;
use crate::Error;

/// Percent of the bound above which no statement begins, and above which the
/// largest is cancelled.
const FULL: u64 = 70;
const OVERFULL: u64 = 85;

/// How often the process is measured while statements run or wait.
const EVERY: Duration = Duration::from_millis(50);

/// Looks to wait after a cancellation, for its memory to come back.
const SETTLE: u32 = 10;

/// A statement that starts above the mark and takes no more than this is not
/// what fills the memory.
const GROWTH: u64 = 16 << 20;

/// Bytes that the process has resident; `None` where the system does not say.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Something that measures the process.
pub type Gauge = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// Statements as far as memory is concerned.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Statements>);

#[derive(Debug, Default)]
struct Statements {
    all: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    statements: BTreeMap<u64, Statement>,
    /// Statements that ask for a turn.
    waiting: usize,
    ended: bool,
}

struct Statement {
    share: Share,
    stop: Stop,
    /// What the process had when this one was first seen.
    before: Option<u64>,
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement").field("before", &self.before).finish_non_exhaustive()
    }
}

/// A statement is known while this lives.
#[derive(Debug)]
pub(super) struct Known {
    running: Running,
    id: Option<u64>,
}

impl Running {
    /// A statement that waits for its turn.
    pub fn wait(&self) -> Known {
        self.0.all.lock().waiting += 1;
        self.0.changed.notify_all();
        Known { running: self.clone(), id: None }
    }

    /// A statement that has one.
    pub fn begin(&self, id: u64, share: Share, stop: Stop) -> Known {
        let statement = Statement { share, stop, before: None };
        self.0.all.lock().statements.insert(id, statement);
        self.0.changed.notify_all();
        Known { running: self.clone(), id: Some(id) }
    }

    /// Cancels the statement that holds most, of those the process grew under.
    fn cancel_largest(&self, resident: u64, limit: u64) -> bool {
        let inner = self.0.all.lock();
        let grown = |statement: &&Statement| {
            statement.before.is_some_and(|before| resident > before.saturating_add(GROWTH))
        };
        let largest = inner.statements.iter().filter(|(_, statement)| grown(statement));
        let largest = largest.max_by_key(|(id, statement)| (statement.share.held(), **id));
        let Some((id, statement)) = largest else { return false };
        let held = statement.share.held();
        tracing::warn!(
            id,
            held,
            resident,
            limit,
            "the largest statement was cancelled: the process is short of memory"
        );
        let error = format!(
            "the process holds {resident} bytes of {limit}, and this was the largest statement"
        );
        statement.stop.stop(Error::new(ErrorKind::TooLarge, error).with_hint(
            "narrow the time range, select fewer columns, aggregate earlier, or raise limits.resident",
        ));
        true
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut inner = self.running.0.all.lock();
        match self.id {
            Some(id) => {
                inner.statements.remove(&id);
            }
            None => inner.waiting -= 1,
        }
    }
}

/// The thread that measures. One of its own: those that run statements may all
/// be at work when it matters.
#[derive(Debug)]
pub(super) struct Watcher {
    running: Running,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub fn start(
        running: Running,
        admission: Admission,
        limit: u64,
        gauge: Gauge,
    ) -> Result<Watcher, Error> {
        let look = Look { running: running.clone(), admission, limit, gauge };
        let thread = std::thread::Builder::new()
            .name("query-memory".into())
            .spawn(move || look.run())
            .map_err(|error| {
                let message = format!("the thread that watches memory does not start: {error}");
                Error::new(ErrorKind::Internal, message)
            })?;
        Ok(Watcher { running, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.running.0.all.lock().ended = true;
        self.running.0.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has logged its own panic, if it came to one.
            thread.join().ok();
        }
    }
}

struct Look {
    running: Running,
    admission: Admission,
    limit: u64,
    gauge: Gauge,
}

impl Look {
    fn run(self) {
        let mut settling = 0u32;
        loop {
            {
                let mut inner = self.running.0.all.lock();
                while !inner.ended && inner.statements.is_empty() && inner.waiting == 0 {
                    self.running.0.changed.wait(&mut inner);
                }
                if inner.ended {
                    return;
                }
            }
            let Some(resident) = (self.gauge)() else { return };
            self.note(resident);
            self.admission.press(resident > self.limit / 100 * FULL);
            settling = settling.saturating_sub(1);
            let overfull = resident > self.limit / 100 * OVERFULL;
            if overfull && settling == 0 && self.running.cancel_largest(resident, self.limit) {
                settling = SETTLE;
            }
            let mut inner = self.running.0.all.lock();
            if !inner.ended {
                self.running.0.changed.wait_for(&mut inner, EVERY);
            }
        }
    }

    fn note(&self, resident: u64) {
        for statement in self.running.0.all.lock().statements.values_mut() {
            statement.before.get_or_insert(resident);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use datafusion::execution::memory_pool::MemoryConsumer;
    use schema::Tenant;
    use tokio::time::Instant;

    use super::super::share::Memory;
    use super::super::stats::Stats;
    use super::*;

    /// Scenario: the process grows past both marks while two statements run
    /// and a third wants to; then it shrinks.
    /// Guarantees: S22, the third waits, the larger of the two is told to stop
    /// and why, the smaller is not; the third gets its turn.
    #[tokio::test]
    async fn sec_s22_the_largest_statement_gives_way() {
        let resident = Arc::new(AtomicU64::new(100 << 20));
        let gauge: Gauge = Arc::new({
            let resident = resident.clone();
            move || Some(resident.load(Ordering::Relaxed))
        });
        let (running, admission) = (Running::default(), Admission::new(8, 8));
        let watcher = Watcher::start(running.clone(), admission.clone(), 1 << 30, gauge).unwrap();
        let memory = Memory::new(1 << 20, 1 << 10);
        let hour = Duration::from_secs(3600);
        let begin = |id| {
            let stop = Stop::new(Instant::now() + hour, hour, u64::MAX, Stats::begin());
            let share = Share::new(&memory);
            let known = running.begin(id, share.clone(), stop.clone());
            (share, stop, known)
        };
        let patience = || Instant::now() + hour;
        let who = || (Tenant::default(), None);
        let (small, large) = (begin(1), begin(2));
        let permits =
            [admission.permit(who(), patience()).await, admission.permit(who(), patience()).await];
        let held = MemoryConsumer::new("test").register(&large.0.pool());
        held.grow(100);
        while running.0.all.lock().statements.values().any(|s| s.before.is_none()) {
            tokio::task::yield_now().await;
        }
        resident.store(1_000 << 20, Ordering::Relaxed);
        let why = large.1.stopped().await;
        assert_eq!(why.kind(), ErrorKind::TooLarge);
        assert!(why.to_string().contains("largest"), "{why}");
        assert!(small.1.check().is_ok());
        assert_eq!(
            admission.permit(who(), Instant::now()).await.map(drop).unwrap_err().kind(),
            ErrorKind::Throttled
        );
        resident.store(100 << 20, Ordering::Relaxed);
        drop(admission.permit(who(), patience()).await.unwrap());
        drop((permits, large, watcher));
    }

    /// Scenario: the process is full of what no statement took.
    /// Guarantees: S22, no statement is cancelled for it.
    #[test]
    fn sec_s22_who_did_not_fill_memory_keeps_running() {
        let running = Running::default();
        let hour = Duration::from_secs(3600);
        let stop = Stop::new(Instant::now() + hour, hour, u64::MAX, Stats::begin());
        let share = Share::new(&Memory::new(1 << 20, 1 << 10));
        let known = running.begin(1, share, stop.clone());
        for statement in running.0.all.lock().statements.values_mut() {
            statement.before = Some(1_000);
        }
        assert!(!running.cancel_largest(1_000 + GROWTH, 1_000));
        assert!(stop.check().is_ok());
        assert!(running.cancel_largest(1_001 + GROWTH, 1_000));
        assert!(stop.check().is_err());
        drop(known);
        assert!(running.0.all.lock().statements.is_empty());
    }
}
