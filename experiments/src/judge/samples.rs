//! What was measured for a verdict, bucket by bucket, for whoever looks at it.

use std::collections::BTreeSet;

use crate::document::Experiment;
use crate::document::probe::{Effect, EffectCheck};
use crate::document::provider::{Measure, Provider};
use crate::verdict::compare;
use crate::verdict::evidence::{Evidence, Measured, Observed};
use crate::window::{BUCKET, Phase};

/// An indicator of a subject in one bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `red.p95`, `edge.gap_p50`.
    pub indicator: String,
    pub subject: String,
    pub phase: Phase,
    /// Start of the bucket, nanoseconds since 1970.
    pub bucket: i64,
    /// In the indicator's unit; none where nothing was recorded.
    pub value: Option<f64>,
    pub n: u64,
    /// Whether the series holds rows that stand for others.
    pub sampled: bool,
}

/// Every measure that was asked for, once.
pub fn samples(experiment: &Experiment, evidence: &Evidence) -> Vec<Sample> {
    let probes = experiment.steady_state_hypothesis.probes.iter().zip(&evidence.probes);
    let probes = probes.filter_map(|(probe, observed)| match (&probe.provider, observed) {
        (Provider::Measure(measure), Observed::Measure(measured)) => Some((measure, measured)),
        _ => None,
    });
    let signs = match &experiment.effect_check {
        Some(EffectCheck::Any { any }) => any.as_slice(),
        _ => &[],
    };
    let signs = signs.iter().filter_map(|sign| match sign {
        Effect::Moved { measure, .. } => Some(measure),
        _ => None,
    });
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (measure, measured) in probes.chain(signs.zip(&evidence.effects)) {
        if seen.insert(measure.to_string()) {
            of(measure, measured, evidence, &mut all);
        }
    }
    all
}

fn of(measure: &Measure, measured: &Measured, evidence: &Evidence, all: &mut Vec<Sample>) {
    for (phase, asked) in &measured.phases {
        let Ok(series) = &asked.answer else { continue };
        let from = evidence.phases.get(*phase).from;
        all.extend(series.buckets.iter().enumerate().map(|(at, bucket)| {
            Sample {
                indicator: format!("{}.{}", measure.family.name(), measure.indicator),
                subject: measure.subject.to_string(),
                phase: *phase,
                bucket: from.saturating_add((at as i64).saturating_mul(BUCKET.nanos())),
                value: compare::shown(measure, std::slice::from_ref(bucket))
                    .filter(|value| value.is_finite()),
                n: bucket.n.round() as u64,
                sampled: series.sampled > 0 || series.is_weighted(),
            }
        }));
    }
}
