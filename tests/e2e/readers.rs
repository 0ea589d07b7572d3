//! Independent readers: deltalake on the tables, DuckDB on the Parquet files.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::crash::ledger::Ledger;
use crate::crash::load::Load;
use crate::crash::upkeep::strand;
use crate::daemon::Launch;
use crate::otlp::{Encoding, Request, Signal};
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

/// A log record of ten days ago.
fn old_record() -> Request {
    let then = now() - Duration::from_secs(10 * 86_400);
    let json = serde_json::json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"timeUnixNano": then.as_nanos().to_string(), "body": {"stringValue": "old"}}
    ]}]}]});
    Request::from_json(Signal::Logs, &json.to_string())
}

/// Whether a checkpoint was written and files were joined, by the table's folder.
fn looked_after(table: &Path) -> bool {
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    let log = names(&table.join("_delta_log"));
    let days = names(table).into_iter().filter(|name| name.starts_with("date="));
    let files = days.flat_map(|day| names(&table.join(day)));
    log.iter().any(|name| name == "_last_checkpoint")
        && files.filter(|name| name.matches('-').count() == 4).count() > 0
}

/// Scenario: deltalake and DuckDB read three tables in a loop while rows are
/// appended and committed over a hundred times, small files joined, old days
/// dropped, unnamed files removed and checkpoints written.
/// Guarantees: S3, K1, C1, F10: no read ever fails, no count falls or lies above
/// what SQL sees; once it is quiet all agree on what was acked.
#[tokio::test(flavor = "multi_thread")]
async fn inv_s3_independent_readers_read_at_any_moment() {
    let Some(python) = python().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path())
        .set("retention.logs=2d")
        .set("query.timeout=9s")
        .set("compaction.grace=10s");
    let tenant = launch.data().join("store/default");
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = launch.start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    sleep(Duration::from_millis(300)).await;
    load.stop().await;
    daemon.ack(Encoding::HttpJson, &old_record()).await;
    daemon.flush().await;
    let stranded = strand(&tenant.join("spans"), 3);

    let stop = dir.path().join("stop");
    let url = daemon.url("/api/v1/sql");
    let args = [&url, tenant.to_str().unwrap(), "2", stop.to_str().unwrap()];
    let reading = script(&python, "python/watch.py", &args);
    let writing = async {
        let end = Instant::now() + Duration::from_secs(100);
        for run in 2.. {
            let load = Load::start(&daemon, &ledger, run, run.into());
            sleep(Duration::from_millis(20)).await;
            load.stop().await;
            daemon.flush().await;
            let swept = stranded.iter().all(|path| !path.exists());
            if swept && looked_after(&tenant.join("spans")) {
                break;
            }
            assert!(Instant::now() < end, "not all that was to happen did; swept: {swept}");
        }
        let old = "SELECT count(*) FROM logs WHERE time < now() - INTERVAL '5 days'";
        while daemon.sql(old).await.number() > 0 {
            assert!(Instant::now() < end, "old days are not dropped");
            sleep(Duration::from_millis(100)).await;
        }
        let sent = Signal::ALL.map(|signal| (signal.table(), ledger.acked_of(signal)));
        let sent: HashMap<&str, i64> = sent.into_iter().collect();
        let aside = dir.path().join("aside");
        std::fs::write(&aside, serde_json::to_vec(&sent).unwrap()).unwrap();
        std::fs::rename(aside, &stop).unwrap();
    };
    let (read, ()) = tokio::join!(reading, writing);
    eprintln!("{read}");
    ledger.check_rows(&daemon, None).await;
    daemon.stop().await;
}
