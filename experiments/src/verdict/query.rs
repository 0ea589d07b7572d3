//! A query's hypotheses: what it answered, against a tolerance.

use crate::document::Experiment;
use crate::document::probe::{NoData, Probe};
use crate::document::provider::Outcome;

use super::evidence::{Answered, Evidence, Gap};
use super::finding::{Finding, Reason, Ruling};
use super::{missing, unevaluated};

/// A query's hypothesis, phase by phase.
pub(super) fn judge(
    experiment: &Experiment,
    evidence: &Evidence,
    probe: &Probe,
    result: Outcome,
    answers: &[Answered],
) -> Vec<Finding> {
    if answers.is_empty() {
        return vec![unevaluated(&probe.name, probe.severity, "its window has no such phase")];
    }
    let ruled = answers.iter().map(|answered| {
        let ruling = match &answered.value.answer {
            Err(Gap::Error(why)) => Ruling::inconclusive(Reason::Error, why.clone()),
            Err(Gap::Incomplete(why)) => Ruling::inconclusive(Reason::PipelineGap, why.clone()),
            Ok(value) => of_value(experiment, evidence, probe, result, answered, value),
        };
        Finding {
            hypothesis: probe.name.clone(),
            severity: probe.severity,
            phase: Some(answered.phase),
            ruling,
            numbers: None,
            evidence_sql: vec![answered.value.sql.clone()],
        }
    });
    ruled.collect()
}

fn of_value(
    experiment: &Experiment,
    evidence: &Evidence,
    probe: &Probe,
    result: Outcome,
    answered: &Answered,
    value: &serde_json::Value,
) -> Ruling {
    let shown = value.to_string();
    let told = format!("the query answered {}", shown.chars().take(200).collect::<String>());
    let admitted = match probe.tolerance.admits(value) {
        None => {
            let detail = format!("{told}, which its tolerance cannot judge");
            return Ruling::inconclusive(Reason::Error, detail);
        }
        Some(false) => return Ruling::deviated(told),
        Some(true) => Ruling::held(told),
    };
    let none = result != Outcome::Scalar
        && (value.as_u64() == Some(0) || value.as_array().is_some_and(Vec::is_empty));
    if none && probe.no_data != NoData::HeldIfZeroRows {
        let detail = "no rows: say no-data: held-if-zero-rows if that means no violation";
        return Ruling::inconclusive(Reason::NoData, detail);
    }
    if answered.scanned == 0 {
        let detail = "the interval holds no row of any kind, so nothing was looked at";
        return Ruling::inconclusive(Reason::NoData, detail);
    }
    // Which tables a query reads is not known: all that flow must have come far enough.
    for (source, asked) in &evidence.flows {
        let flowing = matches!(&asked.answer, Ok(flow) if flow.watermark.is_some());
        if !flowing && asked.answer.is_ok() {
            continue;
        }
        let late = experiment.window.late.nanos();
        match missing::sight(evidence, *source, answered.phase, late) {
            missing::Sight::Whole => {}
            missing::Sight::Late(why) => return Ruling::inconclusive(Reason::Late, why),
            missing::Sight::Behind(why) => {
                return Ruling::inconclusive(Reason::PipelineGap, why);
            }
        }
    }
    admitted
}
