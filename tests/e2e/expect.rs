//! A row, found by a filter, and what SQL expressions over it must give. The
//! client scripts print these; the fixtures hold them.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::Rows;
use crate::daemon::Daemon;

#[derive(Debug, Clone, Deserialize)]
pub struct Expected {
    pub table: String,
    #[serde(rename = "where")]
    pub filter: String,
    /// SQL expression → value. Integers may be texts, lists are compared
    /// element by element, a number with a fraction as a double.
    pub gives: Map<String, Value>,
}

/// Reads a JSON array of [`Expected`].
pub fn parse(json: &str) -> Vec<Expected> {
    let parsed: Vec<Expected> = serde_json::from_str(json).expect("a list of expected rows");
    assert!(!parsed.is_empty(), "nothing is expected, so nothing would be proven");
    parsed
}

/// Every row is there, exactly once, with exactly these values.
pub async fn check(daemon: &Daemon, expected: &[Expected]) {
    let mut wrong = Vec::new();
    for row in expected {
        // Two spellings of one thing need names of their own.
        let named = row.gives.keys().enumerate().map(|(n, of)| format!("{of} AS c{n}"));
        let select = named.collect::<Vec<_>>().join(", ");
        let query = format!("SELECT {select} FROM {} WHERE {}", row.table, row.filter);
        let found = match daemon.try_sql(&query).await {
            Ok(found) => found,
            Err(e) => {
                wrong.push(format!("{e:#}"));
                continue;
            }
        };
        let place = format!("{} where {}", row.table, row.filter);
        if found.rows.len() != 1 {
            wrong.push(format!("{place}: {} rows", found.rows.len()));
            continue;
        }
        for ((expression, want), have) in row.gives.iter().zip(&found.rows[0]) {
            if !same(want, have) {
                wrong.push(format!("{place}: {expression} is {have}, not {want}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// Equal as a reader of the values sees it.
pub fn same(want: &Value, have: &Value) -> bool {
    match (want, have) {
        (Value::Array(want), Value::Array(have)) => {
            want.len() == have.len() && want.iter().zip(have).all(|(w, h)| same(w, h))
        }
        (Value::Number(want), Value::Number(have)) if want.is_f64() || have.is_f64() => {
            want.as_f64() == have.as_f64()
        }
        (Value::Number(_) | Value::String(_), Value::Number(_) | Value::String(_)) => {
            text(want) == text(have)
        }
        _ => want == have,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// All rows of all signals, in one order, without what differs between two
/// arrivals of the same request.
pub async fn dump(daemon: &Daemon) -> Vec<Rows> {
    let mut all = Vec::new();
    for (table, key) in [
        ("spans", "span_id, time_unix_nano"),
        ("logs", "time_unix_nano, observed_time_unix_nano"),
        ("metrics", "metric_name, time_unix_nano, series_id"),
    ] {
        all.push(daemon.sql(&format!("SELECT * FROM {table} ORDER BY {key}")).await);
    }
    all
}

/// The two dumps hold the same rows.
pub fn assert_same(before: &[Rows], after: &[Rows], what: &str) {
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before.columns, after.columns, "{what}");
        assert_eq!(before.rows.len(), after.rows.len(), "{what}");
        for (row, (b, a)) in before.rows.iter().zip(&after.rows).enumerate() {
            for (column, (b, a)) in before.columns.iter().zip(b.iter().zip(a)) {
                assert_eq!(b, a, "{what}: {column} of row {row}");
            }
        }
    }
}
