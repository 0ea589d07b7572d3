//! What telemetry tells of runs: taken for the run that it is about, or for one
//! that nobody declared.

use std::collections::{BTreeSet, HashSet, VecDeque};

use experiments::document::scope::Overlap;
use experiments::run::{Confidence, Moment, Opening, Source};
use experiments::signal::{Event, Kind, matching};
use experiments::{Experiment, Run, RunId};
use schema::Tenant;
use schema::tables::experiments::EVENTS;

use super::{Keeper, told};
use crate::chaos::runs::Reading;

/// Events that are remembered so that one told again is not taken twice.
const REMEMBERED: usize = 8_192;

/// Events that wait until it is known what runs there are.
const WAITING: usize = 1_024;

/// The ids of the last events, and what waits.
#[derive(Default)]
pub(super) struct Heard {
    known: HashSet<String>,
    order: VecDeque<String>,
    waiting: VecDeque<(Tenant, Event, i64)>,
}

impl Heard {
    /// True the first time.
    fn first(&mut self, id: &str) -> bool {
        if !self.known.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Keeper {
    /// What telemetry told, once. What is not about a run that is known waits
    /// while the store is away: it may be about one that is not seen.
    pub(super) async fn hear(&mut self, tenant: &Tenant, event: Event, received: i64) {
        if !self.heard.first(&event.id) {
            return;
        }
        let all = self.runs.all();
        let mine = all.iter().filter(|run| run.tenant == *tenant);
        if self.runs.reading() == Reading::Whole || matching::about(&event, mine).is_some() {
            return self.told(tenant, &event, received).await;
        }
        if self.heard.waiting.len() < WAITING {
            self.heard.waiting.push_back((tenant.clone(), event, received));
        } else {
            self.note(tenant, told::row(&event, None, received, false)).await;
        }
    }

    /// What waited, now that it is known what runs there are.
    pub(super) async fn hear_waiting(&mut self) {
        while let Some((tenant, event, received)) = self.heard.waiting.pop_front() {
            self.told(&tenant, &event, received).await;
        }
    }

    /// What telemetry told of a run, or of one that nobody knew of.
    async fn told(&mut self, tenant: &Tenant, event: &Event, received: i64) {
        let moment = event.moment(received);
        let moment = Moment::new(moment.at.min(moment.received), moment.received, moment.source);
        let all = self.runs.all();
        let mine = all.iter().filter(|run| run.tenant == *tenant);
        let known =
            matching::about(event, mine).filter(|run| admits(run.experiment.as_deref(), event));
        let marked = known.map(|run| match event.mark() {
            Some(mark) => run.marked(&mark, moment),
            None => Ok(None),
        });
        let opens = matches!(event.kind, Kind::Start | Kind::Inject);
        let next = match (known, marked) {
            (Some(_), Some(Ok(Some(next)))) => Some(next),
            (Some(run), Some(Ok(None))) => {
                self.note(tenant, told::row(event, Some(run), received, true)).await;
                None
            }
            // Its fault was over: this is another one, unless it has that very id.
            (Some(run), Some(Err(_))) if !(opens && event.run.is_none()) => {
                self.note(tenant, told::row(event, Some(run), received, false)).await;
                None
            }
            _ if opens => {
                let observed = self.observed(tenant, event, moment);
                if observed.is_none() {
                    self.note(tenant, told::row(event, None, received, false)).await;
                }
                observed
            }
            _ => {
                self.note(tenant, told::row(event, None, received, false)).await;
                None
            }
        };
        if let Some(next) = next {
            let row = told::row(event, Some(&next), received, true);
            self.at_once(next, &[row]).await;
        }
    }

    /// A run that nobody declared.
    fn observed(&self, tenant: &Tenant, event: &Event, moment: Moment) -> Option<Run> {
        let name = event.name();
        let experiment = self.runs.document(tenant, &name);
        if !admits(experiment.as_deref(), event) {
            return None;
        }
        if let Err(error) = self.room(false) {
            tracing::warn!(%error, run = %name, "a run that telemetry tells of is not taken up");
            return None;
        }
        let seconds = event.at.div_euclid(1_000_000_000);
        let made = || RunId::near(&format!("{name}-{seconds}")).ok();
        let id = event.run.clone().or_else(made)?;
        if let Some((_, node)) = self.runs.elsewhere(tenant, &id) {
            tracing::warn!(run = %id, node, "telemetry tells of a run that another node keeps; send it there");
            return None;
        }
        let confidence = match &event.run {
            Some(_) => Confidence::Observed,
            None => Confidence::Inferred,
        };
        let mut run = Run::open(Opening {
            id,
            tenant: tenant.clone(),
            name,
            experiment,
            told: event.told.clone(),
            moment,
            uncertainty_ms: 0,
            confidence,
            overlaps: BTreeSet::new(),
        });
        if let Some(mark) = event.mark()
            && let Ok(Some(next)) = run.marked(&mark, moment)
        {
            run = Run { revision: 1, ..next };
        }
        // Nobody asked for it, so nobody can be refused.
        if let Err(error) = self.admit(&mut run, Overlap::Mark) {
            tracing::debug!(%error, "an observed run is not taken up");
            return None;
        }
        Some(run)
    }

    /// An event that changed nothing is kept all the same.
    async fn note(&self, tenant: &Tenant, row: told::EventRow) {
        if let Err(refusal) = self.journal.write(tenant, EVENTS, &[row]).await {
            tracing::warn!(%refusal, "an event of a run could not be kept; its row in logs or spans is");
        }
    }
}

/// Whether a document lets this source open and mark its runs.
fn admits(experiment: Option<&Experiment>, event: &Event) -> bool {
    let by = |source: Source| match source {
        Source::K8s => "k8s",
        Source::Otlp => "otlp",
        _ => "api",
    };
    experiment.is_none_or(|e| e.window.source.iter().any(|source| source == by(event.source)))
}
