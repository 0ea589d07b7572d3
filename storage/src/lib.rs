//! Arrow in, committed Parquet out. (map follows)

pub mod error;
pub mod failpoint;
pub mod file;
pub mod settings;
pub mod snapshot;
pub mod wal;

pub use error::Error;
pub use file::{ColumnStats, DataFile, FileStats, Origin, Place, StatValue};
pub use settings::{FlushSettings, Settings, StageSettings, Sync, WalSettings};
pub use snapshot::{HotRows, LedgerRow, SegmentInfo, Snapshot, Source};
