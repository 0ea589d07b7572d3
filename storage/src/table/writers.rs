//! Up to where every log has committed to a table, by one reading of its log.
//!
//! The library tells it of one log at a time, by a reading each. Asked of an
//! index alone: its files say whose rows they tell of only until they are joined.

use std::collections::BTreeMap;

use ::parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};
use schema::{ErrorKind, Position, WalId};

use super::object::Object;
use super::{Place, checkpoint, log};
use crate::Error;
use crate::store::told;

/// Entries that are read at once.
const AT_ONCE: usize = 16;

pub type Watermarks = BTreeMap<WalId, Position>;

/// The watermarks at a version. Nothing at all where the log cannot be read to
/// its beginning by what this project writes: that is no knowledge, and no harm.
pub(super) async fn at(place: &Place, version: u64) -> Result<Watermarks, Error> {
    let newest = checkpoint::hint(place).await?.filter(|newest| *newest <= version);
    let (first, mut known) = match newest {
        None => (0, Watermarks::new()),
        Some(newest) => match of_checkpoint(place, newest).await? {
            Some(known) => (newest + 1, known),
            None => return Ok(Watermarks::new()),
        },
    };
    let read = futures::stream::iter(first..=version).map(|number| entry(place, number));
    let mut read = read.buffered(AT_ONCE);
    while let Some(entry) = read.try_next().await? {
        let Some(lines) = entry else { return Ok(Watermarks::new()) };
        lines.iter().for_each(|line| note(&mut known, line));
    }
    Ok(known)
}

/// Takes in what a line of an entry tells.
pub(super) fn note(known: &mut Watermarks, line: &log::Line) {
    if let Some(txn) = &line.txn
        && let Ok(log) = txn.app_id.parse()
    {
        known.insert(log, position(txn.version));
    }
}

fn position(version: i64) -> Position {
    Position(u64::try_from(version).unwrap_or(0))
}

/// `None`: a checkpoint stands in for it by now.
async fn entry(place: &Place, number: u64) -> Result<Option<Vec<log::Line>>, Error> {
    let what = format!("entry {number}");
    let bytes = match place.objects.get(&log::entry_path(number)).await {
        Ok(found) => found.bytes().await.map_err(|error| place.unreachable(&what, error))?,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(place.unreachable(&what, error)),
    };
    let lines = log::read(&bytes).map_err(|error| {
        place.error(ErrorKind::Corrupt, format!("{what} of its log is broken: {error}"))
    })?;
    Ok(Some(lines))
}

/// Those that a checkpoint carries; `None` when it is not of our form.
async fn of_checkpoint(place: &Place, version: u64) -> Result<Option<Watermarks>, Error> {
    let failed = |error: ::parquet::errors::ParquetError| {
        let what = format!("its checkpoint could not be read: {}", told(&error));
        place.error(ErrorKind::Unavailable, what)
    };
    let name = format!("{version:020}.checkpoint.parquet");
    let location = Path::from_iter(["_delta_log".to_owned(), name]);
    let object = match place.objects.head(&location).await {
        // The store behind calls it by its whole name.
        Ok(object) => ObjectMeta { location, ..object },
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(place.unreachable("its checkpoint", error)),
    };
    let file = Object::at(place.objects.clone(), &object);
    let builder = ParquetRecordBatchStreamBuilder::new(file).await.map_err(failed)?;
    let only = ProjectionMask::columns(builder.parquet_schema(), ["txn.appId", "txn.version"]);
    let mut rows = builder.with_projection(only).build().map_err(failed)?;
    let mut known = Watermarks::new();
    while let Some(rows) = rows.try_next().await.map_err(failed)? {
        match of_rows(&rows) {
            Some(found) => known.extend(found),
            None => return Ok(None),
        }
    }
    Ok(Some(known))
}

fn of_rows(rows: &RecordBatch) -> Option<Watermarks> {
    let txn = rows.column_by_name("txn")?.as_struct_opt()?;
    let ids = txn.column_by_name("appId")?.as_string_opt::<i32>()?;
    let versions = txn.column_by_name("version")?.as_primitive_opt::<Int64Type>()?;
    let told = (0..rows.num_rows()).filter(|row| ids.is_valid(*row) && versions.is_valid(*row));
    let pair = |row: usize| Some((ids.value(row).parse().ok()?, position(versions.value(row))));
    Some(told.filter_map(pair).collect())
}
