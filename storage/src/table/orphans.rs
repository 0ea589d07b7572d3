//! Objects in a table's folder that its log does not name.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path as FsPath;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use schema::{TableDef, Tenant, WalId};

use super::state::{is_joined, origin};
use super::{DeltaTable, Place, load};
use crate::store::{self, Store, tree};
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
    /// On a `file://` store: it has no final name yet, and never will if who began
    /// it is gone.
    Unfinished,
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
    // In this order: what is committed meanwhile is named by a version read after.
    let listed: Result<Vec<ObjectMeta>, _> = place.objects.list(None).try_collect().await;
    let mut listed = listed.map_err(|error| place.unreachable("its folder", error))?;
    listed.retain(|object| {
        let path = object.location.as_ref();
        path.ends_with(".parquet") && !path.starts_with("_delta_log/")
    });
    let current = DeltaTable::open(store, tenant, table.clone(), None).await?.current();
    let files = current.iter().flat_map(|committed| committed.files.iter());
    let named: HashSet<&str> = files.map(|file| file.path.as_str()).collect();
    let path = |object: &ObjectMeta| format!("{}/{}", place.prefix, object.location);
    listed.retain(|object| !named.contains(path(object).as_str()));
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let removed = load::removed(&place).await?;
    let watermark = |log: &WalId| current.as_ref()?.watermarks.get(log).copied();
    let mut orphans = Vec::new();
    for object in listed {
        let name = object.location.as_ref();
        let kind = match origin(name) {
            None => Kind::Foreign,
            Some(_) if is_joined(name) => Kind::Joined,
            Some(origin) => match origin.last > watermark(&origin.wal_id).unwrap_or_default() {
                true => Kind::Staged(origin),
                false if removed.contains(name) => Kind::Spent,
                false => Kind::Doubtful,
            },
        };
        orphans.push(Orphan { path: path(&object), object, kind });
    }
    Ok(orphans)
}

/// What a `file://` store holds below a table's folder and lists to nobody: files
/// that are being written, and what became of those whose writer died.
pub async fn unfinished(
    store: &Store,
    tenant: &Tenant,
    table: &Arc<TableDef>,
) -> Result<Vec<Orphan>, Error> {
    let Some(tree) = store.tree().cloned() else { return Ok(Vec::new()) };
    let prefix = format!("{tenant}/{}", table.name);
    let failed = Error::disk(format!("the folder of {prefix} could not be looked through"));
    let look = move || -> std::io::Result<Vec<Orphan>> {
        let mut found = Vec::new();
        for path in tree.temps(FsPath::new(&prefix))? {
            let seen = match std::fs::metadata(&path) {
                // It has its name now.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                seen => seen?,
            };
            let within = path.strip_prefix(tree.root()).unwrap_or(&path).to_string_lossy();
            let object = ObjectMeta {
                location: Path::from(&*within),
                last_modified: seen.modified()?.into(),
                size: seen.len(),
                e_tag: None,
                version: None,
            };
            found.push(Orphan { path: within.into_owned(), object, kind: Kind::Unfinished });
        }
        Ok(found)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked
        .map_err(|panic| Error::Internal(format!("looking through a folder panicked: {panic}")))?
        .map_err(failed)
}

/// Removes what nobody can want; what is gone already is fine.
pub async fn remove(store: &Store, orphans: &[Orphan]) -> Result<(), Error> {
    let mut paths = Vec::with_capacity(orphans.len());
    for Orphan { path, kind, .. } in orphans {
        match (kind, store.tree()) {
            (Kind::Unfinished, Some(tree)) => tree::remove(&tree.root().join(path))
                .map_err(Error::disk(format!("{path} could not be removed")))?,
            _ => {
                paths.push(Path::parse(path).map_err(|error| {
                    Error::Internal(format!("{path} is no object path: {error}"))
                })?)
            }
        }
    }
    let removed = store::remove(&store.objects(), paths).await;
    removed.map_err(Error::store("files that no version names could not be removed"))
}
