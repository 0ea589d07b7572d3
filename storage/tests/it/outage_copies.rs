//! Data folders that are not what their node left: an older copy, a part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::{Tenant, WalId};
use storage::Source;
use storage::stage::rebrand;
use storage::store::Store;
use storage::store::tree::Tree;
use storage::table::verify;
use storage::wal::Disk;

use crate::faulty::{Answer, Fault, Faulty, Op, Rule};
use crate::node::{Node, settings, start_on, until};
use crate::stage_world::{LOG, World, parquet_files};
use crate::store_away::{Away, away};

/// Lets go of a node without a word, as SIGKILL would.
pub async fn killed(node: Node, dir: &Path) {
    drop(node);
    until("the log is closed", || Disk::open(dir.join("wal")).is_ok()).await;
}

/// Of a folder that may be in use, as it was at one moment: a log that lets go of a
/// segment while it is copied would be one that no crash leaves.
pub fn copy(from: &Path, to: &Path) {
    for _ in 0..100 {
        let before = written(from);
        files(from, to);
        if written(from) == before {
            return;
        }
        std::fs::remove_dir_all(to).unwrap();
    }
    panic!("{} does not come to rest", from.display());
}

fn files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => files(&entry.path(), &to),
            // It went: all is copied again.
            false => match std::fs::copy(entry.path(), to) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            },
        }
    }
}

/// What was written when, of a folder and those in it.
fn written(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            all.extend(written(&path));
        }
        all.insert(path, (metadata.len(), metadata.modified().unwrap()));
    }
    all
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
pub async fn started_over(node: Node, store: &Store, dir: &Path) -> Node {
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
    // Until it has seen the store it may say something else.
    let refuses = || node.storage.ready().is_err_and(|why| why.contains("move wal.dir"));
    until("it refuses and says what to do", refuses).await;
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
            rebrand(&own, store.as_deref(), (LOG, new), &|range, _| range.last == done.last)
                .unwrap();
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

/// A folder with ten committed rows, and an older copy of it.
async fn two(store: &Store, one: &Path, two: &Path) {
    let node = start_on(store.clone(), settings(one)).await;
    node.append(0..10).await.unwrap();
    node.storage.flush().await.unwrap();
    killed(node, one).await;
    copy(one, two);
}

/// Until the node has seen every table.
pub async fn loaded(node: &Node) {
    let all = || node.storage.status().tables.iter().all(|table| table.incomplete.is_none());
    until("its tables are loaded", all).await;
}

fn in_flight(node: &Node) -> u64 {
    node.storage.ledger().iter().map(|row| row.in_flight).sum()
}

/// Scenario: two copies of a folder run at once. Both find their tables in order;
/// one commits, and before the other looks again it commits under the same
/// positions, in one range or in several.
/// Guarantees: F42, D3: the second takes nothing for committed that is not in the
/// table, writes nothing more, and refuses rows.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_a_twin_that_lives_takes_no_rows_away() {
    for ranges in 1..=3 {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("two"));
        let (store, _) = away("memory://");
        two(&store, &one, &other).await;
        let first = start_on(store.clone(), settings(&one)).await;
        let away = Away::new(store.objects());
        let theirs = store.wrapped(|_| Arc::new(away.clone()));
        let second = start_on(theirs, settings(&other)).await;
        loaded(&first).await;
        loaded(&second).await;
        for n in 1..=2 {
            first.append(n * 10..n * 10 + 10).await.unwrap();
        }
        first.storage.flush().await.unwrap();
        // It looks at the table only when it commits.
        away.set_away(true);
        for n in 0..ranges {
            second.append(1000 + n..1001 + n).await.unwrap();
            second.storage.stage().await.unwrap();
        }
        away.set_away(false);
        second.storage.flush().await.unwrap_err();
        assert!(second.storage.ready().unwrap_err().contains("move wal.dir"));
        assert!(second.storage.undecided().await.contains("move wal.dir"));
        assert!(second.append(2000..2001).await.is_err());
        assert_eq!(in_flight(&second), ranges as u64);
        second.balanced(10 + ranges as u64);
        first.append(30..40).await.unwrap();
        first.storage.flush().await.unwrap();
        assert_eq!(committed(&first).await, (0..40).collect::<Vec<i64>>(), "{ranges} ranges");
        killed(second, &other).await;
        let second = start_on(store.clone(), settings(&other)).await;
        until("it refuses", || second.storage.ready().is_err()).await;
        assert_eq!(in_flight(&second), ranges as u64);
    }
}

/// Scenario: a copy stages rows while the store is away and is started again; the
/// original has committed other rows under the very same positions.
/// Guarantees: F42, D3: that a watermark ends where a staged range ends proves
/// nothing; the rows stay in flight and a human decides.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_equal_positions_are_not_equal_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("two"));
    let (store, away) = away("memory://");
    two(&store, &one, &other).await;
    let node = start_on(store.clone(), settings(&one)).await;
    let original = node.append(10..20).await.unwrap().position;
    node.storage.flush().await.unwrap();
    killed(node, &one).await;

    away.set_away(true);
    let node = start_on(store.clone(), settings(&other)).await;
    assert_eq!(node.append(1000..1010).await.unwrap().position, original);
    node.storage.stage().await.unwrap();
    killed(node, &other).await;
    let node = start_on(store.clone(), settings(&other)).await;
    away.set_away(false);
    // Until it has seen the store it may say something else.
    let refuses = || node.storage.ready().is_err_and(|why| why.contains("move wal.dir"));
    until("it refuses and says what to do", refuses).await;
    assert_eq!(in_flight(&node), 10);
}

/// Scenario: the original dies after the commit of its spans and before that of
/// their index. An older copy comes to the index first, and commits what it has
/// for it, before it sees the spans.
/// Guarantees: F42, C4: each table is settled for itself. Spans move to the new
/// id, files that the index names keep their names, and both tables are whole.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_each_table_of_a_copy_is_settled_for_itself() {
    for local in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("two"));
        let url = match local {
            true => format!("file://{}/store", dir.path().display()),
            false => "memory://".into(),
        };
        let (store, away) = away(&url);
        two(&store, &one, &other).await;
        let faulty = Faulty::new(store.objects(), 1);
        let index = "default/trace_parts/_delta_log/*.json";
        faulty.rule(Rule::new(Fault::Before(Answer::Reset)).on(&[Op::Put]).at(index));
        let half = store.wrapped(|_| Arc::new(faulty.clone()));
        let node = start_on(half, settings(&one)).await;
        node.append(10..20).await.unwrap();
        node.storage.stage().await.unwrap();
        until("the spans are committed", || node.snapshot("spans").staged.is_empty()).await;
        killed(node, &one).await;

        away.set_away(true);
        let node = start_on(store.clone(), settings(&other)).await;
        node.append(1000..1010).await.unwrap();
        node.storage.flush().await.unwrap_err();
        away.set_away(false);
        until("the index is committed", || {
            let parts = node.snapshot("trace_parts");
            parts.incomplete.is_none() && parts.staged.is_empty()
        })
        .await;
        let node = started_over(node, &store, &other).await;
        node.storage.flush().await.unwrap();
        let all: Vec<i64> = (0..20).chain(1000..1010).collect();
        assert_eq!(committed(&node).await, all, "local {local}");
        node.balanced(10);
        for name in ["spans", "trace_parts"] {
            let table = node.storage.catalog().get(name).unwrap().clone();
            let found = verify(&store, &Tenant::default(), &table).await.unwrap();
            assert_eq!(found, [], "local {local}");
        }
    }
}

/// Scenario: a copy that knows of the other one is started while the store is
/// away, with rows from before and after they parted in its log alone.
/// Guarantees: F42: it takes no rows and stages no range of both kinds; once the
/// store is back every acked row is there once.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_a_copy_that_waits_for_the_store_takes_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("two"));
    let (store, away) = away("memory://");
    let mut unstaged = settings(&other);
    unstaged.stage.max_bytes = 0;
    let node = start_on(store.clone(), unstaged.clone()).await;
    loaded(&node).await;
    node.append(0..10).await.unwrap();
    killed(node, &other).await;
    copy(&other, &one);
    let node = start_on(store.clone(), settings(&one)).await;
    for n in 1..4 {
        node.append(n * 10..n * 10 + 10).await.unwrap();
        node.storage.flush().await.unwrap();
    }
    killed(node, &one).await;

    away.set_away(true);
    let node = start_on(store.clone(), unstaged).await;
    node.append(1000..1010).await.unwrap();
    away.set_away(false);
    tokio::time::timeout(Duration::from_secs(20), node.storage.parted()).await.unwrap();
    away.set_away(true);
    killed(node, &other).await;

    let node = start_on(store.clone(), settings(&other)).await;
    assert!(node.append(9000..9001).await.is_err() && node.storage.ready().is_err());
    node.storage.stage().await.unwrap();
    away.set_away(false);
    let node = started_over(node, &store, &other).await;
    node.storage.flush().await.unwrap();
    let all: Vec<i64> = (0..40).chain(1000..1010).collect();
    assert_eq!(committed(&node).await, all);
    node.balanced(10);
}
