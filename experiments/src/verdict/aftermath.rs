//! After a guard stopped a run: did that help? Whether what it watched returned,
//! how long that took, or whether the fault is still in place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Experiment;
use crate::document::probe::{Effect, EffectCheck};
use crate::document::scope::Recovery;
use crate::document::units::Period;
use crate::window::{BUCKET, Phase, Window};

use super::evidence::{Evidence, Stop};
use super::finding::Verdict;
use super::recovery::{self, Back};
use super::{missing, validity};

/// How long it must stay, where the document does not say.
const STAY: Period = Period::secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Helped {
    Yes,
    No,
    /// Too little was seen after the stop.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InPlace {
    Gone,
    StillInPlace,
    Unknown,
}

/// What followed the stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Aftermath {
    pub guard: String,
    /// What the guard watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicator: Option<String>,
    pub helped: Helped,
    /// Seconds from the stop until the indicator was back to stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_after: Option<f64>,
    /// Whether the sign of the fault is still seen.
    pub fault: InPlace,
    pub detail: String,
    pub evidence_sql: Vec<String>,
}

impl Aftermath {
    pub fn in_short(&self) -> String {
        let helped = match self.helped {
            Helped::Yes => "Stopping helped",
            Helped::No => "Stopping did not help",
            Helped::Unknown => "Whether stopping helped is not known",
        };
        let fault = match self.fault {
            InPlace::Gone => "the fault is gone",
            InPlace::StillInPlace => "the fault is still in place",
            InPlace::Unknown => "whether the fault is gone is not known",
        };
        format!("{helped}; {fault}.")
    }
}

/// `None` for a run that no guard stopped.
pub fn aftermath(
    experiment: &Experiment,
    window: &Window,
    evidence: &Evidence,
) -> Option<Aftermath> {
    let guard = window.aborted.clone()?;
    let (fault, sign) = fault(experiment, evidence);
    let mut evidence_sql: Vec<String> = Vec::new();
    let (helped, returned_after, told) = match &evidence.stop {
        Some(stop) => {
            evidence_sql.extend(stop.measured.phases.values().map(|asked| asked.sql.clone()));
            returned(experiment, evidence, stop)
        }
        // Such a guard has no indicator that could return.
        None if fault == InPlace::Gone => {
            (Helped::Yes, None, "the guard watches no indicator".into())
        }
        None => (Helped::Unknown, None, "the guard watches no indicator".into()),
    };
    let signs = evidence.effects.iter().filter_map(|m| m.phases.get(&Phase::Recovery));
    evidence_sql.extend(signs.map(|asked| asked.sql.clone()));
    let detail = format!("{told}; {sign}");
    let indicator = evidence.stop.as_ref().map(|stop| stop.measure.to_string());
    Some(Aftermath { guard, indicator, helped, returned_after, fault, detail, evidence_sql })
}

fn returned(
    experiment: &Experiment,
    evidence: &Evidence,
    stop: &Stop,
) -> (Helped, Option<f64>, String) {
    let unknown = |why: String| (Helped::Unknown, None, why);
    let phases = &evidence.phases;
    let (Some(asked), Some(before)) =
        (stop.measured.phases.get(&Phase::Recovery), stop.measured.phases.get(&Phase::Baseline))
    else {
        return unknown(format!("{} was not asked for", stop.measure));
    };
    let hindrance =
        missing::hindrance(&stop.measure, evidence, Phase::Recovery, asked, Some(before), false);
    if let Some(ruling) = hindrance {
        return unknown(format!(
            "whether {} returned is not known: {}",
            stop.measure, ruling.detail
        ));
    }
    let Ok(series) = &asked.answer else {
        return unknown(format!("{} has no answer", stop.measure));
    };
    let looked = Period::secs(u64::from(phases.recovery.buckets) * BUCKET.0.as_secs());
    let expected = experiment.expect.recovery.unwrap_or(Recovery { within: looked, stay: STAY });
    let seconds = |buckets: usize| buckets as f64 * BUCKET.0.as_secs_f64();
    match recovery::back(&stop.measure, series, stop.limits, expected) {
        Back::After(buckets) => {
            let after = seconds(buckets);
            let told = format!("{} was back {after:.0} s after the stop", stop.measure);
            (Helped::Yes, Some(after), told)
        }
        Back::Never => {
            let looked = seconds(series.buckets.len());
            let told = format!("{} was not back in the {looked:.0} s after the stop", stop.measure);
            (Helped::No, None, told)
        }
        Back::TooShort => unknown(format!("less than {} were seen after the stop", expected.stay)),
        Back::Unseen => unknown("too few rows after the stop to tell whether it came back".into()),
    }
}

/// Whether the signs of the effect check are still seen after the stop.
fn fault(experiment: &Experiment, evidence: &Evidence) -> (InPlace, String) {
    let any = match &experiment.effect_check {
        Some(EffectCheck::Any { any }) => any.as_slice(),
        _ => &[],
    };
    let moved = any.iter().filter_map(|effect| match effect {
        Effect::Moved { measure, direction, by } => Some((measure, *direction, by)),
        Effect::Reported { .. } => None,
    });
    let rulings: Vec<_> = moved
        .zip(&evidence.effects)
        .map(|((measure, direction, by), answers)| {
            validity::moved(measure, direction, by, answers, evidence, Phase::Recovery)
        })
        .collect();
    if let Some(seen) = rulings.iter().find(|ruling| ruling.verdict == Verdict::Held) {
        return (InPlace::StillInPlace, format!("the fault is still in place: {}", seen.detail));
    }
    if let Some(open) = rulings.iter().find(|ruling| ruling.verdict == Verdict::Inconclusive) {
        let told = format!("whether the fault is still in place is not known: {}", open.detail);
        return (InPlace::Unknown, told);
    }
    match rulings.first() {
        Some(gone) => (InPlace::Gone, format!("the fault is gone: {}", gone.detail)),
        None => {
            let told = "no sign of the fault is measured, so whether it is gone is not known";
            (InPlace::Unknown, told.into())
        }
    }
}
