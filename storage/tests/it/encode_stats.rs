//! What is claimed of a file holds for its rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::TimestampMicrosecondType;
use proptest::prelude::*;
use schema::{Catalog, TableDef};
use storage::encode::stats::less;
use storage::encode::{days, write};
use storage::{ColumnStats, FileStats, StatValue};

use crate::encode_rows::{rows, shared};

fn metrics() -> Arc<TableDef> {
    Catalog::default().get("metrics").unwrap().clone()
}

/// Made-up metrics with some columns replaced, encoded: their statistics.
fn encoded(columns: &[(&str, ArrayRef)]) -> (RecordBatch, FileStats) {
    let table = metrics();
    let batch = rows(&table, columns[0].1.len(), 1, 5);
    let mut all = batch.columns().to_vec();
    for (name, column) in columns {
        all[table.schema.index_of(name).unwrap()] = column.clone();
    }
    let batch = RecordBatch::try_new(table.schema.clone(), all).unwrap();
    let batches = shared(&table, std::slice::from_ref(&batch));
    let days = days(&table, &batches).unwrap();
    let stats = write(&table, &batches, &days[0], Vec::new()).unwrap().stats;
    (batch, stats)
}

fn holds(stats: &ColumnStats, value: &StatValue) -> bool {
    stats.min.as_ref().is_none_or(|min| !less(value, min))
        && stats.max.as_ref().is_none_or(|max| !less(max, value))
}

fn assert_held(
    stats: &FileStats,
    name: &str,
    column: &dyn Array,
    values: impl Iterator<Item = StatValue>,
) {
    let stats = &stats[name];
    assert_eq!(stats.null_count, Some(column.null_count() as u64), "{name}");
    for value in values {
        assert!(holds(stats, &value), "{name}: {value:?} {stats:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Scenario: any doubles, integers, texts and flags, with nulls, become a file.
    /// Guarantees: every value lies within the bounds, null counts are exact,
    /// and a column with a NaN has no bounds, so that its rows are never pruned.
    #[test]
    fn every_value_lies_within_the_bounds(
        cells in proptest::collection::vec((
            proptest::option::of(any::<f64>()),
            proptest::option::of(any::<i64>()),
            proptest::option::of(".{0,90}"),
            proptest::option::of(any::<bool>()),
        ), 1..40),
    ) {
        let doubles: Float64Array = cells.iter().map(|c| c.0).collect();
        let ints: Int64Array = cells.iter().map(|c| c.1).collect();
        let texts: StringArray = cells.iter().map(|c| c.2.as_deref()).collect();
        let flags: BooleanArray = cells.iter().map(|c| c.3).collect();
        let (batch, stats) = encoded(&[
            ("value", Arc::new(doubles.clone())),
            ("value_int", Arc::new(ints.clone())),
            ("unit", Arc::new(texts.clone())),
            ("is_monotonic", Arc::new(flags.clone())),
        ]);
        let numbers = doubles.iter().flatten().filter(|v| !v.is_nan());
        assert_held(&stats, "value", &doubles, numbers.map(StatValue::Double));
        assert_held(&stats, "value_int", &ints, ints.iter().flatten().map(StatValue::Int));
        assert_held(&stats, "unit", &texts, texts.iter().flatten().map(|t| StatValue::Text(t.into())));
        assert_held(&stats, "is_monotonic", &flags, flags.iter().flatten().map(StatValue::Bool));
        let time = batch["time"].as_primitive::<TimestampMicrosecondType>();
        assert_held(&stats, "time", time, time.iter().flatten().map(StatValue::Timestamp));
        if doubles.iter().flatten().any(f64::is_nan) {
            prop_assert_eq!((&stats["value"].min, &stats["value"].max), (&None, &None));
        }
    }
}

/// Scenario: the values that break statistics: both zeros, infinities, the
/// largest and smallest doubles, texts longer than a bound that end in
/// characters without a successor.
/// Guarantees: bounds hold, infinity is no bound, and no text bound is long.
#[test]
fn awkward_values_stay_within() {
    let sets: [&[f64]; 6] = [
        &[-0.0],
        &[0.0, -0.0],
        &[f64::NEG_INFINITY, 1.0],
        &[f64::INFINITY],
        &[f64::MAX, f64::MIN],
        &[5e-324, -5e-324, 0.1 + 0.2],
    ];
    for values in sets {
        let column = Float64Array::from(values.to_vec());
        let (_, stats) = encoded(&[("value", Arc::new(column.clone()))]);
        assert_held(&stats, "value", &column, values.iter().copied().map(StatValue::Double));
        for bound in [&stats["value"].min, &stats["value"].max].into_iter().flatten() {
            assert!(matches!(bound, StatValue::Double(value) if value.is_finite()));
        }
    }
    for tail in ["zz", "\u{D7FF}z", "\u{10FFFF}z", "é\u{10FFFF}\u{10FFFF}"] {
        for text in [format!("{}{tail}", "a".repeat(63)), "\u{10FFFF}".repeat(200) + tail] {
            let column = StringArray::from(vec![text.as_str()]);
            let (_, stats) = encoded(&[("unit", Arc::new(column.clone()))]);
            assert_held(&stats, "unit", &column, std::iter::once(StatValue::Text(text)));
            let long =
                |bound: &StatValue| matches!(bound, StatValue::Text(text) if text.len() > 256);
            let unit = &stats["unit"];
            assert!(!unit.min.as_ref().is_some_and(long) && !unit.max.as_ref().is_some_and(long));
        }
    }
}
