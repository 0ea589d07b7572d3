//! The same spans by ten thousand commits, joined, and in ten files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use prometheus_client::registry::Registry;
use query::{Engine, Query};
use schema::{Catalog, Tenant, Version};
use storage::Reader;
use storage::table::DeltaTable;

use crate::load::BASE;
use crate::node::{DAY, Node, Noon, cpu, memory, mib, rows, store, trace_id};

const SPANS: u64 = 100;
const COLD: usize = 9;
const WARM: usize = 25;
/// `seal.max_age` by default: how often a node commits.
const MINUTE: Duration = Duration::from_secs(60);

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
    println!(
        "{commits} commits of {SPANS} spans in {took:.1?}, joins beside them; \
         then {} live files and {:.0} MiB resident, at most {:.0}",
        node.live_files(),
        mib(memory("VmRSS")),
        mib(memory("VmHWM"))
    );
    let started = Instant::now();
    let joined = node.storage.compact().await.expect("all is joined");
    println!("what was left was joined in {:.1?}", started.elapsed());
    for table in joined.iter().filter(|table| table.files > 0) {
        println!("{}: {} files at version {:?}", table.table, table.files, table.version);
    }
    // What upkeep does within a minute and a look of the last commit.
    tokio::time::sleep(Duration::from_secs(if commits < 1_000 { 0 } else { 75 })).await;
    node.stop().await;
    for table in ["spans", "trace_parts"] {
        let (cleaned, kept) = a_week_later(many.path(), table).await;
        println!("{table}: {cleaned} old entries and checkpoints cleaned, {kept} kept");
    }

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
        "| what | ten files | {commits} commits, joined | ratio | CPU | CPU | ratio |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
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

/// At the default of a commit a minute, ten thousand take a week. Gives the log
/// the times it has then, and does what upkeep has done in it: a checkpoint now and
/// then, and entries cleaned away by the default. Says how many went and stayed.
async fn a_week_later(dir: &Path, table: &str) -> (usize, usize) {
    let (store, tenant) = (store(dir), Tenant::default());
    let table = Catalog::default().get(table).expect("a table").clone();
    let opened = DeltaTable::open(&store, &tenant, table.clone(), None).await;
    let newest = opened.expect("the table opens").current().expect("a version").version;
    let keep = storage::Settings::under(dir).compaction.log_retention;
    let kept = keep.as_secs() / MINUTE.as_secs();
    let log = dir.join("store").join(tenant.as_str()).join(table.name).join("_delta_log");
    for old in [Version(newest.0.saturating_sub(kept + 100)), newest] {
        let written = storage::table::checkpoint(&store, &tenant, &table, old).await;
        written.expect("a checkpoint is written");
    }
    let now = std::fs::metadata(&log).and_then(|log| log.modified()).expect("a time");
    let names = || std::fs::read_dir(&log).expect("a log").map(|entry| entry.expect("an entry"));
    for entry in names() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(version) = name.get(..20).and_then(|digits| digits.parse::<u64>().ok()) else {
            continue;
        };
        let ago = MINUTE * u32::try_from(newest.0 - version).expect("few versions");
        let file = std::fs::File::options().append(true).open(entry.path()).expect("it opens");
        file.set_modified(now - ago).expect("its time can be set");
    }
    let cleaned = storage::table::clean_log(&store, &tenant, &table, keep).await;
    (cleaned.expect("the log is cleaned"), names().count())
}

async fn append(node: &Node, commit: u64, commits: u64) {
    let share = DAY / commits;
    let times = BASE + commit * share..BASE + (commit + 1) * share;
    let catalog = Catalog::default();
    node.append(rows(&catalog, commit * SPANS..(commit + 1) * SPANS, times)).await;
}

/// What one thing took.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    /// Of all threads of this process: other processes lengthen it little.
    cpu: Duration,
}

fn tell(what: &str, few: Took, many: Took) {
    let ratio = |few: Duration, many: Duration| many.as_secs_f64() / few.as_secs_f64();
    println!(
        "| {what} | {:.2?} | {:.2?} | {:.2} | {:.2?} | {:.2?} | {:.2} |",
        few.wall,
        many.wall,
        ratio(few.wall, many.wall),
        few.cpu,
        many.cpu,
        ratio(few.cpu, many.cpu)
    );
}

/// Runs it, and what that took.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Took) {
    let (started, cpu) = (Instant::now(), cpu());
    let done = work.await;
    (done, Took { wall: started.elapsed(), cpu: self::cpu().saturating_sub(cpu) })
}

/// The kernel counts the processors' time in ticks, so of that it is the mean.
fn median(took: Vec<Took>) -> Took {
    let count = took.len();
    let mut wall: Vec<Duration> = took.iter().map(|took| took.wall).collect();
    wall.sort_unstable();
    let cpu: Duration = took.iter().map(|took| took.cpu).sum();
    Took { wall: wall[count / 2], cpu: cpu / count as u32 }
}

/// Loading the table of spans, as a start does.
async fn opened(dir: &Path) -> Took {
    let catalog = Catalog::default();
    let spans = catalog.get("spans").expect("a table").clone();
    let mut all = Vec::new();
    for _ in 0..WARM {
        let (store, tenant) = (store(dir), Tenant::default());
        let open = DeltaTable::open(&store, &tenant, spans.clone(), None);
        let (opened, took) = timed(open).await;
        assert!(opened.expect("the table opens").current().is_some());
        all.push(took);
    }
    median(all)
}

struct Asked {
    rows: usize,
    files: u64,
    /// By an engine that has read no footer yet.
    first: Took,
    again: Took,
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

async fn answered(engine: &Engine, sql: &str) -> (usize, u64, Took) {
    let work = async {
        let answer = engine.run(Query::new(sql, "bench")).await.expect("it is answered");
        let stats = answer.stats.clone();
        let batches: Vec<_> = answer.rows.try_collect().await.expect("to the last row");
        (batches, stats)
    };
    let ((batches, stats), took) = timed(work).await;
    (batches.iter().map(|batch| batch.num_rows()).sum(), stats.summary().files_read, took)
}
