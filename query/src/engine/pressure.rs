//! The memory of the whole process, which the pool does not see all of, and
//! statements that hold their turn without need.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use schema::ErrorKind;
use tokio::time::Instant;

use super::admission::{Admission, Permit, Pressure};
use super::share::Share;
use super::stop::Stop;
use crate::Error;

/// Percent of the bound above which it is looked at more often, statements
/// begin one by one, and the largest is cancelled.
const HALF: u64 = 50;
const FULL: u64 = 70;
const OVERFULL: u64 = 85;

/// How often the process is measured while statements run or wait.
const EVERY: Duration = Duration::from_millis(50);
const OFTEN: Duration = Duration::from_millis(10);

/// What the process grows by within this is as good as there: a statement comes
/// to a place where it stops about so long after it was told.
const AHEAD: Duration = Duration::from_millis(50);

/// How long the memory of a cancelled statement may take to come back, before
/// the next one is looked for.
const SETTLE: Duration = Duration::from_millis(500);

/// A statement that starts above the mark and takes no more than this is not
/// what fills the memory.
const GROWTH: u64 = 16 << 20;

/// A statement that was told to stop and did not within this is in the midst of
/// what cannot be interrupted; one whose reader has not read for so long does
/// nothing. Their turns go to others.
const GRACE: Duration = Duration::from_secs(1);

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
    /// By their permits.
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
    /// Since when it should have ended.
    stopped: Option<Instant>,
    lingers: bool,
}

impl Statement {
    fn held(&self) -> u64 {
        self.share.held() as u64 + self.stop.at_work()
    }
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
    permit: Option<u64>,
}

impl Running {
    /// A statement that waits for its turn.
    pub fn wait(&self) -> Known {
        self.0.all.lock().waiting += 1;
        self.0.changed.notify_all();
        Known { running: self.clone(), permit: None }
    }

    /// A statement that has one.
    pub fn begin(&self, permit: &Permit, share: Share, stop: Stop) -> Known {
        let statement = Statement { share, stop, before: None, stopped: None, lingers: false };
        self.0.all.lock().statements.insert(permit.id(), statement);
        self.0.changed.notify_all();
        Known { running: self.clone(), permit: Some(permit.id()) }
    }

    /// Cancels the statement that holds most, of those that go on and the
    /// process grew under.
    fn cancel_largest(&self, resident: u64, limit: u64) -> bool {
        let inner = self.0.all.lock();
        let grown = |statement: &&Statement| {
            statement.before.is_some_and(|before| resident > before.saturating_add(GROWTH))
                && statement.stopped.is_none()
        };
        let largest = inner.statements.values().filter(grown).max_by_key(|s| s.held());
        let Some(statement) = largest else { return false };
        let held = statement.held();
        // What fills the memory has most likely been told to stop already.
        let leaves = inner.statements.values().any(|other| other.stopped.is_some());
        if held < GROWTH && leaves && resident < limit {
            return false;
        }
        tracing::warn!(
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

    /// Looks after each statement, given what the process has.
    fn tend(&self, admission: &Admission, resident: u64, now: Instant) {
        for (permit, statement) in &mut self.0.all.lock().statements {
            statement.before.get_or_insert(resident);
            // Where it works it may not ask for long, so its deadline is seen here.
            if statement.stop.check().is_err() {
                statement.stopped.get_or_insert(now);
            }
            let since = statement.stopped.or_else(|| statement.stop.unread_since());
            let late = since.is_some_and(|since| now - since >= GRACE);
            if !late || statement.lingers || !admission.give_on(*permit) {
                continue;
            }
            statement.lingers = true;
            if statement.stopped.is_some() {
                tracing::info!(
                    held = statement.held(),
                    "a statement that was told to stop goes on; its turn goes to another"
                );
            }
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut inner = self.running.0.all.lock();
        match self.permit {
            Some(permit) => {
                inner.statements.remove(&permit);
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

/// What was seen before.
#[derive(Default)]
struct Seen {
    last: Option<(Instant, u64)>,
    /// The last cancellation, and what the process had then.
    cancelled: Option<(Instant, u64)>,
}

impl Seen {
    /// What the process will have soon, if it goes on as since the last look.
    fn ahead(&mut self, now: Instant, resident: u64) -> u64 {
        let Some((then, before)) = self.last.replace((now, resident)) else { return resident };
        let growth = resident.saturating_sub(before) as f64;
        let looks = AHEAD.as_secs_f64() / (now - then).as_secs_f64().max(1e-3);
        resident.saturating_add((growth * looks) as u64)
    }

    /// Whether what was cancelled may still give its memory back, rather than
    /// somebody else take more.
    fn settling(&self, now: Instant, resident: u64) -> bool {
        self.cancelled.is_some_and(|(then, had)| {
            now - then < SETTLE && resident <= had.saturating_add(GROWTH)
        })
    }
}

impl Look {
    fn run(self) {
        let mut seen = Seen::default();
        loop {
            {
                let mut inner = self.running.0.all.lock();
                while !inner.ended && inner.statements.is_empty() && inner.waiting == 0 {
                    seen.last = None;
                    self.running.0.changed.wait(&mut inner);
                }
                if inner.ended {
                    return;
                }
            }
            // Where the system does not say, statements are looked after all the same.
            let resident = (self.gauge)().unwrap_or(0);
            self.look(&mut seen, resident);
            let every = if resident > self.part(HALF) { OFTEN } else { EVERY };
            let mut inner = self.running.0.all.lock();
            if !inner.ended {
                self.running.0.changed.wait_for(&mut inner, every);
            }
        }
    }

    fn part(&self, percent: u64) -> u64 {
        self.limit / 100 * percent
    }

    fn look(&self, seen: &mut Seen, resident: u64) {
        let now = Instant::now();
        self.running.tend(&self.admission, resident, now);
        let ahead = seen.ahead(now, resident);
        let overfull = resident > self.part(FULL) && ahead > self.part(OVERFULL);
        if overfull
            && !seen.settling(now, resident)
            && self.running.cancel_largest(resident, self.limit)
        {
            seen.cancelled = Some((now, resident));
        }
        self.admission.press(match ahead > self.part(FULL) {
            true if overfull && seen.settling(now, resident) => Pressure::Settling,
            true => Pressure::Short,
            false => Pressure::None,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use schema::Tenant;

    use super::super::share::Memory;
    use super::super::stats::Stats;
    use super::*;

    /// Scenario: the process grows past both marks while two statements run,
    /// and shrinks when one has stopped.
    /// Guarantees: S22, the larger of the two is told to stop and why, the
    /// smaller is not; then a third gets its turn.
    #[tokio::test]
    async fn sec_s22_the_largest_statement_gives_way() {
        let resident = Arc::new(AtomicU64::new(100 << 20));
        let holds: Arc<Mutex<Option<Stop>>> = Arc::default();
        let gauge: Gauge = Arc::new({
            let (resident, holds) = (resident.clone(), holds.clone());
            move || {
                let gone = holds.lock().as_ref().is_some_and(|stop| stop.check().is_err());
                Some(if gone { 100 << 20 } else { resident.load(Ordering::Relaxed) })
            }
        });
        let (running, admission) = (Running::default(), Admission::new(8, 8));
        let watcher = Watcher::start(running.clone(), admission.clone(), 1 << 30, gauge).unwrap();
        let hour = Duration::from_secs(3600);
        let small = begin(&running, &admission, hour).await;
        let large = begin(&running, &admission, hour).await;
        *holds.lock() = Some(large.0.clone());
        let mut working = large.0.working();
        working.set(100);
        while running.0.all.lock().statements.values().any(|s| s.before.is_none()) {
            tokio::task::yield_now().await;
        }
        resident.store(1_000 << 20, Ordering::Relaxed);
        let why = large.0.stopped().await;
        assert_eq!(why.kind(), ErrorKind::TooLarge);
        assert!(why.to_string().contains("largest"), "{why}");
        assert!(small.0.check().is_ok());
        drop(begin(&running, &admission, hour).await);
        drop((small, large, watcher));
    }

    /// One statement more, which runs, and how it is told to stop.
    async fn begin(
        running: &Running,
        admission: &Admission,
        time: Duration,
    ) -> (Stop, Known, Permit) {
        let far = Instant::now() + Duration::from_secs(3600);
        let permit = admission.permit((Tenant::default(), None), far).await.unwrap();
        let stop = Stop::new(Instant::now() + time, time, u64::MAX, Stats::begin());
        let share = Share::new(&Memory::new(1 << 20, 1 << 10));
        let known = running.begin(&permit, share, stop.clone());
        (stop, known, permit)
    }

    /// Scenario: the process is full of what no statement took; then of what
    /// one took that was told to stop, and a small one runs beside it.
    /// Guarantees: S22, no statement is cancelled for what it did not take.
    #[tokio::test]
    async fn sec_s22_who_did_not_fill_memory_keeps_running() {
        let (running, admission) = (Running::default(), Admission::new(8, 8));
        let hour = Duration::from_secs(3600);
        let (large, known, _permit) = begin(&running, &admission, hour).await;
        running.tend(&admission, 1_000, Instant::now());
        assert!(!running.cancel_largest(1_000 + GROWTH, 1_000));
        assert!(large.check().is_ok());
        assert!(running.cancel_largest(1_001 + GROWTH, 1_000));
        assert!(large.check().is_err());
        let mut working = large.working();
        working.set(1 << 30);
        let now = Instant::now();
        let small = begin(&running, &admission, hour).await;
        let _beside = begin(&running, &admission, hour).await;
        running.tend(&admission, 1_000, now);
        running.tend(&admission, 1_000, now + GRACE);
        // The bound itself is not passed yet.
        assert!(!running.cancel_largest(1_001 + GROWTH, 1 << 30));
        drop((known, working));
        assert!(small.0.check().is_ok());
        assert!(running.cancel_largest(1_001 + GROWTH, 1 << 30));
    }

    /// Scenario: a statement's time is up, in the midst of what does not ask;
    /// there is one turn.
    /// Guarantees: S22, after its grace the next one runs, in its place.
    #[tokio::test]
    async fn sec_s22_a_statement_that_does_not_end_gives_its_turn_on() {
        let (running, admission) = (Running::default(), Admission::new(1, 1));
        let stuck = begin(&running, &admission, Duration::ZERO).await;
        let now = Instant::now();
        running.tend(&admission, 0, now);
        let who = || (Tenant::default(), None);
        assert!(admission.permit(who(), Instant::now()).await.is_err());
        running.tend(&admission, 0, now + GRACE);
        let next = admission.permit(who(), Instant::now() + GRACE).await.unwrap();
        drop(stuck);
        assert!(admission.permit(who(), Instant::now()).await.is_err());
        drop(next);
    }

    /// Scenario: memory grows by 40 MiB between two looks of 10 ms.
    /// Guarantees: S22, it is taken for as much as it comes to soon; while a
    /// cancellation settles nobody else is looked for, unless it grows on.
    #[tokio::test(start_paused = true)]
    async fn sec_s22_growth_is_seen_ahead() {
        let mut seen = Seen::default();
        let now = Instant::now();
        assert_eq!(seen.ahead(now, 100 << 20), 100 << 20);
        let now = now + OFTEN;
        assert_eq!(seen.ahead(now, 140 << 20) >> 20, 340);
        assert_eq!(seen.ahead(now + OFTEN, 90 << 20) >> 20, 90);
        assert!(!seen.settling(now, 140 << 20));
        seen.cancelled = Some((now, 140 << 20));
        assert!(seen.settling(now + OFTEN, 140 << 20));
        assert!(!seen.settling(now + OFTEN, 157 << 20));
        assert!(!seen.settling(now + SETTLE, 140 << 20));
    }
}
