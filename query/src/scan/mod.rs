//! One table of a statement: committed ∪ staged ∪ hot, each row once (S1).
//!
//! Last on the route out: [`crate::catalog`] pins a snapshot → **scan** →
//! DataFusion's operators. The snapshot says which rows exist; nothing here
//! looks at the store to find out. What cannot match is left out first
//! ([`crate::prune`]), then each place becomes a plan node of its own:
//!
//! | file | what |
//! | --- | --- |
//! | this | [`Table`], the provider; the union |
//! | [`files`] | Parquet files of one place: groups, order, statistics |
//! | [`decode`] | how their text is decoded: keys of maps, columns of few texts |
//! | [`absent`] | promoted keys that no map of a file has |
//! | [`narrow`] | what of them DataFusion is asked to read, row group by row group |
//! | [`reader`] | reads their bytes, with footers cached, and counts |
//! | [`hot`] | rows in memory |
//!
//! Filters are given to DataFusion as inexact: it keeps them above the scan,
//! then pushes them into the Parquet reader itself, where they are evaluated
//! once. Setting them here as well would evaluate them twice.

mod absent;
mod decode;
mod files;
mod hot;
mod narrow;
mod reader;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::datasource::TableType;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use schema::TableDef;
use schema::table::PARTITION;
use storage::{DataFile, Place, Snapshot};

use crate::catalog::pins::Pins;
use crate::prune;

/// A pinned table.
pub(crate) struct Table {
    snapshot: Arc<Snapshot>,
    pins: Arc<Pins>,
    /// The columns in the files, and `date`, which is in their paths.
    schema: TableSchema,
}

impl Table {
    pub fn new(snapshot: Arc<Snapshot>, pins: Arc<Pins>) -> Result<Table, DataFusionError> {
        let whole = &snapshot.table.schema;
        let (partition, stored): (Vec<_>, Vec<_>) =
            whole.fields().iter().cloned().partition(|field| field.name() == PARTITION);
        let schema = TableSchema::builder(Arc::new(Schema::new(stored)))
            .with_table_partition_cols(partition)
            .build();
        if schema.table_schema() != whole {
            let name = snapshot.table.name;
            return datafusion::common::internal_err!(
                "{PARTITION} is not the last column of {name}"
            );
        }
        Ok(Table { snapshot, pins, schema })
    }

    pub fn def(&self) -> &TableDef {
        &self.snapshot.table
    }

    /// The files that may hold a match, and between which times, if known.
    async fn candidates(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<(Vec<Arc<DataFile>>, Option<prune::Range>), DataFusionError> {
        let all: Vec<Arc<DataFile>> =
            self.snapshot.committed.iter().chain(self.snapshot.staged.iter()).cloned().collect();
        let count = all.len();
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok((all, None)) };
        let schema = &self.snapshot.table.schema;
        let predicate = state.create_physical_expr(filter, &DFSchema::try_from(schema.clone())?)?;
        let kept = prune::by_statistics(predicate, schema, all);
        let (kept, times) =
            prune::by_trace(&self.snapshot, &self.pins, state, filters, kept).await?;
        self.pins.stats.pruned(count - kept.len());
        Ok((kept, times))
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.snapshot.table.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        self.snapshot.table.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let (kept, times) = self.candidates(state, filters).await?;
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        for place in [Place::Store, Place::Stage] {
            let here: Vec<_> = kept.iter().filter(|file| file.place == place).cloned().collect();
            if !here.is_empty() {
                let scan = files::Scan {
                    def: &self.snapshot.table,
                    schema: &self.schema,
                    pins: &self.pins,
                    place,
                    times,
                    filters,
                };
                parts.push(scan.plan(state, here, projection, limit).await?);
            }
        }
        if self.snapshot.hot_rows() > 0 {
            parts.push(hot::plan(&self.snapshot, state, projection, limit)?);
        }
        match parts.len() {
            0 => {
                let schema = match projection {
                    Some(columns) => Arc::new(self.schema().project(columns)?),
                    None => self.schema(),
                };
                Ok(Arc::new(EmptyExec::new(schema)))
            }
            1 => Ok(parts.remove(0)),
            _ => UnionExec::try_new(parts),
        }
    }
}
