//! Rows that are known by an id, and the ids of what is stored.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::TableDef;

/// The column that carries a row's id.
pub const ID: &str = "time_unix_nano";
/// The column of `trace_parts` that tells how many spans a row stands for.
pub const SPANS: &str = "span_count";

/// Rows with these ids, over two days, ten to a trace.
pub fn rows(table: &TableDef, ids: &[i64]) -> RecordBatch {
    let text = |of: &dyn Fn(i64) -> String| {
        Arc::new(StringArray::from_iter_values(ids.iter().map(|id| of(*id)))) as ArrayRef
    };
    let column = |field: &arrow::datatypes::FieldRef| match field.name().as_str() {
        "time" => {
            let times = TimestampMicrosecondArray::from_iter_values(ids.iter().copied());
            Arc::new(times.with_timezone("UTC")) as ArrayRef
        }
        ID => Arc::new(Int64Array::from(ids.to_vec())),
        "service_name" => text(&|id| format!("service-{}", id % 3)),
        "trace_id" => text(&|id| format!("{:032x}", id / 10 + 1)),
        "span_id" => text(&|id| format!("{id:016x}")),
        "date" => {
            let days = ids.iter().map(|id| 20_000 + (id % 2) as i32);
            Arc::new(Date32Array::from_iter_values(days))
        }
        _ => new_null_array(field.data_type(), ids.len()),
    };
    let columns = table.schema.fields().iter().map(column).collect();
    RecordBatch::try_new(table.schema.clone(), columns).unwrap()
}

/// The values of a column of whole numbers.
pub fn values(rows: &RecordBatch, column: &str) -> Vec<i64> {
    let column = rows.column_by_name(column).unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

/// The same of a Parquet file.
pub fn values_of(file: Bytes, column: &str) -> Result<Vec<i64>, String> {
    let broken = |error: &dyn std::fmt::Display| format!("a file cannot be read: {error}");
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| broken(&e))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), [column]);
    let mut found = Vec::new();
    for batch in builder.with_projection(mask).build().map_err(|e| broken(&e))? {
        found.extend(values(&batch.map_err(|e| broken(&e))?, column));
    }
    Ok(found)
}
