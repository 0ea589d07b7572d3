//! From a map column, wherever it has been carried, to the table it is of.

use std::sync::Arc;

use datafusion::common::{Column, DataFusionError, plan_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, SubqueryAlias, TableScan};
use schema::ColumnType;
use schema::table::Scope;

use crate::scan::Table;

/// What a column of a plan turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// Not an attribute map of a table.
    Other,
    /// A map that holds all there is under the key.
    Map(Scope),
    /// A map beside a column that the plan now carries, too.
    Promoted(Scope, Column, ColumnType),
}

type Result<T> = std::result::Result<T, DataFusionError>;

/// The attribute scope of a column name.
pub(super) fn scope_of(name: &str) -> Option<Scope> {
    [Scope::Record, Scope::Scope, Scope::Resource].into_iter().find(|s| s.map_column() == name)
}

/// Follows `column` down `plan`. Where the key is promoted, the plan that
/// comes back carries the promoted column up to its top, added to projections
/// that had left it out.
pub(super) fn follow(
    plan: LogicalPlan,
    column: &Column,
    key: &str,
) -> Result<(LogicalPlan, Found)> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let found = in_table(&scan, column, key);
            Ok((LogicalPlan::TableScan(scan), found))
        }
        LogicalPlan::SubqueryAlias(alias) => through_alias(alias, column, key),
        LogicalPlan::Projection(projection) => through_projection(projection, column, key),
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Join(_) => through(plan, column, key),
        other => blocked(other, column, key),
    }
}

fn in_table(scan: &TableScan, column: &Column, key: &str) -> Found {
    let Some(scope) = scope_of(&column.name) else { return Found::Other };
    let Ok(provider) = source_as_provider(&scan.source) else { return Found::Other };
    let Some(table) = provider.downcast_ref::<Table>() else { return Found::Other };
    match table.def().promotion(scope, key) {
        Some(promotion) => {
            let column = Column::new(Some(scan.table_name.clone()), &promotion.column);
            Found::Promoted(scope, column, promotion.kind)
        }
        None => Found::Map(scope),
    }
}

/// An alias keeps the order of its input's columns and renames their qualifier.
fn through_alias(alias: SubqueryAlias, column: &Column, key: &str) -> Result<(LogicalPlan, Found)> {
    let Some(index) = alias.schema.maybe_index_of_column(column) else {
        return Ok((LogicalPlan::SubqueryAlias(alias), Found::Other));
    };
    let inner = Column::from(alias.input.schema().qualified_field(index));
    let (input, found) = follow(alias.input.as_ref().clone(), &inner, key)?;
    let rebuilt = SubqueryAlias::try_new(Arc::new(input), alias.alias)?;
    let found = match found {
        Found::Promoted(scope, carried, kind) => {
            let index = rebuilt.input.schema().index_of_column(&carried)?;
            let carried = Column::from(rebuilt.schema.qualified_field(index));
            Found::Promoted(scope, carried, kind)
        }
        other => other,
    };
    Ok((LogicalPlan::SubqueryAlias(rebuilt), found))
}

fn through_projection(
    projection: Projection,
    column: &Column,
    key: &str,
) -> Result<(LogicalPlan, Found)> {
    let unchanged = |p: Projection| Ok((LogicalPlan::Projection(p), Found::Other));
    let Some(index) = projection.schema.maybe_index_of_column(column) else {
        return unchanged(projection);
    };
    let Some(inner) = plain_column(&projection.expr[index]).cloned() else {
        return unchanged(projection);
    };
    let (input, found) = follow(projection.input.as_ref().clone(), &inner, key)?;
    let Found::Promoted(scope, carried, kind) = found else {
        return Ok((LogicalPlan::Projection(projection), found));
    };
    let shown = projection.expr.iter().position(|expr| plain_column(expr) == Some(&carried));
    let (expressions, index) = match shown {
        Some(index) => (projection.expr, index),
        None => {
            let mut expressions = projection.expr;
            // Two maps of one name can pass the same projection (a join), so
            // the name tells them apart.
            let owner = carried.flat_name();
            expressions.push(Expr::Column(carried).alias(format!("__promoted {owner}")));
            let last = expressions.len() - 1;
            (expressions, last)
        }
    };
    let rebuilt = Projection::try_new(expressions, Arc::new(input))?;
    let carried = Column::from(rebuilt.schema.qualified_field(index));
    Ok((LogicalPlan::Projection(rebuilt), Found::Promoted(scope, carried, kind)))
}

/// The column behind an expression that only passes it on.
fn plain_column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => plain_column(&alias.expr),
        _ => None,
    }
}

/// Nodes whose output has every column of the input that `column` is from.
fn through(plan: LogicalPlan, column: &Column, key: &str) -> Result<(LogicalPlan, Found)> {
    let mut inputs: Vec<LogicalPlan> = plan.inputs().into_iter().cloned().collect();
    let mut found = Found::Other;
    for input in &mut inputs {
        if input.schema().has_column(column) {
            let (followed, what) = follow(input.clone(), column, key)?;
            *input = followed;
            found = what;
            break;
        }
    }
    if !matches!(found, Found::Promoted(..)) {
        return Ok((plan, found));
    }
    let rebuilt = plan.with_new_exprs(plan.expressions(), inputs)?;
    match &found {
        Found::Promoted(_, carried, _) if !rebuilt.schema().has_column(carried) => {
            refused(column, key)
        }
        _ => Ok((rebuilt, found)),
    }
}

/// Nodes that cannot carry another column (UNION, DISTINCT, GROUP BY, …). The
/// map alone would silently lack the promoted values, so that is an error.
fn blocked(plan: LogicalPlan, column: &Column, key: &str) -> Result<(LogicalPlan, Found)> {
    let Some(index) = plan.schema().maybe_index_of_column(column) else {
        return Ok((plan, Found::Other));
    };
    let by_position = matches!(plan, LogicalPlan::Union(_));
    let mut found = Found::Other;
    for input in plan.inputs() {
        let inner = match by_position {
            true => Column::from(input.schema().qualified_field(index)),
            false if input.schema().has_column(column) => column.clone(),
            false => continue,
        };
        match follow(input.clone(), &inner, key)? {
            (_, Found::Promoted(..)) => return refused(column, key),
            (_, Found::Map(scope)) => found = Found::Map(scope),
            (_, Found::Other) => {}
        }
    }
    Ok((plan, found))
}

fn refused<T>(column: &Column, key: &str) -> Result<T> {
    let name = &column.name;
    plan_err!(
        "{name}['{key}'] cannot be taken from a map that went through UNION, DISTINCT or GROUP BY: \
         take it inside, before the rows are combined"
    )
}
