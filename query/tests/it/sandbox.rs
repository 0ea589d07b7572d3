//! What is refused, and that nothing else is.

use schema::ErrorKind;
use serde_json::json;

use super::ask::{Asker, asker};
use super::source::{TestSource, origin, span};

async fn over_one_span() -> Asker {
    let source = TestSource::new();
    source.commit("spans", origin(1, 1), &[span(0, json!({"http.route": "/a"}))]).await;
    asker(&source)
}

/// Scenario: a corpus of statements that change, create, configure, copy,
/// prepare or read something else than tables.
/// Guarantees: S19, S20: each is refused as not allowed, none runs.
#[tokio::test]
async fn sec_s19_only_reading_statements_run() {
    let asker = over_one_span().await;
    let refused = [
        "INSERT INTO spans VALUES (1)",
        "UPDATE spans SET name = 'x'",
        "DELETE FROM spans",
        "TRUNCATE TABLE spans",
        "DROP TABLE spans",
        "ALTER TABLE spans ADD COLUMN x INT",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "CREATE DATABASE x",
        "CREATE SCHEMA x",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY spans TO '/tmp/x.csv'",
        "COPY (SELECT 1) TO 's3://bucket/x.parquet'",
        "SET datafusion.execution.batch_size = 1",
        "SET TIME ZONE 'UTC'",
        "RESET datafusion.execution.batch_size",
        "SHOW ALL",
        "SHOW datafusion.runtime.temp_directory",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DEALLOCATE p",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "GRANT SELECT ON spans TO x",
        "ANALYZE TABLE spans",
        "EXPLAIN INSERT INTO spans VALUES (1)",
        "EXPLAIN ANALYZE COPY spans TO '/tmp/x'",
        "WITH x AS (DELETE FROM spans RETURNING *) SELECT * FROM x",
        "WITH x AS (INSERT INTO spans VALUES (1) RETURNING *) SELECT * FROM x",
        "SELECT * INTO x FROM spans",
        "SELECT * FROM spans FOR UPDATE",
        "WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT 1 FROM r) SELECT * FROM r",
    ];
    for sql in refused {
        let error = asker.error(sql).await;
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::Denied | ErrorKind::Invalid), "{sql}: {error:?}");
    }
    for sql in [
        "INSERT INTO spans VALUES (1)",
        "COPY spans TO '/tmp/x.csv'",
        "SET x = 1",
        "DROP TABLE spans",
    ] {
        assert_eq!(asker.error(sql).await.kind(), ErrorKind::Denied, "{sql}");
    }
    assert!(!std::path::Path::new("/tmp/x.csv").exists());
}

/// Scenario: statements that look at files, URLs, settings and paths.
/// Guarantees: S20, S23: there is no such table, function or row.
#[tokio::test]
async fn sec_s20_nothing_but_tables_is_read() {
    let asker = over_one_span().await;
    let refused = [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'file:///etc/passwd'",
        "SELECT * FROM \"s3://bucket/x.parquet\"",
        "SELECT * FROM 'http://127.0.0.1/x.csv'",
        "SELECT * FROM read_parquet('/tmp/x.parquet')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('/tmp/x.parquet')",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM other.public.spans",
        "SELECT input_file_name() FROM spans",
        "SELECT array_repeat('x', 1000000000)",
        "SELECT range(0, 1000000000000)",
        "SELECT repeat('x', 1000000000)",
        "SELECT repeat(name, 100000000) FROM spans",
        "SELECT lpad('x', 1000000000)",
    ];
    for sql in refused {
        let error = asker.error(sql).await;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{sql}: {error:?}");
        assert!(!error.to_string().contains("passwd") || sql.contains("passwd"), "{error}");
    }
    let analyzed = asker.rows("EXPLAIN ANALYZE SELECT * FROM spans").await.join("\n");
    assert!(!analyzed.contains(".parquet"), "{analyzed}");
}

/// Scenario: text too long, too deep, too wide, too many statements, none.
/// Guarantees: S21, refused before planning, quickly, with the stack intact.
#[tokio::test]
async fn sec_s21_text_is_bounded() {
    let asker = over_one_span().await;
    let deep = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
    let with = |n: usize| {
        (0..n).fold("SELECT 1".to_owned(), |sql, i| {
            format!("WITH w{i} AS ({sql}) SELECT * FROM w{i}")
        })
    };
    let corpus = [
        format!("SELECT '{}'", "x".repeat(70_000)),
        deep(500),
        deep(30_000),
        format!("SELECT 1{}", " + 1".repeat(10_000)),
        format!("SELECT {} true", "NOT ".repeat(10_000)),
        format!("SELECT {}1", "- ".repeat(20_000)),
        format!("SELECT 1{}", "::int".repeat(10_000)),
        format!("SELECT {}", vec!["1"; 20_000].join(",")),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(3_000)),
        format!("SELECT * FROM {}", vec!["spans"; 5_000].join(",")),
        format!("SELECT {} 1 {}", "CASE WHEN true THEN ".repeat(2_000), "END ".repeat(2_000)),
        with(40),
        format!("SELECT {}", "[".repeat(20_000)),
        "SELECT 1; SELECT 2".into(),
        String::new(),
        "   ;;  -- nothing".into(),
        "SELECT '".into(),
    ];
    for sql in &corpus {
        let error = asker.error(sql).await;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{:.60}: {error:?}", sql);
    }
    // What people write passes.
    asker.rows(&deep(40)).await;
    asker.rows(&with(5)).await;
    let list = (0..3_000).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(",");
    asker.rows(&format!("SELECT count(*) FROM spans WHERE trace_id IN ({list})")).await;
    let ors = vec!["name = 'x'"; 90].join(" OR ");
    asker.rows(&format!("SELECT count(*) FROM spans WHERE {ors};")).await;
}

/// Scenario: operators and functions that are evaluated in pieces, with nulls,
/// over several pieces, with patterns and texts of each row's own.
/// Guarantees: S22, they answer as they would at once.
#[tokio::test]
async fn sec_s22_guards_change_no_answer() {
    let asker = over_one_span().await;
    for (expression, answer) in [
        ("name || '-' || kind || 1", "GET /-SERVER1"),
        ("'a' || NULL IS NULL", "true"),
        ("concat('a', NULL, 1, name)", "a1GET /"),
        ("name ~ '^GET' AND name !~ 'get' AND name ~* 'get' AND name !~* 'put'", "true"),
        ("name ~ ('^' || left(name, 3)) AND name LIKE left(name, 2) || '%'", "true"),
        ("name ILIKE 'get%' AND name NOT LIKE 'get%' AND name NOT ILIKE 'put%'", "true"),
        ("name SIMILAR TO 'GET .*'", "true"),
        ("array_to_string(array_append(ARRAY[1, 2], 3), '+')", "1+2+3"),
        ("regexp_replace(name, '(G)(E)T', '\\2\\1')", "EG /"),
        ("levenshtein('kitten', 'sitting')", "3"),
    ] {
        let rows = asker.rows(&format!("SELECT {expression} FROM spans")).await;
        assert_eq!(rows, [answer], "{expression}");
    }
    // 8,192 rows of 12 KB in several batches, and each batch in several pieces.
    let sql = "SELECT count(*), sum(length(t)), count(DISTINCT t) FROM \
         (SELECT repeat(CAST(value AS VARCHAR), 3000) || 'x' AS t FROM generate_series(1000, 9191))";
    assert_eq!(asker.rows(sql).await, ["8192,98312192,8192"]);
}

/// Scenario: typing errors in tables, columns and grammar.
/// Guarantees: the message says what was meant and where.
#[tokio::test]
async fn mistakes_are_explained() {
    let asker = over_one_span().await;
    let error = asker.error("SELECT * FROM spanz").await;
    assert_eq!(error.to_string(), "there is no table spanz");
    assert_eq!(error.hint(), Some("did you mean spans?"));
    let error = asker.error("SELECT * FROM ledger").await;
    assert_eq!(error.hint(), Some("did you mean system.ledger?"));
    let error = asker.error("SELECT 1,\n  servicename FROM spans").await;
    assert_eq!(error.hint(), Some("did you mean service_name?"), "{error:?}");
    assert_eq!(error.position().map(|at| (at.line, at.column)), Some((2, 3)));
    for (sql, hint) in [
        ("SELECT * FROM public.spanz", "did you mean spans?"),
        ("SELECT * FROM cloudsail.public.spanz", "did you mean spans?"),
        ("SELECT * FROM trace", "did you mean traces?"),
        ("SELECT * FROM change", "did you mean changes?"),
        ("SELECT * FROM system.ledgr", "did you mean system.ledger?"),
        ("SELECT * FROM sys.files", "did you mean system.files?"),
        ("SELECT * FROM red", "it is a function: SELECT * FROM red(step, from, to)"),
        ("SELECT * FROM metric_rates('x')", "did you mean metric_rate(name, step, from, to)?"),
        ("SELECT * FROM generate_serie(1, 2)", "did you mean generate_series?"),
        ("SELECT countt(name) FROM spans", "did you mean 'count'?"),
        ("SELECT http.route FROM spans", "did you mean \"http.route\"?"),
        ("SELECT s.nmae FROM spans s", "did you mean name?"),
    ] {
        let error = asker.error(sql).await;
        assert_eq!(error.hint(), Some(hint), "{sql}: {error:?}");
    }
    let error = asker.error("SELECT * FORM spans").await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.position().is_some(), "{error:?}");
    let error = asker.error("SELECT 1 / 0 FROM spans").await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    let error = asker.error("SELECT CAST(name AS BIGINT) FROM spans").await;
    assert!(error.hint().is_some_and(|hint| hint.contains("try_cast")), "{error:?}");
}
