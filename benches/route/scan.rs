//! SQL over 100,000 spans: hot in memory, then committed as Parquet files.

use std::sync::Arc;

use collector::decode::Encoding;
use criterion::{Criterion, Throughput};
use futures::TryStreamExt;
use prometheus_client::registry::Registry;
use query::{Engine, Query};
use schema::{Batch, Budget, Catalog, Clock, Door, Signal, Sink, Tenant};
use storage::storage::{Components, Storage};
use storage::store::Store;
use storage::{Settings, Source};
use tokio::runtime::Runtime;

use crate::load::{BASE, ITEMS, body, rows};

const REQUESTS: usize = 196;

const QUERIES: [(&str, &str); 4] = [
    ("count", "SELECT count(*) FROM spans"),
    (
        "red",
        "SELECT service_name, count(*), sum(CAST(is_error AS INT)), avg(duration_ns) \
         FROM spans GROUP BY service_name",
    ),
    ("trace", "SELECT name, duration_ns FROM spans WHERE trace_id = $TRACE"),
    ("attribute", "SELECT count(*) FROM spans WHERE attributes['app.key.1'] = 'value 3'"),
];

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now_unix_nano(&self) -> i64 {
        BASE as i64
    }
}

async fn answer(engine: &Engine, sql: &str) -> usize {
    let answer = engine.run(Query::new(sql, "bench")).await.expect("it is answered");
    let batches: Vec<_> = answer.rows.try_collect().await.expect("to the last row");
    batches.iter().map(|batch| batch.num_rows()).sum()
}

/// A daemon's inside: storage with the rows in it, and the engine over it.
async fn filled(dir: &std::path::Path) -> (Arc<Storage>, Arc<Engine>, String) {
    let catalog = Arc::new(Catalog::default());
    let store = format!("file://{}", dir.join("store").display());
    let components = Components {
        settings: Settings::under(dir),
        catalog: catalog.clone(),
        store: Store::open(&store, &Default::default()).expect("the store opens"),
        budget: Budget::new(1 << 30),
        clock: Arc::new(Fixed),
        meter: Default::default(),
        chance: storage::Chance::system(),
    };
    let mut registry = Registry::default();
    let budget = components.budget.clone();
    let storage = Storage::open(components, &mut registry).await.expect("the storage opens");
    for seed in 0..REQUESTS as u64 {
        let body = body(Signal::Traces, Encoding::Protobuf, seed);
        let rows = rows(&catalog, Signal::Traces, Encoding::Protobuf, &body).rows.expect("rows");
        let bytes = rows.bytes();
        let batch = Batch {
            tenant: Tenant::default(),
            table: catalog.of(Signal::Traces).clone(),
            door: Door::OtlpGrpc,
            rows,
            reservation: budget.try_reserve(bytes).expect("the budget holds it"),
        };
        storage.append(batch).await.expect("it is acked");
    }
    let source: Arc<dyn Source> = storage.clone();
    let engine = Engine::new(
        source,
        query::Settings::under(dir.join("spill")),
        Arc::new(Fixed),
        Default::default(),
        &mut registry,
    );
    let engine = engine.expect("the engine starts");
    let answer = engine.run(Query::new("SELECT min(trace_id) FROM spans", "bench")).await;
    let rows: Vec<_> = answer.expect("an answer").rows.try_collect().await.expect("a row");
    let ids = rows[0].column(0);
    let trace = arrow::util::display::array_value_to_string(ids, 0).expect("text");
    (storage, engine, trace)
}

pub fn benches(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let (storage, engine, trace) = runtime.block_on(filled(dir.path()));
    let mut group = c.benchmark_group("scan");
    group.sample_size(20);
    group.throughput(Throughput::Elements((REQUESTS * ITEMS) as u64));
    for place in ["hot", "committed"] {
        if place == "committed" {
            runtime.block_on(storage.flush()).expect("it is committed");
        }
        for (name, sql) in QUERIES {
            let sql = sql.replace("$TRACE", &format!("'{trace}'"));
            group.bench_function(format!("{place}/{name}"), |b| {
                b.to_async(&runtime).iter(|| answer(&engine, &sql));
            });
        }
    }
    group.finish();
}
