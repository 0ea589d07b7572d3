//! Every format over the same awkward rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};

use super::{Encoder, Expanded, Format, Options, transcode};
use crate::Summary;

fn rows() -> RecordBatch {
    let nanos = TimestampNanosecondArray::from(vec![Some(1_000_000_001), None, Some(-1)]);
    let zoned = TimestampMicrosecondArray::from(vec![Some(1_500_000), None, Some(0)]);
    RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(-1)])) as ArrayRef),
        ("d", Arc::new(Float64Array::from(vec![1.0, f64::NAN, f64::NEG_INFINITY])) as _),
        ("t, x", Arc::new(StringArray::from(vec![Some("a\"b,\r\n"), Some(""), None])) as _),
        ("at", Arc::new(nanos) as _),
        ("utc", Arc::new(zoned.with_timezone("UTC")) as _),
    ])
    .unwrap()
}

fn summary() -> Summary {
    Summary {
        versions: [("spans".to_owned(), Some(3)), ("logs".to_owned(), None)].into(),
        files_read: 1,
        files_pruned: 2,
        bytes_read: 3,
        rows: 3,
        elapsed_ms: 0.5,
        peak_memory_bytes: 0,
        truncated: true,
        incomplete: [("logs".to_owned(), "away".to_owned())].into(),
    }
}

fn encoded(format: Format, options: Options) -> String {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(format, rows().schema(), options).unwrap();
    encoder.head(&mut out);
    encoder.rows(&rows().slice(0, 2), &mut out).unwrap();
    encoder.rows(&rows().slice(2, 1), &mut out).unwrap();
    encoder.tail(&summary(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Scenario: extreme numbers, NULLs, quotes, times with and without a zone.
/// Guarantees: the document is JSON and holds exactly these values.
#[test]
fn json_is_exact() {
    let text = encoded(Format::Json, Options::default());
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!([
        [i64::MAX, 1.0, "a\"b,\r\n", "1970-01-01T00:00:01.000000001", "1970-01-01T00:00:01.500Z"],
        [null, "NaN", "", null, null],
        [-1, "-Infinity", null, "1969-12-31T23:59:59.999999999", "1970-01-01T00:00:00Z"],
    ]);
    assert_eq!(answer["rows"], expected);
    assert_eq!(answer["stats"]["versions"], serde_json::json!({"spans": 3, "logs": null}));
    assert_eq!(answer["truncated"], true);
    assert_eq!(answer["complete"], false);
    assert_eq!(answer["incomplete"]["logs"], "away");
    let text = encoded(Format::Json, Options { int64_as_text: true, ..Options::default() });
    assert!(text.contains("\"9223372036854775807\""));
}

/// Scenario: the same rows as CSV, as lines and as a table.
/// Guarantees: NULL and the empty text differ in CSV; control characters do
/// not reach a terminal; a cut is told.
#[test]
fn text_formats_keep_apart_what_differs() {
    let csv = encoded(Format::Csv, Options::default());
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines[0], "n,d,\"t, x\",at,utc");
    assert_eq!(lines[1], "9223372036854775807,1.0,\"a\"\"b,");
    assert_eq!(lines[3], ",NaN,\"\",,");
    assert_eq!(lines[4], "-1,-inf,,1969-12-31T23:59:59.999999999,1970-01-01T00:00:00Z");
    assert_eq!(encoded(Format::Ndjson, Options::default()).lines().count(), 3);
    let table = encoded(Format::Table, Options::default());
    assert!(table.contains("a\"b,\\r\\n") && !table.contains('\r'), "{table}");
    assert!(table.contains("NULL") && table.contains("(3 rows, cut at the row limit"), "{table}");
    assert!(table.contains("incomplete: logs: away"), "{table}");
}

/// Scenario: letters of two cells and of none, in a table as wide as the
/// terminal, in one too wide, and in one that is always expanded.
/// Guarantees: columns stay aligned by what is seen, and no line of the table
/// passes the terminal's edge unless a single value does.
#[test]
fn tables_are_aligned_and_fit() {
    let texts = StringArray::from(vec!["日本", "e\u{301}t", "abcd"]);
    let rows = RecordBatch::try_from_iter([
        ("naïve", Arc::new(texts) as ArrayRef),
        ("n", Arc::new(Int64Array::from(vec![1, 22, 333])) as _),
    ])
    .unwrap();
    let table = |expanded| {
        let options = Options { expanded, ..Options::default() };
        let mut encoder = Encoder::new(Format::Table, rows.schema(), options).unwrap();
        let mut out = Vec::new();
        encoder.rows(&rows, &mut out).unwrap();
        encoder.tail(&summary(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let flat = " naïve |   n\n-------+-----\n 日本  |   1\n e\u{301}t    |  22\n abcd  | 333\n";
    for fits in [Expanded::Never, Expanded::Beyond(13)] {
        assert!(table(fits).starts_with(flat), "{}", table(fits));
    }
    let long = "-[ row 1 ]-----\nnaïve | 日本\nn     | 1\n-[ row 2 ]-----\nnaïve | e\u{301}t\n";
    for wide in [Expanded::Always, Expanded::Beyond(12)] {
        assert!(table(wide).starts_with(long), "{}", table(wide));
        assert!(table(wide).contains("(3 rows"));
    }
}

/// Scenario: an Arrow stream is turned into CSV.
/// Guarantees: the same bytes as from the rows themselves.
#[test]
fn arrow_transcodes() {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(Format::Arrow, rows().schema(), Options::default()).unwrap();
    encoder.head(&mut bytes);
    encoder.rows(&rows(), &mut bytes).unwrap();
    encoder.tail(&summary(), &mut bytes).unwrap();
    let mut out = Vec::new();
    transcode(bytes.as_slice(), Format::Csv, Options::default(), &summary(), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), encoded(Format::Csv, Options::default()));
}
