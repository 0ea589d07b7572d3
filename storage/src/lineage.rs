//! Whether the positions of this log are still its own (faults.md F42).
//!
//! A commit of this node covers staged ranges whose manifests lie on its disk
//! until the watermark is booked. So a table's watermark that is neither booked
//! nor the end of a range whose files the table names was committed from another
//! copy of this log, which went on where this one was put back. From there on the
//! same positions mean other rows, and the log needs a new id.
//!
//! Which rows are common to both copies? Those from before the start at which
//! they parted. That is the first start since every table was last found in
//! order; two such starts with rows between them leave it open, and then nothing
//! is guessed: the node refuses rows and a human decides.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use schema::{Position, Tenant, WalId};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::store::tree::Tree;

const NAME: &str = "lineage.json";

/// Per tenant and table, up to where rows need no commit any more.
pub type Floors = BTreeMap<String, BTreeMap<String, u64>>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    pub wal_id: String,
    /// The last positions at the starts since every table was found in order;
    /// two stand for any number.
    #[serde(default)]
    pub starts: Vec<u64>,
    /// Another copy went on.
    #[serde(default)]
    pub parted: Option<Parted>,
    /// A renewal that has begun.
    #[serde(default)]
    pub renewal: Option<Renewal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parted {
    /// Rows above this position are of this copy alone.
    pub at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The id that the log is to have.
    pub to: String,
    pub floors: Floors,
}

impl Book {
    pub fn fresh(wal_id: WalId) -> Book {
        Book { wal_id: wal_id.to_string(), ..Book::default() }
    }

    /// The file in the stage's folder, if there is one. What cannot be read counts
    /// as any number of starts of `log`.
    pub fn read(dir: &Path, log: WalId) -> Option<Book> {
        let path = dir.join(NAME);
        let why = match fs::read(&path).map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(book)) => return Some(book),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(path = %path.display(), error = why, "the log's lineage cannot be read; should there be another copy of the log, only a human can tell whose rows are whose");
        Some(Book { starts: vec![0, 0], ..Book::fresh(log) })
    }

    /// Replaces the file; durable on return.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(NAME);
        let failed = || Error::disk(format!("{} could not be written", path.display()));
        let json = serde_json::to_vec_pretty(self).map_err(|e| Error::Internal(e.to_string()))?;
        let tree = Tree::open(dir).map_err(failed())?;
        tree.replace(&tree.root().join(NAME), &json).map_err(failed())
    }
}

/// A tenant's table on the store.
type Key = (Tenant, &'static str);

/// Of a running node.
#[derive(Debug)]
pub struct Lineage {
    dir: PathBuf,
    /// The last position when this process began.
    start: Position,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    book: Book,
    /// Tables that this process writes to and has not found in order yet.
    unknown: HashSet<Key>,
}

impl Lineage {
    /// Notes the start durably, before anything is appended.
    pub fn begin(dir: &Path, wal_id: WalId, start: Position) -> Result<Lineage, Error> {
        let known = Book::read(dir, wal_id).filter(|book| book.wal_id == wal_id.to_string());
        let mut book = known.clone().unwrap_or_else(|| Book::fresh(wal_id));
        note(&mut book, start);
        if known.as_ref() != Some(&book) {
            book.write(dir)?;
        }
        let state = State { book, unknown: HashSet::new() };
        let state = Mutex::new(state);
        Ok(Lineage { dir: dir.to_owned(), start, state })
    }

    /// Tables whose watermarks are still to be seen: all that there are, before any of
    /// them is, lest the first one found in order stand for all.
    pub fn expect<'a>(
        &self,
        tables: impl Iterator<Item = (&'a Tenant, &'static str)>,
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.unknown.extend(tables.map(|(tenant, table)| (tenant.clone(), table)));
        let before = state.book.clone();
        note(&mut state.book, self.start);
        if before == state.book { Ok(()) } else { state.book.write(&self.dir) }
    }

    /// A table's watermark is this log's own.
    pub fn in_order(&self, tenant: &Tenant, table: &'static str) -> Result<(), Error> {
        let mut state = self.state.lock();
        let State { book, unknown } = &mut *state;
        let table = (tenant.clone(), table);
        if !unknown.contains(&table) {
            return Ok(());
        }
        if unknown.len() == 1 && book.parted.is_none() {
            let clear = Book { starts: Vec::new(), ..book.clone() };
            clear.write(&self.dir)?;
            *book = clear;
        }
        unknown.remove(&table);
        Ok(())
    }

    /// Since when rows are of this copy alone, once it is known that there is
    /// another one.
    pub fn parted_at(&self) -> Option<Position> {
        self.state.lock().book.parted.as_ref().map(|parted| Position(parted.at))
    }

    /// Up to here rows are the same in every copy of this log that there can be.
    pub fn common(&self) -> Position {
        let state = self.state.lock();
        let parted = state.book.parted.as_ref().map(|parted| parted.at);
        let common = parted.or(state.book.starts.first().copied());
        common.map_or(self.start, Position)
    }

    /// A table's watermark is not this log's own. True if the next start can
    /// renew the log by itself.
    pub fn parted(&self, tenant: &Tenant, table: &'static str) -> Result<bool, Error> {
        let mut state = self.state.lock();
        let State { book, unknown } = &mut *state;
        if !unknown.contains(&(tenant.clone(), table)) {
            return Ok(false);
        }
        if book.parted.is_none() {
            let &[at] = book.starts.as_slice() else { return Ok(false) };
            let parted = Book { parted: Some(Parted { at }), ..book.clone() };
            parted.write(&self.dir)?;
            *book = parted;
        }
        Ok(true)
    }
}

/// Notes a start; once the copies are known to have parted no other one matters.
fn note(book: &mut Book, start: Position) {
    if book.parted.is_none() && book.starts.len() < 2 && book.starts.last() != Some(&start.0) {
        book.starts.push(start.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: WalId = WalId(7);

    fn begin(dir: &Path, start: u64) -> Lineage {
        let lineage = Lineage::begin(dir, LOG, Position(start)).unwrap();
        let tenant = Tenant::default();
        lineage.expect(["spans", "logs"].into_iter().map(|table| (&tenant, table))).unwrap();
        lineage
    }

    /// Scenario: starts with and without rows between them, with the tables in
    /// order or not seen at all; then a foreign watermark.
    /// Guarantees: F42: the log is renewed only when it is certain since when
    /// its rows are its own.
    #[test]
    fn fault_f42_only_one_start_can_have_parted_the_copies() {
        let tenant = Tenant::default();
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path(), 5);
        assert!(begin(dir.path(), 5).parted(&tenant, "logs").unwrap(), "nothing came between");
        assert_eq!(Book::read(dir.path(), LOG).unwrap().parted.unwrap().at, 5);
        assert!(begin(dir.path(), 9).parted(&tenant, "spans").unwrap(), "it stays at the first");
        assert_eq!(Book::read(dir.path(), LOG).unwrap().parted.unwrap().at, 5);

        let dir = tempfile::tempdir().unwrap();
        begin(dir.path(), 5);
        assert!(!begin(dir.path(), 9).parted(&tenant, "logs").unwrap(), "at 5 or at 9?");

        let dir = tempfile::tempdir().unwrap();
        let seen = begin(dir.path(), 5);
        seen.in_order(&tenant, "logs").unwrap();
        assert!(!seen.parted(&tenant, "logs").unwrap(), "a twin that lives");
        assert_eq!(Book::read(dir.path(), LOG).unwrap().starts, [5], "spans is not known");
        seen.in_order(&tenant, "spans").unwrap();
        assert!(begin(dir.path(), 9).parted(&tenant, "logs").unwrap(), "at 9");

        fs::write(dir.path().join(NAME), b"{").unwrap();
        assert!(!begin(dir.path(), 9).parted(&tenant, "logs").unwrap(), "nothing is known");
    }
}
