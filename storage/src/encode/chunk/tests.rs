//! Chunks beside those that Parquet's own writer makes of the same rows.

use std::ops::Range;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use ::parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use ::parquet::basic::{BoundaryOrder, Compression, Encoding, ZstdLevel};
use ::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use ::parquet::file::page_index::column_index::ColumnIndexMetaData;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use ::parquet::file::writer::SerializedFileWriter;
use arrow::array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, ToByteSlice};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::number::numbers;
use super::press::Press;

const PAGE_ROWS: usize = 16;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Int,
    Long,
    Double,
    Time,
}

/// The numbers of a column; as doubles the first few are those that break things.
fn column(kind: Kind, numbers: &[i64], nulls: Option<NullBuffer>) -> ArrayRef {
    const AWKWARD: [f64; 8] =
        [f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, 1.5, f64::MIN_POSITIVE, f64::MAX];
    let double = |number: &i64| match usize::try_from(*number).ok().and_then(|at| AWKWARD.get(at)) {
        Some(awkward) => *awkward,
        None => f64::from_bits(*number as u64),
    };
    let ints = || numbers.iter().map(|number| *number as i32).collect::<Vec<i32>>();
    let doubles = || numbers.iter().map(double).collect::<Vec<f64>>();
    match kind {
        Kind::Int => Arc::new(Int32Array::new(ints().into(), nulls)),
        Kind::Long => Arc::new(Int64Array::new(numbers.to_vec().into(), nulls)),
        Kind::Double => Arc::new(Float64Array::new(doubles().into(), nulls)),
        Kind::Time => {
            let times = TimestampMicrosecondArray::new(numbers.to_vec().into(), nulls);
            Arc::new(times.with_timezone("UTC"))
        }
    }
}

/// Lists of the elements; those that are NULL have some beneath.
fn lists(elements: ArrayRef, lengths: &[usize], nulls: Option<NullBuffer>) -> ArrayRef {
    let is_nullable = elements.is_nullable();
    let element = Field::new("element", elements.data_type().clone(), is_nullable);
    let ends = OffsetBuffer::from_lengths(lengths.iter().copied());
    Arc::new(ListArray::new(Arc::new(element), ends, elements, nulls))
}

fn schema(column: &ArrayRef, is_nullable: bool) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("column", column.data_type().clone(), is_nullable)]))
}

fn properties(column: &ArrayRef, dictionary: usize, is_compressed: bool) -> WriterPropertiesPtr {
    let statistics = match column.data_type() {
        DataType::List(_) => EnabledStatistics::Chunk,
        _ => EnabledStatistics::Page,
    };
    let compression = match is_compressed {
        true => Compression::ZSTD(ZstdLevel::default()),
        false => Compression::UNCOMPRESSED,
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_statistics_enabled(statistics)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(dictionary)
        // Looks after each value whether a page is full.
        .set_write_batch_size(1);
    Arc::new(properties.build())
}

fn ours(schema: &SchemaRef, pieces: &[ArrayRef], properties: &WriterPropertiesPtr) -> Vec<u8> {
    let parquet = ArrowSchemaConverter::new().convert(schema).unwrap();
    let mut file =
        SerializedFileWriter::new(Vec::new(), parquet.root_schema_ptr(), properties.clone())
            .unwrap();
    let mut press = Press::new(1).unwrap();
    let mut chunk = numbers(schema.field(0).data_type(), &parquet.column(0), properties).unwrap();
    for piece in pieces {
        chunk.push(piece, &mut press).unwrap();
    }
    let (bytes, closed) = chunk.finish(&mut press).unwrap();
    let mut group = file.next_row_group().unwrap();
    group.append_column(&bytes, closed).unwrap();
    group.close().unwrap();
    file.into_inner().unwrap()
}

fn theirs(schema: &SchemaRef, whole: &ArrayRef, properties: &WriterPropertiesPtr) -> Vec<u8> {
    let properties = Some(properties.as_ref().clone());
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), properties).unwrap();
    writer.write(&RecordBatch::try_new(schema.clone(), vec![whole.clone()]).unwrap()).unwrap();
    writer.into_inner().unwrap()
}

fn read(file: Vec<u8>) -> (Arc<ParquetMetaData>, ArrayRef) {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(Bytes::from(file), options);
    let reader = reader.unwrap();
    let footer = reader.metadata().clone();
    let rows: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    (footer, concat_batches(rows[0].schema_ref(), &rows).unwrap().column(0).clone())
}

/// What a footer says of the least, the greatest, NULLs, and where pages begin.
type Said = (Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>, i64, Vec<i64>);

fn said(footer: &ParquetMetaData) -> Said {
    let chunk = footer.row_group(0).column(0);
    let of = chunk.statistics().unwrap();
    let pages = footer.offset_index().unwrap()[0][0].page_locations();
    (
        of.min_bytes_opt().map(<[u8]>::to_vec),
        of.max_bytes_opt().map(<[u8]>::to_vec),
        of.null_count_opt(),
        chunk.num_values(),
        pages.iter().map(|page| page.first_row_index).collect(),
    )
}

/// A page's NULLs, whether it has nothing else, and its bounds.
type Indexed = (Option<i64>, bool, Option<Vec<u8>>, Option<Vec<u8>>);

fn index(footer: &ParquetMetaData) -> Option<(BoundaryOrder, Vec<Indexed>)> {
    let index = &footer.column_index()?[0][0];
    macro_rules! pages {
        ($of:expr) => {{
            let bytes = |bound: Option<&_>| bound.map(|bound| [*bound].to_byte_slice().to_vec());
            let page = |at: usize| {
                let (low, high) = ($of.min_value(at), $of.max_value(at));
                ($of.null_count(at), $of.is_null_page(at), bytes(low), bytes(high))
            };
            (0..$of.num_pages() as usize).map(page).collect()
        }};
    }
    let pages = match index {
        ColumnIndexMetaData::NONE => return None,
        ColumnIndexMetaData::INT32(of) => pages!(of),
        ColumnIndexMetaData::INT64(of) => pages!(of),
        ColumnIndexMetaData::DOUBLE(of) => pages!(of),
        other => panic!("{other:?}"),
    };
    Some((index.get_boundary_order()?, pages))
}

fn encodings(footer: &ParquetMetaData) -> Vec<Encoding> {
    let mask = footer.row_group(0).column(0).page_encoding_stats_mask().unwrap();
    mask.encodings().collect()
}

/// Writes pieces of rows, which it compares with what Parquet's own writer makes of
/// all of them; gives the footer.
fn compare(
    schema: &SchemaRef,
    whole: &ArrayRef,
    pieces: &[Range<usize>],
    properties: &WriterPropertiesPtr,
) -> Arc<ParquetMetaData> {
    let pieces: Vec<ArrayRef> =
        pieces.iter().map(|piece| whole.slice(piece.start, piece.len())).collect();
    let (our_footer, our_rows) = read(ours(schema, &pieces, properties));
    let (footer, rows) = read(theirs(schema, whole, properties));
    assert_eq!(&our_rows, whole);
    assert_eq!(&our_rows, &rows);
    assert_eq!(our_rows.data_type(), rows.data_type());
    let chunks = [&our_footer, &footer].map(|footer| footer.row_group(0).column(0));
    assert_eq!(chunks[0].compression(), chunks[1].compression());
    let (ours, theirs) = (said(&our_footer), said(&footer));
    // Values of one page are looked over together: where codes end is ours to say.
    let is_over = encodings(&footer).len() > 1;
    if is_over {
        assert_eq!((ours.0, ours.1, ours.2, ours.3), (theirs.0, theirs.1, theirs.2, theirs.3));
        let pages = index(&our_footer).map(|(_, pages)| pages).unwrap_or_default();
        assert_eq!(
            pages.iter().map(|page| page.0.unwrap()).sum::<i64>(),
            if pages.is_empty() { 0 } else { whole.null_count() as i64 }
        );
    } else {
        assert_eq!(ours, theirs);
        assert_eq!(index(&our_footer), index(&footer));
        assert_eq!(encodings(&our_footer), encodings(&footer));
        assert_eq!(chunks[0].page_encoding_stats(), chunks[1].page_encoding_stats());
    }
    our_footer
}

/// Few numbers, the outermost, and any.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 0..8_i64,
        1 => -3..300_i64,
        1 => any::<i64>(),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(i32::MIN.into())],
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Int), Just(Kind::Long), Just(Kind::Double), Just(Kind::Time)]
}

/// Stretches of the same number, or of none.
fn stretches() -> impl Strategy<Value = Vec<Option<i64>>> {
    let stretch =
        (proptest::option::weighted(0.8, number()), prop_oneof![Just(1_usize), 1..40_usize]);
    vec(stretch, 1..60).prop_map(|stretches| {
        stretches.into_iter().flat_map(|(number, times)| vec![number; times]).collect()
    })
}

/// Rows behind some that are cut off; one at least.
fn behind(rows: &ArrayRef, cut: usize) -> ArrayRef {
    let from = cut.min(rows.len() - 1);
    rows.slice(from, rows.len() - from)
}

/// Neighbouring pieces of rows, in which they are pushed.
fn pieces(rows: usize, cuts: &[Index]) -> Vec<Range<usize>> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(rows + 1)).collect();
    ends.extend([0, rows]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| ends[0]..ends[1]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Scenario: numbers of every kind in stretches, with NULLs or without, behind rows
    /// that are cut off, pushed in pieces; dictionaries that hold all of them or few.
    /// Guarantees: a reader gets back what went in, NaN and both zeros too; bounds,
    /// NULLs, pages and their index are those of Parquet's own writer.
    #[test]
    fn flat_numbers_are_as_parquets_own(
        kind in kind(),
        rows in stretches(),
        is_nullable in any::<bool>(),
        before in 0..20_usize,
        cuts in vec(any::<Index>(), 0..4),
        dictionary in prop_oneof![3 => Just(1_usize << 20), 1 => 8..200_usize],
        is_compressed in any::<bool>(),
    ) {
        let values: Vec<i64> = rows.iter().map(|row| row.unwrap_or(7)).collect();
        let nulls = is_nullable.then(|| rows.iter().map(Option::is_some).collect());
        let whole = column(kind, &values, nulls);
        let whole = behind(&whole, before);
        let properties = properties(&whole, dictionary, is_compressed);
        compare(&schema(&whole, is_nullable), &whole, &pieces(whole.len(), &cuts), &properties);
    }

    /// Scenario: lists of numbers, some NULL with elements beneath, some empty, some
    /// with NULLs in them, behind rows that are cut off, pushed in pieces.
    /// Guarantees: as of flat numbers.
    #[test]
    fn lists_of_numbers_are_as_parquets_own(
        kind in kind(),
        elements in stretches(),
        shape in vec((0..12_usize, any::<bool>()), 1..120),
        nullable in any::<[bool; 2]>(),
        before in 0..20_usize,
        cuts in vec(any::<Index>(), 0..4),
        dictionary in prop_oneof![3 => Just(1_usize << 20), 1 => 8..200_usize],
        is_compressed in any::<bool>(),
    ) {
        let [is_nullable, has_nulls] = nullable;
        let lengths: Vec<usize> = shape.iter().map(|row| row.0.saturating_sub(2)).collect();
        let count = lengths.iter().sum();
        let elements: Vec<Option<i64>> = elements.into_iter().cycle().take(count).collect();
        let values: Vec<i64> = elements.iter().map(|element| element.unwrap_or(7)).collect();
        let nulls = has_nulls.then(|| elements.iter().map(Option::is_some).collect());
        let whole = lists(
            column(kind, &values, nulls),
            &lengths,
            is_nullable.then(|| shape.iter().map(|row| row.1).collect()),
        );
        let whole = behind(&whole, before);
        let properties = properties(&whole, dictionary, is_compressed);
        compare(&schema(&whole, is_nullable), &whole, &pieces(whole.len(), &cuts), &properties);
    }
}

/// Scenario: forty thousand distinct doubles; as many of which each comes nine times;
/// integers of which the distinct ones fit in a dictionary, and some that outgrow it in
/// the middle; nothing but NULLs; one NULL; one number.
/// Guarantees: codes end where they save nothing, and only there; where they do not,
/// the chunk is as Parquet's own.
#[test]
fn codes_end_where_they_save_nothing() {
    let (coded, both) =
        (vec![Encoding::RLE_DICTIONARY], vec![Encoding::PLAIN, Encoding::RLE_DICTIONARY]);
    let doubles = |number: &dyn Fn(i64) -> f64| -> ArrayRef {
        Arc::new((0..40_000).map(number).collect::<Float64Array>())
    };
    let pairs = |count: i64| -> ArrayRef {
        let mixed = |n: i64| (n / 2).wrapping_mul(0x1E37_79B9_7F4A_7C15);
        Arc::new((0..count).map(mixed).map(Some).collect::<Int64Array>())
    };
    let none: ArrayRef = Arc::new(Float64Array::new_null(10_000));
    for (whole, expected) in [
        (doubles(&|n| n as f64 / 7.0), &both),
        (doubles(&|n| (n / 9) as f64 / 7.0), &coded),
        (pairs(200_000), &coded),
        (pairs(300_000), &both),
        (none.clone(), &coded),
        (none.slice(5, 1), &coded),
        (doubles(&|n| n as f64).slice(5, 1), &coded),
    ] {
        let (schema, properties) = (schema(&whole, true), properties(&whole, 1 << 20, true));
        let (footer, rows) = read(ours(&schema, std::slice::from_ref(&whole), &properties));
        assert_eq!(&rows, &whole);
        assert_eq!(&encodings(&footer), expected);
        if expected == &coded {
            compare(&schema, &whole, &pieces(whole.len(), &[]), &properties);
        }
    }
}

/// Scenario: a list that is longer than a page among short ones.
/// Guarantees: its page ends behind it, and a reader gets all lists back.
#[test]
fn a_page_ends_behind_a_long_list() {
    let lengths = [vec![3; 20], vec![1 << 18], vec![3; 20]].concat();
    let count = lengths.iter().sum::<usize>() as i64;
    let elements = column(Kind::Long, &(0..count).map(|n| n % 9).collect::<Vec<i64>>(), None);
    let whole = lists(elements, &lengths, None);
    let (schema, properties) = (schema(&whole, true), properties(&whole, 1 << 20, true));
    let (footer, rows) = read(ours(&schema, std::slice::from_ref(&whole), &properties));
    assert_eq!(&rows, &whole);
    assert_eq!(said(&footer).4, [0, 16, 21, 37]);
}
