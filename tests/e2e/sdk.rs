//! The Python and JavaScript SDKs as senders. Each script sends spans, logs
//! and every instrument through its SDK's own exporters with gzip, and prints
//! what the SDK itself says it sent, as [`expect::Expected`] rows.

use std::path::Path;

use crate::daemon::Launch;
use crate::expect;
use crate::programs::{node, python, script};

/// One daemon, all protocols of one SDK one after the other.
async fn sent(program: &Path, file: &str, protocols: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is flushed before it was looked at.
    let daemon = Launch::new(dir.path()).set("flush.max_age=1h").start().await;
    for protocol in protocols {
        let ports = &daemon.ports;
        let door = if *protocol == "grpc" { &ports.otlp_grpc } else { &ports.otlp_http };
        let endpoint = format!("http://{door}");
        let printed = script(program, file, &[protocol, &endpoint]).await;
        let rows = expect::parse(&printed);
        for table in ["spans", "logs", "metrics"] {
            assert!(rows.iter().any(|row| row.table == table), "{protocol}: no {table} told");
        }
        expect::check(&daemon, &rows).await;
        // What is stored is what was told, and nothing beside it.
        for table in ["spans", "logs", "metrics"] {
            let told = rows.iter().filter(|row| row.table == table).count();
            let query = format!(
                "SELECT count(*) FROM {table} WHERE resource_attributes['test.protocol'] = '{protocol}'"
            );
            assert_eq!(daemon.sql(&query).await.number(), told as i64, "{protocol}: {table}");
        }
    }
    daemon.stop().await;
}

/// Scenario: the Python SDK sends by gRPC and by HTTP, gzip on.
/// Guarantees: D2; the values come back to the nanosecond, before any flush.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d2_what_the_python_sdk_sends_comes_back() {
    if let Some(python) = python().await {
        sent(&python, "python/sdk.py", &["grpc", "http/protobuf"]).await;
    }
}

/// Scenario: the JavaScript SDK sends by gRPC, HTTP protobuf and HTTP JSON,
/// gzip on.
/// Guarantees: D2; the values come back to the nanosecond, before any flush.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d2_what_the_javascript_sdk_sends_comes_back() {
    if let Some(node) = node().await {
        sent(&node, "js/sdk.js", &["grpc", "http/protobuf", "http/json"]).await;
    }
}
