//! The write-ahead log: what is acked survives here until it is staged.
//!
//! Stands between admission and the hot buffer: a group of batches becomes one
//! write and one fsync, then the requests are acked (D1). The log forgets only
//! what its caller says is staged or committed (D3), and replays the rest (D4).
//! Blocking; one thread owns it.
//!
//! ```text
//! identity                     wal id, boot, position floor, losses; replaced whole
//! 0000000000000001.wal         a segment, named by its first position (hex)
//! quarantine/                  copies of bytes that could not be read, bounded
//! LOCK                         flock: one process per folder (F21)
//!
//! segment = prelude · header frame · frames…         all numbers little-endian
//! prelude = magic 8 · format version u32 · crc32 u32
//!
//! frame   = fixed 40 · head · payload · padding to 8
//!   0  magic u32          for resync after damage (F19)
//!   4  head length u32
//!   8  payload length u32
//!  12  kind u8            1 header, 2 schema, 3 rows
//!  16  position u64       of the record; of the next one in other kinds
//!  24  group u64          first position of the group it was written with
//!  32  payload crc32 u32
//!  36  header crc32 u32   over 0..36 and the head; seeded with the log's id,
//!                         the segment and the offset, so that a frame is valid
//!                         only where it was written
//!
//! header  payload: wal id · boot · first position · the segment before it, where
//!         that one validly ends · rows accepted per (tenant, table, door)
//! schema  payload: Arrow IPC schema message; once per segment, on first use
//! rows    head: tenant · table · received · schema fingerprint · rows · counts
//!         per door, and those accepted of this table before it
//!         payload: length u64 of the body before zstd packed it, 0 where it did
//!         not, its highest bit set: the body is narrow · which of the rows' own
//!         columns are there · metadata length u64 · Arrow IPC record batch message
//!         without schema and dictionaries, its body narrow (not so before version
//!         5) and packed as one. The batch has one row, of three lists: the rows' own
//!         columns, their origins by index, the origins; of metrics two more, their
//!         heads by index and the heads, which version 2 did not have. Version 1 had
//!         no more than a message with the table's columns, its buffers packed by LZ4
//! ```
//!
//! A segment's valid end is told by the next one's header: what a failed group
//! left behind lies beyond it and is never read (the fence). The accepted counts
//! before each record tell exactly how many rows lie in a hole.
//!
//! | file | job |
//! | --- | --- |
//! | [`files`] | [`Files`], [`File`]: the seam to the disk, obligations numbered |
//! | [`disk`], [`memory`] | its two implementations: a locked folder; one that can lose power |
//! | `wire`, `frame` | bytes and checksums |
//! | `rows` | rows to and from payloads |
//! | `narrow` | numbers of a body in few bytes |
//! | `form` | the one batch that holds rows and what they share, columns by name |
//! | `segment` | a segment's beginning: making one, reading one, refusing one (F20) |
//! | `identity` | the folder's identity file |
//! | `scan` | walks a segment, over damage too |
//! | `ledger` | accepted rows, and from them exact losses |
//! | `quarantine` | copies of what could not be read |
//! | `open`, `replay` | recovery: find the end (F18), hand out what is wanted (D4) |
//! | `renew` | a new id for a folder that turned out to be an older copy |
//! | [`log`] | [`Log`]: append, sync, rotate, release |
//!
//! Deliberately not here: grouping requests, hot rows, which position may be
//! released, the wall clock.

use std::sync::Arc;

use schema::{Door, Position, Rows, TableDef, Tenant, WalId};

#[cfg(test)]
mod conformance;
pub mod disk;
pub mod files;
mod form;
mod frame;
mod identity;
mod ledger;
pub mod log;
pub mod memory;
mod narrow;
mod open;
mod quarantine;
mod renew;
mod replay;
mod rows;
mod scan;
mod segment;
mod wire;

pub use disk::Disk;
pub use files::{File, Files};
pub use log::Log;
pub use memory::Memory;

/// Rows of one tenant and table, to be written as one record.
#[derive(Debug, Clone)]
pub struct Entry {
    pub tenant: Tenant,
    pub table: Arc<TableDef>,
    /// How many of the rows came in by which door.
    pub counts: Vec<(Door, u64)>,
    pub rows: Rows,
    pub received_unix_nano: i64,
}

/// Rows of a tenant's table, by door.
pub type Counted = (Tenant, String, Vec<(Door, u64)>);

/// Rows accepted of one tenant's table by one door.
pub type AcceptedRows = (Tenant, String, Door, u64);

/// A record read back. Its columns are those of `table` as it is today.
#[derive(Debug, Clone)]
pub struct Replayed {
    pub position: Position,
    pub tenant: Tenant,
    pub table: Arc<TableDef>,
    pub counts: Vec<(Door, u64)>,
    pub rows: Rows,
    pub received_unix_nano: i64,
}

/// Acked rows that can no longer be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub tenant: Tenant,
    pub table: String,
    pub counts: Vec<(Door, u64)>,
    /// A label: `wal_damaged`, `wal_undecodable` or `wal_unknown_table`.
    pub reason: String,
}

/// A log, and what was found when it was opened.
pub struct Opened {
    pub log: Log,
    pub wal_id: WalId,
    /// Counts the opens of this log, from 1; durable, never the same twice.
    pub boot: u64,
    /// The last position that may ever have been given; the next is above it.
    pub last: Position,
    /// Rows accepted since the id was minted, per tenant, table and door.
    pub accepted: Vec<AcceptedRows>,
    /// Rows lost, as far as earlier replays found; [`Log::losses`] after a
    /// replay adds what that one found.
    pub losses: Vec<Loss>,
    /// Bytes cut off the end: a write that the last stop interrupted (F18).
    pub torn_bytes: u64,
}
