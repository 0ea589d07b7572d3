//! Whose tables there are on the store: its holder of the lease does the upkeep
//! of all, also of tenants that only other nodes have rows of.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use schema::{Catalog, TableDef, Tenant};

use crate::Error;
use crate::store::Store;

/// Every tenant's folder that has a table's folder in it. What is derived comes
/// with its base.
pub async fn tables(
    store: &Store,
    catalog: &Catalog,
) -> Result<Vec<(Tenant, Arc<TableDef>)>, Error> {
    let objects = store.objects();
    let mut found = Vec::new();
    for folder in below(objects.as_ref(), None).await? {
        // Folders of our own begin with an underscore, and are no tenants.
        let Some(tenant) = folder.filename().and_then(|name| Tenant::new(name).ok()) else {
            continue;
        };
        let names = below(objects.as_ref(), Some(&folder)).await?;
        let known = |table: &&Arc<TableDef>| names.iter().any(|n| n.filename() == Some(table.name));
        found.extend(catalog.appended().filter(known).map(|table| (tenant.clone(), table.clone())));
    }
    Ok(found)
}

async fn below(objects: &dyn ObjectStore, folder: Option<&Path>) -> Result<Vec<Path>, Error> {
    let listed = objects.list_with_delimiter(folder).await;
    let listed = listed.map_err(Error::store("the store's tenants could not be listed"))?;
    Ok(listed.common_prefixes)
}
