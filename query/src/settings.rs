//! The numbers the engine is run with.

use std::path::PathBuf;
use std::time::Duration;

use schema::ErrorKind;

use crate::Error;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes that all statements together may hold.
    pub memory: usize,
    /// Where a statement puts what does not fit its share. What an earlier
    /// process left there is removed.
    pub spill_dir: PathBuf,
    /// Bytes of all spilled files together.
    pub spill_bytes: u64,
    /// The longest a statement may take, from admission to its last row.
    pub timeout: Duration,
    /// Rows after which an answer is cut and says so.
    pub max_rows: usize,
    /// Bytes after which an answer is cut and says so, as held in memory.
    pub max_result_bytes: u64,
    /// Bytes of files that a statement may read.
    pub max_scan_bytes: u64,
    /// Statements that run at once; the next ones wait for `queue`.
    pub concurrency: usize,
    /// Of one user of a tenant, where users are known.
    pub user_concurrency: usize,
    /// Bytes that the process should have resident at most. Above 70 % of it
    /// statements begin one by one, above 85 % the largest is cancelled.
    pub resident: u64,
    /// How long a statement waits for its turn before it is told to come back.
    pub queue: Duration,
    /// Threads that plan and compute, apart from those that do I/O for ingest.
    pub threads: usize,
    /// Bytes of hot rows that one statement may keep from being staged (B1).
    pub pinned: usize,
}

impl Settings {
    /// Defaults, spilling under `dir`.
    pub fn under(dir: impl Into<PathBuf>) -> Settings {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
        Settings {
            memory: 1 << 30,
            spill_dir: dir.into(),
            spill_bytes: 10 << 30,
            timeout: Duration::from_secs(60),
            max_rows: 10_000_000,
            max_result_bytes: 4 << 30,
            max_scan_bytes: 256 << 30,
            concurrency: 8,
            user_concurrency: 6,
            resident: u64::MAX,
            queue: Duration::from_secs(5),
            threads,
            pinned: 1 << 30,
        }
    }

    pub fn validate(&self) -> Result<(), Error> {
        let no = |message: &str| Err(Error::new(ErrorKind::Invalid, message));
        if self.concurrency == 0 || self.threads == 0 {
            return no("query.concurrency must be at least 1");
        }
        if self.user_concurrency == 0 {
            return no("query.user_concurrency must be at least 1");
        }
        if self.share() < 1 << 20 {
            return no(
                "query.memory is below 1 MiB per statement; raise it or lower query.concurrency",
            );
        }
        if self.timeout.is_zero() {
            return no("query.timeout must be above zero");
        }
        if self.max_rows == 0 {
            return no("query.max_rows must be at least 1");
        }
        if self.max_result_bytes == 0 || self.max_scan_bytes == 0 {
            return no("query.max_result_bytes and query.max_scan_bytes must be above zero");
        }
        Ok(())
    }

    /// Bytes that a statement may hold however many others run.
    pub fn share(&self) -> usize {
        self.memory / self.concurrency.max(1)
    }
}
