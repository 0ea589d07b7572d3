//! Commits: together, in order, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use schema::{ErrorKind, Position, Tenant, Version, WalId};
use serde_json::Value;
use storage::store::Store;
use storage::table::{DeltaTable, verify};
use tokio::task::JoinSet;

use crate::faulty::{Answer, Fault, Faulty};
use crate::stage_world::{LOG, World, row_count};

async fn entry(store: &Store, table: &str, version: u64) -> Vec<Value> {
    let path = Path::from(format!("default/{table}/_delta_log/{version:020}.json"));
    let bytes = store.objects().get(&path).await.unwrap().bytes().await.unwrap();
    bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

const FINE: Option<Fault> = None;
const BEFORE: Option<Fault> = Some(Fault::Before(Answer::Reset));
const AFTER: Option<Fault> = Some(Fault::After(Answer::Reset));

/// The world's store, over which the n-th put of an entry meets the n-th fault.
fn faulty(world: &World, plan: &[Option<Fault>]) -> (Store, Faulty) {
    let faulty = Faulty::new(world.store.objects(), 1);
    faulty.plan(plan);
    (world.store.wrapped(|_| Arc::new(faulty.clone())), faulty)
}

async fn open(store: &Store, world: &World, table: &str, log: WalId) -> DeltaTable {
    DeltaTable::open(store, &Tenant::default(), world.table(table), Some(log)).await.unwrap()
}

/// Scenario: ranges of every table are committed to a local and to an
/// in-memory store; then the tables are loaded afresh.
/// Guarantees: C1, files and watermark are one entry and come back together,
/// and every file is as it was staged, with bounds that hold (verify).
#[tokio::test]
async fn inv_c1_files_and_watermark_come_back_together() {
    for local in [true, false] {
        let world = World::new(local);
        let stage = world.stage();
        for (name, last) in [("spans", 5), ("logs", 8), ("metrics", 12), ("trace_parts", 20)] {
            let mut table = world.delta(name, Some(LOG)).await;
            assert_eq!(table.current().unwrap().version, Version(0));
            let files = world.staged(&stage, name, last - 2, last).await;
            let committed = table.commit(files.clone(), Position(last)).await.unwrap();
            assert_eq!((committed.version, committed.watermark), (Version(1), Position(last)));
            let lines = entry(&world.store, name, 1).await;
            let has = |key: &str| lines.iter().filter(|line| line.get(key).is_some()).count();
            assert_eq!((has("txn"), has("add"), has("commitInfo")), (1, 2, 1));
            assert_eq!(lines[0]["commitInfo"]["isBlindAppend"], true);

            let loaded = world.delta(name, Some(LOG)).await.current().unwrap();
            assert_eq!((loaded.version, loaded.watermark), (Version(1), Position(last)));
            assert_eq!(loaded.files, committed.files, "loaded and followed agree");
            for (file, staged) in loaded.files.iter().zip(&files) {
                let facts =
                    |f: &storage::DataFile| (f.path.clone(), f.size, f.rows, f.date, f.origin);
                assert_eq!(facts(file), facts(staged));
            }
            assert_eq!(
                verify(&world.store, &Tenant::default(), &world.table(name)).await.unwrap(),
                []
            );
            let stranger = world.delta(name, Some(WalId(9))).await.current().unwrap();
            assert_eq!((stranger.watermark, row_count(&stranger)), (Position::ZERO, 60));
        }
    }
}

/// Scenario: the store stores the entry and answers an error, answers an error
/// and stores nothing, and both in turn, at creation and at commits.
/// Guarantees: C3 and F7, the outcome is read: each range is there once.
#[tokio::test]
async fn inv_c3_a_lost_answer_is_settled_by_reading() {
    let plans: [&[Option<Fault>]; 5] = [
        &[FINE, AFTER, AFTER],
        &[BEFORE, BEFORE, AFTER],
        &[AFTER, BEFORE, FINE],
        &[FINE, BEFORE, AFTER, BEFORE, BEFORE, AFTER],
        &[BEFORE, AFTER, AFTER, BEFORE, FINE],
    ];
    for plan in plans {
        let world = World::new(false);
        let stage = world.stage();
        let (store, faults) = faulty(&world, plan);
        let mut table = open(&store, &world, "logs", LOG).await;
        for (first, last) in [(1, 5), (6, 7), (8, 20)] {
            let files = world.staged(&stage, "logs", first, last).await;
            let committed = table.commit(files, Position(last)).await.unwrap();
            assert_eq!(committed.watermark, Position(last));
        }
        let planned = plan.iter().flatten().count() as u64;
        let struck = faults.did("refused") + faults.did("answer lost");
        assert_eq!(struck, planned, "{plan:?}");
        let loaded = world.delta("logs", Some(LOG)).await.current().unwrap();
        assert_eq!((loaded.version, row_count(&loaded)), (Version(3), 180), "{plan:?}");
        let adds = [1, 2, 3].map(|version| entry(&world.store, "logs", version));
        for lines in futures::future::join_all(adds).await {
            assert_eq!(lines.iter().filter(|line| line.get("add").is_some()).count(), 2);
        }
    }
}

/// Scenario: an entry lands, its answer never comes, and the commit's deadline
/// passes; meanwhile more is staged, and everything is committed again.
/// Guarantees: C3 and F7, the first range is not added a second time.
#[tokio::test]
async fn fault_f7_an_answer_that_never_comes_is_found_later() {
    let world = World::new(false);
    let stage = world.stage();
    let (store, _) = faulty(&world, &[FINE, Some(Fault::Silent)]);
    let table = open(&store, &world, "logs", LOG).await;
    let mut table = table.with_deadline(Duration::from_millis(300));
    let mut files = world.staged(&stage, "logs", 1, 5).await;
    let late = table.commit(files.clone(), Position(5)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::DeadlineExceeded, "{late}");
    files.extend(world.staged(&stage, "logs", 6, 9).await);
    let committed = table.commit(files, Position(9)).await.unwrap();
    assert_eq!((committed.version, committed.watermark), (Version(2), Position(9)));
    assert_eq!(row_count(&committed), 120);
    let second = entry(&world.store, "logs", 2).await;
    assert_eq!(second.iter().filter(|line| line.get("add").is_some()).count(), 2);
}

/// Scenario: a node dies after the commit and before it forgot the range, and
/// commits it again after its restart; a range across the watermark follows.
/// Guarantees: F8, what is committed is skipped; the impossible range is
/// refused rather than doubled.
#[tokio::test]
async fn fault_f8_a_range_is_never_committed_twice() {
    let world = World::new(true);
    let stage = world.stage();
    let files = world.staged(&stage, "logs", 1, 5).await;
    let mut table = world.delta("logs", Some(LOG)).await;
    table.commit(files.clone(), Position(5)).await.unwrap();
    table.commit(files.clone(), Position(5)).await.unwrap();
    let mut restarted = world.delta("logs", Some(LOG)).await;
    let committed = restarted.commit(files, Position(5)).await.unwrap();
    assert_eq!((committed.version, row_count(&committed)), (Version(1), 60));
    let across = world.staged(&stage, "logs", 4, 8).await;
    assert_eq!(restarted.commit(across, Position(8)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let empty = restarted.commit(Vec::new(), Position(9)).await.unwrap();
    assert_eq!((empty.version, empty.watermark), (Version(2), Position(9)));
}

/// Scenario: files are to be committed that were never uploaded, or cut.
/// Guarantees: F6, no entry names an object that is not there and whole.
#[tokio::test]
async fn fault_f6_no_entry_names_a_missing_object() {
    let world = World::new(false);
    let stage = world.stage();
    let mut table = world.delta("logs", Some(LOG)).await;
    let staged = stage.write(&world.sealed("logs", 1, 2)).unwrap();
    let files = staged.outputs[0].files.clone();
    let missing = table.commit(files.clone(), Position(2)).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    world.store.objects().put(&files[0].location().unwrap(), "cut".into()).await.unwrap();
    let path = files[1].location().unwrap();
    let whole = stage.objects().get(&path).await.unwrap().bytes().await.unwrap();
    world.store.objects().put(&path, whole.into()).await.unwrap();
    let cut = table.commit(files, Position(2)).await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Corrupt, "{cut}");
    assert_eq!(table.refresh().await.unwrap().unwrap().version, Version(0));
}

/// Scenario: three nodes commit fifteen ranges each to one table at once, one
/// of them over a store that loses answers.
/// Guarantees: F28, every range is there exactly once, in each node's order (C2),
/// and each node reads its own watermark.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f28_writers_with_logs_of_their_own_share_a_table() {
    let world = Arc::new(World::new(true));
    let mut tasks = JoinSet::new();
    for node in 1..=3u128 {
        let world = world.clone();
        tasks.spawn(async move {
            let plan = if node == 3 { [AFTER, BEFORE, FINE].repeat(8) } else { Vec::new() };
            let (store, _) = faulty(&world, &plan);
            let mut table = open(&store, &world, "logs", WalId(node)).await;
            let dir = world.dir.path().join(format!("stage-{node}"));
            let settings = storage::StageSettings { dir, max_bytes: u64::MAX };
            let stage = storage::stage::Stage::open(
                &settings,
                &world.store,
                WalId(node),
                1,
                &world.catalog,
            );
            let stage = stage.unwrap().0;
            for at in 1..=15 {
                let files = world.staged(&stage, "logs", at, at).await;
                let committed = table.commit(files, Position(at)).await.unwrap();
                assert_eq!(committed.watermark, Position(at));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let loaded = world.delta("logs", None).await.current().unwrap();
    assert_eq!((loaded.version, row_count(&loaded)), (Version(45), 45 * 60));
    let mut order: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for version in 1..=45 {
        for line in entry(&world.store, "logs", version).await {
            if let Some(txn) = line.get("txn") {
                let app = txn["appId"].as_str().unwrap().to_owned();
                order.entry(app).or_default().push(txn["version"].as_i64().unwrap());
            }
        }
    }
    assert_eq!(order.len(), 3);
    assert!(order.values().all(|versions| *versions == (1..=15).collect::<Vec<i64>>()));
    for node in 1..=3 {
        let own = world.delta("logs", Some(WalId(node))).await.current().unwrap();
        assert_eq!(own.watermark, Position(15));
    }
}

/// Scenario: a store acknowledges a conditional put although another writer's
/// entry replaced it.
/// Guarantees: C3, the read-back notices, and the rows are not taken for committed.
#[tokio::test]
async fn fault_f26_a_store_that_overwrites_is_noticed() {
    let world = World::new(false);
    let stage = world.stage();
    let (store, _) = faulty(&world, &[FINE, Some(Fault::Overwritten)]);
    let mut table = open(&store, &world, "logs", LOG).await.with_deadline(Duration::from_secs(5));
    let files = world.staged(&stage, "logs", 1, 5).await;
    let error = table.commit(files.clone(), Position(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let committed = table.commit(files, Position(5)).await.unwrap();
    assert_eq!((committed.version, row_count(&committed)), (Version(2), 60));
}
