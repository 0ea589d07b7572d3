//! Starts from folders in which something is not what it should be: a file that
//! cannot be read, a plan of another folder, a commit that was not booked.

use std::path::Path;

use object_store::ObjectStoreExt;
use schema::Tenant;
use storage::stage::manifest::Manifest;
use storage::store::Store;
use storage::store::tree::Tree;
use storage::table::{DeltaTable, Why, verify};
use storage::{DataFile, Source};

use crate::node::{settings, start_on, until};
use crate::outage_copies::{committed, copy, killed, loaded, started_over};
use crate::stage_world::{LOG, World, parquet_files};
use crate::store_away::away;

fn damage(dir: &Path) {
    std::fs::write(dir.join("stage/progress.json"), b"{").unwrap();
}

/// Scenario: what is known of own commits cannot be read at a start; the rows are
/// all committed, or some are in the log alone.
/// Guarantees: D4, L1: the table tells; every row is there once and the books of
/// what was sent balance.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d4_commits_are_relearned_from_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let node = start_on(store.clone(), settings(dir.path())).await;
    loaded(&node).await;
    node.append(0..10).await.unwrap();
    node.storage.flush().await.unwrap();
    killed(node, dir.path()).await;
    damage(dir.path());
    let node = start_on(store.clone(), settings(dir.path())).await;
    assert!(node.storage.recovered().iter().all(|row| row.in_flight == 0));
    node.balanced(10);
    loaded(&node).await;
    away.set_away(true);
    node.append(10..20).await.unwrap();
    killed(node, dir.path()).await;
    damage(dir.path());
    away.set_away(false);
    let node = start_on(store, settings(dir.path())).await;
    node.storage.flush().await.unwrap();
    assert_eq!(committed(&node).await, (0..20).collect::<Vec<i64>>());
}

/// Scenario: an older copy of a folder, in which what is known of own commits
/// cannot be read; the original has committed more since.
/// Guarantees: F42: a watermark above what both copies have is not taken for its
/// own; rows of both are there once, under two ids.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_a_broken_progress_believes_no_other_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let (store, away) = away("memory://");
    let node = start_on(store.clone(), settings(&one)).await;
    loaded(&node).await;
    node.append(0..10).await.unwrap();
    node.storage.flush().await.unwrap();
    away.set_away(true);
    node.append(10..30).await.unwrap();
    killed(node, &one).await;
    copy(&one, &two);

    away.set_away(false);
    let node = start_on(store.clone(), settings(&one)).await;
    for n in 3..6 {
        node.append(n * 10..n * 10 + 10).await.unwrap();
        node.storage.flush().await.unwrap();
    }
    killed(node, &one).await;

    damage(&two);
    let node = start_on(store.clone(), settings(&two)).await;
    let before = node.storage.status().wal_id;
    let node = started_over(node, &store, &two).await;
    assert_ne!(node.storage.status().wal_id, before);
    node.append(1000..1010).await.unwrap();
    node.storage.flush().await.unwrap();
    let all: Vec<i64> = (0..60).chain(1000..1010).collect();
    assert_eq!(committed(&node).await, all);
}

/// Scenario: a folder is copied while a range is being staged; the copy starts
/// while the original, whose files lie on the store already, is about to commit.
/// Guarantees: F42, D3: the copy removes what was copied with it and nothing that
/// the original may commit; the same plan in its own folder is waste (F4).
#[test]
fn fault_f42_a_copied_plan_removes_nothing_of_the_original() {
    for (local, copied) in [(true, true), (true, false), (false, true), (false, false)] {
        let world = World::new(local);
        let torn = world.stage().write(&world.sealed("spans", 4, 9)).unwrap();
        let stage = world.stage_dir();
        let own = Tree::open(&stage).unwrap();
        let root = world.store.local_root().unwrap_or(own.root()).to_owned();
        let files: Vec<String> = parquet_files(&root);
        let plan = Manifest::planned(LOG, &root, own.root(), files.clone());
        plan.write(&own, &torn.manifest).unwrap();
        if copied {
            let aside = world.dir.path().join("aside");
            copy(&stage, &aside);
            std::fs::rename(&stage, world.dir.path().join("original")).unwrap();
            std::fs::rename(&aside, &stage).unwrap();
        }
        assert_eq!(world.open(LOG).unwrap().1, []);
        assert!(!torn.manifest.exists(), "the plan itself is done with");
        let left = parquet_files(&root);
        let kept = if local && copied { files } else { Vec::new() };
        assert_eq!(left, kept, "local {local}, copied {copied}");
        if copied && !local {
            let original = world.dir.path().join("original");
            assert_eq!(
                parquet_files(&original).len(),
                torn.outputs.iter().map(|o| o.files.len()).sum::<usize>()
            );
        }
    }
}

/// What the holder of the lease does to a range of a node that is down.
async fn rewritten(store: &Store, join: bool) {
    let tenant = Tenant::default();
    let catalog = schema::Catalog::default();
    let table = catalog.get("spans").unwrap().clone();
    let mut spans = DeltaTable::open(store, &tenant, table, Some(schema::WalId(5))).await.unwrap();
    let files = spans.current().unwrap().files;
    let old: Vec<_> =
        files.iter().filter(|file| file.origin.unwrap().last.0 == 2).cloned().collect();
    assert_eq!(old.len(), 2);
    let mut new = Vec::new();
    for file in old.iter().filter(|_| join) {
        let path = file.path.replace(".parquet", "-00000000000000cd.parquet");
        let file = DataFile { path, ..DataFile::clone(file) };
        new.push(file);
    }
    for (from, to) in old.iter().zip(&new) {
        let (from, to) = (from.location().unwrap(), to.location().unwrap());
        store.objects().copy(&from, &to).await.unwrap();
    }
    let why = if join { Why::Join } else { Why::Expire { at_millis: 1 } };
    assert!(spans.rewrite(&old, new, why).await.unwrap().is_some());
    for file in &old {
        store.objects().delete(&file.location().unwrap()).await.unwrap();
    }
}

/// Scenario: a node dies between a commit and the booking of it; before it is back
/// the holder of the lease joins the range, or drops its days.
/// Guarantees: F42, C3: the commit is known for its own by what the log tells of
/// removed files; the log keeps its id, and nothing is committed again.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_a_commit_that_was_joined_before_it_was_booked_is_its_own() {
    for join in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (own, saved) = (dir.path().join("own"), dir.path().join("saved"));
        let (store, away) = away("memory://");
        let node = start_on(store.clone(), settings(&own)).await;
        loaded(&node).await;
        node.append(0..10).await.unwrap();
        node.storage.flush().await.unwrap();
        away.set_away(true);
        node.append(10..20).await.unwrap();
        node.storage.stage().await.unwrap();
        copy(&own, &saved);
        away.set_away(false);
        node.storage.flush().await.unwrap();
        let id = node.storage.status().wal_id;
        killed(node, &own).await;
        std::fs::remove_dir_all(&own).unwrap();
        copy(&saved, &own);
        rewritten(&store, join).await;

        let node = start_on(store.clone(), settings(&own)).await;
        node.storage.flush().await.unwrap();
        until("the range is let go of", || node.storage.status().stage_bytes == 0).await;
        assert_eq!(node.storage.status().wal_id, id);
        let all: Vec<i64> = (0..if join { 20 } else { 10 }).collect();
        assert_eq!(committed(&node).await, all);
        node.balanced(20);
        let table = node.storage.catalog().get("spans").unwrap().clone();
        assert_eq!(verify(&store, &Tenant::default(), &table).await.unwrap(), []);
    }
}
