//! The tables of a tenant, as SQL shows them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use schema::TableDef;
use schema::tables::common::timestamp;
use schema::tables::spans;

use super::{View, latest, views};
use crate::scan::Table;

/// A column that SQL adds to a table's own.
pub(super) struct Computed {
    pub name: &'static str,
    pub data_type: DataType,
    pub doc: &'static str,
    /// The column that it follows.
    after: &'static str,
}

/// The columns that SQL adds to a table.
pub(super) fn computed(table: &str) -> Vec<Computed> {
    if table != spans::NAME {
        return Vec::new();
    }
    let column = |name, data_type, doc| Computed { name, data_type, doc, after: "duration_ns" };
    vec![
        column("duration_ms", DataType::Float64, "`duration_ns` in milliseconds (computed)."),
        column("end_time", timestamp(), "`time` plus `duration_ns` (UTC, microseconds; computed)."),
    ]
}

fn expression(name: &str) -> Expr {
    let column = |name: &str| Expr::Column(Column::from_name(name));
    match name {
        "end_time" => {
            let nanos = column("time_unix_nano") + column("duration_ns");
            cast(nanos / lit(1_000i64), timestamp())
        }
        _ => cast(column("duration_ns"), DataType::Float64) / lit(1e6),
    }
}

pub(super) fn names(view: &View) -> Vec<String> {
    let mut names: Vec<String> = view.pins.defs().iter().map(|def| def.name.to_owned()).collect();
    names.extend(views::names().map(str::to_owned));
    names.extend(latest::names(view).map(str::to_owned));
    names
}

/// A table's columns with the computed ones, in the order that SQL shows.
pub(super) fn schema(view: &View, name: &str) -> Option<SchemaRef> {
    if let Some(merged) = views::merged(name) {
        return Some(merged.schema());
    }
    if let Some(revisions) = latest::revisions(view, name) {
        return Some(revisions.schema.clone());
    }
    let def = view.pins.def(name)?;
    let fields = columns(&def).map(|(name, data_type)| Field::new(name, data_type, true));
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

fn columns(def: &TableDef) -> impl Iterator<Item = (String, DataType)> {
    let computed = computed(def.name);
    let mut all = Vec::with_capacity(def.columns.len() + computed.len());
    for column in &def.columns {
        all.push((column.name.clone(), column.data_type.clone()));
        let follow = computed.iter().filter(|c| c.after == column.name);
        all.extend(follow.map(|c| (c.name.to_owned(), c.data_type.clone())));
    }
    all.into_iter()
}

pub(super) async fn table(
    view: &Arc<View>,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
    if let Some(merged) = views::merged(name) {
        let plan = super::planned(view, merged.sql).await?;
        return Ok(Some(Arc::new(ViewTable::new(plan, None))));
    }
    if let Some(revisions) = latest::revisions(view, name) {
        let plan = super::planned(view, &latest::sql(&revisions)).await?;
        return Ok(Some(Arc::new(ViewTable::new(plan, None))));
    }
    let Some(snapshot) = view.pins.pin(name)? else { return Ok(None) };
    let table: Arc<dyn TableProvider> = Arc::new(Table::new(snapshot.clone(), view.pins.clone())?);
    if computed(name).is_empty() {
        return Ok(Some(table));
    }
    let plan = with_computed(&snapshot.table, table)?;
    Ok(Some(Arc::new(ViewTable::new(plan, None))))
}

fn with_computed(
    def: &TableDef,
    table: Arc<dyn TableProvider>,
) -> Result<LogicalPlan, DataFusionError> {
    let own = |name: &String| def.schema.column_with_name(name).is_some();
    let expressions = columns(def).map(|(name, _)| match own(&name) {
        true => Expr::Column(Column::from_name(name)),
        false => expression(&name).alias(name),
    });
    let expressions: Vec<Expr> = expressions.collect();
    LogicalPlanBuilder::scan(def.name, provider_as_source(table), None)?
        .project(expressions)?
        .build()
}
