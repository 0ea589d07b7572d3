//! Text that is compared with an instant, read in the statement's zone.
//!
//! Left to the engine, `time > '2026-11-23 10:00'` would read the text in the
//! zone of the column, which is UTC whatever the connection has set. What says
//! its own offset means that in any zone.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

/// The instant that a text names in a zone, in the type of what it is for.
pub(crate) fn instant(text: &str, zone: &Arc<str>, of: &DataType) -> Option<ScalarValue> {
    let DataType::Timestamp(unit, Some(_)) = of else { return None };
    let read = ScalarValue::Utf8(Some(text.to_owned()));
    let read = read.cast_to(&DataType::Timestamp(*unit, Some(zone.clone()))).ok()?;
    read.cast_to(of).ok()
}

/// Runs before types are settled, which would read the text.
#[derive(Debug)]
pub(super) struct Zoned(pub Arc<str>);

impl Zoned {
    fn node(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let read = expr.transform_up(|expr| Ok(self.compared(expr, &schema)))?;
            Ok(read.update_data(|expr| name.restore(expr)))
        })
    }

    fn compared(&self, expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() => {
                let (of_left, of_right) = (left.get_type(schema), right.get_type(schema));
                let left = self.read(*left, of_right.as_ref().ok());
                let right = self.read(*right, of_left.as_ref().ok());
                Transformed::yes(Expr::BinaryExpr(BinaryExpr {
                    left: Box::new(left),
                    op,
                    right: Box::new(right),
                }))
            }
            Expr::Between(Between { expr, negated, low, high }) => {
                let of = expr.get_type(schema).ok();
                let low = Box::new(self.read(*low, of.as_ref()));
                let high = Box::new(self.read(*high, of.as_ref()));
                Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let of = expr.get_type(schema).ok();
                let list = list.into_iter().map(|item| self.read(item, of.as_ref())).collect();
                Transformed::yes(Expr::InList(InList { expr, list, negated }))
            }
            other => Transformed::no(other),
        }
    }

    /// A text as an instant, where it stands beside one; anything else as it is.
    fn read(&self, expr: Expr, beside: Option<&DataType>) -> Expr {
        let read = match (&expr, beside) {
            (Expr::Literal(text, _), Some(beside)) => {
                text.try_as_str().flatten().and_then(|text| instant(text, &self.0, beside))
            }
            _ => None,
        };
        // What cannot be read is told where it would have been read otherwise.
        read.map_or(expr, |value| Expr::Literal(value, None))
    }
}

impl AnalyzerRule for Zoned {
    fn analyze(
        &self,
        plan: LogicalPlan,
        _: &ConfigOptions,
    ) -> Result<LogicalPlan, DataFusionError> {
        Ok(plan.transform_up_with_subqueries(|node| self.node(node))?.data)
    }

    fn name(&self) -> &str {
        "zone"
    }
}
