//! Load confounding (section 4.8 of the paper). Where the mix of endpoints moved
//! with the fault, a phase is not what the baseline was, fault or no fault. It is
//! compared within the endpoints: each of its rows is weighted so that endpoints
//! have the shares that they had in the baseline (direct standardisation), at the
//! price of a smaller effective size. What has no row to weight stays confounded.

use crate::document::provider::{Measure, Nature};
use crate::indicator::series::{Bucket, Series};
use crate::indicator::stratum::Stratum;
use crate::window::{Phase, Phases};

use super::evidence::{Gap, Layer, Load, Source};

/// A move of rate or mix that confounds, and what may be left in no stratum of
/// its own.
const MOVED: f64 = 0.2;
/// The share of requests that makes an endpoint a stratum.
const STRATUM: f64 = 0.05;
/// Strata at most: each is asked for by statements of its own.
const MOST: usize = 12;
/// What chance can leave out is no empty stratum.
const EXPECTED: f64 = 10.0;

/// How the load differs from the baseline's.
#[derive(Debug, Clone, PartialEq)]
pub enum Moved {
    /// By this share of the requests; compared within these.
    Mix { by: f64, strata: Vec<Stratum> },
    /// So that nothing is left to compare; why, in words.
    Apart(String),
}

impl Moved {
    pub fn in_words(&self) -> String {
        match self {
            Moved::Mix { by, .. } => {
                format!("the mix of endpoints moved by {:.0} %", by * 100.0)
            }
            Moved::Apart(why) => why.clone(),
        }
    }
}

/// Whether, and how, the load of a phase moved from the baseline's. The same mix
/// at another rate is compared within its strata already.
pub fn moved(load: &Load, phases: &Phases, phase: Phase) -> Option<Moved> {
    let of = |phase: Phase, endpoint: &str| {
        load.endpoints.get(endpoint).and_then(|counts| counts.get(&phase)).copied().unwrap_or(0.0)
    };
    let total = |phase| load.endpoints.keys().map(|endpoint| of(phase, endpoint)).sum::<f64>();
    let (before, after) = (total(Phase::Baseline), total(phase));
    if before == 0.0 || after == 0.0 {
        return None;
    }
    let usual = |endpoint: &str| of(Phase::Baseline, endpoint) / before;
    let now = |endpoint: &str| of(phase, endpoint) / after;
    let by = load.endpoints.keys().map(|e| (usual(e) - now(e)).abs()).sum::<f64>() / 2.0;
    let rates = (before / phases.baseline.seconds(), after / phases.get(phase).seconds());
    let change = rates.1 / rates.0 - 1.0;
    if by <= MOVED && change.abs() <= MOVED {
        return None;
    }
    let mut common: Vec<&String> = load.endpoints.keys().filter(|e| usual(e) >= STRATUM).collect();
    let gone = |e: &&&String| usual(e) * after >= EXPECTED && now(e) == 0.0;
    if let Some(endpoint) = common.iter().find(gone) {
        return Some(Moved::Apart(format!("no request of {endpoint} was left to compare")));
    }
    if by <= MOVED {
        return None;
    }
    common.sort_by(|a, b| usual(b).total_cmp(&usual(a)));
    common.truncate(MOST);
    let shares = |share: &dyn Fn(&str) -> f64| 1.0 - common.iter().map(|e| share(e)).sum::<f64>();
    let rest = shares(&usual).max(shares(&now));
    if rest > MOVED {
        let told = format!(
            "{:.0} % of the requests are of endpoints too rare to compare within",
            rest * 100.0
        );
        return Some(Moved::Apart(format!(
            "the mix of endpoints moved by {:.0} %, and {told}",
            by * 100.0
        )));
    }
    let mut strata: Vec<Stratum> = common.iter().map(|e| Stratum::At((*e).clone())).collect();
    if load.endpoints.len() > common.len() {
        strata.push(Stratum::Elsewhere(common.into_iter().cloned().collect()));
    }
    Some(Moved::Mix { by, strata })
}

/// Whether rows of this can be weighted: those of spans are, but how many there
/// are is the load itself.
pub fn can_weight(measure: &Measure) -> bool {
    Source::of(measure.family) == Source::Spans
        && matches!(measure.indicator.nature(), Nature::Ratio | Nature::Duration)
}

/// A phase as it would be with the baseline's mix. `whole` are the baseline and
/// the phase as they are.
pub fn standardised(layers: &[Layer], whole: [&Series; 2]) -> Result<Series, String> {
    let mut parts: Vec<(&Stratum, &Series, &Series)> = Vec::new();
    for layer in layers {
        match (&layer.before.answer, &layer.after.answer) {
            (Ok(before), Ok(after)) => parts.push((&layer.stratum, before, after)),
            (Err(Gap::Error(why) | Gap::Incomplete(why)), _)
            | (_, Err(Gap::Error(why) | Gap::Incomplete(why))) => {
                return Err(format!("{} could not be asked for: {why}", layer.stratum));
            }
        }
    }
    let sums = [
        parts.iter().map(|(_, before, _)| before.n()).sum::<f64>(),
        parts.iter().map(|(_, _, after)| after.n()).sum::<f64>(),
    ];
    if sums.contains(&0.0) {
        return Err("no row is of a trace whose root is known".into());
    }
    for (sum, whole) in sums.iter().zip(whole) {
        let lost = 1.0 - sum / whole.n();
        if lost > STRATUM {
            return Err(format!(
                "{:.0} % of the rows are of traces whose root is not known",
                lost * 100.0
            ));
        }
    }
    // What is rare and has no row now is left out; the others share its weight.
    let share = |before: &Series| before.n() / sums[0];
    parts.retain(|(_, before, after)| after.n() > 0.0 || share(before) >= STRATUM);
    let kept: f64 = parts.iter().map(|(_, before, _)| share(before)).sum();
    let mut buckets = vec![Bucket::default(); whole[1].buckets.len()];
    let mut sampled = 0;
    for (stratum, before, after) in parts {
        let (usual, now) = (share(before) / kept, after.n() / sums[1]);
        if now == 0.0 {
            return Err(format!("no row of {stratum} was left to compare"));
        }
        if matches!(stratum, Stratum::Elsewhere(_)) && usual.max(now) > MOVED {
            let rest = usual.max(now) * 100.0;
            return Err(format!(
                "{rest:.0} % of the rows are of endpoints too rare to compare within"
            ));
        }
        sampled += after.sampled;
        for (sum, part) in buckets.iter_mut().zip(&after.buckets) {
            if part.n > 0.0 {
                sum.join(part.weighted(usual / now));
            }
        }
    }
    for bucket in &mut buckets {
        bucket.cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    Ok(Series { buckets, sampled })
}
