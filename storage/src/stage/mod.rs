//! The outbox: sealed rows as durable Parquet that waits for its commit.
//!
//! Between seal and commit. Once a range is staged the log may forget it
//! (**D3**), and recovery replays only what lies above it (**D4**). A file's
//! name is made of log id, start count and positions, so it never has two
//! contents (**C4**).
//!
//! A range exists if and only if its manifest says `staged`. The manifest is
//! first written as a *plan* that names every file to come, then the files,
//! then the manifest replaces the plan in one rename; so what a crash leaves
//! behind is known by name and removed at the next start.
//!
//! ```text
//! {stage.dir}/_manifests/{log}-{start}-{first}-{last}.json
//! {stage.dir}/{tenant}/{table}/date=…/{log}-{start}-{first}-{last}.parquet   (remote stores)
//! {store}/{tenant}/{table}/date=…/{log}-{start}-{first}-{last}.parquet       (file:// stores)
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | [`manifest`] | the JSON of a range, its plan, and how both are read back |
//! | [`write`] | seal → derived tables → days → Parquet → manifest |
//! | [`rebrand`] | ranges under a renewed log's id |
//! | [`recover`] | what a start finds: ranges, plans, leftovers, foreign ones |
//! | [`upload`] | staged files to a remote store, under their final names |
//!
//! Deliberately not here: when to seal or pause (the pipeline), and what is
//! committed already (the table's watermark tells).

pub mod manifest;
mod rebrand;
mod recover;
pub mod upload;
mod write;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use parking_lot::Mutex;
use schema::usage::Shares;
use schema::{Catalog, Door, Meter, Position, Rows, TableDef, Tenant, WalId};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::store::Store;
use crate::store::local::DurableLocal;
use crate::store::tree::{self, Tree};
use crate::table::Committed;
use crate::{DataFile, Error, Place, StageSettings};

pub use rebrand::{rebrand, rest};
pub use upload::upload;

/// How long a committed file's local copy outlives its release: longer than a
/// query that pinned it may run (S3).
const GRACE: Duration = Duration::from_secs(600);

/// Files on their way to the store at once, of all tables: each is at most
/// 16 MiB in memory.
const UPLOADS: usize = 2;

/// Rows of one table that left the hot buffer and are not staged yet.
#[derive(Debug)]
pub struct Sealed {
    pub tenant: Tenant,
    pub table: Arc<TableDef>,
    pub first: Position,
    pub last: Position,
    /// Rows per door, for the ledger (L1).
    pub counts: Vec<(Door, u64)>,
    pub rows: Vec<Rows>,
    /// When the oldest of them was received.
    pub received_unix_nano: i64,
}

/// A range that is durable as Parquet.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    pub tenant: Tenant,
    /// The table whose rows were sealed; [`outputs`](Self::outputs) also has
    /// what was derived from them.
    pub table: String,
    pub first: Position,
    pub last: Position,
    pub counts: Vec<(Door, u64)>,
    pub received_unix_nano: i64,
    /// The own table, then the derived one. A derived table without rows has
    /// no files, and is still committed for its watermark.
    pub outputs: Vec<Output>,
    pub manifest: PathBuf,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Staged {
    /// Whether a table has, or had, what this range has for it. One file tells of
    /// all: they are committed by one entry (C1).
    pub fn is_in(&self, table: &str, committed: &Committed) -> bool {
        let mut files = self.files(table);
        files.len() == 0 || files.any(|file| committed.has_had(&file.path))
    }

    /// The files for one table.
    pub fn files(&self, table: &str) -> std::slice::Iter<'_, DataFile> {
        let output = self.outputs.iter().find(|output| output.table == table);
        output.map_or([].iter(), |output| output.files.iter())
    }
}

/// The files of a range that go to one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub table: String,
    pub files: Vec<DataFile>,
}

/// The staging folder of one log.
#[derive(Debug)]
pub struct Stage {
    own: Arc<DurableLocal>,
    /// Where Parquet is written: the store's own folder, or the stage's.
    files: Arc<Tree>,
    place: Place,
    wal_id: WalId,
    /// How often this log's node has started; part of every file name.
    boot: u64,
    /// Told of what was written.
    meter: Meter,
    /// Bytes of each range that is not released, by manifest.
    held: Mutex<HashMap<PathBuf, u64>>,
    /// Local copies to remove, and from when on.
    doomed: Mutex<Vec<(Instant, PathBuf)>>,
    uploads: Semaphore,
}

impl Stage {
    /// Opens the folder from local disk alone: reads the manifests and removes
    /// what a crash left of this log. Fails when the folder holds ranges of
    /// another log, or ranges whose files are elsewhere or gone.
    pub fn open(
        settings: &StageSettings,
        store: &Store,
        wal_id: WalId,
        boot: u64,
        catalog: &Catalog,
    ) -> Result<(Stage, Vec<Staged>), Error> {
        let own = Arc::new(DurableLocal::open(&settings.dir)?);
        let context = || format!("the manifests in {} have no folder", settings.dir.display());
        own.tree().folder(manifest::FOLDER).map_err(Error::disk(context()))?;
        let (files, place) = match store.tree() {
            Some(tree) => (tree.clone(), Place::Store),
            None => (own.tree().clone(), Place::Stage),
        };
        let (meter, held, doomed) = Default::default();
        let uploads = Semaphore::new(UPLOADS);
        let stage = Stage { own, files, place, wal_id, boot, meter, held, doomed, uploads };
        let staged = stage.recover(catalog)?;
        Ok((stage, staged))
    }

    /// Tells `meter` of what is written from now on.
    pub fn with_meter(self, meter: Meter) -> Stage {
        Stage { meter, ..self }
    }

    /// Makes a sealed range durable, with what is derived from it: all of it,
    /// or an error and nothing left behind. Blocks on CPU and disk.
    pub fn write(&self, sealed: &Sealed) -> Result<Staged, Error> {
        self.sweep();
        let staged = self.encode(sealed)?;
        self.hold(&staged);
        if let Some(signal) = sealed.table.signal {
            let shares = Shares::of(&sealed.rows);
            self.meter.stored(&sealed.tenant, signal, &shares, staged.bytes);
        }
        Ok(staged)
    }

    /// Forgets a range that every output has committed. Doing so twice is fine.
    pub fn release(&self, staged: &Staged) -> Result<(), Error> {
        let context = || format!("manifest {} could not be removed", staged.manifest.display());
        tree::remove(&staged.manifest).map_err(Error::disk(context()))?;
        self.held.lock().remove(&staged.manifest);
        let when = Instant::now() + GRACE;
        let files = staged.outputs.iter().flat_map(|output| &output.files);
        let local = files.filter(|file| file.place == Place::Stage);
        let root = self.own.tree().root();
        self.doomed.lock().extend(local.map(|file| (when, root.join(&file.path))));
        self.sweep();
        Ok(())
    }

    /// The local files of a range that are on their way to a remote store, and
    /// the objects they are copies of. They stay for a while after the release.
    pub fn copies<'a>(
        &'a self,
        staged: &'a Staged,
    ) -> impl Iterator<Item = (PathBuf, String)> + 'a {
        let files = staged.outputs.iter().flat_map(|output| &output.files);
        let local = files.filter(|file| file.place == Place::Stage);
        local.map(|file| (self.own.tree().root().join(&file.path), file.path.clone()))
    }

    /// How often this log's node has started.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Bytes staged and not released.
    pub fn bytes(&self) -> u64 {
        self.held.lock().values().sum()
    }

    /// Where [`Place::Stage`] paths are read.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        self.own.clone()
    }

    fn hold(&self, staged: &Staged) {
        self.held.lock().insert(staged.manifest.clone(), staged.bytes);
    }

    /// Removes local copies whose grace is over. What is missed here, the next
    /// start removes.
    fn sweep(&self) {
        let now = Instant::now();
        let due: Vec<PathBuf> = {
            let mut doomed = self.doomed.lock();
            doomed.extract_if(.., |(when, _)| *when <= now).map(|(_, path)| path).collect()
        };
        for path in due {
            if let Err(error) = tree::remove(&path) {
                tracing::warn!(path = %path.display(), %error, "a local copy stays until the next start");
            }
        }
    }
}
