//! A whole storage on a local or in-memory store: append, see, flush, stop
//! without notice, start again.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Int64Type;
use prometheus_client::registry::Registry;
use schema::{
    Batch, Budget, Catalog, Clock, Door, ErrorKind, Rows, Signal, Sink, TableDef, Tenant,
};
use storage::store::Store;
use storage::{Components, Settings, Snapshot, Source, Storage};

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now_unix_nano(&self) -> i64 {
        1_790_000_000_000_000_000
    }
}

pub struct Node {
    pub storage: Arc<Storage>,
    pub budget: Budget,
    pub catalog: Arc<Catalog>,
}

/// Whatever else lies on the machine's disk is not these tests' matter.
pub fn settings(dir: &std::path::Path) -> Settings {
    Settings { disk_reserve: 0.0, ..Settings::under(dir) }
}

pub async fn start(url: &str, settings: Settings) -> Node {
    let store = Store::open(url, &Default::default()).unwrap();
    start_on(store, settings).await
}

pub async fn start_on(store: Store, settings: Settings) -> Node {
    start_with(store, settings).await.0
}

/// With the registry of its metrics.
pub async fn start_with(store: Store, settings: Settings) -> (Node, Registry) {
    let catalog = Arc::new(Catalog::default());
    let budget = Budget::new(256 << 20);
    let mut tries = 0;
    loop {
        let components = Components {
            settings: settings.clone(),
            catalog: catalog.clone(),
            store: store.clone(),
            budget: budget.clone(),
            clock: Arc::new(Noon),
            meter: Default::default(),
            chance: storage::Chance::system(),
        };
        let mut registry = Registry::default();
        match Storage::open(components, &mut registry).await {
            Ok(storage) => return (Node { storage, budget, catalog }, registry),
            // A storage that was dropped lets go of its log a moment later.
            Err(error) if tries < 100 => {
                tries += 1;
                assert!(
                    error.to_string().contains("lock") || error.to_string().contains("another"),
                    "{error}"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Spans with these ids, all of one trace per ten.
pub fn spans(table: &TableDef, ids: std::ops::Range<i64>) -> RecordBatch {
    let n = ids.clone().count();
    let text = |f: &dyn Fn(i64) -> String| {
        Arc::new(StringArray::from_iter_values(ids.clone().map(f))) as ArrayRef
    };
    let columns: Vec<ArrayRef> = table
        .schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "time" => Arc::new(
                TimestampMicrosecondArray::from_iter_values(ids.clone()).with_timezone("UTC"),
            ) as ArrayRef,
            "time_unix_nano" => Arc::new(Int64Array::from_iter_values(ids.clone())),
            "service_name" => text(&|id| format!("service-{}", id % 3)),
            "trace_id" => text(&|id| format!("{:032x}", id / 10 + 1)),
            "span_id" => text(&|id| format!("{id:016x}")),
            "date" => Arc::new(Date32Array::from_iter_values(
                ids.clone().map(|id| 20_000 + (id % 2) as i32),
            )),
            _ => new_null_array(field.data_type(), n),
        })
        .collect();
    RecordBatch::try_new(table.schema.clone(), columns).unwrap()
}

impl Node {
    pub async fn append(&self, ids: std::ops::Range<i64>) -> Result<schema::Ack, schema::Refusal> {
        self.append_rows(spans(self.catalog.of(Signal::Traces), ids)).await
    }

    pub async fn append_rows(&self, rows: RecordBatch) -> Result<schema::Ack, schema::Refusal> {
        let table = self.catalog.of(Signal::Traces).clone();
        let rows = Rows::plain(&table.layout, &rows).unwrap();
        let reservation = self.budget.try_reserve(rows.bytes()).unwrap();
        let batch =
            Batch { tenant: Tenant::default(), table, door: Door::OtlpGrpc, rows, reservation };
        self.storage.append(batch).await
    }

    pub fn snapshot(&self, table: &str) -> Snapshot {
        self.storage.snapshot(&Tenant::default(), table).unwrap()
    }

    /// Ids of hot rows, and the number of rows in files.
    pub fn seen(&self) -> (Vec<i64>, u64) {
        let snapshot = self.snapshot("spans");
        let mut hot: Vec<i64> = Vec::new();
        for rows in snapshot.hot.iter() {
            hot.extend(
                rows.rows.column("time_unix_nano").unwrap().as_primitive::<Int64Type>().values(),
            );
        }
        hot.sort_unstable();
        let files = snapshot.committed.iter().chain(snapshot.staged.iter());
        (hot, files.map(|file| file.rows).sum())
    }

    /// L1: every line of the ledger adds up, and `accepted` is what we sent.
    pub fn balanced(&self, accepted: u64) {
        let rows = self.storage.ledger();
        for row in &rows {
            let dropped: u64 = row.dropped.iter().map(|(_, n)| n).sum();
            assert_eq!(row.accepted, row.persisted + row.in_flight + dropped, "{row:?}");
        }
        assert_eq!(rows.iter().map(|row| row.accepted).sum::<u64>(), accepted);
    }
}

pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Scenario: rows are appended, flushed, and more appended; then the storage is
/// dropped without notice and opened again, twice, on a local store.
/// Guarantees: D2 rows are there with the ack; S1 each once in every state; D4
/// a restart brings back exactly what is not committed; L1 over all of it.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d4_a_restart_brings_back_every_acked_row_once() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", dir.path().display());
    let settings = settings(dir.path());

    let node = start(&url, settings.clone()).await;
    node.append(0..100).await.unwrap();
    assert_eq!(node.seen(), ((0..100).collect(), 0));
    node.balanced(100);
    let flushed = node.storage.flush().await.unwrap();
    assert!(flushed.iter().any(|f| f.table == "spans" && f.version.is_some()), "{flushed:?}");
    assert_eq!(node.seen(), (vec![], 100));
    node.append(100..150).await.unwrap();
    assert_eq!(node.seen(), ((100..150).collect(), 100));
    node.balanced(150);
    drop(node);

    for _ in 0..2 {
        let node = start(&url, settings.clone()).await;
        node.balanced(150);
        // The committed part is there as soon as the store has answered.
        until("the table is loaded", || node.snapshot("spans").incomplete.is_none()).await;
        assert_eq!(node.seen(), ((100..150).collect(), 100));
        node.balanced(150);
    }

    let node = start(&url, settings.clone()).await;
    assert!(node.storage.shutdown(Duration::from_secs(20)).await.is_empty());
    drop(node);
    let node = start(&url, settings).await;
    node.storage.flush().await.unwrap();
    assert_eq!(node.seen(), (vec![], 150));
    node.balanced(150);
}

/// Scenario: spans of ten traces are flushed in two parts, with more still hot.
/// Guarantees: S1 for the derived table: `trace_parts` speaks of every span
/// once, wherever the span lies.
#[tokio::test(flavor = "multi_thread")]
async fn inv_s1_trace_parts_follow_the_spans() {
    let dir = tempfile::tempdir().unwrap();
    let node = start("memory://", settings(dir.path())).await;
    node.append(0..30).await.unwrap();
    node.storage.flush().await.unwrap();
    node.append(30..50).await.unwrap();
    let parts = node.snapshot("trace_parts");
    assert!(parts.incomplete.is_none());
    let hot: i64 = parts
        .hot
        .iter()
        .map(|hot| {
            hot.rows
                .column("span_count")
                .unwrap()
                .as_primitive::<Int64Type>()
                .values()
                .iter()
                .sum::<i64>()
        })
        .sum();
    assert_eq!(hot, 20);
    // Ten spans a trace, two days a trace: three traces in six parts.
    assert_eq!(parts.committed.iter().map(|file| file.rows).sum::<u64>(), 6);
    assert_eq!(node.seen(), ((30..50).collect(), 30));
}

/// Scenario: the log may hold little and the stage nothing, then the stage gets room.
/// Guarantees: bounded disk with refusal, not loss: refusals are retryable, what
/// was acked is there after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f13_a_full_log_refuses_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.wal.segment_bytes = 1 << 20;
    settings.wal.max_bytes = 2 << 20;
    settings.stage.max_bytes = 0;
    let node = start("memory://", settings.clone()).await;
    let mut acked = 0;
    let refusal = loop {
        match node.append(acked..acked + 5000).await {
            Ok(_) => acked += 5000,
            Err(refusal) => break refusal,
        }
        assert!(acked < 2_000_000, "the log never refused");
    };
    assert_eq!(refusal.kind, ErrorKind::Unavailable);
    assert!(refusal.retry_after.is_some());
    // Red from a refusal to the log's next look at itself.
    for attempt in 0.. {
        assert!(attempt < 1000, "readiness stays green");
        if node.append(acked..acked + 5000).await.is_ok() {
            acked += 5000;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        if node.storage.ready().is_err() {
            break;
        }
    }
    node.balanced(acked as u64);
    drop(node);

    settings.stage.max_bytes = 1 << 30;
    let node = start("memory://", settings).await;
    node.balanced(acked as u64);
    node.storage.flush().await.unwrap();
    node.append(acked..acked + 10).await.unwrap();
    assert_eq!(node.seen(), ((acked..acked + 10).collect(), acked as u64));
    until("readiness is green", || node.storage.ready().is_ok()).await;
    node.balanced(acked as u64 + 10);
}

/// Scenario: a hundred requests at once.
/// Guarantees: D1/D2 under group commit: every ack is visible, each row once,
/// and far fewer log records than requests were written.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d1_requests_share_a_group_commit() {
    let dir = tempfile::tempdir().unwrap();
    let node = Arc::new(start("memory://", settings(dir.path())).await);
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..100i64 {
        let node = node.clone();
        tasks.spawn(async move { node.append(client * 10..client * 10 + 10).await.unwrap() });
    }
    let acks: Vec<_> = tasks.join_all().await;
    assert_eq!(node.seen(), ((0..1000).collect(), 0));
    let mut positions: Vec<u64> = acks.iter().map(|ack| ack.position.0).collect();
    positions.sort_unstable();
    positions.dedup();
    assert!(positions.len() < 100, "{} records for 100 requests", positions.len());
    node.balanced(1000);
}
