//! Sorted files as one sorted stream of rows, a batch per run in memory.
//!
//! **K1** every row of every input comes out once, in the table's order; rows
//! with equal keys in the order of the runs. An input that is not in the order
//! it claims, or whose columns have other types, ends the merge and is named.
//!
//! What it holds is bounded whatever the width of rows: the runs that are open by
//! their footers, batches and chunks by their bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use ::parquet::arrow::FieldLevels;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
};
use ::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::row::{OwnedRow, Rows};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use schema::TableDef;
use schema::table::PARTITION;
use serde_json::Value;

use super::columns::{by_codes_in_all, shared, sharing, unshared};
use super::group::{self, Unpacker};
use super::width::{coded_leaves, open_bytes, rows_at_once, weight};
use crate::encode::Keys;
use crate::encode::interleave::interleaved;
use crate::encode::parquet::{PROMOTED, file_schema};
use crate::encode::picked::Stretch;
use crate::encode::plain::{self, Plain};
use crate::table::object::Object;
use crate::{DataFile, Error};

/// Files that are opened at once.
const AT_ONCE: usize = 8;
/// Bytes that the batches of all runs have together, or a row of each, where one is
/// wider than its share.
const BATCHES: usize = 16 << 20;
/// Bytes after which a chunk ends before it has all its rows. With what is left of
/// the batches that it came from it is at most twice as much.
const CHUNK_BYTES: usize = 16 << 20;
/// Runs that are always open, lest files that are too large for a job stay for ever.
const FEWEST: usize = 2;

/// Why a merge cannot go on.
#[derive(Debug)]
pub enum Broken {
    /// This file is not what it should be; without it the others may be merged.
    Unfit {
        path: String,
        why: String,
    },
    Failed(Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken::Failed(error)
    }
}

fn unfit(file: &DataFile, why: impl std::fmt::Display) -> Broken {
    Broken::Unfit { path: file.path.clone(), why: why.to_string() }
}

/// A file that was opened by its footer.
struct Opened {
    file: Arc<DataFile>,
    object: Object,
    metadata: ArrowReaderMetadata,
}

/// The files of one run, read one after the other.
struct Run {
    files: VecDeque<Opened>,
    reading: Option<Reading>,
    /// Not empty; its schema is the merge's.
    rows: RecordBatch,
    /// Bytes of the rows.
    weight: usize,
    keys: Rows,
    at: usize,
    last: Option<OwnedRow>,
}

/// A file row group by row group: each has rows of a width of its own.
struct Reading {
    file: Arc<DataFile>,
    object: Object,
    metadata: Arc<ParquetMetaData>,
    levels: FieldLevels,
    /// Per leaf, whether it is read as codes.
    coded: Vec<bool>,
    /// Per column of the merge, where it is in the file.
    columns: Vec<Option<usize>>,
    /// The next row group.
    group: usize,
    batches: Option<ParquetRecordBatchReader>,
}

/// The rows of all runs.
pub struct Merge<'a> {
    table: &'a TableDef,
    keys: Keys,
    schema: SchemaRef,
    /// The promotions that every input lists.
    pub promoted: Vec<Value>,
    /// The columns that compressing made little smaller in the inputs.
    pub plain: Plain,
    runs: Vec<Run>,
    unpacker: Unpacker,
    /// How many runs it is of.
    taken: usize,
    /// Bytes that each run's batch may have.
    share: usize,
    most_held: usize,
    /// Runs that have rows, by their next row; the least is last.
    order: Vec<usize>,
    /// The key of the row that came out last.
    last: Option<OwnedRow>,
}

impl<'a> Merge<'a> {
    /// Opens every file by its footer, and the first of each run: of as many runs as
    /// hold `room` bytes open.
    pub async fn open(
        table: &'a TableDef,
        objects: Arc<dyn ObjectStore>,
        runs: &[Vec<Arc<DataFile>>],
        room: u64,
    ) -> Result<Merge<'a>, Broken> {
        let all = stream::iter(runs.iter().flatten()).map(|file| open(table, &objects, file));
        let mut all = all.buffered(AT_ONCE);
        let mut opened = Vec::with_capacity(runs.len());
        for run in runs {
            let mut files = VecDeque::with_capacity(run.len());
            while files.len() < run.len()
                && let Some(mut file) = all.try_next().await?
            {
                if !files.is_empty() {
                    file.object.forget();
                }
                files.push_back(file);
            }
            opened.push(files);
        }
        drop(all);
        let mut held = 0;
        let fits = |files: &&VecDeque<Opened>| {
            let open = files.iter().map(|opened| open_bytes(opened.metadata.metadata()));
            held += open.max().unwrap_or(0);
            held <= room
        };
        let fit = opened.iter().take_while(fits).count();
        opened.truncate(fit.max(FEWEST));
        let taken = opened.len();
        let schema = schema_of(table, opened.iter().flatten())?;
        let schema = by_codes_in_all(&schema, opened.iter().flatten().map(|file| &file.metadata));
        let schema = sharing(table, &schema);
        let promoted = promoted_by_all(opened.iter().flatten());
        let footers = opened.iter().flatten().map(|opened| opened.metadata.metadata().as_ref());
        let plain = plain::measured(footers);
        let keys = Keys::new(table)?;
        let mut merge = Merge {
            table,
            schema,
            promoted,
            plain,
            runs: Vec::with_capacity(taken),
            unpacker: Unpacker::new()?,
            taken,
            share: BATCHES / taken.max(1),
            most_held: 0,
            order: Vec::with_capacity(taken),
            last: None,
            keys,
        };
        for files in opened {
            let mut run = Run { files, ..merge.nothing()? };
            if merge.read(&mut run).await? {
                let index = merge.runs.len();
                merge.runs.push(run);
                merge.enter(index);
            }
        }
        Ok(merge)
    }

    /// The columns that come out: the table's, then those that only inputs have.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Of how many of the runs it is.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The most bytes that rows had at a time: batches, and the chunk made of them.
    pub fn most_held(&self) -> usize {
        self.most_held
    }

    /// The next rows, at most `most`; `None` after the last.
    pub async fn next(&mut self, most: usize) -> Result<Option<RecordBatch>, Broken> {
        self.gather(most, false).await
    }

    /// Those of the next rows that have the key of the last one.
    pub async fn rest_of_key(&mut self, most: usize) -> Result<Option<RecordBatch>, Broken> {
        self.gather(most, true).await
    }

    async fn gather(&mut self, most: usize, same_key: bool) -> Result<Option<RecordBatch>, Broken> {
        let stop = if same_key { self.last.clone() } else { None };
        let mut sources: Vec<RecordBatch> = Vec::new();
        // Where the present batch of a run stands among the sources.
        let mut source: Vec<Option<usize>> = vec![None; self.runs.len()];
        let mut picked: Vec<Stretch> = Vec::new();
        let (mut count, mut bytes, mut pinned) = (0, 0, 0);
        while count < most
            && bytes < CHUNK_BYTES
            && let Some(least) = self.order.pop()
        {
            let other = self.order.last().map(|&i| (self.runs[i].keys.row(self.runs[i].at), i));
            let run = &self.runs[least];
            let from = run.at;
            let width = run.weight / run.rows.num_rows() + 1;
            let room = (CHUNK_BYTES - bytes).div_ceil(width).min(most - count);
            let until = run.rows.num_rows().min(from + room);
            let comes = |row: usize| {
                let key = run.keys.row(row);
                other.is_none_or(|other| (key, least) < other)
                    && stop.as_ref().is_none_or(|stop| key == stop.row())
            };
            let to = (from..until).find(|row| !comes(*row)).unwrap_or(until);
            if to > from {
                let slot = *source[least].get_or_insert_with(|| {
                    sources.push(run.rows.clone());
                    pinned += run.weight;
                    sources.len() - 1
                });
                picked.push(Stretch { array: slot, from, to });
                count += to - from;
                bytes += (to - from) * width;
                self.last = Some(run.keys.row(to - 1).owned());
            }
            let (stopped, done) = (to == from, to == run.rows.num_rows());
            self.runs[least].at = to;
            if done {
                source[least] = None;
                let nothing = self.nothing()?;
                let mut run = std::mem::replace(&mut self.runs[least], nothing);
                if !self.read(&mut run).await? {
                    continue;
                }
                self.runs[least] = run;
            }
            self.enter(least);
            if stopped {
                break;
            }
        }
        if picked.is_empty() {
            return Ok(None);
        }
        let column = |column: usize| {
            let parts = sources.iter().map(|rows| rows.column(column).clone());
            interleaved(&parts.collect::<Vec<ArrayRef>>(), picked.as_slice())
        };
        let columns = (0..self.schema.fields().len()).map(column).collect::<Result<_, Error>>()?;
        let rows = RecordBatch::try_new(self.schema.clone(), columns).map_err(Error::from)?;
        let beside = self.runs.iter().zip(&source).filter(|(_, source)| source.is_none());
        let beside: usize = beside.map(|(run, _)| run.weight).sum();
        self.most_held = self.most_held.max(pinned + beside + weight(&rows));
        Ok(Some(rows))
    }

    /// Puts a run with rows in its place among the others.
    fn enter(&mut self, index: usize) {
        let key = |run: usize| (self.runs[run].keys.row(self.runs[run].at), run);
        let place = self.order.partition_point(|&other| key(other) > key(index));
        self.order.insert(place, index);
    }

    /// What stands for a run while it is read, and after its end.
    fn nothing(&self) -> Result<Run, Error> {
        let rows = RecordBatch::new_empty(self.schema.clone());
        let keys = self.keys.of(self.table, &rows)?;
        let files = VecDeque::new();
        Ok(Run { files, reading: None, rows, weight: 0, keys, at: 0, last: None })
    }

    /// Reads a run's next rows; false at its end.
    async fn read(&self, run: &mut Run) -> Result<bool, Broken> {
        loop {
            let Some(reading) = &mut run.reading else {
                let Some(next) = run.files.pop_front() else { return Ok(false) };
                run.reading = Some(self.start(next)?);
                continue;
            };
            let file = reading.file.clone();
            let Some(batches) = &mut reading.batches else {
                if !reading.next_group(self.share, &self.unpacker).await? {
                    run.reading = None;
                }
                continue;
            };
            let batch = match batches.next() {
                Some(Ok(batch)) if batch.num_rows() == 0 => continue,
                Some(Ok(batch)) => batch,
                None => {
                    reading.batches = None;
                    continue;
                }
                Some(Err(error)) => return Err(unfit(&file, error)),
            };
            let column = |(at, field): (&Option<usize>, &FieldRef)| {
                let of = unshared(field.data_type());
                let column = match at {
                    Some(at) => batch.column(*at).clone(),
                    None => new_null_array(of, batch.num_rows()),
                };
                if of == field.data_type() { Ok(column) } else { shared(&column) }
            };
            let columns = reading.columns.iter().zip(self.schema.fields()).map(column);
            let columns = columns.collect::<Result<Vec<ArrayRef>, Error>>()?;
            let rows = RecordBatch::try_new(self.schema.clone(), columns)
                .map_err(|error| unfit(&file, error))?;
            let keys = self.keys.of(self.table, &rows)?;
            let last = run.last.as_ref().map(OwnedRow::row);
            let mut pairs = last
                .into_iter()
                .chain(keys.iter())
                .zip(keys.iter().skip(usize::from(last.is_none())));
            if pairs.any(|(before, after)| before > after) {
                return Err(unfit(&file, "its rows are not in the order of the table"));
            }
            run.last = Some(keys.row(rows.num_rows() - 1).owned());
            (run.weight, run.rows, run.keys, run.at) = (weight(&rows), rows, keys, 0);
            return Ok(true);
        }
    }

    fn start(&self, Opened { file, object, metadata }: Opened) -> Result<Reading, Broken> {
        let found = metadata.schema();
        let columns = self.schema.fields().iter().map(|f| found.index_of(f.name()).ok()).collect();
        let coded = |field: &FieldRef| {
            let known = self.schema.field_with_name(field.name());
            let of = known.map_or(field.data_type(), |known| unshared(known.data_type()));
            field.as_ref().clone().with_data_type(of.clone())
        };
        let schema = Schema::new(found.fields().iter().map(coded).collect::<Vec<Field>>());
        let coded = coded_leaves(&schema);
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)
            .map_err(|error| unfit(&file, error))?;
        let levels = group::levels(&metadata).map_err(|error| unfit(&file, error))?;
        let metadata = metadata.metadata().clone();
        Ok(Reading { file, object, metadata, levels, coded, columns, group: 0, batches: None })
    }
}

impl Reading {
    /// Begins the next row group; false after the last.
    async fn next_group(&mut self, share: usize, unpacker: &Unpacker) -> Result<bool, Broken> {
        let (group, footer) = (self.group, &self.metadata);
        if group >= footer.num_row_groups() {
            return Ok(false);
        }
        self.group += 1;
        // There may be nothing to read of one without rows, and no range for that.
        if footer.row_group(group).num_rows() < 1 {
            return Ok(true);
        }
        let rows = rows_at_once(footer, group, share, &self.coded);
        let read = group::read(&mut self.object, footer, &self.levels, group, rows, unpacker);
        self.batches = Some(read.await.map_err(|error| broken(&self.file, error))?);
        Ok(true)
    }
}

/// A store that does not answer is no fault of the file.
fn broken(file: &DataFile, error: ::parquet::errors::ParquetError) -> Broken {
    use ::parquet::errors::ParquetError;
    let context = format!("{} could not be read", file.path);
    match error {
        ParquetError::External(source) => match source.downcast::<object_store::Error>() {
            Ok(source) => Broken::Failed(Error::store(context)(*source)),
            Err(source) => unfit(file, source),
        },
        error => unfit(file, error),
    }
}

async fn open(
    table: &TableDef,
    objects: &Arc<dyn ObjectStore>,
    file: &Arc<DataFile>,
) -> Result<Opened, Broken> {
    let mut object = Object::of(objects.clone(), file)?;
    let pages = PageIndexPolicy::Optional;
    let options = ArrowReaderOptions::new().with_offset_index_policy(pages);
    let metadata = ArrowReaderMetadata::load_async(&mut object, options).await;
    let metadata = metadata.map_err(|error| broken(file, error))?;
    if !claims_order(table, metadata.metadata()) {
        return Err(unfit(file, "it does not claim the order of the table"));
    }
    Ok(Opened { file: file.clone(), object, metadata })
}

/// Whether every row group says that it is sorted as the table is.
fn claims_order(table: &TableDef, footer: &ParquetMetaData) -> bool {
    footer.row_groups().iter().all(|group| {
        let claimed = group.sorting_columns().map(Vec::as_slice).unwrap_or_default();
        let name = |index: i32| {
            let column = usize::try_from(index).ok().and_then(|i| group.columns().get(i));
            column.map(|column| column.column_path().string())
        };
        claimed.len() >= table.sort.len()
            && table.sort.iter().zip(claimed).all(|(wanted, claim)| {
                !claim.descending
                    && claim.nulls_first
                    && name(claim.column_idx).is_some_and(|name| name == *wanted)
            })
    })
}

/// The table's columns, then those that only the files have: a promotion that
/// this node does not know must not lose its values.
fn schema_of<'a>(
    table: &TableDef,
    files: impl Iterator<Item = &'a Opened>,
) -> Result<SchemaRef, Broken> {
    let mut fields: Vec<FieldRef> = file_schema(table)?.fields().iter().cloned().collect();
    for Opened { file, metadata, .. } in files {
        for field in metadata.schema().fields() {
            match fields.iter().find(|known| known.name() == field.name()) {
                Some(known) if known.data_type() != field.data_type() => {
                    let why = format!(
                        "{} is {}, not {}",
                        field.name(),
                        field.data_type(),
                        known.data_type()
                    );
                    return Err(unfit(file, why));
                }
                Some(_) => {}
                None if field.name() == PARTITION => {
                    return Err(unfit(file, "it repeats its partition as a column"));
                }
                None => {
                    let field = Field::new(field.name(), field.data_type().clone(), true);
                    fields.push(Arc::new(field));
                }
            }
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// What every file says is promoted: in the others the values are in the map.
fn promoted_by_all<'a>(files: impl Iterator<Item = &'a Opened>) -> Vec<Value> {
    let said = |opened: &Opened| -> Vec<Value> {
        let entries = opened.metadata.metadata().file_metadata().key_value_metadata();
        let entry = entries.into_iter().flatten().find(|entry| entry.key == PROMOTED);
        let text = entry.and_then(|entry| entry.value.as_deref());
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let shared = |all: Vec<Value>, one: Vec<Value>| {
        all.into_iter().filter(|promotion| one.contains(promotion)).collect()
    };
    files.map(said).reduce(shared).unwrap_or_default()
}
