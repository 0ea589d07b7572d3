//! Everything that a verdict is made from. The judge collects it by SQL; the
//! verdict only reads it (J1).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::alert::statement::Transition;
use crate::completeness::Grade;
use crate::document::provider::{Family, Measure};
use crate::document::tolerance::Limits;
use crate::indicator::scale::Point;
use crate::indicator::series::Series;
use crate::indicator::stratum::Stratum;
use crate::radius::seen::Past;
use crate::radius::site::{Names, Sites};
use crate::radius::{Extent, Radius};
use crate::window::{Phase, Phases};

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Refused, failed, or not what was asked for: NaN, no number, several series.
    Error(String),
    /// The engine could not see everything, or cut the answer.
    Incomplete(String),
}

/// A statement and what came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked<T> {
    pub sql: String,
    pub answer: Result<T, Gap>,
}

/// An indicator in the phases of a run, and before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    pub phases: BTreeMap<Phase, Asked<Series>>,
    /// Fault-free history, a series per unbroken stretch; none where nothing is
    /// compared with the baseline.
    pub history: Option<Asked<Vec<Series>>>,
    /// The same stretches of what else a move is taken against: the control, or
    /// what the baseline is like.
    pub beside: Option<Asked<Vec<Series>>>,
    pub control: Option<Box<Control>>,
    /// The endpoints of each phase whose mix of them is not the baseline's.
    pub strata: BTreeMap<Phase, Vec<Layer>>,
    /// What metrics tell of the same, where spans stand for an unknown number.
    pub metered: Option<Box<Metered>>,
}

impl Measured {
    /// Whether rows stand for an unknown number of others.
    pub fn is_biased(&self) -> bool {
        let series = self.phases.values().filter_map(|asked| asked.answer.as_ref().ok());
        series.into_iter().any(|series| series.sampled > 0)
    }
}

/// A measure by metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Metered {
    pub measure: Measure,
    /// Their names.
    pub metrics: Vec<&'static str>,
    /// Which of them are told.
    pub told: String,
    /// What can be at most and at least: the far ends of the buckets of histograms
    /// beside the near ends of the baseline's, and the other way round. A count has
    /// one.
    pub bounds: Vec<Measured>,
}

/// The same of the stand-ins that the fault leaves alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    pub measure: Measure,
    pub phases: BTreeMap<Phase, Asked<Series>>,
}

/// One stratum of the load, in the baseline and in a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub stratum: Stratum,
    pub before: Asked<Series>,
    pub after: Asked<Series>,
}

/// What a query answered in one phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub phase: Phase,
    /// The value, by the query's `result`.
    pub value: Asked<Value>,
    /// Rows that the phase holds at all, of any kind: proof that it was scanned.
    pub scanned: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    Measure(Measured),
    /// Call sites: all services' are in [`Evidence::sites`].
    Sites,
    Sql(Vec<Answered>),
}

/// One of the tables that indicators read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Spans,
    Logs,
    Metrics,
}

impl Source {
    pub fn table(self) -> &'static str {
        match self {
            Source::Spans => "spans",
            Source::Logs => "logs",
            Source::Metrics => "metrics",
        }
    }

    pub fn of(family: Family) -> Source {
        match family {
            Family::Log => Source::Logs,
            Family::Resource | Family::Meter => Source::Metrics,
            _ => Source::Spans,
        }
    }
}

/// Rows per bucket, by phase.
pub type PhaseCounts = BTreeMap<Phase, Vec<u64>>;

/// What a source sent, service by service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    pub services: BTreeMap<String, PhaseCounts>,
    /// The latest event time of all its rows; none without any.
    pub watermark: Option<i64>,
}

impl Flow {
    /// Rows of everybody but `service`, per bucket of a phase.
    pub fn others(&self, service: &str, phase: Phase, buckets: usize) -> Vec<u64> {
        let mut sum = vec![0; buckets];
        let others = self.services.iter().filter(|(name, _)| *name != service);
        for counts in others.filter_map(|(_, counts)| counts.get(&phase)) {
            sum.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
        }
        sum
    }

    pub fn total(&self, phase: Phase) -> u64 {
        let counts = self.services.values().filter_map(|counts| counts.get(&phase));
        counts.flatten().sum()
    }
}

/// Requests of users by endpoint, per phase: what the load was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    pub endpoints: BTreeMap<String, BTreeMap<Phase, f64>>,
}

/// What all services said, operation by operation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sighting {
    pub injection: Sites,
    /// Fault-free time, of call sites alone.
    pub past: Past,
    pub names: Names,
}

/// What the guard that stopped a run watches.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    pub guard: String,
    pub measure: Measure,
    /// Within these it does not stop.
    pub limits: Limits,
    pub measured: Measured,
}

/// What was told of alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Transitions of any rule, long before the run too.
    pub known: Asked<i64>,
    /// Those of the run, in order of time.
    pub transitions: Asked<Vec<Transition>>,
}

/// The rows of a run's windows, as far as they were ingested when it was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    pub phases: Phases,
    /// One for each probe of the document, in order.
    pub probes: Vec<Observed>,
    /// One for each measured sign of the effect check, in order.
    pub effects: Vec<Measured>,
    /// How often an injector's event of the effect check was told, by its word.
    pub reported: BTreeMap<String, Asked<i64>>,
    pub flows: BTreeMap<Source, Asked<Flow>>,
    pub load: Asked<Load>,
    /// How whole each source is, phase by phase.
    pub grades: BTreeMap<(Source, Phase), Asked<Grade>>,
    /// What was touched; none where it is only reported.
    pub radius: Option<Asked<Radius>>,
    /// How far the fault reached.
    pub extent: Option<Asked<Extent>>,
    /// Asked for where the document expects something of scaling.
    pub scaling: Option<Asked<Vec<Point>>>,
    /// Asked for where a hypothesis or the effect check is about call sites.
    pub sites: Option<Asked<Sighting>>,
    /// For a run that was stopped by a guard with an indicator.
    pub stop: Option<Stop>,
    pub alerts: Heard,
    /// Up to when rows were ingested that this was made from, in nanoseconds since 1970.
    pub judged: i64,
    /// Where resampling begins.
    pub seed: u64,
}
