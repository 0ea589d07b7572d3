//! The groups of one partition, and their states.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::partition;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, aggregate_expressions};

type Result<T> = std::result::Result<T, DataFusionError>;

/// Rows of a run in the mean, from which on it is worth its own call.
const LONG: usize = 64;

/// Groups that are kept here; the rows of others go where all go that do not
/// come in runs, which can spill.
const MOST: usize = 4_096;

/// Bytes of a group beside what its accumulators say, and of what these may
/// grow by: a digest of a distribution holds a hundred centroids.
const GROUP: usize = 256;
const STATE: usize = 4 << 10;

pub(super) struct Groups {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    calls: Vec<Arc<AggregateFunctionExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    known: HashMap<Vec<ScalarValue>, usize>,
    states: Vec<Vec<Box<dyn Accumulator>>>,
    /// Of what is given out.
    schema: SchemaRef,
    memory: MemoryReservation,
}

impl Groups {
    pub fn new(
        aggregate: &AggregateExec,
        partition: usize,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Groups> {
        let calls = aggregate.aggr_expr().to_vec();
        Ok(Groups {
            keys: aggregate.group_expr().input_exprs(),
            arguments: aggregate_expressions(&calls, aggregate.mode(), 0)?,
            calls,
            known: HashMap::new(),
            states: Vec::new(),
            schema: aggregate.schema(),
            memory: MemoryConsumer::new(format!("Runs[{partition}]")).register(pool),
        })
    }

    /// Takes all rows of a batch, or none.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<bool> {
        if batch.num_rows() < LONG {
            return Ok(false);
        }
        let keys = evaluated(&self.keys, batch)?;
        let runs = partition(&keys)?;
        if runs.len() * LONG > batch.num_rows() {
            return Ok(false);
        }
        let runs = runs.ranges();
        let mut owners = Vec::with_capacity(runs.len());
        for run in &runs {
            match self.group(&keys, run.start)? {
                Some(group) => owners.push(group),
                None => return Ok(false),
            }
        }
        let arguments: Vec<Vec<ArrayRef>> =
            self.arguments.iter().map(|of| evaluated(of, batch)).collect::<Result<_>>()?;
        for (run, owner) in runs.into_iter().zip(owners) {
            for (state, of) in self.states[owner].iter_mut().zip(&arguments) {
                let rows: Vec<ArrayRef> =
                    of.iter().map(|column| column.slice(run.start, run.len())).collect();
                state.update_batch(&rows)?;
            }
        }
        Ok(true)
    }

    /// The group of a row; `None` when there is no room for another.
    fn group(&mut self, keys: &[ArrayRef], row: usize) -> Result<Option<usize>> {
        let key: Vec<ScalarValue> = keys
            .iter()
            .map(|column| ScalarValue::try_from_array(column, row))
            .collect::<Result<_>>()?;
        if let Some(group) = self.known.get(&key) {
            return Ok(Some(*group));
        }
        let room = GROUP + self.calls.len() * STATE;
        if self.states.len() == MOST || self.memory.try_grow(room).is_err() {
            return Ok(None);
        }
        let states = self.calls.iter().map(|call| call.create_accumulator());
        self.states.push(states.collect::<Result<_>>()?);
        self.known.insert(key, self.states.len() - 1);
        Ok(Some(self.states.len() - 1))
    }

    /// The states of all groups as a partial aggregation gives them out; there
    /// are no groups any more.
    pub fn states(&mut self) -> Result<Option<RecordBatch>> {
        let mut known: Vec<(Vec<ScalarValue>, usize)> = self.known.drain().collect();
        known.sort_by_key(|(_, group)| *group);
        if known.is_empty() {
            return Ok(None);
        }
        let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::new(); self.schema.fields().len()];
        let states = std::mem::take(&mut self.states);
        for ((key, _), mut states) in known.into_iter().zip(states) {
            let mut row = key;
            for state in &mut states {
                row.extend(state.state()?);
            }
            if row.len() != columns.len() {
                return datafusion::common::internal_err!("a group has another form");
            }
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let columns: Vec<ArrayRef> =
            columns.into_iter().map(ScalarValue::iter_to_array).collect::<Result<_>>()?;
        self.memory.free();
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }
}

fn evaluated(exprs: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    exprs.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
}
