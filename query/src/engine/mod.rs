//! Takes a statement in no protocol's terms and runs it within its bounds.
//!
//! On the route out this stands between the doors and the scan:
//! door → [`Query`] → **engine** → [`crate::catalog`] → [`crate::scan`].
//!
//! A statement waits for a permit, gets a share of the memory and a deadline
//! that covers everything up to its last row, is planned and run on the
//! engine's own threads (whose stacks are large: planning recurses, S21), and
//! is cancelled with everything under it when its [`Answer`] is dropped.
//!
//! | file | what |
//! | --- | --- |
//! | this | [`Engine`], [`Query`], admission |
//! | [`params`] | [`Params`]: values of `$1`, `$2`, … |
//! | [`summary`] | `SUMMARIZE`: a row about each column |
//! | [`run`] | one statement from text to its last row |
//! | [`admission`] | whose turn it is: bounds in all and by user, fair among users |
//! | [`session`] | what a plan may use: functions, rules, settings, memory, stores |
//! | [`share`] | the memory, divided among statements and their operators |
//! | [`pressure`] | the memory of the process: holds back who comes, cancels the largest, gives on the turns of those that do not stop |
//! | [`stop`] | deadline, cancellation, bytes read: asked between two pieces of work |
//! | [`checkpoint`] | a rule of planning that asks, between all others |
//! | [`zone`] | text beside an instant, read in the statement's zone |
//! | [`watch`] | plan nodes that ask, yield, and bound what operators hold |
//! | [`size`] | bytes of rows |
//! | [`answer`] | [`Answer`]: the schema, the stream, the numbers |
//! | [`stats`] | [`Stats`]: versions, files, bytes, rows |
//! | [`activity`] | running and recent statements, for `system.queries` |
//!
//! Not here: what a statement may say ([`crate::sandbox`]), what it sees
//! ([`crate::catalog`]), and any protocol ([`crate::doors`]).

pub(crate) mod activity;
mod admission;
mod answer;
mod checkpoint;
mod params;
mod pressure;
mod run;
pub(crate) mod session;
pub(crate) mod share;
pub(crate) mod size;
mod stats;
pub(crate) mod stop;
mod summary;
mod watch;
pub(crate) mod zone;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use prometheus_client::registry::Registry;
use schema::{Clock, ErrorKind, Meter, Tenant};
use storage::{Snapshot, Source};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub use answer::{Answer, Rows};
pub(crate) use params::Given;
pub use params::Params;
pub use pressure::{Gauge, resident_bytes};
pub use stats::{Stats, Summary};

use crate::catalog::describe;
use crate::metrics::{Metrics, Outcome};
use crate::{Error, Settings, TableInfo};
use activity::{Activities, Activity, State};
use admission::Admission;
use answer::AbortOnDrop;
use pressure::{Running, Watcher};
use session::Base;
use share::Memory;
use stop::Stop;

/// Bytes of stack per engine thread. Touched only as far as it is used; a
/// statement at every limit of the sandbox needs a few MiB in a debug build.
const STACK: usize = 64 << 20;
/// Threads that read local files end when nobody asked them for so long: what they have
/// read others give back, and the allocator takes it back only as such a thread ends.
const IDLE: Duration = Duration::from_secs(1);
/// Below ingest's threads, above those that join files.
const NICE: i32 = 5;

/// A statement and who sent it.
#[derive(Debug, Clone)]
pub struct Query {
    pub sql: String,
    pub params: Params,
    /// Rows that the asker wants at most.
    pub limit: Option<usize>,
    pub tenant: Tenant,
    pub principal: Option<String>,
    /// `http`, `flight`, `postgres`, `cli`, or whatever asks from inside.
    pub door: &'static str,
    /// A time limit below the configured one; a longer one is cut to it.
    pub deadline: Option<Duration>,
    /// Where a text without a zone is read that is cast to `timestamptz` or
    /// compared with one, and where `date_trunc` and its like find their days: a
    /// name of the IANA data base or an offset ([`Engine::check_zone`]). UTC if
    /// absent.
    pub zone: Option<Arc<str>>,
    /// What `pg_backend_pid()` says, where a connection has a number.
    pub connection: Option<i32>,
}

/// What a statement wants and gives.
#[derive(Debug, Clone)]
pub struct Description {
    pub schema: SchemaRef,
    /// Of `$1`, `$2`, …: the type, where its place in the statement tells.
    pub params: Vec<Option<DataType>>,
}

impl Query {
    /// The default tenant's, without parameters or limits of its own.
    pub fn new(sql: impl Into<String>, door: &'static str) -> Query {
        Query {
            sql: sql.into(),
            params: Params::default(),
            limit: None,
            tenant: Tenant::default(),
            principal: None,
            door,
            deadline: None,
            zone: None,
            connection: None,
        }
    }
}

/// What every statement shares. Tasks hold this, never the [`Engine`], whose
/// last drop must not happen on one of its own threads' tasks.
pub(crate) struct Core {
    pub source: Arc<dyn Source>,
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    meter: Meter,
    pub metrics: Metrics,
    pub activities: Activities,
    pub base: Base,
    pub memory: Memory,
    pub uses: crate::attributes::Uses,
    admission: Admission,
    running: Running,
}

/// What can be seen of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Rows,
    /// There is none.
    Nothing,
    /// None has been seen, and not everything: the store has not answered, say.
    NothingYet,
}

/// Runs statements over what a [`Source`] shows.
pub struct Engine {
    pub(crate) core: Arc<Core>,
    /// `None` only while dropping.
    runtime: Option<Runtime>,
    _watcher: Watcher,
}

/// Where both want a processor, who sends telemetry waits less than who asks. No
/// less than a quarter is left to statements: they hold locks for a moment.
fn yielding() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "a query thread keeps its priority");
    }
}

impl Engine {
    /// `meter` is told of what statements read.
    pub fn new(
        source: Arc<dyn Source>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        meter: Meter,
        registry: &mut Registry,
    ) -> Result<Arc<Engine>, Error> {
        Engine::measured(source, settings, clock, meter, registry, Arc::new(resident_bytes))
    }

    /// As [`Engine::new`], with a gauge of the process' memory of one's own.
    pub fn measured(
        source: Arc<dyn Source>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        meter: Meter,
        registry: &mut Registry,
        gauge: Gauge,
    ) -> Result<Arc<Engine>, Error> {
        settings.validate()?;
        let base = Base::new(source.as_ref(), &settings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads)
            .thread_name("query")
            .thread_stack_size(STACK)
            .thread_keep_alive(IDLE)
            .on_thread_start(yielding)
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, format!("the query threads do not start: {error}"))
            })?;
        let memory = Memory::new(settings.memory, settings.share());
        let admission = Admission::new(settings.concurrency, settings.user_concurrency);
        let running = Running::default();
        let resident = settings.resident;
        let watcher = Watcher::start(running.clone(), admission.clone(), resident, gauge)?;
        let core = Arc::new(Core {
            admission,
            running,
            source,
            settings,
            clock,
            meter,
            metrics: Metrics::register(registry),
            activities: Activities::default(),
            base,
            memory,
            uses: Default::default(),
        });
        Ok(Arc::new(Engine { core, runtime: Some(runtime), _watcher: watcher }))
    }

    pub fn settings(&self) -> &Settings {
        &self.core.settings
    }

    /// Whether statements would see rows in any of these tables, or views of the latest
    /// of them, without planning one.
    pub fn sees(&self, tenant: &Tenant, tables: &[&str]) -> Sight {
        let source = &self.core.source;
        let snapshot = |name: &&str| {
            let revised = source.catalog().revised(name).map(|table| table.name);
            source.snapshot(tenant, revised.unwrap_or(name))
        };
        let all: Vec<Snapshot> = tables.iter().filter_map(snapshot).collect();
        let is_empty = |one: &Snapshot| {
            one.committed.is_empty() && one.staged.is_empty() && one.hot.is_empty()
        };
        match all.iter().all(is_empty) {
            false => Sight::Rows,
            true if all.iter().all(|one| one.incomplete.is_none()) => Sight::Nothing,
            true => Sight::NothingYet,
        }
    }

    /// Statements that wait or run now.
    pub fn running(&self) -> usize {
        self.core.activities.running()
    }

    /// Runs a statement up to its first batch. Whoever drops the future, or
    /// the answer, cancels the statement.
    pub async fn run(&self, query: Query) -> Result<Answer, Error> {
        let core = &self.core;
        let limit = self.limit(&query);
        let deadline = Instant::now() + limit;
        let now = core.clock.now_unix_nano();
        let entry = Entry { activity: core.activities.begin(&query, now), core: core.clone() };
        core.metrics.running.inc();
        let activity = entry.activity.clone();
        let permit = match self.permit(&query, deadline).await {
            Ok(permit) => permit,
            Err(error) => {
                return Err(entry.end(Err(error)).unwrap_or_else(|| Error::deadline(limit)));
            }
        };

        let (rows, incoming) = mpsc::channel(1);
        let (ready, planned) = oneshot::channel();
        let stop = core.stop(deadline, limit, &activity.stats);
        let statement = run::Statement { query, entry, stop: stop.clone(), permit };
        let Some(runtime) = &self.runtime else {
            return Err(Error::new(ErrorKind::Unavailable, "the engine is stopping"));
        };
        let task = runtime.spawn(statement.run(ready, rows));
        let task = AbortOnDrop { task: task.abort_handle(), stop: stop.clone() };
        // The task keeps the deadline itself; planning that never yields
        // would not see it, so the door does not wait for that.
        let schema = match timeout_at(deadline + Duration::from_millis(500), planned).await {
            Ok(Ok(planned)) => planned?,
            Ok(Err(_)) => {
                activity.moved(State::Failed(ErrorKind::Internal));
                return Err(Error::new(ErrorKind::Internal, "planning the statement broke off")
                    .with_hint("the log has the cause"));
            }
            Err(_) => {
                stop.stop(Error::deadline(limit));
                return Err(Error::deadline(limit));
            }
        };
        let stats = activity.stats.clone();
        Ok(Answer { id: activity.id, schema, rows: Rows::new(incoming, task), stats })
    }

    /// Plans a statement without running it. Values of its parameters may be
    /// missing; those that are given can settle the types of columns.
    pub async fn describe(&self, query: Query) -> Result<Description, Error> {
        let core = self.core.clone();
        let limit = self.limit(&query);
        let deadline = Instant::now() + limit;
        let permit = self.permit(&query, deadline).await?;
        let Some(runtime) = &self.runtime else {
            return Err(Error::new(ErrorKind::Unavailable, "the engine is stopping"));
        };
        let stop = core.stop(deadline, limit, &Stats::begin());
        let stopped = stop.clone();
        let task = runtime.spawn(run::describe(core, query, stopped, permit));
        let _end = AbortOnDrop { task: task.abort_handle(), stop };
        match timeout_at(deadline, task).await {
            Ok(Ok(described)) => described,
            Ok(Err(_)) => Err(Error::new(ErrorKind::Internal, "planning the statement broke off")
                .with_hint("the log has the cause")),
            Err(_) => Err(Error::deadline(limit)),
        }
    }

    /// Runs work on a thread with the stack that texts from anyone need: what
    /// parses them recurses. `None` if it panicked or the engine is stopping.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.runtime.as_ref()?.spawn(async move { work() }).await.ok()
    }

    /// Whether a name or an offset can be a statement's zone.
    pub fn check_zone(&self, zone: &str) -> Result<Arc<str>, Error> {
        match zone.parse::<arrow::array::timezone::Tz>() {
            Ok(_) => Ok(zone.into()),
            Err(_) => Err(Error::invalid(format!("the time zone {zone} is not known"))
                .with_hint("give a name such as Europe/Zurich, or an offset such as +02:00")),
        }
    }

    /// The time that a statement has.
    fn limit(&self, query: &Query) -> Duration {
        let longest = self.core.settings.timeout;
        query.deadline.map_or(longest, |wanted| wanted.min(longest))
    }

    /// Every table of a tenant with its columns and counts.
    pub fn tables(&self, tenant: &Tenant) -> Result<Vec<TableInfo>, Error> {
        describe::tables(&self.core, tenant, None)
    }

    /// One table by its name (`spans`, `system.files`).
    pub fn table(&self, tenant: &Tenant, name: &str) -> Result<TableInfo, Error> {
        let found = describe::tables(&self.core, tenant, Some(name))?;
        found.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no table {name}"))
                .with_hint("GET /api/v1/tables lists them")
        })
    }

    async fn permit(&self, query: &Query, deadline: Instant) -> Result<admission::Permit, Error> {
        let core = &self.core;
        let _waits = core.running.wait();
        let patience = deadline.min(Instant::now() + core.settings.queue);
        let who = (query.tenant.clone(), query.principal.clone());
        core.admission.permit(who, patience).await
    }
}

impl Core {
    /// What ends a statement that may go on for this long.
    pub fn stop(&self, deadline: Instant, limit: Duration, stats: &Stats) -> Stop {
        Stop::new(deadline, limit, self.settings.max_scan_bytes, stats.clone())
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.core.fmt(f)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Statements in flight end at their next await; blocking here
            // could be on one of the daemon's own threads.
            runtime.shutdown_background();
        }
    }
}

/// A statement's line in the books: closed once, whatever happens to it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub activity: Arc<Activity>,
    pub core: Arc<Core>,
}

impl Entry {
    /// Closes the line with the outcome and gives back the error, if it was one.
    fn end(&self, outcome: Result<State, Error>) -> Option<Error> {
        let state = match &outcome {
            Ok(state) => *state,
            Err(error) => State::Failed(error.kind()),
        };
        if self.core.activities.end(&self.activity, state) {
            let summary = self.activity.stats.summary();
            let metrics = &self.core.metrics;
            let labels = Outcome { door: self.activity.door, outcome: state.as_str() };
            metrics.statements.get_or_create(&labels).inc();
            metrics.seconds.observe(self.activity.stats.elapsed().as_secs_f64());
            metrics.running.dec();
            metrics.rows.inc_by(summary.rows);
            metrics.bytes_read.inc_by(summary.bytes_read);
            metrics.files_read.inc_by(summary.files_read);
            metrics.files_pruned.inc_by(summary.files_pruned);
            for (table, bytes) in self.activity.stats.scanned() {
                if let Some(signal) = self.core.source.catalog().signal(table) {
                    self.core.meter.scanned(&self.activity.tenant, signal, bytes);
                }
            }
        }
        outcome.err()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Nothing was said: its reader went and the task was aborted, or the
        // task is going down by a fault of ours.
        self.end(match std::thread::panicking() {
            true => Ok(State::Failed(ErrorKind::Internal)),
            false => Ok(State::Cancelled),
        });
    }
}
