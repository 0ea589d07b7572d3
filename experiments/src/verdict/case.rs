//! A built-in indicator's hypothesis, judged in each phase that it is about.

use crate::document::Experiment;
use crate::document::probe::{Mode, Probe};
use crate::document::provider::{Measure, Nature};
use crate::document::scope::Recovery;
use crate::document::tolerance::{Limits, Tolerance};
use crate::indicator::series::Series;
use crate::statistics::Standing;
use crate::window::Phase;

use super::calibrate::{self, Beside, Calibration};
use super::evidence::{Asked, Evidence, Gap, Measured};
use super::finding::{Finding, Numbers, Reason, Ruling, Verdict};
use super::strata::{self, Moved};
use super::{compare, missing, recovery, validity};

/// Whether it is compared with its baseline.
pub(super) fn is_relative(probe: &Probe) -> bool {
    matches!(probe.tolerance, Tolerance::Relative(_))
}

/// A built-in indicator's hypothesis.
pub(super) struct Case<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) evidence: &'a Evidence,
    pub(super) probe: &'a Probe,
    pub(super) measure: &'a Measure,
    pub(super) measured: &'a Measured,
    pub(super) family: usize,
}

impl Case<'_> {
    pub(super) fn judge(&self, findings: &mut Vec<Finding>, notes: &mut Vec<String>) {
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
        for phase in self.probe.mode.phases() {
            // A run without a recovery has nothing continuous to show there.
            let absent = self.evidence.phases.get(*phase).buckets == 0;
            if absent && self.probe.mode == Mode::Continuous && *phase == Phase::Recovery {
                continue;
            }
            let (mut ruling, mut numbers) = self.in_phase(*phase, calibration.as_ref());
            if ruling.reason == Some(Reason::Biased) {
                (ruling, numbers) = self
                    .by_metrics(ruling, &|case| case.in_phase(*phase, case.calibration().as_ref()));
            }
            findings.push(self.finding(self.probe.name.clone(), *phase, ruling, numbers));
        }
        if let Some(expected) = self.experiment.expect.recovery {
            let name = format!("recovery of {}", self.probe.name);
            let mut ruling = self.recovery(expected);
            if ruling.reason == Some(Reason::Biased) {
                (ruling, _) = self.by_metrics(ruling, &|case| (case.recovery(expected), None));
            }
            findings.push(self.finding(name, Phase::Recovery, ruling, None));
        }
    }

    /// The same by metrics. Of durations only the ends of their buckets are known:
    /// what is to be shown must be so with both.
    fn by_metrics(
        &self,
        biased: Ruling,
        judge: &dyn Fn(Case<'_>) -> (Ruling, Option<Numbers>),
    ) -> (Ruling, Option<Numbers>) {
        let Some(metered) = &self.measured.metered else {
            let detail = format!("{}, and no metric tells of the same", biased.detail);
            return (Ruling { detail, ..biased }, None);
        };
        let case = |measured| Case { measure: &metered.measure, measured, ..*self };
        let found: Vec<_> = metered.bounds.iter().map(|bound| judge(case(bound))).collect();
        let all = |verdict| found.iter().all(|(ruling, _)| ruling.verdict == verdict);
        let open = found.iter().find(|(ruling, _)| ruling.verdict == Verdict::Inconclusive);
        let (mut ruling, numbers) = match (open.or(found.first()), found.last()) {
            (Some(open), _) if open.0.verdict == Verdict::Inconclusive => open.clone(),
            (_, Some(last)) if all(Verdict::Held) || all(Verdict::Deviated) => last.clone(),
            (_, Some((last, numbers))) => {
                let detail =
                    format!("{}; the buckets of the histogram are too coarse", last.detail);
                (Ruling::inconclusive(Reason::TooFew, detail), numbers.clone())
            }
            _ => (biased, None),
        };
        ruling.detail = format!(
            "by {}, as spans stand for an unknown number of others: {}",
            metered.metrics.join(" and "),
            ruling.detail
        );
        (ruling, numbers)
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
        for layer in self.measured.strata.get(&phase).into_iter().flatten() {
            evidence_sql.extend([&layer.before, &layer.after].map(|asked| asked.sql.clone()));
        }
        let Measured { control, history, beside, metered, .. } = self.measured;
        for metered in metered.iter() {
            evidence_sql.push(metered.told.clone());
            // Both ends of the buckets come by the same statement.
            let Some(bound) = metered.bounds.first() else { continue };
            let statements = asked.iter().filter_map(|phase| bound.phases.get(phase));
            evidence_sql.extend(statements.map(|asked| asked.sql.clone()));
            evidence_sql.extend(bound.history.iter().map(|asked| asked.sql.clone()));
        }
        if let Some(control) = control {
            let statements = asked.iter().filter_map(|phase| control.phases.get(phase));
            evidence_sql.extend(statements.map(|asked| asked.sql.clone()));
        }
        evidence_sql.extend([history, beside].into_iter().flatten().map(|asked| asked.sql.clone()));
        let (severity, phase) = (self.probe.severity, Some(phase));
        Finding { hypothesis, severity, phase, ruling, numbers, evidence_sql }
    }

    /// Only what is compared with a baseline is calibrated.
    fn calibration(&self) -> Option<Calibration> {
        if !is_relative(self.probe) {
            return None;
        }
        let history = self.measured.history.as_ref()?.answer.as_ref().ok()?;
        let beside = match &self.measured.beside {
            None => None,
            Some(asked) => {
                let stretches = asked.answer.as_ref().ok()?;
                Some(match self.measured.control {
                    Some(_) => Beside::Control(stretches),
                    None => Beside::Season(stretches),
                })
            }
        };
        let phases = &self.evidence.phases;
        Some(calibrate::calibrate(self.measure, history, beside, phases, self.family))
    }

    fn history(&self) -> Option<&[Series]> {
        Some(self.measured.history.as_ref()?.answer.as_ref().ok()?)
    }

    /// What is told seldom, or was not recorded, has no baseline of its own: what it
    /// was in fault-free time shows deviations, and nothing else.
    fn is_sparse(&self) -> bool {
        let few = |asked: &Asked<Series>| {
            asked.answer.as_ref().is_ok_and(|series| compare::is_few(self.measure, series))
        };
        let beside = self.measured.control.is_some() || self.measured.beside.is_some();
        is_relative(self.probe)
            && self.history().is_some()
            && (!beside || self.is_gauge())
            && self.baseline().is_some_and(few)
    }

    fn is_gauge(&self) -> bool {
        self.measure.indicator.nature() == Nature::Gauge
    }

    /// Whether nothing is said of how many rows there should be: of a gauge that is
    /// told seldom, and where none was told before.
    fn is_unexpected(&self) -> bool {
        let none =
            |asked: &Asked<Series>| asked.answer.as_ref().is_ok_and(|series| series.n() == 0.0);
        self.is_sparse() && (self.is_gauge() || self.baseline().is_some_and(none))
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
        let alone = phase == Phase::Baseline || self.is_unexpected();
        let before = if alone { None } else { self.baseline() };
        let idle = self.probe.scale_to_zero;
        let hindrance = missing::hindrance(self.measure, self.evidence, phase, asked, before, idle);
        if let Some(ruling) = hindrance {
            return (ruling, None);
        }
        let Ok(series) = &asked.answer else {
            return (Ruling::inconclusive(Reason::Error, "no answer"), None);
        };
        let numbers = match self.compared(phase, before, series, calibration) {
            Ok(numbers) => numbers,
            Err(ruling) => return (ruling, None),
        };
        // What moves the load moves the control's.
        if phase != Phase::Baseline && self.measured.control.is_none() {
            match validity::confounded(self.evidence, phase) {
                Ok(None) => {}
                Ok(Some(load)) => {
                    return self.confounded(phase, before, series, calibration, numbers, &load);
                }
                Err(Gap::Error(why) | Gap::Incomplete(why)) if !self.is_broken(&numbers) => {
                    let told = in_words(self.measure, &numbers);
                    let detail = format!("{told}; the load is unknown: {why}");
                    return (Ruling::inconclusive(Reason::Error, detail), Some(numbers));
                }
                Err(_) => {}
            }
        }
        (self.ruling(phase, &numbers), Some(numbers))
    }

    /// A phase's buckets against the tolerance.
    fn compared(
        &self,
        phase: Phase,
        before: Option<&Asked<Series>>,
        series: &Series,
        calibration: Option<&Calibration>,
    ) -> Result<Numbers, Ruling> {
        let numbers = match &self.probe.tolerance {
            // The baseline moved from itself by nothing.
            Tolerance::Relative(_) if phase == Phase::Baseline => {
                return Err(Ruling::held("the baseline is what others are relative to"));
            }
            Tolerance::Relative(relative) if self.is_sparse() => {
                let history = self.history().unwrap_or_default();
                match compare::sparse(self.measure, history, series, self.family) {
                    None => return Err(self.unknown()),
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
                    return Err(Ruling::inconclusive(Reason::Uncalibrated, detail));
                };
                let Some(Ok(before)) = before.map(|asked| &asked.answer) else {
                    return Err(Ruling::inconclusive(Reason::NoData, "no baseline"));
                };
                let control = self.control(phase)?;
                compare::relative(
                    self.measure,
                    before,
                    series,
                    control,
                    relative,
                    calibration.widen,
                )
            }
            tolerance => match tolerance.limits() {
                Some(limits) => compare::absolute(self.measure, series, limits, self.evidence.seed),
                None => {
                    let detail = "its tolerance is no interval of numbers";
                    return Err(Ruling::inconclusive(Reason::Error, detail));
                }
            },
        };
        numbers.map_err(|few| Ruling::inconclusive(Reason::TooFew, few.0))
    }

    /// Neither a baseline nor enough fault-free time.
    fn unknown(&self) -> Ruling {
        if self.is_unexpected() && !self.is_gauge() {
            let detail = format!(
                "there is no row of {} in the baseline, and too few in fault-free time or in the phase",
                self.measure
            );
            return Ruling::inconclusive(Reason::NoData, detail);
        }
        let detail = "too few points of fault-free time to compare with";
        Ruling::inconclusive(Reason::Uncalibrated, detail)
    }

    /// The control's baseline and phase. It must be seen as well as what it stands
    /// beside.
    fn control(&self, phase: Phase) -> Result<Option<[&Series; 2]>, Ruling> {
        let Some(control) = &self.measured.control else { return Ok(None) };
        let (before, after) = (control.phases.get(&Phase::Baseline), control.phases.get(&phase));
        let (Some(before), Some(after)) = (before, after) else {
            return Err(Ruling::inconclusive(Reason::NoData, "the control was not asked for"));
        };
        let hindrance =
            missing::hindrance(&control.measure, self.evidence, phase, after, Some(before), false);
        if let Some(ruling) = hindrance {
            // Its own silence is no harm that was done to what it stands beside.
            let reason = ruling.reason.unwrap_or(Reason::NoData);
            let detail = format!("the control cannot be compared with: {}", ruling.detail);
            return Err(Ruling::inconclusive(reason, detail));
        }
        match (&before.answer, &after.answer) {
            (Ok(before), Ok(after)) => Ok(Some([before, after])),
            _ => Err(Ruling::inconclusive(Reason::Error, "the control has no answer")),
        }
    }

    /// A control that left the tolerance by itself: either the load did that to
    /// both, or the fault reached it.
    fn control_moved(&self, phase: Phase) -> Option<String> {
        let [before, after] = self.control(phase).ok().flatten()?;
        let Tolerance::Relative(relative) = &self.probe.tolerance else { return None };
        let shift = compare::shift(self.measure, before, after, 1.0).ok()?;
        let value = shift.moved.shifted(shift.level);
        let outside = value.standing(relative.around(shift.level)) == Standing::Outside;
        outside.then(|| format!("the control moved by {:.4} too", shift.moved.estimate))
    }

    /// Outside of an absolute tolerance, whatever the load was.
    fn is_broken(&self, numbers: &Numbers) -> bool {
        numbers.value.standing(numbers.limits()) == Standing::Outside && !is_relative(self.probe)
    }

    /// The load moved with the fault: the phase is weighted to the baseline's mix.
    /// That hides no deviation from an absolute tolerance, and what is within one
    /// must be so with both mixes.
    fn confounded(
        &self,
        phase: Phase,
        before: Option<&Asked<Series>>,
        series: &Series,
        calibration: Option<&Calibration>,
        numbers: Numbers,
        load: &Moved,
    ) -> (Ruling, Option<Numbers>) {
        if self.is_broken(&numbers) {
            return (self.ruling(phase, &numbers), Some(numbers));
        }
        let told = in_words(self.measure, &numbers);
        let load = load.in_words();
        let open = |why: String| {
            Ruling::inconclusive(Reason::LoadConfounded, format!("{told}; {load}{why}"))
        };
        let weighted = match (before.map(|asked| &asked.answer), self.measured.strata.get(&phase)) {
            (Some(Ok(before)), Some(layers)) => strata::standardised(layers, [before, series]),
            _ => return (open(String::new()), Some(numbers)),
        };
        let weighted = match weighted {
            Ok(weighted) => weighted,
            Err(why) => return (open(format!("; {why}")), Some(numbers)),
        };
        let weighted = match self.compared(phase, before, &weighted, calibration) {
            Ok(weighted) => weighted,
            Err(few) => return (open(format!("; {}", few.detail)), Some(numbers)),
        };
        let standing = weighted.value.standing(weighted.limits());
        if !is_relative(self.probe) {
            let inside = numbers.value.standing(numbers.limits()) == Standing::Inside;
            if !(inside && standing == Standing::Inside) {
                let mix = in_words(self.measure, &weighted);
                return (open(format!("; with the mix of the baseline {mix}")), Some(numbers));
            }
        }
        let mut ruling = self.ruling(phase, &weighted);
        ruling.detail = format!("{}; {load}: weighted to the baseline's mix", ruling.detail);
        (ruling, Some(weighted))
    }

    /// What the numbers say, and what speaks against believing them.
    fn ruling(&self, phase: Phase, numbers: &Numbers) -> Ruling {
        let told = in_words(self.measure, numbers);
        let control = self.control_moved(phase);
        match numbers.value.standing(numbers.limits()) {
            Standing::Outside => Ruling::deviated(told),
            // Fault-free time shows a deviation, and stands in for no baseline.
            Standing::Inside if phase != Phase::Baseline && self.is_sparse() => {
                let detail = format!("{told}; the baseline has too few points of its own");
                Ruling::inconclusive(Reason::TooFew, detail)
            }
            Standing::Inside => match control {
                Some(why) => {
                    let detail = format!("{told}; {why}, and what moved both is not told apart");
                    Ruling::inconclusive(Reason::LoadConfounded, detail)
                }
                None => validity::completeness(self.experiment, self.evidence, self.measure, phase)
                    .unwrap_or_else(|| Ruling::held(told)),
            },
            Standing::Unclear => {
                let detail = format!("{told}; a move of {:.4} could be shown", numbers.mde);
                Ruling::inconclusive(Reason::TooFew, detail)
            }
        }
    }

    fn recovery(&self, expected: Recovery) -> Ruling {
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
