//! Numeric columns of many pages: by codes, by differences, as they are.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Float64Builder, Int32Array, Int64Array, Int64Builder, ListBuilder,
    RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType::{Float64, Int64};
use parquet::basic::Encoding::{DELTA_BINARY_PACKED, PLAIN, RLE_DICTIONARY};
use schema::Catalog;
use schema::tables::common::list_field;

use crate::encode_rows::{DAY, come_back, rows};

const ROWS: usize = 40_000;

fn ints(number: impl Fn(usize) -> Option<usize>) -> ArrayRef {
    let number = |row| number(row).map(|number| number as i64);
    Arc::new((0..ROWS).map(number).collect::<Int64Array>())
}

fn doubles(number: impl Fn(usize) -> Option<f64>) -> ArrayRef {
    Arc::new((0..ROWS).map(number).collect::<Float64Array>())
}

/// Counts of up to 16 buckets, in every third stretch of rows.
fn counts() -> ArrayRef {
    let mut lists = ListBuilder::new(Int64Builder::new()).with_field(list_field(Int64));
    for row in 0..ROWS {
        let counts = (0..row % 17).map(|bucket| (row / 9 * bucket % 50) as i64);
        lists.values().extend(counts.map(Some));
        lists.append(row / 1_000 % 3 == 0);
    }
    Arc::new(lists.finish())
}

/// Bounds of as many, one of which is not told.
fn bounds() -> ArrayRef {
    let mut lists = ListBuilder::new(Float64Builder::new()).with_field(list_field(Float64));
    for row in 0..ROWS {
        let bounds = (0..row % 17).map(|bound| (bound != 3).then_some(bound as f64 / 4.0));
        lists.values().extend(bounds);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// Scenario: forty thousand metrics in three batches whose numbers are few, unique or
/// absent, flat and in lists.
/// Guarantees: a plain reader gets back what went in; few numbers are written by codes,
/// unique integers by their differences, and unique doubles as they are from where it
/// shows.
#[test]
fn numbers_of_every_kind_come_back() {
    let metrics = Catalog::default().get("metrics").unwrap().clone();
    let made_up = rows(&metrics, ROWS, 1, 3);
    let mut columns = made_up.columns().to_vec();
    let minute = |row| i64::from(DAY) * 86_400_000_000 + (row / 500) as i64 * 60_000_000;
    let minutes = TimestampMicrosecondArray::from_iter_values((0..ROWS).map(minute));
    let scales =
        Int32Array::from_iter((0..ROWS).map(|row| (row % 5 > 0).then_some(row as i32 % 9)));
    for (name, column) in [
        ("time", Arc::new(minutes.with_timezone("UTC")) as ArrayRef),
        ("time_unix_nano", ints(|row| Some(row * 1_000 + row % 7))),
        ("value", doubles(|row| Some(row as f64 / 7.0))),
        ("value_int", ints(|row| (row % 3_000 > 900).then_some(row % 40))),
        ("sum", doubles(|row| (row % 2 == 0).then_some([0.5, f64::NAN, -0.0][row % 3]))),
        ("min", doubles(|_| None)),
        ("scale", Arc::new(scales)),
        ("bucket_counts", counts()),
        ("explicit_bounds", bounds()),
    ] {
        columns[metrics.schema.index_of(name).unwrap()] = column;
    }
    let whole = RecordBatch::try_new(metrics.schema.clone(), columns).unwrap();
    let plain =
        [whole.slice(0, 26_000), whole.slice(26_000, 1), whole.slice(26_001, ROWS - 26_001)];
    let (footer, _) = come_back(&metrics, &plain);

    for (path, expected) in [
        ("time", &[RLE_DICTIONARY][..]),
        ("time_unix_nano", &[DELTA_BINARY_PACKED]),
        ("value", &[PLAIN, RLE_DICTIONARY]),
        ("value_int", &[RLE_DICTIONARY]),
        ("sum", &[RLE_DICTIONARY]),
        ("min", &[RLE_DICTIONARY]),
        ("scale", &[RLE_DICTIONARY]),
        ("bucket_counts.list.element", &[RLE_DICTIONARY]),
        ("explicit_bounds.list.element", &[RLE_DICTIONARY]),
    ] {
        let mut columns = footer.row_group(0).columns().iter();
        let column = columns.find(|column| column.column_path().string() == path).unwrap();
        let encodings = column.page_encoding_stats_mask().unwrap();
        assert_eq!(encodings.encodings().collect::<Vec<_>>(), expected, "{path}");
    }
}
