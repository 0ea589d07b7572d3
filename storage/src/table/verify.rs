//! `cloudsail verify`: every file that a table names exists and is what the
//! log says it is. Reads every row.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ::parquet::arrow::ParquetRecordBatchStreamBuilder;
use ::parquet::arrow::arrow_reader::ArrowReaderOptions;
use ::parquet::arrow::async_reader::AsyncFileReader;
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use schema::{TableDef, Tenant};

use super::DeltaTable;
use super::bounds::Bounds;
use crate::encode::stats::less;
use crate::store::Store;
use crate::{ColumnStats, DataFile, Error, FileStats};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path from the root of the store; the table's folder for what concerns
    /// the table.
    pub path: String,
    pub problem: String,
}

/// Checks a table; a table that does not exist has nothing to find. Fails only
/// when the store does not answer.
pub async fn verify(
    store: &Store,
    tenant: &Tenant,
    table: &Arc<TableDef>,
) -> Result<Vec<Finding>, Error> {
    let opened = match DeltaTable::open(store, tenant, table.clone(), None).await {
        Ok(opened) => opened,
        Err(Error::Table { table, message, kind }) if kind != schema::ErrorKind::Unavailable => {
            return Ok(vec![Finding { path: table, problem: message }]);
        }
        Err(error) => return Err(error),
    };
    let mut findings = Vec::new();
    for file in opened.current().iter().flat_map(|committed| committed.files.iter()) {
        let problems = check(store.objects(), table, file).await?;
        let finding = |problem| Finding { path: file.path.clone(), problem };
        findings.extend(problems.into_iter().map(finding));
    }
    Ok(findings)
}

async fn check(
    objects: Arc<dyn ObjectStore>,
    table: &TableDef,
    file: &DataFile,
) -> Result<Vec<String>, Error> {
    let path = file.location()?;
    let size = match objects.head(&path).await {
        Ok(found) => found.size,
        Err(object_store::Error::NotFound { .. }) => return Ok(vec!["does not exist".into()]),
        Err(error) => return Err(Error::store(format!("{path} could not be looked up"))(error)),
    };
    if size != file.size {
        return Ok(vec![format!("has {size} bytes, the log says {}", file.size)]);
    }
    // Damaged pages make the library panic in places; nothing is kept of the
    // reader that did.
    let read = AssertUnwindSafe(read(objects, table, file)).catch_unwind().await;
    let read = read.unwrap_or_else(|_| Err("cannot be read: its pages make no sense".into()));
    let (rows, found, mut problems) = match read {
        Ok(read) => read,
        Err(problem) => return Ok(vec![problem]),
    };
    if rows != file.rows {
        problems.push(format!("has {rows} rows, the log says {}", file.rows));
    }
    for (name, said) in &file.stats {
        // A column that the file lacks is NULL throughout.
        let absent = ColumnStats { null_count: Some(rows), ..ColumnStats::default() };
        let is = found.get(name).unwrap_or(&absent);
        if said.null_count.is_some() && said.null_count != is.null_count {
            problems.push(format!(
                "{name}: the log says {:?} nulls, there are {:?}",
                said.null_count, is.null_count
            ));
        }
        let low = matches!((&said.min, &is.min), (Some(said), Some(is)) if less(is, said));
        let high = matches!((&said.max, &is.max), (Some(said), Some(is)) if less(said, is));
        if low || high {
            problems.push(format!("{name}: values lie outside the bounds in the log"));
        }
    }
    Ok(problems)
}

/// Rows, statistics of what is really there, and what is wrong with columns.
async fn read(
    objects: Arc<dyn ObjectStore>,
    table: &TableDef,
    file: &DataFile,
) -> Result<(u64, FileStats, Vec<String>), String> {
    let broken = |error: &dyn std::fmt::Display| format!("cannot be read: {error}");
    let path = file.location().map_err(|error| broken(&error))?;
    let object = Object { objects, path, size: file.size };
    let builder =
        ParquetRecordBatchStreamBuilder::new(object).await.map_err(|error| broken(&error))?;
    let mut problems = Vec::new();
    for field in builder.schema().fields() {
        let wanted = table.schema.field_with_name(field.name()).map(|field| field.data_type());
        if wanted.is_ok_and(|wanted| wanted != field.data_type()) {
            problems.push(format!("{} is {}", field.name(), field.data_type()));
        }
    }
    let mut rows = 0;
    let mut bounds = Bounds::default();
    let mut stream = builder.build().map_err(|error| broken(&error))?;
    while let Some(batch) = stream.try_next().await.map_err(|error| broken(&error))? {
        rows += batch.num_rows() as u64;
        bounds.add(&batch);
    }
    Ok((rows, bounds.finish(), problems))
}

/// A Parquet file on an object store, read range by range.
struct Object {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        let read = async { self.objects.get_range(&self.path, range).await };
        read.map(|read| read.map_err(|error| ParquetError::External(error.into()))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.size;
        async move { Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, size).await?)) }
            .boxed()
    }
}
