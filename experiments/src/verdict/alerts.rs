//! Whether the alerts of a run came as expected: seen in time, late, missed, or
//! false. Nothing heard of alerts is never a pass (J2), and a fault that was not
//! seen to bite is nothing that an alert could have missed.

use crate::alert::State;
use crate::alert::statement::Transition;
use crate::document::Experiment;
use crate::document::probe::Severity;
use crate::document::scope::Alert;
use crate::document::units::Period;
use crate::window::{Phases, Window};

use super::evidence::{Evidence, Gap};
use super::finding::{Finding, Reason, Ruling, Verdict};

/// How long before a run an alert source must have been heard of to be counted
/// on: one that fell silent before may be gone.
pub const HEARD: Period = Period::secs(7 * 24 * 3_600);
/// How long before a run an alert may have begun to fire that still does.
pub const BEFORE: Period = Period::secs(24 * 3_600);
const ANY: &str = "*";

/// A stretch in which a rule fired for one set of labels, or could not be
/// evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spell {
    pub rule: String,
    pub fingerprint: String,
    /// `Resolved` never.
    pub state: State,
    pub from: i64,
    /// Open while nothing else was told.
    pub to: Option<i64>,
}

/// Transitions in order of time as spells. What was over without having begun
/// began before everything that was looked at.
pub fn spells(transitions: &[Transition], looked_from: i64) -> Vec<Spell> {
    let mut spells: Vec<Spell> = Vec::new();
    for told in transitions {
        let of = |spell: &Spell| spell.rule == told.rule && spell.fingerprint == told.fingerprint;
        let last = spells.iter_mut().rev().find(|spell| of(spell));
        let known = last.is_some();
        let open = last.filter(|spell| spell.to.is_none());
        let spell = |state, from, to| Spell {
            rule: told.rule.clone(),
            fingerprint: told.fingerprint.clone(),
            state,
            from,
            to,
        };
        match (open, told.state) {
            (Some(open), state) if open.state == state => {}
            (Some(open), State::Resolved) => open.to = Some(told.at),
            (Some(open), state) => {
                open.to = Some(told.at);
                spells.push(spell(state, told.at, None));
            }
            (None, State::Resolved) if known => {}
            (None, State::Resolved) => {
                spells.push(spell(State::Firing, looked_from, Some(told.at)));
            }
            (None, state) => spells.push(spell(state, told.at, None)),
        }
    }
    spells
}

/// From where and to where a run's alerts are looked at.
pub fn looked(experiment: &Experiment, window: &Window, phases: &Phases) -> (i64, i64) {
    let ends = experiment.expect.alerts.iter().flat_map(|alert| {
        let due = alert.within.map(|within| window.inject.saturating_add(within.nanos()));
        let over = alert.resolve_within.map(|by| window.recover.saturating_add(by.nanos()));
        [due, over]
    });
    let end = ends.flatten().fold(phases.end(), i64::max);
    (
        phases.start().saturating_sub(BEFORE.nanos()),
        end.saturating_add(experiment.window.late.nanos()),
    )
}

/// One finding for each alert that the document expects, or expects not.
pub fn judge(
    experiment: &Experiment,
    window: &Window,
    evidence: &Evidence,
    effect: &Finding,
) -> Vec<Finding> {
    let (from, _) = looked(experiment, window, &evidence.phases);
    let heard = &evidence.alerts;
    let alerts = experiment.expect.alerts.iter().map(|alert| {
        let ruling = match (&heard.known.answer, &heard.transitions.answer) {
            (Err(gap), _) | (_, Err(gap)) => unanswered(gap),
            (Ok(0), _) => Ruling::inconclusive(
                Reason::NoData,
                format!("no alert was heard of since {HEARD} before the run; send them to /api/v1/alerts/alertmanager or /grafana, and a test alert to show that they arrive"),
            ),
            (Ok(_), Ok(transitions)) => {
                let spells = spells(transitions, from);
                let case = Case { experiment, window, evidence, effect, alert, spells };
                if alert.not { case.unexpected() } else { case.expected() }
            }
        };
        Finding {
            hypothesis: name(alert),
            severity: Severity::Critical,
            phase: None,
            ruling,
            numbers: None,
            evidence_sql: vec![heard.known.sql.clone(), heard.transitions.sql.clone()],
        }
    });
    alerts.collect()
}

fn name(alert: &Alert) -> String {
    match (alert.not, alert.rule.as_str(), alert.except.is_empty()) {
        (false, rule, _) => format!("alert {rule}"),
        (true, ANY, true) => "no alert".into(),
        (true, ANY, false) => format!("no alert but {}", alert.except.join(", ")),
        (true, rule, _) => format!("no alert {rule}"),
    }
}

fn unanswered(gap: &Gap) -> Ruling {
    match gap {
        Gap::Error(why) => Ruling::inconclusive(Reason::Error, why.clone()),
        Gap::Incomplete(why) => Ruling::inconclusive(Reason::PipelineGap, why.clone()),
    }
}

struct Case<'a> {
    experiment: &'a Experiment,
    window: &'a Window,
    evidence: &'a Evidence,
    effect: &'a Finding,
    alert: &'a Alert,
    spells: Vec<Spell>,
}

impl Case<'_> {
    /// Spells of the expected rule.
    fn of(&self, state: State) -> impl Iterator<Item = &Spell> {
        let alert = self.alert;
        self.spells.iter().filter(move |spell| {
            let meant = alert.rule == ANY || alert.rule == spell.rule;
            meant && spell.state == state && !alert.except.contains(&spell.rule)
        })
    }

    /// A rule that could not be evaluated between two times.
    fn blind(&self, from: i64, to: i64) -> Option<Ruling> {
        let states = [State::NoData, State::Error];
        let mut blind = states.into_iter().flat_map(|state| self.of(state));
        let blind = blind.find(|spell| spell.from < to && spell.to.is_none_or(|end| end > from))?;
        let detail = format!("{} could not be evaluated: {}", blind.rule, blind.state.name());
        Some(Ruling::inconclusive(Reason::NoData, detail))
    }

    /// Whether all that happened until then has been told of.
    fn late(&self, until: i64) -> Option<Ruling> {
        let wanted = until.saturating_add(self.experiment.window.late.nanos());
        let left = wanted.saturating_sub(self.evidence.judged);
        (left > 0).then(|| {
            let detail = format!("it may still be told of for {} s", seconds(left));
            Ruling::inconclusive(Reason::Late, detail)
        })
    }

    fn expected(&self) -> Ruling {
        let unsure = Period::millis(self.window.uncertainty_ms).nanos();
        let (inject, recover) = (self.window.inject, self.window.recover);
        let start = inject.saturating_sub(unsure);
        let end = self.evidence.phases.end();
        let within = self.alert.within.map(|within| inject.saturating_add(within.nanos()));
        let due = within.unwrap_or(end);
        let first = self.of(State::Firing).filter(|spell| spell.from >= start);
        let Some(first) = first.min_by_key(|spell| spell.from) else {
            return self.missing(start, due);
        };
        let after = seconds(first.from.saturating_sub(inject));
        let told = format!("{} fired {after} s after the injection", first.rule);
        if first.from > due {
            let expected = match self.alert.within {
                Some(within) => format!("expected within {within}"),
                None => "after the end of the run".into(),
            };
            return Ruling::deviated(format!("late: {told}, {expected}"));
        }
        let Some(by) = self.alert.resolve_within else {
            return Ruling::held(format!("seen: {told}"));
        };
        let limit = recover.saturating_add(by.nanos());
        let during =
            self.of(State::Firing).filter(|spell| spell.from >= start && spell.from <= end);
        // The last to be over decides; one that is not is later than all.
        let last =
            during.max_by_key(|spell| spell.to.unwrap_or(i64::MAX)).and_then(|spell| spell.to);
        match last {
            Some(over) if over <= limit => {
                let over = seconds(over.saturating_sub(recover));
                Ruling::held(format!("seen: {told}; over {over} s after the fault was removed"))
            }
            Some(over) => {
                let over = seconds(over.saturating_sub(recover));
                Ruling::deviated(format!(
                    "{told} and was over {over} s after the fault was removed, expected within {by}"
                ))
            }
            None => self.late(limit).unwrap_or_else(|| {
                Ruling::deviated(format!(
                    "{told} and was not over {by} after the fault was removed"
                ))
            }),
        }
    }

    /// No spell began with the fault: why?
    fn missing(&self, start: i64, due: i64) -> Ruling {
        let rule = &self.alert.rule;
        let before = self.of(State::Firing).find(|spell| spell.to.is_none_or(|end| end > start));
        if let Some(before) = before {
            let detail = format!(
                "{} fired since {} s before the injection, so it cannot show that it saw the fault",
                before.rule,
                seconds(start.saturating_sub(before.from))
            );
            return Ruling::inconclusive(Reason::BaselineDirty, detail);
        }
        if let Some(blind) = self.blind(start, due) {
            return blind;
        }
        if self.effect.ruling.verdict != Verdict::Held {
            let detail = "nothing shows that there was something to see";
            return Ruling::inconclusive(Reason::NoEffect, detail);
        }
        if self.window.aborted.is_some() && self.window.recover < due {
            let lasted = seconds(self.window.recover.saturating_sub(self.window.inject));
            let detail = format!("the run was stopped after {lasted} s, before {rule} was due");
            return Ruling::inconclusive(Reason::TooFew, detail);
        }
        let within = seconds(due.saturating_sub(self.window.inject));
        self.late(due).unwrap_or_else(|| {
            Ruling::deviated(format!(
                "missed: {rule} did not fire within {within} s of an injection that was seen to take effect"
            ))
        })
    }

    /// False alarms, from the beginning of the baseline to the end of the run.
    fn unexpected(&self) -> Ruling {
        let (from, end) = (self.evidence.phases.start(), self.evidence.phases.end());
        let within = |spell: &&Spell| (from..=end).contains(&spell.from);
        let mut alarms = self.of(State::Firing).filter(within);
        if let Some(first) = alarms.next() {
            let more = alarms.count();
            let after = seconds(first.from.saturating_sub(self.window.inject));
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            return Ruling::deviated(format!(
                "false: {} fired {after} s after the injection{more}",
                first.rule
            ));
        }
        self.blind(from, end)
            .or_else(|| self.late(end))
            .unwrap_or_else(|| Ruling::held("none fired from the baseline to the end of the run"))
    }
}

/// Whole seconds; before an event they are negative.
fn seconds(nanos: i64) -> i64 {
    nanos.div_euclid(1_000_000_000)
}
