//! The tables that the node keeps about itself, built when they are named.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use schema::tables::common::timestamp;
use storage::{DataFile, StatValue};

use super::{View, attributes};

pub(super) const NAMES: [&str; 5] = ["ledger", "files", "wal", "queries", "attributes"];

/// When each attribute key was last used in a statement; not listed, as it is
/// only the raw material of `system.attributes`.
pub(super) const USES: &str = "attribute_uses";

fn fields(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(
        columns.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect::<Vec<_>>(),
    ))
}

pub(super) fn schema(name: &str) -> Option<SchemaRef> {
    use DataType::{Boolean, Float64, Int64, Utf8};
    Some(match name {
        "ledger" => fields(&[
            ("tenant", Utf8),
            ("signal", Utf8),
            ("door", Utf8),
            ("reason", Utf8),
            ("accepted", Int64),
            ("persisted", Int64),
            ("in_flight", Int64),
            ("dropped", Int64),
        ]),
        "files" => fields(&[
            ("table_name", Utf8),
            ("path", Utf8),
            ("state", Utf8),
            ("rows", Int64),
            ("bytes", Int64),
            ("min_time", timestamp()),
            ("max_time", timestamp()),
            ("wal_id", Utf8),
        ]),
        "wal" => fields(&[
            ("segment", Utf8),
            ("bytes", Int64),
            ("first_position", Int64),
            ("last_position", Int64),
            ("oldest_age_seconds", Float64),
        ]),
        "queries" => fields(&[
            ("id", Int64),
            ("door", Utf8),
            ("principal", Utf8),
            ("sql", Utf8),
            ("state", Utf8),
            ("started", timestamp()),
            ("elapsed_ms", Float64),
            ("rows", Int64),
            ("files_read", Int64),
            ("files_pruned", Int64),
            ("bytes", Int64),
            ("peak_memory", Int64),
        ]),
        "attributes" => fields(&[
            ("table_name", Utf8),
            ("scope", Utf8),
            ("key", Utf8),
            ("promoted", Boolean),
            ("rows", Int64),
            ("distinct_about", Int64),
            ("bytes", Int64),
            ("last_queried", timestamp()),
        ]),
        USES => fields(&[("scope", Utf8), ("key", Utf8), ("at", timestamp())]),
        _ => return None,
    })
}

pub(super) async fn table(
    view: &Arc<View>,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
    let columns = match name {
        "ledger" => ledger(view),
        "files" => files(view)?,
        "wal" => wal(view),
        "queries" => queries(view),
        "attributes" => return attributes::table(view).await.map(Some),
        USES => uses(view),
        _ => return Ok(None),
    };
    let Some(schema) = schema(name) else { return Ok(None) };
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    Ok(Some(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?)))
}

fn text<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// Counts are far below `i64::MAX`; a larger one shows as that.
fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn ints(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// A row per (signal, door) for the rows that are kept, and one per reason for
/// those that are not: every row balances by itself, and so does every sum (L1).
fn ledger(view: &View) -> Vec<ArrayRef> {
    struct Line {
        index: usize,
        reason: Option<String>,
        accepted: u64,
        persisted: u64,
        in_flight: u64,
        dropped: u64,
    }
    let mut rows = view.core.source.ledger();
    rows.retain(|row| row.tenant == view.tenant);
    let mut lines = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let dropped: u64 = row.dropped.iter().map(|(_, n)| n).sum();
        lines.push(Line {
            index,
            reason: None,
            accepted: row.accepted.saturating_sub(dropped),
            persisted: row.persisted,
            in_flight: row.in_flight,
            dropped: 0,
        });
        lines.extend(row.dropped.iter().map(|(reason, n)| Line {
            index,
            reason: Some(reason.clone()),
            accepted: *n,
            persisted: 0,
            in_flight: 0,
            dropped: *n,
        }));
    }
    let number = |of: fn(&Line) -> u64| ints(lines.iter().map(|line| Some(count(of(line)))));
    vec![
        text(lines.iter().map(|line| Some(rows[line.index].tenant.as_str()))),
        text(lines.iter().map(|line| Some(rows[line.index].signal.as_str()))),
        text(lines.iter().map(|line| Some(rows[line.index].door.as_str()))),
        text(lines.iter().map(|line| line.reason.as_deref())),
        number(|line| line.accepted),
        number(|line| line.persisted),
        number(|line| line.in_flight),
        number(|line| line.dropped),
    ]
}

fn files(view: &View) -> Result<Vec<ArrayRef>, DataFusionError> {
    let mut files: Vec<(&'static str, &'static str, Arc<DataFile>)> = Vec::new();
    for def in view.pins.defs() {
        if let Some(snapshot) = view.pins.look(def.name) {
            // Where its bytes lie does not say whether a file is committed;
            // the list it is on does.
            let listed = |state, list: &[Arc<DataFile>]| {
                list.iter().map(|file| (def.name, state, file.clone())).collect::<Vec<_>>()
            };
            files.extend(listed("committed", &snapshot.committed));
            files.extend(listed("staged", &snapshot.staged));
        }
    }
    let bound = |file: &DataFile, upper: bool| {
        let stats = file
            .stats
            .get("time")
            .or_else(|| file.stats.get(if upper { "max_time" } else { "min_time" }))?;
        match if upper { &stats.max } else { &stats.min } {
            Some(StatValue::Timestamp(micros)) => Some(*micros),
            _ => None,
        }
    };
    Ok(vec![
        text(files.iter().map(|(table, ..)| Some(*table))),
        text(files.iter().map(|(.., file)| Some(&file.path))),
        text(files.iter().map(|(_, state, _)| Some(*state))),
        ints(files.iter().map(|(.., file)| Some(count(file.rows)))),
        ints(files.iter().map(|(.., file)| Some(count(file.size)))),
        times(files.iter().map(|(.., file)| bound(file, false))),
        times(files.iter().map(|(.., file)| bound(file, true))),
        text(files.iter().map(|(.., file)| file.origin.map(|origin| origin.wal_id.to_string()))),
    ])
}

fn wal(view: &View) -> Vec<ArrayRef> {
    let segments = view.core.source.wal_segments();
    let now = view.now_unix_nano;
    let age = |since: i64| now.saturating_sub(since).max(0) as f64 / 1e9;
    let ages = segments.iter().map(|s| s.oldest_unix_nano.map(age));
    vec![
        text(segments.iter().map(|s| Some(&s.name))),
        ints(segments.iter().map(|s| Some(count(s.bytes)))),
        ints(segments.iter().map(|s| s.first.map(|p| count(p.0)))),
        ints(segments.iter().map(|s| s.last.map(|p| count(p.0)))),
        Arc::new(ages.collect::<Float64Array>()),
    ]
}

fn queries(view: &View) -> Vec<ArrayRef> {
    let all = view.core.activities.of(&view.tenant);
    let summaries: Vec<_> = all.iter().map(|activity| activity.stats.summary()).collect();
    let sum = |of: fn(&crate::Summary) -> u64| ints(summaries.iter().map(|s| Some(count(of(s)))));
    let elapsed = summaries.iter().map(|s| Some(s.elapsed_ms)).collect::<Float64Array>();
    vec![
        ints(all.iter().map(|a| Some(count(a.id)))),
        text(all.iter().map(|a| Some(a.door))),
        text(all.iter().map(|a| a.principal.as_deref())),
        text(all.iter().map(|a| Some(&a.sql))),
        text(all.iter().map(|a| Some(a.state().as_str()))),
        times(all.iter().map(|a| Some(a.started_unix_nano.div_euclid(1_000)))),
        Arc::new(elapsed),
        sum(|s| s.rows),
        sum(|s| s.files_read),
        sum(|s| s.files_pruned),
        sum(|s| s.bytes_read),
        sum(|s| s.peak_memory_bytes),
    ]
}

fn uses(view: &View) -> Vec<ArrayRef> {
    let uses = view.core.uses.all(&view.tenant);
    vec![
        text(uses.iter().map(|(scope, _, _)| Some(scope.as_str()))),
        text(uses.iter().map(|(_, key, _)| Some(key))),
        times(uses.iter().map(|(_, _, at)| Some(at.div_euclid(1_000)))),
    ]
}
