//! The index of traces on a real store, joined over many logs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use query::{Engine, Query, Settings, render};
use schema::{Batch, Budget, Catalog, Clock, Door, Sink, Tenant};
use serde_json::{Value, json};
use storage::store::Store;
use storage::{Components, Reader, Source, Storage};
use tokio::time::{Instant, sleep};

use super::source::{START, batch, span};

const DAYS: i64 = 4;

/// A clock that stands a month after the rows.
#[derive(Debug)]
struct Later;

impl Clock for Later {
    fn now_unix_nano(&self) -> i64 {
        (START + 30 * 86_400) * 1_000_000_000
    }
}

async fn node(dir: &Path, store: &Store, joins: bool) -> (Arc<Storage>, Budget) {
    let mut settings = storage::Settings { disk_reserve: 0.0, ..storage::Settings::under(dir) };
    settings.compaction.enabled = joins;
    let budget = Budget::new(256 << 20);
    let components = Components {
        settings,
        catalog: Arc::new(Catalog::default()),
        store: store.clone(),
        budget: budget.clone(),
        clock: Arc::new(Later),
        meter: Default::default(),
        chance: storage::Chance::system(),
    };
    (Storage::open(components, &mut Registry::default()).await.unwrap(), budget)
}

/// Ids all over the place, as ids of traces are: each file's bounds hold nearly
/// all of them.
fn id(log: i64, day: i64, n: i64) -> String {
    let number = (log * 1_000 + day * 100 + n) as u64;
    format!("{:032x}", u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 32)
}

/// Twenty traces of two spans, of one log and day.
fn rows(log: i64, day: i64) -> Vec<Value> {
    let trace = |n: i64| {
        let at = day * 86_400 + log * 60 + n;
        [0, 1].map(|part| {
            let fields =
                json!({"trace_id": id(log, day, n), "span_id": format!("{log}-{day}-{n}-{part}")});
            span(at + part, fields)
        })
    };
    (0..20).flat_map(trace).collect()
}

/// A store that so many nodes have written to, its days joined over all logs.
async fn joined(dir: &Path, logs: i64) -> Store {
    let store = Store::open(&format!("file://{}/store", dir.display()), &Default::default());
    let store = store.unwrap();
    for log in 0..logs {
        let (node, budget) = node(&dir.join(format!("node-{log}")), &store, false).await;
        let table = node.catalog().get("spans").unwrap().clone();
        for day in 0..DAYS {
            let rows = batch(&table, &rows(log, day));
            let rows = schema::Rows::plain(&table.layout, &rows).unwrap();
            let reservation = budget.try_reserve(rows.bytes()).unwrap();
            let (tenant, table, door) = (Tenant::default(), table.clone(), Door::OtlpGrpc);
            node.append(Batch { tenant, table, door, rows, reservation }).await.unwrap();
            node.flush().await.unwrap();
        }
        assert!(node.shutdown(Duration::from_secs(20)).await.is_empty());
    }
    // Whoever holds the lease is gone; do not wait for its term.
    std::fs::remove_dir_all(dir.join("store/_lease")).unwrap();
    let (node, _) = node(&dir.join("joiner"), &store, true).await;
    all_joined(&node).await;
    assert!(node.shutdown(Duration::from_secs(20)).await.is_empty());
    store
}

async fn all_joined(node: &Storage) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let of_days = |table: &str| {
        let found = node.snapshot(&Tenant::default(), table).unwrap();
        let mixed = |file: &storage::DataFile| file.origin.is_some_and(|o| o.is_mixed());
        found.committed.len() as i64 == DAYS && found.committed.iter().all(|file| mixed(file))
    };
    while !of_days("spans") || !of_days("trace_parts") {
        assert!(Instant::now() < deadline, "the days are not joined");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The spans of a trace, and how many files were opened for them.
async fn ask(store: &Store, id: &str) -> (Vec<String>, u64) {
    let catalog = Arc::new(Catalog::default());
    let reader = Reader::open(store.clone(), catalog, Tenant::default()).await.unwrap();
    let spill = tempfile::tempdir().unwrap();
    let settings = Settings { threads: 2, ..Settings::under(spill.path()) };
    let (clock, meter) = (Arc::new(Later), Default::default());
    let engine =
        Engine::new(Arc::new(reader), settings, clock, meter, &mut Registry::default()).unwrap();
    let sql = format!("SELECT span_id FROM spans WHERE trace_id = '{id}' ORDER BY time");
    let answer = engine.run(Query::new(&sql, "test")).await.unwrap();
    let mut out = Vec::new();
    let options = render::Options::default();
    let summary = render::write(answer, render::Format::Csv, options, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    (text.lines().skip(1).map(str::to_owned).collect(), summary.files_read)
}

/// Scenario: two nodes, then sixteen, have each written to four days, in a file a
/// day; the days are joined over all logs; a trace is asked for by its id.
/// Guarantees: the files that are opened are the index's one of each day and the
/// one that has the spans: as many, however many logs there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_opens_as_many_files_of_sixteen_logs_as_of_two() {
    for logs in [2, 16] {
        let dir = tempfile::tempdir().unwrap();
        let store = joined(dir.path(), logs).await;
        for (log, day) in [(0, 0), (1, 2), (logs - 1, 3)] {
            let (spans, files) = ask(&store, &id(log, day, 7)).await;
            assert_eq!(spans, [0, 1].map(|part| format!("{log}-{day}-7-{part}")));
            assert_eq!(files, DAYS as u64 + 1, "{logs} logs, log {log}, day {day}");
        }
        let (spans, files) = ask(&store, &id(99, 9, 9)).await;
        assert_eq!((spans.len(), files), (0, DAYS as u64), "a trace that nobody sent");
    }
}
