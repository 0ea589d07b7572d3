//! The example files of the OTLP specification, as `opentelemetry-proto` ships
//! them.

use std::path::{Path, PathBuf};

use crate::daemon::Launch;
use crate::expect;
use crate::otlp::{Encoding, Request, Signal};

/// The examples' folder in the very version that the lock file names, among
/// the sources that cargo has unpacked to build us.
fn examples() -> PathBuf {
    let lock = include_str!("../../Cargo.lock");
    let entry = lock.split("name = \"opentelemetry-proto\"\nversion = \"").nth(1);
    let version = entry.and_then(|rest| rest.split('"').next()).expect("it is locked");
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let sources = home.expect("a home of cargo").join("registry/src");
    let registries = std::fs::read_dir(&sources).expect("the sources are unpacked");
    let inside = format!("opentelemetry-proto-{version}/src/proto/opentelemetry-proto/examples");
    let mut found = registries.map(|entry| entry.expect("an entry").path().join(&inside));
    found.find(|path| path.exists()).unwrap_or_else(|| panic!("no {inside} in {sources:?}"))
}

/// Scenario: the four example files are posted as they are.
/// Guarantees: contract J14: every field of them comes back by SQL, hot and
/// from Parquet.
#[tokio::test(flavor = "multi_thread")]
async fn otlp_j14_the_example_files_come_back_field_exact() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let files = [
        (Signal::Traces, "trace.json"),
        (Signal::Logs, "logs.json"),
        (Signal::Logs, "events.json"),
        (Signal::Metrics, "metrics.json"),
    ];
    for (signal, file) in files {
        let json = std::fs::read_to_string(examples().join(file)).expect("the example is there");
        daemon.ack(Encoding::HttpJson, &Request::from_json(signal, &json)).await;
    }
    let rows = expect::parse(include_str!("fixtures/examples.json"));
    expect::check(&daemon, &rows).await;
    assert_eq!(daemon.count("spans").await, 1);
    assert_eq!(daemon.count("logs").await, 2);
    assert_eq!(daemon.count("metrics").await, 4);
    daemon.flush().await;
    expect::check(&daemon, &rows).await;
    daemon.stop().await;
}
