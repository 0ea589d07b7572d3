//! Guards that ask by SQL.

use crate::daemon::Launch;
use crate::guards::{FAILING, Shop, document, open, until};

/// Scenario: a guard that counts failed requests by a query of its own, while requests
/// are well and then fail.
/// Guarantees: it goes by its answers, by value, and stops the run by its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_by_sql_stops_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let shop = Shop::open(&daemon);
    let query = "{name: failures, provider: {type: sql, result: scalar, query: \"SELECT count(*) FROM spans WHERE service_name = 'frontend' AND is_error AND {window}\"}, when: \"> 5\", for: 0s}";
    open(&daemon, "asked", &document(query, "")).await;
    let go = until(&daemon, "asked", 200).await;
    assert_eq!(go["verdict"], "go", "{go}");
    shop.turn(FAILING);
    let stop = until(&daemon, "asked", 503).await;
    assert_eq!(stop["guard"], "failures", "{stop}");
    // The guard's own decision, or already what the run is latched by.
    assert!(stop["reason"] == "threshold" || stop["reason"] == "aborted", "{stop}");
    assert!(stop["detail"].as_str().unwrap().contains("> 5"), "{stop}");
    daemon.stop().await;
}
