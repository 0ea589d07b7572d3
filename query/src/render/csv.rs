//! RFC 4180: a header, CRLF, quotes where they are needed. NULL is an empty
//! field, the empty text is `""`; nested values are JSON text.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::value;

pub(super) fn head(schema: &SchemaRef, out: &mut Vec<u8>) {
    for (index, field) in schema.fields().iter().enumerate() {
        value::comma(index, out);
        push(field.name(), out);
    }
    out.extend_from_slice(b"\r\n");
}

pub(super) fn rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    for row in 0..batch.num_rows() {
        for (index, column) in batch.columns().iter().enumerate() {
            value::comma(index, out);
            if !value::is_null(column, row) {
                push(&value::text(column, row)?, out);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

fn push(text: &str, out: &mut Vec<u8>) {
    let plain = !text.is_empty() && !text.contains([',', '"', '\r', '\n']);
    if plain {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    }
}
