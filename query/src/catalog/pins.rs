//! Snapshots, each taken once per statement (S2).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use schema::{ErrorKind, TableDef, Tenant};
use storage::{Snapshot, Source};

use crate::Error;
use crate::engine::Stats;
use crate::sandbox::stores::Stores;

pub(crate) struct Pins {
    source: Arc<dyn Source>,
    pub stores: Arc<Stores>,
    tenant: Tenant,
    pub stats: Stats,
    /// Bytes of hot rows that may be pinned (B1).
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    snapshots: HashMap<String, Arc<Snapshot>>,
    hot_bytes: usize,
}

impl Pins {
    pub fn new(
        source: Arc<dyn Source>,
        stores: Arc<Stores>,
        tenant: Tenant,
        stats: Stats,
        limit: usize,
    ) -> Pins {
        Pins { source, stores, tenant, stats, limit, taken: Mutex::default() }
    }

    pub fn def(&self, table: &str) -> Option<Arc<TableDef>> {
        self.source.catalog().get(table).cloned()
    }

    /// The table of revisions whose latest are known by this name.
    pub fn revised(&self, view: &str) -> Option<Arc<TableDef>> {
        self.source.catalog().revised(view).cloned()
    }

    pub fn defs(&self) -> Vec<Arc<TableDef>> {
        self.source.catalog().tables().to_vec()
    }

    /// The statement's one snapshot of a table; `None` for an unknown table.
    pub fn pin(&self, table: &str) -> Result<Option<Arc<Snapshot>>, Error> {
        let mut taken = self.taken.lock();
        if let Some(snapshot) = taken.snapshots.get(table) {
            return Ok(Some(snapshot.clone()));
        }
        let Some(snapshot) = self.source.snapshot(&self.tenant, table) else { return Ok(None) };
        let bytes: u64 = snapshot.hot.iter().map(|hot| hot.rows.bytes()).sum();
        taken.hot_bytes += bytes as usize;
        if taken.hot_bytes > self.limit {
            return Err(Error::new(
                ErrorKind::Throttled,
                format!(
                    "the statement would pin {} bytes of rows that are not staged yet",
                    taken.hot_bytes
                ),
            )
            .with_hint("ask fewer tables at once, or again after the next flush"));
        }
        self.stats.saw(&snapshot);
        let snapshot = Arc::new(snapshot);
        taken.snapshots.insert(table.to_owned(), snapshot.clone());
        Ok(Some(snapshot))
    }

    /// What a table consists of, for a statement that reads no row of it: the
    /// rows in memory are let go with what is returned, and need no room.
    pub fn look(&self, table: &str) -> Option<Arc<Snapshot>> {
        if let Some(snapshot) = self.taken.lock().snapshots.get(table) {
            return Some(snapshot.clone());
        }
        let snapshot = self.source.snapshot(&self.tenant, table)?;
        self.stats.saw(&snapshot);
        Some(Arc::new(snapshot))
    }
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pins").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
