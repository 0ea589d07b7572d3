//! Text columns of many pages, whatever their values are like.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapBuilder, MapFieldNames, RecordBatch};
use arrow::array::{StringArray, StringBuilder};
use parquet::basic::Encoding;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use schema::Catalog;

use crate::encode_rows::{come_back, rows};

const ROWS: usize = 10_000;

fn texts(text: impl Fn(usize) -> Option<String>) -> ArrayRef {
    Arc::new((0..ROWS).map(text).collect::<StringArray>())
}

fn builder() -> MapBuilder<StringBuilder, StringBuilder> {
    let names =
        MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

/// Maps that many rows share: of none to 29 entries, some without a value, one without
/// a map; `longest` are the bytes of their longest texts.
fn alike(longest: usize) -> ArrayRef {
    let mut maps = builder();
    for row in 0..ROWS {
        let of = row * 7919 % 600;
        for entry in 0..of % 30 {
            maps.keys().append_value(format!("key.{entry}"));
            let text = format!("pool-{of} {}", "x".repeat(longest * usize::from(entry == 3)));
            maps.values().append_option((entry % 11 > 0).then_some(text));
        }
        maps.append(of != 17).unwrap();
    }
    Arc::new(maps.finish())
}

/// Maps of up to three entries, some rows without one, values that are unique,
/// few and none.
fn maps() -> ArrayRef {
    let mut maps = builder();
    for row in 0..ROWS {
        for entry in 0..row % 4 {
            maps.keys().append_value(format!("key.{entry}"));
            maps.values().append_option(match entry {
                0 => Some(format!("request {row} {}", "y".repeat(200))),
                1 => Some(format!("pool-{}", row % 7)),
                _ => None,
            });
        }
        maps.append(row % 5 > 0).unwrap();
    }
    Arc::new(maps.finish())
}

/// Encodings of the data pages of a leaf.
fn encodings(footer: &ParquetMetaData, path: &str) -> Vec<Encoding> {
    let columns = footer.row_group(0).columns();
    let column = columns.iter().find(|column| column.column_path().string() == path).unwrap();
    column.page_encoding_stats_mask().unwrap().encodings().collect()
}

/// Scenario: ten thousand rows in three batches whose texts are few, unique, more
/// than a dictionary holds, long and absent, flat, in maps and in maps that rows share.
/// Guarantees: a plain reader gets back what went in; few texts are written as
/// codes, unique ones as they are; each page's bounds hold for its rows.
#[test]
fn texts_of_every_kind_come_back() {
    let spans = Catalog::default().get("spans").unwrap().clone();
    let made_up = rows(&spans, ROWS, 1, 3);
    let mut columns = made_up.columns().to_vec();
    for (name, column) in [
        ("name", texts(|row| Some(format!("GET /items/{}", row % 40)))),
        ("span_id", texts(|row| (row % 50 > 0).then(|| format!("{row:016x}")))),
        ("status_message", texts(|row| Some(format!("{} {}", "m".repeat(600), row / 2)))),
        ("trace_state", texts(|row| (row > 9_900).then(|| "z".repeat(70 + row % 3)))),
        ("url.path", texts(|_| None)),
        ("attributes", maps()),
        ("resource_attributes", alike(9)),
        ("scope_attributes", alike(4_000)),
    ] {
        columns[spans.schema.index_of(name).unwrap()] = column;
    }
    let whole = RecordBatch::try_new(spans.schema.clone(), columns).unwrap();
    let plain = [whole.slice(0, 6_000), whole.slice(6_000, 1), whole.slice(6_001, 3_999)];
    let (footer, read) = come_back(&spans, &plain);

    let (coded, plain) = ([Encoding::RLE_DICTIONARY], [Encoding::PLAIN]);
    assert_eq!(encodings(&footer, "name"), coded);
    assert_eq!(encodings(&footer, "url.path"), coded);
    assert_eq!(encodings(&footer, "span_id"), plain);
    assert_eq!(encodings(&footer, "status_message"), plain);
    assert_eq!(encodings(&footer, "attributes.key_value.key"), coded);
    assert_eq!(encodings(&footer, "attributes.key_value.value"), plain);
    assert_eq!(encodings(&footer, "resource_attributes.key_value.value"), coded);
    assert_eq!(encodings(&footer, "scope_attributes.key_value.key"), coded);
    assert_eq!(encodings(&footer, "scope_attributes.key_value.value"), plain);

    let (bounds, pages) = (&footer.column_index().unwrap()[0], &footer.offset_index().unwrap()[0]);
    let mut looked_at = 0;
    for (leaf, column) in footer.row_group(0).columns().iter().enumerate() {
        let ColumnIndexMetaData::BYTE_ARRAY(bounds) = &bounds[leaf] else { continue };
        let rows = read[column.column_path().string().as_str()].as_string::<i32>();
        let starts = pages[leaf].page_locations.iter().map(|page| page.first_row_index as usize);
        let ends = starts.clone().skip(1).chain([ROWS]);
        for (page, (start, end)) in starts.zip(ends).enumerate() {
            let rows = rows.slice(start, end - start);
            assert_eq!(bounds.null_count(page), Some(rows.null_count() as i64));
            assert_eq!(bounds.is_null_page(page), rows.null_count() == rows.len());
            for text in rows.iter().flatten().map(str::as_bytes) {
                assert!(bounds.min_value(page).unwrap() <= text);
                assert!(bounds.max_value(page).unwrap() >= text);
            }
            looked_at += 1;
        }
    }
    assert!(looked_at > 3 * 20, "{looked_at}");
}
