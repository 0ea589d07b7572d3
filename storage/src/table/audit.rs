//! `cloudsail verify`, the log's part: entries without a gap, checkpoints that
//! can be read, no name twice, watermarks above what they speak for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use ::parquet::arrow::async_reader::AsyncFileReader;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use schema::WalId;

use super::object::Object;
use super::state::is_joined;
use super::{Committed, Finding, Place, log};
use crate::store::told;
use crate::{DataFile, Error};

const LOG: &str = "_delta_log";

/// What is wrong with a table's log. Reads every entry that is there.
pub(super) async fn log(place: &Place) -> Result<Vec<Finding>, Error> {
    let listed = place.objects.list(Some(&Path::from(LOG))).try_collect().await;
    let listed: Vec<ObjectMeta> = listed.map_err(|error| place.unreachable("its log", error))?;
    let mut findings = Vec::new();
    let found = |name: &str, problem: String, remedy: &str| Finding {
        path: format!("{}/{LOG}/{name}", place.prefix),
        problem,
        remedy: remedy.to_owned(),
    };
    let mut entries = BTreeSet::new();
    let mut checkpoints = BTreeMap::new();
    for object in &listed {
        let name = object.location.filename().unwrap_or_default();
        let version = |suffix| name.strip_suffix(suffix).and_then(|v: &str| v.parse::<u64>().ok());
        if let Some(version) = version(".json") {
            entries.insert(version);
        } else if let Some(version) = version(".checkpoint.parquet") {
            checkpoints.insert(version, object);
        }
    }
    for (version, object) in &checkpoints {
        let mut file = Object::at(place.objects.clone(), object);
        if let Err(error) = file.get_metadata(None).await {
            let remedy = match (0..=*version).all(|v| entries.contains(&v)) {
                true => "remove it: the entries up to it are all there",
                false => {
                    "restore it from a copy, or remove it if an older checkpoint and every entry since are there"
                }
            };
            let name = object.location.filename().unwrap_or_default();
            findings.push(found(name, format!("cannot be read: {}", told(&error)), remedy));
        }
    }
    let newest = checkpoints.keys().next_back().copied();
    if let Some(hint) = super::checkpoint::hint(place).await?
        && !checkpoints.contains_key(&hint)
        && !listed.iter().any(|o| o.location.as_ref().contains(&format!("{hint:020}.checkpoint.")))
    {
        let problem = format!("points at a checkpoint of version {hint}, which is not there");
        let remedy = "remove it: readers find the checkpoints by listing";
        findings.push(found("_last_checkpoint", problem, remedy));
    }
    let first = newest.map_or(0, |version| version + 1);
    let last = entries.last().copied().unwrap_or(0);
    for missing in (first..last).filter(|version| !entries.contains(version)) {
        let remedy = "restore it from a copy; readers see nothing that came after";
        findings.push(found(&format!("{missing:020}.json"), "is missing".into(), remedy));
    }
    findings.extend(names(place, &entries).await?);
    Ok(findings)
}

/// Entries that cannot be read, and names that are added while they are there.
async fn names(place: &Place, entries: &BTreeSet<u64>) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let mut live: HashMap<String, u64> = HashMap::new();
    for version in entries {
        let path = log::entry_path(*version);
        let at = format!("{}/{path}", place.prefix);
        let bytes = match place.objects.get(&path).await {
            Ok(found) => found.bytes().await.map_err(|e| place.unreachable(&at, e))?,
            // A node cleans the log as we look.
            Err(object_store::Error::NotFound { .. }) => continue,
            Err(error) => return Err(place.unreachable(&at, error)),
        };
        let lines = match log::read(&bytes) {
            Ok(lines) => lines,
            Err(error) => {
                findings.push(Finding {
                    path: at,
                    problem: format!("is no log entry: {error}"),
                    remedy: "restore it from a copy; readers see nothing that came after".into(),
                });
                continue;
            }
        };
        let mut added = HashSet::new();
        let mut both = |path: &str, problem: String| {
            findings.push(Finding {
                path: format!("{}/{path}", place.prefix),
                problem,
                remedy:
                    "rows may be counted twice or lost: restore the table to the version before"
                        .into(),
            });
        };
        for line in &lines {
            if let Some(add) = &line.add {
                match live.get(&add.path) {
                    Some(before) if add.data_change => both(
                        &add.path,
                        format!("is added by entry {version}, and by {before} before"),
                    ),
                    _ => {}
                }
                added.insert(add.path.clone());
            }
        }
        for line in &lines {
            if let Some(remove) = &line.remove {
                if added.contains(&remove.path) {
                    both(&remove.path, format!("is added and removed by entry {version}"));
                }
                live.remove(&remove.path);
            }
        }
        live.extend(added.into_iter().map(|path| (path, *version)));
    }
    Ok(findings)
}

/// Whether the files of each log lie at or below its watermark, and no two
/// appended ones speak for the same positions.
pub(super) fn positions(committed: &Committed) -> Vec<Finding> {
    let origins = committed.files.iter().filter_map(|file| Some((file.origin?.wal_id, file)));
    let mut logs: BTreeMap<WalId, Vec<&Arc<DataFile>>> = BTreeMap::new();
    origins.for_each(|(log, file)| logs.entry(log).or_default().push(file));
    let mut findings = Vec::new();
    for (id, mut files) in logs {
        let watermark = committed.watermarks.get(&id).copied().unwrap_or_default();
        let above = files.iter().filter(|file| file.origin.is_some_and(|o| o.last > watermark));
        for file in above {
            findings.push(Finding {
                path: file.path.clone(),
                problem: format!("holds rows above the watermark of its log, {watermark}"),
                remedy: "stop that node, or it commits them again; remove the file from the table, and let the node commit it".into(),
            });
        }
        files.retain(|file| !is_joined(&file.path));
        files.sort_by_key(|file| (file.date, file.origin.map(|o| o.first)));
        for pair in files.windows(2) {
            let (Some(one), Some(two)) = (pair[0].origin, pair[1].origin) else { continue };
            if pair[0].date == pair[1].date && two.first <= one.last {
                findings.push(Finding {
                    path: pair[1].path.clone(),
                    problem: format!("holds positions that {} holds too", pair[0].path),
                    remedy: "rows are there twice: remove one of the files from the table".into(),
                });
            }
        }
    }
    findings
}

/// What lies in the table's folder and is no damage, but somebody should know.
pub(super) fn leftovers(orphans: Vec<super::Orphan>) -> Vec<Finding> {
    use super::orphans::Kind;
    let finding = |orphan: super::Orphan| {
        let (problem, remedy) = match orphan.kind {
            Kind::Staged(origin) => (
                format!("is staged by log {} and not committed", origin.wal_id),
                "its node commits it; if that node is gone for good, `cloudsail adopt` its folders",
            ),
            Kind::Spent => (
                "is named by no version, and nobody can commit it".to_owned(),
                "the holder of the lease removes it after its grace",
            ),
            Kind::Doubtful => (
                "is named by no version, and was by none that the log tells of".to_owned(),
                "keep it until it is clear that no copy of its node's folder has its rows in flight; nothing removes it",
            ),
            Kind::Joined => (
                "was written by a join and is named by no version".to_owned(),
                "the holder of the lease removes it after its grace",
            ),
            Kind::Unfinished => (
                "is being written, or was by a process that died".to_owned(),
                "the holder of the lease removes it when it is old",
            ),
            Kind::Foreign => (
                "is named by no version, and not by a name of ours".to_owned(),
                "remove it if no other program needs it",
            ),
        };
        Finding { path: orphan.path, problem, remedy: remedy.to_owned() }
    };
    orphans.into_iter().map(finding).collect()
}
