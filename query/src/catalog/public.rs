//! The tables of a tenant, and the views over them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use schema::TableDef;
use schema::tables::common::{list, timestamp};
use schema::tables::{spans, trace_parts};

use super::View;
use crate::scan::Table;

pub(super) const TRACES: &str = "traces";

/// One row per trace, out of its parts. The root's fields come from one part:
/// the earliest that has a root.
const TRACES_SQL: &str = "\
SELECT trace_id, min(min_time) AS min_time, max(max_time) AS max_time, \
 first_value(root_service ORDER BY min_time, root_name, root_service) FILTER (WHERE root_duration_ns IS NOT NULL) AS root_service, \
 first_value(root_name ORDER BY min_time, root_name, root_service) FILTER (WHERE root_duration_ns IS NOT NULL) AS root_name, \
 first_value(root_duration_ns ORDER BY min_time, root_name, root_service) FILTER (WHERE root_duration_ns IS NOT NULL) AS root_duration_ns, \
 sum(span_count) AS span_count, sum(error_count) AS error_count, \
 array_sort(array_distinct(flatten(array_agg(services)))) AS services \
FROM trace_parts GROUP BY trace_id";

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
    names.push(TRACES.into());
    names
}

/// A table's columns with the computed ones, in the order that SQL shows.
pub(super) fn schema(view: &View, name: &str) -> Option<SchemaRef> {
    if name == TRACES {
        return Some(traces());
    }
    let def = view.pins.def(name)?;
    let fields = columns(&def).map(|(name, data_type)| Field::new(name, data_type, true));
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

fn traces() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("trace_id", DataType::Utf8),
        field("min_time", timestamp()),
        field("max_time", timestamp()),
        field("root_service", DataType::Utf8),
        field("root_name", DataType::Utf8),
        field("root_duration_ns", DataType::Int64),
        field("span_count", DataType::Int64),
        field("error_count", DataType::Int64),
        field("services", list(DataType::Utf8)),
    ]))
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
    if name == TRACES {
        let plan = super::planned(view, TRACES_SQL).await?;
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

/// What `/api/v1/tables` says of the columns of `traces`.
pub(super) fn traces_doc(view: &View, column: &str) -> String {
    let parts = view.pins.def(trace_parts::NAME);
    let doc =
        parts.and_then(|def| def.columns.iter().find(|c| c.name == column).map(|c| c.doc.clone()));
    doc.unwrap_or_default().replace(" in this part", "").replace("this part", "the trace")
}
