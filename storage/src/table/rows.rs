//! A checkpoint's rows, which are the actions of entries in columns, as lines.
//! What holds nothing of what is asked for is passed over by the statistics of its
//! row group.

use std::collections::HashSet;

use ::parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use ::parquet::file::metadata::RowGroupMetaData;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use schema::ErrorKind;

use super::Place;
use super::log::{self, Line};
use super::object::Object;
use crate::Error;
use crate::store::told;

/// A field of each kind of action that none of them lacks.
const TELLING: &[&str] =
    &["protocol.minReaderVersion", "metaData.id", "txn.appId", "add.path", "remove.path"];

/// False when it is not of the form that this project writes.
pub async fn of_checkpoint(
    place: &Place,
    version: u64,
    object: &ObjectMeta,
    columns: &[&str],
    take: &mut impl FnMut(u64, Vec<Line>) -> Result<(), Error>,
) -> Result<bool, Error> {
    let what = || format!("its checkpoint of version {version} could not be read");
    let failed = |error: ::parquet::errors::ParquetError| match error {
        ::parquet::errors::ParquetError::External(source) => match source.downcast() {
            Ok(source) => Error::store(format!("table {}: {}", place.prefix, what()))(*source),
            Err(source) => place.error(ErrorKind::Unavailable, format!("{}: {source}", what())),
        },
        error => place.error(ErrorKind::Unavailable, format!("{}: {}", what(), told(&error))),
    };
    let file = Object::at(place.objects.clone(), object);
    let builder = ParquetRecordBatchStreamBuilder::new(file).await.map_err(failed)?;
    // Its files are in other objects.
    if builder.schema().column_with_name("checkpointMetadata").is_some() {
        return Ok(false);
    }
    // What was removed lies apart, and is most of it.
    let groups = builder.metadata().row_groups().iter().enumerate();
    let groups = groups.filter(|(_, group)| tells(group, columns)).map(|(nth, _)| nth).collect();
    let only = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let rows = builder.with_projection(only).with_row_groups(groups);
    let mut rows = rows.build().map_err(failed)?;
    while let Some(rows) = rows.try_next().await.map_err(failed)? {
        let lines = lines(&rows)
            .map_err(|error| place.error(ErrorKind::Corrupt, format!("{}: {error}", what())))?;
        if lines.iter().any(|line| line.add.as_ref().is_some_and(|add| add.stats.is_none())) {
            return Ok(false);
        }
        if !lines.is_empty() {
            take(version, lines)?;
        }
    }
    Ok(true)
}

/// Whether any row of a group may have one of `columns`.
pub fn tells(group: &RowGroupMetaData, columns: &[&str]) -> bool {
    let kind = |path: &str| path.split('.').next().map(str::to_owned);
    let asked: HashSet<_> = columns.iter().map(|column| kind(column)).collect();
    group.columns().iter().any(|chunk| {
        let path = chunk.column_path().string();
        let nulls = chunk.statistics().and_then(|known| known.null_count_opt());
        TELLING.contains(&path.as_str())
            && asked.contains(&kind(&path))
            && nulls.is_none_or(|nulls| i64::try_from(nulls) != Ok(group.num_rows()))
    })
}

/// Rows as entries have them.
fn lines(rows: &RecordBatch) -> Result<Vec<Line>, ArrowError> {
    let mut json = LineDelimitedWriter::new(Vec::new());
    json.write(rows)?;
    json.finish()?;
    log::read(&json.into_inner()).map_err(|error| ArrowError::JsonError(error.to_string()))
}
