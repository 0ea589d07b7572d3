//! SIGKILL at every stage that has a name. The stages are compiled into debug
//! builds; a release build has none, and these tests say so.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::ledger::Ledger;
use super::load::Load;
use crate::daemon::{Daemon, Launch};
use crate::programs::skip;
use crate::vertical::now;

pub const STAGE: &str = "CLOUDSAIL_FAILPOINT";

/// Waits for the process to kill itself at its stage.
async fn dies_by_itself(mut daemon: Daemon, stage: &str) {
    let status = daemon.process.wait().await.expect("the stage is reached");
    assert_eq!(status.signal(), Some(9), "{stage}: {status}");
}

/// Loads a daemon that kills itself at the `nth` passing of `stage`, restarts
/// it without, and checks everything. Returns the ledger as it stood at death
/// and how many rows were found.
async fn killed_at(stage: &str, nth: u32) -> (u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    // Small segments, so that there is something to release.
    let launch = Launch::new(dir.path()).set("flush.max_age=400ms").set("wal.segment_bytes=1MiB");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.clone().env(STAGE, format!("{stage}:{nth}")).start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    dies_by_itself(daemon, stage).await;
    load.stop().await;
    let acked = ledger.acked();
    let daemon = launch.start().await;
    let rows = ledger.check_rows(&daemon, None).await;
    ledger.check_books(&daemon).await;
    // It goes on: more load, a flush, and the same books.
    let load = Load::start(&daemon, &ledger, 2, 2);
    sleep(Duration::from_millis(300)).await;
    load.stop().await;
    daemon.flush().await;
    ledger.check_rows(&daemon, None).await;
    ledger.check_books(&daemon).await;
    daemon.stop().await;
    (acked, rows)
}

/// The stages are there, or the test does not count.
pub fn compiled_in() -> bool {
    if !cfg!(debug_assertions) {
        skip("a release build has no stages to be killed at");
    }
    cfg!(debug_assertions)
}

/// Scenario: SIGKILL before the first record is written.
/// Guarantees: F1: nobody got an ack, and nothing is stored.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f1_killed_before_the_append() {
    if compiled_in() {
        assert_eq!(killed_at("wal_before_write", 1).await, (0, 0));
    }
}

/// Scenario: SIGKILL between write and fsync.
/// Guarantees: F2: nobody whose record it was got an ack.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f2_killed_before_the_fsync() {
    if compiled_in() {
        assert_eq!(killed_at("wal_before_fsync", 1).await.0, 0);
        killed_at("wal_before_fsync", 20).await;
    }
}

/// Scenario: SIGKILL between fsync and ack.
/// Guarantees: F3: the record is recovered exactly once, ack or none.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f3_killed_before_the_ack() {
    if compiled_in() {
        let (acked, rows) = killed_at("wal_after_fsync", 1).await;
        assert_eq!(acked, 0);
        assert!(rows > 0, "what was synced is there");
    }
}

/// Scenario: SIGKILL while Parquet is encoded, before and after the manifest
/// that makes a staged range exist.
/// Guarantees: F4: L = 0, D = 0.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f4_killed_while_staging() {
    if compiled_in() {
        for stage in ["stage_encode", "stage_before_manifest", "stage_after_manifest"] {
            let (acked, rows) = killed_at(stage, 2).await;
            assert!(acked > 0 && rows >= acked, "{stage}");
        }
    }
}

/// Scenario: SIGKILL before and after a staged file is in its place.
/// Guarantees: F5, F6: no commit names a file that is not there, D = 0.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f6_killed_between_upload_and_commit() {
    if compiled_in() {
        for stage in ["commit_before_upload", "commit_after_upload", "commit_before"] {
            killed_at(stage, 2).await;
        }
    }
}

/// Scenario: SIGKILL after the commit and before anything is released.
/// Guarantees: F7, F8, C3: recovery reads the watermark and repeats nothing.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f8_killed_after_the_commit() {
    if compiled_in() {
        killed_at("commit_after", 1).await;
        killed_at("commit_after", 3).await;
    }
}

/// Scenario: SIGKILL when the log is about to forget a segment.
/// Guarantees: F9, D3: the old state or the new one, never neither.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f9_killed_before_the_wal_release() {
    if compiled_in() {
        killed_at("wal_before_release", 1).await;
        killed_at("wal_before_release", 3).await;
    }
}

/// Scenario: SIGKILL in the middle of a join, before its files are whole, before
/// and after the entry that swaps them in.
/// Guarantees: F10, K1, K2: the old files or the new ones, never neither or both.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f10_killed_while_joining_files() {
    if compiled_in() {
        for stage in ["join_chunk", "join_before_upload", "rewrite_before", "rewrite_after"] {
            killed_at(stage, 1).await;
        }
    }
}

/// Scenario: killed under load, then killed again in the middle of recovery,
/// twice.
/// Guarantees: D4: recovery can be repeated; nothing is lost or there twice.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d4_killed_while_recovering() {
    if !compiled_in() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1h");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    let enough = async {
        let deadline = Instant::now() + Duration::from_secs(20);
        while ledger.acked() < 500 && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
    };
    enough.await;
    daemon.kill().await;
    load.stop().await;
    for nth in [1, 3] {
        let again = launch.clone().env(STAGE, format!("recover_mid:{nth}")).spawn();
        let died =
            timeout(Duration::from_secs(30), again.ready()).await.expect("it dies or starts");
        assert!(died.is_err(), "recovery passed recover_mid:{nth}");
    }
    let daemon = launch.start().await;
    let rows = ledger.check_rows(&daemon, None).await;
    assert!(rows >= ledger.acked() && rows > 0);
    ledger.check_books(&daemon).await;
    daemon.stop().await;
}
