//! `ack.level: store`: an ack is a commit.

use std::sync::Arc;

use storage::{AckLevel, Settings, Sync};
use tokio::task::JoinSet;

use crate::node::{settings, start_on, until};
use crate::outage_copies::committed;
use crate::store_away::away;

fn scratch(dir: &std::path::Path) -> Settings {
    let mut settings = settings(dir);
    settings.ack = AckLevel::Store;
    settings.wal.sync = Sync::Off;
    settings
}

/// Scenario: many senders at once on a node whose folders are scratch; then the
/// node and its folders are gone.
/// Guarantees: D1 at this level: what was acked is in the table, whatever the
/// node loses; the acks of a second share a commit.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d1_an_ack_of_the_store_outlives_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let node = Arc::new(start_on(store.clone(), scratch(dir.path())).await);
    until("the tables are loaded", || node.storage.ready().is_ok()).await;
    let before = away.entries();
    let mut senders = JoinSet::new();
    for sender in 0..40i64 {
        let node = node.clone();
        senders.spawn(async move { node.append(sender * 10..sender * 10 + 10).await.unwrap() });
    }
    senders.join_all().await;
    let entries = away.entries() - before;
    assert!(entries <= 8, "{entries} entries of two tables for forty acks at once");
    node.balanced(400);
    drop(node);
    drop(dir);

    let dir = tempfile::tempdir().unwrap();
    let node = start_on(store, scratch(dir.path())).await;
    until("the tables are loaded", || node.storage.ready().is_ok()).await;
    assert_eq!(committed(&node).await, (0..400).collect::<Vec<i64>>());
}

/// Scenario: the store goes away with a sender waiting, and returns.
/// Guarantees: F22, B2: nothing is acked meanwhile; the next sender is refused
/// retryably and readiness is red; the one that waits is acked in the end.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f22_no_ack_of_the_store_without_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let node = Arc::new(start_on(store, scratch(dir.path())).await);
    until("the tables are loaded", || node.storage.ready().is_ok()).await;
    away.set_away(true);
    let mut senders = JoinSet::new();
    let waiting = node.clone();
    senders.spawn(async move { waiting.append(0..10).await });
    until("readiness is red", || node.storage.ready().is_err()).await;
    let refused = node.append(10..20).await.unwrap_err();
    assert_eq!(refused.kind, schema::ErrorKind::Unavailable);
    assert!(refused.retry_after.is_some() && senders.try_join_next().is_none());
    away.set_away(false);
    senders.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(committed(&node).await, (0..10).collect::<Vec<i64>>());
    until("readiness is green", || node.storage.ready().is_ok()).await;
    node.append(20..30).await.unwrap();
    node.balanced(20);
}
