//! Sorted files become sorted files: the same rows, in order, and all that a
//! file has besides.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::properties::{EnabledStatistics, ReaderProperties, WriterProperties};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use parquet::file::writer::SerializedFileWriter;
use proptest::prelude::*;
use schema::{Budget, Catalog, ColumnType, Position, Promotion, Scope, TableDef, Tenant, WalId};
use storage::compact::join::{Joined, Joiner};
use storage::compact::merge::Broken;
use storage::compact::plan::Job;
use storage::encode::{days, write};
use storage::{DataFile, Origin, Place};

use crate::encode_rows::{DAY, rows, shared};

const OWN: WalId = WalId(0xfeed);

pub struct World {
    objects: Arc<dyn ObjectStore>,
    pub joiner: Joiner,
}

impl World {
    pub fn new() -> World {
        World::on(Arc::new(InMemory::new()))
    }

    fn on(objects: Arc<dyn ObjectStore>) -> World {
        let joiner = Joiner {
            hands: Arc::default(),
            objects: objects.clone(),
            budget: Budget::new(1 << 30),
            memory_bytes: 96 << 20,
            wal_id: OWN,
            waiting: 2,
            boot: 1,
            cancel: Default::default(),
            chance: storage::Chance::seeded(1),
        };
        World { objects, joiner }
    }

    /// A file as the stage would write it.
    pub async fn file(&self, table: &TableDef, at: u64, batch: RecordBatch) -> Arc<DataFile> {
        let batches = shared(table, &[batch]);
        let day = &days(table, &batches).unwrap()[0];
        let mut bytes = Vec::new();
        let encoded = write(table, &batches, day, &mut bytes).unwrap();
        let origin = Origin { wal_id: OWN, first: Position(at), last: Position(at) };
        let path = format!("default/{}/date=2026-11-23/{OWN}-1-{at}-{at}.parquet", table.name);
        self.put(&path, bytes).await;
        Arc::new(DataFile {
            place: Place::Store,
            path,
            size: encoded.size,
            rows: encoded.rows,
            date: DAY,
            stats: encoded.stats,
            origin: Some(origin),
        })
    }

    async fn put(&self, path: &str, bytes: Vec<u8>) {
        self.objects.put(&path.into(), bytes.into()).await.unwrap();
    }

    async fn bytes(&self, file: &DataFile) -> Bytes {
        self.objects.get(&file.location().unwrap()).await.unwrap().bytes().await.unwrap()
    }

    pub async fn read(&self, file: &DataFile) -> Vec<RecordBatch> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(self.bytes(file).await).unwrap();
        reader.build().unwrap().map(Result::unwrap).collect()
    }

    async fn join(
        &self,
        table: &Arc<TableDef>,
        files: &[Arc<DataFile>],
        outputs: usize,
    ) -> Result<Vec<DataFile>, Broken> {
        self.joined(table, files, outputs).await.map(|joined| joined.files)
    }

    pub async fn joined(
        &self,
        table: &Arc<TableDef>,
        files: &[Arc<DataFile>],
        outputs: usize,
    ) -> Result<Joined, Broken> {
        let runs = files.iter().map(|file| vec![file.clone()]).collect();
        let job = Job { date: DAY, runs, outputs };
        self.joiner.run(&Tenant::default(), table, &job).await
    }
}

/// Rows as a multiset: how often each occurs, in a form that compares.
fn multiset(batches: &[RecordBatch]) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for batch in batches {
        let (mut columns, mut fields) = (Vec::new(), Vec::new());
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            // Rows of maps do not compare; their entries do.
            match field.data_type() {
                arrow::datatypes::DataType::Map(entry, _) => {
                    let map = column.as_map();
                    let list = arrow::array::ListArray::new(
                        entry.clone(),
                        map.offsets().clone(),
                        Arc::new(map.entries().clone()),
                        map.nulls().cloned(),
                    );
                    fields.push(SortField::new(list.data_type().clone()));
                    columns.push(Arc::new(list) as arrow::array::ArrayRef);
                }
                arrow::datatypes::DataType::List(element) if nested_map(element.data_type()) => {
                    let text = format(column);
                    fields.push(SortField::new(text.data_type().clone()));
                    columns.push(text);
                }
                other => {
                    fields.push(SortField::new(other.clone()));
                    columns.push(column.clone());
                }
            }
        }
        let rows = RowConverter::new(fields).unwrap().convert_columns(&columns).unwrap();
        for row in rows.iter() {
            *counts.entry(row.as_ref().to_vec()).or_default() += 1;
        }
    }
    counts
}

fn nested_map(of: &arrow::datatypes::DataType) -> bool {
    match of {
        arrow::datatypes::DataType::Map(..) => true,
        arrow::datatypes::DataType::Struct(fields) => {
            fields.iter().any(|field| nested_map(field.data_type()))
        }
        _ => false,
    }
}

/// Each value as text.
fn format(column: &dyn Array) -> arrow::array::ArrayRef {
    let options = arrow::util::display::FormatOptions::default().with_null("∅");
    let shown = arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap();
    let texts = (0..column.len()).map(|row| shown.value(row).to_string());
    Arc::new(arrow::array::StringArray::from_iter_values(texts))
}

/// The sort columns of rows, to be compared.
pub fn keys(table: &TableDef, batches: &[RecordBatch]) -> Vec<Vec<u8>> {
    let field = |name: &&str| {
        let options = arrow::compute::SortOptions { descending: false, nulls_first: true };
        SortField::new_with_options(
            table.schema.field_with_name(name).unwrap().data_type().clone(),
            options,
        )
    };
    let converter = RowConverter::new(table.sort.iter().map(field).collect()).unwrap();
    let mut keys = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            table.sort.iter().map(|name| batch.column_by_name(name).unwrap().clone()).collect();
        let rows = converter.convert_columns(&columns).unwrap();
        keys.extend(rows.iter().map(|row| row.as_ref().to_vec()));
    }
    keys
}

async fn preserved(name: &str, sizes: &[(usize, u64)], outputs: usize) {
    let catalog = Catalog::default();
    let table = catalog.get(name).unwrap();
    let world = World::new();
    let mut files = Vec::new();
    for (at, (count, seed)) in sizes.iter().enumerate() {
        files.push(world.file(table, at as u64 + 1, rows(table, *count, 1, *seed)).await);
    }
    let mut before = Vec::new();
    for file in &files {
        before.extend(world.read(file).await);
    }
    let joined = world.join(table, &files, outputs).await.unwrap();
    assert!(joined.len() <= outputs && !joined.is_empty());
    let mut after = Vec::new();
    for (index, file) in joined.iter().enumerate() {
        let read = world.read(file).await;
        assert_eq!(read.iter().map(|b| b.num_rows() as u64).sum::<u64>(), file.rows);
        assert_eq!(world.bytes(file).await.len() as u64, file.size);
        let origin = file.origin.unwrap();
        assert_eq!((origin.first.0, origin.last.0), (1, sizes.len() as u64));
        if index > 0 {
            let last: &RecordBatch = after.last().unwrap();
            let (low, high) = (keys(table, &read[..1]), keys(table, std::slice::from_ref(last)));
            assert!(high.last() < low.first(), "files of one run are disjoint");
        }
        after.extend(read);
    }
    assert!(keys(table, &after).is_sorted(), "{name} is in order");
    assert_eq!(multiset(&before), multiset(&after), "{name}");
}

/// Scenario: files of every table, of all sizes, with nulls, empty, long and odd
/// values, are joined into one file and into several.
/// Guarantees: K1, the multiset of rows is the same, and each table's order is
/// kept within and between the new files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_k1_joining_preserves_every_row_and_the_order() {
    for name in ["spans", "logs", "metrics", "trace_parts"] {
        for outputs in [1, 3] {
            preserved(name, &[(300, 1), (1, 2), (2500, 3), (40, 4), (2048, 5)], outputs).await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Scenario: any number of files of any sizes and contents, some alike.
    /// Guarantees: K1, nothing is lost, doubled or put out of order.
    #[test]
    fn inv_k1_any_files_are_joined_whole(
        sizes in proptest::collection::vec((1..400usize, 0..6u64), 2..9),
        outputs in 1..4usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(preserved("logs", &sizes, outputs));
    }
}

/// Scenario: a file from before a key was promoted, one from after, and one of
/// a node that promoted another key, which this one does not know.
/// Guarantees: K1, a column that an old file lacks is NULL for its rows, a column
/// that only a file has keeps its values, and the new file claims only those
/// promotions that hold for all rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_k1_columns_that_come_and_go_lose_nothing() {
    let promote = |key: &str| Promotion {
        scope: Scope::Record,
        key: key.into(),
        kind: ColumnType::Text,
        column: key.into(),
    };
    let (old, new) = (Catalog::default(), Catalog::new(&[promote("app.tier")]));
    let other = Catalog::new(&[promote("app.team")]);
    let of = |catalog: &Catalog| catalog.get("logs").unwrap().clone();
    let world = World::new();
    let files = [
        world.file(&of(&old), 1, rows(&of(&old), 100, 1, 1)).await,
        world.file(&of(&new), 2, rows(&of(&new), 100, 1, 2)).await,
        world.file(&of(&other), 3, rows(&of(&other), 100, 1, 3)).await,
    ];
    let joined = world.join(&of(&new), &files, 1).await.unwrap();
    let read = world.read(&joined[0]).await;
    let read = concat_batches(&read[0].schema(), &read).unwrap();
    for (column, file) in [("app.tier", &files[1]), ("app.team", &files[2])] {
        let values = |batch: &RecordBatch| {
            let column = batch.column_by_name(column).unwrap().as_string::<i32>().clone();
            let mut values: Vec<_> = column.iter().flatten().map(str::to_owned).collect();
            values.sort();
            values
        };
        assert_eq!(values(&read), values(&world.read(file).await[0]), "{column}");
        assert!(!values(&read).is_empty());
    }
    let reader = SerializedFileReader::new(world.bytes(&joined[0]).await).unwrap();
    let entries = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let claimed = entries.iter().find(|entry| entry.key == "cloudsail.promoted").unwrap();
    let claimed = claimed.value.as_deref().unwrap();
    assert!(claimed.contains("service.name") && !claimed.contains("app."), "{claimed}");
}

/// Scenario: promoted keys of which one stayed in maps of some files, and one in
/// none; files with and without it are joined.
/// Guarantees: a file, joined or not, says of a key that no map has it if and only
/// if that is so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_says_which_promoted_keys_no_map_has() {
    let promote = |key: &str| Promotion {
        scope: Scope::Record,
        key: key.into(),
        kind: ColumnType::Text,
        column: key.into(),
    };
    // `rows` puts the first into maps.
    let catalog = Catalog::new(&[promote("value 7"), promote("app.tier")]);
    let logs = catalog.get("logs").unwrap();
    let bare = |seed: u64| {
        let batch = rows(logs, 100, 1, seed);
        let mut columns = batch.columns().to_vec();
        let at = batch.schema().index_of("attributes").unwrap();
        columns[at] = arrow::array::new_null_array(columns[at].data_type(), batch.num_rows());
        RecordBatch::try_new(batch.schema(), columns).unwrap()
    };
    let world = World::new();
    let mut files = vec![world.file(logs, 1, rows(logs, 400, 1, 1)).await];
    for at in 2..=3 {
        files.push(world.file(logs, at, bare(at)).await);
    }
    let none = world.join(logs, &files[1..], 1).await.unwrap();
    let some = world.join(logs, &files, 1).await.unwrap();
    for (file, left) in
        [(&*files[0], true), (&*files[1], false), (&none[0], false), (&some[0], true)]
    {
        let reader = SerializedFileReader::new(world.bytes(file).await).unwrap();
        let entries = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
        let said = entries.iter().find(|entry| entry.key == "cloudsail.absent").unwrap();
        let said = said.value.as_deref().unwrap();
        assert!(said.contains(r#"{"column":"attributes","key":"app.tier"}"#), "{said}");
        assert_eq!(said.contains(r#""key":"value 7""#), !left, "{}: {said}", file.path);
    }
}

/// Scenario: joined spans are opened by their footer alone.
/// Guarantees: what a query prunes by is there: order, bloom filters, page
/// indexes, and statistics that hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joined_file_has_all_that_a_query_prunes_by() {
    let catalog = Catalog::default();
    let spans = catalog.get("spans").unwrap();
    let world = World::new();
    let mut files = Vec::new();
    for at in 1..=3 {
        files.push(world.file(spans, at, rows(spans, 700, 1, at)).await);
    }
    let joined = world.join(spans, &files, 1).await.unwrap();
    let blooms = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options =
        ReadOptionsBuilder::new().with_reader_properties(blooms).with_page_index().build();
    let bytes = world.bytes(&joined[0]).await;
    let reader = SerializedFileReader::new_with_options(bytes, options).unwrap();
    let group = reader.metadata().row_group(0);
    let claimed = group.sorting_columns().unwrap().len();
    assert_eq!(claimed, spans.sort.len());
    assert!(reader.metadata().column_index().is_some());
    let column = group.columns().iter().position(|c| c.column_path().string() == "trace_id");
    let reading = reader.get_row_group(0).unwrap();
    let bloom = reading.get_column_bloom_filter(column.unwrap()).unwrap();
    for batch in world.read(&joined[0]).await {
        let ids = batch["trace_id"].as_string::<i32>();
        assert!(ids.iter().flatten().all(|id| bloom.check(&id)));
        let time = batch["time"].as_primitive::<TimestampMicrosecondType>();
        let stats = &joined[0].stats["time"];
        let within = |at: &i64| {
            let at = storage::StatValue::Timestamp(*at);
            let less = storage::encode::stats::less;
            !less(&at, stats.min.as_ref().unwrap()) && !less(stats.max.as_ref().unwrap(), &at)
        };
        assert!(time.values().iter().all(within));
    }
}

/// Scenario: among the inputs is a file of rows in no order, then one that is
/// cut off, one that is shorter than the log says, by little and by much, and one that
/// is gone; in memory, and on a disk.
/// Guarantees: F25 and K1, the file is named and nothing is written; a store
/// that does not have it is not taken for a bad file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f25_a_file_that_is_not_what_it_claims_is_not_joined() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let local = storage::store::Store::open(&url, &Default::default()).unwrap();
    for world in [World::new(), World::on(local.objects())] {
        not_what_it_claims(world).await;
    }
}

async fn not_what_it_claims(world: World) {
    let catalog = Catalog::default();
    let logs = catalog.get("logs").unwrap();
    let good = world.file(logs, 1, rows(logs, 200, 1, 1)).await;

    // Encoded in the order of rows, with the claim of the table's.
    let batches = shared(logs, &[rows(logs, 200, 1, 2)]);
    let mut day = days(logs, &batches).unwrap().remove(0);
    day.rows.reverse();
    let mut bytes = Vec::new();
    write(logs, &batches, &day, &mut bytes).unwrap();
    let mut unsorted = DataFile::clone(&good);
    unsorted.path = good.path.replace("-1-1-1.", "-1-2-2.");
    unsorted.size = bytes.len() as u64;
    world.put(&unsorted.path, bytes.clone()).await;
    let unsorted = Arc::new(unsorted);

    let mut cut = DataFile::clone(&unsorted);
    cut.path = good.path.replace("-1-1-1.", "-1-3-3.");
    cut.size = 1000;
    bytes.truncate(1000);
    world.put(&cut.path, bytes).await;
    let mut longer = DataFile::clone(&good);
    longer.size += 10;
    let mut far_longer = DataFile::clone(&good);
    far_longer.size += 10 << 20;
    for bad in [unsorted, Arc::new(cut), Arc::new(longer), Arc::new(far_longer)] {
        match world.join(logs, &[good.clone(), bad.clone()], 1).await {
            Err(Broken::Unfit { path, .. }) => assert_eq!(path, bad.path),
            other => panic!("{other:?}"),
        }
    }
    let mut gone = DataFile::clone(&good);
    gone.path = good.path.replace("-1-1-1.", "-1-4-4.");
    match world.join(logs, &[good.clone(), Arc::new(gone)], 1).await {
        Err(Broken::Failed(error)) => assert_eq!(error.kind(), schema::ErrorKind::NotFound),
        other => panic!("{other:?}"),
    }
    let left: Vec<_> = futures::TryStreamExt::try_collect(world.objects.list(None)).await.unwrap();
    assert_eq!(left.len(), 3, "{left:?}");
}

/// Scenario: a file of another writer begins and ends with a row group without rows, of
/// which there is not a byte.
/// Guarantees: K1: it is joined like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_k1_a_row_group_without_rows_is_passed_over() {
    let catalog = Catalog::default();
    let logs = catalog.get("logs").unwrap();
    let world = World::new();
    let good = world.file(logs, 1, rows(logs, 4_000, 1, 1)).await;
    let bytes = world.objects.get(&good.path.as_str().into()).await.unwrap().bytes().await.unwrap();
    // Else all of it is read at once.
    assert!(bytes.len() > 256 << 10, "{}", bytes.len());

    let reader = SerializedFileReader::new(bytes.clone()).unwrap();
    let (footer, group) = (reader.metadata().file_metadata(), reader.metadata().row_group(0));
    let properties = WriterProperties::builder()
        .set_sorting_columns(group.sorting_columns().cloned())
        .set_key_value_metadata(footer.key_value_metadata().cloned())
        // What is copied brings no indexes of its pages, and it is all or nothing.
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    let schema = footer.schema_descr().root_schema_ptr();
    let properties = Arc::new(properties.build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for full in [false, true, false] {
        let mut written = writer.next_row_group().unwrap();
        for column in group.columns() {
            match full {
                true => {
                    let copy = ColumnCloseResult {
                        bytes_written: column.compressed_size() as u64,
                        rows_written: group.num_rows() as u64,
                        metadata: column.clone(),
                        bloom_filter: None,
                        column_index: None,
                        offset_index: None,
                    };
                    written.append_column(&bytes, copy).unwrap();
                }
                false => written.next_column().unwrap().unwrap().close().unwrap(),
            }
        }
        written.close().unwrap();
    }
    let file = writer.into_inner().unwrap();
    let mut other = DataFile::clone(&good);
    other.path = good.path.replace("-1-1-1.", "-1-2-2.");
    other.size = file.len() as u64;
    world.put(&other.path, file).await;

    let joined = world.join(logs, &[good, Arc::new(other)], 1).await.unwrap();
    assert_eq!(joined.iter().map(|file| file.rows).sum::<u64>(), 8_000);
}
