//! Arrow in, committed Parquet out: the middle of the route, and the room where
//! rows are kept.
//!
//! A batch is appended to the write-ahead log by group commit, joins its
//! table's hot rows and is acked. Sealed rows are staged as Parquet on local
//! disk, after which the log may forget them; staged files are committed to
//! the Delta table together with the watermark that says so.
//!
//! ```text
//! Sink::append ─► append ─► wal            (fsync, then ack)
//!                    └────► live           hot ─ sealed ─ staged ─ committed
//!                             seal ─► stage ─► encode      (fsync, then the log may forget)
//!                             commit ─► table ─► store     (files + watermark, one entry)
//! Source::snapshot ◄─ live                 committed ∪ staged ∪ hot, one moment
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | [`storage`] | [`Storage`]: the wiring, the order of start and end |
//! | [`append`] | the log's thread: group commit, visibility, acks (D1, D2, D3) |
//! | [`wal`] | the write-ahead log: frames, segments, recovery of bytes |
//! | [`live`] | the live state of each table, and snapshots of it (S1, S2) |
//! | [`seal`] | when rows are sealed; staging them |
//! | [`encode`] | rows to Parquet with statistics |
//! | [`stage`] | the outbox: staged files and their manifests (C4) |
//! | [`commit`] | one committer per table on the store (C1, C2, C3) |
//! | [`pace`] | pauses, intervals, how long the outbox lasts |
//! | [`compact`] | small files joined, replaced ones removed (K1, K2, S3) |
//! | [`upkeep`] | retention, vacuum, checkpoints, by the holder of a lease |
//! | [`table`] | the Delta table; `table/delta.rs` is the only file that knows Delta |
//! | [`cache`] | local copies of recent files of a remote store |
//! | [`store`] | opening a URL; a local store that syncs |
//! | [`recover`] | the start, from local disk alone (D4) |
//! | [`lineage`], [`renew`] | an older copy of a log: noticed, and given a new id |
//! | [`progress`] | what is known of own commits without asking the store |
//! | [`books`] | the ledger (L1) |
//! | [`reader`] | a store read without a node |
//! | [`file`], [`snapshot`] | what a query learns of a file and of a table |
//! | [`status`] | what a running storage says of itself |
//! | [`drain`] | what keeps log and stage from being empty |
//! | [`chance`] | what tells one start's names from another's |
//! | [`disk`] | free space and the reserve |
//! | [`hand`] | a thread that lives as long as its owner |
//! | [`failpoint`] | stages at which a debug build can be told to die |
//! | [`mod@still`] | waiting for threads of our own, also where time is paused |
//! | [`settings`], [`error`], [`metrics`] | numbers, failures, self-telemetry |
//!
//! Deliberately not here: what a span is (tables are data in `schema`), and any
//! protocol.

pub mod append;
pub mod books;
pub mod cache;
pub mod chance;
pub mod commit;
pub mod compact;
pub mod disk;
pub mod drain;
pub mod encode;
pub mod error;
pub mod failpoint;
pub mod file;
pub mod hand;
pub mod lineage;
pub mod live;
pub mod metrics;
pub mod pace;
pub mod progress;
pub mod reader;
pub mod recover;
pub mod renew;
pub mod seal;
pub mod settings;
pub mod snapshot;
pub mod stage;
pub mod status;
pub mod still;
pub mod storage;
pub mod store;
pub mod table;
pub mod upkeep;
pub mod wal;

pub use chance::Chance;
pub use commit::Flushed;
pub use compact::Compacted;
pub use drain::Left;
pub use error::Error;
pub use file::{ColumnStats, DataFile, FileStats, Origin, Place, StatValue};
pub use reader::Reader;
pub use settings::{
    AckLevel, CacheSettings, CompactionSettings, FlushSettings, RetentionSettings, Settings,
    StageSettings, Sync, WalSettings,
};
pub use snapshot::{HotRows, LedgerRow, SegmentInfo, Snapshot, Source};
pub use status::Status;
pub use storage::{Components, Storage};
pub use upkeep::pins::{Kept, Pins};
