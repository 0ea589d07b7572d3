//! Objects in a table's folder that its log does not name.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore};
use schema::{TableDef, Tenant, WalId};

use super::state::{is_joined, origin};
use super::{DeltaTable, Place, delta};
use crate::store::Store;
use crate::{Error, Origin};

/// What an object is that no current version names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its range lies above its log's watermark: staged or uploaded, and a node
    /// that is up, or will be, commits it yet. Never to be removed.
    Staged(Origin),
    /// It was committed, and then replaced or dropped: an entry says so.
    Spent,
    /// Its range is at or below its log's watermark, and no entry is known to have
    /// named it: an old one was forgotten, an interrupted staging left it, or
    /// another copy of its log has committed other rows in its place (F42). Then
    /// it is all there is of acked rows: never to be removed.
    Doubtful,
    /// Written by a join that is not committed, or was and is replaced.
    Joined,
    /// Not of our making.
    Foreign,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Orphan {
    /// Path from the root of the store.
    pub path: String,
    pub object: ObjectMeta,
    pub kind: Kind,
}

/// Every Parquet file in the table's folder that its log does not name.
pub async fn orphans(
    store: &Store,
    tenant: &Tenant,
    table: &Arc<TableDef>,
) -> Result<Vec<Orphan>, Error> {
    let place = Place::of(store, tenant, table.clone())?;
    // In this order: what is committed meanwhile is above a watermark read
    // before, or named by a version read after.
    let listed: Result<Vec<ObjectMeta>, _> = place.objects.list(None).try_collect().await;
    let mut listed = listed.map_err(|error| place.unreachable("its folder", error))?;
    listed.retain(|object| {
        let path = object.location.as_ref();
        path.ends_with(".parquet") && !path.starts_with("_delta_log/")
    });
    let logs = listed.iter().filter_map(|object| origin(object.location.as_ref()));
    let logs: BTreeSet<WalId> = logs.map(|origin| origin.wal_id).collect();
    let logs: Vec<WalId> = logs.into_iter().collect();
    let watermarks = delta::watermarks(&place, &logs).await?;
    let current = DeltaTable::open(store, tenant, table.clone(), None).await?.current();
    let files = current.iter().flat_map(|committed| committed.files.iter());
    let named: HashSet<&str> = files.map(|file| file.path.as_str()).collect();
    let path = |object: &ObjectMeta| format!("{}/{}", place.prefix, object.location);
    listed.retain(|object| !named.contains(path(object).as_str()));
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let removed = delta::removed(&place).await?;
    let mut orphans = Vec::new();
    for object in listed {
        let name = object.location.as_ref();
        let kind = match origin(name) {
            None => Kind::Foreign,
            Some(_) if is_joined(name) => Kind::Joined,
            Some(origin) => {
                let watermark = watermarks.get(&origin.wal_id).copied().unwrap_or_default();
                match origin.last > watermark {
                    true => Kind::Staged(origin),
                    false if removed.contains(name) => Kind::Spent,
                    false => Kind::Doubtful,
                }
            }
        };
        orphans.push(Orphan { path: path(&object), object, kind });
    }
    Ok(orphans)
}
