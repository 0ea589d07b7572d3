//! What DataFusion is trusted to do, seen in `EXPLAIN ANALYZE`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use serde_json::{Value, json};

use super::ask::{Asker, asker, asker_with};
use super::source::{START, TestSource, batch, origin, span};

/// Rows of one file: two row groups, dozens of pages.
pub const ROWS: usize = 140_000;
const SERVICES: usize = 20;

/// `svc00` to `svc19`, a second between the rows of each; the trace id is the
/// row's place among all `files`.
pub fn rows(source: &TestSource, file: usize, files: usize) -> RecordBatch {
    let def = source.def("spans");
    let one =
        [span(0, json!({"attributes": {"a": "1", "k": "v"}, "span_id": "s", "trace_id": "t"}))];
    let one = take_record_batch(&batch(&def, &one), &UInt32Array::from(vec![0; ROWS])).unwrap();
    let seconds = |row: usize| (row / SERVICES + file * 10_000) as i64;
    let times = (0..ROWS).map(|row| (START + seconds(row)) * 1_000_000);
    let scattered = |row: usize| (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let columns: [(&str, ArrayRef); 5] = [
        ("time", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))),
        ("service_name", text(|row| format!("svc{:02}", row % SERVICES))),
        ("trace_id", text(|row| format!("{:032x}", row * files + file))),
        // Bytes enough for a file to be divided.
        ("span_id", text(|row| format!("{:016x}", scattered(row)))),
        ("duration_ns", Arc::new(Int64Array::from_iter_values(0..ROWS as i64))),
    ];
    let mut all = one.columns().to_vec();
    for (name, column) in columns {
        all[def.schema.index_of(name).unwrap()] = column;
    }
    RecordBatch::try_new(def.schema.clone(), all).unwrap()
}

fn text(of: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..ROWS).map(of)))
}

async fn files(count: usize) -> Asker {
    asker(&source_of(count).await)
}

async fn source_of(files: usize) -> Arc<TestSource> {
    let source = TestSource::new();
    for file in 0..files {
        let stretch = origin(file as u64 + 1, file as u64 + 1);
        source.flush_batch(stretch, rows(&source, file, files)).await;
    }
    source
}

pub async fn analyzed(asker: &Asker, sql: &str) -> String {
    asker.rows(&format!("EXPLAIN ANALYZE {sql}")).await.join("\n")
}

/// Sum over all scans of `name=N total → M matched`.
fn pruned(plan: &str, name: &str) -> (usize, usize) {
    let number = |text: &str| {
        let (count, unit) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let scale = if unit.starts_with('K') { 1e3 } else { 1.0 };
        (count.parse::<f64>().unwrap() * scale) as usize
    };
    let name = format!("{name}=");
    let said = plan.split(&name).skip(1).map(|after| {
        let (total, rest) = after.split_once(" total → ").unwrap();
        (number(total), number(rest.split_once(" matched").unwrap().0))
    });
    said.fold((0, 0), |(a, b), (total, matched)| (a + total, b + matched))
}

/// Scenario: one service's rows of a minute, in a file of two row groups.
/// Guarantees: row groups and pages are skipped by their bounds.
#[tokio::test]
async fn row_groups_and_pages_are_skipped() {
    let asker = files(1).await;
    let sql = "SELECT span_id FROM spans WHERE service_name = 'svc03' \
        AND time >= '2026-11-23T10:10:00Z' AND time < '2026-11-23T10:11:00Z'";
    let plan = analyzed(&asker, sql).await;
    assert_eq!(pruned(&plan, "row_groups_pruned_statistics"), (2, 1), "{plan}");
    let (pages, matched) = pruned(&plan, "page_index_pages_pruned");
    assert!(pages > 10 && matched * 4 <= pages, "{plan}");
    assert!(plan.contains("predicate=service_name@"), "{plan}");
    assert!(!plan.contains("FilterExec"), "{plan}");
    assert_eq!(asker.rows(sql).await.len(), 60);
}

/// Scenario: a trace id that no row has, within the bounds of ids.
/// Guarantees: the bloom filters leave no row group.
#[tokio::test]
async fn bloom_filters_answer_for_an_unknown_trace() {
    let source = TestSource::new();
    // Without its index, and only even ids.
    source.commit_batch("spans", origin(1, 1), rows(&source, 0, 2)).await;
    let asker = asker(&source);
    let sql = format!("SELECT span_id FROM spans WHERE trace_id = '{:032x}'", 70_001);
    let plan = analyzed(&asker, &sql).await;
    let (groups, matched) = pruned(&plan, "row_groups_pruned_bloom_filter");
    assert!(groups > 0 && matched == 0, "{plan}");
}

/// Scenario: a promoted text that is mostly unique, looked for as a column and as
/// an attribute, in a file whose maps lack the key and in one whose maps have it.
/// Guarantees: bloom filters leave the row group that has it, and none that lacks
/// it; where a map may have it, they rule out nothing of it.
#[tokio::test]
async fn bloom_filters_answer_for_a_promoted_text() {
    let source = TestSource::new();
    let path = |row: usize| format!("/{row:032}");
    let lacking = with_paths(&source, 0, json!({"a": "1"}), |row| Some(path(row)));
    source.commit_batch("spans", origin(1, 1), lacking).await;
    let alone = asker(&source);
    for access in ["\"url.path\"", "attributes['url.path']"] {
        let sql = |path: String| format!("SELECT count(*) FROM spans WHERE {access} = '{path}'");
        for (path, left) in [(path(77_777), 1), (format!("{}x", path(77_777)), 0)] {
            let plan = analyzed(&alone, &sql(path.clone())).await;
            let (groups, matched) = pruned(&plan, "row_groups_pruned_bloom_filter");
            // DataFusion counts what is left to it once more.
            assert_eq!(groups - matched, 2 - left, "{access}: {plan}");
            assert_eq!(alone.rows(&sql(path)).await, [left.to_string()]);
        }
    }

    let map = json!({"a": "1", "url.path": "/in/map"});
    let having = with_paths(&source, 1, map, |row| (row % 2 == 0).then(|| path(row)));
    source.commit_batch("spans", origin(2, 2), having).await;
    let both = asker(&source);
    let count = |of: &str| format!("SELECT count(*) FROM spans WHERE {of}");
    for (of, found) in [
        ("attributes['url.path'] = '/in/map'".to_owned(), ROWS / 2),
        (format!("attributes['url.path'] = '{}'", path(77_776)), 2),
        (format!("attributes['url.path'] = '{}'", path(77_777)), 1),
        ("\"url.path\" = '/in/map'".to_owned(), 0),
    ] {
        assert_eq!(both.rows(&count(&of)).await, [found.to_string()], "{of}");
    }
}

fn with_paths(
    source: &TestSource,
    file: usize,
    attributes: Value,
    path: impl Fn(usize) -> Option<String>,
) -> RecordBatch {
    let def = source.def("spans");
    let one = [span(0, json!({"attributes": attributes}))];
    let maps = take_record_batch(&batch(&def, &one), &UInt32Array::from(vec![0; ROWS])).unwrap();
    let rows = rows(source, file, 2);
    let mut all = rows.columns().to_vec();
    let at = |name: &str| def.schema.index_of(name).unwrap();
    all[at("attributes")] = maps.column(at("attributes")).clone();
    all[at("url.path")] = Arc::new(StringArray::from_iter((0..ROWS).map(path)));
    RecordBatch::try_new(def.schema.clone(), all).unwrap()
}

/// Scenario: a known trace id in one of four files.
/// Guarantees: its time, by the index, leaves a few pages of one file.
#[tokio::test]
async fn a_trace_reads_the_pages_of_its_time() {
    let asker = files(4).await;
    let sql = format!("SELECT service_name FROM spans WHERE trace_id = '{:032x}'", 4 * 4_567 + 1);
    let plan = analyzed(&asker, &sql).await;
    assert!(plan.contains("time@"), "{plan}");
    let (pages, matched) = pruned(&plan, "page_index_pages_pruned");
    assert!(matched < pages, "{plan}");
    assert_eq!(asker.rows(&sql).await, ["svc07"]);
}

/// Scenario: the latest rows of one service out of four files.
/// Guarantees: a running TopK filter reaches the scan, and of the row groups that
/// have the service, one per file, those that are all older are not read.
#[tokio::test]
async fn the_latest_rows_leave_older_files_alone() {
    // Of two threads the second might have begun with an older file by then.
    let asker = asker_with(&source_of(4).await, |settings| settings.threads = 1);
    let sql = "SELECT time FROM spans WHERE service_name = 'svc03' ORDER BY time DESC LIMIT 5";
    let plan = analyzed(&asker, sql).await;
    assert!(plan.contains("DynamicFilter"), "{plan}");
    let (groups, matched) = pruned(&plan, "row_groups_pruned_statistics");
    assert!(matched < groups && matched < 4, "{plan}");
    assert_eq!(asker.rows(sql).await[0], "2026-11-23T20:16:39Z");
}

/// Scenario: rows in the order in which a file is sorted, and a count.
/// Guarantees: nothing is sorted, and counting opens nothing.
#[tokio::test]
async fn declared_order_sorts_nothing_and_counts_open_nothing() {
    let asker = files(1).await;
    let sorted = "SELECT span_id FROM spans ORDER BY service_name NULLS FIRST, time NULLS FIRST";
    let plan = analyzed(&asker, sorted).await;
    assert!(!plan.contains("SortExec"), "{plan}");
    let (rows, summary) = asker.ask("SELECT count(*) FROM spans").await;
    assert_eq!((rows, summary.files_read), (vec![ROWS.to_string()], 0));
}

/// Scenario: one file, two threads.
/// Guarantees: its row groups are divided among them.
#[tokio::test]
async fn one_file_keeps_all_threads_busy() {
    let asker = files(1).await;
    let sql = "SELECT kind, avg(duration_ns) FROM spans GROUP BY kind";
    let plan = analyzed(&asker, sql).await;
    assert!(plan.contains("2 groups"), "{plan}");
}

/// Scenario: a key of a map, filtered by and selected.
/// Guarantees: it is taken out once, in the scan, and the map goes no further.
#[tokio::test]
async fn a_key_is_taken_out_of_its_map_in_the_scan() {
    let asker = files(1).await;
    let sql = "SELECT attributes['k'] AS k, attributes->>'a' AS a FROM spans \
        WHERE attributes['k'] = 'v' AND duration_ns < 3";
    let plan = analyzed(&asker, sql).await;
    let scan = plan.lines().find(|line| line.contains("DataSourceExec")).unwrap_or_default();
    assert!(scan.contains("get_field(attributes@"), "{plan}");
    assert!(!plan.replace(scan, "").contains("get_field("), "{plan}");
    assert_eq!(asker.rows(sql).await, ["v,1", "v,1", "v,1"]);
    // The whole map comes out as it went in.
    let whole = "SELECT attributes FROM spans WHERE duration_ns = 5";
    assert_eq!(asker.rows(whole).await, ["\"{\"\"a\"\":\"\"1\"\",\"\"k\"\":\"\"v\"\"}\""]);
    let absent = "SELECT count(*) FROM spans WHERE attributes['none'] IS NULL";
    assert_eq!(asker.rows(absent).await, [ROWS.to_string()]);
}
