//! What a mark makes of a run, and what time alone does.

use std::collections::BTreeSet;

use super::mark::{Mark, Moment, Source};
use super::{Abort, Confidence, Marks, Opening, Run, State};

/// A run that nobody tells of any more is over after this, in nanoseconds.
const FORGOTTEN: i64 = 24 * 3_600 * 1_000_000_000;

/// A mark that this run cannot take, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    pub message: String,
    pub remedy: String,
}

fn refused<T>(message: String, remedy: &str) -> Result<T, Refused> {
    Err(Refused { message, remedy: remedy.to_owned() })
}

impl Run {
    pub fn open(opening: Opening) -> Run {
        let Opening { id, tenant, name, experiment, told, moment, .. } = opening;
        let state = if moment.at > moment.received { State::Declared } else { State::Baseline };
        Run {
            id,
            tenant,
            name,
            experiment,
            told,
            source: moment.source,
            sources: BTreeSet::from([moment.source]),
            opened: moment,
            baseline: moment.at,
            marks: Marks::default(),
            state,
            retrospective: moment.is_backdated(),
            uncertainty_ms: opening.uncertainty_ms.max(moment.unsure_ms()),
            confidence: opening.confidence,
            revision: 1,
            overlaps: opening.overlaps,
            judged: None,
        }
    }

    /// The run after a mark; `None` when that says nothing new.
    pub fn marked(&self, mark: &Mark, moment: Moment) -> Result<Option<Run>, Refused> {
        let mut next = self.clone();
        match mark {
            Mark::Inject => next.inject(moment)?,
            Mark::Recover => next.recover(moment)?,
            Mark::End => next.end(moment),
            Mark::Abort { guard, reason } => next.abort(moment, guard, reason)?,
        }
        Ok(next.heard(moment).changed(self))
    }

    /// The run as it is by now: a planned baseline begins, a recovery is over, an
    /// injection whose end nobody told of ended as planned, a forgotten run ended.
    pub fn advanced(&self, now: i64) -> Option<Run> {
        let mut next = self.clone();
        while next.step(now) {}
        next.changed(self)
    }

    fn step(&mut self, now: i64) -> bool {
        let plan = self.plan();
        let by_plan = |at: i64| Moment::new(at, now, Source::Plan);
        let told = [&self.marks.inject, &self.marks.recover].into_iter().flatten();
        let last = told.map(|moment| moment.received).fold(self.opened.received, i64::max);
        match (self.state, &self.marks.inject, &self.marks.recover) {
            (State::Declared, ..) if now >= self.baseline => self.state = State::Baseline,
            (State::Injecting, Some(inject), _) if plan.injection.is_some() => {
                let length = plan.injection.map_or(0, |length| length.nanos());
                let due = inject.at.saturating_add(length);
                // Whoever knows better has had as long as telemetry has.
                if now < due.saturating_add(plan.late.nanos()) {
                    return false;
                }
                self.marks.recover = Some(by_plan(due));
                self.state = State::Recovering;
            }
            (State::Recovering, _, Some(recover)) => {
                let due = recover.at.saturating_add(plan.recovery.nanos());
                if now < due {
                    return false;
                }
                self.marks.end = Some(by_plan(due));
                self.state = State::Ended;
            }
            (State::Baseline | State::Injecting, ..) if now.saturating_sub(last) > FORGOTTEN => {
                self.end(by_plan(now));
            }
            _ => return false,
        }
        true
    }

    fn inject(&mut self, moment: Moment) -> Result<(), Refused> {
        if let Some(known) = self.marks.inject {
            let until = self.fault().and_then(|(_, until)| until).unwrap_or(i64::MAX);
            if moment.at > until {
                return refused(
                    format!("run {} has recovered from its injection already", self.id),
                    "open another run for another injection",
                );
            }
            self.unsure_of(known, moment);
            return Ok(());
        }
        if self.state.is_over() {
            return refused(
                format!("run {} is {}, for good", self.id, self.state.name()),
                "open another run",
            );
        }
        self.marks.inject = Some(moment);
        self.baseline = moment.at.saturating_sub(self.plan().baseline.lead().nanos());
        self.retrospective |= moment.is_backdated();
        self.state = State::Injecting;
        Ok(())
    }

    fn recover(&mut self, moment: Moment) -> Result<(), Refused> {
        let Some(inject) = self.marks.inject else {
            return refused(
                format!("run {} has no injection to recover from", self.id),
                "mark inject first, with its own time",
            );
        };
        if moment.at < inject.at {
            return refused(
                format!("run {} was injected later than this recovery", self.id),
                "give a time after the injection",
            );
        }
        match self.marks.recover {
            Some(known) if known.source != Source::Plan => self.unsure_of(known, moment),
            // What the plan assumed gives way to whoever saw it.
            _ => {
                self.marks.recover = Some(moment);
                if self.marks.end.is_some_and(|end| end.source == Source::Plan) {
                    self.marks.end = None;
                    self.judged = None;
                }
                if self.state != State::Aborted && self.marks.end.is_none() {
                    self.state = State::Recovering;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, moment: Moment) {
        if self.marks.end.is_some() {
            return;
        }
        if let Some(inject) = self.marks.inject
            && self.marks.recover.is_none()
            && self.marks.abort.is_none()
        {
            self.marks.recover = Some(Moment { at: moment.at.max(inject.at), ..moment });
        }
        self.marks.end = Some(moment);
        if self.state != State::Aborted {
            self.state = State::Ended;
        }
    }

    fn abort(&mut self, moment: Moment, guard: &str, reason: &str) -> Result<(), Refused> {
        if self.state == State::Ended {
            return refused(
                format!("run {} has ended, there is nothing to stop", self.id),
                "look at its verdict",
            );
        }
        // Latched: whoever comes second changes nothing of what stopped it.
        if self.marks.abort.is_none() {
            self.marks.abort =
                Some(Abort { moment, guard: guard.to_owned(), reason: reason.to_owned() });
            self.state = State::Aborted;
        }
        Ok(())
    }

    /// Two who tell of one edge differ by as much as is unsure of it.
    fn unsure_of(&mut self, known: Moment, other: Moment) {
        self.uncertainty_ms = self.uncertainty_ms.max(known.apart(other.at));
    }

    fn heard(mut self, moment: Moment) -> Run {
        self.sources.insert(moment.source);
        self.uncertainty_ms = self.uncertainty_ms.max(moment.unsure_ms());
        let witnesses = self.sources.iter().filter(|source| source.observes()).count();
        let declared = self.sources.iter().any(|s| matches!(s, Source::Api | Source::Import));
        if witnesses > 1 || witnesses == 1 && declared {
            self.confidence = Confidence::Confirmed;
        }
        self
    }

    fn changed(mut self, before: &Run) -> Option<Run> {
        if self == *before {
            return None;
        }
        self.revision = before.revision.saturating_add(1);
        Some(self)
    }
}
