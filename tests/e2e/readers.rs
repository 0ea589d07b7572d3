//! Independent readers: deltalake on the tables, DuckDB on the Parquet files.

use std::time::Duration;

use tokio::time::sleep;

use crate::crash::ledger::Ledger;
use crate::crash::load::Load;
use crate::daemon::Launch;
use crate::otlp::Encoding;
use crate::programs::{python, script};
use crate::vertical::{fixtures, now};

/// Scenario: every kind of value (NaN, infinities, extremes, empty maps, all
/// five kinds of points), then a load over several flushes; read by deltalake,
/// by DuckDB and by our SQL.
/// Guarantees: data-model.md, C1: the same rows and values in every column;
/// protocol 1/2, a contiguous log, and every file that it names exists.
#[tokio::test(flavor = "multi_thread")]
async fn inv_c1_independent_readers_agree_with_our_sql() {
    let Some(python) = python().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path());
    let daemon = launch.start().await;
    let (requests, _) = fixtures();
    for request in &requests {
        daemon.ack(Encoding::HttpJson, request).await;
    }
    let ledger = Ledger::new(now().as_nanos() as u64);
    for run in 1..=3 {
        let load = Load::start(&daemon, &ledger, run, 1);
        sleep(Duration::from_millis(300)).await;
        load.stop().await;
        daemon.flush().await;
    }
    let tenant = launch.data().join("store/default");
    let args = [
        &daemon.url("/api/v1/sql"),
        tenant.to_str().unwrap(),
        "spans=span_id",
        "logs=time_unix_nano,observed_time_unix_nano,span_id",
        "metrics=metric_name,time_unix_nano,value_int,series_id",
        "trace_parts=trace_id,min_time,span_count",
    ];
    eprintln!("{}", script(&python, "python/readers.py", &args).await);
    daemon.stop().await;
}
