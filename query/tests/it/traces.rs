//! The index of traces: it prunes, and never loses a row.

use std::sync::Arc;

use schema::{Position, WalId};
use serde_json::{Value, json};
use storage::Origin;

use super::ask::asker;
use super::source::{TestSource, origin, span};

fn id(n: u64) -> String {
    format!("{n:032x}")
}

fn of(seconds: i64, trace: u64, fields: Value) -> Value {
    let mut row = span(seconds, fields);
    row["trace_id"] = json!(id(trace));
    row
}

/// Eight flushes a minute apart, each with a trace of its own and a part of
/// trace 99, whose id lies within every file's bounds of ids.
async fn eight_flushes() -> Arc<TestSource> {
    let source = TestSource::new();
    for n in 0..8u64 {
        let at = n as i64 * 60;
        let mut rows = vec![
            of(at, n, json!({"span_id": format!("a{n}")})),
            of(at + 1, 1_000, json!({"span_id": format!("z{n}"), "parent_span_id": "x"})),
        ];
        if n == 2 || n == 3 {
            rows.push(of(
                at + 2,
                99,
                json!({"span_id": format!("t{n}"), "service_name": format!("svc{n}")}),
            ));
        }
        source.flush(origin(n * 10 + 1, n * 10 + 5), &rows).await;
    }
    source
}

const FIND: &str =
    "SELECT span_id FROM spans WHERE trace_id = '00000000000000000000000000000063' ORDER BY time";

/// Scenario: a trace's spans lie in two of eight files whose bounds of ids all
/// hold its id.
/// Guarantees: only files whose time meets the trace's are opened.
#[tokio::test]
async fn a_trace_id_opens_the_files_of_its_time() {
    let source = eight_flushes().await;
    let asker = asker(&source);
    let (rows, summary) = asker.ask(FIND).await;
    assert_eq!(rows, ["t2", "t3"]);
    // Two of spans; the index itself has two parts that can hold the id or
    // more, which its own blooms settle.
    assert!(summary.files_pruned >= 6, "{summary:?}");
    let many = FIND.replace(
        "= '00000000000000000000000000000063'",
        &format!("IN ('{}', '{}')", id(99), id(5)),
    );
    assert_eq!(asker.rows(&many).await, ["t2", "t3", "a5"]);
    let none = FIND.replace("63'", "62'");
    assert_eq!(asker.rows(&none).await.len(), 0);
}

/// Scenario: the index lacks the newest flush, has lost everything, is
/// incomplete, or a span file's origin or bounds are unknown.
/// Guarantees: it is a hint: no row is lost.
#[tokio::test]
async fn an_index_that_lags_loses_no_row() {
    let source = eight_flushes().await;
    // A flush whose parts are not there, long after the trace's known time.
    source.commit("spans", origin(101, 105), &[of(900, 99, json!({"span_id": "late"}))]).await;
    source.stage("spans", origin(111, 115), &[of(960, 99, json!({"span_id": "staged"}))]).await;
    source.hot("spans", &[of(999, 99, json!({"span_id": "hot"}))]);
    let asker = asker(&source);
    let all = ["t2", "t3", "late", "staged", "hot"];
    assert_eq!(asker.rows(FIND).await, all);

    // A foreign file.
    source.commit("spans", None, &[of(1_200, 99, json!({"span_id": "foreign"}))]).await;
    let all = ["t2", "t3", "late", "staged", "hot", "foreign"];
    assert_eq!(asker.rows(FIND).await, all);

    source.relist("spans", |file| {
        let kept = file.stats.iter().filter(|(name, _)| *name != "time");
        file.stats = kept.map(|(name, stats)| (name.to_owned(), stats.clone())).collect();
    });
    assert_eq!(asker.rows(FIND).await, all);
    source.incomplete("trace_parts", "the store did not answer yet");
    assert_eq!(asker.rows(FIND).await, all);
    source.forget("trace_parts");
    assert_eq!(asker.rows(FIND).await, all);
}

/// Scenario: a compacted span file covers flushes whose last parts are missing.
/// Guarantees: it is kept although its beginning is covered.
#[tokio::test]
async fn a_file_is_covered_by_both_its_ends() {
    let source = eight_flushes().await;
    let merged = [of(0, 1, json!({})), of(5, 99, json!({"span_id": "merged"}))];
    source.commit("spans", origin(71, 200), &merged).await;
    assert_eq!(asker(&source).rows(FIND).await, ["merged", "t2", "t3"]);
}

/// Scenario: the files of the index, then those of the spans, were joined over
/// logs; then flushes come that the index does not tell of, and it lags behind.
/// Guarantees: what the index's watermarks cover is pruned by its times as before,
/// and of what they do not cover no row is lost.
#[tokio::test]
async fn files_joined_over_logs_are_pruned_by_watermarks() {
    let source = eight_flushes().await;
    source.joined("trace_parts", 75);
    let (rows, summary) = asker(&source).ask(FIND).await;
    assert_eq!(rows, ["t2", "t3"]);
    assert!(summary.files_pruned >= 6, "{summary:?}");
    // A file of many logs has all of its rows in the index.
    source.joined("spans", 75);
    let (rows, summary) = asker(&source).ask(FIND).await;
    assert_eq!(rows, ["t2", "t3"]);
    assert!(summary.files_pruned >= 6, "{summary:?}");

    source.commit("spans", origin(76, 80), &[of(900, 99, json!({"span_id": "late"}))]).await;
    let other = Some(Origin { wal_id: WalId(8), first: Position(1), last: Position(2) });
    source.commit("spans", other, &[of(960, 99, json!({"span_id": "other"}))]).await;
    source.stage("spans", origin(81, 85), &[of(970, 99, json!({"span_id": "staged"}))]).await;
    let all = ["t2", "t3", "late", "other", "staged"];
    assert_eq!(asker(&source).rows(FIND).await, all);
}

/// Scenario: a trace in two parts, the root in the later one.
/// Guarantees: the view `traces` has one row with the whole of it.
#[tokio::test]
async fn traces_are_merged_from_their_parts() {
    let source = TestSource::new();
    let child = of(
        5,
        1,
        json!({"span_id": "c", "parent_span_id": "r", "service_name": "db", "is_error": true}),
    );
    source.flush(origin(1, 1), &[child]).await;
    let root =
        of(3, 1, json!({"span_id": "r", "service_name": "web", "name": "GET /", "duration_ns": 9}));
    let twin = of(4, 1, json!({"span_id": "d", "parent_span_id": "r", "service_name": "db"}));
    source.flush(origin(2, 2), &[root, twin, of(9, 2, json!({}))]).await;
    let asker = asker(&source);
    let sql = format!("SELECT * FROM traces WHERE trace_id = '{}'", id(1));
    let row = format!(
        "{},2026-11-23T10:00:03Z,2026-11-23T10:00:05Z,web,GET /,9,3,1,\"[\"\"db\"\",\"\"web\"\"]\"",
        id(1)
    );
    assert_eq!(asker.rows(&sql).await, [row]);
    assert_eq!(asker.rows("SELECT count(*) FROM traces").await, ["2"]);
    let slow = "SELECT root_name FROM traces WHERE span_count > 2 AND array_has(services, 'db')";
    assert_eq!(asker.rows(slow).await, ["GET /"]);
}
