//! Every live table of the node.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use schema::{Catalog, Position, TableDef, Tenant};

use super::Live;
use crate::Snapshot;
use crate::progress::Progress;
use crate::stage::Staged;

#[derive(Debug)]
pub struct LiveSet {
    catalog: Arc<Catalog>,
    tables: RwLock<HashMap<(Tenant, &'static str), Arc<Live>>>,
}

impl LiveSet {
    /// The tables of the default tenant, of every tenant that has committed from
    /// here, and of those that `staged` names, with their staged ranges in
    /// position order.
    pub fn new(catalog: Arc<Catalog>, staged: Vec<Staged>, progress: &Progress) -> LiveSet {
        let mut ranges: HashMap<(Tenant, &'static str), Vec<Arc<Staged>>> = HashMap::new();
        let known = progress.persisted().into_iter().map(|(tenant, ..)| tenant);
        let tenants: BTreeSet<Tenant> = known.chain([Tenant::default()]).collect();
        for table in catalog.appended() {
            ranges.extend(tenants.iter().map(|t| ((t.clone(), table.name), Vec::new())));
        }
        for one in staged {
            match catalog.get(&one.table) {
                Some(table) => {
                    ranges.entry((one.tenant.clone(), table.name)).or_default().push(Arc::new(one));
                }
                None => tracing::error!(
                    table = one.table,
                    manifest = %one.manifest.display(),
                    "a staged range names a table that this version does not know; it is left as it is"
                ),
            }
        }
        let tables = ranges.into_iter().filter_map(|((tenant, name), mut staged)| {
            staged.sort_by_key(|staged| staged.first);
            let table = catalog.get(name)?.clone();
            let persisted = progress.watermark(&tenant, name);
            let live = Live::new(tenant.clone(), table, staged, persisted);
            Some(((tenant, name), Arc::new(live)))
        });
        let tables = RwLock::new(tables.collect());
        LiveSet { catalog, tables }
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The live table that rows of `table` go to; `true` if it is new.
    pub fn enter(&self, tenant: &Tenant, table: &Arc<TableDef>) -> (Arc<Live>, bool) {
        let key = (tenant.clone(), table.name);
        if let Some(live) = self.tables.read().get(&key) {
            return (live.clone(), false);
        }
        let mut tables = self.tables.write();
        let new = !tables.contains_key(&key);
        let fresh = || Live::new(tenant.clone(), table.clone(), Vec::new(), Position::ZERO);
        let live = tables.entry(key).or_insert_with(|| Arc::new(fresh()));
        (live.clone(), new)
    }

    pub fn get(&self, tenant: &Tenant, table: &'static str) -> Option<Arc<Live>> {
        self.tables.read().get(&(tenant.clone(), table)).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Live>> {
        let mut all: Vec<Arc<Live>> = self.tables.read().values().cloned().collect();
        all.sort_by(|a, b| (&a.tenant, a.table.name).cmp(&(&b.tenant, b.table.name)));
        all
    }

    /// Everybody who has a table here.
    pub fn tenants(&self) -> BTreeSet<Tenant> {
        self.tables.read().keys().map(|(tenant, _)| tenant.clone()).collect()
    }

    /// A snapshot of a table, derived ones included.
    pub fn snapshot(&self, tenant: &Tenant, name: &str) -> Option<Snapshot> {
        let tables = self.tables.read();
        let mine = tables.iter().filter(|((owner, _), _)| owner == tenant).map(|(_, live)| live);
        for live in mine {
            if live.table.name == name {
                return Some(live.snapshot(0));
            }
            if live.table.derived.as_ref().is_some_and(|derived| derived.table.name == name) {
                return Some(live.snapshot(1));
            }
        }
        None
    }

    /// Up to where no table needs the log any more (D3), given the last record
    /// that has reached its table.
    pub fn forgettable(&self, pushed: Position) -> Position {
        let firsts = self.all().into_iter().filter_map(|live| live.first_unstaged());
        firsts.min().map_or(pushed, |first| Position(first.0 - 1).min(pushed))
    }
}
