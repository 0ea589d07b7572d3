//! What is left out before DataFusion reads: rows by the values in their maps,
//! columns that a row group has one value of, pages behind a running TopK.
//! The same rows in memory, of which nothing is left out, answer alike.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, MapArray, MapBuilder, MapFieldNames, RecordBatch};
use arrow::array::{StringArray, StringBuilder};

use super::ask::{Asker, asker};
use super::plans::{self, ROWS, analyzed};
use super::source::{START, TestSource, origin};

/// Rows by `n`, the place in which they were made: maps of few keys, of none,
/// and NULL; values that many share, that one has, long ones, and NULL.
fn rows(source: &TestSource) -> RecordBatch {
    let names =
        MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for n in 0..ROWS {
        if n % 13 == 0 {
            maps.append(false).unwrap();
            continue;
        }
        let mut entry = |key: &str, value: Option<String>| {
            maps.keys().append_value(key);
            maps.values().append_option(value);
        };
        if n % 11 != 0 {
            if n < 40 {
                entry("early", Some(format!("u{:05}", n)));
            }
            if n % 3 == 0 {
                entry("note", Some(format!("{:0>90}", n)));
            }
            entry("tier", Some(if n % 97 == 0 { "gold" } else { "tin" }.to_owned()));
            if n % 7 == 0 {
                let user = format!("u{:05}", n * 7919 % 30_011);
                entry("user.id", (n % 5 != 0).then_some(user));
            } else if n % 50_000 == 1 {
                entry("user.id", Some("gold".to_owned()));
            }
        }
        maps.append(true).unwrap();
    }
    let routes = (0..ROWS).map(|n| (n % 5 == 0).then(|| format!("/r{}", n % 100)));
    let codes = (0..ROWS).map(|n| (n % 4 == 0).then_some(200 + (n % 3) as i64));
    let kinds = (0..ROWS).map(|n| (n % 9 != 0).then(|| ["OK", "ERROR", "UNSET"][n % 3]));
    let made = plans::rows(source, 0, 1);
    let def = source.def("spans");
    let mut all = made.columns().to_vec();
    let maps: MapArray = maps.finish();
    let columns: [(&str, ArrayRef); 4] = [
        ("attributes", Arc::new(maps)),
        ("http.route", Arc::new(StringArray::from_iter(routes))),
        ("http.response.status_code", Arc::new(Int64Array::from_iter(codes))),
        ("status_code", Arc::new(StringArray::from_iter(kinds))),
    ];
    for (name, column) in columns {
        let at = def.schema.index_of(name).unwrap();
        // The names of a map's fields differ, not what is in them.
        all[at] = arrow::compute::cast(&column, def.schema.field(at).data_type()).unwrap();
    }
    RecordBatch::try_new(def.schema.clone(), all).unwrap()
}

/// The same rows in a file and in memory.
async fn both() -> (Asker, Asker) {
    let (stored, plain) = (TestSource::new(), TestSource::new());
    let rows = rows(&stored);
    plain.hot_batch("spans", rows.clone());
    stored.commit_batch("spans", origin(1, 1), rows).await;
    (asker(&stored), asker(&plain))
}

/// Scenario: lookups of values that many rows have, one has, none has, or that
/// stand under another key; long ones, lists, two at once, with times, orders
/// and limits; promoted keys that some rows lack; a trace; comparisons that are
/// counted; groups that come in runs and that do not.
/// Guarantees: each answer is that of the same rows in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn narrowed_answers_are_the_plain_ones() {
    let (stored, plain) = both().await;
    let at = |minute: i64| format!("to_timestamp({})", START + 60 * minute);
    let mut predicates: Vec<String> = [
        "attributes['user.id'] = 'u00777'",
        "'u00777' = attributes->>'user.id'",
        "attributes['user.id'] = 'nobody'",
        "attributes['none'] = 'gold'",
        "attributes['early'] = 'u00003'",
        "attributes['user.id'] = 'gold'",
        "attributes['user.id'] IN ('u00777', 'u01234', 'gold', 'x')",
        "attributes['user.id'] NOT IN ('u00777') AND attributes['tier'] = 'gold'",
        "attributes['tier'] = 'gold' AND attributes['user.id'] = 'u00007'",
        "attributes['tier'] = 'gold' OR attributes['user.id'] = 'u00777'",
        "attributes['user.id'] <> 'u00777' AND duration_ns < 900",
        "attributes['user.id'] IS NULL AND duration_ns < 40",
        "attributes['user.id'] = 5",
        "attributes['http.route'] = '/r5'",
        "attributes['http.route'] IN ('/r5', '/r10') AND duration_ns < 9000",
        "attributes['http.response.status_code'] = 201 AND duration_ns < 9000",
        "attributes['http.response.status_code'] = '201' AND duration_ns < 9000",
        "attributes['http.route'] <> '/r5' AND duration_ns < 900",
        "attributes['http.route'] IS NULL AND duration_ns < 90",
        "NOT (attributes['http.route'] = '/r5') AND duration_ns < 900",
    ]
    .map(str::to_owned)
    .into();
    predicates.push(format!("attributes['note'] = '{:0>90}'", 99_999));
    predicates.push(format!("attributes['tier'] = 'gold' AND time >= {}", at(100)));
    predicates.push(format!("attributes['tier'] = 'tin' AND time < {}", at(1)));
    predicates.push(format!("time >= {} AND time < {}", at(1), at(100)));
    predicates.push(format!("time > {} AND time <= {} AND kind = 'SERVER'", at(20), at(115)));
    predicates.push(format!("{} < time AND status_code = 'OK' AND duration_ns < 99", at(0)));
    predicates.push(format!("trace_id = '{:032x}'", 12_345));
    predicates.push(format!("trace_id = '{:032x}' AND attributes['tier'] = 'tin'", 139_000));
    let mut statements: Vec<String> = Vec::new();
    for predicate in &predicates {
        statements.push(format!("SELECT count(*) FROM spans WHERE {predicate}"));
        statements.push(format!("SELECT span_id FROM spans WHERE {predicate} ORDER BY span_id"));
        statements.push(format!(
            "SELECT time, span_id FROM spans WHERE {predicate} ORDER BY time DESC, span_id LIMIT 7"
        ));
    }
    statements.extend([
        format!("SELECT * EXCLUDE (attributes) FROM spans WHERE trace_id = '{:032x}'", 77_777),
        "SELECT time, name, attributes FROM spans WHERE service_name = 'svc07' \
            ORDER BY time DESC LIMIT 9"
            .into(),
        "SELECT time, span_id FROM spans ORDER BY time DESC, span_id LIMIT 30".into(),
        "SELECT duration_ns FROM spans ORDER BY duration_ns DESC LIMIT 20".into(),
        "SELECT DISTINCT service_name FROM spans ORDER BY 1".into(),
        "SELECT service_name, count(*), avg(duration_ns), min(time), max(duration_ns), \
            sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END), \
            sum(CASE WHEN status_code <> 'OK' THEN 1 ELSE 0 END) \
            FROM spans GROUP BY 1 ORDER BY 1"
            .into(),
        "SELECT service_name, date_trunc('minute', time) AS m, count(*), sum(duration_ns) \
            FROM spans GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 500"
            .into(),
        "SELECT status_code, \"http.route\", count(*), count(\"http.response.status_code\") \
            FROM spans GROUP BY 1, 2 ORDER BY 1, 2"
            .into(),
        "SELECT status_code = 'ERROR' AS failed, count(*) FROM spans GROUP BY 1 ORDER BY 1".into(),
        "SELECT span_id, status_code = 'OK' FROM spans WHERE duration_ns < 50 ORDER BY 1".into(),
    ]);
    for sql in &statements {
        assert_eq!(stored.rows(sql).await, plain.rows(sql).await, "{sql}");
    }
}

/// Scenario: comparisons of a column of few texts in what is counted, and the
/// same put so that no rule knows them.
/// Guarantees: the numbers are equal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comparisons_of_codes_are_those_of_texts() {
    let (stored, _) = both().await;
    let sql = |compared: &str| {
        format!(
            "SELECT service_name, sum(CASE WHEN {compared} THEN 1 ELSE 0 END), \
             count(*) FILTER (WHERE {compared}), count({compared}) \
             FROM spans GROUP BY 1 ORDER BY 1"
        )
    };
    for op in ["=", "<>"] {
        let plain = stored.rows(&sql(&format!("status_code || '' {op} 'ERROR'"))).await;
        assert_eq!(stored.rows(&sql(&format!("status_code {op} 'ERROR'"))).await, plain);
    }
}

/// Scenario: a value that one row has; a key that only the first row group has.
/// Guarantees: EXPLAIN ANALYZE shows the lookup, a row group without a match is
/// not read, and next to nothing but the values is fetched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_the_value_are_not_read() {
    let (stored, _) = both().await;
    let early = "SELECT trace_id, span_id FROM spans WHERE attributes['early'] = 'u00003'";
    let plan = analyzed(&stored, early).await;
    assert!(plan.contains("narrowed_by=attributes[early]"), "{plan}");
    assert!(plan.contains("row_groups_pruned_lookup=1"), "{plan}");
    let rare = "SELECT trace_id, span_id FROM spans WHERE attributes['user.id'] = 'u00777'";
    let (_, narrowed) = stored.ask(rare).await;
    let all = "SELECT trace_id, span_id FROM spans WHERE attributes['user.id'] LIKE 'u0077_'";
    let (_, whole) = stored.ask(all).await;
    assert!(narrowed.bytes_read < whole.bytes_read, "{narrowed:?} {whole:?}");
}

/// Scenario: equality on a promoted key that most rows lack, in a file that says
/// that no map has it.
/// Guarantees: the map is not read: it costs what the column costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_no_map_has_is_read_from_its_column() {
    let (stored, _) = both().await;
    let sql = |access: &str| format!("SELECT span_id, name FROM spans WHERE {access} = '/r5'");
    let (by_key, narrow) = stored.ask(&sql("attributes['http.route']")).await;
    let (by_column, direct) = stored.ask(&sql("\"http.route\"")).await;
    assert_eq!(by_key.len(), by_column.len());
    assert_eq!(narrow.bytes_read, direct.bytes_read);
}

/// Scenario: the latest rows of a service, in files whose pages are in its order.
/// Guarantees: they are read from the end, and what is older is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_latest_are_read_from_the_end() {
    let (stored, _) = both().await;
    let latest = "SELECT time, name, trace_id FROM spans ORDER BY time DESC LIMIT 5";
    let plan = analyzed(&stored, latest).await;
    assert!(plan.contains("from_the_end_by=time"), "{plan}");
    let (_, some) = stored.ask(latest).await;
    let (_, all) = stored.ask("SELECT max(time), max(name), max(trace_id) FROM spans").await;
    assert!(some.bytes_read < all.bytes_read, "{some:?} {all:?}");
}
