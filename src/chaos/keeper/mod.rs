//! The one who changes runs: order by order, rows first. Its clock ends what
//! nobody ends, and has settled runs judged.
//!
//! | file | its part |
//! | --- | --- |
//! | [`observed`] | what telemetry tells, of runs that are known and of others |

mod observed;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use experiments::document::scope::Overlap;
use experiments::run::row::WindowRow;
use experiments::run::{Confidence, Mark, Moment, Opening};
use experiments::signal::Kind;
use experiments::tap::Ear;
use experiments::{Experiment, Run, RunId};
use query::Engine;
use schema::tables::experiments::{EVENTS, EXPERIMENTS, WINDOWS};
use schema::{Clock, ErrorKind, Refusal, Tenant};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::judging::Judge;
use super::runs::{Order, Runs, Start};
use super::{Error, told};
use observed::Heard;

/// How often time alone may change a run.
const TICK: Duration = Duration::from_secs(1);
/// Runs at once that are not over, and in all at hand: names come from outside.
const MOST_LIVE: usize = 1_000;
const MOST_KNOWN: usize = 5_000;
const MOST_DOCUMENTS: usize = 2_000;
/// From one try to read the last process' runs to the next, at first and at most:
/// tables take a moment to load at every start, and a store may be away for hours.
const AGAIN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(5);

pub struct Keeper {
    runs: Arc<Runs>,
    orders: mpsc::Receiver<Order>,
    ear: Ear,
    journal: Journal,
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    judge: Judge,
    /// Changes that hold and whose rows could not be written yet.
    unwritten: BTreeSet<(Tenant, RunId)>,
    heard: Heard,
}

impl Keeper {
    pub fn new(
        runs: Arc<Runs>,
        orders: mpsc::Receiver<Order>,
        ear: Ear,
        journal: Journal,
        engine: Arc<Engine>,
        clock: Arc<dyn Clock>,
    ) -> Keeper {
        let judge = Judge::new(engine.clone(), clock.clone());
        let (unwritten, heard) = (BTreeSet::new(), Heard::default());
        Keeper { runs, orders, ear, journal, engine, clock, judge, unwritten, heard }
    }

    pub async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        let read = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            read = self.read_back() => read,
        };
        self.take_up(read);
        let mut ticks = tokio::time::interval_at(Instant::now(), TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(order) = self.orders.recv() => self.carry_out(order).await,
                Some((tenant, events)) = self.ear.next() => {
                    let received = self.clock.now_unix_nano();
                    for event in events {
                        self.told(&tenant, &event, received).await;
                    }
                }
                Some(judged) = self.judge.next() => self.carry_out(judged).await,
                _ = ticks.tick() => self.pass_time().await,
            }
            self.judge.begin();
        }
        // What somebody ordered while this ends is answered that it stops.
        self.orders.close();
        self.judge.stop().await;
        Ok(())
    }

    /// Until it is read, nothing can be said of a run that is not known.
    async fn read_back(&self) -> super::journal::Found {
        let (mut pause, mut told) = (AGAIN, false);
        loop {
            match self.journal.found(&self.engine, &Tenant::default()).await {
                Ok(found) => return found,
                Err(error) if pause >= SELDOM && !told => {
                    told = true;
                    tracing::warn!("the runs of the last process cannot be read yet: {error:#}");
                }
                Err(error) => tracing::debug!("the runs cannot be read yet: {error:#}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SELDOM);
        }
    }

    fn take_up(&mut self, found: super::journal::Found) {
        let live = found.runs.iter().filter(|run| !run.state.is_over()).count();
        if !found.runs.is_empty() {
            tracing::info!(
                runs = found.runs.len(),
                live,
                "the runs of the last process are taken up"
            );
        }
        self.runs.loaded(|known| {
            for (name, experiment) in found.documents {
                known.documents.insert((Tenant::default(), name), experiment);
            }
            for run in found.runs {
                known.runs.insert((run.tenant.clone(), run.id.clone()), Arc::new(run));
            }
        });
    }

    async fn carry_out(&mut self, order: Order) {
        // Whoever ordered may have left; the change is made all the same.
        match order {
            Order::Declare { tenant, name, experiment, reply } => {
                drop(reply.send(self.declare(&tenant, &name, &experiment).await));
            }
            Order::Open { start, reply } => drop(reply.send(self.open(*start).await)),
            Order::Mark { tenant, id, mark, moment, reply } => {
                drop(reply.send(self.mark(&tenant, &id, &mark, moment).await));
            }
            Order::Judge { tenant, id, reply } => {
                let ordered = match self.runs.get(&tenant, &id) {
                    Some(run) => self.judge.order(&run),
                    None => Err(Error::unknown_run(id.as_str())),
                };
                drop(reply.send(ordered));
            }
            Order::Judged { tenant, id, judging } => self.judged(&tenant, &id, *judging).await,
        }
    }

    async fn declare(
        &self,
        tenant: &Tenant,
        name: &str,
        experiment: &Arc<Experiment>,
    ) -> Result<(), Error> {
        let known = self.runs.document(tenant, name);
        if known.as_ref().is_some_and(|known| known.version() == experiment.version()) {
            return Ok(());
        }
        let mut room = true;
        self.runs.change(|all| room = known.is_some() || all.documents.len() < MOST_DOCUMENTS);
        if !room {
            let message = format!("{MOST_DOCUMENTS} experiments are declared already");
            return Err(Error::new(ErrorKind::Throttled, message, "use a name again"));
        }
        let row = self.journal.document(name, experiment);
        let row = row.map_err(|error| {
            Error::new(ErrorKind::Internal, format!("{error:#}"), "please report it")
        })?;
        self.journal.write(tenant, EXPERIMENTS, &[row]).await?;
        let key = (tenant.clone(), name.to_owned());
        self.runs.change(|known| drop(known.documents.insert(key, experiment.clone())));
        Ok(())
    }

    async fn open(&mut self, start: Start) -> Result<(Arc<Run>, bool), Error> {
        let now = self.clock.now_unix_nano();
        let tenant = start.tenant.clone();
        let experiment = match &start.experiment {
            Some(experiment) => experiment.clone(),
            None => self.runs.document(&tenant, &start.name).ok_or_else(|| {
                let message = format!("there is no experiment {:?}", start.name);
                Error::new(
                    ErrorKind::NotFound,
                    message,
                    "declare it by POST /api/v1/experiments, or send the document along",
                )
            })?,
        };
        let id = start.id.clone().unwrap_or_else(|| self.unused(&tenant, &start.name, now));
        if let Some(known) = self.runs.get(&tenant, &id) {
            let version = Some(experiment.version());
            if known.name == start.name && known.version() == version {
                return Ok((known, false));
            }
            let message = format!("run {id} is one of {} already", known.name);
            return Err(Error::conflict(message, "give another run id"));
        }
        let moment = Moment::new(start.at.unwrap_or(now), now, start.source);
        let mut run = Run::open(Opening {
            id,
            tenant: tenant.clone(),
            name: start.name.clone(),
            experiment: Some(experiment.clone()),
            told: start.told,
            moment,
            uncertainty_ms: start.uncertainty_ms,
            confidence: Confidence::Declared,
            overlaps: BTreeSet::new(),
        });
        let mut events = vec![told::event(&run, Kind::Start, moment, true)];
        for (mark, at) in &start.marks {
            if *at > now {
                return Err(told::in_the_future(mark));
            }
            let moment = Moment::new(*at, now, start.source);
            if let Some(next) = run.marked(mark, moment)? {
                run = next;
            }
            events.push(told::marked(&run, mark, moment));
        }
        run = run.advanced(now).unwrap_or(run);
        // What was not seen before is its first row.
        run.revision = 1;
        self.admit(&mut run, start.overlap.unwrap_or(experiment.window.overlap))?;
        self.declare(&tenant, &start.name, &experiment).await?;
        self.durably(run, &events).await.map(|run| (run, true))
    }

    /// Whether there is room for a run, and whether it may overlap with those it does.
    fn admit(&self, run: &mut Run, overlap: Overlap) -> Result<(), Error> {
        self.room(run.state.is_over())?;
        let (from, to) = run.touched();
        let mine = |other: &&Arc<Run>| other.tenant == run.tenant && other.id != run.id;
        let all = self.runs.all();
        let meets = |other: &&Arc<Run>| {
            let (since, until) = other.touched();
            since < to && from < until
        };
        let met: BTreeSet<RunId> =
            all.iter().filter(mine).filter(meets).map(|other| other.id.clone()).collect();
        match (overlap, met.first()) {
            (Overlap::Refuse, Some(other)) => Err(Error::conflict(
                format!("run {other} is in its window; the two could not be told apart"),
                "wait until it has recovered, end it, or say \"overlap\": \"mark\"",
            )),
            _ => {
                run.overlaps = met;
                Ok(())
            }
        }
    }

    fn room(&self, over: bool) -> Result<(), Error> {
        let live = self.runs.live().len();
        if !over && live >= MOST_LIVE {
            let message = format!("{live} runs are open already");
            return Err(Error::new(ErrorKind::Throttled, message, "end some of them"));
        }
        Ok(())
    }

    fn unused(&self, tenant: &Tenant, name: &str, now: i64) -> RunId {
        let mut millis = now / 1_000_000;
        let short: String = name.chars().take(60).collect();
        loop {
            let id = RunId::near(&format!("{short}-{millis}"));
            let id = id.or_else(|_| RunId::near(&format!("run-{millis}")));
            if let Ok(id) = id
                && self.runs.get(tenant, &id).is_none()
            {
                return id;
            }
            millis += 1;
        }
    }

    async fn mark(
        &mut self,
        tenant: &Tenant,
        id: &RunId,
        mark: &Mark,
        moment: Moment,
    ) -> Result<Arc<Run>, Error> {
        let Some(run) = self.runs.get(tenant, id) else {
            return Err(Error::unknown_run(id.as_str()));
        };
        if moment.at > moment.received {
            return Err(told::in_the_future(mark));
        }
        let Some(next) = run.marked(mark, moment)? else { return Ok(run) };
        let next = match next.advanced(moment.received) {
            Some(later) => Run { revision: next.revision, ..later },
            None => next,
        };
        let events = [told::marked(&next, mark, moment)];
        // Stopping is safe whatever becomes of its row; nothing else is.
        match mark {
            Mark::Abort { .. } => Ok(self.at_once(next, &events).await),
            _ => self.durably(next, &events).await,
        }
    }

    async fn written(&self, run: &Run, events: &[told::EventRow]) -> Result<(), Refusal> {
        let now = self.clock.now_unix_nano();
        let row = [WindowRow::of(run, &self.journal.node_id, now, None)];
        // The run's row last: refused after it was stored, the same revision would
        // be written again, and the run be seen twice.
        self.journal.write(&run.tenant, EVENTS, events).await?;
        self.journal.write(&run.tenant, WINDOWS, &row).await
    }

    /// A change that holds once its row is durable.
    async fn durably(&mut self, run: Run, events: &[told::EventRow]) -> Result<Arc<Run>, Error> {
        match self.written(&run, events).await {
            Ok(()) => Ok(self.runs.publish(run)),
            // It may be stored: then it holds, and is written again as another revision.
            Err(refusal) if refusal.kind == ErrorKind::DeadlineExceeded => {
                self.unwritten.insert((run.tenant.clone(), run.id.clone()));
                self.runs.publish(run);
                Err(refusal.into())
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// A change that holds at once, and is written until it is.
    async fn at_once(&mut self, run: Run, events: &[told::EventRow]) -> Arc<Run> {
        let run = self.runs.publish(run);
        if let Err(refusal) = self.written(&run, events).await {
            tracing::warn!(run = %run.id, %refusal, "a change of a run holds, and could not be written yet");
            self.unwritten.insert((run.tenant.clone(), run.id.clone()));
        }
        run
    }

    async fn pass_time(&mut self) {
        let lost = self.ear.lost();
        if lost > 0 {
            tracing::warn!(
                lost,
                "batches with events of runs came faster than they could be taken; their rows are stored"
            );
        }
        let now = self.clock.now_unix_nano();
        for key in std::mem::take(&mut self.unwritten) {
            let Some(run) = self.runs.get(&key.0, &key.1) else { continue };
            // Its last revision may be stored; two rows of one revision would be two runs.
            let next = Run { revision: run.revision.saturating_add(1), ..(*run).clone() };
            if self.written(&next, &[]).await.is_ok() {
                self.runs.publish(next);
            } else {
                self.unwritten.insert(key);
            }
        }
        for run in self.runs.all() {
            if run.state.is_over() {
                self.judge.due(&run, now);
            } else if let Some(next) = run.advanced(now) {
                let told = told::advanced(&run, &next);
                if let Err(error) = self.durably(next, &told).await {
                    tracing::debug!(%error, run = %run.id, "time's change of a run waits for its row");
                }
            }
        }
        self.runs.change(|known| known.forget(MOST_KNOWN));
    }

    async fn judged(&mut self, tenant: &Tenant, id: &RunId, judging: super::judging::Judging) {
        let Some(run) = self.runs.get(tenant, id) else { return };
        let Some((next, rows)) = judging.outcome(&run, &self.journal.node_id) else { return };
        let now = self.clock.now_unix_nano();
        let window = [WindowRow::of(&next, &self.journal.node_id, now, rows.report.clone())];
        match rows.write(&self.journal, tenant, &window).await {
            Ok(()) => {
                let judged = next.judged;
                let run = self.runs.publish(next);
                if let Some(judged) = judged {
                    let verdict = judged.verdict.name();
                    tracing::info!(run = %run.id, verdict, "a run was judged");
                }
            }
            // The next round judges it again.
            Err(refusal) => {
                tracing::warn!(run = %run.id, %refusal, "a verdict could not be written")
            }
        }
    }
}
