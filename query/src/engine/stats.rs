//! What a statement saw and cost, readable while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use schema::Version;
use storage::Snapshot;

/// A handle on the numbers of one statement; clones share them.
#[derive(Debug, Clone)]
pub struct Stats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    tables: Mutex<BTreeMap<String, Seen>>,
    /// Paths opened; a file read in two ranges counts once.
    opened: Mutex<BTreeSet<String>>,
    files_pruned: AtomicU64,
    /// By table.
    bytes_read: Mutex<BTreeMap<&'static str, u64>>,
    /// Of all tables; asked often.
    bytes: AtomicU64,
    rows: AtomicU64,
    peak_memory: AtomicU64,
    truncated: AtomicBool,
    elapsed: Mutex<Option<Duration>>,
}

#[derive(Debug, Clone)]
struct Seen {
    version: Option<Version>,
    incomplete: Option<String>,
}

/// The numbers at one moment; final once the answer's stream has ended.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    /// The version of every table that was read; `None` where nothing is
    /// committed yet.
    pub versions: BTreeMap<String, Option<u64>>,
    /// Parquet files opened.
    pub files_read: u64,
    /// Parquet files known not to match without being opened.
    pub files_pruned: u64,
    /// Bytes fetched from Parquet files.
    pub bytes_read: u64,
    /// Rows answered.
    pub rows: u64,
    pub elapsed_ms: f64,
    /// Bytes that sorts, joins and aggregates held at most.
    pub peak_memory_bytes: u64,
    #[serde(skip)]
    pub truncated: bool,
    /// What could not be seen, by table; empty for a complete answer.
    #[serde(skip)]
    pub incomplete: BTreeMap<String, String>,
}

impl Summary {
    pub fn complete(&self) -> bool {
        self.incomplete.is_empty()
    }
}

impl Stats {
    pub(crate) fn begin() -> Stats {
        Stats(Arc::new(Inner {
            started: Instant::now(),
            tables: Mutex::default(),
            opened: Mutex::default(),
            files_pruned: AtomicU64::new(0),
            bytes_read: Mutex::default(),
            bytes: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            peak_memory: AtomicU64::new(0),
            truncated: AtomicBool::new(false),
            elapsed: Mutex::new(None),
        }))
    }

    pub(crate) fn saw(&self, snapshot: &Snapshot) {
        let seen = Seen { version: snapshot.version, incomplete: snapshot.incomplete.clone() };
        self.0.tables.lock().insert(snapshot.table.name.to_owned(), seen);
    }

    pub(crate) fn pruned(&self, files: usize) {
        self.0.files_pruned.fetch_add(files as u64, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self, path: &str) {
        self.0.opened.lock().insert(path.to_owned());
    }

    pub(crate) fn read(&self, table: &'static str, bytes: u64) {
        *self.0.bytes_read.lock().entry(table).or_default() += bytes;
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes fetched from files so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Bytes fetched from files, by table.
    pub(crate) fn scanned(&self) -> BTreeMap<&'static str, u64> {
        self.0.bytes_read.lock().clone()
    }

    pub(crate) fn answered(&self, rows: usize) {
        self.0.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn cut(&self) {
        self.0.truncated.store(true, Ordering::Relaxed);
    }

    pub(crate) fn peak(&self, bytes: usize) {
        self.0.peak_memory.fetch_max(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn stop(&self) {
        self.0.elapsed.lock().get_or_insert_with(|| self.0.started.elapsed());
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed.lock().unwrap_or_else(|| self.0.started.elapsed())
    }

    /// The numbers now.
    pub fn summary(&self) -> Summary {
        let tables = self.0.tables.lock().clone();
        let incomplete = tables
            .iter()
            .filter_map(|(name, seen)| Some((name.clone(), seen.incomplete.clone()?)))
            .collect();
        Summary {
            versions: tables.into_iter().map(|(name, s)| (name, s.version.map(|v| v.0))).collect(),
            files_read: self.0.opened.lock().len() as u64,
            files_pruned: self.0.files_pruned.load(Ordering::Relaxed),
            bytes_read: self.bytes_read(),
            rows: self.0.rows.load(Ordering::Relaxed),
            elapsed_ms: self.elapsed().as_micros() as f64 / 1000.0,
            peak_memory_bytes: self.0.peak_memory.load(Ordering::Relaxed),
            truncated: self.0.truncated.load(Ordering::Relaxed),
            incomplete,
        }
    }
}
