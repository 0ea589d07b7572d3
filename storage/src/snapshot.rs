//! What a query sees of one table: one moment, never changing (S2).

use std::sync::Arc;

use schema::{Reservation, Rows, TableDef, Tenant, Version};

use crate::DataFile;
use crate::table::Watermarks;

/// Rows in memory with the reservation that pays for them. As long as a
/// snapshot holds it, the bytes count against the ingest budget (B1).
#[derive(Debug)]
pub struct HotRows {
    pub rows: Rows,
    pub(crate) paid: Option<Reservation>,
}

impl HotRows {
    /// Rows that no budget pays for: a source that ingests nothing has them.
    pub fn unpaid(rows: Rows) -> HotRows {
        HotRows { rows, paid: None }
    }

    /// Bytes that the reservation pays for.
    pub(crate) fn bytes(&self) -> u64 {
        self.paid.as_ref().map_or(0, Reservation::bytes)
    }

    /// They are staged; whoever reads them still has them.
    pub(crate) fn put_aside(&self) {
        self.paid.iter().for_each(Reservation::put_aside);
    }
}

/// Committed ∪ staged ∪ hot, each row in exactly one of them (S1).
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub tenant: Tenant,
    pub table: Arc<TableDef>,
    /// The version that `committed` was read at; `None` while the table has
    /// not been loaded or does not exist yet.
    pub version: Option<Version>,
    /// What this snapshot could not see, in words for the user (the store did
    /// not answer yet, say); `None` when it is complete.
    pub incomplete: Option<String>,
    pub committed: Arc<[Arc<DataFile>]>,
    /// Of an index: up to where it tells of the rows of each log, as far as that
    /// is known.
    pub watermarks: Arc<Watermarks>,
    pub staged: Arc<[Arc<DataFile>]>,
    pub hot: Arc<[Arc<HotRows>]>,
}

impl Snapshot {
    /// Rows in memory, exactly.
    pub fn hot_rows(&self) -> usize {
        self.hot.iter().map(|hot| hot.rows.num_rows()).sum()
    }
}

/// Hands out snapshots: a running `Storage`, or a
/// `Reader` straight on a store.
///
/// 1. A snapshot taken after an ack holds the acked rows (D2).
/// 2. Two snapshots taken in order never show a row in the first only.
pub trait Source: Send + Sync {
    /// `None`: there is no such table.
    fn snapshot(&self, tenant: &Tenant, table: &str) -> Option<Snapshot>;

    /// Every table there is.
    fn catalog(&self) -> &schema::Catalog;

    /// Where [`Place::Store`](crate::Place::Store) paths are read.
    fn store(&self) -> Arc<dyn object_store::ObjectStore>;

    /// Where [`Place::Stage`](crate::Place::Stage) paths are read.
    fn stage(&self) -> Arc<dyn object_store::ObjectStore>;

    /// Bytes that statements may spill to this node's disk at the moment.
    fn spill_room(&self) -> u64 {
        u64::MAX
    }

    /// The books (L1); empty where nothing is ingested.
    fn ledger(&self) -> Vec<LedgerRow>;

    /// The log's segments, oldest first; empty where there is no log.
    fn wal_segments(&self) -> Vec<SegmentInfo>;
}

/// A line of the ledger: accepted = persisted + in_flight + Σ dropped (L1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    pub tenant: Tenant,
    pub signal: schema::Signal,
    pub door: schema::Door,
    /// Rows acked since the log's id was minted.
    pub accepted: u64,
    /// Rows in files of own commits.
    pub persisted: u64,
    /// Rows hot, sealed or staged.
    pub in_flight: u64,
    /// Rows lost, with the reason.
    pub dropped: Vec<(String, u64)>,
}

/// A segment of the write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    pub name: String,
    pub bytes: u64,
    pub first: Option<schema::Position>,
    pub last: Option<schema::Position>,
    /// When its first record was received, nanoseconds since 1970.
    pub oldest_unix_nano: Option<i64>,
}
