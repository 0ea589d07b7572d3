//! Against the library's own reader, and what is broken.

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use ::parquet::basic::ZstdLevel;
use ::parquet::file::metadata::PageIndexPolicy;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use arrow::array::{
    ArrayRef, Float64Array, Int32Builder, Int64Array, ListBuilder, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, FieldRef, Schema};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Row = (Option<i64>, Option<String>, Option<Vec<Option<i32>>>);

fn batch(rows: &[Row]) -> RecordBatch {
    let numbers: Int64Array = rows.iter().map(|row| row.0).collect();
    let texts: StringArray = rows.iter().map(|row| row.1.as_deref()).collect();
    let nothing = Float64Array::new_null(rows.len());
    let mut lists = ListBuilder::new(Int32Builder::new());
    rows.iter().for_each(|row| match &row.2 {
        Some(list) => lists.append_value(list.iter().copied()),
        None => lists.append_null(),
    });
    RecordBatch::try_from_iter_with_nullable([
        ("numbers", Arc::new(numbers) as ArrayRef, true),
        ("texts", Arc::new(texts), true),
        ("nothing", Arc::new(nothing), true),
        ("lists", Arc::new(lists.finish()), true),
    ])
    .unwrap()
}

/// All rows of a file, each row group by [`read`].
async fn all(file: Bytes, options: ArrowReaderOptions, rows: usize) -> Result<Vec<RecordBatch>> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    store.put(&"file".into(), file.into()).await.unwrap();
    let mut object = Object::at(store.clone(), &store.head(&"file".into()).await.unwrap());
    let options = options.with_offset_index_policy(PageIndexPolicy::Optional);
    let metadata = ArrowReaderMetadata::load_async(&mut object, options).await?;
    // Else all of it is in memory, and no range is asked for.
    object.forget();
    let (levels, unpacker) = (levels(&metadata)?, Unpacker::new().unwrap());
    let metadata = metadata.metadata();
    let mut found = Vec::new();
    for group in 0..metadata.num_row_groups() {
        let batches = read(&mut object, metadata, &levels, group, rows, &unpacker).await?;
        found.extend(batches.collect::<std::result::Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Scenario: files of others: packed by several codecs or not at all, pages of
    /// both versions, short and long, with dictionaries and without, with an index
    /// of their pages and without.
    /// Guarantees: K1: the same rows come as from the library's own reader.
    #[test]
    fn inv_k1_rows_come_as_from_the_library(
        rows in vec((
            prop::option::of(0..50_i64),
            prop::option::of("[a-c]{0,3}"),
            prop::option::of(vec(prop::option::of(0..9_i32), 0..4)),
        ), 1..200),
        codec in prop::sample::select(vec![
            Compression::ZSTD(ZstdLevel::try_new(3).unwrap()),
            Compression::SNAPPY,
            Compression::LZ4_RAW,
            Compression::UNCOMPRESSED,
        ]),
        version in prop::sample::select(vec![WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0]),
        (dictionary, indexed, coded) in (any::<bool>(), any::<bool>(), any::<bool>()),
        (group, page, at_once) in (1..150_usize, 1..40_usize, 1..60_usize),
    ) {
        let batch = batch(&rows);
        let level = if indexed { EnabledStatistics::Page } else { EnabledStatistics::None };
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_writer_version(version)
            .set_dictionary_enabled(dictionary)
            .set_statistics_enabled(level)
            .set_offset_index_disabled(!indexed)
            .set_max_row_group_row_count(Some(group))
            .set_data_page_row_count_limit(page)
            .set_write_batch_size(page);
        let mut file = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut file, batch.schema(), Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = Bytes::from(file);

        let mut options = ArrowReaderOptions::new();
        if coded {
            let codes = DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
            let field = |field: &FieldRef| match field.data_type() {
                DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(codes.clone())),
                _ => field.clone(),
            };
            let fields: Vec<FieldRef> = batch.schema_ref().fields().iter().map(field).collect();
            options = options.with_schema(Arc::new(Schema::new(fields)));
        }
        let expected =
            ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options.clone())
                .unwrap();
        let expected: Vec<_> = expected.build().unwrap().map(|batch| batch.unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(all(file, options, at_once)).unwrap();
        prop_assert!(found.iter().all(|batch| batch.num_rows() <= at_once));
        let whole = |batches: &[RecordBatch]| {
            arrow::compute::concat_batches(batches[0].schema_ref(), batches).unwrap()
        };
        prop_assert_eq!(whole(&found), whole(&expected));
        prop_assert!(coded || whole(&found) == batch);
    }
}

/// Scenario: frames that say how much they hold, that do not, several in one page,
/// more than the column has, one cut short, one with a flipped bit, none at all, and one
/// that says, like its footer, that it holds more than any machine has.
/// Guarantees: F25: what is whole comes out whole, the rest is an error.
#[test]
fn fault_f25_a_page_is_unpacked_whole_or_not_at_all() {
    let text = b"cloud sail ".repeat(500);
    let (unpacker, most) = (Unpacker::new().unwrap(), 2 * text.len() as u64);
    let unpack = |packed: &[u8]| unpacker.unpack(packed, most);
    let mut summed = zstd::bulk::Compressor::new(1).unwrap();
    summed.include_checksum(true).unwrap();
    let told = summed.compress(&text).unwrap();
    let untold = zstd::stream::encode_all(text.as_slice(), 1).unwrap();
    assert_eq!(get_frame_content_size(&untold).unwrap(), None);
    assert_eq!(unpack(&told).unwrap(), text);
    assert_eq!(unpack(&untold).unwrap(), text);
    for frames in [[&told, &told], [&untold, &told], [&told, &untold]] {
        assert_eq!(unpack(&frames.map(Vec::as_slice).concat()).unwrap(), text.repeat(2));
    }
    let too_many = [&*told, &*untold, &*told].concat();
    assert!(unpack(&too_many).unwrap_err().to_string().contains("has more"));
    for one in [&told, &untold] {
        assert!(unpacker.unpack(one, text.len() as u64 - 1).is_err());
        assert_eq!(unpacker.unpack(one, text.len() as u64).unwrap(), text);
    }
    for cut in 1..told.len() {
        assert!(unpack(&told[..cut]).is_err(), "cut at {cut}");
    }
    for bit in 0..told.len() * 8 {
        let mut flipped = told.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // The bits of a header that mean nothing here are no harm.
        assert!(unpack(&flipped).map_or(true, |bytes| bytes == text), "bit {bit}");
    }
    assert!(unpack(b"no frame").is_err());
    // Its size in eight bytes, then one empty block, the last.
    let boast = [&[0x28, 0xB5, 0x2F, 0xFD, 0xE0], &(1_u64 << 50).to_le_bytes()[..], &[1, 0, 0]];
    let boast = boast.concat();
    assert_eq!(get_frame_content_size(&boast).unwrap(), Some(1 << 50));
    assert!(unpacker.unpack(&boast, u64::MAX).is_err());
    assert_eq!(unpack(&told).unwrap(), text);
}

/// Scenario: pages are said to be where their column is not.
/// Guarantees: F25: an error that says where, and no panic.
#[test]
fn fault_f25_a_page_outside_of_its_column_is_told() {
    let chunk = Chunk { start: 100, bytes: Bytes::from_static(b"0123456789") };
    assert_eq!(chunk.get_bytes(104, 3).unwrap(), "456");
    assert_eq!(chunk.get_bytes(110, 0).unwrap(), "");
    for (start, length) in [(99, 1), (111, 0), (105, 6), (u64::MAX, 1), (100, usize::MAX)] {
        let why = chunk.get_bytes(start, length).unwrap_err().to_string();
        assert!(why.contains(&start.to_string()), "{why}");
    }
    assert!(chunk.get_read(99).is_err());
}
