//! Queries in the very moment when rows move from memory to files.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ledger::Ledger;
use super::load::Load;
use crate::client::number;
use crate::daemon::Launch;
use crate::otlp::Signal;
use crate::vertical::now;

/// Scenario: for three seconds, six clients send, every table is flushed over
/// and over, and every table is counted as fast as it answers.
/// Guarantees: S1, D2: no answer misses a row that was acked before it was
/// asked for, none has a row twice, none has fewer rows than the one before.
#[tokio::test(flavor = "multi_thread")]
async fn inv_s1_no_query_misses_or_doubles_a_row_that_moves() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).set("flush.max_age=200ms").start().await;
    let ledger = Ledger::new(now().as_nanos() as u64);
    let load = Load::start(&daemon, &ledger, 1, 1);
    let end = Instant::now() + Duration::from_secs(3);
    let flushing = async {
        while Instant::now() < end {
            daemon.flush().await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let counting = async {
        let mut before = [0; 3];
        let mut counted = 0;
        while Instant::now() < end {
            for signal in Signal::ALL {
                let acked = ledger.acked_of(signal);
                let id = "attributes['load.id']";
                let query =
                    format!("SELECT count(*), count(DISTINCT {id}) FROM {}", signal.table());
                let found = daemon.sql(&query).await;
                let [rows, ids] = [0, 1].map(|n| number(&found.rows[0][n]));
                assert_eq!(rows, ids, "{signal:?}: a row is there twice");
                assert!(rows >= acked, "{signal:?}: {acked} were acked, {rows} are seen");
                let before = &mut before[signal as usize];
                assert!(rows >= *before, "{signal:?}: {before} rows, then {rows}");
                *before = rows;
                counted += 1;
            }
        }
        counted
    };
    let ((), counted) = tokio::join!(flushing, counting);
    load.stop().await;
    assert!(counted >= 6 && ledger.acked() > 100, "{counted} counts of {}", ledger.acked());
    ledger.check_rows(&daemon, None).await;
    ledger.check_books(&daemon).await;
    daemon.stop().await;
}
