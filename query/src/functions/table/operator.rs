//! The plan node behind a function whose rows are computed here: it reads one
//! ordered stream, row by row, and says what came of it.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr,
};
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt, stream};

type Result<T> = std::result::Result<T, DataFusionError>;

/// What is done with the rows.
pub(super) trait Work: Send {
    /// Takes rows; gives back what is complete with them.
    fn take(&mut self, rows: &RecordBatch) -> Result<Option<RecordBatch>>;

    /// What is left once there are no more: called until it says `None`.
    fn rest(&mut self) -> Result<Option<RecordBatch>>;

    /// Bytes held now.
    fn held(&self) -> usize;
}

pub(super) type Begin = Arc<dyn Fn() -> Box<dyn Work> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Operator {
    name: &'static str,
    input: Arc<dyn ExecutionPlan>,
    /// The order that the work relies on: that of the input when it was made.
    order: Option<LexOrdering>,
    begin: Begin,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl Operator {
    /// `schema` is that of the work's rows, before the projection.
    pub fn new(
        name: &'static str,
        input: Arc<dyn ExecutionPlan>,
        schema: &SchemaRef,
        projection: Option<&Vec<usize>>,
        begin: Begin,
    ) -> Result<Operator> {
        let shown = match projection {
            Some(columns) => Arc::new(schema.project(columns)?),
            None => schema.clone(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(shown),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (order, projection) =
            (input.properties().output_ordering().cloned(), projection.cloned());
        Ok(Operator { name, input, order, begin, projection, properties: Arc::new(properties) })
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("name", &self.name).finish_non_exhaustive()
    }
}

impl DisplayAs for Operator {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableFunction: {}", self.name)
    }
}

impl ExecutionPlan for Operator {
    fn name(&self) -> &str {
        self.name
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order.clone().map(OrderingRequirements::from)]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("{} has one input", self.name);
        };
        Ok(Arc::new(Operator { input, ..self.as_ref().clone() }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let running = Running {
            work: (self.begin)(),
            held: MemoryConsumer::new(self.name).register(context.memory_pool()),
            input: self.input.execute(partition, context)?,
            projection: self.projection.clone(),
            ended: false,
        };
        let rows = stream::try_unfold(running, |mut running| async move {
            Ok(running.next().await?.map(|rows| (rows, running)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

struct Running {
    work: Box<dyn Work>,
    held: MemoryReservation,
    input: SendableRecordBatchStream,
    projection: Option<Vec<usize>>,
    ended: bool,
}

impl Running {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let made = match self.ended {
                true => match self.work.rest()? {
                    Some(rest) => Some(rest),
                    None => return Ok(None),
                },
                false => match self.input.next().await {
                    Some(rows) => self.work.take(&rows?)?,
                    None => {
                        self.ended = true;
                        None
                    }
                },
            };
            self.held.try_resize(self.work.held())?;
            let Some(rows) = made.filter(|rows| rows.num_rows() > 0) else { continue };
            return Ok(Some(match &self.projection {
                Some(columns) => rows.project(columns)?,
                None => rows,
            }));
        }
    }
}
