//! Draining a node, and adopting what a dead one left.

use std::time::Duration;

use schema::ErrorKind;
use storage::{Left, Source};

use crate::node::{Node, settings, start_on, until};
use crate::store_away::away;

async fn drained(node: &Node) -> Left {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let left = node.storage.drain().await.unwrap();
        if left.is_empty() {
            return left;
        }
        assert!(tokio::time::Instant::now() < deadline, "never empty: {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Scenario: a node with rows is drained while the store is away; then the
/// store returns.
/// Guarantees: F43, B2: from the first call on appends are refused retryably
/// and readiness is red; it is not called empty before log and stage are, and
/// says what it waits for; then every row is committed once (L1).
#[tokio::test(flavor = "multi_thread")]
async fn fault_f43_a_drained_node_has_nothing_left() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let node = start_on(store, settings(dir.path())).await;
    node.append(0..100).await.unwrap();
    away.set_away(true);
    let left = node.storage.drain().await.unwrap();
    assert_eq!(left.rows, 100);
    assert!(left.log_bytes > 0, "{left:?}");
    let refused = node.append(100..110).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(refused.retry_after.is_some() && node.storage.ready().is_err());
    until("the rows are staged and the log is empty", || {
        let status = node.storage.status();
        status.stage_bytes > 0 && node.storage.wal_segments().iter().all(|s| s.last.is_none())
    })
    .await;
    until("it says what it waits for", || {
        node.storage.status().tables.iter().any(|table| table.incomplete.is_some())
    })
    .await;
    let left = node.storage.drain().await.unwrap();
    assert!(!left.is_empty() && left.rows == 100, "{left:?}");
    assert!(left.waiting_for.is_some_and(|why| why.contains("503")));
    away.set_away(false);
    drained(&node).await;
    assert_eq!(node.seen(), (vec![], 100));
    node.balanced(100);
}

/// Scenario: the disk takes no note of a commit, then it does again; the node is
/// drained and dies.
/// Guarantees: F43, F15: what was committed meanwhile is booked and let go of
/// once the disk is well; L1 over a restart.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f43_a_disk_that_failed_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = away("memory://");
    let node = start_on(store.clone(), settings(dir.path())).await;
    node.append(0..10).await.unwrap();
    node.storage.flush().await.unwrap();
    // A file that lies in a folder of its name cannot be put in its place.
    let (booked, aside) = (dir.path().join("stage/progress.json"), dir.path().join("aside"));
    std::fs::rename(&booked, &aside).unwrap();
    std::fs::create_dir(&booked).unwrap();
    node.append(10..30).await.unwrap();
    node.storage.flush().await.unwrap_err();
    until("the index is committed as well", || {
        node.snapshot("trace_parts").staged.is_empty() && node.seen().0.is_empty()
    })
    .await;
    assert!(node.storage.status().stage_bytes > 0);
    std::fs::remove_dir(&booked).unwrap();
    std::fs::rename(&aside, &booked).unwrap();
    node.append(30..40).await.unwrap();
    drained(&node).await;
    node.balanced(40);
    drop(node);
    let node = start_on(store, settings(dir.path())).await;
    node.balanced(40);
    assert!(node.storage.recovered().iter().all(|row| row.in_flight == 0));
}

/// Scenario: a node dies with rows staged and rows in its log. Another process
/// opens its folder, drains it, dies in the middle of that, and does it again;
/// then the dead node comes back.
/// Guarantees: adoption loses and doubles nothing (D4, C3), and the folder is
/// as good as new for its node.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_a_dead_nodes_folder_is_adopted_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let dead = start_on(store.clone(), settings(dir.path())).await;
    dead.append(0..50).await.unwrap();
    dead.storage.flush().await.unwrap();
    away.set_away(true);
    dead.append(50..80).await.unwrap();
    dead.storage.flush().await.unwrap_err();
    dead.append(80..100).await.unwrap();
    drop(dead);

    // Broken off while the store is still away.
    let adopter = start_on(store.clone(), settings(dir.path())).await;
    let found: u64 = adopter.storage.recovered().iter().map(|row| row.in_flight).sum();
    assert_eq!(found, 50);
    assert!(!adopter.storage.drain().await.unwrap().is_empty());
    drop(adopter);

    away.set_away(false);
    let adopter = start_on(store.clone(), settings(dir.path())).await;
    drained(&adopter).await;
    adopter.balanced(100);
    assert!(adopter.storage.shutdown(Duration::from_secs(20)).await.is_empty());
    drop(adopter);

    let back = start_on(store, settings(dir.path())).await;
    assert!(back.storage.recovered().iter().all(|row| row.in_flight == 0));
    back.append(100..110).await.unwrap();
    back.storage.flush().await.unwrap();
    assert_eq!(back.seen(), (vec![], 110));
    back.balanced(110);
}
