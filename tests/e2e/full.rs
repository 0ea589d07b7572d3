//! A full disk, on a tmpfs of 24 MiB of which a ballast file takes over half.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::crash::ledger::Ledger;
use crate::crash::load::Load;
use crate::daemon::Launch;
use crate::otlp::Outcome;
use crate::programs::skip;
use crate::vertical::now;

const BALLAST: usize = 14 << 20;

/// A mounted tmpfs; unmounted when dropped.
struct SmallDisk {
    dir: PathBuf,
    sudo: bool,
}

fn mounts(sudo: bool, args: &[&str]) -> bool {
    let (program, first) = if sudo { ("sudo", &["-n"][..]) } else { (args[0], &[][..]) };
    let rest = if sudo { args } else { &args[1..] };
    let output = Command::new(program).args(first).args(rest).output();
    output.is_ok_and(|output| output.status.success())
}

impl SmallDisk {
    fn mount(dir: &Path) -> Option<SmallDisk> {
        let dir = dir.join("disk");
        std::fs::create_dir(&dir).unwrap();
        let path = dir.to_str().unwrap();
        let mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0777", "tmpfs", path];
        let sudo = [false, true].into_iter().find(|sudo| mounts(*sudo, &mount));
        if sudo.is_none() {
            skip("a tmpfs cannot be mounted; run as root");
        }
        Some(SmallDisk { sudo: sudo?, dir })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path = self.dir.to_str().unwrap_or_default();
        if !mounts(self.sudo, &["umount", "-l", path]) {
            eprintln!("{path} stays mounted");
        }
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn filled_and_freed(reserve: &str) {
    let outside = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(outside.path()) else { return };
    let ballast = disk.dir.join("ballast");
    std::fs::write(&ballast, vec![0; BALLAST]).unwrap();
    let launch = Launch::new(&disk.dir)
        .logs(outside.path())
        .set(format!("disk.reserve={reserve}"))
        .set("flush.max_age=5s")
        .set("wal.segment_bytes=1MiB");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    until("the disk is full", || ledger.refusals().len() > 50).await;
    // Reading goes on.
    assert!(daemon.count("spans").await > 0);
    for refusal in ledger.refusals() {
        let Outcome::Refused { status, retry_after } = refusal else { panic!("{refusal:?}") };
        assert!(matches!(status, 503 | 14), "{status} is not what every SDK retries");
        assert!(retry_after >= Some(Duration::from_secs(1)), "{status} without a pause to keep");
    }
    let acked = ledger.acked();
    std::fs::remove_file(&ballast).unwrap();
    until("it goes on", || ledger.acked() > acked + 200).await;
    load.stop().await;
    ledger.check_rows(&daemon, None).await;
    ledger.check_books(&daemon).await;
    daemon.kill().await;
    let daemon = launch.start().await;
    let rows = ledger.check_rows(&daemon, None).await;
    ledger.check_books(&daemon).await;
    assert!(rows >= ledger.acked());
    daemon.kill().await;
}

/// Scenario: the load fills the volume up to `disk.reserve`; then space returns.
/// Guarantees: F13, B2: refused by 503 with Retry-After and UNAVAILABLE with
/// RetryInfo, nothing acked is lost, it goes on by itself, L1 balances.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f13_the_reserve_refuses_and_goes_on_when_space_returns() {
    filled_and_freed("10%").await;
}

/// Scenario: the same without a reserve, so that writes fail midway.
/// Guarantees: F13, D1: no ack for what did not fit, no record after a torn one
/// is lost.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f13_a_write_that_does_not_fit_is_refused_and_nothing_is_torn() {
    filled_and_freed("0%").await;
}
