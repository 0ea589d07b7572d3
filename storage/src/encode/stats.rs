//! Bounds and null counts per column, gathered while a file is written.
//!
//! Sound before tight: a bound may lie outside what occurs, never inside.
//! Text is cut to [`TEXT_CHARS`] (a maximum is then rounded up), floats are
//! widened (JSON does not bring every double back to the last bit), a column
//! with a NaN has no bounds at all, and ±infinity is no bound.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, max_boolean, max_string, min, min_boolean, min_string};
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};

use crate::{ColumnStats, FileStats, StatValue};

/// Characters of a text bound: enough to tell paths and ids apart, short
/// enough for a log that is read whole.
pub const TEXT_CHARS: usize = 64;

/// Gathers the statistics of one file.
#[derive(Debug)]
pub struct Gather {
    columns: Vec<Column>,
    exact: bool,
}

#[derive(Debug)]
struct Column {
    name: String,
    index: usize,
    rows: Bounds,
    nulls: u64,
}

#[derive(Debug, Default)]
struct Bounds {
    min: Option<StatValue>,
    max: Option<StatValue>,
    /// No bound can hold any more.
    open_min: bool,
    open_max: bool,
}

/// Whether a column of this type gets bounds.
pub fn bounded(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int32
            | DataType::Int64
            | DataType::Float64
            | DataType::Utf8
            | DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}

impl Gather {
    pub fn new(schema: &SchemaRef) -> Gather {
        let fields = schema.fields().iter().enumerate();
        let columns =
            fields.filter(|(_, field)| bounded(field.data_type())).map(|(index, field)| Column {
                name: field.name().clone(),
                index,
                rows: Bounds::default(),
                nulls: 0,
            });
        Gather { columns: columns.collect(), exact: false }
    }

    /// Bounds as they are, neither cut nor widened: to check others against.
    pub fn exact(schema: &SchemaRef) -> Gather {
        Gather { exact: true, ..Gather::new(schema) }
    }

    /// Takes in more rows, of the schema given to [`new`](Self::new).
    pub fn add(&mut self, rows: &RecordBatch) {
        for column in &mut self.columns {
            let array = rows.column(column.index);
            column.nulls += array.null_count() as u64;
            column.rows.add(array, self.exact);
        }
    }

    pub fn finish(self) -> FileStats {
        let stats = |column: Column| {
            let Bounds { min, max, open_min, open_max } = column.rows;
            let stats = ColumnStats {
                min: min.filter(|_| !open_min),
                max: max.filter(|_| !open_max),
                null_count: Some(column.nulls),
            };
            (column.name, stats)
        };
        self.columns.into_iter().map(stats).collect()
    }
}

impl Bounds {
    fn add(&mut self, array: &ArrayRef, exact: bool) {
        match array.data_type() {
            DataType::Boolean => {
                let array = array.as_boolean();
                self.widen(min_boolean(array), max_boolean(array), StatValue::Bool);
            }
            DataType::Int32 => {
                let array = array.as_primitive::<Int32Type>();
                self.widen(min(array).map(i64::from), max(array).map(i64::from), StatValue::Int);
            }
            DataType::Int64 => {
                let array = array.as_primitive::<Int64Type>();
                self.widen(min(array), max(array), StatValue::Int);
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let array = array.as_primitive::<TimestampMicrosecondType>();
                self.widen(min(array), max(array), StatValue::Timestamp);
            }
            DataType::Float64 => array
                .as_primitive::<Float64Type>()
                .iter()
                .flatten()
                .for_each(|value| self.double(value, exact)),
            DataType::Utf8 => {
                let array = array.as_string::<i32>();
                if let (Some(low), Some(high)) = (min_string(array), max_string(array)) {
                    self.text(low, high, exact);
                }
            }
            _ => {}
        }
    }

    fn widen<T: PartialOrd>(&mut self, low: Option<T>, high: Option<T>, value: fn(T) -> StatValue) {
        let (Some(low), Some(high)) = (low.map(value), high.map(value)) else { return };
        if self.min.as_ref().is_none_or(|known| less(&low, known)) {
            self.min = Some(low);
        }
        if self.max.as_ref().is_none_or(|known| less(known, &high)) {
            self.max = Some(high);
        }
    }

    fn double(&mut self, value: f64, exact: bool) {
        if value.is_nan() {
            (self.open_min, self.open_max) = (true, true);
            return;
        }
        if exact {
            return self.widen(Some(value), Some(value), StatValue::Double);
        }
        // Sixteen units in the last place: more than two JSON round trips
        // lose. The smallest normal number also sets ±0.0 inside.
        let slack = value.abs().min(f64::MAX) * 16.0 * f64::EPSILON + f64::MIN_POSITIVE;
        self.open_min |= value == f64::NEG_INFINITY;
        self.open_max |= value == f64::INFINITY;
        let low = (value - slack).clamp(f64::MIN, f64::MAX);
        let high = (value + slack).clamp(f64::MIN, f64::MAX);
        self.widen(Some(low), Some(high), StatValue::Double);
    }

    fn text(&mut self, low: &str, high: &str, exact: bool) {
        if exact {
            return self.widen(Some(low.to_owned()), Some(high.to_owned()), StatValue::Text);
        }
        let low = floor(low);
        match ceiling(high) {
            Some(high) => self.widen(Some(low), Some(high), StatValue::Text),
            None => {
                self.open_max = true;
                self.widen(Some(low.clone()), Some(low), StatValue::Text);
            }
        }
    }
}

/// Order within one kind of value; values of two kinds never meet in a column.
pub fn less(a: &StatValue, b: &StatValue) -> bool {
    match (a, b) {
        (StatValue::Bool(a), StatValue::Bool(b)) => a < b,
        (StatValue::Int(a), StatValue::Int(b)) => a < b,
        (StatValue::Timestamp(a), StatValue::Timestamp(b)) => a < b,
        (StatValue::Double(a), StatValue::Double(b)) => a < b,
        (StatValue::Text(a), StatValue::Text(b)) => a < b,
        _ => false,
    }
}

/// A text no greater, at most [`TEXT_CHARS`] long.
fn floor(text: &str) -> String {
    text.chars().take(TEXT_CHARS).collect()
}

/// A text no smaller, at most [`TEXT_CHARS`] long; `None` if there is none.
/// UTF-8 orders as code points do, so the last character that has a successor
/// is raised and what follows it dropped.
fn ceiling(text: &str) -> Option<String> {
    if text.chars().nth(TEXT_CHARS).is_none() {
        return Some(text.to_owned());
    }
    let mut kept: Vec<char> = text.chars().take(TEXT_CHARS).collect();
    while let Some(last) = kept.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            kept.push(next);
            return Some(kept.into_iter().collect());
        }
    }
    None
}

/// The statistics of rows that are all in memory.
pub fn of(rows: &RecordBatch) -> FileStats {
    let schema = Arc::clone(rows.schema_ref());
    let mut gather = Gather::new(&schema);
    gather.add(rows);
    gather.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a text longer than a bound, ending in characters that have no
    /// successor, or none that is valid.
    /// Guarantees: a cut minimum is no greater, a cut maximum no smaller.
    #[test]
    fn cut_text_bounds_still_hold() {
        let filler = "a".repeat(TEXT_CHARS - 1);
        for tail in ["zz", "\u{D7FF}z", "\u{10FFFF}z", "é\u{10FFFF}"] {
            let text = format!("{filler}{tail}");
            assert!(floor(&text) <= text);
            let high = ceiling(&text).unwrap();
            assert!(high > text && high.chars().count() <= TEXT_CHARS, "{high:?}");
        }
        assert_eq!(ceiling(&"\u{10FFFF}".repeat(TEXT_CHARS + 1)), None);
        assert_eq!(ceiling("short"), Some("short".into()));
    }
}
