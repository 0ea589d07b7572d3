//! Each row once, one moment per statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use query::Sight;
use serde_json::json;
use storage::Source as _;

use super::ask::asker;
use super::source::{TestSource, log, origin, span};

async fn three_places() -> std::sync::Arc<TestSource> {
    let source = TestSource::new();
    let at = |n: i64| span(n, json!({"span_id": format!("s{n}"), "http.route": "/a"}));
    source.commit("spans", origin(1, 2), &[at(0), at(1)]).await;
    source.commit("spans", origin(3, 4), &[at(86_400), at(2)]).await;
    source.stage("spans", origin(5, 6), &[at(3), at(4)]).await;
    source.hot("spans", &[at(5)]);
    source.hot("spans", &[at(6), at(7)]);
    source
}

/// Scenario: rows lie in committed files of two days, in a staged file and in
/// memory.
/// Guarantees: S1, every row comes out once, with its partition day, under
/// filters, projections, sorts and limits.
#[tokio::test]
async fn inv_s1_every_row_is_seen_once() {
    let source = three_places().await;
    let asker = asker(&source);
    let (rows, summary) = asker.ask("SELECT span_id, date FROM spans ORDER BY time").await;
    let day = "2026-11-23";
    let mut expected: Vec<String> = (0..8).map(|n| format!("s{n},{day}")).collect();
    expected.push("s86400,2026-11-24".into());
    assert_eq!(rows, expected);
    assert_eq!(summary.versions["spans"], Some(2));
    assert!(summary.complete() && !summary.truncated);

    assert_eq!(asker.rows("SELECT count(*) FROM spans").await, ["9"]);
    assert_eq!(asker.rows("SELECT count(*) FROM spans WHERE span_id >= 's3'").await, ["6"]);
    let sum =
        "SELECT sum(duration_ns) FROM spans WHERE date = '2026-11-23' AND \"http.route\" = '/a'";
    assert_eq!(asker.rows(sum).await, ["20000000"]);
    let last = "SELECT span_id FROM spans ORDER BY time DESC LIMIT 3";
    assert_eq!(asker.rows(last).await, ["s86400", "s7", "s6"]);
    assert_eq!(asker.rows("SELECT span_id FROM spans LIMIT 4").await.len(), 4);
    let sorted =
        "SELECT span_id FROM spans WHERE service_name = 'shop' ORDER BY service_name, time LIMIT 2";
    assert_eq!(asker.rows(sorted).await, ["s0", "s1"]);
}

/// Scenario: a statement counts the rows and counts nothing.
/// Guarantees: `count(*)` is answered from the snapshot without opening a file,
/// and `min`/`max`, whose bounds need not be reached, are not.
#[tokio::test]
async fn counts_open_nothing_and_extremes_are_read() {
    let source = three_places().await;
    // Bounds wider than the rows, as a truncating writer leaves them.
    source.relist("spans", |file| {
        let wide = |(name, known): (&str, &storage::ColumnStats)| {
            let mut known = known.clone();
            if name == "time" {
                known.max = Some(storage::StatValue::Timestamp(i64::MAX));
                known.min = Some(storage::StatValue::Timestamp(0));
            }
            (name.to_owned(), known)
        };
        file.stats = file.stats.iter().map(wide).collect();
    });
    let asker = asker(&source);
    let (rows, summary) = asker.ask("SELECT count(*) FROM spans").await;
    assert_eq!((rows, summary.files_read), (vec!["9".to_owned()], 0));
    let (rows, _) = asker.ask("SELECT min(time), max(time) FROM spans").await;
    assert_eq!(rows, ["2026-11-23T10:00:00Z,2026-11-24T10:00:00Z"]);
}

/// Scenario: a statement names a table twice while rows keep arriving.
/// Guarantees: S2, both mentions are one snapshot.
#[tokio::test]
async fn inv_s2_two_mentions_are_one_moment() {
    let source = three_places().await;
    let asker = asker(&source);
    let writer = source.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let arriving = std::thread::spawn(move || {
        let mut n = 100;
        while !stopped.load(Ordering::Relaxed) {
            writer.hot("spans", &[span(n, json!({}))]);
            n += 1;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    for _ in 0..10 {
        let sql =
            "SELECT (SELECT count(*) FROM spans) = (SELECT count(span_id IS NULL) FROM spans s)";
        assert_eq!(asker.rows(sql).await, ["true"]);
    }
    stop.store(true, Ordering::Relaxed);
    arriving.join().unwrap();
}

/// Scenario: a table that could not be loaded answers with what there is.
/// Guarantees: the answer says that it is incomplete, and why.
#[tokio::test]
async fn an_incomplete_snapshot_says_so() {
    let source = TestSource::new();
    source.hot("logs", &[log(0, json!({}))]);
    source.incomplete("logs", "the store did not answer yet");
    let (rows, summary) = asker(&source).ask("SELECT count(*) FROM logs").await;
    assert_eq!(rows, ["1"]);
    assert!(!summary.complete());
    assert_eq!(summary.incomplete["logs"], "the store did not answer yet");
}

/// Scenario: before any statement, tables that hold nothing, could not be loaded, or
/// have rows in memory, alone and together; a view by its name.
/// Guarantees: what is seen is what a statement would see, and nothing that may still
/// come is taken for nothing.
#[tokio::test]
async fn sight_tells_rows_from_nothing_and_from_nothing_yet() {
    let source = TestSource::new();
    let asker = asker(&source);
    let tenant = schema::Tenant::default();
    let sees = |tables: &[&str]| asker.engine.sees(&tenant, tables);
    assert_eq!(sees(&["logs", "experiments"]), Sight::Nothing);
    source.incomplete("logs", "the store did not answer yet");
    assert_eq!(sees(&["logs", "experiments"]), Sight::NothingYet);
    assert_eq!(sees(&["experiments"]), Sight::Nothing);
    source.hot("logs", &[log(0, json!({}))]);
    assert_eq!(sees(&["experiments", "logs"]), Sight::Rows);
    let table = source.catalog().revised("experiments").unwrap().name;
    source.incomplete(table, "the store did not answer yet");
    assert_eq!(sees(&["experiments"]), Sight::NothingYet);
}

/// Scenario: files were written before a key was promoted, and after.
/// Guarantees: the old ones read as NULL in the new column, and the map is asked.
#[tokio::test]
async fn older_files_lack_columns() {
    let extra = [schema::Promotion {
        scope: schema::Scope::Record,
        key: "app.tier".into(),
        kind: schema::ColumnType::Text,
        column: "app.tier".into(),
    }];
    let old = TestSource::new();
    let row = span(0, json!({"attributes": {"app.tier": "gold"}}));
    old.commit("spans", origin(1, 1), std::slice::from_ref(&row)).await;
    let source = TestSource::with(schema::Catalog::new(&extra));
    source.adopt(&old, "spans").await;
    source.commit("spans", origin(2, 2), &[span(1, json!({"app.tier": "silver"}))]).await;
    source.hot("spans", &[span(2, json!({"app.tier": "bronze"}))]);
    let asker = asker(&source);
    let sql = "SELECT \"app.tier\", attributes['app.tier'] FROM spans ORDER BY time";
    assert_eq!(asker.rows(sql).await, [",gold", "silver,silver", "bronze,bronze"]);
    let sql = "SELECT count(*) FROM spans WHERE attributes['app.tier'] = 'gold'";
    assert_eq!(asker.rows(sql).await, ["1"]);
}
