//! A Delta table as this project sees it: files, one watermark, one committer.
//!
//! Last station of the route in. **C1** files and watermark are one log entry.
//! **C2** the caller commits in position order. **C3** what became of an entry
//! is settled by reading the log, whatever the store answered.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`actions`] | what the entries add up to action by action, and a checkpoint of it |
//! | [`audit`] | the log's part of verify: gaps, checkpoints, names, positions |
//! | [`bounds`] | exact bounds of rows, for verify |
//! | [`mod@checkpoint`] | checkpoints, and the removal of entries they stand in for |
//! | [`commit`] | the loop: put the next entry if absent, then read; create and evolve a table |
//! | [`mod@orphans`] | objects in a table's folder that its log does not name |
//! | [`mod@object`] | a Parquet file read range by range, for verify and for joins |
//! | [`rewrite`] | files out and others in, by the same loop: compaction, retention |
//! | [`state`] | what the entries add up to; a table at one version |
//! | [`mod@load`] | the state by the newest checkpoint and the entries since |
//! | [`rows`] | the rows of a checkpoint, as lines |
//! | [`log`] | the lines of an entry |
//! | [`columns`] | Arrow schema ↔ Delta schema |
//! | [`stats`] | [`FileStats`](crate::FileStats) ↔ Delta's statistics JSON |
//! | [`delta`] | by `deltalake`, its only mention: checkpoints in parts are read, and those of tables with features unknown here written |
//! | [`mod@verify`] | every file a table names is there and is what its statistics say |
//!
//! Entries are written and followed here, because a blind append needs one
//! conditional put and the read of what it missed, while the library's commit costs
//! a conflict check over all files and would let one watermark be committed twice.
//! A log is loaded here too, because the library reads a checkpoint once for the
//! files and again for each watermark; and checkpoints are written here, because
//! the library takes a decoder of 60 kB for each entry since the last one, and
//! mixes what was removed with what a reader asks for.
//!
//! Deliberately not here: Delta features beyond reader 1 / writer 2 (a table
//! that demands them is refused); which files are joined or dropped (`compact`).

mod actions;
mod audit;
mod bounds;
mod checkpoint;
mod columns;
mod commit;
mod delta;
mod load;
mod log;
pub(crate) mod object;
pub mod orphans;
mod rewrite;
mod rows;
mod state;
mod stats;
pub mod verify;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use schema::{ErrorKind, Position, TableDef, Tenant, Version, WalId};

use crate::store::Store;
use crate::{DataFile, Error};
use state::State;

pub use checkpoint::{checkpoint, clean_log, newest_checkpoint};
pub use orphans::{Orphan, orphans};
pub use rewrite::Why;
pub use state::Watermarks;
pub use verify::{Finding, leftovers, verify};

/// How long a commit tries before it gives up with an unknown outcome.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a table holds at one version.
#[derive(Debug, Clone)]
pub struct Committed {
    pub version: Version,
    /// In order of their paths.
    pub files: Arc<[Arc<DataFile>]>,
    /// Up to where the rows of the own log are in `files`.
    pub watermark: Position,
    /// Of the own log's last commits: files that were named, and then removed.
    pub removed: Arc<BTreeSet<String>>,
    /// Up to where the rows of each log are in `files`, or were when they were not
    /// dropped yet. Logs that are missing are not known of.
    pub watermarks: Arc<Watermarks>,
}

impl Committed {
    /// Whether this very file was committed. A name has one content (C4), which
    /// a position has not once there are two copies of a log (F42). Not known of
    /// a file that was removed before the table was loaded.
    pub fn has_had(&self, path: &str) -> bool {
        let by_path = |file: &Arc<DataFile>| file.path.as_str().cmp(path);
        self.files.binary_search_by(by_path).is_ok() || self.removed.contains(path)
    }
}

/// The one committer of a log to a table, or a reader of the table.
#[derive(Debug)]
pub struct DeltaTable {
    place: Place,
    wal_id: Option<WalId>,
    deadline: Duration,
    /// `None`: there is no such table, and this is a reader.
    now: Option<(State, Committed)>,
}

/// Where a table is and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Rooted at the table's folder.
    pub objects: Arc<dyn ObjectStore>,
    /// `{tenant}/{table}`
    pub prefix: String,
    pub table: Arc<TableDef>,
}

impl DeltaTable {
    /// Loads the table. With a log id it becomes that log's committer: a table
    /// that does not exist is created, columns that it lacks are added.
    pub async fn open(
        store: &Store,
        tenant: &Tenant,
        table: Arc<TableDef>,
        wal_id: Option<WalId>,
    ) -> Result<DeltaTable, Error> {
        let place = Place::of(store, tenant, table)?;
        let mut this = DeltaTable { place, wal_id, deadline: DEADLINE, now: None };
        this.load().await?;
        if wal_id.is_some() {
            this.prepare().await?;
        }
        Ok(this)
    }

    /// What the table holds for a log, `None` without a table. Writes nothing.
    pub async fn look(
        store: &Store,
        tenant: &Tenant,
        table: Arc<TableDef>,
        wal_id: WalId,
    ) -> Result<Option<Committed>, Error> {
        let place = Place::of(store, tenant, table)?;
        let mut this = DeltaTable { place, wal_id: Some(wal_id), deadline: DEADLINE, now: None };
        this.load().await?;
        Ok(this.current())
    }

    /// Whether there is such a table, and it is one of this project's.
    pub async fn is_there(
        store: &Store,
        tenant: &Tenant,
        table: Arc<TableDef>,
    ) -> Result<bool, Error> {
        let place = Place::of(store, tenant, table)?;
        let mut this = DeltaTable { place, wal_id: None, deadline: DEADLINE, now: None };
        match this.load().await {
            Ok(()) => Ok(this.now.is_some_and(|(state, _)| {
                state.metadata.configuration.contains_key(state::SCHEMA_PROPERTY)
            })),
            Err(Error::Table { message, .. }) => {
                tracing::debug!(table = this.place.prefix, message, "is taken for another's");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Changes how long [`commit`](Self::commit) tries.
    pub fn with_deadline(mut self, deadline: Duration) -> DeltaTable {
        self.deadline = deadline;
        self
    }

    /// The table as last seen; `None` if it did not exist.
    pub fn current(&self) -> Option<Committed> {
        self.now.as_ref().map(|(_, committed)| committed.clone())
    }

    /// Looks for these files among those that the table named before it was loaded
    /// and names no more, as far back as its log tells of them: joined, or dropped.
    pub async fn recall(&mut self, files: &[&DataFile]) -> Result<(), Error> {
        let removed = load::removed(&self.place).await?;
        let Some((state, committed)) = &mut self.now else { return Ok(()) };
        for file in files {
            let path = self.place.within(file)?;
            if removed.contains(path) {
                state.removed.insert(path.to_owned());
            }
        }
        *committed = state.committed(&self.place);
        Ok(())
    }

    /// Reads what has been committed since.
    pub async fn refresh(&mut self) -> Result<Option<Committed>, Error> {
        match self.now {
            Some(_) => {
                if !self.advance().await? {
                    self.confirm().await?;
                }
            }
            None => self.load().await?,
        }
        Ok(self.current())
    }

    /// Takes the table as the store has it, from its newest checkpoint on.
    async fn load(&mut self) -> Result<(), Error> {
        let loaded = load::load(&self.place, self.wal_id).await?;
        let known = self.now.as_ref().map(|(state, _)| (state.metadata.id.as_str(), state.version));
        let gone = match (&loaded, known) {
            (Some(new), Some((id, _))) if new.metadata.id != id => "was replaced by another table",
            (Some(new), Some((_, version))) if new.version < version => "lost entries of its log",
            (None, Some(_)) => "lost its log",
            _ => "",
        };
        let version = known.map_or(0, |(_, version)| version);
        if gone.is_empty() {
            self.now = loaded.map(|state| {
                let committed = state.committed(&self.place);
                (state, committed)
            });
            // A list may be behind; asking for the next entry is not (F27).
            self.advance().await?;
            return Ok(());
        }
        Err(self.place.error(
            ErrorKind::Corrupt,
            format!(
                "it {gone} (it was at version {version}); nothing is committed to it any more: \
                 restore it, or restart this node to go on with what is there"
            ),
        ))
    }

    /// Notices that the table's folder was emptied or replaced: an entry once
    /// read goes only when a checkpoint stands in for it (faults.md F31).
    async fn confirm(&mut self) -> Result<(), Error> {
        let Some((state, _)) = &self.now else { return Ok(()) };
        let path = log::entry_path(state.version);
        match object_store::ObjectStoreExt::head(&self.place.objects, &path).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => self.load().await,
            Err(error) => Err(self.place.unreachable("its newest log entry", error)),
        }
    }
}

impl Place {
    pub fn of(store: &Store, tenant: &Tenant, table: Arc<TableDef>) -> Result<Place, Error> {
        let prefix = format!("{tenant}/{}", table.name);
        let path = object_store::path::Path::parse(&prefix)
            .map_err(|error| Error::Settings(format!("{prefix} is no object path: {error}")))?;
        let objects = Arc::new(PrefixStore::new(store.objects(), path));
        Ok(Place { objects, prefix, table })
    }

    /// The path of a file from the table's folder.
    pub fn within<'a>(&self, file: &'a DataFile) -> Result<&'a str, Error> {
        let path = file.path.strip_prefix(&self.prefix).and_then(|path| path.strip_prefix('/'));
        path.ok_or_else(|| Error::Internal(format!("{} is no file of {}", file.path, self.prefix)))
    }

    pub fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::Table { table: self.prefix.clone(), message: message.into(), kind }
    }

    pub fn unreachable(&self, what: &str, source: object_store::Error) -> Error {
        Error::Store { context: format!("table {}: {what} could not be read", self.prefix), source }
    }
}

/// Whether a table is sorted by what it is looked up by: its files tell where the
/// rows of another are.
pub(crate) fn is_index(table: &TableDef) -> bool {
    table.sort.first().is_some_and(|first| table.bloom.contains(first))
}

/// The partition folder of a day.
pub(crate) fn partition(date: i32) -> Result<String, Error> {
    Ok(format!("{}={}", schema::table::PARTITION, day_text(date)?))
}

/// A day as Delta writes a partition value.
pub(crate) fn day_text(date: i32) -> Result<String, Error> {
    chrono::NaiveDate::from_epoch_days(date)
        .map(|day| day.format("%Y-%m-%d").to_string())
        .ok_or_else(|| Error::Internal(format!("day {date} is beyond the calendar")))
}
