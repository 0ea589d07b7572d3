//! One day's rows as one Parquet file.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::basic::{Compression, Encoding, ZstdLevel};
use ::parquet::file::metadata::{KeyValue, SortingColumn};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use ::parquet::schema::types::ColumnPath;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMicrosecondType};
use schema::TableDef;
use schema::table::{PARTITION, SCHEMA_VERSION};

use super::order::Day;
use super::stats::{self, Nans, bounded};
use crate::{Error, FileStats};

/// Rows gathered at once: small enough to stay in cache, large enough to be fast.
const CHUNK: usize = 8192;
/// Rows per row group: what a bloom filter and a range of times speak for.
const GROUP_ROWS: usize = 128 * 1024;
/// Encoded bytes after which a row group ends early, so that long log bodies
/// do not make the writer hold hundreds of megabytes.
const GROUP_BYTES: usize = 32 << 20;
/// Level 1 is 10 % faster than 3 and 4 % larger (performance.md); what is
/// written here is rewritten by compaction.
const ZSTD_LEVEL: i32 = 1;
/// Rows looked at to tell a column of unique values from one that repeats.
const SAMPLE: usize = 4096;

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// Bytes.
    pub size: u64,
    pub rows: u64,
    pub stats: FileStats,
}

/// Writes the rows of `day`, gathered from `batches`, whose schema is
/// [`TableDef::schema`]; `date` is left out, it is the file's partition.
pub fn write<W: Write + Send>(
    table: &TableDef,
    batches: &[RecordBatch],
    day: &Day,
    out: W,
) -> Result<Encoded, Error> {
    let batches: Vec<RecordBatch> =
        batches.iter().map(|batch| without_date(table, batch)).collect::<Result<_, _>>()?;
    let sources: Vec<&RecordBatch> = batches.iter().collect();
    let schema = file_schema(table)?;
    let step = day.rows.len().div_ceil(SAMPLE).max(1);
    let sampled: Vec<(usize, usize)> = day.rows.iter().step_by(step).copied().collect();
    let sample = interleave_record_batch(&sources, &sampled)?;
    let options = ArrowWriterOptions::new()
        .with_properties(properties(table, &sample, day.rows.len())?)
        // Our types are the ones Parquet's own schema reads back as, so the
        // Arrow schema would only be ten kilobytes in every footer.
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(out, schema.clone(), options)?;
    let mut nans = Nans::default();
    for chunk in day.rows.chunks(CHUNK) {
        let rows = interleave_record_batch(&sources, chunk)?;
        nans.look(&rows);
        writer.write(&rows)?;
    }
    let footer = writer.finish()?;
    Ok(Encoded {
        size: writer.bytes_written() as u64,
        rows: day.rows.len() as u64,
        stats: stats::from_footer(&schema, &footer, &nans),
    })
}

/// The columns that a Parquet file of the table has: all but `date`.
pub fn file_schema(table: &TableDef) -> Result<SchemaRef, Error> {
    let kept: Vec<usize> =
        (0..table.columns.len()).filter(|i| table.columns[*i].name != PARTITION).collect();
    Ok(Arc::new(table.schema.project(&kept)?))
}

fn without_date(table: &TableDef, rows: &RecordBatch) -> Result<RecordBatch, Error> {
    if rows.schema_ref().fields() != table.schema.fields() {
        return Err(Error::Internal(format!("rows do not have the schema of {}", table.name)));
    }
    let kept: Vec<usize> =
        (0..table.columns.len()).filter(|i| table.columns[*i].name != PARTITION).collect();
    Ok(rows.project(&kept)?)
}

fn properties(
    table: &TableDef,
    sample: &RecordBatch,
    rows: usize,
) -> Result<WriterProperties, Error> {
    let promoted: Vec<_> = table
        .promotions
        .iter()
        .map(|p| serde_json::json!({"scope": p.scope.as_str(), "key": p.key, "column": p.column}))
        .collect();
    let entries = vec![
        KeyValue::new("cloudsail.schema".into(), SCHEMA_VERSION.to_string()),
        KeyValue::new("cloudsail.promoted".into(), serde_json::Value::from(promoted).to_string()),
    ];
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("cloudsail ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(sorting(table, sample)))
        .set_key_value_metadata(Some(entries));
    for (field, column) in sample.schema_ref().fields().iter().zip(sample.columns()) {
        if !bounded(field.data_type()) {
            continue;
        }
        // Bounds per page, where pruning can use them.
        let path = ColumnPath::new(vec![field.name().clone()]);
        builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page);
        builder = encoding(builder, path, column);
    }
    for name in table.bloom {
        let path = ColumnPath::new(vec![(*name).to_owned()]);
        // Sized for a row group of distinct values, then folded to what came.
        builder = builder
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_fpp(path.clone(), 0.01)
            .set_column_bloom_filter_max_ndv(path, rows.clamp(1, GROUP_ROWS) as u64);
    }
    Ok(builder.build())
}

/// A dictionary of unique values costs its own size and saves nothing; numbers
/// that are unique are mostly times and counters, whose differences are short.
fn encoding(
    builder: WriterPropertiesBuilder,
    path: ColumnPath,
    sample: &ArrayRef,
) -> WriterPropertiesBuilder {
    if !mostly_unique(sample) {
        return builder;
    }
    let builder = builder.set_column_dictionary_enabled(path.clone(), false);
    match sample.data_type() {
        DataType::Int64 | DataType::Timestamp(..) => {
            builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
        }
        _ => builder,
    }
}

fn mostly_unique(sample: &ArrayRef) -> bool {
    let values = sample.len() - sample.null_count();
    let distinct = match sample.data_type() {
        DataType::Int64 => distinct(sample.as_primitive::<Int64Type>().iter().flatten()),
        DataType::Timestamp(..) => {
            distinct(sample.as_primitive::<TimestampMicrosecondType>().iter().flatten())
        }
        DataType::Utf8 => distinct(sample.as_string::<i32>().iter().flatten()),
        _ => return false,
    };
    values >= 64 && distinct * 10 > values * 7
}

fn distinct<T: Hash>(values: impl Iterator<Item = T>) -> usize {
    let hash = |value: T| {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    };
    values.map(hash).collect::<HashSet<u64>>().len()
}

/// The order as readers find it in the footer; they count leaf columns.
fn sorting(table: &TableDef, sample: &RecordBatch) -> Vec<SortingColumn> {
    let first_leaf = stats::first_leaves(&sample.schema());
    let column = |name: &&str| {
        let index = sample.schema_ref().index_of(name).ok()?;
        let column_idx = i32::try_from(first_leaf[index]).ok()?;
        Some(SortingColumn { column_idx, descending: false, nulls_first: true })
    };
    // An order is a prefix: what follows a column that is not there is no order.
    table.sort.iter().map_while(column).collect()
}
