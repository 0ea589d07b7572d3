//! Files replaced by others: once, whole, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use schema::{ErrorKind, Position, Tenant, Version, WalId};
use serde_json::Value;
use storage::table::{self, DeltaTable, Why};
use storage::{DataFile, Origin};

use crate::faulty::{Answer, Fault, Faulty};
use crate::stage_world::{LOG, World, row_count};

async fn entry(world: &World, version: u64) -> Vec<Value> {
    let path = Path::from(format!("default/logs/_delta_log/{version:020}.json"));
    let bytes = world.store.objects().get(&path).await.unwrap().bytes().await.unwrap();
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// A file's bytes under the name of a join.
async fn copy(world: &World, file: &DataFile, chance: u64) -> DataFile {
    let stem = file.path.strip_suffix(".parquet").unwrap();
    let path = format!("{stem}-{chance:016x}.parquet");
    let objects = world.store.objects();
    let bytes = objects.get(&file.location().unwrap()).await.unwrap().bytes().await.unwrap();
    objects.put(&Path::parse(&path).unwrap(), bytes.into()).await.unwrap();
    DataFile { path, ..file.clone() }
}

/// A table of five commits, and its files with copies of them.
async fn five(world: &World, table: &mut DeltaTable) -> (Vec<Arc<DataFile>>, Vec<DataFile>) {
    let stage = world.stage();
    for at in 1..=5 {
        let files = world.staged(&stage, "logs", at, at).await;
        table.commit(files, Position(at)).await.unwrap();
    }
    let files = table.current().unwrap().files.to_vec();
    let mut copies = Vec::new();
    for file in &files {
        copies.push(copy(world, file, 0xabc).await);
    }
    (files, copies)
}

fn paths(files: &[Arc<DataFile>]) -> Vec<&str> {
    files.iter().map(|file| file.path.as_str()).collect()
}

/// Scenario: all files of a table are replaced, then two are dropped; the
/// entries are read as they lie there, and the table is loaded afresh.
/// Guarantees: K2, a rewrite has no `txn` and the watermark stays; the entry has
/// every field that Delta's readers and its vacuum ask for; joined files are
/// told from appended ones and still say whose rows they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_k2_a_rewrite_moves_no_watermark() {
    for local in [true, false] {
        let world = World::new(local);
        let mut table = world.delta("logs", Some(LOG)).await;
        let (files, copies) = five(&world, &mut table).await;
        let before = table.current().unwrap();
        let joined = table.rewrite(&files, copies.clone(), Why::Join).await.unwrap().unwrap();
        assert_eq!((joined.version, joined.watermark), (Version(6), Position(5)));
        assert_eq!(row_count(&joined), row_count(&before));
        assert!(joined.files.iter().all(|file| copies.iter().any(|copy| copy.path == file.path)));
        for file in joined.files.iter() {
            let Some(Origin { wal_id, first, last }) = file.origin else { panic!("{file:?}") };
            assert!(wal_id == LOG && first == last && (1..=5).contains(&first.0));
        }
        let lines = entry(&world, 6).await;
        let all = |key: &str| lines.iter().filter_map(|l| l.get(key)).collect::<Vec<_>>();
        assert_eq!((all("txn").len(), all("add").len(), all("remove").len()), (0, 10, 10));
        assert_eq!(all("commitInfo")[0]["isBlindAppend"], false);
        for remove in all("remove") {
            assert_eq!(remove["dataChange"], false);
            assert_eq!(remove["extendedFileMetadata"], true);
            assert!(remove["deletionTimestamp"].as_i64().unwrap() > 0);
            assert!(remove["size"].as_u64().unwrap() > 0);
            assert!(remove["partitionValues"]["date"].is_string());
        }
        assert!(all("add").iter().all(|add| add["dataChange"] == false));

        let dropped = joined.files[..2].to_vec();
        let why = Why::Expire { at_millis: 1 };
        let less = table.rewrite(&dropped, Vec::new(), why).await.unwrap().unwrap();
        assert_eq!((less.version, less.watermark, less.files.len()), (Version(7), Position(5), 8));
        let lines = entry(&world, 7).await;
        assert!(lines.iter().filter_map(|l| l.get("remove")).all(|r| r["dataChange"] == true));

        let tables = (Tenant::default(), world.table("logs"));
        table::checkpoint(&world.store, &tables.0, &tables.1, Version(7)).await.unwrap();
        let loaded = world.delta("logs", Some(LOG)).await.current().unwrap();
        assert_eq!((loaded.watermark, &loaded.files), (Position(5), &less.files));
        assert_eq!(table::verify(&world.store, &tables.0, &tables.1).await.unwrap(), []);
        let mut table = world.delta("logs", Some(LOG)).await;
        let stage = world.stage();
        let files = world.staged(&stage, "logs", 6, 6).await;
        assert_eq!(table.commit(files, Position(6)).await.unwrap().watermark, Position(6));
    }
}

/// Scenario: a rewrite's answer is lost after or before the entry is stored, in
/// several orders, and once nothing is ever answered.
/// Guarantees: C3 and F7, the outcome is read off the log by the entry's mark,
/// and the files are replaced once.
#[tokio::test]
async fn inv_c3_a_lost_answer_of_a_rewrite_is_settled_by_reading() {
    let before = Some(Fault::Before(Answer::Reset));
    let after = Some(Fault::After(Answer::Reset));
    for plan in [vec![after], vec![before], vec![before, after], vec![before, before, None]] {
        let world = World::new(false);
        let mut table = world.delta("logs", Some(LOG)).await;
        let (files, copies) = five(&world, &mut table).await;
        let faulty = Faulty::new(world.store.objects(), 1);
        faulty.plan(&plan);
        let store = world.store.wrapped(|_| Arc::new(faulty.clone()));
        let tenant = Tenant::default();
        let opened = DeltaTable::open(&store, &tenant, world.table("logs"), Some(LOG));
        let mut table = opened.await.unwrap();
        let joined = table.rewrite(&files, copies, Why::Join).await.unwrap().unwrap();
        let struck: u64 = faulty.counts().values().sum();
        let planned = plan.iter().flatten().count() as u64;
        assert_eq!((joined.version, struck), (Version(6), planned), "{plan:?}");
        assert_eq!(table.refresh().await.unwrap().unwrap().version, Version(6), "{plan:?}");
    }

    let world = World::new(false);
    let mut table = world.delta("logs", Some(LOG)).await;
    let (files, copies) = five(&world, &mut table).await;
    let faulty = Faulty::new(world.store.objects(), 1);
    faulty.plan(&[Some(Fault::Silent)]);
    let store = world.store.wrapped(|_| Arc::new(faulty.clone()));
    let tenant = Tenant::default();
    let opened = DeltaTable::open(&store, &tenant, world.table("logs"), Some(LOG));
    let mut table = opened.await.unwrap().with_deadline(Duration::from_millis(300));
    let late = table.rewrite(&files, copies.clone(), Why::Join).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::DeadlineExceeded, "{late}");
    let seen = table.refresh().await.unwrap().unwrap();
    assert_eq!((seen.version, row_count(&seen)), (Version(6), 300));
}

/// Scenario: while a rewrite is on its way another log appends, then another
/// rewrite takes one of its files; then one is asked for that replaces itself.
/// Guarantees: F30, appends never conflict; a rewrite whose file is gone writes
/// nothing and says so; no entry adds and removes one path.
#[tokio::test]
async fn fault_f30_a_rewrite_gives_way_to_another_and_never_to_an_append() {
    let world = World::new(true);
    let mut table = world.delta("logs", Some(LOG)).await;
    let (files, copies) = five(&world, &mut table).await;
    let mut late = world.delta("logs", Some(LOG)).await;

    let settings =
        storage::StageSettings { dir: world.dir.path().join("other"), max_bytes: u64::MAX };
    let other = WalId(9);
    let opened =
        storage::stage::Stage::open(&settings, &world.store, other, 1, &world.catalog).unwrap();
    let mut append = world.delta("logs", Some(other)).await;
    for at in 1..=3 {
        let more = world.staged(&opened.0, "logs", at, at).await;
        append.commit(more, Position(at)).await.unwrap();
    }
    let one = table.rewrite(&files[..4], copies[..4].to_vec(), Why::Join).await.unwrap().unwrap();
    assert_eq!((one.version, row_count(&one)), (Version(9), 8 * 60));

    let mut again = Vec::new();
    for file in &files[2..6] {
        again.push(copy(&world, file, 0xdef).await);
    }
    assert!(late.rewrite(&files[2..6], again, Why::Join).await.unwrap().is_none());
    assert_eq!(late.current().unwrap().version, Version(9));
    assert_eq!(paths(&late.current().unwrap().files), paths(&one.files));

    let itself = vec![DataFile::clone(&files[7])];
    let error = late.rewrite(&files[7..8], itself, Why::Join).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    let mut reader = world.delta("logs", None).await;
    let error = reader.rewrite(&files[7..8], Vec::new(), Why::Join).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

/// Scenario: a log with two checkpoints is cleaned, once keeping everything of
/// the last hour and once keeping nothing that a checkpoint stands in for.
/// Guarantees: F10, the newest checkpoint and all that follows it stay, and the
/// table loads as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f10_cleaning_a_log_leaves_a_table_that_loads() {
    let world = World::new(true);
    let mut table = world.delta("logs", Some(LOG)).await;
    five(&world, &mut table).await;
    let (tenant, logs) = (Tenant::default(), world.table("logs"));
    assert_eq!(table::newest_checkpoint(&world.store, &tenant, &logs).await.unwrap(), None);
    for version in [2, 4] {
        table::checkpoint(&world.store, &tenant, &logs, Version(version)).await.unwrap();
    }
    assert_eq!(table::newest_checkpoint(&world.store, &tenant, &logs).await.unwrap(), Some(4));
    let clean = |keep| table::clean_log(&world.store, &tenant, &logs, keep);
    assert_eq!(clean(Duration::from_secs(3600)).await.unwrap(), 0);
    let before = table.current().unwrap();
    // Entries 0 to 3, and the checkpoint of version 2.
    assert_eq!(clean(Duration::ZERO).await.unwrap(), 5);
    assert_eq!(clean(Duration::ZERO).await.unwrap(), 0);
    let objects = world.store.objects();
    let left: Vec<_> = objects
        .list(Some(&Path::from("default/logs/_delta_log")))
        .map_ok(|object| object.location.filename().unwrap().to_owned())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(left.len(), 4, "{left:?}");
    let loaded = world.delta("logs", Some(LOG)).await.current().unwrap();
    assert_eq!((loaded.version, &loaded.files), (before.version, &before.files));
}
