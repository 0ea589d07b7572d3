//! A run's life: declared or merely observed, marked by whoever knows, ended,
//! judged. Pure: it is given every time and never asks for one, so that a run
//! that is read back from its rows is the run that was written.
//!
//! ```text
//!              inject          recover          end, or the plan's recovery is over
//! declared ─► baseline ─► injecting ─► recovering ─► ended
//!     └───────────┴───────────┴─────────────┴─ abort ─► aborted, for good
//! ```
//!
//! | file | its part |
//! | --- | --- |
//! | [`id`] | names of runs that may come from outside |
//! | [`mark`] | who said what, when, and when it was heard |
//! | [`life`] | what a mark or the time makes of a run |
//! | [`row`] | a run as its row, and back |
//!
//! The first to tell of an edge sets it; a later one widens what is unsure of
//! it. An aborted run never reopens. Deliberately not here: keeping runs, which
//! the root does by rows, and judging them (`judge`).

pub mod id;
pub mod life;
pub mod mark;
pub mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schema::Tenant;
use serde::{Deserialize, Serialize};

use crate::document::{Experiment, scope};
use crate::verdict::{Reason, Verdict};
use crate::window::{Phases, Span, Window};

pub use id::{InvalidRunId, RunId};
pub use life::Refused;
pub use mark::{Mark, Moment, Source};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Known of; its baseline begins later.
    Declared,
    Baseline,
    Injecting,
    Recovering,
    Ended,
    /// Latched: it never reopens.
    Aborted,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Declared => "declared",
            State::Baseline => "baseline",
            State::Injecting => "injecting",
            State::Recovering => "recovering",
            State::Ended => "ended",
            State::Aborted => "aborted",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, State::Ended | State::Aborted)
    }
}

/// How sure it is that there was such a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Put together from events that name no run.
    Inferred,
    /// One source told of it by name.
    Observed,
    /// Somebody declared it.
    Declared,
    /// Declared and seen, or told of by several sources.
    Confirmed,
}

impl Confidence {
    pub fn name(self) -> &'static str {
        match self {
            Confidence::Inferred => "inferred",
            Confidence::Observed => "observed",
            Confidence::Declared => "declared",
            Confidence::Confirmed => "confirmed",
        }
    }
}

/// What stopped a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    pub moment: Moment,
    pub guard: String,
    pub reason: String,
}

/// What was said of a run's edges so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    pub inject: Option<Moment>,
    pub recover: Option<Moment>,
    pub end: Option<Moment>,
    pub abort: Option<Abort>,
}

/// What an injector says of a fault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub fault: Option<String>,
    pub injector: Option<String>,
    /// `service`, or a resource attribute of the target.
    pub target: BTreeMap<String, String>,
    /// The injector's own object, as `kind/namespace/name`.
    pub object: Option<String>,
}

/// One run. A change makes a new one with the next revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub tenant: Tenant,
    /// Its experiment's name.
    pub name: String,
    /// `None`: only observed, and no document of that name is known.
    pub experiment: Option<Arc<Experiment>>,
    pub told: Told,
    /// Who opened it.
    pub source: Source,
    /// Everybody who told of it.
    pub sources: BTreeSet<Source>,
    pub opened: Moment,
    /// When its baseline begins, in nanoseconds since 1970.
    pub baseline: i64,
    pub marks: Marks,
    pub state: State,
    /// Opened after the fact.
    pub retrospective: bool,
    /// How far its edges may be off.
    pub uncertainty_ms: u64,
    pub confidence: Confidence,
    /// 1 when it was opened, one more with each change.
    pub revision: u64,
    /// Other runs that it was let overlap with.
    pub overlaps: BTreeSet<RunId>,
    pub judged: Option<Judged>,
}

/// The last judging of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub verdict: Verdict,
    pub reason: Option<Reason>,
    /// Rows ingested later were not seen; nanoseconds since 1970.
    pub at: i64,
}

/// What opens a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    pub id: RunId,
    pub tenant: Tenant,
    pub name: String,
    pub experiment: Option<Arc<Experiment>>,
    pub told: Told,
    pub moment: Moment,
    pub uncertainty_ms: u64,
    pub confidence: Confidence,
    pub overlaps: BTreeSet<RunId>,
}

impl Run {
    /// The document's plan, or the default one.
    pub fn plan(&self) -> scope::WindowPlan {
        self.experiment.as_ref().map(|experiment| experiment.window.clone()).unwrap_or_default()
    }

    /// The version of its document.
    pub fn version(&self) -> Option<String> {
        self.experiment.as_ref().map(|experiment| experiment.version())
    }

    /// What it is aimed at: as it was told, else as the document says.
    pub fn services(&self) -> Vec<String> {
        if let Some(service) = self.told.target.get("service") {
            return service.split(',').map(|one| one.trim().to_owned()).collect();
        }
        let target = self.experiment.as_ref().map(|experiment| &experiment.target);
        target.map(scope::Target::level_0).unwrap_or_default()
    }

    /// When the fault was in place, as far as is known: from the injection to the
    /// recovery, the abort or the end.
    pub fn fault(&self) -> Option<(i64, Option<i64>)> {
        let inject = self.marks.inject.as_ref()?.at;
        let abort = self.marks.abort.as_ref().map(|abort| &abort.moment);
        let last = self.marks.recover.as_ref().or(abort).or(self.marks.end.as_ref());
        Some((inject, last.map(|moment| moment.at.max(inject))))
    }

    /// What is judged once it is over. A run without an injection is a window of
    /// no bucket at its end.
    pub fn window(&self, others: Vec<Span>) -> Window {
        let end = self.marks.end.as_ref().map_or(self.opened.at, |end| end.at);
        let abort = self.marks.abort.as_ref();
        let stopped = abort.map_or(end, |abort| abort.moment.at);
        let (inject, recover) = self.fault().unwrap_or((stopped, None));
        Window {
            run_id: self.id.to_string(),
            inject,
            recover: recover.unwrap_or(stopped.max(inject)),
            uncertainty_ms: self.uncertainty_ms,
            others,
            aborted: abort.map(|abort| abort.guard.clone()),
        }
    }

    /// From when on the whole window lies in the past: its last phase is over and
    /// late telemetry had its time. `None` while it is open.
    pub fn settled(&self) -> Option<i64> {
        if !self.state.is_over() {
            return None;
        }
        let plan = self.plan();
        let phases = Phases::of(&self.window(Vec::new()), &plan);
        let end = self.marks.end.as_ref().map_or(i64::MIN, |end| end.at);
        Some(phases.end().max(end).saturating_add(plan.late.nanos()))
    }

    /// From its injection to the end of its recovery, for others to stay clear of;
    /// an open end is `i64::MAX`.
    pub fn touched(&self) -> (i64, i64) {
        let recovery = self.plan().recovery.nanos();
        let from = self.marks.inject.as_ref().map_or(self.opened.at, |inject| inject.at);
        let over = match self.fault() {
            Some((_, Some(to))) => to.saturating_add(recovery),
            Some((_, None)) => i64::MAX,
            None if self.state.is_over() => from,
            None => i64::MAX,
        };
        (from, over)
    }
}
