//! Data folders that are not what their node left: an older copy, a part.

use std::path::Path;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::WalId;
use storage::Source;
use storage::stage::rebrand;
use storage::store::Store;
use storage::store::tree::Tree;
use storage::wal::Disk;

use crate::node::{Node, settings, start_on, until};
use crate::stage_world::{LOG, World, parquet_files};
use crate::store_away::away;

/// Lets go of a node without a word, as SIGKILL would.
pub async fn killed(node: Node, dir: &Path) {
    drop(node);
    until("the log is closed", || Disk::open(dir.join("wal")).is_ok()).await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Every id in committed spans, sorted.
pub async fn committed(node: &Node) -> Vec<i64> {
    let mut ids = Vec::new();
    for file in node.snapshot("spans").committed.iter() {
        let path = file.location().unwrap();
        let bytes = node.storage.store().get(&path).await.unwrap().bytes().await.unwrap();
        for rows in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let rows = rows.unwrap();
            let column = rows.column_by_name("time_unix_nano").unwrap();
            ids.extend(column.as_primitive::<Int64Type>().values());
        }
    }
    ids.sort_unstable();
    ids
}

/// Waits until the node wants to be opened anew, ends it and does so.
async fn started_over(node: Node, store: &Store, dir: &Path) -> Node {
    let parted = tokio::time::timeout(Duration::from_secs(20), node.storage.parted());
    parted.await.expect("it notices");
    assert!(node.append(9000..9001).await.is_err(), "nothing is taken in meanwhile");
    node.storage.shutdown(Duration::from_secs(5)).await;
    drop(node);
    start_on(store.clone(), settings(dir)).await
}

/// Scenario: a folder is copied with rows in its log, or staged. The original
/// goes on and commits, then dies. The copy starts while the store is away,
/// acks rows under positions that the original has used too, stages some of
/// them, and then the store answers.
/// Guarantees: F42, D4, S1: every acked row of both is there once, under two
/// log ids, and the copy's books balance (L1).
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_an_older_copy_goes_on_under_a_new_id() {
    for (staged, local) in [(false, false), (true, false), (false, true), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let url = match local {
            true => format!("file://{}/store", dir.path().display()),
            false => "memory://".into(),
        };
        let (store, away) = away(&url);
        let node = start_on(store.clone(), settings(&one)).await;
        node.append(0..10).await.unwrap();
        node.storage.flush().await.unwrap();
        away.set_away(true);
        node.append(10..30).await.unwrap();
        if staged {
            node.storage.flush().await.unwrap_err();
        }
        killed(node, &one).await;
        copy(&one, &two);

        away.set_away(false);
        let node = start_on(store.clone(), settings(&one)).await;
        node.append(30..50).await.unwrap();
        node.storage.flush().await.unwrap();
        node.append(50..60).await.unwrap();
        node.storage.flush().await.unwrap();
        killed(node, &one).await;

        away.set_away(true);
        let node = start_on(store.clone(), settings(&two)).await;
        node.append(1000..1010).await.unwrap();
        node.storage.flush().await.unwrap_err();
        node.append(1010..1020).await.unwrap();
        let before = node.storage.status().wal_id;
        away.set_away(false);
        let node = started_over(node, &store, &two).await;
        assert_ne!(node.storage.status().wal_id, before);
        node.balanced(20);
        node.storage.flush().await.unwrap();
        let all: Vec<i64> = (0..60).chain(1000..1020).collect();
        assert_eq!(committed(&node).await, all, "staged {staged}, local {local}");
        assert_eq!(node.seen(), (vec![], 80));
        node.balanced(20);
        killed(node, &two).await;

        let node = start_on(store.clone(), settings(&two)).await;
        node.append(1020..1030).await.unwrap();
        node.storage.flush().await.unwrap();
        assert_eq!(node.seen(), (vec![], 90));
        node.balanced(30);
    }
}

/// Scenario: the copy is started twice, with rows acked in between, before the
/// store answers: the rows of the first start may be common to both copies or not.
/// Guarantees: F42: it does not guess. Rows are refused, the message says what
/// to do, and the folder still holds everything.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_what_cannot_be_told_is_left_to_a_human() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let (store, away) = away("memory://");
    let node = start_on(store.clone(), settings(&one)).await;
    node.append(0..10).await.unwrap();
    killed(node, &one).await;
    copy(&one, &two);
    let node = start_on(store.clone(), settings(&one)).await;
    for n in 1..5 {
        node.append(n * 10..n * 10 + 10).await.unwrap();
        node.storage.flush().await.unwrap();
    }
    killed(node, &one).await;
    away.set_away(true);
    for n in 0..2 {
        let node = start_on(store.clone(), settings(&two)).await;
        node.append(1000 + n..1001 + n).await.unwrap();
        killed(node, &two).await;
    }
    away.set_away(false);
    let node = start_on(store.clone(), settings(&two)).await;
    until("it refuses", || node.storage.ready().is_err()).await;
    assert!(node.storage.ready().unwrap_err().contains("move wal.dir"));
    assert_eq!(node.storage.recovered().iter().map(|row| row.in_flight).sum::<u64>(), 12);
}

/// Scenario: the stage is lost, and with it what was known of own commits,
/// while the log still holds rows that are committed and rows that are not.
/// Guarantees: F42: what only the stage held is all that can be missing; the
/// log's rows are there once.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_a_lost_stage_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let node = start_on(store.clone(), settings(dir.path())).await;
    node.append(0..30).await.unwrap();
    node.storage.flush().await.unwrap();
    away.set_away(true);
    node.append(30..40).await.unwrap();
    killed(node, dir.path()).await;
    away.set_away(false);
    std::fs::remove_dir_all(dir.path().join("stage")).unwrap();
    let node = start_on(store.clone(), settings(dir.path())).await;
    let node = started_over(node, &store, dir.path()).await;
    node.storage.flush().await.unwrap();
    assert_eq!(committed(&node).await, (0..40).collect::<Vec<i64>>());
    node.balanced(10);
}

/// Scenario: ranges on a local and on a remote store get the names of a new
/// log; one of them is known to be committed, and an earlier attempt had come
/// as far as one file of the other.
/// Guarantees: F42, C4: the other range is whole under the new id and nowhere
/// else, with its positions; doing it again changes nothing.
#[test]
fn fault_f42_a_broken_off_renaming_is_ended() {
    for local in [true, false] {
        let world = World::new(local);
        let new = WalId(0xbeef);
        let (done, kept) = {
            let stage = world.stage();
            let done = stage.write(&world.sealed("logs", 1, 3)).unwrap();
            (done, stage.write(&world.sealed("spans", 4, 9)).unwrap())
        };
        let own = Tree::open(&world.stage_dir()).unwrap();
        let store = world.store.local_root().map(|root| Tree::open(root).unwrap());
        let root = store.as_ref().map_or(own.root(), |store| store.root());
        let first = &kept.outputs[0].files[0].path;
        let renamed = first.replace(&LOG.to_string(), &new.to_string());
        std::fs::rename(root.join(first), root.join(&renamed)).unwrap();
        for _ in 0..2 {
            rebrand(&own, store.as_deref(), (LOG, new), &|range| range.last == done.last).unwrap();
            let (_, found) = world.open(new).unwrap();
            let [range] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((range.first, range.last, range.bytes), (kept.first, kept.last, kept.bytes));
            assert_eq!(range.counts, kept.counts);
            let files: Vec<_> = range.outputs.iter().flat_map(|output| &output.files).collect();
            assert!(files.iter().all(|file| file.origin.unwrap().wal_id == new));
            let mut names: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
            if local {
                // What is committed is the table's, under the name it knows.
                let committed = done.outputs.iter().flat_map(|output| &output.files);
                names.extend(committed.map(|file| file.path.clone()));
            }
            names.sort();
            assert_eq!(parquet_files(root), names, "local {local}");
        }
    }
}
