//! A Parquet file of a table, wherever it lies, and what is known of its rows
//! without opening it.

use std::collections::{BTreeMap, HashSet};
use std::ops::Index;
use std::sync::{Arc, LazyLock};

use object_store::path::Path;
use parking_lot::Mutex;
use schema::{Position, WalId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// Where the bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the table's object store, under its final name.
    Store,
    /// In this node's staging folder, not uploaded yet.
    Stage,
}

/// One Parquet file. Its content never changes under its name (C4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    pub place: Place,
    /// Path from the root of the store (`default/spans/date=2026-11-23/….parquet`);
    /// the same under the staging folder while `place` is [`Place::Stage`].
    pub path: String,
    /// Bytes.
    pub size: u64,
    pub rows: u64,
    /// The partition, days since 1970-01-01.
    pub date: i32,
    pub stats: FileStats,
    /// Whose rows these are and the range they come from; `None` for a file
    /// that this project did not write.
    pub origin: Option<Origin>,
}

impl DataFile {
    /// [`path`](Self::path) as the object stores take it.
    pub fn location(&self) -> Result<Path, Error> {
        Path::parse(&self.path)
            .map_err(|error| Error::Corrupt(format!("{:?} is no object path: {error}", self.path)))
    }
}

/// The stretch of a log that a file was made from; both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    #[serde(with = "wal_id_text")]
    pub wal_id: WalId,
    #[serde(with = "position_number")]
    pub first: Position,
    #[serde(with = "position_number")]
    pub last: Position,
}

/// Statistics per column, as far as they are known. A column that is missing
/// may hold anything.
///
/// They are in memory for every file that a table names: one block per file, in
/// the order of the names, which all files share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileStats(Box<[(Arc<str>, ColumnStats)]>);

/// Bounds hold for every non-null value; they need not be reached. Floats have
/// no bounds when a NaN is present, so that pruning cannot lose NaN rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnStats {
    pub min: Option<StatValue>,
    pub max: Option<StatValue>,
    pub null_count: Option<u64>,
}

/// A bound, in the few types that are worth pruning by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatValue {
    Bool(bool),
    /// Any signed integer column.
    Int(i64),
    Double(f64),
    Text(String),
    /// Microseconds since 1970, UTC.
    Timestamp(i64),
}

impl FileStats {
    pub fn get(&self, column: &str) -> Option<&ColumnStats> {
        let at = self.0.binary_search_by(|(name, _)| (**name).cmp(column)).ok()?;
        Some(&self.0[at].1)
    }

    /// In the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ColumnStats)> {
        self.0.iter().map(|(name, stats)| (&**name, stats))
    }
}

impl Index<&str> for FileStats {
    type Output = ColumnStats;

    /// Panics when nothing is known of the column.
    fn index(&self, column: &str) -> &ColumnStats {
        match self.get(column) {
            Some(stats) => stats,
            None => panic!("no statistics of {column}"),
        }
    }
}

impl<S: AsRef<str>> FromIterator<(S, ColumnStats)> for FileStats {
    fn from_iter<I: IntoIterator<Item = (S, ColumnStats)>>(columns: I) -> FileStats {
        let columns = columns.into_iter().map(|(name, stats)| (shared(name.as_ref()), stats));
        let sorted: BTreeMap<Arc<str>, ColumnStats> = columns.collect();
        FileStats(sorted.into_iter().collect())
    }
}

impl Serialize for FileStats {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for FileStats {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<FileStats, D::Error> {
        BTreeMap::<String, ColumnStats>::deserialize(d).map(FileStats::from_iter)
    }
}

/// Names that are kept; far more than tables have columns.
const MOST_NAMES: usize = 10_000;

/// A name that is in memory once, however many files have such a column.
fn shared(name: &str) -> Arc<str> {
    static NAMES: LazyLock<Mutex<HashSet<Arc<str>>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock();
    if let Some(known) = names.get(name) {
        return known.clone();
    }
    let new: Arc<str> = name.into();
    if names.len() < MOST_NAMES {
        names.insert(new.clone());
    }
    new
}

impl Origin {
    /// Of a file that was joined from files of several logs, by this one. It has
    /// no stretch; the index of its table had all of its rows when it was made.
    pub fn mixed(wal_id: WalId) -> Origin {
        Origin { wal_id, first: Position::ZERO, last: Position::ZERO }
    }

    pub fn is_mixed(&self) -> bool {
        self.last == Position::ZERO
    }
}

mod wal_id_text {
    use super::WalId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(id: &WalId, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<WalId, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

mod position_number {
    use super::Position;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(position: &Position, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(position.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Position, D::Error> {
        u64::deserialize(d).map(Position)
    }
}

#[cfg(test)]
mod tests {
    use schema::Catalog;

    use super::*;

    /// Scenario: a file of spans has bounds of every column, texts of 64 bytes.
    /// Guarantees: beside the texts of its bounds it takes less than eight kilobytes
    /// of memory (ten thousand live files 80 MB), shares its names with the next
    /// file, and comes back from a manifest.
    #[test]
    fn ten_thousand_files_are_no_burden() {
        let table = Catalog::default().get("spans").unwrap().clone();
        let text = || Some(StatValue::Text("x".repeat(64)));
        let known = || ColumnStats { min: text(), max: text(), null_count: Some(7) };
        let stats = || -> FileStats { table.columns.iter().map(|c| (&c.name, known())).collect() };
        let (one, two) = (stats(), stats());
        let bytes = size_of_val(&*one.0);
        assert!(bytes < 8 << 10, "{bytes} of {} columns", one.0.len());
        assert!(one.0.iter().zip(&two.0).all(|(a, b)| Arc::ptr_eq(&a.0, &b.0)));
        let json = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<FileStats>(&json).unwrap(), one);
        assert_eq!((one.get("name"), one.get("nothing")), (Some(&known()), None));
    }
}
