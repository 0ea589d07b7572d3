//! How the daemon begins and ends: SIGTERM under load, exit codes, the lock.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use crate::crash::ledger::Ledger;
use crate::crash::load::Load;
use crate::daemon::{Launch, run};
use crate::vertical::now;

/// Scenario: SIGTERM while six clients send; then a restart.
/// Guarantees: F43, G24: exit 0, everything acked is there, no exporter saw an
/// answer that would make it drop, and what was stored was also answered, so
/// that nobody sends it again.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f43_sigterm_under_load_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path());
    let ledger = Ledger::new(now().as_nanos() as u64);
    let mut daemon = launch.start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    sleep(Duration::from_millis(700)).await;
    daemon.process.signal(Signal::TERM);
    let status = daemon.process.wait().await.unwrap();
    load.stop().await;
    assert_eq!(status.code(), Some(0), "{}", daemon.process.log_text());
    assert!(ledger.acked() > 0);
    let daemon = launch.start().await;
    let rows = ledger.check_rows(&daemon, None).await;
    assert_eq!(rows, ledger.acked());
    ledger.check_books(&daemon).await;
    daemon.stop().await;
}

/// Scenario: Ctrl-C on an idle daemon.
/// Guarantees: G24: it ends with 0, within seconds.
#[tokio::test(flavor = "multi_thread")]
async fn otlp_g24_ctrl_c_ends_an_idle_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Launch::new(dir.path()).start().await;
    daemon.process.signal(Signal::INT);
    let ended = timeout(Duration::from_secs(10), daemon.process.wait()).await;
    assert_eq!(ended.expect("in time").unwrap().code(), Some(0));
}

/// Scenario: an empty folder, no configuration file.
/// Guarantees: interfaces.md: the ports file names the doors that are open, the
/// line to paste is printed, the three probes answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_tells_where_it_listens() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let ports: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("ports.json")).unwrap()).unwrap();
    for door in ["otlp_grpc", "otlp_http", "http"] {
        let address = ports[door].as_str().unwrap();
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{ports}");
    }
    let log = daemon.process.log_text();
    let line = format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://{}", daemon.ports.otlp_http);
    let other = format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://{}", daemon.ports.otlp_grpc);
    assert!(log.contains(&line) || log.contains(&other), "{log}");
    for probe in ["/healthz", "/readyz", "/metrics"] {
        let answer = daemon.client.get(&daemon.url(probe)).await.unwrap();
        assert_eq!(answer.status, 200, "{probe}: {}", answer.text());
    }
    let metrics = daemon.client.get(&daemon.url("/metrics")).await.unwrap().text();
    assert!(metrics.contains("cloudsail_"), "{metrics}");
    daemon.stop().await;
}

/// Scenario: a second daemon on the folder of a running one.
/// Guarantees: F21: it refuses with a message, and the first goes on.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f21_a_second_daemon_on_one_folder_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let second = Launch::new(dir.path()).logs(elsewhere.path()).spawn().ready().await;
    let Err(refused) = second else { panic!("two daemons write one log") };
    let said = format!("{refused:#}");
    assert!(said.contains("exit status: 1"), "{said}");
    assert!(said.contains("cloudsail-data"), "it names the folder: {said}");
    assert_eq!(daemon.count("spans").await, 0);
    daemon.stop().await;
}

/// Scenario: settings that cannot work, each told by file and by `--set`.
/// Guarantees: interfaces.md: exit code 2, and the message names the key.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work_end_with_2() {
    let dir = tempfile::tempdir().unwrap();
    for (setting, named) in [
        ("flush.max_agee=1s", "flush.max_age"),
        ("flush.max_age=soon", "flush.max_age"),
        ("store.url=ftp://x/y", "store.url"),
        ("otlp.grpc.listen=0.0.0.0:0", "--insecure"),
        ("wal.sync=sometimes", "wal.sync"),
    ] {
        let output = run(dir.path(), &["serve", "--set", setting]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{setting}: {said}");
        assert!(said.contains(named), "{setting}: {said}");
    }
    std::fs::write(dir.path().join("bad.yaml"), "flush:\n  max_agee: 1s\n").unwrap();
    let output = run(dir.path(), &["--config", "bad.yaml"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("flush.max_age") && said.contains("bad.yaml"), "{said}");
    assert_eq!(run(dir.path(), &["--no-such-flag"]).await.status.code(), Some(2));
}
