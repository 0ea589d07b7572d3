//! The store is away for long, and comes back to a backlog.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use storage::Settings;

use crate::node::{Node, settings, start_on, start_with, until};
use crate::outage_copies::{committed, killed};
use crate::store_away::away;

fn restless(dir: &std::path::Path) -> Settings {
    let mut settings = settings(dir);
    // Nothing leaves memory but when the test says so.
    settings.flush.max_age = std::time::Duration::from_secs(3600);
    settings
}

/// Stages what is in memory, the store being away.
async fn stage(node: &Node) {
    node.storage.flush().await.unwrap_err();
}

/// Scenario: the store is away while a hundred and fifty ranges are staged,
/// over two restarts; then it returns.
/// Guarantees: F22, F41: the node stays ready, rows leave its memory, it says
/// how long the outbox lasts; the backlog is committed in few entries, in order,
/// each row once, and L1 balances throughout.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f22_the_outbox_takes_the_load_of_an_outage() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let node = start_on(store.clone(), restless(dir.path())).await;
    node.append(0..10).await.unwrap();
    node.storage.flush().await.unwrap();
    away.set_away(true);
    killed(node, dir.path()).await;
    for life in 0..3 {
        let (node, registry) = start_with(store.clone(), restless(dir.path())).await;
        for n in 0..50 {
            let first = (life * 50 + n) * 10 + 10;
            node.append(first..first + 10).await.unwrap();
            stage(&node).await;
            node.storage.ready().expect("the store's absence is no reason not to take rows");
        }
        until("memory is empty", || node.budget.used() == 0).await;
        node.balanced(10 + (life as u64 + 1) * 500);
        let status = node.storage.status();
        assert!(status.stage_bytes > 0 && status.stage_lasts_seconds.is_some(), "{status:?}");
        until("a scrape tells how long it lasts", || scraped(&registry).is_finite()).await;
        killed(node, dir.path()).await;
    }

    let node = start_on(store, restless(dir.path())).await;
    let before = away.entries();
    away.set_away(false);
    node.storage.flush().await.unwrap();
    let entries = away.entries() - before;
    assert!(entries <= 8, "{entries} entries of two tables for 150 ranges");
    assert_eq!(committed(&node).await, (0..1510).collect::<Vec<i64>>());
    assert_eq!(node.seen(), (vec![], 1510));
    assert_eq!(node.storage.status().stage_bytes, 0);
    node.balanced(1510);
}

/// What a scrape says of how long the outbox lasts.
fn scraped(registry: &Registry) -> f64 {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    let line = text.lines().find(|l| l.starts_with("cloudsail_stage_lasts_seconds "));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// Scenario: the stage may hold far more than its volume has room for, and the store
/// is away.
/// Guarantees: F13, F22: the status says what a scrape says of how long the outbox
/// lasts: as long as the volume does.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f22_the_outbox_lasts_no_longer_than_its_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    away.set_away(true);
    let mut settings = restless(dir.path());
    settings.stage.max_bytes = 1 << 60;
    let (node, registry) = start_with(store, settings).await;
    node.append(0..10).await.unwrap();
    stage(&node).await;
    until("a scrape tells how long it lasts", || scraped(&registry).is_finite()).await;
    // The one fades while the other is asked for.
    until("both say about the same", || {
        let status = node.storage.status().stage_lasts_seconds.unwrap() as f64;
        (status / scraped(&registry) - 1.0).abs() < 0.5
    })
    .await;
}

/// Scenario: the stage's bound is reached while the store is away, then the
/// log's; then the store returns.
/// Guarantees: F22, B1: first the stage fills, then the log, then rows are
/// refused retryably; nothing acked is lost, and it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f22_a_full_outbox_refuses_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, away) = away("memory://");
    let mut settings = settings(dir.path());
    settings.wal.segment_bytes = 1 << 20;
    settings.wal.max_bytes = 2 << 20;
    settings.stage.max_bytes = 1 << 20;
    settings.flush.max_bytes = 1 << 20;
    away.set_away(true);
    let node = start_on(store, settings).await;
    let mut acked = 0;
    let (mut staged, mut refused) = (0, None);
    while refused.is_none() {
        match node.append(acked..acked + 2000).await {
            Ok(_) => acked += 2000,
            Err(refusal) if node.storage.status().stage_bytes >= 1 << 20 => refused = Some(refusal),
            // The log fills faster than rows are encoded: what a sender does.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
        staged = staged.max(node.storage.status().stage_bytes);
        assert!(acked < 20_000_000, "it never refused");
    }
    assert_eq!(refused.unwrap().kind, schema::ErrorKind::Unavailable);
    assert!(staged < 4 << 20, "{staged} bytes staged with a bound of a mebibyte");
    node.balanced(acked as u64);
    away.set_away(false);
    node.storage.flush().await.unwrap();
    until("it goes on", || node.storage.ready().is_ok()).await;
    node.append(acked..acked + 10).await.unwrap();
    node.storage.flush().await.unwrap();
    assert_eq!(node.seen(), (vec![], acked as u64 + 10));
    node.balanced(acked as u64 + 10);
}
