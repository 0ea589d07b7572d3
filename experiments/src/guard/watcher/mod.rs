//! The guards of one run. Everything that happens is given: rows that were
//! heard, answers of the engine, the time. What it wants to know it says.
//!
//! | file | its part |
//! | --- | --- |
//! | [`wants`] | what is to be asked now, and of which time |

mod wants;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asked::{self, densities, reading, tallies};
use super::decision::{Decision, Verdict};
use super::flow::Flow;
use super::reduce::Heard;
use super::ring::{Ring, SECOND};
use super::state::{Sight, Standing};
use super::subject::Subject;
use super::timeline::Timeline;
use super::watched::{How, Scene, Usual, Watched};
use crate::Error;
use crate::document::Experiment;
use crate::document::provider::Provider;
use crate::document::units::Period;
use crate::indicator::{Table, answer};
use crate::radius::Radius;
use crate::verdict::evidence::{Gap, Source};
use crate::verdict::finding::Reason;
use crate::verdict::off_target;
use crate::window::Window;

/// Between two questions of one guard, and before one that failed is repeated.
const EVERY: Period = Period::secs(5);
/// The blast radius takes a dozen statements.
const RADIUS: Period = Period::secs(30);
/// What tells of longer ago when it arrives says nothing of now, unless the
/// document waits longer for late telemetry: an SDK's batch, and some retries.
const LATE: Period = Period::secs(60);

/// What a run wants to know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// Seconds that were not heard, up to this time.
    Cells(Subject, i64),
    /// All since the injection, up to this time.
    Total(Subject, i64),
    /// What was usual, of a guard's subject.
    Usual(usize),
    /// What flowed at all, before.
    Flowed(Source),
    /// A guard's value now.
    Value(usize),
    Radius(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// One statement.
    Sql(Want, String),
    /// What the fault touched in this window, by [`crate::radius::discover`].
    Radius(Want, Window),
}

#[derive(Debug)]
pub enum Answer {
    Table(Result<Table, Error>),
    Radius(Result<Box<Radius>, Error>),
}

/// A guard that fired since the last evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    pub guard: String,
    pub decision: Decision,
    /// `deny`, `webhook:name`.
    pub action: Vec<String>,
    /// It would have stopped the run, and was told not to.
    pub shadow: bool,
}

#[derive(Debug)]
pub struct Watcher {
    id: String,
    experiment: Arc<Experiment>,
    guards: Vec<Watched>,
    rings: BTreeMap<Subject, Ring>,
    sources: Vec<Source>,
    opened: i64,
    /// By the wall clock as it was then.
    injected: Option<i64>,
    /// The same as it was then in the time that guards go by.
    since: Option<i64>,
    time: Timeline,
    /// Cells that came before the total that belongs to them.
    cells: BTreeMap<(Subject, i64), Vec<(i64, super::tally::Tally)>>,
    own: BTreeMap<usize, f64>,
    others: BTreeMap<Source, Vec<(String, f64)>>,
    asking: BTreeSet<Want>,
    /// When a want may be asked (again).
    due: BTreeMap<Want, i64>,
    fired: BTreeSet<usize>,
    /// What was received since then is seen, whatever answers lack.
    seen: i64,
}

impl Watcher {
    /// Of a run that was opened at `opened` by the wall clock. Rows that arrive after
    /// this second are heard, earlier ones are asked for.
    pub fn new(id: &str, experiment: Arc<Experiment>, opened: i64, now: i64) -> Watcher {
        let guards: Vec<Watched> = experiment.guard.iter().map(Watched::new).collect();
        let mut spans: BTreeMap<Subject, i64> = BTreeMap::new();
        for guard in &guards {
            if let How::Heard(_, subject) = &guard.how {
                let span = spans.entry(subject.clone()).or_insert(1);
                *span = (*span).max(guard.seconds().unwrap_or(1)).max(guard.silence());
            }
        }
        let late = experiment.window.late.max(LATE).nanos();
        // One more, for the second under way.
        let ring = |(subject, span): (Subject, i64)| (subject, Ring::new(span + 1, late, now));
        let rings: BTreeMap<Subject, Ring> = spans.into_iter().map(ring).collect();
        let sources: BTreeSet<Source> = rings.keys().map(|s| s.stream.source()).collect();
        Watcher {
            id: id.to_owned(),
            experiment,
            guards,
            rings,
            sources: sources.into_iter().collect(),
            opened,
            injected: None,
            since: None,
            time: Timeline::new(now),
            cells: BTreeMap::new(),
            own: BTreeMap::new(),
            others: BTreeMap::new(),
            asking: BTreeSet::new(),
            due: BTreeMap::new(),
            fired: BTreeSet::new(),
            seen: i64::MAX,
        }
    }

    /// On a node that has all that it received since then itself: while the store
    /// is away its answers lack only what is older, or another node's.
    pub fn seeing(mut self, since: i64) -> Watcher {
        self.seen = since;
        self
    }

    /// How the time that it is given lies to the wall clock's.
    pub fn goes_by(&mut self, time: Timeline) {
        self.time = time;
    }

    /// What it listens to.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.rings.keys()
    }

    /// The fault was injected at `at` by the wall clock; what has counted since then
    /// is asked for.
    pub fn injected(&mut self, at: i64, now: i64) {
        if self.injected == Some(at) {
            return;
        }
        self.injected = Some(at);
        let at = self.time.of(at);
        self.since = Some(at);
        for guard in self.guards.iter().filter(|guard| guard.seconds().is_none()) {
            let How::Heard(_, subject) = &guard.how else { continue };
            if let Some(ring) = self.rings.get_mut(subject) {
                ring.since(at);
                ring.lost(now);
            }
        }
    }

    pub fn take(&mut self, heard: &Heard) {
        for arrival in &heard.arrivals {
            if let Some(ring) = self.rings.get_mut(&arrival.subject) {
                ring.take(arrival.second, &arrival.marks);
            }
        }
    }

    /// Rows were stored that were not heard.
    pub fn lost(&mut self, now: i64) {
        self.rings.values_mut().for_each(|ring| ring.lost(now));
    }

    /// `asked` is the time that the question was made at.
    pub fn answered(&mut self, want: Want, answer: Answer, asked: i64, now: i64) {
        self.asking.remove(&want);
        let every = match &answer {
            Answer::Radius(Ok(_)) => RADIUS,
            _ => EVERY,
        };
        self.due.retain(|_, due| *due > now);
        self.due.insert(want.clone(), now.saturating_add(every.nanos()));
        match (want, answer) {
            (Want::Radius(at), Answer::Radius(found)) => {
                let looked = match found {
                    Ok(radius) => self.beyond(&radius),
                    Err(error) if error.kind() == schema::ErrorKind::Unavailable => return,
                    Err(error) => Err(Sight::blind(Reason::Error, error.to_string())),
                };
                if let Some(guard) = self.guards.get_mut(at) {
                    guard.looked(now, looked);
                }
            }
            (want, Answer::Table(Ok(mut table))) => {
                if self.begins(&want, asked).is_some_and(|from| from >= self.seen) {
                    table.incomplete.clear();
                }
                self.told(want, &table, asked, now);
            }
            // An engine that is away answers nothing; that grows stale by itself.
            (Want::Value(at), Answer::Table(Err(error)))
                if error.kind() != schema::ErrorKind::Unavailable =>
            {
                self.valued(at, now, Err(Gap::Error(error.to_string())));
            }
            // Asked again when it is due.
            _ => {}
        }
    }

    /// What of a radius lies beyond the declared one. What moved is no news where too
    /// little fault-free time is known to tell it from noise, and that stops nobody.
    fn beyond(&self, radius: &Radius) -> Result<Option<String>, Sight> {
        if let Some(detail) = off_target::uncalibrated(radius) {
            let reason = Reason::Uncalibrated;
            return Err(Sight::Blind { reason, detail, aborts: false });
        }
        Ok(off_target::beyond(&self.experiment, radius, true))
    }

    /// Since when the rows are that an answer is made of, where it says so.
    fn begins(&self, want: &Want, asked: i64) -> Option<i64> {
        match want {
            Want::Cells(subject, whole) => Some(whole - self.rings.get(subject)?.span() * SECOND),
            Want::Total(subject, _) => self.rings.get(subject)?.counts_since(),
            Want::Value(at) => {
                let guard = self.guards.get(*at)?;
                match &guard.how {
                    How::Asked { provider: Provider::Measure(_), .. } => {
                        Some(self.time.of(self.stretch(guard, asked)?.ok()?.from))
                    }
                    // A query may look wherever it likes.
                    _ => None,
                }
            }
            Want::Usual(_) | Want::Flowed(_) | Want::Radius(_) => None,
        }
    }

    fn told(&mut self, want: Want, table: &Table, asked: i64, now: i64) {
        match want {
            Want::Cells(subject, whole) => {
                let Ok(mut seconds) = tallies(table) else { return };
                seconds.iter_mut().for_each(|(second, _)| {
                    *second = self.time.of(*second * SECOND).div_euclid(SECOND);
                });
                let Some(ring) = self.rings.get_mut(&subject) else { return };
                match ring.counts_since() {
                    None => ring.restore(whole, seconds, Default::default()),
                    Some(_) => {
                        self.cells.retain(|(known, _), _| *known != subject);
                        self.cells.insert((subject, whole), seconds);
                    }
                }
            }
            Want::Total(subject, whole) => {
                let Ok(total) = tallies(table) else { return };
                let Some(seconds) = self.cells.remove(&(subject.clone(), whole)) else { return };
                let total = total.into_iter().next().map(|(_, tally)| tally).unwrap_or_default();
                if let Some(ring) = self.rings.get_mut(&subject) {
                    ring.restore(whole, seconds, total);
                }
            }
            Want::Usual(at) => {
                let Some(How::Heard(measure, _)) = self.guards.get(at).map(|guard| &guard.how)
                else {
                    return;
                };
                let span = self.before();
                if let Ok(series) = answer::series(measure, span, table) {
                    self.own.insert(at, series.n() / span.seconds().max(1.0));
                    self.know();
                }
            }
            Want::Flowed(source) => {
                if let Ok(densities) = densities(table, self.before()) {
                    self.others.insert(source, densities);
                    self.know();
                }
            }
            Want::Value(at) => {
                let Some(guard) = self.guards.get(at) else { return };
                let (How::Asked { provider, .. }, Some(Ok(span))) =
                    (&guard.how, self.stretch(guard, asked))
                else {
                    return;
                };
                let read = reading(provider, span, table);
                self.valued(at, now, read);
            }
            Want::Radius(_) => {}
        }
    }

    fn valued(&mut self, at: usize, now: i64, read: Result<asked::Reading, Gap>) {
        if let Some(How::Asked { answer, .. }) = self.guards.get_mut(at).map(|g| &mut g.how) {
            *answer = Some((now, read));
        }
    }

    /// What was usual, where both its parts are known.
    fn know(&mut self) {
        for (at, guard) in self.guards.iter_mut().enumerate() {
            let How::Heard(_, subject) = &guard.how else { continue };
            let others = self.others.get(&subject.stream.source());
            if let (Some(own), Some(all)) = (self.own.get(&at), others) {
                let others = all.iter().filter(|(name, _)| *name != subject.service);
                guard.usual = Some(Usual { own: *own, others: others.map(|(_, n)| n).sum() });
            }
        }
    }

    /// Where every guard stands, and what that means for the run.
    pub fn evaluate(&mut self, flow: &Flow, now: i64) -> (Decision, Vec<Fired>) {
        self.doubt(now);
        let settle = self.experiment.window.settle.nanos();
        let first = self.since.map(|since| since.saturating_add(settle + RADIUS.nanos()));
        let scene = Scene { now, injected: self.since, first, flow, sources: &self.sources };
        let mut decision: Option<Decision> = None;
        let mut fired = Vec::new();
        for (at, guard) in self.guards.iter_mut().enumerate() {
            let ring = match &guard.how {
                How::Heard(_, subject) => self.rings.get(subject),
                _ => None,
            };
            let sight = guard.sight(ring, &scene);
            let standing = guard.state.step(sight, now);
            let said = said(guard, &standing, now);
            if matches!(standing, Standing::Fired { .. }) && self.fired.insert(at) {
                fired.push(Fired {
                    guard: guard.guard.name.clone(),
                    decision: said.clone(),
                    action: guard.guard.action.clone(),
                    shadow: !guard.enforces(),
                });
            }
            // The first of the worst speaks for all; a value speaks before none.
            let rank = |said: &Decision| (said.verdict, said.value.is_some());
            if guard.enforces() && decision.as_ref().is_none_or(|d| rank(&said) > rank(d)) {
                decision = Some(said);
            }
        }
        let none = || Decision::cannot_tell("error", "the run has no guard that enforces", now);
        (decision.unwrap_or_else(none), fired)
    }
}

fn said(guard: &Watched, standing: &Standing, now: i64) -> Decision {
    let (verdict, reason, detail) = match standing {
        Standing::Fine => (Verdict::Go, None, String::new()),
        Standing::Holding { detail } => (Verdict::Go, None, detail.clone()),
        Standing::Blind { reason, detail } => {
            (Verdict::CannotTell, Some(reason.name()), detail.clone())
        }
        Standing::Fired { reason, detail } => {
            let word = match (reason, &guard.how) {
                (Some(reason), _) => reason.name(),
                (None, How::Radius { .. }) => "off_target",
                (None, _) => "threshold",
            };
            (Verdict::Stop, Some(word), detail.clone())
        }
    };
    Decision {
        verdict,
        guard: Some(guard.guard.name.clone()),
        reason: reason.map(str::to_owned),
        detail,
        value: guard.value,
        n: guard.n,
        evaluated_at: now,
    }
}
