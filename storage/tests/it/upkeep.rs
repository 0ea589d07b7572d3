//! What one node does for all: the lease, retention, joins over logs, vacuum.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Date32Array, RecordBatch};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use schema::{Tenant, WalId};
use storage::store::Store;
use storage::table::{self, orphans::Kind};
use storage::upkeep::lease::{Lease, TERM};
use storage::{DataFile, Kept, Settings, Source};
use tokio::time::Instant;

use crate::node::{Node, settings, spans, start_on, until};
use crate::stage_world::{LOG, World};

/// Scenario: two nodes want the lease; the holder renews for a while, then dies;
/// the other takes over; the first comes back, and later restarts.
/// Guarantees: at any moment at most one holds, nobody takes over within the
/// term, a holder that was succeeded knows, and no two clocks were compared.
#[tokio::test]
async fn fault_f32_a_lease_has_one_holder_by_monotonic_time() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (mut one, mut two) =
        (Lease::new(objects.clone(), WalId(1)), Lease::new(objects.clone(), WalId(2)));
    let step = Duration::from_secs(5);
    let mut now = Instant::now();
    for _ in 0..200 {
        assert!(one.hold(now).await.unwrap().is_some());
        assert!(two.hold(now).await.unwrap().is_none());
        now += step;
    }
    // The holder is silent from here on.
    let silent = now;
    while two.hold(now).await.unwrap().is_none() {
        now += step;
        assert!(now - silent <= TERM + step, "nobody takes over");
    }
    assert!(now - silent >= TERM / 2, "taken over after {:?}", now - silent);
    assert!(one.hold(now).await.unwrap().is_none(), "the first was succeeded");
    assert!(two.hold(now).await.unwrap().is_some());
    let left: Vec<_> = objects.list(None).try_collect().await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    // A node that restarts knows its own lease.
    let mut again = Lease::new(objects.clone(), WalId(2));
    assert!(again.hold(now).await.unwrap().is_some());
}

/// Scenario: sixteen nodes want a lease that nobody has, at once.
/// Guarantees: one gets it.
#[tokio::test]
async fn a_new_lease_goes_to_one() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let take = |id| {
        let objects = objects.clone();
        async move { Lease::new(objects, WalId(id)).hold(Instant::now()).await.unwrap().is_some() }
    };
    let taken = futures::future::join_all((1..=16).map(take)).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken).count(), 1);
}

fn quick(dir: &std::path::Path) -> Settings {
    let mut settings = settings(dir);
    settings.compaction.grace = Duration::ZERO;
    settings.compaction.enabled = false;
    settings
}

/// Spans of one day.
fn of_day(node: &Node, ids: std::ops::Range<i64>, day: i32) -> RecordBatch {
    let table = node.storage.catalog().get("spans").unwrap();
    let batch = spans(table, ids.clone());
    let mut columns = batch.columns().to_vec();
    let days = ids.map(|_| day);
    *columns.last_mut().unwrap() = Arc::new(Date32Array::from_iter_values(days));
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

fn days(node: &Node, table: &str) -> BTreeSet<i32> {
    node.snapshot(table).committed.iter().map(|file| file.date).collect()
}

/// Scenario: eleven days of spans under a limit of three; the clock stands two
/// years later.
/// Guarantees: whole days before the limit go, with their files, by an entry
/// without a watermark (K2), the index after its base; F32, the newest days stay
/// though the clock is far ahead; L1 stands.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f32_retention_drops_whole_days_and_nothing_early() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", dir.path().display());
    let store = Store::open(&url, &BTreeMap::new()).unwrap();
    let node = start_on(store.clone(), quick(dir.path())).await;
    for day in 0..11 {
        let batch = of_day(&node, i64::from(day) * 10..i64::from(day) * 10 + 10, 20_000 + day);
        node.append_rows(batch).await.unwrap();
    }
    node.storage.flush().await.unwrap();
    let before = node.snapshot("spans");
    assert_eq!(before.committed.len(), 11);
    assert!(node.storage.shutdown(Duration::from_secs(20)).await.is_empty());
    drop(node);

    let mut settings = quick(dir.path());
    settings.retention.tables.insert("spans".into(), Duration::from_secs(3 * 86_400));
    let node = start_on(store.clone(), settings).await;
    until("old days are gone", || {
        ["spans", "trace_parts"]
            .iter()
            .all(|table| days(&node, table) == (20_007..=20_010).collect())
    })
    .await;
    let exists = async |path: &str| node.storage.store().head(&path.into()).await.is_ok();
    let old: Vec<_> = before.committed.iter().filter(|file| file.date < 20_007).collect();
    assert_eq!(old.len(), 7);
    let mut left = old.len();
    for _ in 0..2000 {
        left = 0;
        for file in &old {
            left += usize::from(exists(&file.path).await);
        }
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(left, 0, "dropped files stay for ever");
    node.balanced(110);
    node.append_rows(of_day(&node, 200..210, 20_010)).await.unwrap();
    node.storage.flush().await.unwrap();
    let rows: u64 = node.snapshot("spans").committed.iter().map(|file| file.rows).sum();
    assert_eq!(rows, 50);
    for name in ["spans", "trace_parts"] {
        let table = node.storage.catalog().get(name).unwrap().clone();
        assert_eq!(table::verify(&store, &Tenant::default(), &table).await.unwrap(), []);
    }
}

/// Scenario: eleven days of spans under a limit of three, by a node that waits to
/// be told what is kept; two of the old days are, then nothing is known, then one.
/// Guarantees: nothing goes before it is told, what is kept stays with its index,
/// and goes once it is let go.
#[tokio::test(flavor = "multi_thread")]
async fn days_that_are_kept_outlive_their_limit() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", dir.path().display());
    let store = Store::open(&url, &BTreeMap::new()).unwrap();
    let mut settings = quick(dir.path());
    settings.retention.tables.insert("spans".into(), Duration::from_secs(3 * 86_400));
    settings.retention.waits = true;
    let node = start_on(store.clone(), settings).await;
    for day in 0..11 {
        let batch = of_day(&node, i64::from(day) * 10..i64::from(day) * 10 + 10, 20_000 + day);
        node.append_rows(batch).await.unwrap();
    }
    node.storage.flush().await.unwrap();
    let kept = |days: &[i32]| Kept {
        tables: ["spans".to_owned()].into(),
        days: [(Tenant::default(), days.iter().copied().collect())].into(),
    };
    let left = |old: &[i32]| {
        let all: BTreeSet<i32> = old.iter().copied().chain(20_007..=20_010).collect();
        let node = &node;
        async move {
            until("only kept days are left", || {
                ["spans", "trace_parts"].iter().all(|table| days(node, table) == all)
            })
            .await;
        }
    };
    let pins = node.storage.pins();
    // A look is over when the lease is held: nothing may have gone by then.
    assert_eq!(days(&node, "spans").len(), 11);
    assert!(pins.holds(&Tenant::default(), "logs", 0));
    pins.tell(kept(&[20_001, 20_004]));
    left(&[20_001, 20_004]).await;
    pins.tell(kept(&[20_004]));
    left(&[20_004]).await;
    assert!(!pins.holds(&Tenant::default(), "logs", 20_004));
    assert!(!pins.holds(&Tenant::new("acme").unwrap(), "spans", 20_004));
    pins.forget();
    assert!(pins.holds(&Tenant::new("acme").unwrap(), "spans", 20_004));
}

/// Scenario: three nodes write a few rows each into the same days and stop; one
/// of them, the holder of the lease, goes on; the others come back.
/// Guarantees: K1, K2 and F28: days long over are joined over all logs, each row
/// is there once, no watermark moved, and nobody commits anything again.
#[tokio::test(flavor = "multi_thread")]
async fn inv_k2_days_long_over_are_joined_over_all_logs() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", dir.path().display());
    let store = Store::open(&url, &BTreeMap::new()).unwrap();
    for turn in 0..2i64 {
        for node in 1..=2i64 {
            let own = dir.path().join(format!("node-{node}"));
            let node = (node, start_on(store.clone(), quick(&own)).await);
            let from = turn * 100 + node.0 * 10;
            node.1.append(from..from + 10).await.unwrap();
            node.1.storage.flush().await.unwrap();
            assert!(node.1.storage.shutdown(Duration::from_secs(20)).await.is_empty());
        }
        // Whoever held the lease is gone; do not wait for its term.
        let leases: Vec<_> =
            store.objects().list(Some(&"_lease".into())).try_collect().await.unwrap();
        for object in leases {
            store.objects().delete(&object.location).await.unwrap();
        }
        let mut settings = quick(&dir.path().join("node-0"));
        settings.compaction.enabled = true;
        let node = start_on(store.clone(), settings).await;
        node.append(turn * 100..turn * 100 + 10).await.unwrap();
        node.storage.flush().await.unwrap();
        // One file a day, of three logs.
        until("all files are joined", || {
            let snapshot = node.snapshot("spans");
            snapshot.committed.len() == 2
                && snapshot.committed.iter().all(|file| file.origin.is_some_and(|o| o.is_mixed()))
        })
        .await;
        let rows: u64 = node.snapshot("spans").committed.iter().map(|file| file.rows).sum();
        assert_eq!(rows as i64, 30 * (turn + 1));
        for name in ["spans", "trace_parts"] {
            let table = node.storage.catalog().get(name).unwrap().clone();
            assert_eq!(table::verify(&store, &Tenant::default(), &table).await.unwrap(), []);
        }
        assert!(node.storage.shutdown(Duration::from_secs(20)).await.is_empty());
    }
}

/// Scenario: in a table's folder lie committed files, staged ones of two logs,
/// one that was committed and replaced, one whose positions are committed by
/// other files, one of a join that never came to its commit, and one of another
/// program.
/// Guarantees: F6, F42 and C4: each is told for what it is; what a node may commit
/// yet is never taken for waste, not even of a log that is away, nor is what a
/// stale copy of a log has staged.
#[tokio::test]
async fn fault_f6_staged_files_are_told_from_waste() {
    let world = World::new(true);
    let stage = world.stage();
    let mut table = world.delta("logs", Some(LOG)).await;
    let first = world.staged(&stage, "logs", 1, 2).await;
    let committed = table.commit(first, schema::Position(2)).await.unwrap();
    let new = DataFile {
        path: committed.files[0].path.replace(".parquet", "-00000000000000cd.parquet"),
        ..DataFile::clone(&committed.files[0])
    };
    let (from, to) = (committed.files[0].location().unwrap(), new.location().unwrap());
    world.store.objects().copy(&from, &to).await.unwrap();
    let spent = committed.files[0].path.clone();
    let old = std::slice::from_ref(&committed.files[0]);
    let committed = table.rewrite(old, vec![new], table::Why::Join).await.unwrap().unwrap();
    let staged = world.staged(&stage, "logs", 3, 4).await;
    let other = WalId(9);
    let objects = world.store.objects();
    let put = async |name: &str| {
        let path = format!("default/logs/date=2026-11-23/{name}.parquet");
        objects.put(&path.as_str().into(), "x".into()).await.unwrap();
        path
    };
    let away = put(&format!("{other}-1-1-5")).await;
    let doubtful = put(&format!("{LOG}-1-1-1")).await;
    let joined = put(&format!("{LOG}-1-1-2-00000000000000ab")).await;
    let foreign = put("part-0000").await;
    let (tenant, logs) = (Tenant::default(), world.table("logs"));
    let found = table::orphans(&world.store, &tenant, &logs).await.unwrap();
    let kinds: BTreeMap<&str, Kind> = found.iter().map(|o| (o.path.as_str(), o.kind)).collect();
    assert_eq!(kinds.len(), staged.len() + 5, "{kinds:?}");
    for file in &staged {
        assert_eq!(kinds[file.path.as_str()], Kind::Staged(file.origin.unwrap()));
    }
    assert!(matches!(kinds[away.as_str()], Kind::Staged(origin) if origin.wal_id == other));
    assert_eq!(kinds[spent.as_str()], Kind::Spent);
    assert_eq!(kinds[doubtful.as_str()], Kind::Doubtful);
    assert_eq!(kinds[joined.as_str()], Kind::Joined);
    assert_eq!(kinds[foreign.as_str()], Kind::Foreign);
    assert!(committed.files.iter().all(|file| !kinds.contains_key(file.path.as_str())));
    let said = table::leftovers(&world.store, &tenant, &logs).await.unwrap();
    assert_eq!(said.len(), kinds.len());
    assert!(said.iter().all(|finding| !finding.remedy.is_empty()));
}
