//! What goes by codes: groupings by a plain column of few texts, and comparisons
//! of one with a text where rows are computed with or counted.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, internal_err};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Projection, lit,
};
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
            LogicalPlan::Projection(projection) => self.projection(projection),
            other => Ok(Transformed::no(other)),
        }
    }
}

impl ByCode {
    fn aggregate(&self, aggregate: Aggregate) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let coded: Vec<bool> = aggregate
            .group_expr
            .iter()
            .map(|key| is_few_texts(key, aggregate.input.schema()))
            .collect();
        let compared = aggregate.aggr_expr.iter().cloned();
        let compared = compared.map(|expr| self.compared(expr, aggregate.input.schema()));
        let compared = compared.collect::<Result<Vec<_>, _>>()?;
        if !coded.contains(&true) && !compared.iter().any(|expr| expr.transformed) {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let Aggregate { input, group_expr, schema, .. } = aggregate;
        let aggr_expr = compared.into_iter().map(|expr| expr.data);
        let keys = group_expr.into_iter().zip(&coded).map(|(key, coded)| match coded {
            true => text_code(&self.0, key),
            false => key,
        });
        let grouped = Aggregate::try_new(input, keys.collect(), aggr_expr.collect())?;
        let columns = grouped.schema.iter().zip(schema.iter()).enumerate();
        let shown = columns.map(|(at, (inner, outer))| {
            let column = Expr::Column(Column::from(inner));
            let (relation, field) = outer;
            let named = |expr: Expr| expr.alias_qualified(relation.cloned(), field.name());
            match coded.get(at) {
                Some(true) => named(code_text(&self.0, column)),
                _ if inner.1.name() != field.name() => named(column),
                _ => column,
            }
        });
        let shown = shown.collect();
        let plan = Projection::try_new(shown, Arc::new(LogicalPlan::Aggregate(grouped)))?;
        Ok(Transformed::yes(LogicalPlan::Projection(plan)))
    }

    fn projection(
        &self,
        projection: Projection,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let exprs = projection.expr.iter().zip(projection.schema.iter());
        let compared = exprs.map(|(expr, (relation, field))| {
            let compared = self.compared(expr.clone(), projection.input.schema())?;
            Ok(match compared.transformed {
                true => compared.update_data(|expr| {
                    expr.unalias().alias_qualified(relation.cloned(), field.name())
                }),
                false => compared,
            })
        });
        let compared = compared.collect::<Result<Vec<_>, DataFusionError>>()?;
        if !compared.iter().any(|expr| expr.transformed) {
            return Ok(Transformed::no(LogicalPlan::Projection(projection)));
        }
        let exprs = compared.into_iter().map(|expr| expr.data).collect();
        let plan = Projection::try_new(exprs, projection.input)?;
        Ok(Transformed::yes(LogicalPlan::Projection(plan)))
    }

    /// `column = 'text'` as a comparison of codes.
    fn compared(&self, expr: Expr, of: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
        expr.transform_up(|expr| {
            let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq | Operator::NotEq, right }) =
                &expr
            else {
                return Ok(Transformed::no(expr));
            };
            let text = match (is_few_texts(left, of), right.as_ref()) {
                (true, Expr::Literal(value, _)) => value.try_as_str().flatten(),
                _ => None,
            };
            let Some(text) = text else { return Ok(Transformed::no(expr)) };
            let code = lit(self.0.code(text)?);
            let Expr::BinaryExpr(BinaryExpr { left, op, .. }) = expr else {
                return internal_err!("a comparison is one");
            };
            let column = Box::new(text_code(&self.0, *left));
            let codes = BinaryExpr::new(column, op, Box::new(code));
            Ok(Transformed::yes(Expr::BinaryExpr(codes)))
        })
    }
}

fn is_few_texts(expr: &Expr, of: &DFSchema) -> bool {
    let Expr::Column(column) = expr else { return false };
    is_few(&column.name) && expr.get_type(of).is_ok_and(|of| of == DataType::Utf8)
}
