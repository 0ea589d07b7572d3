//! What is settled before any hypothesis: did the fault bite, and was the
//! baseline steady?

use crate::completeness::Grade;
use crate::document::Experiment;
use crate::document::probe::{Direction, Effect, EffectCheck, Probe, Severity};
use crate::document::provider::{Indicator, Measure, Nature, Provider};
use crate::document::tolerance::{Condition, Limits, Tolerance};
use crate::document::units::Unit;
use crate::indicator::series::Series;
use crate::statistics::Standing;
use crate::window::{Phase, Window};

use super::callsite;
use super::compare::{self, Shift};
use super::evidence::{Asked, Evidence, Flow, Gap, Measured, Observed, Source};
use super::finding::{Finding, Reason, Ruling, Verdict};
use super::missing::{self, Sight};
use super::strata::{self, Moved};

/// Whether the fault was seen to take effect.
pub fn effect(experiment: &Experiment, evidence: &Evidence) -> Finding {
    let mut finding = Finding {
        hypothesis: "effect-check".into(),
        severity: Severity::Critical,
        phase: Some(Phase::Injection),
        ruling: Ruling::held("effect-check: none, as the document says"),
        numbers: None,
        evidence_sql: Vec::new(),
    };
    let any = match &experiment.effect_check {
        Some(EffectCheck::None) => return finding,
        Some(EffectCheck::Any { any }) => any,
        None => {
            let detail =
                "the document has no effect-check, so nothing shows that a fault took effect";
            finding.ruling = Ruling::invalid(Reason::NoEffect, detail);
            return finding;
        }
    };
    if let Some(nothing) = out_of_place(evidence) {
        finding.ruling = nothing;
        return finding;
    }
    let mut rulings = Vec::new();
    let mut measured = evidence.effects.iter();
    for sign in any {
        match sign {
            Effect::Reported { event } => {
                let asked = evidence.reported.get(event);
                finding.evidence_sql.extend(asked.map(|asked| asked.sql.clone()));
                rulings.push((reported(event, asked), false));
            }
            Effect::Moved { measure, direction, by }
                if measure.indicator == Indicator::CallsiteShift =>
            {
                finding.evidence_sql.extend(evidence.sites.iter().map(|asked| asked.sql.clone()));
                let wanted = by.limit.value;
                rulings.push((callsite::moved(measure, *direction, evidence, wanted), true));
            }
            Effect::Moved { measure, direction, by } => {
                let Some(answers) = measured.next() else {
                    let detail = format!("{measure} was not asked for");
                    rulings.push((Ruling::inconclusive(Reason::NoData, detail), true));
                    continue;
                };
                finding.evidence_sql.extend(statements(answers));
                let phase = Phase::Injection;
                rulings.push((moved(measure, *direction, by, answers, evidence, phase), true));
            }
        }
    }
    // Measured evidence ranks above reported: what it says of is settled by it.
    let any_measured = rulings.iter().any(|(_, measured)| *measured);
    rulings.retain(|(_, measured)| *measured || !any_measured);
    // One sign is enough; one that cannot be told leaves it open.
    let rank = |ruling: &Ruling| match ruling.verdict {
        Verdict::Held => 0,
        Verdict::Inconclusive => 1,
        _ => 2,
    };
    if let Some((ruling, _)) = rulings.into_iter().min_by_key(|(ruling, _)| rank(ruling)) {
        finding.ruling = ruling;
    }
    finding
}

/// Whether the injector said so. That it did not says nothing: it may not be heard.
fn reported(event: &str, asked: Option<&Asked<i64>>) -> Ruling {
    match asked.map(|asked| &asked.answer) {
        Some(Ok(n)) if *n > 0 => {
            Ruling::held(format!("the injector told {event}: reported, and not measured"))
        }
        Some(Ok(_)) => {
            let detail = format!("no {event} of the injector was heard of during the injection");
            Ruling::inconclusive(Reason::NoData, detail)
        }
        Some(Err(Gap::Error(why))) => Ruling::inconclusive(Reason::Error, why.clone()),
        Some(Err(Gap::Incomplete(why))) => Ruling::inconclusive(Reason::PipelineGap, why.clone()),
        None => Ruling::inconclusive(Reason::NoData, format!("nobody asked for {event}")),
    }
}

/// A window in which nothing at all was told lies where no telemetry is.
fn out_of_place(evidence: &Evidence) -> Option<Ruling> {
    let flow = |source| match evidence.flows.get(&source).map(|asked| &asked.answer) {
        Some(Ok(flow)) => Some(flow),
        _ => None,
    };
    let flows: Vec<&Flow> =
        [Source::Spans, Source::Logs, Source::Metrics].into_iter().filter_map(flow).collect();
    let silent = |phase| !flows.is_empty() && flows.iter().all(|flow| flow.total(phase) == 0);
    if silent(Phase::Baseline) && silent(Phase::Injection) {
        let detail =
            "no service sent anything in the window: the fault was not seen; is its time right?";
        return Some(Ruling::invalid(Reason::NoEffect, detail));
    }
    None
}

fn statements(measured: &Measured) -> impl Iterator<Item = String> {
    let phases = [Phase::Baseline, Phase::Injection];
    phases.into_iter().filter_map(|phase| Some(measured.phases.get(&phase)?.sql.clone()))
}

/// Whether a sign of the fault is seen in a phase.
pub fn moved(
    measure: &Measure,
    direction: Direction,
    by: &Condition,
    answers: &Measured,
    evidence: &Evidence,
    phase: Phase,
) -> Ruling {
    let phases = (answers.phases.get(&Phase::Baseline), answers.phases.get(&phase));
    let (Some(before), Some(after)) = phases else {
        return Ruling::inconclusive(Reason::NoData, format!("{measure} was not asked for"));
    };
    let history = answers.history.as_ref().and_then(|asked| asked.answer.as_ref().ok());
    let few = |asked: &Asked<Series>| {
        asked.answer.as_ref().is_ok_and(|series| compare::is_few(measure, series))
    };
    let gauge = measure.indicator.nature() == Nature::Gauge;
    let usual = history.filter(|_| few(before) || gauge && few(after));
    let none = before.answer.as_ref().is_ok_and(|series| series.n() == 0.0);
    // Of a gauge that is told seldom, and of what was not told before, nothing is
    // said of how many rows there should be.
    let expected = if usual.is_some() && (gauge || none) { None } else { Some(before) };
    let hindrance = missing::hindrance(measure, evidence, phase, after, expected, false);
    if let Some(ruling) = hindrance {
        // That the target fell silent is told by the hypotheses; how far this
        // moved is not known then.
        let reason = ruling.reason.unwrap_or(Reason::NoData);
        return Ruling::inconclusive(reason, ruling.detail);
    }
    let (Ok(before), Ok(after)) = (&before.answer, &after.answer) else {
        return Ruling::inconclusive(Reason::Error, format!("{measure} has no answer"));
    };
    let shift = match usual {
        Some(history) => compare::sparse(measure, history, after, 1).ok_or_else(|| {
            let reason = if none { Reason::NoData } else { Reason::TooFew };
            let detail = format!("too little of {measure} in the baseline and in fault-free time");
            Ruling::inconclusive(reason, detail)
        }),
        None => compare::shift(measure, before, after, 1.0)
            .map_err(|few| Ruling::inconclusive(Reason::TooFew, few.0)),
    };
    let shift = match shift {
        Ok(shift) => shift,
        Err(ruling) => return ruling,
    };
    let wanted = match by.limit.unit {
        // Of the baseline.
        Unit::Share if measure.indicator.unit() != Unit::Share => by.limit.value * shift.level,
        _ => by.limit.value,
    };
    let Shift { moved, .. } = shift;
    let moved = match direction {
        Direction::Increase => moved,
        Direction::Decrease => moved.scaled(-1.0),
    };
    // Scaling by -1 exchanges the ends.
    let (low, high) = (moved.low.min(moved.high), moved.low.max(moved.high));
    let told = format!(
        "{measure} moved by {:.4} [{low:.4}, {high:.4}], wanted was at least {wanted:.4}",
        moved.estimate
    );
    if moved.estimate >= wanted && low > 0.0 {
        Ruling::held(told)
    } else if high < wanted || (high - low).is_finite() && moved.estimate < wanted && low <= 0.0 {
        Ruling::invalid(Reason::NoEffect, told)
    } else {
        Ruling::inconclusive(Reason::TooFew, told)
    }
}

/// Whether the baseline may be compared with: no other window in it, steady in
/// itself, and within the absolute tolerances.
pub fn baseline(experiment: &Experiment, window: &Window, evidence: &Evidence) -> Finding {
    let mut finding = Finding {
        hypothesis: "baseline".into(),
        severity: Severity::Critical,
        phase: Some(Phase::Baseline),
        ruling: Ruling::held("the baseline is steady"),
        numbers: None,
        evidence_sql: Vec::new(),
    };
    let dirty = |detail: String| Ruling::invalid(Reason::BaselineDirty, detail);
    let span = evidence.phases.baseline;
    if window.others.iter().any(|other| other.overlaps(span)) {
        finding.ruling = dirty("another window, or its recovery, lies in the baseline".into());
        return finding;
    }
    let probes = experiment.steady_state_hypothesis.probes.iter().zip(&evidence.probes);
    for (probe, observed) in probes.filter(|(probe, _)| probe.severity == Severity::Critical) {
        let (Provider::Measure(measure), Observed::Measure(measured)) = (&probe.provider, observed)
        else {
            continue;
        };
        // What is biased says nothing; metrics may, at both ends of their buckets.
        let told: Vec<&Measured> = match (measured.is_biased(), &measured.metered) {
            (false, _) => vec![measured],
            (true, Some(metered)) => metered.bounds.iter().collect(),
            (true, None) => continue,
        };
        let unsteady = |told: &&Measured| {
            let Some(Asked { sql, answer: Ok(series) }) = told.phases.get(&Phase::Baseline) else {
                return None;
            };
            let half = series.buckets.len() / 2;
            let halves = (series.part(0..half), series.part(half..series.buckets.len()));
            let detail = unsteady(probe, measure, series, &halves, evidence.seed)?;
            Some((detail, sql.clone()))
        };
        let found: Vec<_> = told.iter().map(unsteady).collect();
        if let Some(Some((detail, sql))) = found.first()
            && found.iter().all(Option::is_some)
        {
            finding.evidence_sql.push(sql.clone());
            finding.ruling = dirty(format!("{}: {detail}", probe.name));
            return finding;
        }
    }
    finding
}

fn unsteady(
    probe: &Probe,
    measure: &Measure,
    series: &crate::indicator::series::Series,
    halves: &(crate::indicator::series::Series, crate::indicator::series::Series),
    seed: u64,
) -> Option<String> {
    match &probe.tolerance {
        Tolerance::Relative(relative) => {
            let shift = compare::shift(measure, &halves.0, &halves.1, 1.0).ok()?;
            let around = relative.around(shift.level);
            // Steady is steady in both directions, whatever may move later.
            let room = [around.low.map(|l| shift.level - l), around.high.map(|h| h - shift.level)];
            let room = room.into_iter().flatten().fold(0.0, f64::max);
            let limits = Limits { low: Some(-room), high: Some(room) };
            (shift.moved.standing(limits) == Standing::Outside).then(|| {
                format!("its second half moved by {:.4} from its first", shift.moved.estimate)
            })
        }
        tolerance => {
            let limits = tolerance.limits()?;
            let numbers = compare::absolute(measure, series, limits, seed).ok()?;
            (numbers.value.standing(limits) == Standing::Outside).then(|| {
                format!(
                    "it is {:.4}, outside of its tolerance before the fault",
                    numbers.value.estimate
                )
            })
        }
    }
}

/// Whether the load moved between the phases so much that they do not compare.
pub fn confounded(evidence: &Evidence, phase: Phase) -> Result<Option<Moved>, Gap> {
    let load = evidence.load.answer.as_ref().map_err(Clone::clone)?;
    Ok(strata::moved(load, &evidence.phases, phase))
}

/// What depends on a source that is not whole is not shown to hold (section O2 of
/// the paper).
pub(super) fn broken(evidence: &Evidence, source: Source, phase: Phase) -> Option<Ruling> {
    let table = source.table();
    let gap = |detail: String| Some(Ruling::inconclusive(Reason::PipelineGap, detail));
    match evidence.grades.get(&(source, phase)).map(|asked| &asked.answer) {
        Some(Ok(Grade::Whole | Grade::Torn)) => None,
        Some(Ok(Grade::Broken)) => gap(format!(
            "{table} of the {} are broken: too many are lost, unnamed or mean something else to tell",
            phase.name()
        )),
        Some(Err(Gap::Error(why))) => {
            let detail = format!("how whole {table} are is not known: {why}");
            Some(Ruling::inconclusive(Reason::Error, detail))
        }
        Some(Err(Gap::Incomplete(why))) => gap(why.clone()),
        None => gap(format!("nobody asked how whole {table} of the {} are", phase.name())),
    }
}

/// Whether the run can be final: every source past what may come late, and whole.
pub fn completeness(
    experiment: &Experiment,
    evidence: &Evidence,
    measure: &Measure,
    phase: Phase,
) -> Option<Ruling> {
    let late = experiment.window.late.nanos();
    match missing::sight(evidence, Source::of(measure.family), phase, late) {
        Sight::Whole => broken(evidence, Source::of(measure.family), phase),
        Sight::Late(why) => Some(Ruling::inconclusive(Reason::Late, why)),
        Sight::Behind(why) => Some(Ruling::inconclusive(Reason::PipelineGap, why)),
    }
}
