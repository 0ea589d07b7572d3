//! SIGKILL while the holder of the lease looks after the tables: a checkpoint, the
//! clean-up of a log, the vacuum.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::failpoints::{STAGE, compiled_in};
use super::ledger::Ledger;
use super::load::Load;
use crate::daemon::{Daemon, Launch, Process};
use crate::programs::{python, script};
use crate::vertical::now;

/// What it takes at most until the lease is looked at and the work is done.
const PATIENCE: Duration = Duration::from_secs(60);

async fn dies(mut process: Process, stage: &str) {
    let status = process.wait().await.expect("the stage is reached");
    assert_eq!(status.signal(), Some(9), "{stage}: {status}");
}

/// Small loads, each committed, until the daemon dies at its stage.
async fn commit_until_dead(
    daemon: Daemon,
    ledger: &Ledger,
    runs: std::ops::Range<u16>,
    stage: &str,
) {
    let flush = daemon.url("/api/v1/flush");
    for run in runs {
        let load = Load::start(&daemon, ledger, run, run.into());
        sleep(Duration::from_millis(20)).await;
        load.stop().await;
        if daemon.client.post(&flush, &[], "").await.is_err() {
            break;
        }
    }
    dies(daemon.process, stage).await;
}

/// Nothing lost or doubled, and other readers see what our SQL sees.
async fn all_is_well(launch: &Launch, daemon: &Daemon, ledger: &Ledger, python: &Path) {
    daemon.flush().await;
    let rows = ledger.check_rows(daemon, None).await;
    assert!(rows >= ledger.acked() && rows > 0);
    ledger.check_books(daemon).await;
    let tenant = launch.data().join("store/default");
    let args = [
        &daemon.url("/api/v1/sql"),
        tenant.to_str().unwrap(),
        "spans=span_id",
        "logs=time_unix_nano,observed_time_unix_nano,span_id",
        "metrics=metric_name,time_unix_nano,value_int,series_id",
        "trace_parts=trace_id,min_time,span_count",
    ];
    eprintln!("{}", script(python, "python/readers.py", &args).await);
}

/// Scenario: killed before a checkpoint, in the middle of the clean-up that
/// follows one, and right after one, each under load and each at the next start.
/// Guarantees: F10: L = 0, D = 0; the log is one that deltalake reads, whatever of
/// it was removed already.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f10_killed_while_checkpointing_and_cleaning_a_log() {
    let Some(python) = python().await.filter(|_| compiled_in()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("compaction.log_retention=0s");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let at = |stage: &str| launch.clone().env(STAGE, stage);

    let daemon = at("checkpoint_before").start().await;
    commit_until_dead(daemon, &ledger, 1..1_000, "checkpoint_before").await;
    dies(at("clean_log:3").spawn(), "clean_log").await;
    let daemon = launch.start().await;
    all_is_well(&launch, &daemon, &ledger, &python).await;
    daemon.stop().await;
    // Other tables are about to have as many entries.
    let daemon = at("checkpoint_after").start().await;
    commit_until_dead(daemon, &ledger, 1_000..2_000, "checkpoint_after").await;
    let daemon = launch.start().await;
    all_is_well(&launch, &daemon, &ledger, &python).await;
    daemon.stop().await;
}

/// Files of joins that were never committed, as old as the vacuum wants them.
pub fn strand(folder: &Path, count: usize) -> Vec<PathBuf> {
    let day = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let day = day.into_iter().find(|path| path.to_string_lossy().contains("date=")).unwrap();
    let model = fs::read_dir(&day).unwrap().next().unwrap().unwrap().path();
    let stem = model.file_stem().unwrap().to_str().unwrap();
    let range: Vec<&str> = stem.split('-').take(4).collect();
    let old = SystemTime::UNIX_EPOCH + now() - Duration::from_secs(14 * 3600);
    let strand = |n: usize| {
        let path = day.join(format!("{}-{n:016x}.parquet", range.join("-")));
        fs::copy(&model, &path).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        path
    };
    (0..count).map(strand).collect()
}

/// Scenario: three files that no entry names are due; killed before the first is
/// removed, then after it; a temporary file of a dead join lies beside them.
/// Guarantees: F10, S3: what is named stays, what is not goes in the end, and the
/// tables are what they were.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f10_killed_while_removing_what_no_version_names() {
    let Some(python) = python().await.filter(|_| compiled_in()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("query.timeout=5s").set("compaction.grace=6s");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    sleep(Duration::from_millis(300)).await;
    load.stop().await;
    daemon.flush().await;
    daemon.stop().await;
    let mut stranded = strand(&launch.data().join("store/default/spans"), 3);
    let temp = stranded[0].with_extension("parquet#1");
    fs::rename(&stranded[0], &temp).unwrap();
    stranded[0] = temp;

    let left = || stranded.iter().filter(|path| path.exists()).count();
    for (stage, remain) in [("vacuum_before", 3), ("vacuum_after", 2)] {
        dies(launch.clone().env(STAGE, stage).spawn(), stage).await;
        assert_eq!(left(), remain, "{stage}");
    }
    let daemon = launch.start().await;
    let end = Instant::now() + PATIENCE;
    while left() > 0 {
        assert!(Instant::now() < end, "{} files stay for ever", left());
        sleep(Duration::from_millis(100)).await;
    }
    all_is_well(&launch, &daemon, &ledger, &python).await;
    daemon.stop().await;
}
