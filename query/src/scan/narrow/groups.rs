//! Row groups and pages that can match, and what a row group says of itself.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::listing::FileRange;
use datafusion::datasource::physical_plan::parquet::{
    PagePruningAccessPlanFilter, ParquetAccessPlan, ParquetFileMetrics, RowGroupAccess,
    RowGroupAccessPlanFilter,
};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics as Bounds;

/// A part of a row group: all of its rows, or some.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub group: usize,
    pub rows: Option<RowSelection>,
    /// Whether all of its rows are known to lie within the bounds of times.
    pub inside: bool,
}

/// Of the row groups in `range`, what may match by bounds. What is left out is
/// counted in `counted`.
pub(super) fn matching(
    metadata: &ParquetMetaData,
    range: Option<&FileRange>,
    predicate: Option<&Arc<dyn PhysicalExpr>>,
    table: &TableSchema,
    counted: Option<&ParquetFileMetrics>,
) -> Vec<Part> {
    let all = metadata.row_groups();
    let mut groups = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(all.len()));
    if let Some(range) = range {
        groups.prune_by_range(all, range);
    }
    let (schema, parquet) = (table.table_schema(), metadata.file_metadata().schema_descr());
    // DataFusion counts what is left when it opens it.
    let own = ParquetFileMetrics::new(0, "", &ExecutionPlanMetricsSet::new());
    let pruning = predicate.map(|predicate| {
        let builder = PruningPredicateBuilder::new().with_file_schema(schema.clone());
        builder.try_build(predicate.clone())
    });
    match pruning {
        Some(Ok(pruning)) => {
            groups.prune_by_statistics(schema, parquet, all, &pruning, &own);
        }
        Some(Err(error)) => tracing::debug!(%error, "a predicate cannot prune"),
        None => {}
    }
    let mut plan = groups.build();
    if let Some(predicate) = predicate {
        let pages = PagePruningAccessPlanFilter::new(predicate, schema.clone());
        plan = pages.prune_plan_with_page_index(plan, schema, parquet, metadata, &own);
    }
    if let Some(counted) = counted {
        let groups = own.row_groups_pruned_statistics.pruned();
        counted.row_groups_pruned_statistics.add_pruned(groups);
        counted.page_index_pages_pruned.add_pruned(own.page_index_pages_pruned.pruned());
        counted.page_index_rows_pruned.add_pruned(own.page_index_rows_pruned.pruned());
    }
    let parts = plan.into_inner().into_iter().enumerate().filter_map(|(group, access)| {
        let rows = match access {
            RowGroupAccess::Skip => return None,
            RowGroupAccess::Scan => None,
            RowGroupAccess::Selection(rows) => Some(rows),
        };
        Some(Part { group, rows, inside: false })
    });
    parts.collect()
}

/// Divides parts into pages that certainly have no row for which `outside` is
/// true, or unknown, and others.
pub(super) fn divided(
    metadata: &ParquetMetaData,
    parts: Vec<Part>,
    (column, outside): (&str, &Arc<dyn PhysicalExpr>),
    table: &TableSchema,
) -> Vec<Part> {
    let edges = matching(metadata, None, Some(outside), table, None);
    let is_full = |group: usize| {
        let chunk = leaf(metadata, column).map(|at| metadata.row_group(group).column(at));
        let bounds = chunk.and_then(|chunk| chunk.statistics());
        bounds.is_some_and(|bounds| bounds.null_count_opt() == Some(0))
    };
    let divide = |part: Part| {
        let edge = edges.iter().find(|edge| edge.group == part.group);
        let rows = match edge {
            _ if !is_full(part.group) => return vec![part],
            None => return vec![Part { inside: true, ..part }],
            Some(edge) => match &edge.rows {
                None => return vec![part],
                Some(rows) => rows,
            },
        };
        let all = usize::try_from(metadata.row_group(part.group).num_rows()).unwrap_or_default();
        let all = || RowSelection::from(vec![RowSelector::select(all)]);
        let selected = part.rows.clone().unwrap_or_else(all);
        let flip = |s: &RowSelector| RowSelector { row_count: s.row_count, skip: !s.skip };
        let others: RowSelection = rows.iter().map(flip).collect::<Vec<_>>().into();
        let halves = [(rows, false), (&others, true)].into_iter().filter_map(|(half, inside)| {
            let rows = selected.intersection(half);
            rows.selects_any().then_some(Part { group: part.group, rows: Some(rows), inside })
        });
        halves.collect()
    };
    parts.into_iter().flat_map(divide).collect()
}

/// The greatest value that a row group may have in a column of integers.
pub(super) fn greatest(metadata: &ParquetMetaData, group: usize, column: &str) -> Option<i64> {
    match leaf(metadata, column).and_then(|at| metadata.row_group(group).column(at).statistics())? {
        Bounds::Int64(bounds) => bounds.max_opt().copied(),
        _ => None,
    }
}

pub(super) fn leaf(metadata: &ParquetMetaData, column: &str) -> Option<usize> {
    let schema = metadata.file_metadata().schema_descr();
    (0..schema.num_columns())
        .find(|at| matches!(schema.column(*at).path().parts(), [name] if name == column))
}

/// What a row group says of its columns. As [`super::super::files`] does of a
/// file, it says bounds only where they are what the column has, and of doubles
/// none, which may be no numbers beside.
pub(super) fn statistics(
    metadata: &ParquetMetaData,
    group: usize,
    table: &TableSchema,
) -> Statistics {
    let group = metadata.row_group(group);
    let schema = metadata.file_metadata().schema_descr();
    let mut said = Statistics::new_unknown(table.file_schema());
    said.num_rows = Precision::Exact(usize::try_from(group.num_rows()).unwrap_or_default());
    for at in 0..schema.num_columns() {
        let leaf = schema.column(at);
        let [name] = leaf.path().parts() else { continue };
        let (Some(bounds), Ok(index)) =
            (group.column(at).statistics(), table.file_schema().index_of(name))
        else {
            continue;
        };
        let column = &mut said.column_statistics[index];
        if let Some(nulls) = bounds.null_count_opt() {
            column.null_count = Precision::Exact(usize::try_from(nulls).unwrap_or(usize::MAX));
        }
        bounded(column, bounds, table.file_schema().field(index).data_type());
    }
    said
}

fn bounded(column: &mut ColumnStatistics, bounds: &Bounds, data_type: &DataType) {
    if !bounds.min_is_exact() || !bounds.max_is_exact() {
        return;
    }
    let pair = match (data_type, bounds) {
        (DataType::Int64, Bounds::Int64(b)) => {
            (b.min_opt().map(|v| ScalarValue::from(*v)), b.max_opt().map(|v| ScalarValue::from(*v)))
        }
        (DataType::Timestamp(TimeUnit::Microsecond, zone), Bounds::Int64(b)) => {
            let at = |v: &i64| ScalarValue::TimestampMicrosecond(Some(*v), zone.clone());
            (b.min_opt().map(at), b.max_opt().map(at))
        }
        (DataType::Boolean, Bounds::Boolean(b)) => {
            (b.min_opt().map(|v| ScalarValue::from(*v)), b.max_opt().map(|v| ScalarValue::from(*v)))
        }
        (DataType::Utf8, Bounds::ByteArray(b)) => {
            let text = |v: &parquet::data_type::ByteArray| v.as_utf8().ok().map(ScalarValue::from);
            (b.min_opt().and_then(text), b.max_opt().and_then(text))
        }
        _ => return,
    };
    if let (Some(min), Some(max)) = pair {
        (column.min_value, column.max_value) = (Precision::Exact(min), Precision::Exact(max));
    }
}
