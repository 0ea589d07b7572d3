//! System tables, `information_schema`, descriptions.

use schema::{Door, Position, Signal, Tenant};
use serde_json::json;
use storage::{LedgerRow, SegmentInfo};

use super::ask::asker;
use super::source::{START, TestSource, log, origin, span};

/// Scenario: a ledger with two reasons for loss, and another tenant's.
/// Guarantees: L1, every row of `system.ledger` balances, so do the sums, and
/// each reason has a row.
#[tokio::test]
async fn inv_l1_the_ledger_balances_row_by_row() {
    let source = TestSource::new();
    let row = |tenant: Tenant| LedgerRow {
        tenant,
        signal: Signal::Traces,
        door: Door::OtlpGrpc,
        accepted: 100,
        persisted: 80,
        in_flight: 15,
        dropped: vec![("disk_full".into(), 3), ("corrupt".into(), 2)],
    };
    *source.ledger.lock() = vec![row(Tenant::default()), row(Tenant::new("other").unwrap())];
    let asker = asker(&source);
    let all = asker.rows("SELECT * FROM system.ledger ORDER BY reason NULLS FIRST").await;
    assert_eq!(
        all,
        [
            "default,traces,otlp_grpc,,95,80,15,0",
            "default,traces,otlp_grpc,corrupt,2,0,0,2",
            "default,traces,otlp_grpc,disk_full,3,0,0,3",
        ]
    );
    let sums =
        "SELECT sum(accepted), sum(persisted) + sum(in_flight) + sum(dropped) FROM system.ledger";
    assert_eq!(asker.rows(sums).await, ["100,100"]);
    let off =
        "SELECT count(*) FROM system.ledger WHERE accepted <> persisted + in_flight + dropped";
    assert_eq!(asker.rows(off).await, ["0"]);
}

/// Scenario: files, log segments and statements of a node.
/// Guarantees: the tables name them with their numbers.
#[tokio::test]
async fn files_segments_and_statements_are_listed() {
    let source = TestSource::new();
    source
        .flush(origin(1, 2), &[span(0, json!({"trace_id": "a".repeat(32)})), span(9, json!({}))])
        .await;
    source.stage("logs", origin(3, 3), &[log(0, json!({}))]).await;
    *source.segments.lock() = vec![SegmentInfo {
        name: "0001".into(),
        bytes: 10,
        first: Some(Position(1)),
        last: Some(Position(3)),
        oldest_unix_nano: Some((START + 3_590) * 1_000_000_000),
    }];
    let asker = asker(&source);
    let files = "SELECT table_name, path, state, rows, min_time, max_time, wal_id FROM system.files ORDER BY 1";
    let wal = format!("{:032x}", 7);
    assert_eq!(
        asker.rows(files).await,
        [
            format!(
                "logs,default/logs/date=2026-11-23/0000.parquet,staged,1,2026-11-23T10:00:00Z,2026-11-23T10:00:00Z,{wal}"
            ),
            format!(
                "spans,default/spans/date=2026-11-23/0000.parquet,committed,2,2026-11-23T10:00:00Z,2026-11-23T10:00:09Z,{wal}"
            ),
            format!(
                "trace_parts,default/trace_parts/date=2026-11-23/0000.parquet,committed,1,2026-11-23T10:00:00Z,2026-11-23T10:00:00Z,{wal}"
            ),
        ]
    );
    assert_eq!(asker.rows("SELECT * FROM system.wal").await, ["0001,10,1,3,10.0"]);
    asker.error("SELECT * FROM nowhere").await;
    let queries = "SELECT id, door, state, rows, files_read, sql FROM system.queries ORDER BY id";
    let lines = asker.rows(queries).await;
    assert_eq!(lines[0], format!("1,test,done,3,0,\"{files}\""));
    assert_eq!(lines[2], "3,test,invalid,0,0,SELECT * FROM nowhere");
    // Itself: planned while it asks.
    assert!(lines[3].starts_with("4,test,planning,0,0,"), "{}", lines[3]);
}

/// Scenario: promoted and other keys in three scopes, one of them asked for.
/// Guarantees: `system.attributes` counts them and knows when they were used.
#[tokio::test]
async fn attribute_keys_are_found_by_looking() {
    let source = TestSource::new();
    let rows = [
        span(
            0,
            json!({"http.route": "/a", "attributes": {"x": "1"}, "scope_attributes": {"lib": "l"}}),
        ),
        span(1, json!({"http.route": "/b", "attributes": {"x": "1", "y": null}, "host.name": "h"})),
    ];
    source.commit("spans", origin(1, 1), &rows).await;
    let asker = asker(&source);
    asker.rows("SELECT attributes['x'], attributes['http.route'] FROM spans").await;
    let sql = "SELECT table_name, scope, key, promoted, rows, distinct_about, bytes, last_queried \
        FROM system.attributes WHERE table_name = 'spans' AND key <> 'service.name' ORDER BY scope, key";
    assert_eq!(
        asker.rows(sql).await,
        [
            "spans,record,http.route,true,2,2,4,2026-11-23T11:00:00Z",
            "spans,record,x,false,2,1,4,2026-11-23T11:00:00Z",
            "spans,record,y,false,1,0,1,",
            "spans,resource,host.name,true,1,1,1,",
            "spans,scope,lib,false,1,1,4,",
        ]
    );
}

/// Scenario: a client that browses: tables, columns, schemata, functions.
/// Guarantees: SHOW, DESCRIBE and `information_schema` work, without settings
/// and without pinning rows.
#[tokio::test]
async fn the_catalog_can_be_browsed() {
    let source = TestSource::new();
    source.hot("spans", &[span(0, json!({}))]);
    let asker = asker(&source);
    let tables = asker.rows("SHOW TABLES").await;
    for table in ["spans", "logs", "metrics", "trace_parts"] {
        assert!(tables.contains(&format!("cloudsail,public,{table},BASE TABLE")), "{tables:?}");
    }
    assert!(tables.contains(&"cloudsail,public,traces,VIEW".into()), "{tables:?}");
    assert!(tables.contains(&"cloudsail,system,ledger,VIEW".into()), "{tables:?}");
    let described = asker.rows("DESCRIBE spans").await;
    assert!(described.iter().any(|line| line.starts_with("end_time,")), "{described:?}");
    let columns = asker
        .rows("SELECT column_name FROM information_schema.columns WHERE table_name = 'traces'")
        .await;
    assert_eq!(columns.len(), 9, "{columns:?}");
    assert!(!asker.rows("SHOW COLUMNS FROM logs").await.is_empty());
    let (_, summary) = asker.ask("SELECT count(*) FROM information_schema.columns").await;
    assert!(summary.versions.is_empty(), "{summary:?}");
    let schemata = "SELECT schema_name FROM information_schema.schemata ORDER BY 1";
    assert_eq!(asker.rows(schemata).await, ["public", "system"]);
}

/// Scenario: a table and a view are described for the API.
/// Guarantees: every column has a type and a meaning, counts cover all places.
#[tokio::test]
async fn tables_are_described_with_counts() {
    let source = TestSource::new();
    source.commit("logs", origin(1, 1), &[log(0, json!({})), log(1, json!({}))]).await;
    source.hot("logs", &[log(2, json!({}))]);
    let engine = asker(&source).engine;
    let logs = engine.table(&Tenant::default(), "logs").unwrap();
    assert_eq!((logs.rows, logs.files, logs.version), (Some(3), Some(1), Some(0)));
    for table in engine.tables(&Tenant::default()).unwrap() {
        for column in table.columns.iter().filter(|_| table.schema == "public") {
            assert!(!column.doc.is_empty(), "{}.{}", table.name, column.name);
        }
    }
    let system = engine.table(&Tenant::default(), "system.files").unwrap();
    assert_eq!((system.schema, system.rows), ("system", None));
    let missing = engine.table(&Tenant::default(), "nothing").unwrap_err();
    assert_eq!(missing.kind(), schema::ErrorKind::NotFound);
    let other = engine.table(&Tenant::new("other").unwrap(), "logs").unwrap();
    assert_eq!(other.rows, Some(0));
}

/// Scenario: a table of files and hot rows is summarized, and a query with a
/// NULL, and one without rows; a name that is no table.
/// Guarantees: a row about each column, in their order; the same numbers as
/// asked for by hand; a typo is told as elsewhere, at its place.
#[tokio::test]
async fn summarize_says_a_row_about_each_column() {
    let source = TestSource::new();
    source.commit("spans", origin(1, 2), &[span(0, json!({"duration_ns": 10}))]).await;
    source.hot("spans", &[span(9, json!({"duration_ns": 30}))]);
    let asker = asker(&source);
    let rows = asker.rows("SUMMARIZE spans").await;
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'spans'";
    assert_eq!(asker.rows(columns).await, [rows.len().to_string()]);
    let about = |name: &str| rows.iter().find(|row| row.starts_with(&format!("{name},"))).unwrap();
    assert_eq!(
        about("duration_ns"),
        "duration_ns,bigint,10,30,2,20.0,14.142135623730951,10.0,20.0,30.0,2,0.0"
    );
    assert!(about("time").starts_with("time,timestamptz,2026-11-23T10:00:00Z,"), "{rows:?}");
    assert!(about("attributes").contains(",,,,,,,,"), "{rows:?}");
    let given = "summarize SELECT x FROM (VALUES (1.5, 'a'), (NULL, 'b')) AS t(x, y) WHERE y > ''";
    assert_eq!(asker.rows(given).await, ["x,double,1.5,1.5,,1.5,,1.5,1.5,1.5,1,50.0"]);
    let none = "SUMMARIZE (SELECT 1 AS x WHERE false)";
    assert_eq!(asker.rows(none).await, ["x,bigint,,,0,,,,,,0,"]);
    let error = asker.error("SUMMARIZE span").await;
    assert!(error.hint().is_some_and(|hint| hint.contains("spans")), "{error:?}");
    assert!(asker.try_ask("SUMMARIZE EXPLAIN SELECT 1").await.is_err());
}

/// Scenario: two runs whose rows were written anew as they went on, in memory and in
/// files, and a judging that was repeated with fewer hypotheses.
/// Guarantees: SQL sees each run once, as it is now, and all rows of the last
/// judging; a view is described like a table and says that it is one.
#[tokio::test]
async fn revisions_are_seen_at_their_latest() {
    let source = TestSource::new();
    let run = |id: &str, revision: i64, state: &str| json!({"run_id": id, "revision": revision, "state": state, "target": {"service": id}});
    let windows = "experiment_window_revisions";
    let old = [run("a", 1, "baseline"), run("a", 2, "injecting"), run("b", 1, "baseline")];
    source.commit(windows, origin(1, 1), &old).await;
    source.hot(windows, &[run("a", 3, "ended")]);
    let found = |hypothesis: &str, revision: i64| json!({"run_id": "a", "hypothesis": hypothesis, "revision": revision, "verdict": "held"});
    let judged = [found("x", 1), found("y", 1), found("x", 2), found("z", 2)];
    source.hot("experiment_verdict_revisions", &judged);
    let asker = asker(&source);
    let runs = "SELECT run_id, state, target['service'] FROM experiment_windows ORDER BY 1";
    assert_eq!(asker.rows(runs).await, ["a,ended,a", "b,baseline,b"]);
    let one = "SELECT revision, state FROM experiment_windows WHERE run_id = 'a'";
    assert_eq!(asker.rows(one).await, ["3,ended"]);
    let joined = "SELECT w.state, v.hypothesis FROM experiment_windows w JOIN experiment_verdicts v USING (run_id) ORDER BY 2";
    assert_eq!(asker.rows(joined).await, ["ended,x", "ended,z"]);
    let kinds = "SELECT table_name, table_type FROM information_schema.tables WHERE table_name LIKE 'experiment_window%' ORDER BY 1";
    let expected = [format!("{windows},BASE TABLE"), "experiment_windows,VIEW".to_owned()];
    let mut kinds = asker.rows(kinds).await;
    kinds.sort();
    assert_eq!(kinds, expected);
}
