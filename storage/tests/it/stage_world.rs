//! A store, a stage and sealed rows, for the tests that need them together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schema::{Catalog, Door, Position, TableDef, Tenant, WalId};
use storage::stage::{Sealed, Stage, Staged, upload};
use storage::store::Store;
use storage::table::{Committed, DeltaTable};
use storage::{DataFile, Error, Place, StageSettings};
use tempfile::TempDir;

use crate::encode_rows::{rows, shared};

pub const LOG: WalId = WalId(0xfeed);

pub struct World {
    pub dir: TempDir,
    pub store: Store,
    pub catalog: Catalog,
    pub boot: u64,
}

impl World {
    /// On a folder, or in memory with a stage on disk.
    pub fn new(local: bool) -> World {
        let dir = tempfile::tempdir().unwrap();
        let url = match local {
            true => format!("file://{}/store", dir.path().display()),
            false => "memory://".into(),
        };
        let store = Store::open(&url, &BTreeMap::new()).unwrap();
        World { dir, store, catalog: Catalog::default(), boot: 1 }
    }

    pub fn stage_dir(&self) -> PathBuf {
        self.dir.path().join("stage")
    }

    pub fn open(&self, log: WalId) -> Result<(Stage, Vec<Staged>), Error> {
        let settings = StageSettings { dir: self.stage_dir(), max_bytes: u64::MAX };
        Stage::open(&settings, &self.store, log, self.boot, &self.catalog)
    }

    pub fn stage(&self) -> Stage {
        self.open(LOG).unwrap().0
    }

    pub fn table(&self, name: &str) -> Arc<TableDef> {
        self.catalog.get(name).unwrap().clone()
    }

    pub fn sealed(&self, table: &str, first: u64, last: u64) -> Sealed {
        let table = self.table(table);
        Sealed {
            tenant: Tenant::default(),
            first: Position(first),
            last: Position(last),
            counts: vec![(Door::OtlpGrpc, 40), (Door::OtlpHttp, 20)],
            rows: shared(&table, &[rows(&table, 40, 2, first), rows(&table, 20, 2, last + 1000)]),
            received_unix_nano: 1,
            table,
        }
    }

    /// Stages a range and uploads it; gives the own table's files as committed.
    pub async fn staged(&self, stage: &Stage, table: &str, first: u64, last: u64) -> Vec<DataFile> {
        let staged = stage.write(&self.sealed(table, first, last)).unwrap();
        upload(stage, &self.store, &staged).await.unwrap();
        let files = staged.outputs[0].files.iter().cloned();
        files.map(|file| DataFile { place: Place::Store, ..file }).collect()
    }

    pub async fn delta(&self, table: &str, log: Option<WalId>) -> DeltaTable {
        DeltaTable::open(&self.store, &Tenant::default(), self.table(table), log).await.unwrap()
    }
}

pub fn row_count(committed: &Committed) -> u64 {
    committed.files.iter().map(|file| file.rows).sum()
}

/// Every Parquet file under a folder, by path within it.
pub fn parquet_files(root: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().contains(".parquet") {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
