//! The same spans by ten thousand commits, joined, and in ten files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use prometheus_client::registry::Registry;
use query::{Engine, Query};
use schema::{Catalog, Tenant};
use storage::Reader;
use storage::table::DeltaTable;

use crate::load::BASE;
use crate::node::{DAY, Node, Noon, rows, store, trace_id};

const SPANS: u64 = 100;
const COLD: usize = 9;
const WARM: usize = 25;

pub async fn run(commits: u64) {
    let (many, few) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let started = Instant::now();
    let node = Node::start(many.path(), true).await;
    for commit in 0..commits {
        append(&node, commit, commits).await;
        node.storage.flush().await.expect("it is committed");
    }
    let took = started.elapsed();
    println!("{commits} commits of {SPANS} spans in {took:.1?}, joins beside them");
    let joined = node.storage.compact().await.expect("all is joined");
    for table in joined.iter().filter(|table| table.files > 0) {
        println!("{}: {} files at version {:?}", table.table, table.files, table.version);
    }
    // What upkeep does within a minute and a look of the last commit.
    tokio::time::sleep(Duration::from_secs(if commits < 1_000 { 0 } else { 75 })).await;
    node.stop().await;

    let node = Node::start(few.path(), false).await;
    for commit in 0..commits {
        append(&node, commit, commits).await;
        if (commit + 1) % commits.div_ceil(10) == 0 {
            node.storage.flush().await.expect("it is committed");
        }
    }
    node.stop().await;

    let id: String = trace_id(commits * SPANS / 2).iter().map(|b| format!("{b:02x}")).collect();
    let questions = [
        ("count", "SELECT count(*) FROM spans".to_owned()),
        (
            "last five minutes of a service",
            "SELECT time, name, duration_ns, attributes FROM spans \
             WHERE service_name = 'service-07' AND time >= TIMESTAMP '2026-01-01T23:55:00Z'"
                .to_owned(),
        ),
        ("a trace by id", format!("SELECT * FROM spans WHERE trace_id = '{id}'")),
    ];
    println!(
        "| what | ten files | {commits} commits, joined | ratio |\n| --- | ---: | ---: | ---: |"
    );
    tell("opening the table", opened(few.path()).await, opened(many.path()).await);
    for (what, sql) in &questions {
        let (a, b) = (asked(few.path(), sql).await, asked(many.path(), sql).await);
        assert_eq!(a.rows, b.rows, "{what}: the rows differ");
        assert!(a.rows > 0, "{what}: no rows");
        tell(&format!("{what}, first time"), a.first, b.first);
        tell(&format!("{what}, again"), a.again, b.again);
        println!("files opened for {what}: {} and {}", a.files, b.files);
    }
}

async fn append(node: &Node, commit: u64, commits: u64) {
    let share = DAY / commits;
    let times = BASE + commit * share..BASE + (commit + 1) * share;
    let catalog = Catalog::default();
    node.append(rows(&catalog, commit * SPANS..(commit + 1) * SPANS, times)).await;
}

fn tell(what: &str, few: Duration, many: Duration) {
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    println!("| {what} | {few:.2?} | {many:.2?} | {ratio:.2} |");
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

/// Loading the table of spans, as a start does.
async fn opened(dir: &Path) -> Duration {
    let catalog = Catalog::default();
    let spans = catalog.get("spans").expect("a table").clone();
    let mut took = Vec::new();
    for _ in 0..COLD {
        let (store, started) = (store(dir), Instant::now());
        let opened = DeltaTable::open(&store, &Tenant::default(), spans.clone(), None).await;
        let opened = opened.expect("the table opens");
        took.push(started.elapsed());
        assert!(opened.current().is_some());
    }
    median(took)
}

struct Asked {
    rows: usize,
    files: u64,
    /// By an engine that has read no footer yet.
    first: Duration,
    again: Duration,
}

async fn asked(dir: &Path, sql: &str) -> Asked {
    let catalog = Arc::new(Catalog::default());
    let reader = Reader::open(store(dir), catalog, Tenant::default()).await;
    let reader = Arc::new(reader.expect("the store opens"));
    let engine = || {
        let settings = query::Settings::under(dir.join("spill"));
        let (clock, meter) = (Arc::new(Noon), Default::default());
        Engine::new(reader.clone(), settings, clock, meter, &mut Registry::default())
            .expect("the engine starts")
    };
    let mut first = Vec::new();
    for _ in 0..COLD {
        let engine = engine();
        // Planning for the first time is no matter of files.
        answered(&engine, "SELECT 1").await;
        first.push(answered(&engine, sql).await.2);
    }
    let engine = engine();
    let (rows, files, _) = answered(&engine, sql).await;
    let mut again = Vec::new();
    for _ in 0..WARM {
        again.push(answered(&engine, sql).await.2);
    }
    Asked { rows, files, first: median(first), again: median(again) }
}

async fn answered(engine: &Engine, sql: &str) -> (usize, u64, Duration) {
    let started = Instant::now();
    let answer = engine.run(Query::new(sql, "bench")).await.expect("it is answered");
    let stats = answer.stats.clone();
    let batches: Vec<_> = answer.rows.try_collect().await.expect("to the last row");
    let took = started.elapsed();
    (batches.iter().map(|batch| batch.num_rows()).sum(), stats.summary().files_read, took)
}
