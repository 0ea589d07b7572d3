//! The rules of planning that put guards in place.
//!
//! By name alone that could not be done: the planner makes functions of its
//! own out of operators and literals. The first rule runs when types are
//! settled and before anything is evaluated; the second when all else is done,
//! for what the optimizer first has to see through, such as `name LIKE 'a%'`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{ScalarFunction, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, Operator, ScalarUDF, WindowFrame, WindowFrameBound,
    WindowFunctionDefinition,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};

use super::cost::Rule;
use super::{Guarded, operators, text_of};
use crate::Error;

type Result<T> = std::result::Result<T, DataFusionError>;

/// After types are settled.
#[derive(Debug)]
pub(crate) struct Early;

/// After all optimizing.
#[derive(Debug)]
pub(crate) struct Late;

impl AnalyzerRule for Early {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|node| guarded(node, early))?.data)
    }

    fn name(&self) -> &str {
        "guard"
    }
}

impl OptimizerRule for Late {
    fn name(&self) -> &str {
        "guard"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        guarded(plan, late)
    }
}

fn guarded(
    node: LogicalPlan,
    guard: fn(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(guard)?.update_data(|expr| name.restore(expr)))
    })
}

fn early(expr: Expr) -> Result<Transformed<Expr>> {
    bounded(&expr)?;
    match expr {
        Expr::ScalarFunction(call) => Ok(function(call)),
        expr if settled(&expr) => Ok(Transformed::no(expr)),
        expr => Ok(operator(expr)),
    }
}

fn late(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(call) => Ok(function(call)),
        // Files are pruned by it, and it costs little.
        Expr::Like(like) if !like.case_insensitive && literal(&like.pattern) => {
            Ok(Transformed::no(Expr::Like(like)))
        }
        expr => Ok(operator(expr)),
    }
}

/// Whether the optimizer may look into an operator: its pattern is written
/// down, and its text comes out of a table.
fn settled(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            *op != Operator::StringConcat && literal(right) && left.any_column_refs()
        }
        Expr::Like(like) | Expr::SimilarTo(like) => {
            literal(&like.pattern) && like.expr.any_column_refs()
        }
        _ => false,
    }
}

fn literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(_, _))
}

fn function(call: ScalarFunction) -> Transformed<Expr> {
    let rule = Rule::of(call.func.name());
    match rule {
        Some(rule) if !call.func.inner().is::<Guarded>() => {
            let guarded = Guarded { inner: call.func, rule };
            let func = Arc::new(ScalarUDF::new_from_impl(guarded));
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args }))
        }
        _ => Transformed::no(Expr::ScalarFunction(call)),
    }
}

fn operator(expr: Expr) -> Transformed<Expr> {
    match operators::guarded(expr) {
        Ok(guarded) => Transformed::yes(guarded),
        Err(same) => Transformed::no(same),
    }
}

/// Aggregates that keep every value, or sort all of them for each result.
const COLLECTING: [&str; 5] =
    ["array_agg", "string_agg", "median", "percentile_cont", "quantile_cont"];

/// What cannot be bounded while it runs.
fn bounded(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Like(like) => {
            if let Expr::Literal(pattern, _) = like.pattern.as_ref()
                && let Some(text) = text_of(pattern)
            {
                super::pattern::like(text)?;
            }
        }
        // A result per row out of all rows so far: the square of the rows.
        Expr::WindowFunction(call) => {
            let WindowFunction { fun, params } = call.as_ref();
            framed(&params.window_frame)?;
            if let WindowFunctionDefinition::AggregateUDF(function) = fun
                && COLLECTING.contains(&function.name())
            {
                let name = function.name();
                return Err(Error::invalid(format!("{name} does not go over a window"))
                    .with_hint("collect per group: GROUP BY, then join the groups")
                    .into());
            }
        }
        // A list of nulls of this length is made for every row.
        Expr::ScalarFunction(call) if call.func.name().starts_with("arrow_") => {
            let fixed = call.args.iter().any(|arg| match arg {
                Expr::Literal(name, _) => text_of(name).is_some_and(|n| n.contains("FixedSize")),
                _ => false,
            });
            if fixed {
                return Err(Error::invalid("types of a fixed size are not supported").into());
            }
        }
        _ => {}
    }
    Ok(())
}

/// Rows that a frame may reach from its own. Their count is added to without
/// a look at what fits an integer.
const MAX_REACH: u64 = 1 << 32;

fn framed(frame: &WindowFrame) -> Result<()> {
    for bound in [&frame.start_bound, &frame.end_bound] {
        let (WindowFrameBound::Preceding(reach) | WindowFrameBound::Following(reach)) = bound
        else {
            continue;
        };
        if matches!(reach, ScalarValue::UInt64(Some(rows)) if *rows > MAX_REACH) {
            return Err(Error::invalid("a window frame reaches over more than 2^32 rows")
                .with_hint("UNBOUNDED PRECEDING and UNBOUNDED FOLLOWING have no number")
                .into());
        }
    }
    Ok(())
}
