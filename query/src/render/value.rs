//! One cell, as JSON or as text.

use std::io::Write;

use arrow::array::timezone::Tz;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat};

use super::Options;

type Result<T> = std::result::Result<T, ArrowError>;

/// Appends a cell as a JSON value. Instants are RFC 3339, maps and structs
/// objects, lists arrays, and doubles that JSON has no number for are
/// `"NaN"`, `"Infinity"`, `"-Infinity"`, as in OTLP's JSON.
pub(super) fn json(
    array: &dyn Array,
    row: usize,
    options: Options,
    out: &mut Vec<u8>,
) -> Result<()> {
    if is_null(array, row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Boolean => {
            let text: &[u8] = if array.as_boolean().value(row) { b"true" } else { b"false" };
            out.extend_from_slice(text);
        }
        DataType::Int64 if options.int64_as_text => {
            write!(out, "\"{}\"", array.as_primitive::<Int64Type>().value(row))?;
        }
        DataType::UInt64 if options.int64_as_text => {
            write!(out, "\"{}\"", array.as_primitive::<UInt64Type>().value(row))?;
        }
        data_type if data_type.is_integer() => integer(array, row, out)?,
        DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row), out)?,
        DataType::Float32 => {
            double(f64::from(array.as_primitive::<Float32Type>().value(row)), out)?
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) => {
            list(array, row, options, out)?;
        }
        DataType::Map(_, _) => {
            let entry = array.as_map().value(row);
            let (keys, values) = (entry.column(0), entry.column(1));
            out.push(b'{');
            for index in 0..entry.len() {
                comma(index, out);
                string(&text(keys, index)?, out)?;
                out.push(b':');
                json(values, index, options, out)?;
            }
            out.push(b'}');
        }
        DataType::Struct(fields) => {
            out.push(b'{');
            for (index, field) in fields.iter().enumerate() {
                comma(index, out);
                string(field.name(), out)?;
                out.push(b':');
                json(array.as_struct().column(index), row, options, out)?;
            }
            out.push(b'}');
        }
        _ => string(&text(array, row)?, out)?,
    }
    Ok(())
}

/// Arrays of the type NULL have no null bits, but nothing else in them.
pub(crate) fn is_null(array: &dyn Array, row: usize) -> bool {
    array.is_null(row) || matches!(array.data_type(), DataType::Null)
}

pub(super) fn comma(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

pub(super) fn string(text: &str, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, text).map_err(|error| ArrowError::JsonError(error.to_string()))
}

fn double(value: f64, out: &mut Vec<u8>) -> Result<()> {
    match value {
        v if v.is_nan() => out.extend_from_slice(b"\"NaN\""),
        f64::INFINITY => out.extend_from_slice(b"\"Infinity\""),
        f64::NEG_INFINITY => out.extend_from_slice(b"\"-Infinity\""),
        v => write!(out, "{}", serde_json::Value::from(v))?,
    }
    Ok(())
}

fn integer(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match array.data_type() {
        DataType::Int8 => write!(out, "{}", array.as_primitive::<Int8Type>().value(row))?,
        DataType::Int16 => write!(out, "{}", array.as_primitive::<Int16Type>().value(row))?,
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row))?,
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row))?,
        DataType::UInt8 => write!(out, "{}", array.as_primitive::<UInt8Type>().value(row))?,
        DataType::UInt16 => write!(out, "{}", array.as_primitive::<UInt16Type>().value(row))?,
        DataType::UInt32 => write!(out, "{}", array.as_primitive::<UInt32Type>().value(row))?,
        _ => write!(out, "{}", array.as_primitive::<UInt64Type>().value(row))?,
    }
    Ok(())
}

fn list(array: &dyn Array, row: usize, options: Options, out: &mut Vec<u8>) -> Result<()> {
    let items = match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value(row),
        DataType::LargeList(_) => array.as_list::<i64>().value(row),
        _ => array.as_fixed_size_list().value(row),
    };
    out.push(b'[');
    for index in 0..items.len() {
        comma(index, out);
        json(&items, index, options, out)?;
    }
    out.push(b']');
    Ok(())
}

/// A cell that is not NULL, as plain text; nested ones as JSON.
pub(crate) fn text(array: &dyn Array, row: usize) -> Result<String> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Timestamp(unit, zone) => instant(array, row, *unit, zone.as_deref())?,
        data_type if data_type.is_nested() => {
            let mut out = Vec::new();
            json(array, row, Options::default(), &mut out)?;
            String::from_utf8_lossy(&out).into_owned()
        }
        _ => {
            ArrayFormatter::try_new(array, &FormatOptions::default())?.value(row).try_to_string()?
        }
    })
}

/// RFC 3339; without an offset when the type has no zone.
fn instant(array: &dyn Array, row: usize, unit: TimeUnit, zone: Option<&str>) -> Result<String> {
    let (seconds, nanos) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 0),
        TimeUnit::Millisecond => {
            let v = array.as_primitive::<TimestampMillisecondType>().value(row);
            (v.div_euclid(1_000), v.rem_euclid(1_000) * 1_000_000)
        }
        TimeUnit::Microsecond => {
            let v = array.as_primitive::<TimestampMicrosecondType>().value(row);
            (v.div_euclid(1_000_000), v.rem_euclid(1_000_000) * 1_000)
        }
        TimeUnit::Nanosecond => {
            let v = array.as_primitive::<TimestampNanosecondType>().value(row);
            (v.div_euclid(1_000_000_000), v.rem_euclid(1_000_000_000))
        }
    };
    // Out of the calendar's range: the number says more than nothing.
    let Some(utc) = DateTime::from_timestamp(seconds, nanos as u32) else {
        return Ok(seconds.to_string());
    };
    Ok(match zone {
        None => utc.naive_utc().format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
        Some("UTC" | "+00:00" | "Z") => utc.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        Some(zone) => {
            utc.with_timezone(&zone.parse::<Tz>()?).to_rfc3339_opts(SecondsFormat::AutoSi, true)
        }
    })
}
