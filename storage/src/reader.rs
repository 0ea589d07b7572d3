//! A store read without a node: committed rows only.

use std::collections::HashMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use schema::{Catalog, Tenant};

use crate::store::Store;
use crate::table::{Committed, DeltaTable};
use crate::{Error, LedgerRow, SegmentInfo, Snapshot, Source};

/// Every table of one tenant, at the version it had when this was opened (S2).
pub struct Reader {
    store: Store,
    catalog: Arc<Catalog>,
    tenant: Tenant,
    tables: HashMap<&'static str, Committed>,
}

impl Reader {
    pub async fn open(
        store: Store,
        catalog: Arc<Catalog>,
        tenant: Tenant,
    ) -> Result<Reader, Error> {
        let mut tables = HashMap::new();
        for table in catalog.tables() {
            let delta = DeltaTable::open(&store, &tenant, table.clone(), None).await?;
            if let Some(committed) = delta.current() {
                tables.insert(table.name, committed);
            }
        }
        Ok(Reader { store, catalog, tenant, tables })
    }
}

impl Source for Reader {
    fn snapshot(&self, tenant: &Tenant, table: &str) -> Option<Snapshot> {
        if *tenant != self.tenant {
            return None;
        }
        let table = self.catalog.get(table)?.clone();
        let committed = self.tables.get(table.name);
        Some(Snapshot {
            tenant: tenant.clone(),
            version: committed.map(|committed| committed.version),
            incomplete: None,
            committed: committed.map_or_else(Default::default, |committed| committed.files.clone()),
            watermarks: committed.map_or_else(Default::default, |c| c.watermarks.clone()),
            staged: Default::default(),
            hot: Default::default(),
            table,
        })
    }

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.objects()
    }

    /// Nothing is staged on a store.
    fn stage(&self) -> Arc<dyn ObjectStore> {
        Arc::new(InMemory::new())
    }

    fn ledger(&self) -> Vec<LedgerRow> {
        Vec::new()
    }

    fn wal_segments(&self) -> Vec<SegmentInfo> {
        Vec::new()
    }
}
