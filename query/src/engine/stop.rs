//! Whether a statement has to stop, asked from wherever it works.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use parking_lot::Mutex;
use schema::ErrorKind;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::stats::Stats;
use crate::Error;

/// How long a statement may keep a thread from the others.
pub(super) const TURN: Duration = Duration::from_millis(20);

/// Bytes of the constants that a statement's functions may make, but for small
/// ones. Each becomes a part of the plan, which every rule of planning copies,
/// part of the name of every expression around it, and as many times itself as a
/// batch has rows where it stands among columns.
const MAX_CONSTANTS: usize = 16 << 10;
const SMALL_CONSTANT: usize = 256;

/// One statement's order to stop: its reader left, its time is up, it read too
/// much, or the process needs its memory. A task that is aborted ends at its
/// next await, and an operator at work may not come to one for minutes; so
/// operators ([`super::watch`]) and functions ([`crate::sandbox::functions`])
/// ask here between any two pieces of work.
#[derive(Clone)]
pub(crate) struct Stop(Arc<Inner>);

struct Inner {
    stopped: AtomicBool,
    why: Mutex<Option<Error>>,
    told: Notify,
    deadline: Instant,
    limit: Duration,
    /// Bytes that may be read from files.
    scan: u64,
    stats: Stats,
    /// Bytes of constants so far.
    constants: AtomicUsize,
    /// Since when its reader has not read what is ready.
    unread: Mutex<Option<Instant>>,
    /// Bytes that its operators and functions work on.
    at_work: AtomicU64,
    /// What a function last refused to do.
    refusal: Mutex<Option<Error>>,
}

impl Stop {
    pub fn new(deadline: Instant, limit: Duration, scan: u64, stats: Stats) -> Stop {
        Stop(Arc::new(Inner {
            stopped: AtomicBool::new(false),
            why: Mutex::new(None),
            told: Notify::new(),
            deadline,
            limit,
            scan,
            stats,
            constants: AtomicUsize::new(0),
            unread: Mutex::new(None),
            at_work: AtomicU64::new(0),
            refusal: Mutex::new(None),
        }))
    }

    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// The first reason stays.
    pub fn stop(&self, why: Error) {
        self.0.why.lock().get_or_insert(why);
        self.0.stopped.store(true, Ordering::Release);
        self.0.told.notify_waiters();
    }

    /// The reader is gone.
    pub fn leave(&self) {
        self.stop(Error::new(ErrorKind::Cancelled, "the statement was cancelled"));
    }

    /// Fails once there is a reason to.
    pub fn check(&self) -> Result<(), Error> {
        let inner = &self.0;
        if !inner.stopped.load(Ordering::Acquire) {
            if Instant::now() >= inner.deadline {
                self.stop(Error::deadline(inner.limit));
            } else if inner.stats.bytes_read() > inner.scan {
                self.stop(read_too_much(inner.scan));
            } else {
                return Ok(());
            }
        }
        Err(self.why())
    }

    fn why(&self) -> Error {
        let why = self.0.why.lock().clone();
        why.unwrap_or_else(|| Error::new(ErrorKind::Internal, "the statement stopped unasked"))
    }

    /// Remembers what a function said.
    pub fn refused(&self, why: &Error) {
        *self.0.refusal.lock() = Some(why.clone());
    }

    /// The error to tell, given the one that came out. What reads files turns
    /// an error of a filter into text, kind and all.
    pub fn told(&self, error: Error) -> Error {
        if let Err(why) = self.check() {
            return why;
        }
        let hidden = error.to_string().contains("Error evaluating filter predicate");
        let refusal = if hidden { self.0.refusal.lock().take() } else { None };
        refusal.unwrap_or(error)
    }

    /// Resolves when the statement has to stop.
    pub async fn stopped(&self) -> Error {
        loop {
            let told = self.0.told.notified();
            if let Err(why) = self.check() {
                return why;
            }
            // Whichever it was, it is looked up.
            timeout_at(self.0.deadline, told).await.ok();
        }
    }

    /// Waits for the reader to take what is ready.
    pub async fn unread<T>(&self, taken: impl Future<Output = T>) -> T {
        *self.0.unread.lock() = Some(Instant::now());
        let taken = taken.await;
        *self.0.unread.lock() = None;
        taken
    }

    /// Since when its reader has not read what is ready.
    pub fn unread_since(&self) -> Option<Instant> {
        *self.0.unread.lock()
    }

    /// Bytes that are worked on now and that no pool knows of.
    pub fn at_work(&self) -> u64 {
        self.0.at_work.load(Ordering::Relaxed)
    }

    /// Counts what one operator or function works on.
    pub fn working(&self) -> Working {
        Working { stop: self.clone(), bytes: 0 }
    }

    /// Counts a value that a function made out of constants.
    pub fn constant(&self, bytes: usize) -> Result<(), Error> {
        if bytes < SMALL_CONSTANT {
            return Ok(());
        }
        let before = self.0.constants.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= MAX_CONSTANTS {
            return Ok(());
        }
        let most = MAX_CONSTANTS >> 10;
        Err(Error::invalid(format!("the constants of the statement are larger than {most} KiB"))
            .with_hint("repeat less text"))
    }

    /// Does a piece of work that cannot be interrupted, unless the statement
    /// has to stop. Who has had this thread for a turn or more gives the other
    /// tasks that wait for it another one, and goes on beside them.
    pub fn work<T>(
        &self,
        work: impl FnOnce() -> Result<T, DataFusionError>,
    ) -> Result<T, DataFusionError> {
        thread_local! {
            static TURNED: Cell<Option<Instant>> = const { Cell::new(None) };
        }
        self.check()?;
        let now = Instant::now();
        if TURNED.get().is_some_and(|turned| now - turned < TURN) {
            return work();
        }
        TURNED.set(Some(now));
        // Planning may happen on a thread that cannot be given away.
        let given = Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        if given { tokio::task::block_in_place(work) } else { work() }
    }
}

/// What one operator or function works on, until it is dropped.
#[derive(Debug)]
pub(crate) struct Working {
    stop: Stop,
    bytes: u64,
}

impl Working {
    pub fn set(&mut self, bytes: usize) {
        let all = &self.stop.0.at_work;
        all.fetch_add(bytes as u64, Ordering::Relaxed);
        all.fetch_sub(std::mem::replace(&mut self.bytes, bytes as u64), Ordering::Relaxed);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn read_too_much(scan: u64) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the statement read more than {scan} bytes of files"))
        .with_hint("narrow the time range, select fewer columns, or raise query.max_scan_bytes")
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("stopped", &self.0.stopped).finish_non_exhaustive()
    }
}

/// Functions are given the session's settings and nothing else of it.
impl ConfigExtension for Stop {
    const PREFIX: &'static str = "cloudsail";
}

impl ExtensionOptions for Stop {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<(), DataFusionError> {
        datafusion::common::config_err!("there is no setting cloudsail.{key}")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(limit: Duration, scan: u64) -> (Stop, Stats) {
        let stats = Stats::begin();
        (Stop::new(Instant::now() + limit, limit, scan, stats.clone()), stats)
    }

    /// Scenario: a statement is past its deadline, has read too much, or lost
    /// its reader; then another reason comes.
    /// Guarantees: S22, it learns of it at its next question, and of the first
    /// reason only.
    #[tokio::test]
    async fn sec_s22_there_is_one_reason_to_stop() {
        let (late, _) = stop(Duration::ZERO, 10);
        assert_eq!(late.check().map_err(|e| e.kind()), Err(ErrorKind::DeadlineExceeded));
        let hour = Duration::from_secs(3600);
        let (greedy, stats) = stop(hour, 10);
        stats.read("spans", 10);
        assert!(greedy.check().is_ok());
        stats.read("spans", 1);
        assert_eq!(greedy.check().map_err(|e| e.kind()), Err(ErrorKind::TooLarge));
        let (left, _) = stop(hour, 10);
        let waiting = left.stopped();
        left.leave();
        left.stop(Error::invalid("later"));
        assert_eq!(waiting.await.kind(), ErrorKind::Cancelled);
        assert!(left.work(|| Ok(())).is_err());
    }
}
