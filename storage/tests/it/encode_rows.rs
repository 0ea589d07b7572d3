//! Rows of any table, made up from a seed: every type, nulls, empty and long
//! values.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::{DataType, Field};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schema::{Rows, TableDef};
use storage::encode::{days, write};

/// The first of the days that rows are spread over.
pub const DAY: i32 = 20_780;

/// Batches in the form in which they are encoded.
pub fn shared(table: &TableDef, batches: &[RecordBatch]) -> Vec<Rows> {
    let plain = |batch: &RecordBatch| Rows::plain(&table.layout, batch).unwrap();
    Rows::share(batches.iter().map(plain).collect()).unwrap()
}

/// What a plain reader gets back of the first day of these rows, which it compares with
/// what went in, and the file's footer.
pub fn come_back(table: &TableDef, plain: &[RecordBatch]) -> (Arc<ParquetMetaData>, RecordBatch) {
    let batches = shared(table, plain);
    let days = days(table, &batches).unwrap();
    let mut file = Vec::new();
    write(table, &batches, &days[0], &mut file).unwrap();
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(Bytes::from(file), options);
    let reader = reader.unwrap();
    let footer = reader.metadata().clone();
    let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let read = concat_batches(read[0].schema_ref(), &read).unwrap();
    let expected = interleave_record_batch(&plain.iter().collect::<Vec<_>>(), &days[0].rows);
    let expected = expected.unwrap();
    for (index, field) in read.schema().fields().iter().enumerate() {
        assert_eq!(read.column(index), expected.column(index), "{field}");
    }
    (footer, read)
}

/// Rows over `days` days, the same for the same seed.
pub fn rows(table: &TableDef, count: usize, days: i32, seed: u64) -> RecordBatch {
    let mut rng = StdRng::seed_from_u64(seed);
    let fields = table.schema.fields();
    let columns = fields.iter().map(|field| match field.name().as_str() {
        "date" => {
            let day = |_| Some(DAY + rng.random_range(0..days));
            Arc::new((0..count).map(day).collect::<Date32Array>()) as ArrayRef
        }
        "trace_id" => {
            let id =
                |_| Some(format!("{:032x}", rng.random_range(0..u128::from(count as u64) + 1)));
            Arc::new((0..count).map(id).collect::<StringArray>())
        }
        "service_name" => {
            let name =
                |_| rng.random_bool(0.9).then(|| format!("service-{}", rng.random_range(0..5)));
            Arc::new((0..count).map(name).collect::<StringArray>())
        }
        "time" => Arc::new(
            (0..count)
                .map(|_| {
                    Some(i64::from(DAY) * 86_400_000_000 + rng.random_range(0..86_400_000_000))
                })
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        _ => array(field, count, &mut rng),
    });
    RecordBatch::try_new(table.schema.clone(), columns.collect()).unwrap()
}

fn array(field: &Field, count: usize, rng: &mut StdRng) -> ArrayRef {
    let valid: Vec<bool> =
        (0..count).map(|_| !field.is_nullable() || rng.random_bool(0.8)).collect();
    let nulls = field.is_nullable().then(|| NullBuffer::from(valid.clone()));
    macro_rules! values {
        ($array:ty, $value:expr) => {
            Arc::new(valid.iter().map(|valid| valid.then(|| $value)).collect::<$array>())
                as ArrayRef
        };
    }
    match field.data_type() {
        DataType::Boolean => values!(BooleanArray, rng.random_bool(0.5)),
        DataType::Int32 => values!(Int32Array, rng.random()),
        DataType::Int64 => values!(Int64Array, rng.random()),
        DataType::Float64 => values!(Float64Array, rng.random_range(-1e9..1e9)),
        DataType::Utf8 => values!(StringArray, text(rng)),
        DataType::Timestamp(..) => {
            let array: TimestampMicrosecondArray = valid
                .iter()
                .map(|v| v.then(|| rng.random_range(0..4_000_000_000_000_000)))
                .collect();
            Arc::new(array.with_timezone("UTC"))
        }
        DataType::List(element) => {
            let (offsets, total) = lengths(&valid, rng);
            let child = array(element, total, rng);
            Arc::new(ListArray::try_new(element.clone(), offsets, child, nulls).unwrap())
        }
        DataType::Map(entry, ordered) => {
            let (offsets, total) = lengths(&valid, rng);
            let DataType::Struct(parts) = entry.data_type() else { panic!("{entry}") };
            let children = parts.iter().map(|part| array(part, total, rng)).collect();
            let entries = StructArray::try_new(parts.clone(), children, None).unwrap();
            Arc::new(MapArray::try_new(entry.clone(), offsets, entries, nulls, *ordered).unwrap())
        }
        DataType::Struct(parts) => {
            let children = parts.iter().map(|part| array(part, count, rng)).collect();
            Arc::new(StructArray::try_new(parts.clone(), children, nulls).unwrap())
        }
        other => panic!("no rows for {other}"),
    }
}

fn lengths(valid: &[bool], rng: &mut StdRng) -> (OffsetBuffer<i32>, usize) {
    let lengths: Vec<usize> =
        valid.iter().map(|valid| if *valid { rng.random_range(0..4) } else { 0 }).collect();
    let total = lengths.iter().sum();
    (OffsetBuffer::from_lengths(lengths), total)
}

fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..6) {
        0 => String::new(),
        1 => "ä\u{10FFFF}\"\\\u{0}".into(),
        2 => "x".repeat(rng.random_range(60..300)),
        _ => format!("value {}", rng.random_range(0..50)),
    }
}
