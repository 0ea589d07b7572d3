//! The one task of all guards: rows that were heard, the time, changes of runs
//! and answers of the engine come in; decisions, stops and webhooks go out. It
//! never waits for any of these but the next to come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use experiments::guard::reduce::plan;
use experiments::guard::watcher::Answer;
use experiments::guard::{Fired, Flow, Heard, Question, Timeline, Want, Watcher};
use experiments::run::State;
use experiments::tap::{Feed, Losses};
use experiments::{Ask as _, Run, radius};
use prometheus_client::registry::Registry;
use query::Engine;
use schema::{Clock, ErrorKind, Tenant};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::board::{Board, Key};
use super::deed::{Deeds, Stop};
use super::lease::Leases;
use super::metrics::Metrics;
use super::webhook::Webhooks;
use crate::chaos::Runs;
use crate::chaos::answer::Local;
use crate::chaos::journal::Journal;
use crate::chaos::judging::others;

/// How often guards are evaluated whatever arrives, and at most for what arrives.
const TICK: Duration = Duration::from_millis(250);
const SOON: Duration = Duration::from_millis(20);
/// Batches that are taken at once before anything else has its turn.
const AT_ONCE: usize = 256;
/// Statements of guards that run at the same time, and how long one may take.
const ASKED: usize = 4;
const PATIENCE: Duration = Duration::from_secs(15);
/// The same of a look at the blast radius, which is a dozen of them.
const RADIUS_PATIENCE: Duration = Duration::from_secs(90);

/// What guards take.
pub struct Components {
    pub runs: Arc<Runs>,
    pub feed: Feed,
    pub engine: Arc<Engine>,
    pub clock: Arc<dyn Clock>,
    pub journal: Arc<Journal>,
    pub webhooks: Webhooks,
    /// Requests that were turned away for want of memory, since the start.
    pub shortages: Box<dyn Fn() -> u64 + Send + Sync>,
    pub node_id: String,
}

struct Watching {
    watcher: Watcher,
    run: Arc<Run>,
}

pub struct Hub {
    runs: Arc<Runs>,
    feed: Feed,
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    journal: Arc<Journal>,
    shortages: Box<dyn Fn() -> u64 + Send + Sync>,
    board: Arc<Board>,
    leases: Arc<Leases>,
    metrics: Metrics,
    watching: BTreeMap<Key, Watching>,
    flows: BTreeMap<Tenant, Flow>,
    losses: Losses,
    /// When the batches were received that were taken since the last evaluation.
    taken: Vec<i64>,
    asking: JoinSet<(Key, Want, i64, Answer)>,
    turns: Arc<Semaphore>,
    deeds: Deeds,
    /// What was received since then this node sees, whatever the store does.
    since: i64,
    time: Timeline,
    begun: Instant,
}

impl Hub {
    pub fn new(components: Components, registry: &mut Registry) -> Hub {
        let Components { runs, feed, engine, clock, journal, webhooks, shortages, node_id } =
            components;
        let metrics = Metrics::new(registry);
        let board = Board::new(runs.clone(), clock.clone(), node_id);
        let deeds = Deeds::new(
            runs.clone(),
            journal.clone(),
            clock.clone(),
            Arc::new(webhooks),
            metrics.clone(),
        );
        let since = clock.now_unix_nano();
        Hub {
            since,
            time: Timeline::new(since),
            begun: Instant::now(),
            runs,
            feed,
            engine,
            clock,
            journal,
            shortages,
            board,
            leases: Arc::default(),
            metrics,
            watching: BTreeMap::new(),
            flows: BTreeMap::new(),
            losses: Losses::default(),
            taken: Vec::new(),
            asking: JoinSet::new(),
            turns: Arc::new(Semaphore::new(ASKED)),
            deeds,
        }
    }

    pub(super) fn api(&self) -> Api {
        Api {
            board: self.board.clone(),
            leases: self.leases.clone(),
            runs: self.runs.clone(),
            journal: self.journal.clone(),
        }
    }

    /// Guards runs until it is cancelled.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        let mut changes = self.runs.changes();
        let mut ticks = tokio::time::interval_at(Instant::now(), TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut readings = self.runs.readings();
        let mut due: Option<Instant> = None;
        let mut last = Instant::now();
        loop {
            let soon = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(heard) = self.feed.next() => {
                    self.take(heard);
                    due = due.or(Some(last + SOON));
                }
                () = soon => {}
                changed = changes.recv() => match changed {
                    Ok(run) => self.follow(&run, true),
                    Err(RecvError::Lagged(_)) => self.follow_all(),
                    Err(RecvError::Closed) => break,
                },
                Some(answered) = self.asking.join_next() => self.answered(answered),
                Some(done) = self.deeds.next() => self.deeds.done(done),
                // Its sender is that of the runs, which this holds.
                Ok(()) = readings.changed() => self.taken_up(),
                _ = ticks.tick() => {
                    self.lapse();
                    self.evaluate();
                    self.ask();
                    (due, last) = (None, Instant::now());
                }
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                self.evaluate();
                (due, last) = (None, Instant::now());
            }
        }
        self.board.close();
        self.asking.shutdown().await;
        self.deeds.stop().await;
        Ok(())
    }

    /// The time that guards go by: no clock that is set moves their windows.
    fn now(&mut self) -> i64 {
        let since = i64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let before = self.time.jumped();
        let now = self.time.now(self.clock.now_unix_nano(), since);
        if self.time.jumped() != before {
            tracing::warn!("the clock was set; guards go on by the time that passed");
        }
        now
    }

    fn take(&mut self, heard: Heard) {
        let now = self.now();
        self.count(heard, now);
        for _ in 1..AT_ONCE {
            let Some(heard) = self.feed.ready() else { return };
            self.count(heard, now);
        }
    }

    fn count(&mut self, mut heard: Heard, now: i64) {
        self.time.translate(&mut heard, now);
        let heard = &heard;
        self.taken.push(heard.received);
        if let Some(flow) = self.flows.get_mut(&heard.tenant) {
            flow.take(heard);
        }
        let mine = self.watching.iter_mut().filter(|(key, _)| key.0 == heard.tenant);
        mine.for_each(|(_, watching)| watching.watcher.take(heard));
    }

    fn lost(&self) -> Losses {
        let losses = self.feed.losses();
        Losses { refused: losses.refused + (self.shortages)(), ..losses }
    }

    fn evaluate(&mut self) {
        let now = self.now();
        let losses = self.lost();
        let missed = losses.missed > self.losses.missed;
        if missed {
            self.metrics.missed(losses.missed - self.losses.missed);
        }
        self.losses = losses;
        for flow in self.flows.values_mut() {
            flow.lost(losses, now);
        }
        let mut fired: Vec<(Arc<Run>, Fired)> = Vec::new();
        for (key, watching) in &mut self.watching {
            if missed {
                watching.watcher.lost(now);
            }
            let Some(flow) = self.flows.get(&key.0) else { continue };
            watching.watcher.goes_by(self.time);
            let (mut decision, new) = watching.watcher.evaluate(flow, now);
            decision.evaluated_at = self.time.wall(now);
            self.board.post(key, decision);
            fired.extend(new.into_iter().map(|fired| (watching.run.clone(), fired)));
        }
        if !self.watching.is_empty() {
            for received in &self.taken {
                let nanos = now.saturating_sub(*received).max(0);
                self.metrics.decided(Duration::from_nanos(nanos as u64));
            }
        }
        self.taken.clear();
        for (run, fired) in fired {
            self.fire(&run, fired);
        }
    }

    fn fire(&mut self, run: &Arc<Run>, fired: Fired) {
        // After the recovery there is nothing left to stop: traffic may end with
        // its injector.
        let shadow = fired.shadow || run.state == State::Recovering;
        self.metrics.fired(shadow);
        let Fired { guard, decision, action, .. } = fired;
        let (reason, detail) = (decision.reason.as_deref(), &decision.detail);
        tracing::warn!(run = %run.id, guard, shadow, reason, detail, "a guard fired");
        self.deeds.fired(run, &guard, &decision, &action, shadow);
    }

    /// Runs whose injectors do not renew their leases any more.
    fn lapse(&mut self) {
        for (key, lease) in self.leases.lapsed(Instant::now()) {
            let Some(run) = self.runs.get(&key.0, &key.1).filter(|run| !run.state.is_over()) else {
                continue;
            };
            let detail = format!("its holder {:?} did not renew it in time", lease.holder);
            tracing::warn!(run = %run.id, detail, "a lease lapsed");
            self.deeds.stop_run(Stop {
                run,
                guard: "lease".into(),
                reason: "lease".into(),
                detail,
                value: None,
                n: 0,
                webhooks: Vec::new(),
            });
        }
    }

    /// Runs of earlier processes were found, and so may their leases be.
    fn taken_up(&mut self) {
        self.follow_all();
        let live = self.runs.live();
        let tenants: BTreeSet<&Tenant> = live.iter().map(|run| &run.tenant).collect();
        for tenant in tenants {
            self.deeds.restore_leases(self.local(tenant), self.leases.clone());
        }
    }

    fn follow_all(&mut self) {
        let live = self.runs.live();
        let gone: Vec<Key> = self
            .watching
            .keys()
            .filter(|key| !live.iter().any(|run| (&run.tenant, &run.id) == (&key.0, &key.1)))
            .cloned()
            .collect();
        gone.iter().for_each(|key| self.leave(key));
        live.iter().for_each(|run| self.follow(run, false));
    }

    /// A run as it is now; `news`: it has just become so.
    fn follow(&mut self, run: &Arc<Run>, news: bool) {
        let key: Key = (run.tenant.clone(), run.id.clone());
        if news {
            self.deeds.told(run);
        }
        let watched = !run.state.is_over() && run.state != State::Declared && !run.retrospective;
        let Some(experiment) = run.experiment.clone().filter(|_| watched) else {
            if run.state.is_over() {
                // Over without an injector's word: nothing is left to renew.
                self.leases.release(&key);
            }
            self.leave(&key);
            return;
        };
        let now = self.now();
        let same = |watching: &Watching| {
            let known = watching.run.experiment.as_ref();
            known.is_some_and(|known| Arc::ptr_eq(known, &experiment) || **known == *experiment)
        };
        if !self.watching.get(&key).is_some_and(same) {
            let mut watcher =
                Watcher::new(run.id.as_str(), experiment, run.opened.at, now).seeing(self.since);
            watcher.goes_by(self.time);
            let losses = self.lost();
            let flow = || Flow::new(now, losses);
            self.flows.entry(key.0.clone()).or_insert_with(flow);
            self.watching.insert(key.clone(), Watching { watcher, run: run.clone() });
            self.listen();
        }
        if let Some(watching) = self.watching.get_mut(&key) {
            watching.run = run.clone();
            if let Some(inject) = run.marks.inject {
                watching.watcher.injected(inject.at, now);
            }
        }
    }

    fn leave(&mut self, key: &Key) {
        if self.watching.remove(key).is_some() {
            self.board.remove(key);
            self.listen();
        }
        if !self.watching.keys().any(|other| other.0 == key.0) {
            self.flows.remove(&key.0);
        }
    }

    /// Has the tap look for what the guards of all runs count.
    fn listen(&mut self) {
        self.metrics.watching(self.watching.len());
        let subjects = self.watching.iter().flat_map(|(key, watching)| {
            watching.watcher.subjects().map(|subject| (key.0.clone(), subject.clone()))
        });
        let tenants = self.watching.keys().map(|key| key.0.clone());
        self.feed.watch(plan(tenants, subjects));
    }

    fn local(&self, tenant: &Tenant) -> Local {
        Local { engine: self.engine.clone(), tenant: tenant.clone() }
    }

    fn ask(&mut self) {
        let now = self.now();
        for (key, watching) in &mut self.watching {
            watching.watcher.goes_by(self.time);
            for question in watching.watcher.questions(now) {
                let local = Local { engine: self.engine.clone(), tenant: key.0.clone() };
                let (key, turns, judged) = (key.clone(), self.turns.clone(), self.time.judged(now));
                let run = watching.run.clone();
                self.asking.spawn(async move {
                    // Never closed while questions are asked.
                    let _turn = turns.acquire().await;
                    let late = || experiments::Error::Engine {
                        kind: ErrorKind::Unavailable,
                        message: "the engine did not answer in time".into(),
                    };
                    match question {
                        Question::Sql(want, sql) => {
                            let answer = tokio::time::timeout(PATIENCE, local.ask(&sql)).await;
                            let answer = answer.unwrap_or_else(|_| Err(late()));
                            (key, want, now, Answer::Table(answer))
                        }
                        Question::Radius(want, mut window) => {
                            let found = async {
                                let Some(experiment) = &run.experiment else { return Err(late()) };
                                window.others = others(&run, judged, &local).await?;
                                radius::discover(experiment, &window, judged, &local).await
                            };
                            let found = tokio::time::timeout(RADIUS_PATIENCE, found).await;
                            let found = found.unwrap_or_else(|_| Err(late()));
                            (key, want, now, Answer::Radius(found.map(Box::new)))
                        }
                    }
                });
            }
        }
    }

    fn answered(&mut self, answered: Result<(Key, Want, i64, Answer), tokio::task::JoinError>) {
        let (key, want, asked, answer) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                tracing::error!(%error, "a question of a guard broke off; its guard grows blind");
                return;
            }
        };
        if let Answer::Table(Err(error)) | Answer::Radius(Err(error)) = &answer {
            tracing::debug!(run = %key.1, ?want, %error, "a guard's question was not answered");
        }
        let now = self.now();
        if let Some(watching) = self.watching.get_mut(&key) {
            watching.watcher.answered(want, answer, asked, now);
        }
    }
}
