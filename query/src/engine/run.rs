//! One statement, from its text to its last row.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SQLOptions;
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::activity::State;
use super::admission::Permit;
use super::answer::Message;
use super::share::Share;
use super::stop::Stop;
use super::{Core, Description, Entry, Query, params, size, summary};
use crate::catalog::View;
use crate::sandbox::{self, Admitted};
use crate::{Error, redact};

/// Up to here a wanted limit becomes part of the plan, where it can stop scans
/// and bound sorts. Above, keeping the top rows costs more than a plain sort.
const PLANNED_LIMIT: usize = 10_000;

/// Bytes that a door encodes at once: a few milliseconds as JSON.
const PIECE: u64 = 64 << 10;

/// How often the room for spilling is looked up.
const SPILL_WATCH: Duration = Duration::from_secs(1);

/// An admitted statement.
pub(super) struct Statement {
    pub query: Query,
    pub entry: Entry,
    pub stop: Stop,
    pub permit: Permit,
}

type Ready = oneshot::Sender<Result<SchemaRef, Error>>;

impl Statement {
    /// Plans, answers `ready`, then sends rows until there are no more, the
    /// reader is gone, or a bound is reached.
    pub async fn run(self, ready: Ready, rows: mpsc::Sender<Message>) {
        let Statement { query, entry, stop, permit } = self;
        let share = Share::new(&entry.core.memory);
        let known = entry.core.running.begin(&permit, share.clone(), stop.clone());
        entry.activity.moved(State::Planning);
        let planned = apart(&stop, plan(&entry, &query, &share, &stop));
        let planned = match planned {
            Ok(planned) => planned,
            Err(error) => {
                entry.end(Err(error.clone()));
                // A reader that is gone needs no answer.
                ready.send(Err(error)).ok();
                return;
            }
        };
        entry.activity.moved(State::Running);
        if ready.send(Ok(planned.schema())).is_err() {
            return;
        }
        let cap = query.limit.unwrap_or(usize::MAX).min(entry.core.settings.max_rows);
        let sending = bounded(&entry, &stop, planned.send(&entry, &stop, cap, &rows));
        let outcome = sending.await;
        entry.activity.stats.peak(share.peak());
        // Memory and snapshots go before the permit, and both before the
        // reader learns that it is over.
        drop((known, share));
        drop(permit);
        let last = match entry.end(outcome) {
            Some(error) => Err(error),
            None => Ok(()),
        };
        rows.send(Message::End(last)).await.ok();
    }
}

/// Plans on a thread of its own: what planning does between two awaits may take
/// long, and other statements wait for this one's thread.
fn apart<T>(stop: &Stop, planning: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::task::block_in_place(|| {
        Handle::current().block_on(async {
            tokio::select! {
                planned = planning => planned,
                why = stop.stopped() => Err(why),
            }
        })
    })
}

/// Ends the work when it has to stop, also while its reader does not read, and
/// keeps the bound on spilling up to date: the disk may run short long after a
/// statement began.
async fn bounded(
    entry: &Entry,
    stop: &Stop,
    work: impl Future<Output = Result<State, Error>>,
) -> Result<State, Error> {
    let core = &entry.core;
    let mut work = std::pin::pin!(work);
    let mut tick = tokio::time::interval(SPILL_WATCH);
    loop {
        tokio::select! {
            done = &mut work => return done.map_err(|error| stop.told(error)),
            why = stop.stopped() => return Err(why),
            _ = tick.tick() => {
                if let Err(error) = core.base.bound_spill(core.source.spill_room()) {
                    tracing::warn!(%error, "the bound on spilling could not be renewed");
                }
            }
        }
    }
}

/// A statement that is ready to run, and what it keeps alive.
struct Planned {
    stream: SendableRecordBatchStream,
    explains: bool,
    /// Pins the snapshots, and with them files and hot rows (S2, S3, B1).
    _view: Arc<View>,
}

impl Planned {
    fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    async fn send(
        mut self,
        entry: &Entry,
        stop: &Stop,
        cap: usize,
        rows: &mpsc::Sender<Message>,
    ) -> Result<State, Error> {
        let stats = &entry.activity.stats;
        let mut left = cap;
        let mut bytes_left = entry.core.settings.max_result_bytes;
        let mut working = stop.working();
        while let Some(batch) = self.stream.next().await {
            let mut batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            working.set(batch.get_array_memory_size());
            let bytes = size::of(&batch) as u64;
            let fit = left.min(fitting(batch.num_rows(), bytes, bytes_left));
            let cut = batch.num_rows() > fit;
            if cut {
                batch = batch.slice(0, fit);
            }
            left -= batch.num_rows();
            bytes_left = bytes_left.saturating_sub(bytes);
            stats.answered(batch.num_rows());
            if self.explains {
                batch = without_paths(&batch)?;
            }
            for piece in pieces(&batch) {
                if stop.unread(rows.send(Message::Rows(piece))).await.is_err() {
                    return Ok(State::Cancelled);
                }
            }
            if cut {
                stats.cut();
                return Ok(State::Truncated);
            }
        }
        Ok(State::Done)
    }
}

/// A batch as doors get it: they encode on the threads that answer everybody,
/// ingest too, so what they take at once is small. A larger row goes alone.
fn pieces(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + Send + '_ {
    let rows = batch.num_rows();
    let most = fitting(rows, size::of(batch) as u64, PIECE).max(1);
    (0..rows).step_by(most).map(move |from| batch.slice(from, most.min(rows - from)))
}

/// Rows of a batch for which there is room, by their average.
fn fitting(rows: usize, bytes: u64, room: u64) -> usize {
    if bytes <= room {
        return rows;
    }
    let part = rows as u128 * u128::from(room) / u128::from(bytes.max(1));
    usize::try_from(part).unwrap_or(rows)
}

/// A statement's plan and the session that it was made in.
struct Prepared {
    plan: LogicalPlan,
    state: SessionState,
    view: Arc<View>,
    explains: bool,
}

/// Everything up to the values of the parameters.
async fn prepare(
    core: &Arc<Core>,
    query: &Query,
    share: &Share,
    stop: &Stop,
    now: i64,
    described: bool,
) -> Result<Prepared, Error> {
    let (sql, summarizes) = summary::without_word(&query.sql);
    let Admitted { statement, explains } = sandbox::admit(&sql)?;
    let env = core.base.env(share);
    let view = View::new(core.clone(), query, env, stop.clone(), now, described);
    let state = view.session();
    let plan = match state.statement_to_plan(statement).await {
        Ok(plan) => plan,
        Err(error) => return Err(view.suggest(error)),
    };
    stop.check()?;
    let fence =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    fence.verify_plan(&plan).map_err(|error| match Error::from(error) {
        error if error.kind() == schema::ErrorKind::Invalid => Error::denied(error.to_string()),
        error => error,
    })?;
    let plan = if summarizes { summary::of(plan)? } else { plan };
    Ok(Prepared { plan, state, view, explains })
}

/// What a statement wants and gives, without running it.
pub(super) async fn describe(
    core: Arc<Core>,
    query: Query,
    stop: Stop,
    permit: Permit,
) -> Result<Description, Error> {
    let share = Share::new(&core.memory);
    let _known = core.running.begin(&permit, share.clone(), stop.clone());
    let now = core.clock.now_unix_nano();
    let prepared = apart(&stop, prepare(&core, &query, &share, &stop, now, true))?;
    let Prepared { plan, state, view, .. } = prepared;
    let params = view.given.with(params::wanted(&plan)?);
    let plan = if query.params.is_empty() { plan } else { query.params.bind(plan)? };
    // Types are settled by the rules that run before the optimizer's.
    let settled = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    Ok(Description { schema: settled.schema().inner().clone(), params })
}

async fn plan(entry: &Entry, query: &Query, share: &Share, stop: &Stop) -> Result<Planned, Error> {
    let core = &entry.core;
    core.base.bound_spill(core.source.spill_room())?;
    let now = entry.activity.started_unix_nano;
    let Prepared { plan, state, view, explains } =
        prepare(core, query, share, stop, now, false).await?;
    let plan = query.params.clone().bind(plan)?;
    let plan = limited(plan, query.limit)?;
    let stream = start(&state, &plan).await?;
    Ok(Planned { stream, explains, _view: view })
}

async fn start(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<SendableRecordBatchStream, Error> {
    let physical = state.create_physical_plan(plan).await?;
    Ok(execute_stream(physical, state.task_ctx())?)
}

/// One row more than wanted, so that the cut can be told from the end.
fn limited(plan: LogicalPlan, limit: Option<usize>) -> Result<LogicalPlan, Error> {
    let rows = matches!(
        plan,
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)
    );
    match limit {
        Some(limit) if limit <= PLANNED_LIMIT && !rows => {
            Ok(LogicalPlanBuilder::from(plan).limit(0, Some(limit + 1))?.build()?)
        }
        _ => Ok(plan),
    }
}

/// Plans name the files they read; a user is not shown where they lie (S23).
fn without_paths(batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let clean = |column: &arrow::array::ArrayRef| -> arrow::array::ArrayRef {
        match column.as_any().downcast_ref::<StringArray>() {
            Some(text) => {
                let lines = text.iter().map(|line| line.map(redact::paths));
                Arc::new(lines.collect::<StringArray>())
            }
            None => column.clone(),
        }
    };
    debug_assert!(batch.schema().fields().iter().all(|f| *f.data_type() == DataType::Utf8));
    RecordBatch::try_new(batch.schema(), batch.columns().iter().map(clean).collect())
        .map_err(|error| Error::from(DataFusionError::from(error)))
}
