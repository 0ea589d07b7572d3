//! A whole node joins its files beside appends, commits and readers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::Tenant;
use storage::store::Store;
use storage::table::{self, DeltaTable};
use storage::{DataFile, Settings, Snapshot, Source, StatValue};

use crate::node::{Node, settings, start_on, until};

fn small(dir: &std::path::Path) -> Settings {
    let mut settings = settings(dir);
    settings.compaction.target_bytes = 1 << 20;
    settings.compaction.enabled = false;
    settings.compaction.grace = Duration::ZERO;
    settings
}

fn open(dir: &std::path::Path, local: bool) -> Store {
    let url = match local {
        true => format!("file://{}/store", dir.display()),
        false => "memory://".to_owned(),
    };
    Store::open(&url, &Default::default()).unwrap()
}

/// The ids of every row that a snapshot names, sorted.
async fn ids(node: &Node, snapshot: &Snapshot) -> Vec<i64> {
    let mut ids = Vec::new();
    let of = |rows: &arrow::array::RecordBatch, ids: &mut Vec<i64>| {
        let column = rows.column_by_name("time_unix_nano").unwrap().as_primitive::<Int64Type>();
        ids.extend(column.values());
    };
    for (files, objects) in [
        (&snapshot.committed, node.storage.store()),
        (&snapshot.staged, Source::stage(node.storage.as_ref())),
    ] {
        for file in files.iter() {
            let objects = match file.place {
                storage::Place::Store => node.storage.store(),
                storage::Place::Stage => objects.clone(),
            };
            let bytes = objects.get(&file.location().unwrap()).await.unwrap();
            let bytes = bytes.bytes().await.unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            reader.build().unwrap().for_each(|rows| of(&rows.unwrap(), &mut ids));
        }
    }
    snapshot.hot.iter().for_each(|hot| of(&hot.rows.to_batch().unwrap(), &mut ids));
    ids.sort_unstable();
    ids
}

/// Asks the store itself: a node may still have a copy of what is gone.
async fn exists(store: &Store, file: &DataFile) -> bool {
    store.objects().head(&file.location().unwrap()).await.is_ok()
}

/// Scenario: twelve flushes are joined while a snapshot holds the old files;
/// then the snapshot goes, and all is joined again; then the node restarts.
/// Guarantees: S2 and S3, what a snapshot names can be read as long as it lives,
/// and goes from the store after it; K1 and K2 over a restart: every row once,
/// nothing is replayed or committed again.
#[tokio::test(flavor = "multi_thread")]
async fn inv_s3_a_snapshot_reads_its_files_after_they_were_joined() {
    for local in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), local);
        let node = start_on(store.clone(), small(dir.path())).await;
        for at in 0..12 {
            node.append(at * 100..at * 100 + 100).await.unwrap();
            node.storage.flush().await.unwrap();
        }
        let all: Vec<i64> = (0..1200).collect();
        let before = node.snapshot("spans");
        assert_eq!(before.committed.len(), 24);
        let done = node.storage.compact().await.unwrap();
        let spans = done.iter().find(|done| done.table == "spans").unwrap();
        assert_eq!((spans.jobs, spans.files_in, spans.files_out, spans.files), (2, 24, 2, 2));
        assert_eq!(spans.version.unwrap().0, before.version.unwrap().0 + 2);
        let after = node.snapshot("spans");
        assert_eq!(after.committed.len(), 2);
        assert_eq!(ids(&node, &after).await, all);
        assert_eq!(ids(&node, &before).await, all, "the old snapshot can still be read");

        let old: Vec<DataFile> =
            before.committed.iter().map(|file| DataFile::clone(file)).collect();
        node.storage.compact().await.unwrap();
        assert!(exists(&store, &old[0]).await);
        drop(before);
        node.storage.compact().await.unwrap();
        for file in &old {
            assert!(!exists(&store, file).await, "{} stays for ever", file.path);
        }
        assert_eq!(ids(&node, &after).await, all);
        node.balanced(1200);
        for name in ["spans", "trace_parts"] {
            let table = node.storage.catalog().get(name).unwrap().clone();
            let found = table::verify(&store, &Tenant::default(), &table).await.unwrap();
            assert_eq!(found, []);
        }
        assert!(node.storage.shutdown(Duration::from_secs(20)).await.is_empty());
        drop((node, after));

        let node = start_on(store, small(dir.path())).await;
        until("the table is loaded", || node.snapshot("spans").incomplete.is_none()).await;
        node.append(1200..1250).await.unwrap();
        node.storage.flush().await.unwrap();
        assert_eq!(ids(&node, &node.snapshot("spans")).await, (0..1250).collect::<Vec<i64>>());
        node.balanced(1250);
    }
}

/// Scenario: rows are appended and flushed all the time, readers look all the
/// time, and everything is joined again and again.
/// Guarantees: S1 and K1, each snapshot has every row that was acked before it,
/// once, whatever is being replaced; C3, no commit is lost or doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn inv_s1_a_snapshot_is_before_or_after_a_join_never_between() {
    let dir = tempfile::tempdir().unwrap();
    let node = Arc::new(start_on(open(dir.path(), true), small(dir.path())).await);
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    let (joining, over) = (node.clone(), done.clone());
    tasks.spawn(async move {
        while !over.load(Ordering::SeqCst) {
            joining.storage.compact().await.unwrap();
        }
    });
    let acked = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let (reading, over, seen) = (node.clone(), done.clone(), acked.clone());
    tasks.spawn(async move {
        while !over.load(Ordering::SeqCst) {
            let least = seen.load(Ordering::SeqCst);
            let snapshot = reading.snapshot("spans");
            let found = ids(&reading, &snapshot).await;
            assert!(found.len() as i64 >= least, "{} rows of {least}", found.len());
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "a row is there twice");
            tokio::task::yield_now().await;
        }
    });
    for at in 0..40i64 {
        node.append(at * 50..at * 50 + 50).await.unwrap();
        acked.store(at * 50 + 50, Ordering::SeqCst);
        node.storage.flush().await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    node.storage.compact().await.unwrap();
    let last = node.snapshot("spans");
    assert_eq!(ids(&node, &last).await, (0..2000).collect::<Vec<i64>>());
    assert!(last.committed.len() <= 8, "{} files", last.committed.len());
    node.balanced(2000);
}

/// Scenario: many flushes of traces, joined.
/// Guarantees: the files of the trace index have disjoint ranges per day, so
/// that a trace is looked for in one of them.
#[tokio::test(flavor = "multi_thread")]
async fn joined_trace_parts_are_disjoint() {
    let dir = tempfile::tempdir().unwrap();
    let node = start_on(open(dir.path(), false), small(dir.path())).await;
    for at in 0..10 {
        node.append(at * 200..at * 200 + 200).await.unwrap();
        node.storage.flush().await.unwrap();
    }
    node.storage.compact().await.unwrap();
    let parts = node.snapshot("trace_parts");
    let text = |value: &Option<StatValue>| match value {
        Some(StatValue::Text(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    let ranges: BTreeSet<(i32, String, String)> = parts
        .committed
        .iter()
        .map(|file| (file.date, &file.stats["trace_id"]))
        .map(|(date, stats)| (date, text(&stats.min), text(&stats.max)))
        .collect();
    let ranges: Vec<_> = ranges.into_iter().collect();
    assert!(ranges.len() <= 2 && ranges.windows(2).all(|r| r[0].0 < r[1].0 || r[0].2 < r[1].1));
    assert_eq!(parts.committed.iter().map(|file| file.rows).sum::<u64>(), 200 * 2);
}

/// Scenario: a node flushes often and nobody asks it to join; its log grows past
/// a hundred entries.
/// Guarantees: files are joined unasked, and a checkpoint is written off the
/// commit path.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_and_checkpoints_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), false);
    let mut settings = small(dir.path());
    settings.compaction.enabled = true;
    let node = start_on(store.clone(), settings).await;
    for at in 0..105 {
        node.append(at * 10..at * 10 + 10).await.unwrap();
        node.storage.flush().await.unwrap();
    }
    until("files are joined", || node.snapshot("spans").committed.len() < 60).await;
    let table = node.storage.catalog().get("spans").unwrap().clone();
    let tenant = Tenant::default();
    for _ in 0..2000 {
        if table::newest_checkpoint(&store, &tenant, &table).await.unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(table::newest_checkpoint(&store, &tenant, &table).await.unwrap() >= Some(100));
    let loaded = DeltaTable::open(&store, &tenant, table, None).await.unwrap().current().unwrap();
    assert_eq!(loaded.files.iter().map(|file| file.rows).sum::<u64>(), 1050);
}
