//! One day's rows as one Parquet file.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::basic::{Compression, Encoding, ZstdLevel};
use ::parquet::file::metadata::{KeyValue, SortingColumn};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use ::parquet::schema::types::ColumnPath;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMicrosecondType};
use schema::rows::{Place, stretches, widths};
use schema::table::{PARTITION, Promotion, SCHEMA_VERSION};
use schema::{Rows, TableDef};

use super::absent::{ABSENT, Absent};
use super::order::Day;
use super::plain::{self, Plain};
use super::stats::{self, Nans, bounded};
use crate::{Error, FileStats};

/// Rows gathered at once: small enough to stay in cache, large enough to be fast.
pub const CHUNK: usize = 8192;
/// Bytes of text that origins may add to a chunk: one of a few bytes per row can
/// stand for a megabyte.
const CHUNK_BYTES: usize = 64 << 20;
/// Rows per row group: what a bloom filter and a range of times speak for.
pub const GROUP_ROWS: usize = 128 * 1024;
/// Rows per page: what a time range within a service skips by, and what a row
/// costs that is looked up alone, in every column that is asked for. With a
/// quarter of it page headers begin to show in the size.
const PAGE_ROWS: usize = 4 * 1024;
/// Encoded bytes after which a row group ends early, so that long log bodies
/// do not make the writer hold hundreds of megabytes.
const GROUP_BYTES: usize = 32 << 20;
/// Level 1 is 10 % faster than 3 and 4 % larger (performance.md); what is
/// written here is rewritten by compaction.
const ZSTD_LEVEL: i32 = 1;
/// The footer's entry that lists the promotions of a file.
pub const PROMOTED: &str = "cloudsail.promoted";
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

/// Writes the rows of `day`, gathered from `batches`, which share their origins
/// ([`Rows::share`]); `date` is left out, it is the file's partition.
pub fn write<W: Write + Send>(
    table: &TableDef,
    batches: &[Rows],
    day: &Day,
    out: W,
) -> Result<Encoded, Error> {
    let gather = Gather::new(table, batches)?;
    let step = day.rows.len().div_ceil(SAMPLE).max(1);
    let sampled: Vec<(usize, usize)> = day.rows.iter().step_by(step).copied().collect();
    let form = Form {
        zstd_level: ZSTD_LEVEL,
        promoted: promoted(table),
        rows: day.rows.len() as u64,
        plain: gather.empty(),
    };
    let first = gather.chunks(&sampled).next().unwrap_or_default();
    let sample = gather.rows(&sampled[first])?;
    let mut file = FileWriter::new(table, &form, &sample, out)?;
    for chunk in gather.chunks(&day.rows) {
        file.write(&gather.rows(&day.rows[chunk])?)?;
    }
    file.finish()
}

/// Gathers rows as a file has them: without `date`.
struct Gather<'a> {
    batches: &'a [Rows],
    schema: SchemaRef,
    columns: Vec<Source>,
    /// Bytes of text of each origin.
    widths: Vec<usize>,
}

/// Where a column of the file comes from.
enum Source {
    /// No row has a value.
    Nowhere,
    /// A column of each batch.
    Own(Vec<ArrayRef>),
    Origin(usize),
}

impl<'a> Gather<'a> {
    fn new(table: &TableDef, batches: &'a [Rows]) -> Result<Gather<'a>, Error> {
        if batches.iter().any(|rows| rows.layout() != &table.layout) {
            return Err(Error::Internal(format!("rows do not have the layout of {}", table.name)));
        }
        if !batches.windows(2).all(|pair| pair[0].shares(&pair[1])) {
            return Err(Error::Internal(format!(
                "rows of {} have origins of their own",
                table.name
            )));
        }
        let source = |column| match table.layout.place(column) {
            Place::Origin(column) => Source::Origin(column),
            Place::Own(column) if batches.iter().all(|rows| rows.own()[column].is_none()) => {
                Source::Nowhere
            }
            Place::Own(column) => {
                Source::Own(batches.iter().map(|rows| rows.own_column(column)).collect())
            }
        };
        Ok(Gather {
            batches,
            schema: file_schema(table)?,
            columns: stored(table).map(source).collect(),
            widths: batches.first().map_or_else(Vec::new, |rows| widths(rows.origins())),
        })
    }

    /// The columns in which no row has a value.
    fn empty(&self) -> Plain {
        let columns = self.columns.iter().zip(self.schema.fields());
        let empty = columns.filter(|(source, _)| matches!(source, Source::Nowhere));
        empty.flat_map(|(_, field)| plain::leaves(field)).collect()
    }

    /// Divides rows so that each chunk fits in the cache, and its columns into
    /// Arrow's offsets.
    fn chunks(&self, rows: &[(usize, usize)]) -> impl Iterator<Item = Range<usize>> {
        let width = |at: usize| {
            let (batch, row) = rows[at];
            self.widths[self.batches[batch].origin_of()[row] as usize]
        };
        stretches(rows.len(), CHUNK, CHUNK_BYTES, width)
    }

    fn rows(&self, rows: &[(usize, usize)]) -> Result<RecordBatch, Error> {
        let origin = |&(batch, row): &(usize, usize)| self.batches[batch].origin_of()[row];
        let origin_of = UInt32Array::from_iter_values(rows.iter().map(origin));
        let mut columns = Vec::with_capacity(self.columns.len());
        for (source, field) in self.columns.iter().zip(self.schema.fields()) {
            columns.push(match source {
                Source::Nowhere => new_null_array(field.data_type(), rows.len()),
                Source::Own(all) => {
                    interleave(&all.iter().map(AsRef::as_ref).collect::<Vec<_>>(), rows)?
                }
                Source::Origin(column) => {
                    take(self.batches[0].origins().column(*column), &origin_of, None)?
                }
            });
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// How a file is written, as far as its rows do not tell.
#[derive(Debug, Clone)]
pub struct Form {
    pub zstd_level: i32,
    /// The promotions that hold for every row, as [`promoted`] gives them.
    pub promoted: Vec<serde_json::Value>,
    /// About how many rows there will be.
    pub rows: u64,
    /// Columns that are not worth compressing; differences of numbers never are.
    pub plain: Plain,
}

/// What a file of a table says of keys that have a column of their own.
pub fn promoted(table: &TableDef) -> Vec<serde_json::Value> {
    let said = |p: &Promotion| serde_json::json!({"scope": p.scope.as_str(), "key": p.key, "column": p.column});
    table.promotions.iter().map(said).collect()
}

/// One Parquet file of a table, written chunk by chunk in the table's order.
pub struct FileWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    nans: Nans,
    absent: Absent,
    rows: u64,
}

impl<W: Write + Send> FileWriter<W> {
    /// `sample` has the schema of the rows to come and tells their nature.
    pub fn new(
        table: &TableDef,
        form: &Form,
        sample: &RecordBatch,
        out: W,
    ) -> Result<FileWriter<W>, Error> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties(table, form, sample)?)
            // Our types are the ones Parquet's own schema reads back as, so the
            // Arrow schema would only be ten kilobytes in every footer.
            .with_skip_arrow_metadata(true);
        let schema = sample.schema();
        let writer = ArrowWriter::try_new_with_options(out, schema.clone(), options)?;
        let absent = Absent::new(table, &schema);
        Ok(FileWriter { writer, schema, nans: Nans::default(), absent, rows: 0 })
    }

    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.nans.look(rows);
        self.absent.look(rows);
        self.rows += rows.num_rows() as u64;
        Ok(self.writer.write(rows)?)
    }

    /// Bytes so far, with a guess for those that are not encoded yet.
    pub fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Writes the footer; nothing may be written after it.
    pub fn finish(&mut self) -> Result<Encoded, Error> {
        self.writer.append_key_value_metadata(KeyValue::new(ABSENT.into(), self.absent.said()));
        let footer = self.writer.finish()?;
        Ok(Encoded {
            size: self.writer.bytes_written() as u64,
            rows: self.rows,
            stats: stats::from_footer(&self.schema, &footer, &self.nans),
        })
    }

    /// Where it goes to, to take what has come so far.
    pub fn out(&mut self) -> &mut W {
        self.writer.inner_mut()
    }
}

/// The columns that a Parquet file of the table has: all but `date`.
pub fn file_schema(table: &TableDef) -> Result<SchemaRef, Error> {
    Ok(Arc::new(table.schema.project(&stored(table).collect::<Vec<usize>>())?))
}

fn stored(table: &TableDef) -> impl Iterator<Item = usize> {
    (0..table.columns.len()).filter(|column| table.columns[*column].name != PARTITION)
}

fn properties(
    table: &TableDef,
    form: &Form,
    sample: &RecordBatch,
) -> Result<WriterProperties, Error> {
    let promoted = serde_json::Value::from(form.promoted.clone());
    let entries = vec![
        KeyValue::new("cloudsail.schema".into(), SCHEMA_VERSION.to_string()),
        KeyValue::new(PROMOTED.into(), promoted.to_string()),
    ];
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("cloudsail ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(form.zstd_level)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_data_page_row_count_limit(PAGE_ROWS)
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
    for path in &form.plain {
        builder = builder.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
    }
    for name in table.bloom {
        let path = ColumnPath::new(vec![(*name).to_owned()]);
        // Sized for a row group of distinct values, then folded to what came.
        builder = builder
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_fpp(path.clone(), 0.01)
            .set_column_bloom_filter_max_ndv(path, form.rows.clamp(1, GROUP_ROWS as u64));
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
            let builder = builder.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
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
