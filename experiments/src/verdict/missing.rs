//! No data is never healthy (J2): what is told apart before any number is
//! compared. Each row of the paper's table (section 5) is a branch here and a
//! test in `tests/missing.rs`.

use crate::document::provider::{Family, Measure, Nature, Subject};
use crate::indicator::series::Series;
use crate::window::Phase;

use super::evidence::{Asked, Evidence, Flow, Gap, Source};
use super::finding::{Reason, Ruling};

/// Under this share of its baseline traffic has vanished.
pub const VANISHED: f64 = 0.1;
/// What must have been expected for its absence to mean something.
pub const EXPECTED: f64 = 10.0;
/// A hole inside of a phase: so many buckets, and so much expected in it.
const HOLE: usize = 3;
const HOLE_EXPECTED: f64 = 20.0;
/// A pause of so many usual ones is a hole in what comes by points.
const PAUSES: usize = 3;
/// The share of their baseline at which others count as flowing.
pub const FLOWING: f64 = 0.5;
/// Buckets that must be alike to be called frozen.
const FROZEN: usize = 6;
/// The same for the points of a gauge.
const FROZEN_POINTS: usize = 4;

/// What is known of a source: whether it could be seen, and how far it has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Sight {
    /// Past the end and what may come late.
    Whole,
    /// Past the end, but late rows may come.
    Late(String),
    /// Not up to the end of this phase, or not at all.
    Behind(String),
}

/// How far a source has come, against the end of a phase and of the run.
pub fn sight(evidence: &Evidence, source: Source, phase: Phase, late: i64) -> Sight {
    let table = source.table();
    let flow = match evidence.flows.get(&source).map(|asked| &asked.answer) {
        Some(Ok(flow)) => flow,
        Some(Err(Gap::Error(why) | Gap::Incomplete(why))) => {
            return Sight::Behind(format!("what flowed into {table} is unknown: {why}"));
        }
        None => return Sight::Behind(format!("nobody asked what flowed into {table}")),
    };
    let Some(watermark) = flow.watermark else {
        return Sight::Behind(format!("{table} holds no row"));
    };
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    let end = evidence.phases.get(phase).to();
    if watermark < end {
        let behind = seconds(end - watermark);
        return Sight::Behind(format!("{table} ends {behind:.0} s before the {}", phase.name()));
    }
    let wanted = evidence.phases.end().saturating_add(late);
    if watermark < wanted {
        let left = seconds(wanted - watermark);
        return Sight::Late(format!("rows of {table} may come for {left:.0} s more"));
    }
    Sight::Whole
}

/// What hinders a verdict on this answer, or is one: `None` when its numbers
/// may be compared. `before` is the baseline, unless that is what is judged.
pub fn hindrance(
    measure: &Measure,
    evidence: &Evidence,
    phase: Phase,
    asked: &Asked<Series>,
    before: Option<&Asked<Series>>,
    scale_to_zero: bool,
) -> Option<Ruling> {
    let series = match &asked.answer {
        Ok(series) => series,
        Err(gap) => return Some(unanswered(gap)),
    };
    let before = match before.map(|asked| &asked.answer) {
        Some(Err(gap)) => return Some(unanswered(gap)),
        Some(Ok(before)) => Some(before),
        None => None,
    };
    if evidence.phases.get(phase).buckets == 0 {
        let detail = format!("the {} has no whole bucket", phase.name());
        return Some(Ruling::inconclusive(Reason::NoData, detail));
    }
    if before.is_some() && evidence.phases.baseline.buckets == 0 {
        return Some(Ruling::inconclusive(Reason::NoData, "the baseline has no whole bucket"));
    }
    let unsound = |value: &f64| !value.is_finite();
    if series.gauges().iter().any(unsound) || before.is_some_and(|b| b.gauges().iter().any(unsound))
    {
        return Some(Ruling::inconclusive(Reason::Error, "a value is not a finite number"));
    }
    if series.sampled > 0 || before.is_some_and(|before| before.sampled > 0) {
        let detail = "sampled spans stand for an unknown number of others: their trace state has no threshold";
        return Some(Ruling::inconclusive(Reason::Biased, detail));
    }
    absent(measure, evidence, phase, series, before, scale_to_zero)
        .or_else(|| frozen(measure, series, before))
}

fn unanswered(gap: &Gap) -> Ruling {
    match gap {
        Gap::Error(why) => Ruling::inconclusive(Reason::Error, why.clone()),
        Gap::Incomplete(why) => Ruling::inconclusive(Reason::PipelineGap, why.clone()),
    }
}

/// Whether the absence of this family's rows is an outage of its subject.
/// A metric or log that stops may only be a dead exporter, and an edge that is
/// no longer called may be a fallback at work.
fn speaks_of_traffic(family: Family) -> bool {
    matches!(family, Family::Red | Family::Exclusive | Family::Trace | Family::Slo)
}

fn absent(
    measure: &Measure,
    evidence: &Evidence,
    phase: Phase,
    series: &Series,
    before: Option<&Series>,
    scale_to_zero: bool,
) -> Option<Ruling> {
    if let Some(ruling) = callee_gone(measure, evidence, phase) {
        return Some(ruling);
    }
    let subject = &measure.subject;
    let length = series.buckets.len() as f64;
    let expected = before.map_or(0.0, |before| before.density() * length);
    let none_now = series.n() == 0.0;
    if none_now && before.is_none_or(|before| before.n() == 0.0) {
        return Some(match (scale_to_zero, before) {
            (true, Some(_)) => {
                Ruling::inconclusive(Reason::Idle, format!("{subject} stood idle, as it may"))
            }
            _ => Ruling::inconclusive(Reason::NoData, format!("there is no row of {measure}")),
        });
    }
    let before = before?;
    let vanished = series.n() < VANISHED * expected;
    // Rows that stand for others are few, however many these are.
    let design = before.design();
    if before.n() == 0.0 {
        let detail = format!("there is no row of {measure} in the baseline");
        return Some(Ruling::inconclusive(Reason::NoData, detail));
    }
    if vanished && expected >= EXPECTED * design {
        let told = format!(
            "{:.0} of about {expected:.0} expected rows of {subject} in the {}",
            series.n(),
            phase.name()
        );
        return Some(silence_or_gap(measure, evidence, phase, 0..series.buckets.len(), &told));
    }
    if none_now {
        let detail = format!("no row of {measure}, and only {expected:.0} were to be expected");
        return Some(Ruling::inconclusive(Reason::TooFew, detail));
    }
    let (start, length) = series.longest_silence();
    let usual = before.longest_silence().1;
    if Source::of(measure.family) == Source::Metrics {
        // Points come in their own time; half of them is not all of them, and a
        // long pause is no time in which nothing happened. Of requests half may
        // be all there are.
        let halved = measure.family == Family::Resource
            && series.n() < expected / 2.0
            && expected >= FROZEN_POINTS as f64;
        if halved {
            let detail =
                format!("{:.0} of about {expected:.0} expected points of {measure}", series.n());
            return Some(Ruling::inconclusive(Reason::NoData, detail));
        }
        if length > PAUSES * (usual + 1) {
            let detail = format!("no point of {measure} for {} s", length * 5);
            return Some(Ruling::inconclusive(Reason::NoData, detail));
        }
    }
    let expected = before.density() * length as f64;
    if length >= HOLE && expected >= HOLE_EXPECTED * design && length > 2 * usual {
        let told = format!(
            "no row of {subject} for {} s of the {}, about {expected:.0} were to be expected",
            length * 5,
            phase.name()
        );
        return Some(silence_or_gap(measure, evidence, phase, start..start + length, &told));
    }
    None
}

/// Calls are seen by the spans of the callee. One that sends nothing any more
/// may be called all the same.
fn callee_gone(measure: &Measure, evidence: &Evidence, phase: Phase) -> Option<Ruling> {
    let Subject::Edge { edge, .. } = &measure.subject else { return None };
    let asked = evidence.flows.get(&Source::of(measure.family))?;
    let counts = asked.answer.as_ref().ok()?.services.get(&edge.to)?;
    let density = |phase: Phase| {
        let rows: u64 = counts.get(&phase).map_or(0, |counts| counts.iter().sum());
        rows as f64 / f64::from(evidence.phases.get(phase).buckets.max(1))
    };
    let (usual, now) = (density(Phase::Baseline), density(phase));
    (phase != Phase::Baseline && usual > 0.0 && now < VANISHED * usual).then(|| {
        let detail = format!("{} sent next to nothing, so calls to it are not seen", edge.to);
        Ruling::inconclusive(Reason::NoData, detail)
    })
}

/// Who is silent: the subject alone, or everybody.
fn silence_or_gap(
    measure: &Measure,
    evidence: &Evidence,
    phase: Phase,
    hole: std::ops::Range<usize>,
    told: &str,
) -> Ruling {
    let source = Source::of(measure.family);
    if let Sight::Behind(why) = sight(evidence, source, phase, 0) {
        return Ruling::inconclusive(Reason::PipelineGap, format!("{told}; {why}"));
    }
    let flow = evidence.flows.get(&source).map(|asked| &asked.answer);
    let flowing =
        matches!(flow, Some(Ok(flow)) if others_flow(flow, measure, evidence, phase, hole));
    if !flowing {
        let detail = format!("{told}, and others fell silent too");
        return Ruling::inconclusive(Reason::PipelineGap, detail);
    }
    if !speaks_of_traffic(measure.family) {
        let detail = format!("{told}, while others went on");
        return Ruling::inconclusive(Reason::NoData, detail);
    }
    Ruling::silence(format!("{told}, while others went on"))
}

fn others_flow(
    flow: &Flow,
    measure: &Measure,
    evidence: &Evidence,
    phase: Phase,
    hole: std::ops::Range<usize>,
) -> bool {
    let service = match &measure.subject {
        Subject::Service { service, .. } => service,
        Subject::Edge { edge, .. } => &edge.to,
    };
    let of =
        |phase: Phase| flow.others(service, phase, evidence.phases.get(phase).buckets as usize);
    let (usual, now) = (of(Phase::Baseline), of(phase));
    let mean = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / counts.len().max(1) as f64;
    let now = now.get(hole).unwrap_or_default();
    mean(&usual) > 0.0 && mean(now) >= FLOWING * mean(&usual)
}

/// A series that stands still while what it measures moves.
fn frozen(measure: &Measure, series: &Series, before: Option<&Series>) -> Option<Ruling> {
    let dead = |detail: String| Some(Ruling::inconclusive(Reason::DeadSignal, detail));
    match measure.indicator.nature() {
        Nature::Gauge if !measure.indicator.may_stand_still() => {
            let values = series.gauges();
            if values.len() >= FROZEN_POINTS && series.distinct_values() == 1 {
                return dead(format!("{measure} is {} in all {} points", values[0], values.len()));
            }
        }
        // What falls into one bucket of a histogram looks the same; one that stands
        // still has no rows.
        Nature::Duration
            if measure.family != Family::Meter
                && series.worth() >= 20.0
                && series.distinct_values() == 1 =>
        {
            return dead(format!("all {:.0} durations of {measure} are the same", series.n()));
        }
        _ => {}
    }
    let filled: Vec<_> = series.buckets.iter().filter(|bucket| bucket.n > 0.0).collect();
    let pairs = |buckets: &[&crate::indicator::series::Bucket]| {
        let same = buckets.windows(2).filter(|pair| pair[0] == pair[1]).count();
        (same, buckets.len().saturating_sub(1))
    };
    let alike = |buckets: &[_]| pairs(buckets).0 == pairs(buckets).1;
    // An even load may give even counts, if it mostly did so before. Few requests
    // give the same count now and then, but not every other time.
    let moved_before = before.is_some_and(|before| {
        let filled: Vec<_> = before.buckets.iter().filter(|bucket| bucket.n > 0.0).collect();
        let (same, all) = pairs(&filled);
        filled.len() < FROZEN / 2 || same * 2 < all
    });
    let telling = filled.first().is_some_and(|bucket| bucket.worth() >= 5.0);
    let counted =
        measure.indicator.nature() != Nature::Gauge && !measure.indicator.may_stand_still();
    if counted && telling && moved_before && filled.len() >= FROZEN && alike(&filled) {
        return dead(format!("{} buckets of {measure} are exactly alike", filled.len()));
    }
    None
}
