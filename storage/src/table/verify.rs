//! `cloudsail verify`: the log of a table is whole, and every file that it names
//! exists and is what it says. Reads every row.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ::parquet::arrow::ParquetRecordBatchStreamBuilder;
use futures::{FutureExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use schema::{TableDef, Tenant};

use super::bounds::Bounds;
use super::object::Object;
use super::{DeltaTable, Place, audit};
use crate::encode::stats::less;
use crate::store::{Store, told};
use crate::{ColumnStats, DataFile, Error, FileStats};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path from the root of the store; the table's folder for what concerns
    /// the table.
    pub path: String,
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// Checks a table; a table that does not exist has nothing to find. Fails only
/// when the store does not answer.
pub async fn verify(
    store: &Store,
    tenant: &Tenant,
    table: &Arc<TableDef>,
) -> Result<Vec<Finding>, Error> {
    let place = Place::of(store, tenant, table.clone())?;
    let mut findings = audit::log(&place).await?;
    let mut opened = match DeltaTable::open(store, tenant, table.clone(), None).await {
        Ok(opened) => opened,
        // What is wrong with the log says more than that it cannot be loaded.
        Err(Error::Table { .. }) if !findings.is_empty() => return Ok(findings),
        Err(Error::Table { table, message, kind }) if kind != schema::ErrorKind::Unavailable => {
            let remedy = "restore the table from a copy, or ask it at an older version".into();
            return Ok(vec![Finding { path: table, problem: message, remedy }]);
        }
        Err(error) => return Err(error),
    };
    let Some(committed) = opened.current() else { return Ok(findings) };
    findings.extend(audit::positions(&committed));
    let mut damaged = Vec::new();
    for file in committed.files.iter() {
        let problems = check(store.objects(), table, file).await?;
        damaged.extend(problems.into_iter().map(|problem| (file, problem)));
    }
    // Joins and retention go on meanwhile, and remove what they replaced.
    let named = match damaged.is_empty() {
        true => None,
        false => opened.refresh().await?,
    };
    for (file, problem) in damaged {
        let by_path = |other: &Arc<DataFile>| other.path.cmp(&file.path);
        if named.as_ref().is_none_or(|now| now.files.binary_search_by(by_path).is_ok()) {
            let remedy = "restore it from a copy, or remove it from the table and lose its rows";
            findings.push(Finding { path: file.path.clone(), problem, remedy: remedy.into() });
        }
    }
    Ok(findings)
}

/// What lies in a table's folder and is named by no version: no damage, and
/// mostly on its way in or out.
pub async fn leftovers(
    store: &Store,
    tenant: &Tenant,
    table: &Arc<TableDef>,
) -> Result<Vec<Finding>, Error> {
    let mut left = super::orphans(store, tenant, table).await?;
    left.extend(super::orphans::unfinished(store, tenant, table).await?);
    Ok(audit::leftovers(left))
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
    for (name, said) in file.stats.iter() {
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
    let broken = |error: &dyn std::error::Error| format!("cannot be read: {}", told(error));
    let object = Object::of(objects, file).map_err(|error| broken(&error))?;
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
