//! `blast-radius`: whether what was touched beside the target is what may be, and
//! whether more requests of users felt it than may. A
//! radius is found, not shown to be empty: none is only believed where the fault
//! itself was seen by the same means.

use crate::document::Experiment;
use crate::document::probe::{EffectCheck, Severity};
use crate::document::scope::{OffTarget, Target};
use crate::document::tolerance::Limits;
use crate::radius::{Extent, Place, Radius, Suspect, Why, depth};
use crate::statistics::{ALPHA, Standing, power};
use crate::verdict::calibrate::LEAST;
use crate::window::Phase;

use super::compare;
use super::evidence::{Evidence, Gap, Source};
use super::finding::{Finding, Numbers, Reason, Ruling};
use super::missing::{self, Sight, VANISHED};
use super::validity;

/// Rows that must have been expected for that.
const EXPECTED: f64 = 20.0;

/// A load that fell below this share of the baseline's left requests out, and
/// nobody knows what these would have felt.
const LEFT_OUT: f64 = 0.8;
/// Of how many requests nobody may know what slow is.
const UNKNOWN: f64 = 0.2;

/// `None` where the document only wants it reported and limits nothing.
pub fn judge(experiment: &Experiment, evidence: &Evidence) -> Option<Finding> {
    let declared = &experiment.blast_radius;
    if declared.off_target == OffTarget::Report && declared.max.services.is_none() {
        return None;
    }
    let asked = evidence.radius.as_ref();
    let ruling = match asked.map(|asked| &asked.answer) {
        None => Ruling::inconclusive(Reason::Error, "the blast radius was not asked for"),
        Some(Err(Gap::Error(why))) => Ruling::inconclusive(Reason::Error, why.clone()),
        Some(Err(Gap::Incomplete(why))) => Ruling::inconclusive(Reason::PipelineGap, why.clone()),
        Some(Ok(radius)) => of(experiment, evidence, radius),
    };
    Some(Finding {
        hypothesis: "blast radius".into(),
        severity: Severity::Critical,
        phase: Some(Phase::Injection),
        ruling,
        numbers: None,
        evidence_sql: asked.iter().map(|asked| asked.sql.clone()).collect(),
    })
}

fn of(experiment: &Experiment, evidence: &Evidence, radius: &Radius) -> Ruling {
    let declared = &experiment.blast_radius;
    let inside = |name: &str| {
        let is = |list: &[String]| list.iter().any(|one| one == name);
        radius.aim.is_level_0(name) || is(&declared.allow.services)
    };
    let only_reported = declared.off_target == OffTarget::Report;
    if radius.aim.level_0().is_empty() {
        let detail = "nothing that was sent has the attributes of target.resource";
        return Ruling::inconclusive(Reason::NoData, detail);
    }
    if let Some(silent) = silent(evidence, &inside).filter(|_| !only_reported) {
        return Ruling::silence(format!("off target, {silent} fell silent while others went on"));
    }
    if let Some(detail) = uncalibrated(radius) {
        return Ruling::inconclusive(Reason::Uncalibrated, detail);
    }
    if let Some(beyond) = beyond(experiment, radius, !only_reported) {
        return Ruling::deviated(beyond);
    }
    let aims_at_endpoints = !radius.aim.endpoints.is_empty() && !only_reported;
    if let Some(ruling) =
        aims_at_endpoints.then(|| other_endpoints(evidence, &radius.aim)).flatten()
    {
        return ruling;
    }
    let out: Vec<&Suspect> = radius.suspects.iter().filter(|suspect| suspect.stands_out).collect();
    let seen = out.iter().any(|suspect| inside(&suspect.service));
    let late = experiment.window.late.nanos();
    let sight = missing::sight(evidence, Source::Spans, Phase::Injection, late);
    if !seen && sight == Sight::Whole && under_reach(experiment, evidence, radius) {
        let detail =
            "no target shows any sign, though all of them were seen: the fault did not reach them";
        return Ruling::invalid(Reason::NoEffect, detail);
    }
    if !seen {
        let detail = "nothing stands out, the target neither: what touches others as little would not be seen";
        return Ruling::inconclusive(Reason::NoEffect, detail);
    }
    match sight {
        Sight::Whole => {}
        Sight::Late(why) => return Ruling::inconclusive(Reason::Late, why),
        Sight::Behind(why) => return Ruling::inconclusive(Reason::PipelineGap, why),
    }
    validity::broken(evidence, Source::Spans, Phase::Injection).unwrap_or_else(|| {
        Ruling::held(format!("{} services stand out, and none off target", out.len()))
    })
}

/// Where the target is some endpoints: whether others of its services stand out.
fn other_endpoints(evidence: &Evidence, aim: &Target) -> Option<Ruling> {
    let extent = match evidence.extent.as_ref().map(|asked| &asked.answer) {
        Some(Ok(extent)) => extent,
        Some(Err(Gap::Incomplete(why))) => {
            return Some(Ruling::inconclusive(Reason::PipelineGap, why.clone()));
        }
        Some(Err(Gap::Error(why))) => {
            return Some(Ruling::inconclusive(Reason::Error, why.clone()));
        }
        None => return Some(Ruling::inconclusive(Reason::Error, "endpoints were not asked for")),
    };
    if !extent.noise.is_calibrated() {
        let detail = "too little fault-free time is known to tell a touched endpoint from noise";
        return Some(Ruling::inconclusive(Reason::Uncalibrated, detail));
    }
    let others = extent.endpoints.iter().filter(|endpoint| {
        endpoint.stands_out
            && aim.services.contains(&endpoint.service)
            && !aim.endpoints.contains(&endpoint.operation)
    });
    let others: Vec<String> =
        others.map(|endpoint| format!("{} {}", endpoint.service, endpoint.operation)).collect();
    let detail = || format!("touched off target: {}", others.join(", "));
    (!others.is_empty()).then(|| Ruling::deviated(detail()))
}

/// Why a radius says nothing of what was touched, if so.
pub fn uncalibrated(radius: &Radius) -> Option<String> {
    (!radius.calibration.is_calibrated()).then(|| {
        format!(
            "{} pieces of fault-free time, {LEAST} are needed to tell a touched service from noise",
            radius.calibration.pseudo_windows()
        )
    })
}

/// What of a radius lies beyond the declared one: services that stand out and may
/// not, where `off_target` matters, or more of them than may.
pub fn beyond(experiment: &Experiment, radius: &Radius, off_target: bool) -> Option<String> {
    let declared = &experiment.blast_radius;
    let depths = depth::of_callers(&radius.graph, &radius.aim);
    let too_far = |suspect: &Suspect| {
        let depth = depths.get(suspect.service.as_str()).copied().map(u64::from);
        // What has no depth calls no target, and is explained by what it shares.
        let shares = matches!(suspect.why, Some(Why::Shares { .. }));
        let most = declared.allow.upstream_depth;
        !shares && most.zip(depth).is_some_and(|(most, depth)| depth > most)
    };
    let out: Vec<&Suspect> = radius.suspects.iter().filter(|suspect| suspect.stands_out).collect();
    let off: Vec<&str> = out
        .iter()
        .filter(|_| off_target)
        .filter(|suspect| match suspect.place {
            Place::OffTarget => true,
            Place::Explained => too_far(suspect),
            Place::Inside => false,
        })
        .map(|suspect| suspect.service.as_str())
        .collect();
    if !off.is_empty() {
        return Some(format!("touched off target: {}", off.join(", ")));
    }
    let most = declared.max.services.filter(|most| out.len() as u64 > *most)?;
    Some(format!("{} services were touched, tolerated are {most}", out.len()))
}

/// Whether no target shows anything, though each was heard. Where an effect check
/// says that the fault took effect, it did, by means that see more.
fn under_reach(experiment: &Experiment, evidence: &Evidence, radius: &Radius) -> bool {
    let flow = evidence.flows.get(&Source::Spans).and_then(|asked| asked.answer.as_ref().ok());
    let heard = |name: &String, phase| {
        let counts = flow.and_then(|flow| flow.services.get(name)?.get(&phase));
        counts.is_some_and(|counts| counts.iter().sum::<u64>() as f64 >= EXPECTED)
    };
    let (aim, targets) = (&radius.aim, radius.aim.level_0());
    matches!(experiment.effect_check, Some(EffectCheck::None))
        && radius.under_reach.len() == aim.services.len() + aim.edges.len()
        && targets.iter().all(|name| heard(name, Phase::Baseline) && heard(name, Phase::Injection))
}

/// `max.affected-traces`: by how much the share of users' requests that fail or are
/// slow grew. `None` where the document does not limit it.
pub fn affected(experiment: &Experiment, evidence: &Evidence) -> Option<Finding> {
    let most = experiment.blast_radius.max.affected_traces?.0;
    let asked = evidence.extent.as_ref();
    let (ruling, numbers) = match asked.map(|asked| &asked.answer) {
        None => (Ruling::inconclusive(Reason::Error, "affected traces were not asked for"), None),
        Some(Err(Gap::Error(why))) => (Ruling::inconclusive(Reason::Error, why.clone()), None),
        Some(Err(Gap::Incomplete(why))) => {
            (Ruling::inconclusive(Reason::PipelineGap, why.clone()), None)
        }
        Some(Ok(extent)) => felt(experiment, evidence, extent, most),
    };
    Some(Finding {
        hypothesis: "affected traces".into(),
        severity: Severity::Critical,
        phase: Some(Phase::Injection),
        ruling,
        numbers,
        evidence_sql: asked.iter().map(|asked| asked.sql.clone()).collect(),
    })
}

fn felt(
    experiment: &Experiment,
    evidence: &Evidence,
    extent: &Extent,
    most: f64,
) -> (Ruling, Option<Numbers>) {
    let traces = &extent.traces;
    let late = experiment.window.late.nanos();
    let sight = missing::sight(evidence, Source::Spans, Phase::Injection, late);
    let vanished = traces.load.is_some_and(|load| load < VANISHED);
    if vanished && !matches!(sight, Sight::Behind(_)) {
        return (Ruling::silence("requests of users stopped coming while spans were heard"), None);
    }
    let Some(grown) = traces.grown.filter(|grown| grown.is_known()) else {
        let detail = "no request of a user came in the injection, or none before it";
        return (Ruling::inconclusive(Reason::NoData, detail), None);
    };
    let limits = Limits { low: None, high: Some(most) };
    let p = compare::outside_by_chance(&grown, limits);
    let numbers = Numbers {
        value: grown,
        low: None,
        high: Some(most),
        baseline: (traces.before.1 > 0).then(|| traces.before.0 as f64 / traces.before.1 as f64),
        a12: None,
        n: traces.n,
        n_effective: traces.n as f64,
        mde: power::detectable(&grown),
        p,
        p_adjusted: p,
        widened: 1.0,
        method: "difference of shares (Newcombe), widened by how fault-free pieces vary",
    };
    let told = format!(
        "{} of {} requests of users failed or were slow, {} of {} before: {:.3} more [{:.3}, {:.3}], tolerated is {most}",
        traces.felt,
        traces.n,
        traces.before.0,
        traces.before.1,
        grown.estimate,
        grown.low,
        grown.high
    );
    let unknown = traces.unknown as f64 > UNKNOWN * traces.n as f64;
    let left_out = traces.load.is_none_or(|load| load < LEFT_OUT);
    let ruling = match (grown.standing(limits), sight) {
        _ if !extent.noise.is_calibrated() => Ruling::inconclusive(Reason::Uncalibrated, told),
        (Standing::Outside, _) if p < ALPHA => Ruling::deviated(told),
        (_, Sight::Late(why)) => Ruling::inconclusive(Reason::Late, why),
        (_, Sight::Behind(why)) => Ruling::inconclusive(Reason::PipelineGap, why),
        (Standing::Inside, _) if unknown => {
            let detail =
                format!("of {} requests nobody knows what slow is; {told}", traces.unknown);
            Ruling::inconclusive(Reason::TooFew, detail)
        }
        (Standing::Inside, _) if left_out => {
            let detail = format!("fewer requests came than before; {told}");
            Ruling::inconclusive(Reason::LoadConfounded, detail)
        }
        (Standing::Inside, _) => validity::broken(evidence, Source::Spans, Phase::Injection)
            .unwrap_or_else(|| Ruling::held(told)),
        _ => Ruling::inconclusive(Reason::TooFew, told),
    };
    (ruling, Some(numbers))
}

/// Who was heard before and is not any more, while others are: no sign shows that.
fn silent<'e>(evidence: &'e Evidence, inside: &impl Fn(&str) -> bool) -> Option<&'e str> {
    let flow = evidence.flows.get(&Source::Spans)?.answer.as_ref().ok()?;
    if matches!(missing::sight(evidence, Source::Spans, Phase::Injection, 0), Sight::Behind(_)) {
        return None;
    }
    let buckets = |phase| f64::from(evidence.phases.get(phase).buckets);
    let scale = buckets(Phase::Injection) / buckets(Phase::Baseline).max(1.0);
    let vanished = |before: u64, now: u64| {
        let expected = before as f64 * scale;
        expected >= EXPECTED && (now as f64) < VANISHED * expected
    };
    if vanished(flow.total(Phase::Baseline), flow.total(Phase::Injection)) {
        return None;
    }
    flow.services.iter().find_map(|(name, counts)| {
        let of = |phase| counts.get(&phase).map_or(0, |counts| counts.iter().sum());
        let gone = !name.is_empty()
            && !inside(name)
            && vanished(of(Phase::Baseline), of(Phase::Injection));
        gone.then_some(name.as_str())
    })
}
