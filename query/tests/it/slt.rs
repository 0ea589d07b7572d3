//! The `.slt` files: SQL and what it answers, in sqllogictest's format as far
//! as it is used here (`query`, `statement ok`, `statement error <part>`).
//!
//! Read by hand: the crate of that name turns on features of what the daemon
//! is built from, so that tests would compile all of it a second time.

use std::path::Path;
use std::sync::Arc;

use query::{Query, render};
use serde_json::{Value, json};

use super::ask::{Asker, asker};
use super::source::{TestSource, log, origin, span};

#[derive(Debug)]
enum Expected {
    Rows(Vec<String>),
    Ok,
    /// A part of the message.
    Error(String),
}

#[derive(Debug)]
struct Record {
    line: usize,
    sql: String,
    expected: Expected,
}

/// Records are separated by empty lines.
fn records(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let kind = line.trim();
        if kind.is_empty() || kind.starts_with('#') {
            continue;
        }
        let mut body = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            body.push(line);
        }
        let (sql, rows) = match body.iter().position(|line| *line == "----") {
            Some(at) => (&body[..at], &body[at + 1..]),
            None => (&body[..], &body[..0]),
        };
        let expected = match kind.split_once(' ') {
            Some(("query", _)) => Expected::Rows(rows.iter().map(|r| (*r).to_owned()).collect()),
            Some(("statement", "ok")) => Expected::Ok,
            Some(("statement", error)) if error.starts_with("error ") => {
                Expected::Error(error["error ".len()..].to_owned())
            }
            _ => panic!("line {}: {kind} is no record", number + 1),
        };
        records.push(Record { line: number + 1, sql: sql.join("\n"), expected });
    }
    records
}

/// A line per row, cells apart by a space.
async fn answer(asker: &Asker, sql: &str) -> Result<Vec<String>, query::Error> {
    let answer = asker.engine.run(Query::new(sql, "test")).await?;
    let mut out = Vec::new();
    render::write(answer, render::Format::Json, Default::default(), &mut out).await?;
    let answer: Value = serde_json::from_slice(&out).unwrap();
    let cell = |value: &Value| match value {
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => text.clone(),
        Value::Null => "NULL".to_owned(),
        other => other.to_string(),
    };
    let rows = answer["rows"].as_array().unwrap().iter();
    Ok(rows
        .map(|row| row.as_array().unwrap().iter().map(cell).collect::<Vec<_>>().join(" "))
        .collect())
}

/// Rows of every place: two committed days, a staged file, memory. Keys lie in
/// columns, in maps, in both kinds of place, with values that do not fit.
async fn shop() -> Arc<TestSource> {
    let source = TestSource::new();
    let committed = [
        json!({
            "span_id": "01", "trace_id": "aa", "service_name": "web", "http.route": "/cart",
            "http.request.method": "GET", "http.response.status_code": 200,
            "attributes": {"cart.items": "3", "note": ""}, "k8s.pod.name": "web-1",
            "resource_attributes": {"os.type": "linux"}, "scope_attributes": {"lib": "otel"},
        }),
        json!({
            "span_id": "02", "trace_id": "aa", "parent_span_id": "01", "service_name": "db",
            "db.system.name": "postgresql", "duration_ns": 1_000_000, "kind": "CLIENT",
            "attributes": {"cart.items": "12", "cart.vip": "true"},
        }),
    ];
    let [web, db] = committed;
    source.flush(origin(1, 1), &[span(0, web), span(1, db)]).await;
    let staged = json!({
        "span_id": "03", "trace_id": "bb", "service_name": "web", "http.route": "/pay",
        "http.response.status_code": 500, "is_error": true, "duration_ns": 9_000_000,
        "attributes": {"cart.items": "many"},
    });
    source.stage("spans", origin(2, 2), &[span(60, staged)]).await;
    let hot = json!({
        "span_id": "04", "trace_id": "bb", "service_name": "web",
        "attributes": {"http.response.status_code": "5xx", "http.route": "/pay"},
    });
    source.hot("spans", &[span(61, hot)]);
    let late = json!({
        "span_id": "05", "trace_id": "cc", "service_name": "db", "duration_ns": -5_000,
    });
    source.commit("spans", origin(3, 3), &[span(86_400, late)]).await;
    let boom = json!({
        "trace_id": "aa", "span_id": "01", "severity": "ERROR", "body": "boom",
        "error.type": "Timeout",
    });
    let fine = json!({"body": "fine", "attributes": {"error.type": "7"}});
    source.hot("logs", &[log(0, boom), log(2, fine)]);
    source
}

/// Scenario: the statements in `tests/slt`.
/// Guarantees: the answers written there; statements marked as errors fail.
#[tokio::test]
async fn sql_answers_as_written() {
    let asker = asker(&shop().await);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        for Record { line, sql, expected } in records(&std::fs::read_to_string(&path).unwrap()) {
            count += 1;
            let answered = answer(&asker, &sql).await;
            let as_written = match (&answered, &expected) {
                (Ok(rows), Expected::Rows(wanted)) => rows == wanted,
                (Ok(_), Expected::Ok) => true,
                (Err(error), Expected::Error(part)) => error.to_string().contains(part),
                _ => false,
            };
            if !as_written {
                let place = format!("{}:{line}", path.display());
                failures.push(format!("{place}\n{sql}\nwanted {expected:?}\ngot    {answered:?}"));
            }
        }
    }
    assert!(count > 50, "{count} records");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
