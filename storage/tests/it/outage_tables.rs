//! A table is deleted, or changed beyond what a node can write, under a node.

use object_store::ObjectStoreExt;
use object_store::path::Path;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use storage::store::Store;

use crate::node::{Node, settings, start_with, until};
use crate::outage_copies::{committed, killed};

const LOG: &str = "default/spans/_delta_log";

/// What a scrape says of commits of spans that failed.
fn failures(registry: &Registry) -> f64 {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    let failed = text.lines().filter(|line| line.starts_with("cloudsail_commit_failures_total{"));
    let failed = failed.filter(|line| line.contains("spans"));
    failed.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Takes ten rows, cannot commit them, and says why; they are seen all the same.
async fn stuck(node: &Node, registry: &Registry, first: i64, why: &str) {
    let before = failures(registry);
    node.append(first..first + 10).await.unwrap();
    let error = node.storage.flush().await.unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
    assert!(failures(registry) > before, "no metric tells of it");
    let said = node.snapshot("spans").incomplete.unwrap_or_default();
    assert!(said.contains(why), "the answer does not say so: {said:?}");
    assert!(node.storage.status().stage_bytes > 0);
}

/// Scenario: another tool raises the protocol of a table beyond what the node
/// writes; rows come in; the node is killed and started, twice; then somebody puts
/// the table back.
/// Guarantees: F31: nothing is committed and nothing lost, rows stay in log and
/// stage and are seen, the metric, the answers and the flush say why, after a start
/// too; when the table can be written again they are committed, once.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f31_a_node_keeps_rows_of_a_table_beyond_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open("memory://", &Default::default()).unwrap();
    let (mut node, mut registry) = start_with(store.clone(), settings(dir.path())).await;
    node.append(0..10).await.unwrap();
    node.storage.flush().await.unwrap();
    let version = node.snapshot("spans").version.unwrap().0 + 1;
    let entry = Path::from(format!("{LOG}/{version:020}.json"));
    let protocol = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":4}}"#;
    store.objects().put(&entry, protocol.into()).await.unwrap();
    for life in 1..=3 {
        stuck(&node, &registry, life * 10, "writer version 4").await;
        node.balanced((life as u64 + 1) * 10);
        killed(node, dir.path()).await;
        (node, registry) = start_with(store.clone(), settings(dir.path())).await;
    }
    store.objects().delete(&entry).await.unwrap();
    killed(node, dir.path()).await;
    let (node, _) = start_with(store.clone(), settings(dir.path())).await;
    node.storage.flush().await.unwrap();
    assert_eq!(committed(&node).await, (0..40).collect::<Vec<i64>>());
    node.balanced(40);
}

/// Scenario: the log of a table is removed under a node; rows come in; it is put
/// back, and the node goes on. Then it is removed for good, and the node started.
/// Guarantees: F31: as above; no entry is written where the log is not, and a start
/// makes a new table of what only the node has.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f31_a_node_keeps_rows_of_a_table_that_went() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", dir.path().display());
    let store = Store::open(&url, &Default::default()).unwrap();
    let (node, registry) = start_with(store.clone(), settings(dir.path())).await;
    node.append(0..10).await.unwrap();
    node.storage.flush().await.unwrap();
    let log = dir.path().join("store").join(LOG);
    let aside = dir.path().join("aside");
    std::fs::rename(&log, &aside).unwrap();
    for first in [10, 20] {
        stuck(&node, &registry, first, "lost its log").await;
    }
    assert!(!log.exists(), "something was written where the table was");
    node.balanced(30);
    std::fs::rename(&aside, &log).unwrap();
    node.storage.flush().await.unwrap();
    until("the answers are complete", || node.snapshot("spans").incomplete.is_none()).await;
    assert_eq!(committed(&node).await, (0..30).collect::<Vec<i64>>());
    node.balanced(30);

    std::fs::remove_dir_all(&log).unwrap();
    stuck(&node, &registry, 30, "lost its log").await;
    killed(node, dir.path()).await;
    let (node, _) = start_with(store, settings(dir.path())).await;
    node.storage.flush().await.unwrap();
    assert_eq!(committed(&node).await, (30..40).collect::<Vec<i64>>());
    node.balanced(40);
}
