//! Grouping by runs: rows of one group that follow each other are given to its
//! accumulators at once.
//!
//! Files are sorted by service and time, so most batches are one group, or few.
//! DataFusion asks a hash table for each row all the same. [`ByRuns`] puts a
//! [`Runs`] in place of the partial half of an aggregation: it takes the batches
//! that are made of long runs, and leaves the others to the aggregation that was
//! there. Both give partial states, which the final half puts together.
//!
//! | file | what |
//! | --- | --- |
//! | this | the rule: which aggregations; the plan node |
//! | [`groups`] | the groups of one partition, and their states |

mod groups;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use groups::Groups;

type Result<T> = std::result::Result<T, DataFusionError>;

/// Aggregates whose states do not grow with what they are given.
const SMALL: &[&str] = &["count", "sum", "avg", "min", "max", "approx_percentile_cont"];

/// The rule.
#[derive(Debug)]
pub(crate) struct ByRuns;

impl PhysicalOptimizerRule for ByRuns {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let by_runs = |node: Arc<dyn ExecutionPlan>| {
            let fits = node.downcast_ref::<AggregateExec>().is_some_and(comes_in_runs);
            Ok(match fits {
                true => {
                    let metrics = ExecutionPlanMetricsSet::new();
                    Transformed::yes(Arc::new(Runs { partial: node, metrics }) as _)
                }
                false => Transformed::no(node),
            })
        };
        Ok(plan.transform_up(by_runs)?.data)
    }

    fn name(&self) -> &str {
        "group_by_runs"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn comes_in_runs(aggregate: &AggregateExec) -> bool {
    let input = aggregate.input().schema();
    let of = |expr: &Arc<dyn PhysicalExpr>| expr.data_type(&input);
    let groups = aggregate.group_expr();
    let keys = groups.expr().iter().map(|(expr, _)| of(expr));
    // Codes of texts, and times: what files are sorted by.
    let sorted =
        |key: Result<DataType>| matches!(key, Ok(DataType::Int32 | DataType::Timestamp(..)));
    let small = aggregate.aggr_expr().iter().all(|call| {
        let mut args = call.expressions().into_iter();
        SMALL.contains(&call.fun().name())
            && !call.is_distinct()
            && args.all(|arg| of(&arg).is_ok_and(|of| of.is_primitive() || of == DataType::Boolean))
    });
    *aggregate.mode() == AggregateMode::Partial
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.limit_options().is_none()
        && aggregate.filter_expr().iter().all(Option::is_none)
        && groups.is_single()
        && !groups.expr().is_empty()
        && keys.into_iter().all(sorted)
        && small
}

/// A partial aggregation that is spared what comes in runs.
#[derive(Debug)]
struct Runs {
    /// An [`AggregateExec`].
    partial: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl Runs {
    fn aggregate(&self) -> Result<&AggregateExec> {
        match self.partial.downcast_ref::<AggregateExec>() {
            Some(aggregate) => Ok(aggregate),
            None => internal_err!("grouping by runs is an aggregation"),
        }
    }
}

impl DisplayAs for Runs {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.aggregate() {
            Ok(aggregate) => {
                f.write_str("RunsExec: ")?;
                aggregate.fmt_as(t, f)
            }
            Err(_) => Err(fmt::Error),
        }
    }
}

impl ExecutionPlan for Runs {
    fn name(&self) -> &str {
        "RunsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.partial.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.partial.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.partial.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partial = self.partial.clone().replace_children(children, options)?;
        Ok(Arc::new(Runs { partial, metrics: ExecutionPlanMetricsSet::new() }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mode = ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(mode))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let aggregate = self.aggregate()?;
        let input = aggregate.input().execute(partition, context.clone())?;
        let of_input = input.schema();
        let groups = Groups::new(aggregate, partition, context.memory_pool())?;
        let groups = Arc::new(Mutex::new(groups));
        let by_runs = MetricBuilder::new(&self.metrics).counter("rows_by_runs", partition);
        let taking = groups.clone();
        let others = input.filter_map(move |batch| {
            let left = batch.and_then(|batch| take(&taking, &by_runs, batch)).transpose();
            std::future::ready(left)
        });
        let others = Box::pin(RecordBatchStreamAdapter::new(of_input, others));
        let others: Arc<dyn ExecutionPlan> = Arc::new(Once::new(others));
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let rest = self.partial.clone().replace_children(vec![others], options)?;
        let rest = rest.execute(0, context)?;
        let states = stream::once(async move { groups.lock().states() });
        let states = states.filter_map(|states| std::future::ready(states.transpose()));
        let schema = self.partial.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rest.chain(states))))
    }
}

/// Gives a batch back that does not come in runs.
fn take(
    groups: &Mutex<Groups>,
    by_runs: &Count,
    batch: RecordBatch,
) -> Result<Option<RecordBatch>> {
    if groups.lock().take(&batch)? {
        by_runs.add(batch.num_rows());
        return Ok(None);
    }
    Ok(Some(batch))
}

/// A stream that has begun, as a plan of one partition that runs once.
struct Once {
    stream: Mutex<Option<SendableRecordBatchStream>>,
    properties: Arc<PlanProperties>,
}

impl Once {
    fn new(stream: SendableRecordBatchStream) -> Once {
        let schema: SchemaRef = stream.schema();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Once { stream: Mutex::new(Some(stream)), properties: Arc::new(properties) }
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl DisplayAs for Once {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnceExec")
    }
}

impl ExecutionPlan for Once {
    fn name(&self) -> &str {
        "OnceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        match self.stream.lock().take() {
            Some(stream) => Ok(stream),
            None => internal_err!("a stream runs once"),
        }
    }
}
