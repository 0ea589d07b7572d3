//! The door to `deltalake`: writing a table's checkpoints, and reading those that
//! another tool wrote in parts.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use deltalake_core::kernel::LogicalFileView;
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableError, checkpoints};
use futures::TryStreamExt;
use schema::table::PARTITION;
use schema::{ErrorKind, Position, WalId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Place;
use super::state::{Listed, State, file};
use crate::Error;
use crate::store::Outcome;
use crate::store::outcome::outcome_in_words;
use crate::store::words::shortened;

/// The table's folder as the library sees it: the root of a store of its own,
/// so that no path of ours has to survive a URL.
const ROOT: &str = "memory:///";

/// The newest version, or `None` when there is no table.
pub async fn load(place: &Place, wal_id: Option<WalId>) -> Result<Option<State>, Error> {
    let log = log_store(place)?;
    let loaded = match DeltaTableState::try_new(log.as_ref(), None).await {
        Ok(loaded) => loaded,
        Err(DeltaTableError::NotATable(_)) => return Ok(None),
        Err(error) => return Err(failed(place, "could not be loaded", error)),
    };
    let mut state = State {
        version: loaded.version(),
        protocol: convert(place, loaded.protocol())?,
        metadata: convert(place, loaded.metadata())?,
        ..State::empty()
    };
    state.check_readable(place)?;
    for view in loaded.log_data().iter() {
        let (path, listed) = listed(place, &view)?;
        state.files.insert(path, listed);
    }
    // The library tells it of one log at a time.
    let mut logs: BTreeSet<WalId> = wal_id.into_iter().collect();
    logs.extend(state.files.values().filter_map(|file| Some(file.origin?.wal_id)));
    for id in logs {
        let version = loaded.transaction_version(log.as_ref(), id).await;
        let version = version.map_err(|e| failed(place, "did not tell its watermarks", e))?;
        if let Some(version) = version.and_then(|version| u64::try_from(version).ok()) {
            state.watermarks.insert(id, Position(version));
        }
    }
    let own = wal_id.and_then(|id| state.watermarks.get(&id));
    state.watermark = own.copied().unwrap_or_default();
    Ok(Some(state))
}

/// Files that the table named and then removed, as far as its log still tells:
/// paths within the table, decoded.
pub async fn removed(place: &Place) -> Result<HashSet<String>, Error> {
    let log = log_store(place)?;
    let loaded = match DeltaTableState::try_new(log.as_ref(), None).await {
        Ok(loaded) => loaded,
        Err(DeltaTableError::NotATable(_)) => return Ok(HashSet::new()),
        Err(error) => return Err(failed(place, "could not be loaded", error)),
    };
    let removes = loaded.all_tombstones(log.as_ref());
    let paths = removes.map_ok(|remove| remove.path().into_owned()).try_collect().await;
    paths.map_err(|error| failed(place, "did not tell what was removed from it", error))
}

/// Writes the checkpoint of a version, and points `_last_checkpoint` at it.
pub async fn checkpoint(place: &Place, version: u64) -> Result<(), Error> {
    let mut table = DeltaTable::new(log_store(place)?);
    let place = place.clone();
    // The library blocks inside: not on a worker of the I/O runtime.
    let runtime = tokio::runtime::Handle::current();
    let written = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            table.load_version(version).await?;
            checkpoints::create_checkpoint(&table, None).await
        })
    });
    match written.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(&place, "could not be checkpointed", error)),
        Err(panic) => {
            Err(Error::Internal(format!("a checkpoint of {} died: {panic}", place.prefix)))
        }
    }
}

fn log_store(place: &Place) -> Result<LogStoreRef, Error> {
    let root = Url::parse(ROOT).map_err(|error| Error::Internal(format!("{ROOT}: {error}")))?;
    let objects = place.objects.clone();
    Ok(default_logstore(objects.clone(), objects, &root, &StorageConfig::default()))
}

fn listed(place: &Place, view: &LogicalFileView) -> Result<(String, Arc<crate::DataFile>), Error> {
    let (path, stats, partition) = (view.path(), view.stats(), view.partition_values_map());
    let listed = Listed {
        path: &path,
        size: u64::try_from(view.size()).unwrap_or(0),
        stats: stats.as_deref(),
        date: partition.get(PARTITION).and_then(Option::as_deref),
        has_deletions: view.deletion_vector_descriptor().is_some(),
    };
    let file = file(place, listed)?;
    Ok((path.into_owned(), Arc::new(file)))
}

/// The library's models and ours are the same JSON.
fn convert<T: DeserializeOwned>(place: &Place, theirs: &impl Serialize) -> Result<T, Error> {
    serde_json::to_value(theirs).and_then(serde_json::from_value).map_err(|error| {
        place.error(ErrorKind::Corrupt, format!("its metadata is broken: {error}"))
    })
}

fn failed(place: &Place, what: &str, error: DeltaTableError) -> Error {
    match error {
        DeltaTableError::ObjectStore { source } => {
            Error::Store { context: format!("table {} {what}", place.prefix), source }
        }
        // The library does not say whether the store or the log is at fault;
        // trying again is right for one and harmless for the other. A refusal
        // of the store is known by the store's words.
        other => {
            let words = other.to_string();
            let (kind, remedy) = match outcome_in_words(&words) {
                refused @ Outcome::Refused(_) => (refused.kind(), refused.remedy()),
                _ => (ErrorKind::Unavailable, ""),
            };
            place.error(kind, format!("it {what}{remedy}: {}", shortened(&words)))
        }
    }
}
