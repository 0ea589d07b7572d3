//! One day's rows as one Parquet file.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Arc;

use ::parquet::arrow::ArrowSchemaConverter;
use ::parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use ::parquet::basic::{Compression, Encoding, ZstdLevel};
use ::parquet::file::metadata::{KeyValue, SortingColumn};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{ColumnDescPtr, ColumnPath};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, FieldRef, Int64Type, Schema, SchemaRef, TimestampMicrosecondType,
};
use schema::table::{PARTITION, Promotion, SCHEMA_VERSION};
use schema::{ColumnType, Rows, TableDef};

use super::absent::{ABSENT, Absent};
use super::chunk::number::{Numbers, numbers};
use super::chunk::press::Press;
use super::chunk::text::TextChunk;
use super::codes::{maps, uncoded};
use super::gather::Gather;
use super::order::Day;
use super::plain::{self, Plain};
use super::stats::{self, Nans, bounded};
use crate::{Error, FileStats};

/// Rows gathered at once: small enough to stay in cache, large enough to be fast.
pub const CHUNK: usize = 8192;
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
    writer: SerializedFileWriter<W>,
    /// Of the columns that the library writes.
    others: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    group: Option<Group>,
    press: Press,
    nans: Nans,
    absent: Absent,
    looked_up: &'static [&'static str],
    rows: u64,
}

/// The row group that is not written yet.
struct Group {
    leaves: Vec<Leaf>,
    rows: usize,
}

/// A column chunk; Parquet counts leaves.
enum Leaf {
    Text(Box<TextChunk>),
    Numbers(Box<dyn Numbers>),
    Other(Box<ArrowColumnWriter>),
}

impl<W: Write + Send> FileWriter<W> {
    /// `sample` has the schema of the rows to come and tells their nature: texts
    /// that are not by codes there are written as they are.
    pub fn new(
        table: &TableDef,
        form: &Form,
        sample: &RecordBatch,
        out: W,
    ) -> Result<FileWriter<W>, Error> {
        let schema = uncoded(&sample.schema());
        let properties = Arc::new(properties(table, form, sample)?);
        // Our types are the ones Parquet's own schema reads back as, so the
        // Arrow schema would only be ten kilobytes in every footer.
        let parquet = ArrowSchemaConverter::new().convert(&schema)?;
        let writer = SerializedFileWriter::new(out, parquet.root_schema_ptr(), properties)?;
        Ok(FileWriter {
            others: others(&schema, &writer)?,
            writer,
            press: Press::new(form.zstd_level)?,
            absent: Absent::new(table, &schema),
            looked_up: table.bloom,
            schema,
            group: None,
            nans: Nans::default(),
            rows: 0,
        })
    }

    /// Rows like the sample; their texts may be by codes or not.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.nans.look(rows);
        self.absent.look(rows);
        self.rows += rows.num_rows() as u64;
        let mut from = 0;
        while from < rows.num_rows() {
            let open = self.group.as_ref().map_or(0, |group| group.rows);
            let count = (rows.num_rows() - from).min(GROUP_ROWS - open);
            self.push(&rows.slice(from, count))?;
            from += count;
        }
        Ok(())
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let mut group = match self.group.take() {
            Some(group) => group,
            None => self.open()?,
        };
        let mut leaves = group.leaves.iter_mut();
        for (field, column) in self.schema.fields().iter().zip(rows.columns()) {
            let mut texts = |next: &mut dyn FnMut(
                &mut TextChunk,
                &mut Press,
            ) -> Result<(), Error>| {
                match leaves.next() {
                    Some(Leaf::Text(text)) => next(text, &mut self.press),
                    _ => Err(Error::Internal(format!("{} is not written as text", field.name()))),
                }
            };
            match field.data_type() {
                DataType::Utf8 => texts(&mut |text, press| text.push(column, press))?,
                DataType::Map(..) => {
                    let Some((maps, of)) = maps(column) else {
                        return Err(Error::Internal(format!("{} has no maps", field.name())));
                    };
                    for part in [maps.keys(), maps.values()] {
                        texts(&mut |text, press| match of {
                            Some(of) => text.push_held(of, maps, part, press),
                            None => text.push_of(maps, part, press),
                        })?;
                    }
                }
                _ => match leaves.next() {
                    Some(Leaf::Numbers(numbers)) => numbers.push(column, &mut self.press)?,
                    first => {
                        let writers = first.into_iter().chain(leaves.by_ref());
                        for (leaf, writer) in compute_leaves(field, column)?.iter().zip(writers) {
                            if let Leaf::Other(writer) = writer {
                                writer.write(leaf)?;
                            }
                        }
                    }
                },
            }
        }
        group.rows += rows.num_rows();
        let is_full = group.rows >= GROUP_ROWS || group.size() >= GROUP_BYTES;
        self.group = Some(group);
        if is_full { self.end_group() } else { Ok(()) }
    }

    fn open(&self) -> Result<Group, Error> {
        let index = self.writer.flushed_row_groups().len();
        let mut others = self.others.create_column_writers(index)?.into_iter();
        let (columns, properties) =
            (self.writer.schema_descr().columns(), self.writer.properties());
        let leaf = |(of, column): (&DataType, &ColumnDescPtr)| match of {
            DataType::Utf8 | DataType::Map(..) => {
                let is_looked_up = self.looked_up.contains(&column.name());
                let text = TextChunk::new(column.clone(), properties, is_looked_up)?;
                Ok(Leaf::Text(Box::new(text)))
            }
            of => match numbers(of, column, properties) {
                Some(numbers) => Ok(Leaf::Numbers(numbers)),
                None => match others.next() {
                    Some(writer) => Ok(Leaf::Other(Box::new(writer))),
                    None => Err(Error::Internal(format!("nobody writes {}", column.path()))),
                },
            },
        };
        let leaves = leaf_types(&self.schema).zip(columns).map(leaf);
        Ok(Group { leaves: leaves.collect::<Result<_, Error>>()?, rows: 0 })
    }

    fn end_group(&mut self) -> Result<(), Error> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let mut writer = self.writer.next_row_group()?;
        for leaf in group.leaves {
            match leaf {
                Leaf::Text(text) => {
                    let (bytes, closed) = text.finish(&mut self.press)?;
                    writer.append_column(&bytes, closed)?;
                }
                Leaf::Numbers(numbers) => {
                    let (bytes, closed) = numbers.finish(&mut self.press)?;
                    writer.append_column(&bytes, closed)?;
                }
                Leaf::Other(column) => column.close()?.append_to_row_group(&mut writer)?,
            }
        }
        writer.close()?;
        Ok(())
    }

    /// Writes the footer; nothing may be written after it.
    pub fn finish(&mut self) -> Result<Encoded, Error> {
        self.end_group()?;
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

impl Group {
    /// Bytes so far, with a guess for those that are not encoded yet.
    fn size(&self) -> usize {
        let size = |leaf: &Leaf| match leaf {
            Leaf::Text(text) => text.size(),
            Leaf::Numbers(numbers) => numbers.size(),
            Leaf::Other(column) => column.get_estimated_total_bytes(),
        };
        self.leaves.iter().map(size).sum()
    }
}

/// The type of the column that each leaf is of.
fn leaf_types(schema: &SchemaRef) -> impl Iterator<Item = &DataType> {
    let types = schema.fields().iter().map(|field| field.data_type());
    types.flat_map(|of| std::iter::repeat_n(of, stats::leaves(of)))
}

/// The library's writers of those columns that are not ours: each costs two contexts
/// to compress with, for every row group.
fn others<W: Write + Send>(
    schema: &SchemaRef,
    file: &SerializedFileWriter<W>,
) -> Result<ArrowRowGroupWriterFactory, Error> {
    let (columns, properties) = (file.schema_descr().columns(), file.properties());
    let is_other = |(field, leaf): (&FieldRef, usize)| match field.data_type() {
        DataType::Utf8 | DataType::Map(..) => false,
        of => numbers(of, &columns[leaf], properties).is_none(),
    };
    let fields = schema.fields().iter().zip(stats::first_leaves(schema));
    let fields = fields.filter(|(field, leaf)| is_other((field, *leaf)));
    let fields: Vec<FieldRef> = fields.map(|(field, _)| field.clone()).collect();
    let schema = Arc::new(Schema::new(fields));
    let parquet = ArrowSchemaConverter::new().convert(&schema)?;
    let file =
        SerializedFileWriter::new(std::io::sink(), parquet.root_schema_ptr(), properties.clone())?;
    Ok(ArrowRowGroupWriterFactory::new(&file, schema))
}

/// The columns that a Parquet file of the table has: all but `date`.
pub fn file_schema(table: &TableDef) -> Result<SchemaRef, Error> {
    Ok(Arc::new(table.schema.project(&stored(table).collect::<Vec<usize>>())?))
}

pub(super) fn stored(table: &TableDef) -> impl Iterator<Item = usize> {
    (0..table.columns.len()).filter(|column| table.columns[*column].name != PARTITION)
}

fn properties(
    table: &TableDef,
    form: &Form,
    sample: &RecordBatch,
) -> Result<WriterProperties, Error> {
    let promoted = serde_json::Value::from(form.promoted.clone());
    let file = uncoded(&sample.schema());
    let entries = vec![
        KeyValue::new("cloudsail.schema".into(), SCHEMA_VERSION.to_string()),
        KeyValue::new(PROMOTED.into(), promoted.to_string()),
    ];
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("cloudsail ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(form.zstd_level)?))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(sorting(table, &file)))
        .set_key_value_metadata(Some(entries));
    for (field, column) in file.fields().iter().zip(sample.columns()) {
        let paths = plain::leaves(field);
        if bounded(field.data_type())
            && let [path] = paths.as_slice()
        {
            // Bounds per page, where pruning can use them.
            builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page);
            builder = encoding(builder, path.clone(), column);
        }
        let parts: &[&ArrayRef] = match maps(column) {
            Some((maps, _)) => &[maps.keys(), maps.values()],
            None => &[column],
        };
        for (path, _) in paths.into_iter().zip(parts).filter(|(_, part)| is_text(part)) {
            builder = builder.set_column_dictionary_enabled(path, false);
        }
    }
    for path in &form.plain {
        builder = builder.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
    }
    // A promoted text is asked for by its value; its bounds say little of ids and paths.
    let promoted = table.promotions.iter().filter(|p| p.kind == ColumnType::Text);
    let promoted = promoted.map(|promotion| promotion.column.as_str());
    for name in table.bloom.iter().copied().chain(promoted) {
        let path = ColumnPath::new(vec![name.to_owned()]);
        // Sized for a row group of distinct values, then folded to what came.
        builder = builder
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_fpp(path.clone(), 0.01)
            .set_column_bloom_filter_max_ndv(path, form.rows.clamp(1, GROUP_ROWS as u64));
    }
    Ok(builder.build())
}

/// Whether there are texts, as they are.
fn is_text(array: &ArrayRef) -> bool {
    *array.data_type() == DataType::Utf8 && array.null_count() < array.len()
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

/// The order as readers find it in the footer of a file with this schema; they count
/// leaf columns.
fn sorting(table: &TableDef, file: &SchemaRef) -> Vec<SortingColumn> {
    let first_leaf = stats::first_leaves(file);
    let column = |name: &&str| {
        let index = file.index_of(name).ok()?;
        let column_idx = i32::try_from(first_leaf[index]).ok()?;
        Some(SortingColumn { column_idx, descending: false, nulls_first: true })
    };
    // An order is a prefix: what follows a column that is not there is no order.
    table.sort.iter().map_while(column).collect()
}
