//! A `storage::Source` whose every file and row a test puts in place.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use schema::{Catalog, Position, Rows, TableDef, Tenant, Version, WalId};
use serde_json::{Map, Value, json};
use storage::table::Watermarks;
use storage::{DataFile, HotRows, LedgerRow, Origin, Place, SegmentInfo, Snapshot, Source, encode};

/// 2026-11-23T10:00:00Z in seconds.
pub const START: i64 = 1_795_428_000;

#[derive(Default)]
struct Shelf {
    version: Option<Version>,
    incomplete: Option<String>,
    committed: Vec<Arc<DataFile>>,
    staged: Vec<Arc<DataFile>>,
    hot: Vec<Arc<HotRows>>,
    watermarks: Watermarks,
}

pub struct TestSource {
    catalog: Catalog,
    store: Arc<InMemory>,
    stage: Arc<InMemory>,
    /// What stands before the store, if anything does.
    front: Mutex<Option<Arc<dyn ObjectStore>>>,
    shelves: Mutex<HashMap<&'static str, Shelf>>,
    pub ledger: Mutex<Vec<LedgerRow>>,
    pub segments: Mutex<Vec<SegmentInfo>>,
    /// What the disk is said to have for spilling.
    pub spill_room: AtomicU64,
    /// Whether whoever looks at the ledger panics.
    pub panics: AtomicBool,
}

impl TestSource {
    pub fn new() -> Arc<TestSource> {
        TestSource::with(Catalog::default())
    }

    pub fn with(catalog: Catalog) -> Arc<TestSource> {
        Arc::new(TestSource {
            catalog,
            store: Arc::default(),
            stage: Arc::default(),
            front: Mutex::default(),
            shelves: Mutex::default(),
            ledger: Mutex::default(),
            segments: Mutex::default(),
            spill_room: AtomicU64::new(u64::MAX),
            panics: AtomicBool::new(false),
        })
    }

    pub fn def(&self, table: &str) -> Arc<TableDef> {
        self.catalog.get(table).unwrap().clone()
    }

    /// The store itself.
    pub fn sound(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// Engines that are made from here on read this instead.
    pub fn wrap(&self, front: Arc<dyn ObjectStore>) {
        *self.front.lock() = Some(front);
    }

    /// Puts rows into memory.
    pub fn hot(&self, table: &'static str, rows: &[Value]) {
        self.hot_batch(table, batch(&self.def(table), rows));
    }

    pub fn hot_batch(&self, table: &'static str, rows: RecordBatch) {
        let rows = Rows::plain(&self.def(table).layout, &rows).unwrap();
        let mut shelves = self.shelves.lock();
        shelves.entry(table).or_default().hot.push(Arc::new(HotRows::unpaid(rows)));
    }

    /// Commits rows as files, one per day, of one stretch of a log.
    pub async fn commit(&self, table: &'static str, origin: Option<Origin>, rows: &[Value]) {
        let batch = batch(&self.def(table), rows);
        self.file(table, Place::Store, origin, batch).await;
    }

    pub async fn stage(&self, table: &'static str, origin: Option<Origin>, rows: &[Value]) {
        let batch = batch(&self.def(table), rows);
        self.file(table, Place::Stage, origin, batch).await;
    }

    pub async fn commit_batch(
        &self,
        table: &'static str,
        origin: Option<Origin>,
        rows: RecordBatch,
    ) {
        self.file(table, Place::Store, origin, rows).await;
    }

    /// Commits spans and what follows from them, as a flush does.
    pub async fn flush(&self, origin: Option<Origin>, rows: &[Value]) {
        self.flush_batch(origin, batch(&self.def("spans"), rows)).await;
    }

    pub async fn flush_batch(&self, origin: Option<Origin>, batch: RecordBatch) {
        let spans = self.def("spans");
        let derived = spans.derived.as_ref().unwrap();
        let parts = (derived.derive)(&batch, &derived.table.schema).unwrap();
        self.file("spans", Place::Store, origin, batch).await;
        self.file("trace_parts", Place::Store, origin, parts).await;
    }

    async fn file(
        &self,
        table: &'static str,
        place: Place,
        origin: Option<Origin>,
        rows: RecordBatch,
    ) {
        let def = self.def(table);
        let batches = [Rows::plain(&def.layout, &rows).unwrap()];
        for day in encode::days(&def, &batches).unwrap() {
            let mut bytes = Vec::new();
            let encoded = encode::write(&def, &batches, &day, &mut bytes).unwrap();
            let number =
                self.shelves.lock().get(table).map_or(0, |s| s.committed.len() + s.staged.len());
            let date = chrono_date(day.date);
            let path = format!("default/{table}/date={date}/{number:04}.parquet");
            let store: &dyn ObjectStore = match place {
                Place::Store => self.store.as_ref(),
                Place::Stage => self.stage.as_ref(),
            };
            store.put(&Path::parse(&path).unwrap(), bytes.into()).await.unwrap();
            let file = Arc::new(DataFile {
                place,
                path,
                size: encoded.size,
                rows: encoded.rows,
                date: day.date,
                stats: encoded.stats,
                origin,
            });
            let mut shelves = self.shelves.lock();
            let shelf = shelves.entry(table).or_default();
            match place {
                Place::Store => {
                    shelf.version = Some(Version(shelf.version.map_or(0, |v| v.0 + 1)));
                    shelf.committed.push(file);
                }
                Place::Stage => shelf.staged.push(file),
            }
        }
    }

    /// Changes the committed files as they are listed, not as they are.
    pub fn relist(&self, table: &'static str, change: impl Fn(&mut DataFile)) {
        let mut shelves = self.shelves.lock();
        for file in &mut shelves.get_mut(table).unwrap().committed {
            change(Arc::make_mut(file));
        }
    }

    /// Takes over another source's committed files of a table.
    pub async fn adopt(&self, other: &TestSource, table: &'static str) {
        let files = other.shelves.lock().get(table).unwrap().committed.clone();
        for file in &files {
            let path = Path::parse(&file.path).unwrap();
            let bytes = other.store.get(&path).await.unwrap().bytes().await.unwrap();
            self.store.put(&path, bytes.into()).await.unwrap();
        }
        let mut shelves = self.shelves.lock();
        let shelf = shelves.entry(table).or_default();
        shelf.version = Some(Version(0));
        shelf.committed.extend(files);
    }

    /// Joins the committed files of an index as far as their names go: whose rows
    /// they tell of is known by its watermarks alone, up to `last`.
    pub fn joined(&self, table: &'static str, last: u64) {
        let mut shelves = self.shelves.lock();
        let shelf = shelves.get_mut(table).unwrap();
        for file in &mut shelf.committed {
            Arc::make_mut(file).origin = Some(Origin::mixed(WalId(9)));
        }
        shelf.watermarks.insert(WalId(7), Position(last));
    }

    pub fn incomplete(&self, table: &'static str, why: &str) {
        self.shelves.lock().entry(table).or_default().incomplete = Some(why.into());
    }

    /// Removes a table's rows altogether.
    pub fn forget(&self, table: &'static str) {
        self.shelves.lock().remove(table);
    }

    /// Halves the objects but not what is listed of them.
    pub async fn cut_objects(&self, table: &'static str) {
        let files = self.shelves.lock().get(table).unwrap().committed.clone();
        for file in files {
            let path = Path::parse(&file.path).unwrap();
            let half = self.store.get_range(&path, 0..file.size / 2).await.unwrap();
            self.store.put(&path, half.into()).await.unwrap();
        }
    }

    /// Removes the objects but not the listing.
    pub async fn lose_objects(&self, table: &'static str) {
        let files = self.shelves.lock().get(table).unwrap().committed.clone();
        for file in files {
            self.store.delete(&Path::parse(&file.path).unwrap()).await.unwrap();
        }
    }
}

impl Source for TestSource {
    fn snapshot(&self, tenant: &Tenant, table: &str) -> Option<Snapshot> {
        let def = self.catalog.get(table)?.clone();
        let shelves = self.shelves.lock();
        let empty = Shelf::default();
        let own = *tenant == Tenant::default();
        let shelf = shelves.get(table).filter(|_| own).unwrap_or(&empty);
        Some(Snapshot {
            tenant: tenant.clone(),
            table: def,
            version: shelf.version,
            incomplete: shelf.incomplete.clone(),
            committed: shelf.committed.clone().into(),
            watermarks: Arc::new(shelf.watermarks.clone()),
            staged: shelf.staged.clone().into(),
            hot: shelf.hot.clone().into(),
        })
    }

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.front.lock().clone().unwrap_or_else(|| self.store.clone())
    }

    fn stage(&self) -> Arc<dyn ObjectStore> {
        self.stage.clone()
    }

    fn spill_room(&self) -> u64 {
        self.spill_room.load(Ordering::Relaxed)
    }

    fn ledger(&self) -> Vec<LedgerRow> {
        assert!(!self.panics.load(Ordering::Relaxed), "as it was told");
        self.ledger.lock().clone()
    }

    fn wal_segments(&self) -> Vec<SegmentInfo> {
        self.segments.lock().clone()
    }
}

/// A stretch of the one log.
pub fn origin(first: u64, last: u64) -> Option<Origin> {
    Some(Origin { wal_id: WalId(7), first: Position(first), last: Position(last) })
}

/// A span `seconds` after [`START`] with fields on top.
pub fn span(seconds: i64, fields: Value) -> Value {
    let at = START + seconds;
    let mut row = json!({
        "time": at * 1_000_000, "time_unix_nano": at * 1_000_000_000, "date": at / 86_400,
        "service_name": "shop", "name": "GET /", "kind": "SERVER", "duration_ns": 2_500_000,
        "is_error": false, "attributes": {}, "resource_attributes": {}, "scope_attributes": {},
    });
    overlay(row.as_object_mut().unwrap(), fields);
    row
}

pub fn log(seconds: i64, fields: Value) -> Value {
    let at = START + seconds;
    let mut row = json!({
        "time": at * 1_000_000, "time_unix_nano": at * 1_000_000_000, "date": at / 86_400,
        "service_name": "shop", "body": "hello", "severity": "INFO",
        "attributes": {}, "resource_attributes": {}, "scope_attributes": {},
    });
    overlay(row.as_object_mut().unwrap(), fields);
    row
}

/// A point of a metric `seconds` after [`START`].
pub fn point(seconds: i64, name: &str, series: i64, fields: Value) -> Value {
    let at = START + seconds;
    let mut row = json!({
        "time": at * 1_000_000, "time_unix_nano": at * 1_000_000_000, "date": at / 86_400,
        "service_name": "shop", "metric_name": name, "series_id": series, "metric_kind": "SUM",
        "temporality": "CUMULATIVE", "is_monotonic": true, "flags": 0,
        "attributes": {}, "resource_attributes": {}, "scope_attributes": {},
    });
    overlay(row.as_object_mut().unwrap(), fields);
    row
}

fn overlay(row: &mut Map<String, Value>, fields: Value) {
    for (name, value) in fields.as_object().unwrap() {
        row.insert(name.clone(), value.clone());
    }
}

pub fn batch(def: &TableDef, rows: &[Value]) -> RecordBatch {
    let mut decoder = ReaderBuilder::new(def.schema.clone())
        .with_batch_size(rows.len().max(1))
        .with_strict_mode(true)
        .build_decoder()
        .unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap()
}

fn chrono_date(days: i32) -> String {
    let date = chrono::DateTime::from_timestamp(i64::from(days) * 86_400, 0).unwrap();
    date.format("%Y-%m-%d").to_string()
}
