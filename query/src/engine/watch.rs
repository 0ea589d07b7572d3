//! Plan nodes that keep a statement within its bounds while it runs (S22).
//!
//! DataFusion's operators yield where their input does. One that makes many
//! rows out of few, a join or an unnesting, or that holds rows without asking
//! the memory pool, a window, goes on for as long as it likes. So the last rule
//! of planning puts a [`Watched`] node where rows enter and leave those, and
//! above every scan.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec,
    SymmetricHashJoinExec,
};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use schema::ErrorKind;
use tokio::time::Instant;

use super::size;
use super::stop::{Stop, TURN, Working};
use crate::Error;

/// Bytes of a row that a join may repeat: a batch full of such rows is what an
/// operator holds without asking.
const MAX_ROW: usize = 64 << 10;

/// Bytes that the lists of one row may be unnested to; no more rows than make so
/// much are unnested at once.
const MAX_UNNESTED: usize = 64 << 20;

/// A join that takes longer than this over what it was given gets less.
const SLOW: std::time::Duration = std::time::Duration::from_millis(50);
const QUICK: std::time::Duration = std::time::Duration::from_millis(5);

/// The last rule of planning.
#[derive(Debug)]
pub(super) struct Watch(pub Stop);

impl Watch {
    fn node(
        &self,
        node: Arc<dyn ExecutionPlan>,
    ) -> Result<Transformed<Arc<dyn ExecutionPlan>>, DataFusionError> {
        let children = node.children();
        let mut leaving = Role::Passed;
        let roles: Vec<Role> = if node.is::<EmptyExec>() || node.is::<PlaceholderRowExec>() {
            return Ok(Transformed::no(node));
        } else if children.is_empty() {
            Vec::new()
        } else if joins(node.as_ref()) {
            (0..children.len()).map(|n| if n == 0 { Role::Build } else { Role::Probe }).collect()
        } else if let Some(unnest) = node.downcast_ref::<UnnestExec>() {
            let lists = unnest.list_column_indices().iter();
            vec![Role::Unnested(lists.map(|list| list.index_in_input_schema).collect())]
        } else if node.is::<WindowAggExec>() || node.is::<BoundedWindowAggExec>() {
            let kept = Kept::default();
            leaving = Role::Left(kept.clone());
            vec![Role::Kept(kept)]
        } else {
            return Ok(Transformed::no(node));
        };
        let watched = children.into_iter().zip(roles);
        let watched = watched.map(|(child, role)| self.over(child.clone(), role)).collect();
        let node = replace_children_if_necessary(node, watched)?;
        Ok(Transformed::yes(self.over(node, leaving)))
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>, role: Role) -> Arc<dyn ExecutionPlan> {
        Arc::new(Watched { input, role, stop: self.0.clone() })
    }
}

fn joins(node: &dyn ExecutionPlan) -> bool {
    node.is::<HashJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<CrossJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<SymmetricHashJoinExec>()
        || node.is::<PiecewiseMergeJoinExec>()
}

impl PhysicalOptimizerRule for Watch {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Ok(plan.transform_up(|node| self.node(node))?.data)
    }

    fn name(&self) -> &str {
        "watch"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// By partition: how many rows have left a window, which gives one for each.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<HashMap<usize, Arc<AtomicUsize>>>>);

impl Kept {
    /// Begins a partition's count. Who reads the window does so before the
    /// window reads.
    fn begin(&self, partition: usize) -> Arc<AtomicUsize> {
        let count = Arc::default();
        self.0.lock().insert(partition, Arc::clone(&count));
        count
    }

    fn count(&self, partition: usize) -> Arc<AtomicUsize> {
        self.0.lock().entry(partition).or_default().clone()
    }
}

/// What rows are on their way to when they pass.
#[derive(Debug, Clone)]
enum Role {
    /// Whoever wants them.
    Passed,
    /// A join keeps them, and repeats them.
    Build,
    /// A join repeats them. It yields only between two batches, so it is given
    /// as few rows at once as it can finish soon.
    Probe,
    /// Lists in these columns become rows.
    Unnested(Vec<usize>),
    /// A window keeps them until as many have left it, and does not ask the
    /// pool for it.
    Kept(Kept),
    /// They come out of that window.
    Left(Kept),
}

/// Passes its input's rows on. Its properties are its input's own, so that
/// nothing above has to be planned anew.
#[derive(Debug)]
struct Watched {
    input: Arc<dyn ExecutionPlan>,
    role: Role,
    stop: Stop,
}

impl DisplayAs for Watched {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchExec")
    }
}

impl ExecutionPlan for Watched {
    fn name(&self) -> &str {
        "WatchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        match children.pop() {
            Some(input) if children.is_empty() => {
                Ok(Arc::new(Watched { input, role: self.role.clone(), stop: self.stop.clone() }))
            }
            _ => datafusion::common::internal_err!("WatchExec has one input"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let mode = datafusion::physical_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(mode))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        let left = match &self.role {
            Role::Kept(kept) => Some(kept.count(partition)),
            Role::Left(kept) => Some(kept.begin(partition)),
            _ => None,
        };
        let window = MemoryConsumer::new(format!("Window[{partition}]"));
        let held =
            matches!(self.role, Role::Kept(_)).then(|| window.register(context.memory_pool()));
        Ok(Box::pin(Watching {
            schema: self.input.schema(),
            input: Some(self.input.execute(partition, context)?),
            role: self.role.clone(),
            stop: self.stop.clone(),
            since: None,
            working: self.stop.working(),
            left,
            kept: (0, 0),
            held,
            portion: Portion::default(),
            ready: VecDeque::new(),
        }))
    }
}

struct Watching {
    schema: SchemaRef,
    /// `None` once it has ended or failed.
    input: Option<SendableRecordBatchStream>,
    role: Role,
    stop: Stop,
    /// Since when this task has gone on without a pause.
    since: Option<Instant>,
    /// The rows that are passed on now.
    working: Working,
    /// Rows that have left the window.
    left: Option<Arc<AtomicUsize>>,
    /// Rows and bytes that have entered it.
    kept: (usize, usize),
    held: Option<MemoryReservation>,
    portion: Portion,
    /// What was divided.
    ready: VecDeque<RecordBatch>,
}

/// As much of a batch as a join finishes soon.
struct Portion {
    rows: usize,
    given: Option<Instant>,
    rest: Option<RecordBatch>,
}

impl Default for Portion {
    fn default() -> Portion {
        Portion { rows: 1, given: None, rest: None }
    }
}

impl Portion {
    /// Learns from how long the last one took.
    fn learn(&mut self, now: Instant) {
        let Some(given) = self.given.take() else { return };
        let took = now - given;
        if took > SLOW {
            self.rows = (self.rows / 8).max(1);
        } else if took < QUICK {
            self.rows = self.rows.saturating_mul(8);
        }
    }

    fn next(&mut self, now: Instant) -> Option<RecordBatch> {
        let rest = self.rest.take()?;
        self.given = Some(now);
        if rest.num_rows() <= self.rows {
            return Some(rest);
        }
        self.rest = Some(rest.slice(self.rows, rest.num_rows() - self.rows));
        Some(rest.slice(0, self.rows))
    }
}

impl Watching {
    /// What is passed on of a batch, one after the other.
    fn admit(&mut self, batch: &RecordBatch) -> Result<VecDeque<RecordBatch>, DataFusionError> {
        match &self.role {
            Role::Passed => {}
            Role::Build | Role::Probe => {
                // Most batches are no larger than one row may be.
                if size::of(batch) > MAX_ROW {
                    let rows = size::of_rows(batch.columns().iter(), batch.num_rows());
                    narrow(rows.into_iter().max().unwrap_or(0))?;
                }
            }
            Role::Unnested(lists) => {
                let others = batch.columns().iter().enumerate();
                let others = others.filter(|(n, _)| !lists.contains(n)).map(|(_, column)| column);
                let widths = size::of_rows(others, batch.num_rows());
                let mut makes = vec![0usize; batch.num_rows()];
                for list in lists {
                    let each = widths.iter().zip(lengths(batch.column(*list)));
                    for (makes, (width, length)) in makes.iter_mut().zip(each) {
                        *makes = (*makes).max(length.saturating_mul(width + 16));
                    }
                }
                return divided(batch, &makes);
            }
            Role::Kept(_) => {
                let left = self.left.as_ref().map_or(0, |left| left.load(Ordering::Relaxed));
                self.kept.0 += batch.num_rows();
                self.kept.1 += size::of(batch);
                let each = self.kept.1 / self.kept.0.max(1);
                if let Some(held) = &self.held {
                    // What is computed from them is about as large again.
                    held.try_resize(2 * each * self.kept.0.saturating_sub(left))?;
                }
            }
            Role::Left(_) => {
                if let Some(left) = &self.left {
                    left.fetch_add(batch.num_rows(), Ordering::Relaxed);
                }
            }
        }
        Ok([batch.clone()].into())
    }

    fn pass(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch, DataFusionError>>> {
        let Some(input) = &mut self.input else { return Poll::Ready(None) };
        self.stop.check()?;
        let now = Instant::now();
        if self.since.is_some_and(|since| now - since >= TURN) {
            self.since = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.since.get_or_insert(now);
        self.portion.learn(now);
        if let Some(batch) = self.portion.next(now).or_else(|| self.ready.pop_front()) {
            return Poll::Ready(Some(Ok(batch)));
        }
        let polled = input.poll_next_unpin(cx);
        if polled.is_pending() {
            self.since = None;
        }
        let Some(batch) = ready!(polled).transpose()? else { return Poll::Ready(None) };
        self.working.set(batch.get_array_memory_size());
        self.ready = self.admit(&batch)?;
        if !matches!(self.role, Role::Probe) {
            return Poll::Ready(self.ready.pop_front().map(Ok));
        }
        self.ready.clear();
        self.portion.rest = Some(batch);
        // Reading it took its time, too.
        Poll::Ready(self.portion.next(Instant::now()).map(Ok))
    }
}

impl Stream for Watching {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.pass(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.input = None;
            self.portion = Portion::default();
            self.ready.clear();
            self.working.set(0);
        }
        polled
    }
}

impl RecordBatchStream for Watching {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

fn narrow(row: usize) -> Result<(), DataFusionError> {
    if row <= MAX_ROW {
        return Ok(());
    }
    let error = format!("a row of {row} bytes is to be joined; {MAX_ROW} are allowed");
    Err(Error::new(ErrorKind::TooLarge, error)
        .with_hint("select fewer columns before the join, or a part of them: left(body, 1000)")
        .into())
}

/// A batch in parts of which each is unnested to no more than may be.
fn divided(batch: &RecordBatch, makes: &[usize]) -> Result<VecDeque<RecordBatch>, DataFusionError> {
    let mut parts = VecDeque::new();
    let (mut from, mut sum) = (0, 0usize);
    for (row, bytes) in makes.iter().enumerate() {
        unnests(*bytes)?;
        if row > from && sum.saturating_add(*bytes) > MAX_UNNESTED {
            parts.push_back(batch.slice(from, row - from));
            (from, sum) = (row, 0);
        }
        sum = sum.saturating_add(*bytes);
    }
    parts.push_back(batch.slice(from, makes.len() - from));
    Ok(parts)
}

fn unnests(bytes: usize) -> Result<(), DataFusionError> {
    if bytes <= MAX_UNNESTED {
        return Ok(());
    }
    let error = format!("unnesting one row makes {bytes} bytes; {MAX_UNNESTED} are allowed");
    Err(Error::new(ErrorKind::TooLarge, error)
        .with_hint("select fewer columns beside unnest, or collect shorter lists")
        .into())
}

/// Elements of each row's list.
fn lengths(lists: &dyn Array) -> Vec<usize> {
    fn spans<O: arrow::array::OffsetSizeTrait>(offsets: &[O]) -> Vec<usize> {
        offsets.windows(2).map(|pair| pair[1].as_usize() - pair[0].as_usize()).collect()
    }
    match lists.data_type() {
        DataType::List(_) => spans(lists.as_list::<i32>().value_offsets()),
        DataType::LargeList(_) => spans(lists.as_list::<i64>().value_offsets()),
        DataType::FixedSizeList(_, length) => {
            vec![usize::try_from(*length).unwrap_or(0); lists.len()]
        }
        _ => Vec::new(),
    }
}
