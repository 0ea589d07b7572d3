//! Flight SQL as its users meet it: ADBC's own driver, with pandas and Polars.

use crate::daemon::Launch;
use crate::otlp::Encoding;
use crate::programs::{adbc, script};
use crate::vertical::fixtures;

/// Scenario: statements, parameters, catalogs, errors, a cancelled statement and
/// a reader that is let go, by ADBC without and with a handshake; the answers
/// as Arrow, pandas and Polars, beside those of HTTP. Then SIGTERM.
/// Guarantees: interfaces.md, clients.md 1.3: the same rows on both doors, and
/// the door ends in order.
#[tokio::test(flavor = "multi_thread")]
async fn adbc_is_answered() {
    let Some(python) = adbc().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).set("flight.listen=127.0.0.1:0").start().await;
    for request in &fixtures().0 {
        daemon.ack(Encoding::HttpProtobuf, request).await;
    }
    let door = daemon.ports.flight.as_ref().expect("the ports file names it");
    let args = [&format!("grpc://{door}")[..], &daemon.url("/api/v1/sql")];
    let printed = script(&python, "python/adbc.py", &args).await;
    assert_eq!(printed.trim(), "answered");
    let log = daemon.process.log_text();
    assert!(log.contains(&format!("Flight SQL grpc://{door}")), "{log}");
    daemon.stop().await;
}
