//! `usage_parts`: what each service has cost, in the pieces it was counted in.
//! The view `usage` adds them up by day.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType::{Int64, Utf8};
use arrow::error::ArrowError;

use super::common::timestamp;
use crate::table::{Column, TableDef};
use crate::usage::{Key, Usage};

pub const NAME: &str = "usage_parts";

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

pub fn table() -> TableDef {
    let c = Column::new;
    let columns = vec![
        c("time", timestamp(), "Until when this part was counted (UTC, microseconds)."),
        c("node_id", Utf8, "The Cloudsail node that counted it."),
        c("tenant", Utf8, "Whose telemetry it was."),
        c("service_name", Utf8, "The service; NULL for what no one service has caused."),
        c("signal", Utf8, "traces, metrics or logs."),
        c("rows", Int64, "Rows written to files."),
        c(
            "bytes_in",
            Int64,
            "Decompressed bytes of requests, shared out over the services of a request by rows; what came in the minute before a crash is missing.",
        ),
        c(
            "bytes_stored",
            Int64,
            "Bytes of the Parquet files they were first written to, shared out by rows.",
        ),
        c("bytes_scanned", Int64, "Bytes of Parquet that statements read; no one service's."),
    ];
    let doc = "What each service has cost, in the pieces it was counted in; `usage` adds them up.";
    let mut table = TableDef::new(NAME, doc, columns);
    table.sort = &["service_name", "time"];
    table
}

/// One tenant's counts as rows of the table. `None` without counts.
pub fn rows(
    table: &TableDef,
    counts: &[(Key, Usage)],
    node_id: &str,
    now_unix_nano: i64,
) -> Result<Option<RecordBatch>, ArrowError> {
    if counts.is_empty() {
        return Ok(None);
    }
    let every = |value: i64| std::iter::repeat_n(value, counts.len());
    let number = |of: fn(&Usage) -> u64| -> ArrayRef {
        let value = |(_, usage): &(Key, Usage)| i64::try_from(of(usage)).unwrap_or(i64::MAX);
        Arc::new(Int64Array::from_iter_values(counts.iter().map(value)))
    };
    let time = TimestampMicrosecondArray::from_iter_values(every(now_unix_nano.div_euclid(1000)));
    let text = |of: fn(&Key) -> Option<&str>| -> ArrayRef {
        Arc::new(counts.iter().map(|(key, _)| of(key)).collect::<StringArray>())
    };
    // Days of an i64 of nanoseconds are far within an i32.
    let day = i32::try_from(now_unix_nano.div_euclid(NANOS_PER_DAY)).unwrap_or_default();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(time.with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(node_id, counts.len()))),
        text(|key| Some(key.tenant.as_str())),
        text(|key| key.service.as_deref()),
        text(|key| Some(key.signal.as_str())),
        number(|usage| usage.rows),
        number(|usage| usage.bytes_in),
        number(|usage| usage.bytes_stored),
        number(|usage| usage.bytes_scanned),
        Arc::new(Date32Array::from_iter_values(std::iter::repeat_n(day, counts.len()))),
    ];
    RecordBatch::try_new(table.schema.clone(), columns).map(Some)
}
