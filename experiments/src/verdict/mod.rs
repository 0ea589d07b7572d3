//! From an experiment and the rows of its windows to a verdict: a pure function
//! (J1) that never takes missing evidence for a pass (J2).
//!
//! | file | its part |
//! | --- | --- |
//! | [`finding`] | the five verdicts, the closed list of reasons, the numbers |
//! | [`evidence`] | what a verdict is made from |
//! | [`query`] | what a document's own SQL answered |
//! | [`missing`] | what is told apart before a number is compared (section 5) |
//! | [`callsite`] | call sites against what they are in fault-free time |
//! | [`compare`] | an indicator's buckets against a tolerance |
//! | [`calibrate`] | A/A: how noisy an indicator is where nothing happens |
//! | [`validity`] | effect, baseline, load, completeness |
//! | [`recovery`] | whether it came back |
//! | [`alerts`] | whether the expected alerts came, and no others |
//! | [`aftermath`] | whether a guard's stop helped |
//!
//! Order: a guard's stop, then what makes the run invalid, then the hypotheses;
//! the run's verdict is the worst of the critical ones. Deliberately not here:
//! asking for rows (`judge`), and writing them down (`report`).

pub mod aftermath;
pub mod alerts;
pub mod calibrate;
pub mod callsite;
pub mod compare;
pub mod evidence;
pub mod finding;
pub mod missing;
mod query;
pub mod recovery;
#[cfg(test)]
pub mod tests;
pub mod validity;

use crate::document::Experiment;
use crate::document::probe::{Mode, Probe, Severity};
use crate::document::provider::{Measure, Nature, Provider};
use crate::document::scope::{OffTarget, Overlap};
use crate::document::tolerance::{Limits, Tolerance};
use crate::indicator::series::Series;
use crate::statistics::{ALPHA, Standing, multiple};
use crate::window::{Phase, Window};

use calibrate::Calibration;
use evidence::{Asked, Evidence, Gap, Measured, Observed};
pub use finding::{Finding, Judgement, Numbers, Reason, Ruling, Verdict};

/// Judges a run.
pub fn judge(experiment: &Experiment, window: &Window, evidence: &Evidence) -> Judgement {
    let effect = validity::effect(experiment, evidence);
    let baseline = validity::baseline(experiment, window, evidence);
    let mut notes = Vec::new();
    let probes = &experiment.steady_state_hypothesis.probes;
    let family = probes.iter().filter(|probe| is_relative(probe)).count();
    let mut findings = Vec::new();
    for (at, probe) in probes.iter().enumerate() {
        match (&probe.provider, evidence.probes.get(at)) {
            (Provider::Measure(measure), Some(Observed::Measure(measured))) => {
                let case = Case { experiment, evidence, probe, measure, measured, family };
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
    findings.extend(not_judged(experiment));
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

fn is_relative(probe: &Probe) -> bool {
    matches!(probe.tolerance, Tolerance::Relative(_))
}

/// A built-in indicator's hypothesis.
struct Case<'a> {
    experiment: &'a Experiment,
    evidence: &'a Evidence,
    probe: &'a Probe,
    measure: &'a Measure,
    measured: &'a Measured,
    family: usize,
}

impl Case<'_> {
    fn judge(&self, findings: &mut Vec<Finding>, notes: &mut Vec<String>) {
        let calibration = self.calibration();
        if let Some(calibration) = calibration.as_ref().filter(|c| c.is_calibrated()) {
            notes.push(format!(
                "{}: {} pseudo-windows{}, {:.1} % flagged by nominal intervals, widened {:.2} times to {:.1} %{}",
                self.probe.name,
                calibration.pseudo_windows,
                match calibration.shrunk {
                    1 => String::new(),
                    shrunk => format!(" shortened {shrunk} times"),
                },
                calibration.nominal_rate * 100.0,
                calibration.widen,
                calibration.rate * 100.0,
                if calibration.is_usable() { "" } else { "; unusable for auto-abort" }
            ));
        }
        let phases: &[Phase] = match self.probe.mode {
            Mode::SOT => &[Phase::Baseline],
            Mode::EOT => &[Phase::Recovery],
            Mode::Edge => &[Phase::Baseline, Phase::Recovery],
            Mode::OnChaos => &[Phase::Injection],
            Mode::Continuous => &[Phase::Baseline, Phase::Injection, Phase::Recovery],
        };
        for phase in phases {
            // A run without a recovery has nothing continuous to show there.
            let absent = self.evidence.phases.get(*phase).buckets == 0;
            if absent && self.probe.mode == Mode::Continuous && *phase == Phase::Recovery {
                continue;
            }
            let (ruling, numbers) = self.in_phase(*phase, calibration.as_ref());
            findings.push(self.finding(self.probe.name.clone(), *phase, ruling, numbers));
        }
        if let Some(expected) = self.experiment.expect.recovery {
            let name = format!("recovery of {}", self.probe.name);
            let ruling = self.recovery(expected);
            findings.push(self.finding(name, Phase::Recovery, ruling, None));
        }
    }

    fn finding(
        &self,
        hypothesis: String,
        phase: Phase,
        ruling: Ruling,
        numbers: Option<Numbers>,
    ) -> Finding {
        let mut evidence_sql: Vec<String> = Vec::new();
        let mut asked = vec![phase];
        if phase != Phase::Baseline {
            asked.insert(0, Phase::Baseline);
        }
        let statements = asked.iter().filter_map(|phase| self.measured.phases.get(phase));
        evidence_sql.extend(statements.map(|asked| asked.sql.clone()));
        evidence_sql.extend(self.measured.history.iter().map(|asked| asked.sql.clone()));
        let (severity, phase) = (self.probe.severity, Some(phase));
        Finding { hypothesis, severity, phase, ruling, numbers, evidence_sql }
    }

    /// Only what is compared with a baseline is calibrated.
    fn calibration(&self) -> Option<Calibration> {
        if !is_relative(self.probe) {
            return None;
        }
        let history = self.measured.history.as_ref()?.answer.as_ref().ok()?;
        let phases = &self.evidence.phases;
        Some(calibrate::calibrate(self.measure, history, phases, self.family))
    }

    fn history(&self) -> Option<&[Series]> {
        Some(self.measured.history.as_ref()?.answer.as_ref().ok()?)
    }

    /// A gauge that is told once a minute has no baseline of its own in a short
    /// one: what it was in fault-free time is.
    fn is_sparse(&self) -> bool {
        let points = |asked: &Asked<Series>| {
            asked.answer.as_ref().map_or(usize::MAX, |series| series.gauges().len())
        };
        self.measure.indicator.nature() == Nature::Gauge
            && is_relative(self.probe)
            && self.history().is_some()
            && self.baseline().is_some_and(|asked| points(asked) < compare::LEAST_BUCKETS)
    }

    fn baseline(&self) -> Option<&Asked<Series>> {
        self.measured.phases.get(&Phase::Baseline)
    }

    fn in_phase(
        &self,
        phase: Phase,
        calibration: Option<&Calibration>,
    ) -> (Ruling, Option<Numbers>) {
        let Some(asked) = self.measured.phases.get(&phase) else {
            let detail = format!("{} was not asked for in the {}", self.measure, phase.name());
            return (Ruling::inconclusive(Reason::NoData, detail), None);
        };
        // Of a gauge that is told seldom, nothing is said of how many points there
        // should be.
        let alone = phase == Phase::Baseline || self.is_sparse();
        let before = if alone { None } else { self.baseline() };
        let idle = self.probe.scale_to_zero;
        let hindrance = missing::hindrance(self.measure, self.evidence, phase, asked, before, idle);
        if let Some(ruling) = hindrance {
            return (ruling, None);
        }
        let Ok(series) = &asked.answer else {
            return (Ruling::inconclusive(Reason::Error, "no answer"), None);
        };
        let numbers = match &self.probe.tolerance {
            // The baseline moved from itself by nothing.
            Tolerance::Relative(_) if phase == Phase::Baseline => {
                return (Ruling::held("the baseline is what others are relative to"), None);
            }
            Tolerance::Relative(relative) if self.is_sparse() => {
                let history = self.history().unwrap_or_default();
                match compare::sparse(self.measure, history, series, self.family) {
                    None => {
                        let detail = "too few points of fault-free time to compare with";
                        return (Ruling::inconclusive(Reason::Uncalibrated, detail), None);
                    }
                    Some(shift) => Ok(compare::against(shift, series, relative, 1.0)),
                }
            }
            Tolerance::Relative(relative) => {
                let Some(calibration) = calibration.filter(|c| c.is_calibrated()) else {
                    let known = calibration.map_or(0, |c| c.pseudo_windows);
                    let detail = format!(
                        "{known} pseudo-windows of fault-free history, {} are needed to compare with a baseline",
                        calibrate::LEAST
                    );
                    return (Ruling::inconclusive(Reason::Uncalibrated, detail), None);
                };
                let Some(Ok(before)) = before.map(|asked| &asked.answer) else {
                    return (Ruling::inconclusive(Reason::NoData, "no baseline"), None);
                };
                compare::relative(self.measure, before, series, relative, calibration.widen)
            }
            tolerance => match tolerance.limits() {
                Some(limits) => compare::absolute(self.measure, series, limits, self.evidence.seed),
                None => {
                    let detail = "its tolerance is no interval of numbers";
                    return (Ruling::inconclusive(Reason::Error, detail), None);
                }
            },
        };
        match numbers {
            Err(few) => (Ruling::inconclusive(Reason::TooFew, few.0), None),
            Ok(numbers) => (self.ruling(phase, &numbers), Some(numbers)),
        }
    }

    /// What the numbers say, and what speaks against believing them.
    fn ruling(&self, phase: Phase, numbers: &Numbers) -> Ruling {
        let told = in_words(self.measure, numbers);
        let standing = numbers.value.standing(numbers.limits());
        let relative = is_relative(self.probe);
        if phase != Phase::Baseline {
            match (validity::confounded(self.evidence, phase), standing, relative) {
                // An outside value stays outside, whatever the load was.
                (_, Standing::Outside, false) | (Ok(None), _, _) => {}
                (Ok(Some(why)), _, _) => {
                    let detail = format!("{told}; {why}");
                    return Ruling::inconclusive(Reason::LoadConfounded, detail);
                }
                (Err(Gap::Error(why) | Gap::Incomplete(why)), _, _) => {
                    let detail = format!("{told}; the load is unknown: {why}");
                    return Ruling::inconclusive(Reason::Error, detail);
                }
            }
        }
        match standing {
            Standing::Outside => Ruling::deviated(told),
            // Fault-free time shows a deviation, and stands in for no baseline.
            Standing::Inside if phase != Phase::Baseline && self.is_sparse() => {
                let detail = format!("{told}; the baseline has too few points of its own");
                Ruling::inconclusive(Reason::TooFew, detail)
            }
            Standing::Inside => {
                validity::completeness(self.experiment, self.evidence, self.measure, phase)
                    .unwrap_or_else(|| Ruling::held(told))
            }
            Standing::Unclear => {
                let detail = format!("{told}; a move of {:.4} could be shown", numbers.mde);
                Ruling::inconclusive(Reason::TooFew, detail)
            }
        }
    }

    fn recovery(&self, expected: crate::document::scope::Recovery) -> Ruling {
        let Some(asked) = self.measured.phases.get(&Phase::Recovery) else {
            return Ruling::inconclusive(Reason::NoData, "the recovery was not asked for");
        };
        let (evidence, idle) = (self.evidence, self.probe.scale_to_zero);
        let before = self.baseline();
        let hindrance =
            missing::hindrance(self.measure, evidence, Phase::Recovery, asked, before, idle);
        if let Some(ruling) = hindrance {
            return ruling;
        }
        let (Ok(series), Some(Ok(before))) =
            (&asked.answer, self.baseline().map(|asked| &asked.answer))
        else {
            return Ruling::inconclusive(Reason::NoData, "no baseline to recover to");
        };
        let limits = match &self.probe.tolerance {
            Tolerance::Relative(relative) => {
                compare::estimate(self.measure, before).map(|level| relative.around(level))
            }
            tolerance => Ok(tolerance.limits().unwrap_or(Limits {
                // No number is in a tolerance that is no interval.
                low: Some(f64::NAN),
                high: Some(f64::NAN),
            })),
        };
        let ruling = match limits {
            Err(few) => return Ruling::inconclusive(Reason::TooFew, few.0),
            Ok(limits) => recovery::recovered(self.measure, series, limits, expected),
        };
        if ruling.verdict != Verdict::Held {
            return ruling;
        }
        validity::completeness(self.experiment, evidence, self.measure, Phase::Recovery)
            .unwrap_or(ruling)
    }
}

fn in_words(measure: &Measure, numbers: &Numbers) -> String {
    let end = |end: Option<f64>| end.map_or("open".to_owned(), |end| format!("{end:.4}"));
    format!(
        "{measure} is {:.4} [{:.4}, {:.4}], tolerated is {} to {}, n = {}",
        numbers.value.estimate,
        numbers.value.low,
        numbers.value.high,
        end(numbers.low),
        end(numbers.high),
        numbers.n
    )
}

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

/// What the document expects and this version does not judge: never a pass.
fn not_judged(experiment: &Experiment) -> Vec<Finding> {
    let mut findings = Vec::new();
    if experiment.blast_radius.off_target != OffTarget::Report {
        let why = "the blast radius is measured and reported, not judged, in this version";
        findings.push(unevaluated("blast radius", Severity::Critical, why));
    }
    if experiment.expect.scaling.is_some() {
        let why = "not judged in this version";
        findings.push(unevaluated("scaling", Severity::Critical, why));
    }
    findings
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
