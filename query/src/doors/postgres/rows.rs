//! Batches as rows of PostgreSQL's: text and binary, one whole message each.
//!
//! The common types are written here, without a detour; `arrow-pg` writes the
//! rest, and [`crate::render`] what nests, as JSON.

use std::fmt::{Display, LowerExp, Write};

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Schema, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_pg::encoder::{Encoder, encode_value};
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta};
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::RowDescription;
use pgwire::types::ToSqlText;
use postgres_types::{IsNull, ToSql};

use super::frontend::Formats;
use super::status::Refusal;
use crate::catalog::postgres::types;
use crate::render::value;

/// From 1970 to 2000, where PostgreSQL begins to count.
pub(super) const EPOCH_DAYS: i32 = 10_957;
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// Bytes of one row.
const MAX_ROW: usize = 256 << 20;

/// The columns of an answer as a client asked to see them.
#[derive(Debug)]
pub(super) struct Columns(Vec<Column>);

#[derive(Debug)]
struct Column {
    field: Field,
    info: FieldInfo,
    zone: Option<Tz>,
}

impl Columns {
    /// `zone` is that of the connection, in which instants are shown.
    pub fn new(schema: &Schema, formats: &Formats, zone: Option<&str>) -> Columns {
        let shown: Option<Tz> = zone.and_then(|zone| zone.parse().ok());
        let columns = schema.fields().iter().enumerate().map(|(index, field)| {
            let of = types::of(field);
            let format = match formats.is_binary(index) {
                true => FieldFormat::Binary,
                false => FieldFormat::Text,
            };
            let length = types::length(&of);
            let info = FieldInfo::new(field.name().clone(), None, None, of, format);
            let zone = match field.data_type() {
                DataType::Timestamp(_, Some(own)) => shown.or_else(|| own.parse().ok()),
                _ => None,
            };
            Column { field: field.as_ref().clone(), info: info.with_type_size(length), zone }
        });
        Columns(columns.collect())
    }

    pub fn description(&self) -> PgWireBackendMessage {
        let fields = self.0.iter().map(|column| (&column.info).into()).collect();
        PgWireBackendMessage::RowDescription(RowDescription::new(fields))
    }

    /// Whether rows of another schema look the same.
    pub fn match_with(&self, schema: &Schema) -> bool {
        let fields = schema.fields();
        fields.len() == self.0.len()
            && self.0.iter().zip(fields).all(|(c, f)| *c.info.datatype() == types::of(f))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends a row as a `DataRow`, whole or not at all.
    pub fn data_row(
        &self,
        batch: &RecordBatch,
        row: usize,
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        let before = out.len();
        out.put_slice(b"D\0\0\0\0");
        let written =
            self.row(batch, row, out).and_then(|()| fill_length(before + 1, before + 1, out));
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    /// Appends a row's count of cells and its cells.
    pub fn row(&self, batch: &RecordBatch, row: usize, out: &mut BytesMut) -> Result<(), Refusal> {
        out.put_i16(self.0.len() as i16);
        for (column, array) in self.0.iter().zip(batch.columns()) {
            let start = out.len();
            out.put_i32(-1);
            if !value::is_null(array, row) {
                column.cell(array, row, out)?;
                fill_length(start, start + 4, out)?;
            }
        }
        Ok(())
    }

    /// Appends a cell as text; false when it is NULL.
    pub fn text(
        &self,
        column: usize,
        batch: &RecordBatch,
        row: usize,
        out: &mut BytesMut,
    ) -> Result<bool, Refusal> {
        let array = batch.column(column);
        let null = value::is_null(array, row);
        if !null {
            self.0[column].cell(array, row, out)?;
        }
        Ok(!null)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|column| column.info.name())
    }
}

/// Puts the bytes from `counted` on into the place that was kept at `at`.
fn fill_length(at: usize, counted: usize, out: &mut BytesMut) -> Result<(), Refusal> {
    let length = out.len() - counted;
    if length > MAX_ROW {
        return Err(Refusal::new("54000", format!("a row has more than {MAX_ROW} bytes"))
            .with_hint("select fewer columns"));
    }
    out[at..at + 4].copy_from_slice(&(length as i32).to_be_bytes());
    Ok(())
}

fn failed(error: impl Display) -> Refusal {
    Refusal::new("22P03", format!("a value cannot be shown: {error}"))
}

impl Column {
    /// Appends a cell that is not NULL.
    fn cell(&self, array: &ArrayRef, row: usize, out: &mut BytesMut) -> Result<(), Refusal> {
        let binary = self.info.format() == FieldFormat::Binary;
        let data_type = array.data_type();
        match data_type {
            DataType::Boolean => match (array.as_boolean().value(row), binary) {
                (value, true) => out.put_u8(value.into()),
                (true, false) => out.put_u8(b't'),
                (false, false) => out.put_u8(b'f'),
            },
            DataType::Int8 => {
                let value = i16::from(array.as_primitive::<Int8Type>().value(row));
                if binary { out.put_i16(value) } else { shown(value, out) }
            }
            DataType::Int16 => {
                let value = array.as_primitive::<Int16Type>().value(row);
                if binary { out.put_i16(value) } else { shown(value, out) }
            }
            DataType::Int32 => {
                let value = array.as_primitive::<Int32Type>().value(row);
                if binary { out.put_i32(value) } else { shown(value, out) }
            }
            DataType::Int64 => {
                let value = array.as_primitive::<Int64Type>().value(row);
                if binary { out.put_i64(value) } else { shown(value, out) }
            }
            DataType::Float32 => {
                let value = array.as_primitive::<Float32Type>().value(row);
                if binary { out.put_f32(value) } else { float(value.into(), value, out) }
            }
            DataType::Float64 => {
                let value = array.as_primitive::<Float64Type>().value(row);
                if binary { out.put_f64(value) } else { float(value, value, out) }
            }
            DataType::Utf8 => out.put_slice(array.as_string::<i32>().value(row).as_bytes()),
            DataType::LargeUtf8 => out.put_slice(array.as_string::<i64>().value(row).as_bytes()),
            DataType::Utf8View => out.put_slice(array.as_string_view().value(row).as_bytes()),
            DataType::Binary => bytea(array.as_binary::<i32>().value(row), binary, out),
            DataType::LargeBinary => bytea(array.as_binary::<i64>().value(row), binary, out),
            DataType::BinaryView => bytea(array.as_binary_view().value(row), binary, out),
            DataType::Date32 if binary => {
                let days = array.as_primitive::<Date32Type>().value(row);
                out.put_i32(days.saturating_sub(EPOCH_DAYS));
            }
            DataType::Timestamp(unit, zone) => {
                let micros = micros(array, row, *unit);
                match (binary, zone) {
                    (true, _) => out.put_i64(micros.saturating_sub(EPOCH_MICROS)),
                    (false, None) => time(micros, None, out),
                    (false, Some(_)) => time(micros, Some(self.zone), out),
                }
            }
            _ if *self.info.datatype() == Type::JSON || !ported(data_type) => {
                out.put_slice(value::text(array, row).map_err(failed)?.as_bytes());
            }
            _ => {
                encode_value(&mut Cell(out), array, row, &self.field, &self.info).map_err(failed)?
            }
        }
        Ok(())
    }
}

/// What `arrow-pg` writes as the type that it says.
fn ported(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        UInt8
            | UInt16
            | UInt32
            | UInt64
            | Decimal128(_, _)
            | Date32
            | Date64
            | Time32(_)
            | Time64(_)
            | Interval(_)
            | Duration(_)
            | List(_)
            | LargeList(_)
            | FixedSizeList(_, _)
            | FixedSizeBinary(_)
            | Dictionary(_, _)
    )
}

/// One cell, as `arrow-pg` hands it over.
struct Cell<'a>(&'a mut BytesMut);

impl Encoder for Cell<'_> {
    type Item = ();

    fn encode_field<T: ToSql + ToSqlText>(
        &mut self,
        value: &T,
        to: &FieldInfo,
    ) -> PgWireResult<()> {
        let written = match to.format() {
            FieldFormat::Text => value.to_sql_text(to.datatype(), self.0, to.format_options()),
            FieldFormat::Binary => value.to_sql(to.datatype(), self.0),
        };
        match written.map_err(PgWireError::ApiError)? {
            IsNull::No => Ok(()),
            IsNull::Yes => Err(PgWireError::ApiError("it is out of range".into())),
        }
    }

    fn take_row(&mut self) {}
}

fn shown(value: impl Display, out: &mut BytesMut) {
    // Writing to memory cannot fail.
    write!(out, "{value}").ok();
}

/// The shortest digits that give the same number; as PostgreSQL, with an
/// exponent where there would be many zeros.
fn float(value: f64, own: impl Display + LowerExp, out: &mut BytesMut) {
    let size = value.abs();
    if value.is_nan() {
        out.put_slice(b"NaN");
    } else if value.is_infinite() {
        out.put_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if size == 0.0 || (1e-4..1e15).contains(&size) {
        shown(own, out);
    } else {
        let text = format!("{own:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        write!(out, "{digits}e{sign}{exponent:0>2}").ok();
    }
}

fn bytea(value: &[u8], binary: bool, out: &mut BytesMut) {
    if binary {
        return out.put_slice(value);
    }
    out.put_slice(b"\\x");
    for byte in value {
        write!(out, "{byte:02x}").ok();
    }
}

fn micros(array: &ArrayRef, row: usize, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => {
            array.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000_000)
        }
        TimeUnit::Millisecond => {
            array.as_primitive::<TimestampMillisecondType>().value(row).saturating_mul(1_000)
        }
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => {
            array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000)
        }
    }
}

/// `2026-11-23 10:00:00.5+00`; `zone` is there for an instant, and empty inside
/// when it is not known (then it is UTC).
fn time(micros: i64, zone: Option<Option<Tz>>, out: &mut BytesMut) {
    let Some(utc) = DateTime::from_timestamp_micros(micros) else {
        // Out of the calendar: what PostgreSQL calls it.
        return out.put_slice(if micros > 0 { b"infinity" } else { b"-infinity" });
    };
    let offset = match zone.flatten() {
        Some(zone) => utc.with_timezone(&zone).offset().fix().local_minus_utc(),
        None => 0,
    };
    let utc: NaiveDateTime = utc.naive_utc();
    let local = utc.checked_add_signed(TimeDelta::seconds(offset.into())).unwrap_or(utc);
    write!(out, "{}", local.format("%Y-%m-%d %H:%M:%S")).ok();
    let fraction = micros.rem_euclid(1_000_000);
    if fraction != 0 {
        out.put_slice(format!(".{fraction:06}").trim_end_matches('0').as_bytes());
    }
    if zone.is_some() {
        let (sign, ahead) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
        write!(out, "{sign}{:02}", ahead / 3_600).ok();
        if ahead % 3_600 != 0 {
            write!(out, ":{:02}", ahead % 3_600 / 60).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// Scenario: numbers, and instants in zones, as PostgreSQL 16 prints them.
    /// Guarantees: the same text.
    #[test]
    fn values_read_as_in_postgres() {
        for (value, shown) in [
            (0.0, "0"),
            (0.1, "0.1"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (1e15, "1e+15"),
            (1.2345678901234568e17, "1.2345678901234568e+17"),
            (0.00001, "1e-05"),
            (1e-300, "1e-300"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|out| float(value, value, out)), shown);
        }
        let zone = |name: &str| Some(Some(name.parse::<Tz>().unwrap()));
        let at = 1_795_428_000_000_000;
        assert_eq!(text(|out| time(at, zone("UTC"), out)), "2026-11-23 10:00:00+00");
        assert_eq!(text(|out| time(at + 500_000, None, out)), "2026-11-23 10:00:00.5");
        assert_eq!(text(|out| time(at, zone("+05:30"), out)), "2026-11-23 15:30:00+05:30");
        assert_eq!(text(|out| time(at, zone("-08:00"), out)), "2026-11-23 02:00:00-08");
        assert_eq!(text(|out| bytea(&[0, 255], false, out)), "\\x00ff");
    }
}
