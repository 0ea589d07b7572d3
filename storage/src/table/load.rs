//! Loading a table: its newest checkpoint and the entries since, by one listing
//! that begins at the checkpoint and one reading of each. The checkpoint that
//! `_last_checkpoint` names is read while the log is listed: a folder of ten
//! thousand entries is not listed sooner.
//!
//! A checkpoint's rows are the actions of entries in columns, so both come as
//! lines. Only those columns are read that are asked for: what was removed in a
//! week is most of a checkpoint, and the state of a table needs none of it.
//!
//! Checkpoints in other forms than one whole file (parts, sidecars, no row
//! counts) are left to the library.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt};
use schema::{ErrorKind, WalId};

use super::actions::Actions;
use super::checkpoint::{self, LOG, checkpoint_path};
use super::log::{self, Line};
use super::rows::of_checkpoint;
use super::state::{State, decode};
use super::{Place, delta};
use crate::Error;

/// Entries that are read at once.
const AT_ONCE: usize = 16;
/// How often a log is read that another node cleans meanwhile.
const ATTEMPTS: usize = 3;

/// What a state is made of.
pub const STATE: &[&str] = &[
    "protocol",
    "metaData",
    "txn",
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.modificationTime",
    "add.dataChange",
    "add.stats",
    "add.deletionVector",
];
/// What a checkpoint holds.
const ACTIONS: &[&str] = &["protocol", "metaData", "txn", "add", "remove"];
/// What tells of files that are named no more.
const REMOVED: &[&str] = &["remove.path"];
/// The newest version, or `None` when there is no table.
pub async fn load(place: &Place, wal_id: Option<WalId>) -> Result<Option<State>, Error> {
    let take = |state: &mut State, version, lines| state.apply(place, wal_id, version, lines);
    match follow(place, STATE, None, State::empty, take).await? {
        Followed::Whole(state) if state.metadata.id.is_empty() => {
            let message = "its log has no metadata; restore its first entry from a copy";
            Err(place.error(ErrorKind::Corrupt, message))
        }
        Followed::Whole(state) => Ok(Some(state)),
        Followed::Nothing => Ok(None),
        Followed::Foreign => delta::load(place, wal_id).await,
    }
}

/// Files that the table named and then removed, as far as its log still tells:
/// paths within the table, decoded.
pub async fn removed(place: &Place) -> Result<HashSet<String>, Error> {
    let take = |removed: &mut HashSet<String>, _, lines: Vec<Line>| {
        for remove in lines.into_iter().filter_map(|line| line.remove) {
            removed.insert(decode(place, &remove.path)?);
        }
        Ok(())
    };
    match follow(place, REMOVED, None, HashSet::new, take).await? {
        Followed::Whole(removed) => Ok(removed),
        Followed::Nothing => Ok(HashSet::new()),
        Followed::Foreign => delta::removed(place).await,
    }
}

/// All that the log says up to a version.
pub async fn actions(place: &Place, version: u64) -> Result<Followed<Actions>, Error> {
    let take = |actions: &mut Actions, _, lines| actions.take(place, lines);
    follow(place, ACTIONS, Some(version), Actions::default, take).await
}

/// What following a log came to.
pub enum Followed<T> {
    Whole(T),
    /// There is no table, or its newest checkpoint is beyond what was asked for.
    Nothing,
    /// Its newest checkpoint has a form that only the library reads.
    Foreign,
}

/// Adds a log up, to its newest version or to the one given, and once more
/// where another node cleaned it meanwhile.
async fn follow<T>(
    place: &Place,
    columns: &[&str],
    until: Option<u64>,
    empty: impl Fn() -> T,
    take: impl Fn(&mut T, u64, Vec<Line>) -> Result<(), Error>,
) -> Result<Followed<T>, Error> {
    let mut newest = Newest::Hint;
    let mut missing = 0;
    for _ in 0..ATTEMPTS {
        let mut sum = empty();
        let take = |version, lines| take(&mut sum, version, lines);
        match read(place, columns, until, newest, take).await? {
            Read::Whole => return Ok(Followed::Whole(sum)),
            Read::Nothing => return Ok(Followed::Nothing),
            Read::Foreign => return Ok(Followed::Foreign),
            Read::Missing(version) => missing = version,
            Read::Behind(version) => (newest, missing) = (Newest::List, version),
        }
    }
    Err(place.error(
        ErrorKind::Corrupt,
        format!("entry {missing} of its log is missing, and later ones are there; restore it from a copy"),
    ))
}

/// Where the newest checkpoint is looked for.
#[derive(Clone, Copy)]
enum Newest {
    /// Where `_last_checkpoint` says it is, if the list knows no newer one.
    Hint,
    List,
}

/// How a log could be read.
enum Read {
    Whole,
    Nothing,
    Foreign,
    /// This entry was cleaned away while the log was read, or is lost.
    Missing(u64),
    /// There is this newer checkpoint than the one that was handed on.
    Behind(u64),
}

/// Hands on the lines of the newest checkpoint, those of them that have one of
/// `columns`, then all lines of the entries since, in order.
async fn read(
    place: &Place,
    columns: &[&str],
    until: Option<u64>,
    newest: Newest,
    mut take: impl FnMut(u64, Vec<Line>) -> Result<(), Error>,
) -> Result<Read, Error> {
    let hint = checkpoint::hint(place).await?;
    let beyond = |version| until.is_some_and(|until| version > until);
    if hint.is_some_and(beyond) {
        return Ok(Read::Nothing);
    }
    let early = async {
        match (hint, newest) {
            (Some(version), Newest::Hint) => hinted(place, version, columns, &mut take).await,
            _ => Ok(None),
        }
    };
    let (extent, early) = futures::join!(Extent::listed(place, hint), early);
    let mut extent = extent?;
    if extent.checkpoint.as_ref().is_some_and(|(version, _)| beyond(*version)) {
        return Ok(Read::Nothing);
    }
    let early = match early {
        Err(error) if is_gone(&error) => return Ok(Read::Missing(hint.unwrap_or(0))),
        early => early?,
    };
    let newest = match early {
        Some((version, whole)) => match extent.checkpoint {
            Some((newest, _)) if newest > version => return Ok(Read::Behind(newest)),
            _ if !whole => return Ok(Read::Foreign),
            // A list may be behind (F27).
            _ => Some(version),
        },
        None => {
            if hint.is_some() && extent.checkpoint.is_none() {
                // It broke off, or is gone.
                extent = Extent::listed(place, None).await?;
            }
            match extent.checkpoint {
                None => None,
                Some((version, None)) => {
                    tracing::debug!(table = place.prefix, version, "a checkpoint in parts");
                    return Ok(Read::Foreign);
                }
                Some((version, Some(object))) => {
                    match of_checkpoint(place, version, &object, columns, &mut take).await {
                        Ok(true) => Some(version),
                        Ok(false) => return Ok(Read::Foreign),
                        Err(error) if is_gone(&error) => return Ok(Read::Missing(version)),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    };
    let first = newest.map_or(0, |version| version + 1);
    let Some(last) = until.or(extent.last).or(first.checked_sub(1)) else {
        // A list may be behind (F27).
        return Ok(match entry(place, 0).await? {
            Some(lines) => take(0, lines).map(|()| Read::Whole)?,
            None => Read::Nothing,
        });
    };
    let entries = futures::stream::iter(first..=last)
        .map(|version| async move { Ok::<_, Error>((version, entry(place, version).await?)) });
    let mut entries = entries.buffered(AT_ONCE);
    while let Some((version, lines)) = entries.try_next().await? {
        match lines {
            Some(lines) => take(version, lines)?,
            None => return Ok(Read::Missing(version)),
        }
    }
    Ok(Read::Whole)
}

/// From where to where a log must be read.
struct Extent {
    /// The newest checkpoint, and its object if it is one whole file.
    checkpoint: Option<(u64, Option<ObjectMeta>)>,
    /// The newest entry.
    last: Option<u64>,
}

impl Extent {
    async fn listed(place: &Place, from: Option<u64>) -> Result<Extent, Error> {
        let folder = Path::from(LOG);
        let mut listed = match from {
            // Just before its own names.
            Some(version) => {
                let offset = Path::from_iter([LOG.to_owned(), format!("{version:020}")]);
                place.objects.list_with_offset(Some(&folder), &offset)
            }
            None => place.objects.list(Some(&folder)),
        };
        let mut extent = Extent { checkpoint: None, last: None };
        let failed = |error| place.unreachable("its log", error);
        while let Some(object) = listed.try_next().await.map_err(failed)? {
            let name = object.location.filename().unwrap_or_default();
            let Some((version, form)) = name.split_once('.') else { continue };
            let Some(version) = version.parse::<u64>().ok().filter(|_| version.len() == 20) else {
                continue;
            };
            match form {
                "json" => extent.last = extent.last.max(Some(version)),
                _ if !form.starts_with("checkpoint.") => {}
                _ if extent.checkpoint.as_ref().is_some_and(|(newest, _)| *newest > version) => {}
                "checkpoint.parquet" => extent.checkpoint = Some((version, Some(object))),
                _ if extent.checkpoint.as_ref().is_some_and(|(newest, _)| *newest == version) => {}
                _ => extent.checkpoint = Some((version, None)),
            }
        }
        Ok(extent)
    }
}

/// Hands on the checkpoint that `_last_checkpoint` names: its version, and
/// whether it has the form that this project writes. `None` if it is gone.
async fn hinted(
    place: &Place,
    version: u64,
    columns: &[&str],
    take: &mut impl FnMut(u64, Vec<Line>) -> Result<(), Error>,
) -> Result<Option<(u64, bool)>, Error> {
    let location = checkpoint_path(version);
    let object = match place.objects.head(&location).await {
        // The store behind calls it by its whole name.
        Ok(object) => ObjectMeta { location, ..object },
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(place.unreachable("its checkpoint", error)),
    };
    let whole = of_checkpoint(place, version, &object, columns, take).await?;
    Ok(Some((version, whole)))
}

/// The lines of an entry; `None` if it is not there.
pub async fn entry(place: &Place, version: u64) -> Result<Option<Vec<Line>>, Error> {
    let what = format!("entry {version}");
    let bytes = match place.objects.get(&log::entry_path(version)).await {
        Ok(found) => {
            let size = found.meta.size;
            let bytes = found.bytes().await.map_err(|e| place.unreachable(&what, e))?;
            // Half an entry may well be lines of their own.
            if bytes.len() as u64 != size {
                let source = format!("{} of {size} bytes came", bytes.len()).into();
                let error = StoreError::Generic { store: "table", source };
                return Err(place.unreachable(&what, error));
            }
            bytes
        }
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(place.unreachable(&what, error)),
    };
    let lines = log::read(&bytes).map_err(|error| {
        place.error(ErrorKind::Corrupt, format!("{what} of its log is broken: {error}"))
    })?;
    Ok(Some(lines))
}

fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Store { source: StoreError::NotFound { .. }, .. })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use schema::{Catalog, Position, TableDef, Tenant, Version};

    use super::*;
    use crate::store::Store;
    use crate::table::{self, DeltaTable, Why};
    use crate::{ColumnStats, DataFile, Origin, Place as Where, StatValue};

    struct World {
        store: Store,
        spans: Arc<TableDef>,
        place: Place,
    }

    impl World {
        async fn file(&self, log: WalId, at: u64) -> DataFile {
            let text = |text: String| Some(StatValue::Text(text));
            let name = ColumnStats {
                min: text(format!("a{at} \"")),
                max: text("z".into()),
                null_count: Some(at),
            };
            let empty = ColumnStats { null_count: Some(10), ..ColumnStats::default() };
            let file = DataFile {
                place: Where::Store,
                path: format!("default/spans/date=2026-11-23/{log}-1-{at}-{at}.parquet"),
                size: 3,
                rows: 10,
                date: 20_780,
                stats: [("name".to_owned(), name), ("kind".to_owned(), empty)]
                    .into_iter()
                    .collect(),
                origin: Some(Origin { wal_id: log, first: Position(at), last: Position(at) }),
            };
            self.store.objects().put(&file.location().unwrap(), "any".into()).await.unwrap();
            file
        }

        /// What is loaded here and by the library, if they agree.
        async fn agreed(&self, log: WalId) -> State {
            let ours = load(&self.place, Some(log)).await.unwrap().unwrap();
            let theirs = delta::load(&self.place, Some(log)).await.unwrap().unwrap();
            assert_eq!((ours.version, ours.watermark), (theirs.version, theirs.watermark));
            assert_eq!(ours.protocol, theirs.protocol);
            let told = |state: &State| {
                let m = state.metadata.clone();
                (m.id, m.schema_string, m.partition_columns, m.configuration, m.format.to_string())
            };
            assert_eq!(told(&ours), told(&theirs));
            assert_eq!(ours.files, theirs.files);
            // The library is asked of logs that still have files.
            assert!(theirs.watermarks.iter().all(|(log, mark)| ours.watermarks[log] == *mark));
            let (a, b) =
                (removed(&self.place).await.unwrap(), delta::removed(&self.place).await.unwrap());
            assert_eq!(a, b);
            ours
        }
    }

    /// Scenario: two logs commit to a table and join files; it is loaded before its
    /// first checkpoint, at one, with entries after it, with those before it cleaned
    /// away, with a pointer to an older one, without the pointer, and with its checkpoint
    /// renamed to one in parts, as others write them.
    /// Guarantees: what is loaded is what the library loads, each time, and what was
    /// removed from the table is known as far back.
    #[tokio::test]
    async fn a_log_adds_up_to_what_the_library_says() {
        let store = Store::open("memory://", &BTreeMap::new()).unwrap();
        let spans = Catalog::default().get("spans").unwrap().clone();
        let tenant = Tenant::default();
        let place = Place::of(&store, &tenant, spans.clone()).unwrap();
        let world = World { store: store.clone(), spans, place };
        let logs = [WalId(7), WalId(8)];
        let mut tables = Vec::new();
        for log in logs {
            tables.push(
                DeltaTable::open(&store, &tenant, world.spans.clone(), Some(log)).await.unwrap(),
            );
        }
        let commit = async |tables: &mut Vec<DeltaTable>, nth: usize, at: u64| {
            let file = world.file(logs[nth], at).await;
            tables[nth].commit(vec![file], Position(at)).await.unwrap()
        };
        let join = async |tables: &mut Vec<DeltaTable>, into: u64| {
            let known = tables[0].refresh().await.unwrap().unwrap();
            let old: Vec<_> = known
                .files
                .iter()
                .filter(|f| f.origin.unwrap().wal_id == logs[0])
                .cloned()
                .collect();
            let new = world.file(WalId(9), into).await;
            tables[0].rewrite(&old, vec![new], Why::Join).await.unwrap().unwrap()
        };
        for at in 1..=4 {
            commit(&mut tables, 0, at).await;
            commit(&mut tables, 1, at).await;
        }
        world.agreed(logs[0]).await;
        let joined = join(&mut tables, 100).await;
        assert_eq!(world.agreed(logs[0]).await.files.len(), 5);
        table::checkpoint(&store, &tenant, &world.spans, joined.version).await.unwrap();
        assert_eq!(world.agreed(logs[1]).await.version, joined.version.0);
        for at in 5..=6 {
            commit(&mut tables, 0, at).await;
        }
        let Version(last) = join(&mut tables, 101).await.version;
        assert_eq!(world.agreed(logs[0]).await.version, last);
        let gone = table::clean_log(&store, &tenant, &world.spans, Duration::ZERO).await.unwrap();
        assert_eq!(gone as u64, joined.version.0);
        assert_eq!(world.agreed(WalId(3)).await.watermarks.len(), 2);

        let objects = &world.place.objects;
        let hint = Path::from_iter([LOG, "_last_checkpoint"]);
        let name = |version: u64, form: &str| {
            Path::from_iter([LOG.to_owned(), format!("{version:020}.checkpoint.{form}")])
        };
        // Whoever was slower has written the pointer last.
        let old = objects.get(&hint).await.unwrap().bytes().await.unwrap();
        table::checkpoint(&store, &tenant, &world.spans, Version(last)).await.unwrap();
        objects.put(&hint, old.into()).await.unwrap();
        assert_eq!(world.agreed(logs[0]).await.version, last);
        objects.delete(&name(last, "parquet")).await.unwrap();
        assert_eq!(world.agreed(logs[0]).await.version, last);

        objects.delete(&hint).await.unwrap();
        assert_eq!(world.agreed(logs[0]).await.version, last);
        let (whole, part) = (
            name(joined.version.0, "parquet"),
            name(joined.version.0, "0000000001.0000000001.parquet"),
        );
        objects.rename(&whole, &part).await.unwrap();
        assert_eq!(world.agreed(logs[0]).await.version, last);

        objects.delete(&log::entry_path(last - 1)).await.unwrap();
        objects.rename(&part, &whole).await.unwrap();
        let lost = load(&world.place, None).await.unwrap_err();
        assert!(lost.to_string().contains("is missing"), "{lost}");
        assert_eq!(lost.kind(), ErrorKind::Corrupt);
    }
}
