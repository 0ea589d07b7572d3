//! Memory and log at their bounds: what does not fit is refused so that every
//! SDK tries again, and the daemon makes room by itself, long before any age.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::crash::ledger::Ledger;
use crate::crash::load::Load;
use crate::daemon::{Daemon, Launch};
use crate::otlp::Outcome;
use crate::vertical::now;

/// About the bytes of an item as it is sent, the content's mean included.
const ITEM: u64 = 400;

/// Loads until `bytes` were acked, then checks answers, rows and books.
async fn swallows(launch: &Launch, bytes: u64) -> Daemon {
    let daemon = launch.start().await;
    let ledger = Ledger::new(now().as_nanos() as u64);
    let load = Load::start(&daemon, &ledger, 1, 1);
    let deadline = Instant::now() + Duration::from_secs(60);
    while ledger.acked() * ITEM < bytes {
        let (acked, refused) = (ledger.acked(), ledger.refusals().len());
        assert!(Instant::now() < deadline, "stuck: {acked} items acked, {refused} refusals");
        sleep(Duration::from_millis(50)).await;
    }
    load.stop().await;
    for refusal in ledger.refusals() {
        let Outcome::Refused { status, retry_after } = refusal else { panic!("{refusal:?}") };
        assert!(matches!(status, 503 | 14), "{status} is not what every SDK retries");
        assert!(retry_after >= Some(Duration::from_secs(1)), "{status} without a pause to keep");
    }
    ledger.check_rows(&daemon, None).await;
    ledger.check_books(&daemon).await;
    assert!(daemon.count("system.files").await > 0, "the bound was never felt");
    daemon
}

/// Scenario: 4 MiB come in where rows may take 4 MiB of memory together, with
/// an age of an hour.
/// Guarantees: B1, B2: rows leave memory when it is needed, whatever does not
/// fit until then is refused retryably, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn inv_b1_rows_leave_memory_when_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path())
        .set("flush.max_age=1h")
        .set("limits.memory=20MiB")
        .set("query.memory=16MiB");
    swallows(&launch, 4 << 20).await.stop().await;
}

/// Scenario: 5 MiB come in where the log may have 2, with an age of an hour.
/// Guarantees: B2, D3: the log makes room by staging what it holds, what does
/// not fit until then is refused retryably, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d3_the_log_makes_room_when_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path())
        .set("flush.max_age=1h")
        .set("wal.segment_bytes=1MiB")
        .set("wal.max_bytes=2MiB");
    let daemon = swallows(&launch, 5 << 20).await;
    let kept = daemon.sql("SELECT sum(bytes) FROM system.wal").await.number();
    assert!(kept <= 2 << 20, "the log has {kept} bytes");
    daemon.stop().await;
}
