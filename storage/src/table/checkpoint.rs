//! Checkpoints of a table's log, and entries that they stand in for.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use schema::{TableDef, Tenant, Version};
use serde::Deserialize;
use serde_json::json;

use super::actions::Actions;
use super::load::{self, Followed};
use super::{Place, delta, log};
use crate::store::{Store, told};
use crate::{Error, failpoint};

/// The folder of a table's log.
pub(super) const LOG: &str = "_delta_log";

/// Writes a checkpoint of a version, so that loading the table need not read
/// every entry; nothing when there is one of a later version.
pub async fn checkpoint(
    store: &Store,
    tenant: &Tenant,
    table: &Arc<TableDef>,
    version: Version,
) -> Result<(), Error> {
    let place = Place::of(store, tenant, table.clone())?;
    failpoint::hit("checkpoint_before");
    match load::actions(&place, version.0).await? {
        Followed::Nothing => {}
        Followed::Whole(actions) if actions.protocol.is_written_here() => {
            write(&place, version.0, actions).await?;
        }
        // It has actions, or fields of them, that are not known here.
        Followed::Whole(_) | Followed::Foreign => delta::checkpoint(&place, version.0).await?,
    }
    failpoint::hit("checkpoint_after");
    Ok(())
}

/// Puts the checkpoint, and then points at it.
async fn write(place: &Place, version: u64, mut actions: Actions) -> Result<(), Error> {
    // By the store's clock, as entries have their times.
    let entry = place.objects.head(&log::entry_path(version)).await;
    let entry = entry.map_err(|error| place.unreachable("an entry", error))?;
    actions.forget(entry.last_modified.timestamp_millis());
    let made = tokio::task::spawn_blocking(move || actions.encode()).await;
    let made = made
        .map_err(|panic| panic.to_string())
        .and_then(|made| made.map_err(|error| told(&error)))
        .map_err(|why| Error::Internal(format!("a checkpoint of {}: {why}", place.prefix)))?;
    let size = made.bytes.len() as u64;
    let path = checkpoint_path(version);
    let unwritten = |source| Error::Store {
        context: format!("table {}: its checkpoint could not be written", place.prefix),
        source,
    };
    place.objects.put(&path, made.bytes.into()).await.map_err(unwritten)?;
    // Entries are removed because it is there (F26).
    let there = place.objects.head(&path).await.map_err(unwritten)?.size;
    if there != size {
        let source = format!("of {size} bytes {there} are there").into();
        return Err(unwritten(object_store::Error::Generic { store: "table", source }));
    }
    let hint = json!({
        "version": version,
        "size": made.actions,
        "sizeInBytes": size,
        "numOfAddFiles": made.adds,
    });
    place.objects.put(&hint_path(), hint.to_string().into()).await.map_err(unwritten)?;
    Ok(())
}

/// Where the checkpoint of a version lies, from the table's folder.
pub(super) fn checkpoint_path(version: u64) -> Path {
    Path::from_iter([LOG.to_owned(), format!("{version:020}.checkpoint.parquet")])
}

/// Where its version is noted.
fn hint_path() -> Path {
    Path::from_iter([LOG, "_last_checkpoint"])
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
    let bytes = match place.objects.get(&hint_path()).await {
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

/// Only whole checkpoints in one file.
fn checkpoint_version(object: &ObjectMeta) -> Option<u64> {
    let whole = object.location.filename()?.ends_with(".checkpoint.parquet");
    if whole { version_of(object) } else { None }
}
