//! Other programs write to the tables while a daemon does (F30).

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::crash::ledger::Ledger;
use crate::crash::load::Load;
use crate::daemon::{Daemon, Launch, run};
use crate::otlp::{Encoding, Request, Signal};
use crate::programs::{python, script, skip};
use crate::vertical::now;

/// A span of a service of this name.
fn span(service: &str) -> Request {
    let start = now().as_nanos();
    let span = format!(
        r#"{{"traceId":"5b8aa5a2d2c872e8321cf37308d69df2","spanId":"051581bf3cb55c13","name":"x","startTimeUnixNano":"{start}","endTimeUnixNano":"{start}"}}"#
    );
    let resource = format!(
        r#"{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}}"#
    );
    let json = format!(
        r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#
    );
    Request::from_json(Signal::Traces, &json)
}

/// Waits until SQL counts so many spans of a service: what others commit is seen
/// with a node's next commit, or a moment later.
async fn counts(daemon: &Daemon, service: &str, wanted: i64) {
    let query = format!("SELECT count(*) FROM spans WHERE service_name = '{service}'");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = daemon.sql(&query).await.number();
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{found} spans of {service}, not {wanted}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Its own items: those of other services are not in the ledger.
async fn own_rows(daemon: &Daemon, ledger: &Ledger) {
    for run in 1..=4 {
        ledger.check_rows(daemon, Some(run)).await;
    }
}

/// Scenario: under load, deltalake appends rows, deletes some of its own and some
/// that the daemon took, joins all files and vacuums; the daemon is killed and
/// started again.
/// Guarantees: F30: the daemon goes on committing, joins and answers; its own rows
/// are there once, what others wrote and deleted is as they left it; the log stays
/// whole, and `verify` finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f30_a_daemon_goes_on_beside_other_writers() {
    let Some(python) = python().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1s").set("compaction.grace=1h");
    let spans = launch.data().join("store/default/spans");
    let folder = spans.to_str().unwrap();
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    daemon.ack(Encoding::HttpJson, &span("doomed")).await;
    daemon.flush().await;

    for (run, step) in ["append", "delete", "optimize", "vacuum"].into_iter().enumerate() {
        let load = Load::start(&daemon, &ledger, run as u16 + 1, run as u64);
        sleep(Duration::from_millis(700)).await;
        let said = script(&python, "python/outsider.py", &[folder, step]).await;
        eprintln!("{step}: {said}");
        load.stop().await;
        let (outsiders, doomed) = if step == "append" { (3, 1) } else { (2, 0) };
        counts(&daemon, "outsider", outsiders).await;
        counts(&daemon, "doomed", doomed).await;
        own_rows(&daemon, &ledger).await;
    }
    let foreign = "SELECT count(*) FROM system.files WHERE table_name = 'spans' AND wal_id IS NULL";
    assert!(daemon.sql(foreign).await.number() > 0, "no file of others is shown");
    daemon.kill().await;
    let daemon = launch.start().await;
    own_rows(&daemon, &ledger).await;
    counts(&daemon, "outsider", 2).await;
    daemon.flush().await;
    daemon.stop().await;
    let output = run(dir.path(), &["verify", "--store", &launch.store_url()]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
}

/// The Parquet files below a table's folder.
fn files(table: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for day in std::fs::read_dir(table).unwrap().map(|day| day.unwrap().path()) {
        let names = std::fs::read_dir(&day).into_iter().flatten();
        let names = names.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
        let day = day.file_name().unwrap().to_string_lossy().into_owned();
        found.extend(names.filter(|n| n.ends_with(".parquet")).map(|n| format!("{day}/{n}")));
    }
    found
}

/// Scenario: on a `file://` store a daemon dies between staging and committing;
/// deltalake vacuums, also what no version ever named, keeping a week.
/// Guarantees: decision 0004: acked rows that are staged in place outlive a vacuum
/// that keeps longer than their node is away, and are committed by its next start.
/// They would not outlive a shorter one of everything that is unnamed.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f30_a_vacuum_spares_what_is_staged_for_as_long_as_it_keeps() {
    let Some(python) = python().await else { return };
    if !cfg!(debug_assertions) {
        return skip("a release build has no stages to be killed at");
    }
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1h");
    let spans = launch.data().join("store/default/spans");
    let daemon = launch.start().await;
    daemon.ack(Encoding::HttpJson, &span("before")).await;
    daemon.flush().await;
    daemon.stop().await;
    let committed = files(&spans);

    let mut daemon = launch.clone().env("CLOUDSAIL_FAILPOINT", "commit_after_upload").start().await;
    daemon.ack(Encoding::HttpJson, &span("staged")).await;
    let flush = daemon.client.post(&daemon.url("/api/v1/flush"), &[], "").await;
    assert!(flush.is_err(), "{flush:?}");
    assert_eq!(daemon.process.wait().await.unwrap().signal(), Some(9));
    let staged: Vec<String> =
        files(&spans).into_iter().filter(|file| !committed.contains(file)).collect();
    assert_eq!(staged.len(), 1, "{staged:?}");

    let said = script(&python, "python/outsider.py", &[spans.to_str().unwrap(), "vacuum"]).await;
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["lite"], serde_json::json!([]), "{said}");
    assert_eq!(told["full"], serde_json::json!(staged), "{said}");
    let daemon = launch.start().await;
    counts(&daemon, "staged", 1).await;
    daemon.flush().await;
    counts(&daemon, "staged", 1).await;
    counts(&daemon, "before", 1).await;
    daemon.stop().await;
}
