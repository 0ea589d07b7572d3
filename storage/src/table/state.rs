//! A table at one version, followed entry by entry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::path::Path;
use schema::table::{PARTITION, SCHEMA_VERSION};
use schema::{ErrorKind, Position, Version, WalId};
use serde_json::Value;

use super::log::{Line, Metadata, Protocol};
use super::{Committed, Place, columns, stats};
use crate::{DataFile, Error, Origin, Place as Where};

/// Up to where the rows of each log are in a table.
pub type Watermarks = BTreeMap<WalId, Position>;

/// The table property that carries [`SCHEMA_VERSION`].
pub const SCHEMA_PROPERTY: &str = "cloudsail.schema";

/// What the log adds up to.
#[derive(Debug, Clone)]
pub struct State {
    pub version: u64,
    pub protocol: Protocol,
    pub metadata: Metadata,
    /// By path within the table, decoded.
    pub files: BTreeMap<String, Arc<DataFile>>,
    /// Of the own log.
    pub watermark: Position,
    /// Its watermark before that one.
    pub before: Position,
    /// Files of the own log above [`before`](Self::before) that an entry named
    /// and a later one removed.
    pub removed: BTreeSet<String>,
    /// The newest mark of the own log's rewrites that was read as an entry.
    pub operation_id: Option<String>,
    /// Of every log that has committed.
    pub watermarks: Watermarks,
}

/// A file as an Add or a checkpoint tells of it.
pub struct Listed<'a> {
    /// Within the table, decoded.
    pub path: &'a str,
    pub size: u64,
    pub stats: Option<&'a str>,
    pub date: Option<&'a str>,
    pub has_deletions: bool,
}

impl State {
    /// Before the first entry.
    pub fn empty() -> State {
        State {
            version: 0,
            protocol: Protocol::default(),
            metadata: Metadata::default(),
            files: BTreeMap::new(),
            watermark: Position::ZERO,
            before: Position::ZERO,
            removed: BTreeSet::new(),
            operation_id: None,
            watermarks: Watermarks::new(),
        }
    }

    /// Takes in the next entry, or lines of the checkpoint that a log begins with.
    /// The state is unchanged on an error.
    pub fn apply(
        &mut self,
        place: &Place,
        wal_id: Option<WalId>,
        version: u64,
        entry: Vec<Line>,
    ) -> Result<(), Error> {
        let app = wal_id.map(|id| id.to_string());
        let mut next = self.header();
        next.version = version;
        let mut removed = Vec::new();
        for line in entry {
            let own = |id: &&str| app.as_ref().is_some_and(|app| id.starts_with(app.as_str()));
            if let Some(id) = line.operation_id().filter(own) {
                next.operation_id = Some(id.to_owned());
            }
            if let Some(protocol) = line.protocol {
                next.protocol = protocol;
            }
            if let Some(metadata) = line.meta_data {
                next.metadata = metadata;
            }
            if let Some(txn) = line.txn {
                let position = Position(u64::try_from(txn.version).unwrap_or(0));
                if Some(&txn.app_id) == app.as_ref() {
                    next.before = next.watermark;
                    next.watermark = position;
                }
                // Other tools have names of their own.
                if let Ok(log) = txn.app_id.parse() {
                    next.watermarks.insert(log, position);
                }
            }
            if let Some(remove) = line.remove {
                removed.push(decode(place, &remove.path)?);
            }
            if let Some(add) = line.add {
                let path = decode(place, &add.path)?;
                let listed = Listed {
                    path: &path,
                    size: add.size,
                    stats: add.stats.as_deref(),
                    date: add.partition_values.get(PARTITION).and_then(Option::as_deref),
                    has_deletions: add.deletion_vector.is_some(),
                };
                let file = Arc::new(file(place, listed)?);
                next.files.insert(path, file);
            }
        }
        next.check_readable(place)?;
        // An entry never adds and removes one path (PROTOCOL.md), so the order
        // of the two does not matter.
        let added = std::mem::replace(&mut next.files, std::mem::take(&mut self.files));
        removed.iter().for_each(|path| drop(next.files.remove(path)));
        next.files.extend(added);
        next.removed = std::mem::take(&mut self.removed);
        next.removed.extend(removed);
        let (log, before) = (wal_id, next.before);
        let recent = |o: Origin| Some(o.wal_id) == log && o.last > before;
        next.removed.retain(|path| origin(path).is_some_and(recent));
        *self = next;
        Ok(())
    }

    /// Everything but the files.
    fn header(&self) -> State {
        State {
            version: self.version,
            protocol: self.protocol.clone(),
            metadata: self.metadata.clone(),
            files: BTreeMap::new(),
            watermark: self.watermark,
            before: self.before,
            removed: BTreeSet::new(),
            operation_id: self.operation_id.clone(),
            watermarks: self.watermarks.clone(),
        }
    }

    /// What others may see of it.
    pub fn committed(&self, place: &Place) -> Committed {
        Committed {
            version: Version(self.version),
            files: self.files.values().cloned().collect(),
            watermark: self.watermark,
            removed: Arc::new(
                self.removed.iter().map(|path| format!("{}/{path}", place.prefix)).collect(),
            ),
            watermarks: Arc::new(self.watermarks.clone()),
        }
    }

    /// Fails when rows could be read wrongly: a protocol that hides deleted
    /// rows or renames columns.
    pub fn check_readable(&self, place: &Place) -> Result<(), Error> {
        const HARMLESS: [&str; 3] = ["timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"];
        let version = self.protocol.min_reader_version;
        let features = self.protocol.reader_features.as_deref().unwrap_or_default();
        let mapped = self.metadata.configuration.get("delta.columnMapping.mode");
        let readable = version <= 3
            && mapped.is_none_or(|mode| mode == "none")
            && features.iter().all(|feature| HARMLESS.contains(&feature.as_str()));
        if readable {
            return Ok(());
        }
        Err(place.error(
            ErrorKind::Invalid,
            format!(
                "it demands Delta reader version {version} with {features:?}, this build reads version 1; \
                 whoever raised it must rewrite the table without those features"
            ),
        ))
    }

    /// Fails when appending could break what another writer relies on. Gives
    /// the columns that must be added first.
    pub fn check_writable(&self, place: &Place) -> Result<Vec<Value>, Error> {
        let no = |message: String| Err(place.error(ErrorKind::Invalid, message));
        self.check_readable(place)?;
        if !self.protocol.is_written_here()
            || self.metadata.schema_string.contains("delta.invariants")
        {
            let version = self.protocol.min_writer_version;
            let features = self.protocol.writer_features.as_deref().unwrap_or_default();
            return no(format!(
                "it demands Delta writer version {version} with {features:?}, this build writes version 2; \
                 rows stay in log and stage until the table is rewritten without those features"
            ));
        }
        if self.metadata.partition_columns != [PARTITION] {
            return no(format!(
                "it is partitioned by {:?} instead of {PARTITION}; it is not a table of cloudsail: give store.url a folder of its own",
                self.metadata.partition_columns
            ));
        }
        let schema_version = self.metadata.configuration.get(SCHEMA_PROPERTY);
        if let Some(newer) = schema_version.and_then(|text| text.parse::<u32>().ok())
            && newer > SCHEMA_VERSION
        {
            return no(format!(
                "its schema has version {newer}, this build writes {SCHEMA_VERSION}; upgrade this node"
            ));
        }
        let present = self.schema(place)?;
        match columns::difference(&place.table, &present) {
            Ok(difference) if difference.conflicts.is_empty() => Ok(difference.missing),
            Ok(difference) => no(format!(
                "its columns differ: {}; change the promotion of those keys, or use another store",
                difference.conflicts.join(", ")
            )),
            Err(why) => no(why),
        }
    }

    pub fn schema(&self, place: &Place) -> Result<Value, Error> {
        serde_json::from_str(&self.metadata.schema_string).map_err(|error| {
            place.error(ErrorKind::Corrupt, format!("its schema is not JSON: {error}"))
        })
    }
}

/// A listed file in our terms.
pub fn file(place: &Place, listed: Listed<'_>) -> Result<DataFile, Error> {
    let corrupt = |what: String| place.error(ErrorKind::Corrupt, what);
    let path = listed.path;
    if listed.has_deletions {
        return Err(corrupt(format!("{path} has a deletion vector, which its protocol forbids")));
    }
    let (rows, stats) = match listed.stats {
        Some(json) => stats::read(&place.table, json),
        None => Default::default(),
    };
    let date = match listed.date {
        None => 0,
        Some(text) => text
            .parse::<chrono::NaiveDate>()
            .map(|day| day.to_epoch_days())
            .map_err(|_| corrupt(format!("{path} has {text:?} for its date")))?,
    };
    let rows = rows.ok_or_else(|| {
        corrupt(format!("{path} was added without a row count; rewrite it with one"))
    })?;
    Ok(DataFile {
        place: Where::Store,
        path: format!("{}/{path}", place.prefix),
        size: listed.size,
        rows,
        date,
        stats,
        origin: origin(path),
    })
}

/// The log and positions in a name that the stage gave, or a join:
/// `{log}-{start}-{first}-{last}.parquet`, `{log}-{start}-{first}-{last}-{join}.parquet`.
pub fn origin(path: &str) -> Option<Origin> {
    let name = path.rsplit('/').next()?.strip_suffix(".parquet")?;
    let mut parts = name.split('-');
    let (log, start, first, last) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    start.parse::<u64>().ok()?;
    let joined = parts.next();
    if parts.next().is_some() || log.len() != 32 || joined.is_some_and(|join| join.len() != 16) {
        return None;
    }
    let position = |text: &str| text.parse().ok().map(Position);
    Some(Origin { wal_id: log.parse().ok()?, first: position(first)?, last: position(last)? })
}

/// Whether the name is one that a join gave.
pub fn is_joined(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    origin(path).is_some() && name.matches('-').count() == 4
}

/// A path of an entry as objects have it, from the table's folder.
pub fn decode(place: &Place, path: &str) -> Result<String, Error> {
    let outside = path.starts_with('/') || path.contains("://");
    match Path::from_url_path(path) {
        Ok(decoded) if !outside => Ok(decoded.to_string()),
        _ => Err(place.error(
            ErrorKind::Corrupt,
            format!("its log names {path:?}, which is not a path inside the table"),
        )),
    }
}
