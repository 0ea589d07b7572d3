//! `blast-radius`: whether what was touched beside the target is what may be. A
//! radius is found, not shown to be empty: none is only believed where the fault
//! itself was seen by the same means.

use crate::document::Experiment;
use crate::document::probe::Severity;
use crate::document::scope::OffTarget;
use crate::radius::{Place, Radius, Suspect, depth};
use crate::verdict::calibrate::LEAST;
use crate::window::Phase;

use super::evidence::{Evidence, Gap, Source};
use super::finding::{Finding, Reason, Ruling};
use super::missing::{self, Sight};
use super::validity;

/// Under this share of its baseline a service fell silent.
const VANISHED: f64 = 0.1;
/// Rows that must have been expected for that.
const EXPECTED: f64 = 20.0;

/// `None` where the document only wants it reported.
pub fn judge(experiment: &Experiment, evidence: &Evidence) -> Option<Finding> {
    if experiment.blast_radius.off_target == OffTarget::Report {
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
        is(&experiment.target.services) || is(&declared.allow.services)
    };
    if let Some(silent) = silent(evidence, &inside) {
        return Ruling::silence(format!("off target, {silent} fell silent while others went on"));
    }
    if !radius.calibration.is_calibrated() {
        let detail = format!(
            "{} pieces of fault-free time, {LEAST} are needed to tell a touched service from noise",
            radius.calibration.pseudo_windows()
        );
        return Ruling::inconclusive(Reason::Uncalibrated, detail);
    }
    let depths = depth::of_callers(&radius.graph, &experiment.target);
    let too_far = |suspect: &Suspect| {
        let depth = depths.get(suspect.service.as_str()).copied().map(u64::from);
        let most = declared.allow.upstream_depth;
        most.is_some_and(|most| depth.is_none_or(|depth| depth > most))
    };
    let out: Vec<&Suspect> = radius.suspects.iter().filter(|suspect| suspect.stands_out).collect();
    let off: Vec<&str> = out
        .iter()
        .filter(|suspect| match suspect.place {
            Place::OffTarget => true,
            Place::Explained => too_far(suspect),
            Place::Inside => false,
        })
        .map(|suspect| suspect.service.as_str())
        .collect();
    if !off.is_empty() {
        return Ruling::deviated(format!("touched off target: {}", off.join(", ")));
    }
    if let Some(most) = declared.max.services.filter(|most| out.len() as u64 > *most) {
        return Ruling::deviated(format!(
            "{} services were touched, tolerated are {most}",
            out.len()
        ));
    }
    if declared.max.affected_traces.is_some() {
        let detail = "the share of affected traces is not measured in this version";
        return Ruling::inconclusive(Reason::Error, detail);
    }
    let seen = out.iter().any(|suspect| inside(&suspect.service));
    if !seen {
        let detail = "nothing stands out, the target neither: what touches others as little would not be seen";
        return Ruling::inconclusive(Reason::NoEffect, detail);
    }
    let late = experiment.window.late.nanos();
    match missing::sight(evidence, Source::Spans, Phase::Injection, late) {
        Sight::Whole => {}
        Sight::Late(why) => return Ruling::inconclusive(Reason::Late, why),
        Sight::Behind(why) => return Ruling::inconclusive(Reason::PipelineGap, why),
    }
    validity::broken(evidence, Source::Spans, Phase::Injection).unwrap_or_else(|| {
        Ruling::held(format!("{} services stand out, and none off target", out.len()))
    })
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
