//! Files left unopened.

use serde_json::json;
use storage::FileStats;

use super::ask::asker;
use super::source::{START, TestSource, origin, span};

/// Ten files, one per minute, each for a service of its own.
async fn ten_files() -> std::sync::Arc<TestSource> {
    let source = TestSource::new();
    for n in 0..10u64 {
        let seconds = n as i64 * 60;
        let fields = json!({
            "service_name": format!("svc{n}"), "span_id": format!("s{n}"),
            "http.route": format!("/r{n}"), "http.response.status_code": 200 + n,
            "duration_ns": n * 1_000_000,
        });
        source.commit("spans", origin(n + 1, n + 1), &[span(seconds, fields)]).await;
    }
    source
}

/// Scenario: predicates that one of ten files can meet by its bounds: a time
/// range, a service, a day, a promoted column, a computed column.
/// Guarantees: the others are not opened, and the answer is right.
#[tokio::test]
async fn statistics_leave_files_unopened() {
    let source = ten_files().await;
    let asker = asker(&source);
    let one = [
        "time >= '2026-11-23T10:03:00Z' AND time < '2026-11-23T10:04:00Z'",
        "time BETWEEN '2026-11-23T10:03:00Z' AND '2026-11-23T10:03:59.123456789Z'",
        "service_name = 'svc3'",
        "\"http.route\" = '/r3'",
        "attributes['http.route'] = '/r3'",
        "attributes->>'http.response.status_code' = '203'",
        "attributes['http.response.status_code'] = 203",
        "attributes['http.route'] IN ('/r3', '/none')",
        "duration_ms BETWEEN 3 AND 3.5",
    ];
    for predicate in one {
        let (rows, summary) =
            asker.ask(&format!("SELECT span_id FROM spans WHERE {predicate}")).await;
        assert_eq!(rows, ["s3"], "{predicate}");
        let expected = if predicate.starts_with("duration_ms") { 10 } else { 1 };
        assert!(summary.files_read <= expected, "{predicate}: {summary:?}");
        assert_eq!(summary.files_pruned, 10 - expected, "{predicate}");
    }
    let (rows, summary) = asker.ask("SELECT span_id FROM spans WHERE date = '2027-01-01'").await;
    assert_eq!((rows.len(), summary.files_read, summary.files_pruned), (0, 0, 10));
    // `now()` is the given clock's: 11:00.
    let recent = "SELECT count(*) FROM spans WHERE time > now() - INTERVAL '52 minutes'";
    let (rows, summary) = asker.ask(recent).await;
    assert_eq!((rows, summary.files_pruned), (vec!["1".to_owned()], 9));
}

/// Scenario: the listing has no statistics for a column, or none at all.
/// Guarantees: missing statistics keep the file.
#[tokio::test]
async fn missing_statistics_keep_files() {
    let source = ten_files().await;
    source.relist("spans", |file| file.stats = FileStats::default());
    let asker = asker(&source);
    for predicate in [
        "service_name = 'svc3'",
        "time = '2026-11-23T10:03:00Z'",
        "attributes['http.route'] = '/r3'",
    ] {
        let (rows, summary) =
            asker.ask(&format!("SELECT span_id FROM spans WHERE {predicate}")).await;
        assert_eq!(rows, ["s3"], "{predicate}");
        assert_eq!(summary.files_pruned, 0);
    }
}

/// Scenario: rows whose value stayed in the map, beside rows in the column.
/// Guarantees: pruning by the column never loses the rows in the map, whatever
/// the comparison, negated or not.
#[tokio::test]
async fn pruning_by_a_promoted_column_keeps_what_is_in_the_map() {
    let source = ten_files().await;
    let stayed = |code: &str| json!({"attributes": {"http.response.status_code": code, "http.route": "/r3"}, "span_id": code});
    source
        .commit("spans", origin(20, 20), &[span(700, stayed("203x")), span(701, stayed("203"))])
        .await;
    source.commit("spans", origin(21, 21), &[span(800, json!({"span_id": "none"}))]).await;
    let asker = asker(&source);
    let of = async |predicate: &str| {
        asker.rows(&format!("SELECT span_id FROM spans WHERE {predicate} ORDER BY time")).await
    };
    assert_eq!(of("attributes['http.response.status_code'] = '203'").await, ["s3", "203"]);
    assert_eq!(of("attributes['http.response.status_code'] = '203x'").await, ["203x"]);
    assert_eq!(of("attributes['http.response.status_code'] = 203").await, ["s3", "203"]);
    assert_eq!(of("attributes['http.response.status_code'] >= 208").await, ["s8", "s9"]);
    assert_eq!(
        of("attributes['http.response.status_code'] IN ('203', '203x')").await,
        ["s3", "203x", "203"]
    );
    assert_eq!(of("NOT (attributes['http.route'] = '/r3')").await.len(), 9);
    assert_eq!(of("attributes['http.route'] <> '/r3'").await.len(), 9);
    assert_eq!(of("attributes['http.route'] IS NULL").await, ["none"]);
    assert_eq!(
        of("NOT (attributes['http.route'] IN ('/r1', '/r2') OR span_id = 'none')").await.len(),
        10
    );
    assert_eq!(of("attributes['http.route'] LIKE '/r3%'").await, ["s3", "203x", "203"]);
    assert_eq!(of("attributes['http.route'] > '/r8'").await, ["s9"]);
}

/// Scenario: the top rows by time of many files.
/// Guarantees: the answer is right with the order pushed into the scan.
#[tokio::test]
async fn top_rows_come_in_order() {
    let source = ten_files().await;
    let asker = asker(&source);
    let top = asker.rows("SELECT span_id FROM spans ORDER BY time DESC LIMIT 2").await;
    assert_eq!(top, ["s9", "s8"]);
    let by_service = asker.rows("SELECT span_id FROM spans ORDER BY service_name, time").await;
    assert_eq!(by_service, (0..10).map(|n| format!("s{n}")).collect::<Vec<_>>());
    let bucket = "SELECT date_bin(INTERVAL '5 minutes', time) AS t, count(*) FROM spans GROUP BY t ORDER BY t";
    assert_eq!(asker.rows(bucket).await, ["2026-11-23T10:00:00Z,5", "2026-11-23T10:05:00Z,5"]);
    let epoch = format!("SELECT count(*) FROM spans WHERE time >= to_timestamp({})", START + 540);
    assert_eq!(asker.rows(&epoch).await, ["1"]);
}
