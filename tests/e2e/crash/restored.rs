//! A data folder that is not the one the daemon left: wiped, or put back from
//! an older copy, while the store went on.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ledger::Ledger;
use super::load::Load;
use crate::daemon::{Daemon, Launch};
use crate::programs::skip;
use crate::vertical::now;

/// Half a second of load in a daemon that is then told to commit all of it.
async fn committed(daemon: &Daemon, ledger: &Ledger, run: u16) {
    let load = Load::start(daemon, ledger, run, u64::from(run));
    sleep(Duration::from_millis(500)).await;
    load.stop().await;
    daemon.flush().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

const LOCAL: [&str; 2] = ["wal", "stage"];

/// Scenario: log and stage are lost after everything was committed.
/// Guarantees: F42, C4: what the store has is there once, new rows come in
/// under a new log's id, and no name collides.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_a_wiped_folder_starts_a_new_log() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path());
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    committed(&daemon, &ledger, 1).await;
    daemon.stop().await;
    for part in LOCAL {
        std::fs::remove_dir_all(launch.data().join(part)).unwrap();
    }
    let daemon = launch.start().await;
    ledger.check_rows(&daemon, None).await;
    committed(&daemon, &ledger, 2).await;
    ledger.check_rows(&daemon, None).await;
    daemon.kill().await;
    let daemon = launch.start().await;
    ledger.check_rows(&daemon, None).await;
    daemon.stop().await;
}

/// Waits until the daemon answers for all that the store has. It may start over
/// meanwhile, on the same addresses.
async fn sees_all(daemon: &Daemon) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "it never saw all\n{}", daemon.process.log_text());
        sleep(Duration::from_millis(50)).await;
        let Ok(answer) = daemon.client.get(&daemon.url("/api/v1/status")).await else { continue };
        if answer.status != 200 {
            continue;
        }
        let tables = answer.json()["storage"]["tables"].as_array().cloned().unwrap_or_default();
        if tables.len() >= 4 && tables.iter().all(|table| table["incomplete"].is_null()) {
            return;
        }
    }
}

/// Scenario: log and stage are put back from a copy that holds rows which were
/// committed since, and lacks the ones after them.
/// Guarantees: F42, C4, S1: the daemon goes on by itself, under a new log id;
/// nothing that the store has is there twice or lost, and what comes in
/// afterwards is not taken for what was committed before.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_an_older_copy_of_the_log_loses_and_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let aside = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1h");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    sleep(Duration::from_millis(500)).await;
    daemon.kill().await;
    load.stop().await;
    for part in LOCAL {
        copy(&launch.data().join(part), &aside.path().join(part));
    }
    let daemon = launch.start().await;
    committed(&daemon, &ledger, 2).await;
    daemon.kill().await;
    for part in LOCAL {
        std::fs::remove_dir_all(launch.data().join(part)).unwrap();
        copy(&aside.path().join(part), &launch.data().join(part));
    }
    let daemon = launch.start().await;
    sees_all(&daemon).await;
    assert!(daemon.process.log_text().contains("gets a new id"), "it says so");
    ledger.check_rows(&daemon, None).await;
    let load = Load::start(&daemon, &ledger, 3, 3);
    sleep(Duration::from_millis(500)).await;
    daemon.kill().await;
    load.stop().await;
    let daemon = launch.start().await;
    ledger.check_rows(&daemon, None).await;
    daemon.flush().await;
    ledger.check_rows(&daemon, None).await;
    daemon.stop().await;
}

/// Scenario: an older copy acks rows while its tables cannot be read, and dies
/// twice while it gets its new id: before its log is renewed, and between log
/// and stage.
/// Guarantees: F42, D4: a renewal that broke off is done again or ended; what
/// only the copy held is there once, and so is what the original committed.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f42_a_copy_that_dies_while_it_is_renewed_loses_nothing() {
    if !cfg!(debug_assertions) {
        return skip("a release build has no stages to be killed at");
    }
    let dir = tempfile::tempdir().unwrap();
    let aside = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1h");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    committed(&daemon, &ledger, 1).await;
    daemon.kill().await;
    for part in LOCAL {
        copy(&launch.data().join(part), &aside.path().join(part));
    }
    let daemon = launch.start().await;
    committed(&daemon, &ledger, 2).await;
    daemon.kill().await;
    for part in LOCAL {
        std::fs::remove_dir_all(launch.data().join(part)).unwrap();
        copy(&aside.path().join(part), &launch.data().join(part));
    }
    let tables = launch.data().join("store/default");
    let hidden = aside.path().join("tables");
    std::fs::rename(&tables, &hidden).unwrap();
    std::fs::write(&tables, "in the way").unwrap();
    let daemon = launch.clone().env("CLOUDSAIL_FAILPOINT", "renew_before_log").start().await;
    let load = Load::start(&daemon, &ledger, 3, 3);
    sleep(Duration::from_millis(500)).await;
    load.stop().await;
    std::fs::remove_file(&tables).unwrap();
    std::fs::rename(&hidden, &tables).unwrap();
    let mut process = daemon.process;
    assert_eq!(process.wait().await.unwrap().signal(), Some(9), "{}", process.log_text());
    let again = launch.clone().env("CLOUDSAIL_FAILPOINT", "renew_before_stage").spawn();
    assert!(again.ready().await.is_err(), "it dies while it starts");
    let daemon = launch.start().await;
    sees_all(&daemon).await;
    ledger.check_rows(&daemon, None).await;
    daemon.flush().await;
    ledger.check_rows(&daemon, None).await;
    daemon.stop().await;
}
