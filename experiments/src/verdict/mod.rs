//! From an experiment and the rows of its windows to a verdict: a pure function
//! (J1) that never takes missing evidence for a pass (J2).
//!
//! | file | its part |
//! | --- | --- |
//! | [`finding`] | the five verdicts, the closed list of reasons, the numbers |
//! | [`evidence`] | what a verdict is made from |
//! | [`case`] | an indicator's hypothesis, phase by phase |
//! | [`query`] | what a document's own SQL answered |
//! | [`missing`] | what is told apart before a number is compared (section 5) |
//! | [`callsite`] | call sites against what they are in fault-free time |
//! | [`compare`] | an indicator's buckets against a tolerance |
//! | [`calibrate`] | A/A: how noisy an indicator is where nothing happens |
//! | [`validity`] | effect, baseline, load, completeness |
//! | [`strata`] | a phase weighted to the baseline's mix of endpoints |
//! | [`recovery`] | whether it came back |
//! | [`alerts`] | whether the expected alerts came, and no others |
//! | [`scaling`] | whether pods followed the load |
//! | [`off_target`] | whether more was touched than may be, and more requests felt it |
//! | [`aftermath`] | whether a guard's stop helped |
//!
//! Order: a guard's stop, then what makes the run invalid, then the hypotheses;
//! the run's verdict is the worst of the critical ones. Deliberately not here:
//! asking for rows (`judge`), and writing them down (`report`).

pub mod aftermath;
pub mod alerts;
pub mod calibrate;
pub mod callsite;
mod case;
pub mod compare;
pub mod evidence;
pub mod finding;
pub mod missing;
pub mod off_target;
mod query;
pub mod recovery;
pub mod scaling;
pub mod strata;
#[cfg(test)]
pub mod tests;
pub mod validity;

use crate::document::Experiment;
use crate::document::probe::{Probe, Severity};
use crate::document::provider::{Measure, Provider};
use crate::document::scope::Overlap;
use crate::document::tolerance::Limits;
use crate::statistics::{ALPHA, multiple};
use crate::window::{Phase, Window};

use evidence::{Evidence, Observed};
pub use finding::{Finding, Judgement, Numbers, Reason, Ruling, Verdict};

/// Judges a run.
pub fn judge(experiment: &Experiment, window: &Window, evidence: &Evidence) -> Judgement {
    let effect = validity::effect(experiment, evidence);
    let baseline = validity::baseline(experiment, window, evidence);
    let mut notes = Vec::new();
    let probes = &experiment.steady_state_hypothesis.probes;
    let family = probes.iter().filter(|probe| case::is_relative(probe)).count();
    let mut findings = Vec::new();
    for (at, probe) in probes.iter().enumerate() {
        match (&probe.provider, evidence.probes.get(at)) {
            (Provider::Measure(measure), Some(Observed::Measure(measured))) => {
                let case = case::Case { experiment, evidence, probe, measure, measured, family };
                case.judge(&mut findings, &mut notes);
            }
            (Provider::Measure(measure), Some(Observed::Sites)) => {
                findings.push(by_sites(evidence, probe, measure));
            }
            (Provider::Sql { result, .. }, Some(Observed::Sql(answers))) => {
                findings.extend(query::judge(experiment, evidence, probe, *result, answers));
            }
            _ => findings.push(unevaluated(&probe.name, probe.severity, "it was not asked for")),
        }
    }
    correct(&mut findings);
    findings.extend(alerts::judge(experiment, window, evidence, &effect));
    findings.extend(scaling::judge(experiment, window, evidence));
    findings.extend(off_target::judge(experiment, evidence));
    findings.extend(off_target::affected(experiment, evidence));
    overlap(experiment, window, evidence, &mut findings, &mut notes);
    let ruling = whole(window, &effect, &baseline, &findings);
    let aftermath = aftermath::aftermath(experiment, window, evidence);
    Judgement { ruling, effect, baseline, findings, aftermath, notes }
}

/// The run's verdict: effect and baseline first, then the worst of what is critical.
fn whole(window: &Window, effect: &Finding, baseline: &Finding, findings: &[Finding]) -> Ruling {
    if let Some(guard) = &window.aborted {
        let detail = format!("guard {guard} stopped the run");
        return Ruling { verdict: Verdict::Aborted, reason: None, detail };
    }
    let critical = findings.iter().filter(|finding| finding.severity == Severity::Critical);
    if critical.clone().count() == 0 {
        return Ruling {
            reason: None,
            ..Ruling::invalid(Reason::NoData, "no critical hypothesis")
        };
    }
    let first = [effect, baseline];
    let all = first.into_iter().chain(critical);
    let worst = all.first_max(|finding| finding.ruling.verdict);
    match worst {
        Some(finding) if finding.ruling.verdict != Verdict::Held => Ruling {
            detail: format!("{}: {}", finding.hypothesis, finding.ruling.detail),
            ..finding.ruling.clone()
        },
        _ => Ruling::held("every critical hypothesis was shown to hold"),
    }
}

/// The first of the largest.
trait FirstMax: Iterator + Sized {
    fn first_max<K: Ord>(self, key: impl Fn(&Self::Item) -> K) -> Option<Self::Item> {
        self.fold(None, |best, item| match best {
            Some(best) if key(&best) >= key(&item) => Some(best),
            _ => Some(item),
        })
    }
}

impl<I: Iterator> FirstMax for I {}

/// Holm over the declared hypotheses: what is outside only by one of many
/// chances is not shown to be. That all hold is an intersection and needs none.
fn correct(findings: &mut [Finding]) {
    let judged: Vec<usize> =
        (0..findings.len()).filter(|at| findings[*at].numbers.is_some()).collect();
    let p: Vec<f64> =
        judged.iter().filter_map(|at| Some(findings[*at].numbers.as_ref()?.p)).collect();
    for (at, adjusted) in judged.into_iter().zip(multiple::holm(&p)) {
        let finding = &mut findings[at];
        if let Some(numbers) = &mut finding.numbers {
            numbers.p_adjusted = adjusted;
        }
        let by_numbers =
            finding.ruling.verdict == Verdict::Deviated && finding.ruling.reason.is_none();
        if by_numbers && adjusted >= ALPHA {
            let detail = format!(
                "{}; outside with p = {adjusted:.3} once all hypotheses are counted",
                finding.ruling.detail
            );
            finding.ruling = Ruling::inconclusive(Reason::TooFew, detail);
        }
    }
}

/// A hypothesis on the call sites of a service, which is about the injection.
fn by_sites(evidence: &Evidence, probe: &Probe, measure: &Measure) -> Finding {
    let limits = probe.tolerance.limits();
    let ruling = match limits {
        Some(Limits { low: None, high: Some(high) }) => callsite::within(measure, evidence, high),
        _ => Ruling::inconclusive(Reason::Error, "a shift of call sites is tolerated by max alone"),
    };
    Finding {
        hypothesis: probe.name.clone(),
        severity: probe.severity,
        phase: Some(Phase::Injection),
        ruling,
        numbers: None,
        evidence_sql: evidence.sites.iter().map(|asked| asked.sql.clone()).collect(),
    }
}

fn unevaluated(name: &str, severity: Severity, why: &str) -> Finding {
    Finding {
        hypothesis: name.to_owned(),
        severity,
        phase: None,
        ruling: Ruling::inconclusive(Reason::Error, why),
        numbers: None,
        evidence_sql: Vec::new(),
    }
}

/// Two faults at once cannot be told apart.
fn overlap(
    experiment: &Experiment,
    window: &Window,
    evidence: &Evidence,
    findings: &mut [Finding],
    notes: &mut Vec<String>,
) {
    let injection = evidence.phases.injection;
    if !window.others.iter().any(|other| other.overlaps(injection)) {
        return;
    }
    notes.push("another window overlaps the injection".into());
    if experiment.window.overlap == Overlap::Mark {
        return;
    }
    for finding in findings {
        let detail = format!("another window overlaps; {}", finding.ruling.detail);
        finding.ruling = Ruling::inconclusive(Reason::Overlap, detail);
    }
}
