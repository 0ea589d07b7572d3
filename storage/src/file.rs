//! A Parquet file of a table, wherever it lies, and what is known of its rows
//! without opening it.

use std::collections::BTreeMap;

use object_store::path::Path;
use schema::{Position, WalId};
use serde::{Deserialize, Serialize};

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
pub type FileStats = BTreeMap<String, ColumnStats>;

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
