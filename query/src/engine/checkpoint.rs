//! Stops planning between two of its rules.
//!
//! A rule of planning cannot be interrupted, and what a short statement says
//! can be a large plan: names of a WITH that are put in place of each other
//! double with each. So after every rule the statement is asked whether it has
//! to stop, and the plan how large it is.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::stop::Stop;
use crate::Error;

type Result<T> = std::result::Result<T, DataFusionError>;

/// Nodes and expressions of a plan. The largest that the bounds on text let
/// through come to a tenth of it.
const MAX_PARTS: usize = 100_000;

/// A rule that changes nothing.
#[derive(Debug)]
pub(super) struct Checkpoint(Stop);

impl Checkpoint {
    pub fn new(stop: &Stop) -> Arc<Checkpoint> {
        Arc::new(Checkpoint(stop.clone()))
    }

    /// Puts checkpoints between rules, given what one is to such a rule.
    pub fn between<R: Clone>(rules: &[R], checkpoint: R) -> Vec<R> {
        rules.iter().flat_map(|rule| [rule.clone(), checkpoint.clone()]).collect()
    }

    fn pass(&self, plan: &LogicalPlan) -> Result<()> {
        self.0.check()?;
        let mut parts = 0usize;
        plan.apply_with_subqueries(|node| {
            parts += 1;
            node.apply_expressions(|expr| {
                expr.apply(|_| {
                    parts += 1;
                    Ok(go_on(parts))
                })
            })?;
            Ok(go_on(parts))
        })?;
        if parts > MAX_PARTS {
            let error = format!("the statement becomes a plan of more than {MAX_PARTS} parts");
            return Err(Error::invalid(error)
                .with_hint(
                    "name fewer columns of what WITH and subqueries define, and them less often",
                )
                .into());
        }
        Ok(())
    }
}

fn go_on(parts: usize) -> TreeNodeRecursion {
    if parts > MAX_PARTS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue }
}

impl AnalyzerRule for Checkpoint {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        self.pass(&plan)?;
        Ok(plan)
    }

    fn name(&self) -> &str {
        "checkpoint"
    }
}

impl OptimizerRule for Checkpoint {
    fn name(&self) -> &str {
        "checkpoint"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        self.pass(&plan)?;
        Ok(Transformed::no(plan))
    }
}

impl PhysicalOptimizerRule for Checkpoint {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.check()?;
        Ok(plan)
    }

    fn name(&self) -> &str {
        "checkpoint"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
