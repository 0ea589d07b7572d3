//! Local copies of recent files.

use std::path::{Path, PathBuf};

use object_store::ObjectStoreExt;
use object_store::path::Path as Object;
use storage::{Settings, Source};

use crate::node::{Node, settings, start_on, until};
use crate::outage_copies::{committed, killed};
use crate::stage_world::parquet_files;
use crate::store_away::away;

fn cached(dir: &Path, max_bytes: u64) -> Settings {
    let mut settings = settings(dir);
    settings.cache.max_bytes = max_bytes;
    // Joins read what they join from the store.
    settings.compaction.enabled = false;
    settings
}

fn copies(dir: &Path) -> Vec<PathBuf> {
    let root = dir.join("cache");
    let found = parquet_files(&root).into_iter().filter(|path| path.ends_with(".parquet"));
    found.map(|path| root.join(path)).collect()
}

async fn flushed(node: &Node, ids: std::ops::Range<i64>) {
    node.append(ids).await.unwrap();
    node.storage.flush().await.unwrap();
}

/// Scenario: rows are committed to a remote store and read; the store goes
/// away and they are read again; then after a restart.
/// Guarantees: recent files are answered for by this disk, and the store is not
/// asked for one of them; what it alone holds stays an error.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f22_recent_files_are_read_while_the_store_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let node = start_on(store.clone(), cached(dir.path(), 1 << 30)).await;
    flushed(&node, 0..50).await;
    flushed(&node, 50..100).await;
    let files =
        node.snapshot("spans").committed.len() + node.snapshot("trace_parts").committed.len();
    until("copies are kept", || copies(dir.path()).len() == files).await;
    assert!(node.storage.status().cache_bytes > 0);
    assert_eq!(committed(&node).await, (0..100).collect::<Vec<i64>>());
    assert_eq!(away.parquet_reads(), 0, "the store was asked");
    away.set_away(true);
    assert_eq!(committed(&node).await, (0..100).collect::<Vec<i64>>());
    let log = Object::from("default/spans/_delta_log/00000000000000000000.json");
    assert!(node.storage.store().get(&log).await.is_err(), "a log is never answered for");
    killed(node, dir.path()).await;

    away.set_away(false);
    let node = start_on(store, cached(dir.path(), 1 << 30)).await;
    until("the table is loaded", || node.snapshot("spans").incomplete.is_none()).await;
    assert_eq!(committed(&node).await, (0..100).collect::<Vec<i64>>());
    assert_eq!(away.parquet_reads(), 0, "copies outlive a restart");
}

/// Scenario: copies are changed by a bit, cut, and removed, while the node
/// runs and while it does not.
/// Guarantees: F25: never wrong rows; the store answers for each of them.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f25_a_rotten_copy_gives_no_wrong_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let node = start_on(store.clone(), cached(dir.path(), 1 << 30)).await;
    let all = || (0..30).collect::<Vec<i64>>();
    for n in 0..3 {
        flushed(&node, n * 10..n * 10 + 10).await;
    }
    let spans = || {
        let mut found = copies(dir.path());
        found.retain(|path| path.components().any(|part| part.as_os_str() == "spans"));
        found
    };
    until("copies are kept", || spans().len() == node.snapshot("spans").committed.len()).await;
    // A copy shares its bytes with the stage's file; both are of no use then.
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1;
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let paths = spans();
    flip(&paths[0], 200);
    std::fs::remove_file(&paths[1]).unwrap();
    assert_eq!(committed(&node).await, all());
    assert_eq!(away.parquet_reads(), 2);
    assert_eq!(committed(&node).await, all());
    assert_eq!(away.parquet_reads(), 4, "a damaged copy is not kept");
    killed(node, dir.path()).await;

    let left = spans();
    let whole = std::fs::read(&left[0]).unwrap();
    std::fs::remove_file(&left[0]).unwrap();
    std::fs::write(&left[0], &whole[..whole.len() - 1]).unwrap();
    flip(&left[1], 1000);
    let node = start_on(store, cached(dir.path(), 1 << 30)).await;
    until("the table is loaded", || node.snapshot("spans").incomplete.is_none()).await;
    assert_eq!(committed(&node).await, all());
    assert_eq!(away.parquet_reads(), 8);
}

/// Scenario: more is committed than the cache may hold, then it may hold
/// nothing; and a volume that runs short.
/// Guarantees: F13: the newest copies stay within `cache.max_bytes`; the cache
/// gives way before ingest does, and rows are read all the same.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f13_the_cache_gives_way_first() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = away("memory://");
    let node = start_on(store.clone(), cached(dir.path(), 1 << 30)).await;
    flushed(&node, 0..50).await;
    until("copies are kept", || node.storage.status().cache_bytes > 0).await;
    let one = node.storage.status().cache_bytes;
    killed(node, dir.path()).await;

    let most = one * 5 / 2;
    let node = start_on(store.clone(), cached(dir.path(), most)).await;
    for n in 1..6 {
        flushed(&node, n * 50..n * 50 + 50).await;
    }
    let newest = node.snapshot("spans").committed.iter().map(|f| f.origin.unwrap().last).max();
    let newest = format!("-{}.parquet", newest.unwrap());
    until("the newest is kept", || {
        copies(dir.path()).iter().any(|path| path.to_string_lossy().ends_with(&newest))
    })
    .await;
    let status = node.storage.status();
    assert!(status.cache_bytes <= most, "{} of {most}", status.cache_bytes);
    assert_eq!(committed(&node).await, (0..300).collect::<Vec<i64>>());
    let space = status.disk.unwrap();
    killed(node, dir.path()).await;

    // A reserve of which one and a half are free: short for a cache only.
    let mut short = cached(dir.path(), most);
    short.disk_reserve = space.free as f64 / space.total as f64 / 1.5;
    let node = start_on(store, short).await;
    until("the cache is gone", || node.storage.status().cache_bytes == 0).await;
    assert!(copies(dir.path()).is_empty());
    flushed(&node, 300..310).await;
    assert_eq!(committed(&node).await, (0..310).collect::<Vec<i64>>());
}
