//! Nodes that are to go or are gone: drained, adopted.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use tokio::time::sleep;

use crate::crash::ledger::Ledger;
use crate::crash::load::Load;
use crate::daemon::{Launch, cloudsail, run};
use crate::otlp::{Encoding, Outcome, send};
use crate::programs::skip;
use crate::vertical::{fixtures, now};

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}\n{out}{err}", output.status)
}

/// Scenario: a loaded daemon is drained through its HTTP API while clients send.
/// Guarantees: F43, B2: exit 0 only with everything committed; from then on it
/// is not ready, and refuses in the way that every SDK retries.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f43_a_running_daemon_is_drained() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1h");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    sleep(Duration::from_millis(500)).await;
    let output =
        run(dir.path(), &["drain", "--server", &daemon.url(""), "--deadline", "60s"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    load.stop().await;
    assert!(ledger.acked() > 0);
    assert_eq!(daemon.client.get(&daemon.url("/readyz")).await.unwrap().status, 503);
    for encoding in Encoding::ALL {
        match send(&daemon.client, &daemon.ports, encoding, &fixtures().0[0]).await {
            Outcome::Refused { status, retry_after } => {
                assert!(matches!(status, 503 | 14), "{status}");
                assert!(retry_after >= Some(Duration::from_secs(1)), "{status}");
            }
            other => panic!("{other:?}"),
        }
    }
    let status = daemon.client.get(&daemon.url("/api/v1/status")).await.unwrap().json();
    assert_eq!(status["phase"], "draining");
    assert_eq!(status["storage"]["stage_bytes"], 0);
    ledger.check_rows(&daemon, None).await;
    ledger.check_books(&daemon).await;
    daemon.kill().await;
    std::fs::remove_dir_all(launch.data().join("wal")).unwrap();
    std::fs::remove_dir_all(launch.data().join("stage")).unwrap();
    let daemon = launch.start().await;
    ledger.check_rows(&daemon, None).await;
    daemon.stop().await;
}

/// Scenario: the folder of a killed daemon is drained without one, first while
/// its store cannot be written.
/// Guarantees: interfaces.md: exit 1 and what is left at the deadline, exit 0
/// when log and stage are empty, an error where there is no folder at all.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f43_a_folder_is_drained_without_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1h");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    sleep(Duration::from_millis(300)).await;
    daemon.kill().await;
    load.stop().await;
    let tables = launch.data().join("store/default");
    let aside = dir.path().join("aside");
    std::fs::rename(&tables, &aside).unwrap();
    std::fs::write(&tables, "in the way").unwrap();
    let output = run(dir.path(), &["drain", "--deadline", "2s"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("not empty within the deadline"), "{}", said(&output));
    std::fs::remove_file(&tables).unwrap();
    std::fs::rename(&aside, &tables).unwrap();
    let output = run(dir.path(), &["drain"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let daemon = launch.start().await;
    ledger.check_rows(&daemon, None).await;
    let status = daemon.client.get(&daemon.url("/api/v1/status")).await.unwrap().json();
    assert!(status["storage"]["tables"].as_array().unwrap().iter().all(|t| t["hot_rows"] == 0));
    daemon.stop().await;
    let empty = tempfile::tempdir().unwrap();
    let output = run(empty.path(), &["drain"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "it made something");
}

async fn adopt(dir: &Path, stage: Option<&str>) -> Output {
    let mut command = cloudsail();
    command.current_dir(dir).args(["adopt", "cloudsail-data"]);
    if let Some(stage) = stage {
        command.env("CLOUDSAIL_FAILPOINT", stage);
    }
    command.output().await.unwrap()
}

/// Scenario: a daemon dies under load. Its folder is adopted by a process that
/// dies after the upload, by one that dies after the commit, and by a third.
/// Before: adoption of a folder that is in use, and of one that is none.
/// Guarantees: F8, F42: the first two are refused and change nothing; after the
/// third everything is committed, once, and the folder has nothing left.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_a_dead_nodes_folder_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1h");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    sleep(Duration::from_millis(500)).await;
    let output = adopt(dir.path(), None).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("in use"), "{}", said(&output));
    daemon.kill().await;
    load.stop().await;
    let none = tempfile::tempdir().unwrap();
    let output = run(none.path(), &["adopt", "."]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no data folder"), "{}", said(&output));
    assert_eq!(std::fs::read_dir(none.path()).unwrap().count(), 0, "it made something");

    if cfg!(debug_assertions) {
        for stage in ["stage_after_manifest", "commit_after"] {
            let output = adopt(dir.path(), Some(stage)).await;
            assert_eq!(output.status.signal(), Some(9), "{stage}: {}", said(&output));
        }
    } else {
        skip("a release build has no stages to be killed at");
    }
    let output = adopt(dir.path(), None).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("committed"), "{}", said(&output));
    let output = adopt(dir.path(), None).await;
    assert!(said(&output).contains("nothing was left"), "{}", said(&output));

    let daemon = launch.start().await;
    ledger.check_rows(&daemon, None).await;
    ledger.check_books(&daemon).await;
    daemon.stop().await;
}
