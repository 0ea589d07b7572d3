//! The one who changes runs: order by order, rows first. Its clock ends what
//! nobody ends, and has settled runs judged.
//!
//! | file | its part |
//! | --- | --- |
//! | [`joined`] | what earlier processes and other nodes left |
//! | [`observed`] | what telemetry tells, of runs that are known and of others |

mod joined;
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
use storage::Storage;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::judging::Judge;
use super::publishing::Publisher;
use super::runs::{Order, Reading, Runs, Start};
use super::{Error, told};
use joined::Reader;
use observed::Heard;

/// How often time alone may change a run.
const TICK: Duration = Duration::from_secs(1);
/// Runs at once that are not over, and in all at hand: names come from outside.
const MOST_LIVE: usize = 1_000;
const MOST_KNOWN: usize = 5_000;
const MOST_DOCUMENTS: usize = 2_000;

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
    reader: Reader,
    publisher: Publisher,
}

impl Keeper {
    pub fn new(
        runs: Arc<Runs>,
        orders: mpsc::Receiver<Order>,
        ear: Ear,
        journal: Journal,
        engine: Arc<Engine>,
        storage: Arc<Storage>,
        publisher: Publisher,
    ) -> Keeper {
        let clock = journal.clock.clone();
        let judge = Judge::new(engine.clone(), clock.clone());
        let (unwritten, heard, reader) = (BTreeSet::new(), Heard::default(), Reader::new(storage));
        Keeper {
            runs,
            orders,
            ear,
            journal,
            engine,
            clock,
            judge,
            unwritten,
            heard,
            reader,
            publisher,
        }
    }

    pub async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        let mut ticks = tokio::time::interval_at(Instant::now(), TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // What is told of runs waits a moment for what is known of them.
            let begun = self.runs.reading() != Reading::Begun;
            tokio::select! {
                () = cancel.cancelled() => break,
                read = self.reader.next(&self.journal, &self.engine) => {
                    self.join(read);
                    if self.runs.reading() == Reading::Whole {
                        self.hear_waiting().await;
                    }
                }
                Some(order) = self.orders.recv() => self.carry_out(order).await,
                Some((tenant, events)) = self.ear.next(), if begun => {
                    let received = self.clock.now_unix_nano();
                    for event in events {
                        self.hear(&tenant, event, received).await;
                    }
                }
                Some(judged) = self.judge.next() => self.carry_out(judged).await,
                Some(()) = self.publisher.next() => {}
                _ = ticks.tick(), if begun => self.pass_time().await,
            }
            self.judge.begin();
        }
        // What somebody ordered while this ends is answered that it stops.
        self.orders.close();
        self.reader.stop().await;
        self.judge.stop().await;
        self.publisher.stop().await;
        Ok(())
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
            Order::Take { tenant, id, reply } => {
                drop(reply.send(self.take(&tenant, &id).await));
            }
            Order::Judge { tenant, id, reply } => {
                let ordered = match self.runs.get(&tenant, &id) {
                    Some(run) => self.judge.order(&run),
                    None => Err(self.runs.unknown(&tenant, &id)),
                };
                drop(reply.send(ordered));
            }
            Order::Judged { tenant, id, judging } => self.judged(&tenant, &id, *judging).await,
        }
    }

    async fn declare(
        &mut self,
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
        self.journal.write(tenant, EXPERIMENTS, std::slice::from_ref(&row)).await?;
        let key = (tenant.clone(), name.to_owned());
        self.reader.revisions.insert((key.0.clone(), row.name, row.version), row.revision);
        self.reader.declared.insert(key.clone());
        self.runs.change(|known| drop(known.documents.insert(key, experiment.clone())));
        Ok(())
    }

    async fn open(&mut self, start: Start) -> Result<(Arc<Run>, bool), Error> {
        let now = self.clock.now_unix_nano();
        let tenant = start.tenant.clone();
        let experiment = match &start.experiment {
            Some(experiment) => experiment.clone(),
            None => {
                let known = self.runs.document(&tenant, &start.name);
                known.ok_or_else(|| self.undeclared(&start.name))?
            }
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
        // A name that somebody chose may be that of a run that cannot be seen.
        if let Some(id) = &start.id
            && (self.runs.reading() != Reading::Whole || self.runs.elsewhere(&tenant, id).is_some())
        {
            return Err(self.runs.unknown(&tenant, id));
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

    fn undeclared(&self, name: &str) -> Error {
        let hint = "declare it by POST /api/v1/experiments, or send the document along";
        match self.runs.reading() {
            Reading::Whole => {
                Error::new(ErrorKind::NotFound, format!("there is no experiment {name:?}"), hint)
            }
            _ => {
                let message = format!(
                    "the object store is away, and whether there is an experiment {name:?} cannot be told without it"
                );
                Error::new(ErrorKind::Unavailable, message, "send the document along")
            }
        }
    }

    /// Has this node keep what another one kept.
    async fn take(&mut self, tenant: &Tenant, id: &RunId) -> Result<Arc<Run>, Error> {
        if let Some(known) = self.runs.get(tenant, id) {
            return Ok(known);
        }
        let Some((run, node)) = self.runs.elsewhere(tenant, id) else {
            return Err(self.runs.unknown(tenant, id));
        };
        self.room(run.state.is_over())?;
        let revision = run.revision.saturating_add(1);
        let taken = self.durably(Run { revision, ..(*run).clone() }, &[]).await?;
        self.runs.change(|all| drop(all.elsewhere.remove(&(tenant.clone(), id.clone()))));
        tracing::warn!(run = %id, node, "a run is taken over from another node");
        Ok(taken)
    }

    /// Whether there is room for a run, and whether it may overlap with those it does.
    fn admit(&self, run: &mut Run, overlap: Overlap) -> Result<(), Error> {
        self.room(run.state.is_over())?;
        let (from, to) = run.touched();
        let mine = |other: &&Arc<Run>| other.tenant == run.tenant && other.id != run.id;
        let mut all = self.runs.all();
        all.extend(self.runs.theirs());
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
        // Where not every other run is known, no other node makes up the same.
        let alone = self.runs.reading() == Reading::Whole && !self.reader.is_shared();
        let node = self.journal.node_id.chars().filter(|_| !alone).take(40).collect::<String>();
        let tail = |millis: i64| match node.as_str() {
            "" => millis.to_string(),
            node => format!("{millis}-{node}"),
        };
        loop {
            let id = RunId::near(&format!("{short}-{}", tail(millis)));
            let id = id.or_else(|_| RunId::near(&format!("run-{}", tail(millis))));
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
            return Err(self.runs.unknown(tenant, id));
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
        let document: Vec<_> = self.beside(run).into_iter().collect();
        self.journal.write(&run.tenant, EXPERIMENTS, &document).await?;
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
                if let Some(report) = rows.report {
                    self.publisher.publish(run.clone(), report);
                }
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
