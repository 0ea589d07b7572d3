//! Checkpoints of a table's log, and entries that they stand in for.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use schema::{TableDef, Tenant, Version};
use serde::Deserialize;

use super::{Place, delta};
use crate::store::Store;
use crate::{Error, failpoint};

/// The folder of a table's log.
pub(super) const LOG: &str = "_delta_log";

/// Writes a checkpoint of a version, so that loading the table need not read
/// every entry. Slow (seconds with thousands of files).
pub async fn checkpoint(
    store: &Store,
    tenant: &Tenant,
    table: &Arc<TableDef>,
    version: Version,
) -> Result<(), Error> {
    let place = Place::of(store, tenant, table.clone())?;
    failpoint::hit("checkpoint_before");
    delta::checkpoint(&place, version.0).await?;
    failpoint::hit("checkpoint_after");
    Ok(())
}

/// The version that `_last_checkpoint` points at.
pub async fn newest_checkpoint(
    store: &Store,
    tenant: &Tenant,
    table: &Arc<TableDef>,
) -> Result<Option<u64>, Error> {
    hint(&Place::of(store, tenant, table.clone())?).await
}

/// The same of a place.
pub(super) async fn hint(place: &Place) -> Result<Option<u64>, Error> {
    #[derive(Deserialize)]
    struct Hint {
        version: u64,
    }
    let what = "its last checkpoint";
    let path = Path::from_iter([LOG, "_last_checkpoint"]);
    let bytes = match place.objects.get(&path).await {
        Ok(found) => found.bytes().await.map_err(|error| place.unreachable(what, error))?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(place.unreachable(what, error)),
    };
    match serde_json::from_slice::<Hint>(&bytes) {
        Ok(hint) => Ok(Some(hint.version)),
        Err(error) => {
            // A hint: without it the log is listed. The next checkpoint replaces it.
            tracing::warn!(table = place.prefix, %error, "_last_checkpoint is broken");
            Ok(None)
        }
    }
}

/// Removes entries and checkpoints that a checkpoint older than `keep` stands
/// in for, by the store's own times alone. Says how many went. Every version
/// from that checkpoint on can still be read, and the newest one always.
pub async fn clean_log(
    store: &Store,
    tenant: &Tenant,
    table: &Arc<TableDef>,
    keep: Duration,
) -> Result<usize, Error> {
    let place = Place::of(store, tenant, table.clone())?;
    let listed = place.objects.list(Some(&Path::from(LOG))).try_collect().await;
    let listed: Vec<ObjectMeta> = listed.map_err(|error| place.unreachable("its log", error))?;
    let Some(newest) = listed.iter().map(|object| object.last_modified).max() else {
        return Ok(0);
    };
    let keep = chrono::TimeDelta::from_std(keep).unwrap_or(chrono::TimeDelta::MAX);
    let Some(limit) = newest.checked_sub_signed(keep) else { return Ok(0) };
    let checkpoints = listed.iter().filter(|o| o.last_modified <= limit);
    let Some(floor) = checkpoints.filter_map(checkpoint_version).max() else {
        return Ok(0);
    };
    let mut removed = 0;
    // Oldest first: what a crash leaves is a log that begins later.
    let mut needless: Vec<(u64, &Path)> = listed
        .iter()
        .filter_map(|object| Some((version_of(object)?, &object.location)))
        .filter(|(version, _)| *version < floor)
        .collect();
    needless.sort();
    for (_, path) in needless {
        failpoint::hit("clean_log");
        match place.objects.delete(path).await {
            Ok(()) => removed += 1,
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(place.unreachable("an old log entry", error)),
        }
    }
    Ok(removed)
}

/// The version in the name of an entry or a checkpoint.
fn version_of(object: &ObjectMeta) -> Option<u64> {
    let name = object.location.filename()?;
    let (version, rest) = name.split_once('.')?;
    let ours = rest == "json" || rest.starts_with("checkpoint.") || rest == "crc";
    (ours && version.len() == 20).then(|| version.parse().ok()).flatten()
}

/// Only whole checkpoints in one file: what the library writes.
fn checkpoint_version(object: &ObjectMeta) -> Option<u64> {
    let whole = object.location.filename()?.ends_with(".checkpoint.parquet");
    if whole { version_of(object) } else { None }
}
