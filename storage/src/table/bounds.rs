//! Bounds as they are, neither cut nor widened: what others are held against.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, max_boolean, max_string, min, min_boolean, min_string};
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

use crate::encode::stats::less;
use crate::{ColumnStats, FileStats, StatValue};

/// Takes in rows of one schema, batch by batch. NaN has no place in an order
/// and is passed over.
#[derive(Debug, Default)]
pub struct Bounds(BTreeMap<String, ColumnStats>);

impl Bounds {
    pub fn add(&mut self, rows: &RecordBatch) {
        for (field, array) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            let known = self.0.entry(field.name().clone()).or_default();
            *known.null_count.get_or_insert(0) += array.null_count() as u64;
            let (low, high) = ends(array);
            widen(known, low, high);
        }
    }

    pub fn finish(self) -> FileStats {
        self.0.into_iter().collect()
    }
}

fn widen(known: &mut ColumnStats, low: Option<StatValue>, high: Option<StatValue>) {
    if let Some(low) = low
        && known.min.as_ref().is_none_or(|min| less(&low, min))
    {
        known.min = Some(low);
    }
    if let Some(high) = high
        && known.max.as_ref().is_none_or(|max| less(max, &high))
    {
        known.max = Some(high);
    }
}

fn ends(array: &ArrayRef) -> (Option<StatValue>, Option<StatValue>) {
    match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            (min_boolean(array).map(StatValue::Bool), max_boolean(array).map(StatValue::Bool))
        }
        DataType::Int32 => {
            let array = array.as_primitive::<Int32Type>();
            let value = |value: i32| StatValue::Int(value.into());
            (min(array).map(value), max(array).map(value))
        }
        DataType::Int64 => {
            let array = array.as_primitive::<Int64Type>();
            (min(array).map(StatValue::Int), max(array).map(StatValue::Int))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let array = array.as_primitive::<TimestampMicrosecondType>();
            (min(array).map(StatValue::Timestamp), max(array).map(StatValue::Timestamp))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().iter().flatten();
            let mut numbers = values.filter(|value| !value.is_nan());
            let Some(first) = numbers.next() else { return (None, None) };
            let ends = numbers.fold((first, first), |(low, high), v| (low.min(v), high.max(v)));
            (Some(StatValue::Double(ends.0)), Some(StatValue::Double(ends.1)))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            let value = |value: &str| StatValue::Text(value.to_owned());
            (min_string(array).map(value), max_string(array).map(value))
        }
        _ => (None, None),
    }
}
