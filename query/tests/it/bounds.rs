//! Deadline, rows, memory, permits, cancellation.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt;
use query::{Params, Query};
use schema::ErrorKind;
use serde_json::json;

use super::ask::{asker, asker_with};
use super::source::{TestSource, span};

/// A statement that runs for minutes and holds little.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3";

fn rows(n: i64) -> Arc<TestSource> {
    let source = TestSource::new();
    let rows: Vec<_> =
        (0..n).map(|i| span(i, json!({"span_id": format!("{:016x}", i * 7919 % n)}))).collect();
    source.hot("spans", &rows);
    source
}

async fn until(what: &str, met: impl Fn() -> bool) {
    let start = Instant::now();
    while !met() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Scenario: a statement that would run for minutes, with a deadline of 300 ms.
/// Guarantees: it ends with that error soon after, and frees its permit.
#[tokio::test]
async fn a_deadline_ends_the_whole_statement() {
    let asker = asker_with(&rows(1), |s| s.timeout = Duration::from_millis(300));
    let start = Instant::now();
    let error = asker.error(ENDLESS).await;
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(start.elapsed() < Duration::from_secs(5));
    until("the end", || asker.engine.running() == 0).await;
    // A slow reader does not stretch it.
    let mut answer = asker
        .engine
        .run(Query::new("SELECT * FROM generate_series(1, 10000000)", "test"))
        .await
        .unwrap();
    answer.rows.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let last = loop {
        match answer.rows.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("the stream ended as if it were whole"),
        }
    };
    assert_eq!(last.kind(), ErrorKind::DeadlineExceeded);
}

/// Scenario: a reader goes away before and after the first rows.
/// Guarantees: the statement is cancelled, and says so in `system.queries`.
#[tokio::test]
async fn leaving_cancels() {
    let asker = asker(&rows(1));
    let engine = asker.engine.clone();
    let asked = tokio::time::timeout(Duration::from_millis(200), async {
        let mut answer = engine.run(Query::new(ENDLESS, "test")).await.unwrap();
        answer.rows.next().await
    });
    assert!(asked.await.is_err());
    until("cancellation", || asker.engine.running() == 0).await;
    let answer = asker
        .engine
        .run(Query::new("SELECT * FROM generate_series(1, 100000000)", "test"))
        .await
        .unwrap();
    drop(answer);
    until("cancellation", || asker.engine.running() == 0).await;
    let states = asker
        .rows("SELECT state FROM system.queries WHERE sql LIKE '%generate_series(%' ORDER BY id")
        .await;
    assert_eq!(states[..2], ["cancelled", "cancelled"]);
}

/// Scenario: readers leave joins in the midst of work that makes no row.
/// Guarantees: S22, the joins end as well, on all threads: nested loops, one key
/// for all rows, and neither condition nor key.
#[tokio::test]
async fn sec_s22_leaving_ends_a_join_at_work() {
    let series = |key: &str| format!("(SELECT value, {key} AS k FROM generate_series(1, 300000))");
    let (any, one) = (series("value"), series("1"));
    for join in [
        format!("SELECT count(*) FROM {any} a JOIN {any} b ON a.value + b.value < 0"),
        format!("SELECT count(*) FROM {any} a LEFT JOIN {any} b ON a.value + b.value < 0"),
        format!("SELECT count(*) FROM {one} a JOIN {one} b ON a.k = b.k AND a.value + b.value < 0"),
        format!("SELECT sum(a.value + b.value) FROM {any} a, {any} b"),
    ] {
        let asker = asker(&rows(1));
        let engine = asker.engine.clone();
        let asked = tokio::time::timeout(Duration::from_millis(500), async {
            let mut answer = engine.run(Query::new(&join, "test")).await.unwrap();
            answer.rows.next().await
        });
        assert!(asked.await.is_err(), "{join} was quick");
        until("cancellation", || asker.engine.running() == 0).await;
        assert_eq!(asker.rows("SELECT count(*) FROM spans").await, ["1"]);
    }
}

/// Scenario: an answer of 10 MB with 1 MiB allowed, and exactly as much as is.
/// Guarantees: S22, the answer is cut, says so, and only then.
#[tokio::test]
async fn sec_s22_bytes_are_capped_and_the_cut_is_told() {
    let asker = asker_with(&rows(1), |s| s.max_result_bytes = 1 << 20);
    let text = "SELECT repeat('x', 996) AS t FROM generate_series(1, 10000)";
    let (lines, summary) = asker.ask(text).await;
    assert!((1_000..=1_048).contains(&lines.len()), "{}", lines.len());
    assert!(summary.truncated);
    let (lines, summary) = asker.ask(&format!("{text} LIMIT 1000")).await;
    assert_eq!((lines.len(), summary.truncated), (1_000, false));
}

/// Scenario: three hundred megabytes of texts are collected, in all and by group, with
/// 32 MiB of memory, and a few hundred bytes of them.
/// Guarantees: S22, what `array_agg` keeps counts, whoever else has the texts.
#[tokio::test]
async fn sec_s22_collected_texts_count() {
    let asker = asker_with(&rows(1), |s| s.memory = 32 << 20);
    let text = |rows: usize, end: &str| {
        format!(
            "SELECT sum(array_length(a)) FROM (SELECT array_agg(repeat(CAST(value AS VARCHAR), 100)) \
             AS a FROM generate_series(1, {rows}) {end})"
        )
    };
    for end in ["", "GROUP BY value % 3"] {
        let error = asker.error(&text(500_000, end)).await;
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
        assert_eq!(asker.rows(&text(50, end)).await, ["50"]);
    }
}

/// Scenario: an answer of rows of 1 KB, one of rows with a thousand numbers, and one
/// whose rows are larger than what a door encodes at once.
/// Guarantees: rows reach a door in pieces of at most 64 KiB, or one by one, all of
/// them and in order: a door encodes on threads that answer ingest.
#[tokio::test]
async fn sec_s22_answers_come_in_pieces() {
    let asker = asker(&rows(1));
    let numbers: Vec<_> = (0..1_000).map(|n| format!("value + {n} AS c{n}")).collect();
    for (columns, rows, width) in [
        ("value, repeat('x', 996) AS t".to_owned(), 5_000, 1_000),
        (format!("value, {}", numbers.join(", ")), 500, 8_000),
        ("value, repeat(CAST(value % 7 AS VARCHAR), 300000) AS t".to_owned(), 5, 300_000),
    ] {
        let text =
            format!("SELECT {columns} FROM generate_series(1, {rows}) AS s(value) ORDER BY 1");
        let mut answer = asker.engine.run(Query::new(&text, "test")).await.unwrap();
        let (mut next, mut batches) = (1, 0);
        while let Some(batch) = answer.rows.next().await {
            let batch = batch.unwrap();
            let most = ((64 << 10) / width).max(1);
            assert!(batch.num_rows() <= most, "{} of {width} bytes", batch.num_rows());
            for value in batch.column(0).as_primitive::<Int64Type>().values() {
                assert_eq!(*value, next);
                next += 1;
            }
            batches += 1;
        }
        assert_eq!(next, rows + 1);
        let least = (rows as usize * width / (64 << 10)).min(rows as usize);
        assert!(batches >= least, "{batches}");
    }
}

/// Scenario: a statement reads files of which it may read 1 KB.
/// Guarantees: S22, it fails by itself and says what to do.
#[tokio::test]
async fn sec_s22_bytes_of_files_are_capped() {
    let source = TestSource::new();
    let spans: Vec<_> =
        (0..500).map(|i| span(i, json!({"span_id": format!("{:016x}", i * 7919)}))).collect();
    source.commit("spans", None, &spans).await;
    let asker = asker_with(&source, |s| s.max_scan_bytes = 1_000);
    let error = asker.error("SELECT span_id, name, time FROM spans ORDER BY 1").await;
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("query.max_scan_bytes")));
    assert_eq!(asker.rows("SELECT count(*) FROM spans").await, ["500"]);
}

/// Scenario: an operator panics, and a function of the engine's.
/// Guarantees: S23, the statement alone fails, with no word of where.
#[tokio::test]
async fn sec_s23_a_panic_fails_its_statement_alone() {
    let source = rows(1);
    source.panics.store(true, Ordering::Relaxed);
    let asker = asker(&source);
    let error = asker.error("SELECT * FROM system.ledger").await;
    assert_eq!(error.kind(), ErrorKind::Internal, "{error:?}");
    assert!(!format!("{error:?}").contains(".rs"), "{error:?}");
    assert_eq!(asker.rows("SELECT count(*) FROM spans").await, ["1"]);
    until("its permit is free", || asker.engine.running() == 0).await;
}

/// Scenario: more rows than the cap, than the asked limit, and exactly as many.
/// Guarantees: the answer is cut and says so, and only then.
#[tokio::test]
async fn rows_are_capped_and_the_cut_is_told() {
    let asker = asker_with(&rows(100), |s| s.max_rows = 60);
    let (lines, summary) = asker.ask("SELECT span_id FROM spans").await;
    assert_eq!((lines.len(), summary.truncated, summary.rows), (60, true, 60));
    let (lines, summary) = asker.ask("SELECT span_id FROM spans LIMIT 60").await;
    assert_eq!((lines.len(), summary.truncated), (60, false));
    for (limit, rows, cut) in [(10, 10, true), (60, 60, true), (0, 0, true), (1_000, 60, true)] {
        let query = Query {
            limit: Some(limit),
            ..Query::new("SELECT span_id FROM spans ORDER BY time DESC", "test")
        };
        let mut answer = asker.engine.run(query).await.unwrap();
        let mut seen = 0;
        while let Some(batch) = answer.rows.next().await {
            seen += batch.unwrap().num_rows();
        }
        assert_eq!((seen, answer.stats.summary().truncated), (rows, cut), "limit {limit}");
    }
    let query = Query { limit: Some(5), ..Query::new("EXPLAIN SELECT 1", "test") };
    assert!(asker.engine.run(query).await.is_ok());
}

/// Scenario: a sort larger than the statement's share of memory, and a join
/// that cannot spill.
/// Guarantees: S22, the sort spills and is right, the join fails as too large.
#[tokio::test]
async fn sec_s22_memory_is_shared_and_spilled() {
    let asker = asker_with(&rows(1), |s| {
        s.concurrency = 1;
        s.memory = 16 << 20;
    });
    let sort =
        "SELECT repeat(CAST(value AS VARCHAR), 4) AS t FROM generate_series(1, 400000) ORDER BY t";
    let (lines, summary) = asker.ask(sort).await;
    assert_eq!(lines.len(), 400_000);
    assert!(lines.is_sorted());
    assert!(summary.peak_memory_bytes > 0 && summary.peak_memory_bytes <= 16 << 20, "{summary:?}");
    let join = "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b ON a.value = b.value";
    let error = asker.error(join).await;
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("query.memory")));
}

/// Scenario: a sort that must spill, while the disk runs short and after.
/// Guarantees: F14, that statement fails alone and says why; others answer, and
/// it succeeds when there is space again.
#[tokio::test]
async fn fault_f14_a_short_disk_fails_the_spilling_statement_alone() {
    let source = rows(1);
    let asker = asker_with(&source, |s| {
        s.concurrency = 1;
        s.memory = 16 << 20;
    });
    let sort =
        "SELECT repeat(CAST(value AS VARCHAR), 4) AS t FROM generate_series(1, 400000) ORDER BY t";
    source.spill_room.store(0, Ordering::Relaxed);
    let error = asker.error(sort).await;
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert!(error.to_string().contains("spill space"), "{error}");
    assert_eq!(asker.rows("SELECT count(*) FROM spans").await, ["1"]);
    source.spill_room.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(asker.ask(sort).await.0.len(), 400_000);
}

/// Scenario: the folder for spilled rows is full after 64 KiB, or is not a
/// folder any more, while a sort needs it.
/// Guarantees: F14: that statement ends with an error, the next ones do not.
#[tokio::test]
async fn fault_f14_a_full_spill_folder_fails_one_statement() {
    let sort =
        "SELECT repeat(CAST(value AS VARCHAR), 4) AS t FROM generate_series(1, 400000) ORDER BY t";
    let dir = tempfile::tempdir().unwrap();
    for full in [true, false] {
        let spill = dir.path().join(full.to_string());
        let asker = asker_with(&rows(100), |s| {
            s.concurrency = 1;
            s.memory = 16 << 20;
            s.spill_dir = spill.clone();
            s.spill_bytes = if full { 64 << 10 } else { s.spill_bytes };
        });
        if !full {
            std::fs::remove_dir_all(&spill).unwrap();
            std::fs::write(&spill, "in the way").unwrap();
        }
        for _ in 0..2 {
            let error = asker.error(sort).await;
            assert_ne!(error.kind(), ErrorKind::DeadlineExceeded, "{error:?}");
            assert_eq!(asker.rows("SELECT count(*) FROM spans").await, ["100"]);
        }
        until("its permit is free", || asker.engine.running() == 0).await;
    }
}

/// Scenario: one permit, held by a statement that does not end.
/// Guarantees: the next one is told to come back, and gets in afterwards.
#[tokio::test]
async fn permits_bound_what_runs_at_once() {
    let asker = asker_with(&rows(1), |s| {
        s.concurrency = 1;
        s.queue = Duration::from_millis(100);
    });
    let held = asker.engine.run(Query::new(ENDLESS, "test")).await.unwrap();
    assert_eq!(asker.error("SELECT 1").await.kind(), ErrorKind::Throttled);
    drop(held);
    until("cancellation", || asker.engine.running() == 0).await;
    assert_eq!(asker.rows("SELECT 1").await, ["1"]);
}

/// Scenario: hot rows beyond what one statement may pin.
/// Guarantees: B1, the statement ends with an error.
#[tokio::test]
async fn inv_b1_pinned_rows_are_bounded() {
    let asker = asker_with(&rows(1_000), |s| s.pinned = 1_000);
    assert_eq!(asker.error("SELECT count(*) FROM spans").await.kind(), ErrorKind::Throttled);
    assert_eq!(asker.rows("SELECT count(*) FROM logs").await, ["0"]);
}

/// Scenario: a file named by the snapshot is gone from the store.
/// Guarantees: an error that names no path (S23), and not a short answer.
#[tokio::test]
async fn sec_s23_a_lost_file_is_an_error_without_its_path() {
    let source = TestSource::new();
    source.commit("spans", None, &[span(0, json!({}))]).await;
    source.lose_objects("spans").await;
    let error = asker(&source).error("SELECT name FROM spans").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(!error.to_string().contains("date="), "{error}");
}

/// Scenario: parameters of every kind, too few, and one that is a list.
/// Guarantees: they bind by position; what cannot bind is told.
#[tokio::test]
async fn parameters_bind() {
    let asker = asker(&rows(10));
    let run = async |sql: &str, params: Vec<serde_json::Value>| {
        let params = Params::from_json(&params)?;
        let answer = asker.engine.run(Query { params, ..Query::new(sql, "test") }).await?;
        let mut out = Vec::new();
        query::render::write(answer, query::render::Format::Csv, Default::default(), &mut out)
            .await?;
        Ok::<_, query::Error>(String::from_utf8(out).unwrap().lines().nth(1).unwrap().to_owned())
    };
    let sql = "SELECT count(*) FROM spans WHERE service_name = $1 AND duration_ns > $2 AND is_error = $3 AND duration_ms < $4";
    let values = vec![json!("shop"), json!(5), json!(false), json!(2.75)];
    assert_eq!(run(sql, values).await.unwrap(), "10");
    let since = "SELECT count(*) FROM spans WHERE time >= $1 AND attributes[$2] IS NULL";
    assert_eq!(
        run(since, vec![json!("2026-11-23T10:00:05Z"), json!("http.route")]).await.unwrap(),
        "5"
    );
    assert_eq!(run("SELECT $1", vec![]).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(run("SELECT $1", vec![json!([1])]).await.unwrap_err().kind(), ErrorKind::Invalid);
}

/// Scenario: a killed process has left spilled files; the folder holds another
/// one that is not the engine's.
/// Guarantees: the first is removed at start, the second is left alone.
#[tokio::test]
async fn what_was_spilled_before_a_crash_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let spill = dir.path().join("spill");
    for folder in ["datafusion-Xy12", "mine"] {
        std::fs::create_dir_all(spill.join(folder)).unwrap();
        std::fs::write(spill.join(folder).join("file"), "bytes").unwrap();
    }
    let asker = asker_with(&rows(1), |s| s.spill_dir = spill.clone());
    assert_eq!(asker.rows("SELECT 1").await, ["1"]);
    assert!(!spill.join("datafusion-Xy12").exists() && spill.join("mine/file").exists());
}

/// Scenario: another tenant asks for rows, files and statements, and its
/// statement is given less time than the engine would.
/// Guarantees: S11, it sees none of the default tenant's; the shorter deadline
/// holds.
#[tokio::test]
async fn sec_s11_a_tenant_sees_only_its_own() {
    let source = TestSource::new();
    source.commit("spans", None, &[span(0, json!({"http.route": "/secret"}))]).await;
    let asker = asker(&source);
    asker.rows("SELECT attributes['http.route'] FROM spans").await;
    let other = |sql: &str| Query {
        tenant: schema::Tenant::new("other").unwrap(),
        deadline: Some(Duration::from_millis(200)),
        ..Query::new(sql, "test")
    };
    for sql in [
        "SELECT * FROM spans",
        "SELECT * FROM system.files",
        "SELECT * FROM system.attributes",
        "SELECT * FROM system.queries WHERE sql LIKE 'SELECT attributes%'",
    ] {
        let mut query = other(sql);
        query.deadline = None;
        let mut answer = asker.engine.run(query).await.unwrap();
        while let Some(batch) = answer.rows.next().await {
            assert_eq!(batch.unwrap().num_rows(), 0, "{sql}");
        }
    }
    let error = match asker.engine.run(other(ENDLESS)).await {
        Ok(mut answer) => answer.rows.next().await.unwrap().unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
}

/// Scenario: statements with parameters are described, one of them refused by
/// the sandbox, one with a typo.
/// Guarantees: columns and parameter types are told without values, nothing
/// runs, and what may not run is not described either.
#[tokio::test]
async fn a_statement_is_described_without_running() {
    let asker = asker(&rows(10));
    let describe = async |sql: &str| asker.engine.describe(Query::new(sql, "test")).await;
    let known = describe(
        "SELECT name, count(*) AS n FROM spans WHERE duration_ns > $2 AND name = $1 GROUP BY name",
    )
    .await
    .unwrap();
    let columns: Vec<_> = known.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(columns, ["name", "n"]);
    assert_eq!(known.params, [Some(DataType::Utf8), Some(DataType::Int64)]);
    assert_eq!(asker.engine.running(), 0);
    assert_eq!(describe("DROP TABLE spans").await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(describe("SELECT nam FROM spans").await.unwrap_err().kind(), ErrorKind::Invalid);
    let text = describe("SELECT $99999").await.unwrap_err().to_string();
    assert!(text.contains("$99999"), "{text}");
}

/// Scenario: the same moment read and shown in two zones; a zone that is none.
/// Guarantees: a zone is one statement's own.
#[tokio::test]
async fn a_zone_is_one_statements_own() {
    let asker = asker(&rows(1));
    let show = async |zone: Option<&str>| {
        let zone = zone.map(|zone| asker.engine.check_zone(zone).unwrap());
        let sql = "SELECT date_trunc('day', '2026-07-01T23:30:00Z'::timestamptz)::text AS day";
        let mut answer = asker.engine.run(Query { zone, ..Query::new(sql, "test") }).await.unwrap();
        let batch = answer.rows.next().await.unwrap().unwrap();
        arrow::util::display::array_value_to_string(batch.column(0), 0).unwrap()
    };
    let (east, utc) = tokio::join!(show(Some("Europe/Zurich")), show(None));
    assert!(east.starts_with("2026-07-02"), "{east}");
    assert!(utc.starts_with("2026-07-01"), "{utc}");
    assert!(asker.engine.check_zone("Europe/Atlantis").is_err());
}
