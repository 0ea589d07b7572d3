//! Rows of experiments: written through the sink like all others, read back by
//! SQL. What was written is durable.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use arrow::array::RecordBatch;
use arrow::json::ReaderBuilder;
use experiments::document::Allowed;
use experiments::run::row::WindowRow;
use experiments::{Ask as _, Experiment, Run, Table};
use query::{Engine, Sight};
use schema::tables::experiments::{EXPERIMENTS, WINDOWS};
use schema::{
    Batch, Budget, Catalog, Clock, Door, ErrorKind, Refusal, Rows, Sink, TableDef, Tenant,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::Local;

const NANOS_PER_DAY: i64 = 86_400_000_000_000;
/// How long runs that are over are kept at hand, in microseconds.
const AT_HAND: i64 = 7 * 86_400_000_000;
/// Runs that are read back at a start, the latest first.
const MOST_READ: usize = 5_000;

#[derive(Clone)]
pub struct Journal {
    pub sink: Arc<dyn Sink>,
    pub catalog: Arc<Catalog>,
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    pub node_id: String,
}

/// A document as its row.
#[derive(Debug, Clone, Serialize)]
pub struct DocumentRow {
    pub time: i64,
    pub node_id: String,
    pub revision: i64,
    pub name: String,
    pub version: String,
    pub title: String,
    pub owner: Option<String>,
    pub yaml: String,
}

#[derive(Serialize)]
struct Dated<'a, T> {
    #[serde(flatten)]
    row: &'a T,
    date: i64,
}

/// A document of each version that was read once.
pub type Versions = HashMap<String, Arc<Experiment>>;

/// A version of a document, found.
#[derive(Debug)]
pub struct Document {
    pub name: String,
    pub version: String,
    pub revision: i64,
    pub experiment: Arc<Experiment>,
}

/// What is found of one tenant's.
#[derive(Debug)]
pub struct Found {
    pub tenant: Tenant,
    /// Each with the node that keeps it.
    pub runs: Vec<(Run, Option<String>)>,
    /// Every version of each document, the latest last.
    pub documents: Vec<Document>,
    /// Not while the store is away: then it is what the local log has.
    pub whole: bool,
}

impl Journal {
    /// Appends rows of a table that SQL knows by `view`. Times in them are
    /// microseconds since 1970.
    pub async fn write<T: Serialize>(
        &self,
        tenant: &Tenant,
        view: &str,
        rows: &[T],
    ) -> Result<(), Refusal> {
        if rows.is_empty() {
            return Ok(());
        }
        let internal = |message: String| Refusal::new(ErrorKind::Internal, message);
        let table = self.catalog.revised(view);
        let table = table.ok_or_else(|| internal(format!("the catalog has no {view}")))?;
        let date = self.clock.now_unix_nano().div_euclid(NANOS_PER_DAY);
        let dated: Vec<Dated<'_, T>> = rows.iter().map(|row| Dated { row, date }).collect();
        let batch = batch(table, &dated).map_err(|error| internal(format!("{error:#}")))?;
        let rows =
            Rows::plain(&table.layout, &batch).map_err(|error| internal(error.to_string()))?;
        let reservation = self
            .budget
            .try_reserve(rows.bytes())
            .ok_or_else(|| Refusal::unavailable("there is no memory left for a row"))?;
        let (tenant, table, door) = (tenant.clone(), table.clone(), Door::Internal);
        self.sink.append(Batch { tenant, table, door, rows, reservation }).await.map(drop)
    }

    pub fn document(&self, name: &str, experiment: &Experiment) -> Result<DocumentRow> {
        let now = self.clock.now_unix_nano() / 1_000;
        Ok(DocumentRow {
            time: now,
            node_id: self.node_id.clone(),
            revision: now,
            name: name.to_owned(),
            version: experiment.version(),
            title: experiment.title.clone(),
            owner: experiment.owner.clone(),
            yaml: experiment.to_yaml()?,
        })
    }

    /// The runs and documents of a tenant, as far as they can be seen.
    pub async fn found(
        &self,
        engine: &Arc<Engine>,
        tenant: &Tenant,
        known: &mut Versions,
    ) -> Result<Found> {
        // Most nodes never run an experiment: they need not get ready for SQL.
        let sight = engine.sees(tenant, &[EXPERIMENTS, WINDOWS]);
        if sight != Sight::Rows {
            let (tenant, whole) = (tenant.clone(), sight == Sight::Nothing);
            return Ok(Found { tenant, runs: Vec::new(), documents: Vec::new(), whole });
        }
        let local = Local { engine: engine.clone(), tenant: tenant.clone() };
        let documents =
            format!("SELECT name, version, revision, yaml FROM {EXPERIMENTS} ORDER BY revision");
        let (documents, all) = seen(local.ask(&documents).await?)?;
        let since = self.clock.now_unix_nano() / 1_000 - AT_HAND;
        let windows = format!(
            "SELECT {} FROM {WINDOWS} WHERE state NOT IN ('ended', 'aborted') OR (verdict IS NULL AND version IS NOT NULL) OR time >= to_timestamp_micros({since}) ORDER BY time DESC LIMIT {MOST_READ}",
            self.selected()?
        );
        let (windows, whole) = seen(local.ask(&windows).await?)?;
        let whole = whole && all;
        let mut found =
            Found { tenant: tenant.clone(), runs: Vec::new(), documents: Vec::new(), whole };
        for document in documents {
            let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
            let version = text("version");
            if !known.contains_key(version) {
                match Experiment::parse(text("yaml"), &Allowed::new()) {
                    Ok(experiment) => {
                        drop(known.insert(version.to_owned(), Arc::new(experiment)));
                    }
                    Err(error) => {
                        tracing::error!(name = text("name"), version, %error, "a stored experiment cannot be read any more; its runs are not taken up");
                        continue;
                    }
                }
            }
            if let Some(experiment) = known.get(version) {
                found.documents.push(Document {
                    name: text("name").to_owned(),
                    version: version.to_owned(),
                    revision: document.get("revision").and_then(Value::as_i64).unwrap_or_default(),
                    experiment: experiment.clone(),
                });
            }
        }
        for window in windows {
            let row: WindowRow = match serde_json::from_value(Value::Object(window)) {
                Ok(row) => row,
                // One must not keep all others from being taken up.
                Err(error) => {
                    tracing::error!(%error, "a row of experiment_windows is not as this version writes it; its run is not taken up");
                    continue;
                }
            };
            let document = row.version.as_ref().and_then(|version| known.get(version));
            let node = row.node_id.clone();
            match row.run(tenant.clone(), document.cloned()) {
                Ok(run) => found.runs.push((run, node)),
                Err(error) if whole => tracing::error!(%error, "a run is not taken up"),
                Err(error) => tracing::debug!(%error, "a run's document cannot be seen yet"),
            }
        }
        Ok(found)
    }

    /// The columns of a run's row as [`WindowRow`] reads them.
    pub fn selected(&self) -> Result<String> {
        let table = self.catalog.revised(WINDOWS);
        let table = table.ok_or_else(|| anyhow!("the catalog has no {WINDOWS}"))?;
        let columns = table.columns.iter().filter(|c| c.name != "date" && c.name != "report");
        let said = columns.map(|column| match column.data_type {
            arrow::datatypes::DataType::Timestamp(..) => {
                format!("CAST({0} AS BIGINT) AS {0}", column.name)
            }
            _ => column.name.clone(),
        });
        Ok(said.collect::<Vec<_>>().join(", "))
    }
}

fn batch<T: Serialize>(table: &TableDef, rows: &[T]) -> Result<RecordBatch> {
    let reader = ReaderBuilder::new(table.schema.clone()).with_strict_mode(true);
    let mut decoder = reader.build_decoder()?;
    decoder.serialize(rows)?;
    decoder.flush()?.ok_or_else(|| anyhow!("rows of {} became none", table.name))
}

/// Rows by the names of their columns; all of them, or an error.
pub fn objects(table: Table) -> Result<Vec<Map<String, Value>>> {
    if !table.incomplete.is_empty() {
        bail!("not every row of experiments can be seen yet: {}", table.incomplete.join("; "));
    }
    seen(table).map(|(rows, _)| rows)
}

/// Rows that can be seen, and whether that is all of them.
pub fn seen(table: Table) -> Result<(Vec<Map<String, Value>>, bool)> {
    if table.truncated {
        bail!("there are more rows of experiments than one answer may have");
    }
    let (columns, whole) = (table.columns, table.incomplete.is_empty());
    let object = |row: Vec<Value>| columns.iter().cloned().zip(row).collect();
    Ok((table.rows.into_iter().map(object).collect(), whole))
}
