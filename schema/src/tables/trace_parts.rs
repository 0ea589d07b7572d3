//! `trace_parts`: one row per trace, day and flush, derived from the spans of
//! that flush. It is a hint of where a trace is, and can be rebuilt.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType::{Int64, Utf8},
    Date32Type, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use super::common::{list, list_field, timestamp};
use crate::table::{Column, TableDef};

pub const NAME: &str = "trace_parts";

/// The columns of `spans` that [`derive`] reads.
pub const INPUTS: &[&str] = &[
    "trace_id",
    "parent_span_id",
    "service_name",
    "name",
    "time",
    "duration_ns",
    "is_error",
    "date",
];

pub fn table() -> TableDef {
    let c = Column::new;
    let columns = vec![
        c("trace_id", Utf8, "Trace id, 32 lower-case hex digits."),
        c("min_time", timestamp(), "Earliest start of a span in this part."),
        c("max_time", timestamp(), "Latest start of a span in this part."),
        c("root_service", Utf8, "Service of the root span; NULL if the root is not in this part."),
        c("root_name", Utf8, "Name of the root span."),
        c("root_duration_ns", Int64, "Duration of the root span in nanoseconds."),
        c("span_count", Int64, "Spans in this part."),
        c("error_count", Int64, "Spans with `is_error` in this part."),
        c("services", list(Utf8), "Services in this part, sorted."),
    ];
    let mut table =
        TableDef::new(NAME, "Where each trace is: one row per trace, day and flush.", columns);
    table.sort = &["trace_id"];
    table.bloom = &["trace_id"];
    table
}

#[derive(Default)]
struct Part<'a> {
    min: i64,
    max: i64,
    root: Option<usize>,
    spans: i64,
    errors: i64,
    services: BTreeSet<&'a str>,
}

/// Groups spans by (day, trace). The result is sorted by day, then trace id.
pub fn derive(spans: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |name: &str| {
        let missing = || ArrowError::SchemaError(format!("spans have no column {name}"));
        spans.column_by_name(name).ok_or_else(missing)
    };
    let trace_id = column("trace_id")?.as_string::<i32>();
    let parent = column("parent_span_id")?.as_string::<i32>();
    let service = column("service_name")?.as_string::<i32>();
    let name = column("name")?.as_string::<i32>();
    let time = column("time")?.as_primitive::<TimestampMicrosecondType>();
    let duration = column("duration_ns")?.as_primitive::<Int64Type>();
    let is_error = column("is_error")?.as_boolean();
    let date = column("date")?.as_primitive::<Date32Type>();

    let mut known: HashMap<(i32, &str), usize> = HashMap::new();
    let mut parts: Vec<((i32, &str), Part<'_>)> = Vec::new();
    for row in 0..spans.num_rows() {
        if trace_id.is_null(row) {
            continue;
        }
        let at = time.value(row);
        let new = || Part { min: at, max: at, ..Part::default() };
        let key = (date.value(row), trace_id.value(row));
        let part = *known.entry(key).or_insert_with(|| {
            parts.push((key, new()));
            parts.len() - 1
        });
        let part = &mut parts[part].1;
        part.min = part.min.min(at);
        part.max = part.max.max(at);
        part.spans += 1;
        part.errors += i64::from(is_error.is_valid(row) && is_error.value(row));
        if part.root.is_none() && parent.is_null(row) {
            part.root = Some(row);
        }
        if service.is_valid(row) {
            part.services.insert(service.value(row));
        }
    }

    parts.sort_unstable_by_key(|(key, _)| *key);
    let of = || parts.iter().map(|(_, part)| part);
    let root_text = |array: &StringArray| -> StringArray {
        of().map(|p| {
            p.root.filter(|row| array.is_valid(*row)).map(|row| array.value(row).to_owned())
        })
        .collect()
    };
    let times = |values: Vec<i64>| TimestampMicrosecondArray::from(values).with_timezone("UTC");
    let mut services = ListBuilder::new(StringBuilder::new()).with_field(list_field(Utf8));
    for part in of() {
        part.services.iter().for_each(|s| services.values().append_value(s));
        services.append(true);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(parts.iter().map(|((_, id), _)| id))),
        Arc::new(times(of().map(|p| p.min).collect())),
        Arc::new(times(of().map(|p| p.max).collect())),
        Arc::new(root_text(service)),
        Arc::new(root_text(name)),
        Arc::new(of().map(|p| p.root.map(|row| duration.value(row))).collect::<Int64Array>()),
        Arc::new(Int64Array::from_iter_values(of().map(|p| p.spans))),
        Arc::new(Int64Array::from_iter_values(of().map(|p| p.errors))),
        Arc::new(services.finish()),
        Arc::new(Date32Array::from_iter_values(parts.iter().map(|((day, _), _)| *day))),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}
