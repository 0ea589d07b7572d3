//! What a log adds up to, action by action, and a checkpoint made of it: the
//! form of Delta's PROTOCOL.md ("Checkpoint Schema"), one file.
//!
//! What was removed is most of a checkpoint and nothing that a reader of the table
//! asks for, so it lies in row groups of its own behind all else: readers pass over
//! them by their statistics.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::json::ReaderBuilder;

use super::Place;
use super::log::{Add, Line, Metadata, Protocol, Remove, Txn};
use super::state::decode;
use crate::Error;

/// Rows that are encoded at once: statistics of files are some kB each.
const BATCH: usize = 1024;

/// How long a removed file is remembered where the table does not say it
/// (PROTOCOL.md names this default): a week.
const REMEMBERED: i64 = 7 * DAY;
const DAY: i64 = 24 * 3_600_000;

/// The property that says it.
const RETENTION: &str = "delta.deletedFileRetentionDuration";

/// The newest of each action that an entry can have.
#[derive(Debug, Default)]
pub struct Actions {
    pub protocol: Protocol,
    pub metadata: Metadata,
    txns: BTreeMap<String, Txn>,
    /// Both by path within the table, decoded: one writer's encoding need not be
    /// another's.
    adds: BTreeMap<String, Add>,
    removes: BTreeMap<String, Remove>,
}

/// A checkpoint, and what `_last_checkpoint` says of it.
pub struct Checkpoint {
    pub bytes: Vec<u8>,
    pub actions: usize,
    pub adds: usize,
}

impl Actions {
    /// Takes in the next entry, or lines of a checkpoint.
    pub fn take(&mut self, place: &Place, lines: Vec<Line>) -> Result<(), Error> {
        for line in lines {
            if let Some(protocol) = line.protocol {
                self.protocol = protocol;
            }
            if let Some(metadata) = line.meta_data {
                self.metadata = metadata;
            }
            if let Some(txn) = line.txn {
                self.txns.insert(txn.app_id.clone(), txn);
            }
            // An entry never adds and removes one path (PROTOCOL.md).
            if let Some(mut remove) = line.remove {
                let path = decode(place, &remove.path)?;
                self.adds.remove(&path);
                remove.data_change = false;
                self.removes.insert(path, remove);
            }
            if let Some(mut add) = line.add {
                let path = decode(place, &add.path)?;
                self.removes.remove(&path);
                add.data_change = false;
                self.adds.insert(path, add);
            }
        }
        Ok(())
    }

    /// Forgets what was removed so long before `now` (ms since 1970, the store's
    /// time) that no reader of an older version is owed it. Unless the table says how
    /// long in words that this build does not know: then all is kept.
    pub fn forget(&mut self, now: i64) {
        let keep = match self.metadata.configuration.get(RETENTION) {
            None => Some(REMEMBERED),
            Some(interval) => millis(interval),
        };
        let Some(limit) = keep.and_then(|keep| now.checked_sub(keep)) else { return };
        // Without a time it was removed at 0 (PROTOCOL.md).
        self.removes.retain(|_, remove| remove.deletion_timestamp.unwrap_or(0) > limit);
    }

    /// As a Parquet file. Takes CPU: not on a worker of the I/O runtime.
    pub fn encode(mut self) -> Result<Checkpoint, ParquetError> {
        let adds = self.adds.len();
        // A null in a map is lost when a checkpoint's rows become lines.
        for add in self.adds.values_mut() {
            for column in &self.metadata.partition_columns {
                add.partition_values.entry(column.clone()).or_default();
            }
        }
        let named: Vec<Line> = [Line::from(self.protocol), Line::from(self.metadata)]
            .into_iter()
            .chain(self.txns.into_values().map(Line::from))
            .chain(self.adds.into_values().map(Line::from))
            .collect();
        let removed: Vec<Line> = self.removes.into_values().map(Line::from).collect();
        let actions = named.len() + removed.len();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let mut file = ArrowWriter::try_new(Vec::new(), SCHEMA.clone(), Some(properties))?;
        let mut decoder =
            ReaderBuilder::new(SCHEMA.clone()).with_batch_size(BATCH).build_decoder()?;
        for group in [named, removed] {
            for lines in group.chunks(BATCH) {
                decoder.serialize(lines)?;
                if let Some(rows) = decoder.flush()? {
                    file.write(&rows)?;
                }
            }
            file.flush()?;
        }
        Ok(Checkpoint { bytes: file.into_inner()?, actions, adds })
    }
}

/// Milliseconds of an interval as Delta writes it: `interval 7 days`.
fn millis(interval: &str) -> Option<i64> {
    let lower = interval.to_ascii_lowercase();
    let mut words = lower.trim_start_matches("interval ").split_whitespace();
    let (number, unit) = (words.next()?.parse::<i64>().ok()?, words.next()?);
    let one = match unit.trim_end_matches('s') {
        "week" => 7 * DAY,
        "day" => DAY,
        "hour" => 3_600_000,
        "minute" => 60_000,
        "second" => 1000,
        "millisecond" => 1,
        _ => return None,
    };
    words.next().is_none().then(|| number.checked_mul(one)).flatten()
}

/// PROTOCOL.md's, without what only features have that no table of ours has.
static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    use DataType::{Boolean, Int32, Int64, Utf8};
    let field = |name: &str, of: DataType| Field::new(name, of, true);
    let of = |fields: Vec<Field>| DataType::Struct(Fields::from(fields));
    let list = || DataType::List(Arc::new(Field::new("element", Utf8, true)));
    let map = || {
        let entry = of(vec![Field::new("key", Utf8, false), field("value", Utf8)]);
        DataType::Map(Arc::new(Field::new("key_value", entry, false)), false)
    };
    let format = of(vec![field("provider", Utf8), field("options", map())]);
    Arc::new(Schema::new(vec![
        field(
            "protocol",
            of(vec![
                field("minReaderVersion", Int32),
                field("minWriterVersion", Int32),
                field("readerFeatures", list()),
                field("writerFeatures", list()),
            ]),
        ),
        field(
            "metaData",
            of(vec![
                field("id", Utf8),
                field("name", Utf8),
                field("description", Utf8),
                field("format", format),
                field("schemaString", Utf8),
                field("partitionColumns", list()),
                field("configuration", map()),
                field("createdTime", Int64),
            ]),
        ),
        field(
            "txn",
            of(vec![field("appId", Utf8), field("version", Int64), field("lastUpdated", Int64)]),
        ),
        field(
            "add",
            of(vec![
                field("path", Utf8),
                field("partitionValues", map()),
                field("size", Int64),
                field("modificationTime", Int64),
                field("dataChange", Boolean),
                field("tags", map()),
                field("stats", Utf8),
            ]),
        ),
        field(
            "remove",
            of(vec![
                field("path", Utf8),
                field("deletionTimestamp", Int64),
                field("dataChange", Boolean),
                field("extendedFileMetadata", Boolean),
                field("partitionValues", map()),
                field("size", Int64),
            ]),
        ),
    ]))
});

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use ::parquet::file::metadata::ColumnChunkMetaData;
    use object_store::ObjectStoreExt;
    use proptest::prelude::*;
    use schema::{Catalog, Tenant, Version, WalId};
    use serde_json::{Value, json};

    use super::*;
    use crate::store::Store;
    use crate::table::{self, DeltaTable, delta, load, log, rows};

    const STATS: &str = r#"{"numRecords":10,"nullCount":{"name":3}}"#;

    fn add(at: u64) -> Value {
        json!({"add": {
            "path": format!("date=2026-11-23/a%20file%20{at}.parquet"),
            "partitionValues": {"date": "2026-11-23"}, "size": at, "modificationTime": 5,
            "dataChange": true, "stats": STATS, "tags": {"its": "tag"},
        }})
    }

    fn remove(at: u64, millis: Option<i64>) -> Value {
        json!({"remove": {
            "path": format!("date=2026-11-23/a%20file%20{at}.parquet"),
            "deletionTimestamp": millis, "dataChange": true,
        }})
    }

    /// A table whose log goes on with these entries.
    async fn written(entries: &[Vec<Value>]) -> (Store, Place) {
        let store = Store::open("memory://", &BTreeMap::new()).unwrap();
        let spans = Catalog::default().get("spans").unwrap().clone();
        let place = Place::of(&store, &Tenant::default(), spans.clone()).unwrap();
        let log = Some(WalId(7));
        DeltaTable::open(&store, &Tenant::default(), spans, log).await.unwrap();
        for (version, entry) in (1..).zip(entries) {
            let lines: Vec<String> = entry.iter().map(Value::to_string).collect();
            let path = log::entry_path(version);
            place.objects.put(&path, lines.join("\n").into()).await.unwrap();
        }
        (store, place)
    }

    async fn checkpoint(store: &Store, place: &Place, version: u64) {
        let table = &place.table;
        let version = Version(version);
        table::checkpoint(store, &Tenant::default(), table, version).await.unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Scenario: files of a few names are added and removed in any order, by
        /// entries of several actions, and checkpoints are written in between and of
        /// the last version.
        /// Guarantees: this build and the library read from the checkpoint alone
        /// which files the table names, and which it named and names no more.
        #[test]
        fn a_checkpoint_says_what_its_entries_said(
            steps in prop::collection::vec(
                (prop::collection::btree_map(0..6_u64, any::<bool>(), 1..4), any::<bool>()),
                1..12,
            ),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (mut named, mut removed) = (BTreeSet::new(), BTreeSet::new());
                let mut entries = Vec::new();
                for (actions, _) in &steps {
                    let mut entry = vec![json!({"commitInfo": {}})];
                    for (at, adds) in actions {
                        let (from, to, line) = match adds {
                            true => (&mut removed, &mut named, add(*at)),
                            false => (&mut named, &mut removed, remove(*at, Some(i64::MAX))),
                        };
                        from.remove(at);
                        to.insert(*at);
                        entry.push(line);
                    }
                    entries.push(entry);
                }
                let (store, place) = written(&entries).await;
                let last = entries.len() as u64;
                for (version, (_, at)) in (1..).zip(&steps) {
                    if *at || version == last {
                        checkpoint(&store, &place, version).await;
                    }
                }
                for version in 0..=last {
                    place.objects.delete(&log::entry_path(version)).await.unwrap();
                }
                let path = |at: &u64| format!("date=2026-11-23/a file {at}.parquet");
                for state in [
                    load::load(&place, None).await.unwrap().unwrap(),
                    delta::load(&place, None).await.unwrap().unwrap(),
                ] {
                    assert_eq!(state.version, last);
                    assert!(state.files.keys().eq(&named.iter().map(path).collect::<Vec<_>>()));
                }
                let removed: HashSet<String> = removed.iter().map(path).collect();
                assert_eq!(load::removed(&place).await.unwrap(), removed);
                assert_eq!(delta::removed(&place).await.unwrap(), removed);
            });
        }
    }

    /// Scenario: of three thousand removed files half went ten days ago, one at no
    /// time that is told; the log has a checkpoint, and another with the files of
    /// another tool, which tags them.
    /// Guarantees: what went within a week is remembered; tags and commits of other
    /// tools go from checkpoint to checkpoint, a day that is null too; row groups of
    /// removed files alone are told by their statistics.
    #[tokio::test]
    async fn a_week_of_removed_files_is_remembered_apart() {
        let entry = written(&[]).await.1.objects.head(&log::entry_path(0)).await.unwrap();
        let now = entry.last_modified.timestamp_millis();
        let adds = (0..3001).map(add).collect();
        let old = |at: u64| now - if at.is_multiple_of(2) { 10 * DAY } else { DAY };
        let mut removes: Vec<Value> = (0..3000).map(|at| remove(at, Some(old(at)))).collect();
        removes.push(json!({"txn": {"appId": "another", "version": 3, "lastUpdated": 4}}));
        removes.push(remove(9999, None));
        let mut dateless = add(9998);
        dateless["add"]["path"] = "date=__HIVE_DEFAULT_PARTITION__/a%20file%209998.parquet".into();
        dateless["add"]["partitionValues"]["date"] = Value::Null;
        let (store, place) = written(&[adds, removes, vec![dateless]]).await;
        checkpoint(&store, &place, 2).await;
        checkpoint(&store, &place, 3).await;
        let removed = load::removed(&place).await.unwrap();
        assert_eq!(removed.len(), 1500);
        assert!(removed.iter().all(|path| !path.ends_with("0.parquet")));
        let load::Followed::Whole(actions) = load::actions(&place, 3).await.unwrap() else {
            panic!("a log of one whole checkpoint");
        };
        let file = &actions.adds["date=2026-11-23/a file 3000.parquet"];
        assert_eq!(file.tags.as_ref().unwrap()["its"].as_deref(), Some("tag"));
        let other = &actions.txns["another"];
        assert_eq!((other.version, other.last_updated), (3, Some(4)));

        let path = super::super::checkpoint::checkpoint_path(3);
        let bytes = place.objects.get(&path).await.unwrap().bytes().await.unwrap();
        let file = ParquetRecordBatchReaderBuilder::try_new(bytes);
        let metadata = file.unwrap().metadata().clone();
        let groups = metadata.row_groups();
        assert_eq!([0, 1].map(|nth: usize| rows::tells(&groups[nth], load::STATE)), [true, false]);
        let keys = |chunk: &&ColumnChunkMetaData| {
            chunk.column_path().string() == "add.partitionValues.key_value.key"
        };
        let keys = groups[0].columns().iter().find(keys).unwrap();
        let nulls = keys.statistics().unwrap().null_count_opt().unwrap();
        assert_eq!((groups.len(), keys.num_values() - i64::try_from(nulls).unwrap()), (2, 2));
    }

    /// Scenario: intervals as Delta's documentation writes them, and others.
    /// Guarantees: each known one has its length, and what is not known is said so.
    #[test]
    fn intervals_are_read() {
        assert_eq!(millis("interval 1 week"), Some(7 * DAY));
        assert_eq!(millis("INTERVAL 36 hours"), Some(36 * 3_600_000));
        assert_eq!(millis("30 days"), Some(30 * DAY));
        for unknown in ["interval 1 month", "interval 1 day 2 hours", "a day", ""] {
            assert_eq!(millis(unknown), None);
        }
    }
}
