//! The API's JSON document, and a JSON object per line.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use serde_json::json;

use super::{Options, value};
use crate::catalog::describe::type_name;
use crate::{Error, Summary};

pub(super) fn head(schema: &SchemaRef, out: &mut Vec<u8>) {
    let columns = schema.fields().iter();
    let columns = columns.map(|f| json!({"name": f.name(), "type": type_name(f.data_type())}));
    let columns = serde_json::Value::from(columns.collect::<Vec<_>>());
    out.extend_from_slice(format!("{{\"columns\":{columns},\"rows\":[").as_bytes());
}

pub(super) fn rows(
    batch: &RecordBatch,
    options: Options,
    first: &mut bool,
    out: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    for row in 0..batch.num_rows() {
        if !std::mem::take(first) {
            out.push(b',');
        }
        out.extend_from_slice(b"\n[");
        for (index, column) in batch.columns().iter().enumerate() {
            value::comma(index, out);
            value::json(column, row, options, out)?;
        }
        out.push(b']');
    }
    Ok(())
}

pub(super) fn tail(summary: &Summary, out: &mut Vec<u8>) {
    let stats = json!(summary);
    let (truncated, complete) = (summary.truncated, summary.complete());
    let incomplete = json!(summary.incomplete);
    out.extend_from_slice(
        format!(
            "],\n\"stats\":{stats},\"truncated\":{truncated},\"complete\":{complete},\"incomplete\":{incomplete}}}\n"
        )
        .as_bytes(),
    );
}

pub(super) fn lines(
    batch: &RecordBatch,
    options: Options,
    out: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    let mut names = Vec::new();
    for field in batch.schema().fields() {
        let mut name = Vec::new();
        value::string(field.name(), &mut name)?;
        name.push(b':');
        names.push(name);
    }
    for row in 0..batch.num_rows() {
        out.push(b'{');
        for (index, (column, name)) in batch.columns().iter().zip(&names).enumerate() {
            value::comma(index, out);
            out.extend_from_slice(name);
            value::json(column, row, options, out)?;
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(())
}

pub(super) fn error_value(error: &Error) -> serde_json::Value {
    json!({"error": {
        "kind": error.kind().as_str(),
        "message": error.to_string(),
        "hint": error.hint(),
        "position": error.position(),
    }})
}

pub(super) fn broken(error: &Error, out: &mut Vec<u8>) {
    let error = &error_value(error)["error"];
    out.extend_from_slice(format!("],\n\"error\":{error}}}\n").as_bytes());
}

pub(super) fn broken_line(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}\n", error_value(error)).as_bytes());
}
