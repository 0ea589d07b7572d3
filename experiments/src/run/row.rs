//! A run as the row that `experiment_windows` keeps of it, and back. Times are
//! microseconds since 1970 there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schema::Tenant;
use serde::{Deserialize, Serialize};

use super::{Abort, Confidence, Judged, Marks, Moment, Run, RunId, Source, State, Told};
use crate::Error;
use crate::document::Experiment;
use crate::verdict::{Reason, Verdict};

const MICRO: i64 = 1_000;

/// The columns of the table; `date` is the writer's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowRow {
    pub time: i64,
    pub node_id: Option<String>,
    pub revision: u64,
    pub run_id: RunId,
    pub experiment: String,
    pub version: Option<String>,
    pub source: Source,
    pub sources: BTreeSet<Source>,
    pub fault_type: Option<String>,
    pub injector: Option<String>,
    pub object: Option<String>,
    pub target: BTreeMap<String, String>,
    pub t_opened: i64,
    pub t_baseline: i64,
    pub t_inject: Option<i64>,
    pub t_recover: Option<i64>,
    pub t_end: Option<i64>,
    pub t_abort: Option<i64>,
    pub inject_source: Option<Source>,
    pub recover_source: Option<Source>,
    pub end_source: Option<Source>,
    pub abort_source: Option<Source>,
    pub abort_guard: Option<String>,
    pub abort_reason: Option<String>,
    pub edge_uncertainty_ms: u64,
    pub state: State,
    pub confidence: Confidence,
    pub retrospective: bool,
    pub overlaps: BTreeSet<RunId>,
    pub verdict: Option<Verdict>,
    pub reason: Option<Reason>,
    pub judged: Option<i64>,
    /// JSON; only in the revision that a judging made.
    pub report: Option<String>,
}

impl WindowRow {
    /// `now` is when it is written, in nanoseconds since 1970.
    pub fn of(run: &Run, node_id: &str, now: i64, report: Option<String>) -> WindowRow {
        let Marks { inject, recover, end, abort } = &run.marks;
        let at = |moment: &Option<Moment>| moment.map(|moment| moment.at / MICRO);
        let by = |moment: &Option<Moment>| moment.map(|moment| moment.source);
        let stopped = abort.as_ref().map(|abort| abort.moment);
        WindowRow {
            time: now / MICRO,
            node_id: Some(node_id.to_owned()),
            revision: run.revision,
            run_id: run.id.clone(),
            experiment: run.name.clone(),
            version: run.version(),
            source: run.source,
            sources: run.sources.clone(),
            fault_type: run.told.fault.clone(),
            injector: run.told.injector.clone(),
            object: run.told.object.clone(),
            target: run.told.target.clone(),
            t_opened: run.opened.at / MICRO,
            t_baseline: run.baseline / MICRO,
            t_inject: at(inject),
            t_recover: at(recover),
            t_end: at(end),
            t_abort: at(&stopped),
            inject_source: by(inject),
            recover_source: by(recover),
            end_source: by(end),
            abort_source: by(&stopped),
            abort_guard: abort.as_ref().map(|abort| abort.guard.clone()),
            abort_reason: abort.as_ref().map(|abort| abort.reason.clone()),
            edge_uncertainty_ms: run.uncertainty_ms,
            state: run.state,
            confidence: run.confidence,
            retrospective: run.retrospective,
            overlaps: run.overlaps.clone(),
            verdict: run.judged.map(|judged| judged.verdict),
            reason: run.judged.and_then(|judged| judged.reason),
            judged: run.judged.map(|judged| judged.at / MICRO),
            report,
        }
    }

    /// The run that this was written of, with the document of its version.
    pub fn run(self, tenant: Tenant, experiment: Option<Arc<Experiment>>) -> Result<Run, Error> {
        if self.version.is_some() != experiment.is_some() {
            return Err(Error::invalid(format!(
                "run {} has the document version {}, which is not known any more",
                self.run_id,
                self.version.unwrap_or_default()
            )));
        }
        let moment = |at: Option<i64>, by: Option<Source>| {
            let at = at?.saturating_mul(MICRO);
            Some(Moment::new(at, at, by?))
        };
        let nanos = |micros: i64| micros.saturating_mul(MICRO);
        let stopped = moment(self.t_abort, self.abort_source);
        let abort = stopped.map(|moment| Abort {
            moment,
            guard: self.abort_guard.unwrap_or_default(),
            reason: self.abort_reason.unwrap_or_default(),
        });
        let judged = self.verdict.zip(self.judged);
        Ok(Run {
            id: self.run_id,
            tenant,
            name: self.experiment,
            experiment,
            told: Told {
                fault: self.fault_type,
                injector: self.injector,
                target: self.target,
                object: self.object,
            },
            source: self.source,
            sources: self.sources,
            opened: Moment::new(nanos(self.t_opened), nanos(self.t_opened), self.source),
            baseline: nanos(self.t_baseline),
            marks: Marks {
                inject: moment(self.t_inject, self.inject_source),
                recover: moment(self.t_recover, self.recover_source),
                end: moment(self.t_end, self.end_source),
                abort,
            },
            state: self.state,
            retrospective: self.retrospective,
            uncertainty_ms: self.edge_uncertainty_ms,
            confidence: self.confidence,
            revision: self.revision,
            overlaps: self.overlaps,
            judged: judged.map(|(verdict, at)| Judged {
                verdict,
                reason: self.reason,
                at: nanos(at),
            }),
        })
    }
}
