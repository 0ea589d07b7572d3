//! What this node knows of its own commits without asking the store: per table
//! the watermark it has seen committed and the rows it has booked as persisted.
//!
//! The file is replaced whole after each commit and before the committed
//! range's manifest is removed, so that a crash in between is seen by the
//! manifest that is still there. It is a cache of the table's own watermark:
//! never ahead of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use schema::{Door, Position, Tenant, WalId};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::live::Counts;
use crate::live::buffer::add_counts;
use crate::store::tree::Tree;

const NAME: &str = "progress.json";

#[derive(Debug)]
pub struct Progress {
    tree: Arc<Tree>,
    book: Mutex<Book>,
    /// The file lacks what the book has: the disk failed.
    unsaved: AtomicBool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Book {
    wal_id: String,
    /// By tenant, then table.
    tables: BTreeMap<String, BTreeMap<String, Line>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Line {
    watermark: u64,
    /// Rows by door code.
    persisted: BTreeMap<u8, u64>,
}

/// How the file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Intact,
    /// A new folder, or one of another log.
    Fresh,
    /// It cannot be read: the store must be asked for the watermarks.
    Unreadable,
}

impl Progress {
    pub fn open(dir: &Path, wal_id: WalId) -> Result<(Progress, Found), Error> {
        let tree = Tree::open(dir)
            .map_err(Error::disk(format!("{} could not be opened", dir.display())))?;
        let path = tree.root().join(NAME);
        let fresh = || Book { wal_id: wal_id.to_string(), tables: BTreeMap::new() };
        let (book, found) = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<Book>(&bytes) {
                Ok(book) if book.wal_id == wal_id.to_string() => (book, Found::Intact),
                Ok(book) => {
                    tracing::warn!(
                        path = %path.display(), found = book.wal_id, expected = %wal_id,
                        "progress of another log; starting afresh"
                    );
                    (fresh(), Found::Fresh)
                }
                Err(error) => {
                    tracing::error!(
                        path = %path.display(), %error,
                        "progress cannot be read; the store is asked for the watermarks"
                    );
                    (fresh(), Found::Unreadable)
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (fresh(), Found::Fresh),
            Err(source) => {
                return Err(Error::disk(format!("{} cannot be read", path.display()))(source));
            }
        };
        let unsaved = AtomicBool::new(false);
        Ok((Progress { tree, book: Mutex::new(book), unsaved }, found))
    }

    /// The last watermark seen committed.
    pub fn watermark(&self, tenant: &Tenant, table: &str) -> Position {
        let book = self.book.lock();
        let line = book.tables.get(tenant.as_str()).and_then(|tables| tables.get(table));
        Position(line.map_or(0, |line| line.watermark))
    }

    /// Rows booked as persisted: (tenant, table, counts).
    pub fn persisted(&self) -> Vec<(Tenant, String, Counts)> {
        let book = self.book.lock();
        let mut all = Vec::new();
        for (tenant, tables) in &book.tables {
            let Ok(tenant) = Tenant::new(tenant) else {
                tracing::error!(tenant, "progress names a tenant that cannot exist; skipped");
                continue;
            };
            for (table, line) in tables {
                let doors = line.persisted.iter();
                let counts = doors.filter_map(|(code, n)| Some((Door::from_code(*code)?, *n)));
                all.push((tenant.clone(), table.clone(), counts.collect()));
            }
        }
        all
    }

    /// Books a commit and makes it durable. After an error it is booked, and
    /// [`save`](Self::save) makes up for the rest.
    pub fn record(
        &self,
        tenant: &Tenant,
        table: &str,
        watermark: Position,
        rows: &[(Door, u64)],
    ) -> Result<(), Error> {
        let mut book = self.book.lock();
        let tables = book.tables.entry(tenant.to_string()).or_default();
        let line = tables.entry(table.to_owned()).or_default();
        line.watermark = line.watermark.max(watermark.0);
        let doors = line.persisted.iter().filter_map(|(c, n)| Some((Door::from_code(*c)?, *n)));
        let mut counts: Counts = doors.collect();
        add_counts(&mut counts, rows);
        line.persisted = counts.into_iter().map(|(door, n)| (door as u8, n)).collect();
        self.unsaved.store(true, Ordering::Relaxed);
        self.write(&book)
    }

    /// Makes durable what a failing disk did not take.
    pub fn save(&self) -> Result<(), Error> {
        let book = self.book.lock();
        if self.unsaved.load(Ordering::Relaxed) { self.write(&book) } else { Ok(()) }
    }

    fn write(&self, book: &Book) -> Result<(), Error> {
        let path = self.tree.root().join(NAME);
        let json = serde_json::to_vec_pretty(book).map_err(|e| Error::Internal(e.to_string()))?;
        self.tree
            .replace(&path, &json)
            .map_err(Error::disk(format!("{} could not be written", path.display())))?;
        self.unsaved.store(false, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two commits are booked, the folder is opened again, then by
    /// another log, then after the file was damaged.
    /// Guarantees: L1 over restarts; another log inherits nothing (D4); damage is told.
    #[test]
    fn inv_l1_progress_survives_a_restart_and_is_not_inherited() {
        let dir = tempfile::tempdir().unwrap();
        let (tenant, id) = (Tenant::default(), WalId(7));
        let (progress, found) = Progress::open(dir.path(), id).unwrap();
        assert_eq!(found, Found::Fresh);
        progress.record(&tenant, "spans", Position(3), &[(Door::OtlpGrpc, 10)]).unwrap();
        progress.record(&tenant, "spans", Position(5), &[(Door::OtlpGrpc, 1)]).unwrap();

        let (again, found) = Progress::open(dir.path(), id).unwrap();
        assert_eq!((found, again.watermark(&tenant, "spans")), (Found::Intact, Position(5)));
        assert_eq!(
            again.persisted(),
            [(tenant.clone(), "spans".into(), vec![(Door::OtlpGrpc, 11)])]
        );

        let (other, found) = Progress::open(dir.path(), WalId(8)).unwrap();
        assert_eq!((found, other.watermark(&tenant, "spans")), (Found::Fresh, Position::ZERO));

        fs::write(dir.path().join("progress.json"), b"{").unwrap();
        assert_eq!(Progress::open(dir.path(), id).unwrap().1, Found::Unreadable);
    }
}
