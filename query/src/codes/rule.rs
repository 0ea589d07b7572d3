//! Which groupings go by codes: those by a plain column of few texts.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DataFusionError};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, Projection};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::functions::{code_text, text_code};
use super::{Codes, is_few};

/// The rule, with the codes of its statement.
#[derive(Debug)]
pub(crate) struct ByCode(pub Arc<Codes>);

impl OptimizerRule for ByCode {
    fn name(&self) -> &str {
        "group_by_code"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        match plan {
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            other => Ok(Transformed::no(other)),
        }
    }
}

impl ByCode {
    fn aggregate(&self, aggregate: Aggregate) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let coded: Vec<bool> =
            aggregate.group_expr.iter().map(|key| is_coded(key, &aggregate)).collect();
        if !coded.contains(&true) {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
        let keys = group_expr.into_iter().zip(&coded).map(|(key, coded)| match coded {
            true => text_code(&self.0, key),
            false => key,
        });
        let grouped = Aggregate::try_new(input, keys.collect(), aggr_expr)?;
        let columns = grouped.schema.iter().zip(schema.iter()).enumerate();
        let shown = columns.map(|(at, (inner, outer))| {
            let column = Expr::Column(Column::from(inner));
            match coded.get(at) {
                Some(true) => {
                    let (relation, field) = outer;
                    code_text(&self.0, column).alias_qualified(relation.cloned(), field.name())
                }
                _ => column,
            }
        });
        let shown = shown.collect();
        let plan = Projection::try_new(shown, Arc::new(LogicalPlan::Aggregate(grouped)))?;
        Ok(Transformed::yes(LogicalPlan::Projection(plan)))
    }
}

fn is_coded(key: &Expr, aggregate: &Aggregate) -> bool {
    let Expr::Column(column) = key else { return false };
    is_few(&column.name)
        && key.get_type(aggregate.input.schema()).is_ok_and(|of| of == DataType::Utf8)
}
