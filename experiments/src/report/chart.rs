//! What the pictures of a report are drawn from: a value per bucket, bounded,
//! so that a report shows its run without asking anybody again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Experiment;
use crate::document::probe::{Effect, EffectCheck};
use crate::document::provider::{Measure, Provider};
use crate::document::tolerance::{Limits, Tolerance};
use crate::document::units::Unit;
use crate::indicator::Series;
use crate::verdict::compare;
use crate::verdict::evidence::{Evidence, Measured, Observed};
use crate::window::{BUCKET, Phase};

/// Pictures in a report, and points in each.
pub const MOST_CHARTS: usize = 32;
pub const MOST_SAMPLES: u32 = 400;

/// An indicator through the phases of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Chart {
    /// Whose findings it belongs to.
    pub hypothesis: String,
    pub indicator: String,
    /// `ms`, `ratio`, or empty for a plain number.
    pub unit: String,
    /// Seconds from one sample to the next.
    pub step: u32,
    /// The tolerance; an end that is missing is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    pub samples: Vec<Sample>,
}

/// One bucket, or a few joined. Nothing is judged from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    pub phase: Phase,
    /// Its start, in nanoseconds since 1970.
    pub at: i64,
    /// What was looked at: requests, calls, log records, points.
    pub n: u64,
    /// Missing where there was nothing to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// One for each measured hypothesis, for each sign of the fault, and for the
/// guard that stopped the run.
pub fn charts(experiment: &Experiment, evidence: &Evidence) -> Vec<Chart> {
    let mut charts = Vec::new();
    for (probe, observed) in experiment.steady_state_hypothesis.probes.iter().zip(&evidence.probes)
    {
        if let (Provider::Measure(measure), Observed::Measure(measured)) =
            (&probe.provider, observed)
        {
            let limits = limits(&probe.tolerance, measure, measured);
            charts.push(chart(&probe.name, measure, limits, measured, evidence));
        }
    }
    if let Some(EffectCheck::Any { any }) = &experiment.effect_check {
        let moved = any.iter().filter_map(|effect| match effect {
            Effect::Moved { measure, .. } => Some(measure),
            Effect::Reported { .. } => None,
        });
        for (measure, measured) in moved.zip(&evidence.effects) {
            let open = Limits::default();
            charts.push(chart("effect-check", measure, open, measured, evidence));
        }
    }
    if let Some(stop) = &evidence.stop {
        let name = format!("guard {}", stop.guard);
        charts.push(chart(&name, &stop.measure, stop.limits, &stop.measured, evidence));
    }
    charts.truncate(MOST_CHARTS);
    charts
}

fn limits(tolerance: &Tolerance, measure: &Measure, measured: &Measured) -> Limits {
    let Tolerance::Relative(relative) = tolerance else {
        return tolerance.limits().unwrap_or_default();
    };
    let baseline = measured.phases.get(&Phase::Baseline).map(|asked| &asked.answer);
    match baseline {
        Some(Ok(series)) => {
            compare::estimate(measure, series).map_or(Limits::default(), |l| relative.around(l))
        }
        _ => Limits::default(),
    }
}

fn chart(
    hypothesis: &str,
    measure: &Measure,
    limits: Limits,
    measured: &Measured,
    evidence: &Evidence,
) -> Chart {
    let all: u32 = measured.phases.keys().map(|phase| evidence.phases.get(*phase).buckets).sum();
    let width = all.div_ceil(MOST_SAMPLES).max(1);
    let mut samples = Vec::new();
    for (phase, asked) in &measured.phases {
        let from = evidence.phases.get(*phase).from;
        if let Ok(series) = &asked.answer {
            samples.extend(joined(measure, series, width, *phase, from));
        }
    }
    let finite = |end: Option<f64>| end.filter(|end| end.is_finite());
    Chart {
        hypothesis: hypothesis.to_owned(),
        indicator: measure.to_string(),
        unit: match measure.indicator.unit() {
            Unit::Time => "ms",
            Unit::Share => "ratio",
            Unit::Plain => "",
        }
        .to_owned(),
        step: width * u32::try_from(BUCKET.0.as_secs()).unwrap_or(1),
        low: finite(limits.low),
        high: finite(limits.high),
        samples,
    }
}

fn joined<'a>(
    measure: &'a Measure,
    series: &'a Series,
    width: u32,
    phase: Phase,
    from: i64,
) -> impl Iterator<Item = Sample> + 'a {
    let parts = series.buckets.chunks(width as usize).enumerate();
    parts.map(move |(at, part)| {
        let index = i64::try_from(at).unwrap_or(i64::MAX);
        let step = i64::from(width).saturating_mul(BUCKET.nanos());
        let value = compare::shown(measure, part).filter(|value| value.is_finite());
        let n = part.iter().map(|bucket| bucket.n).sum::<f64>().round() as u64;
        Sample { phase, at: from.saturating_add(index.saturating_mul(step)), n, value }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::shop::{DOCUMENT, Harm, run};

    /// Scenario: a run of the shop with a fault that slows it, with phases far
    /// longer than a picture has room for.
    /// Guarantees: a chart per hypothesis and sign; samples are bounded, in order
    /// of time and within their phases; a relative tolerance is drawn around the
    /// baseline; joined buckets keep their rows.
    #[test]
    fn charts_are_bounded() {
        let text = DOCUMENT.replace("baseline: 5m", "baseline: 60m");
        let run = run(&text, 1, Harm { errors: 0.0, delay_ms: 200.0 });
        let charts = charts(&run.experiment, &run.evidence);
        let names: Vec<&str> = charts.iter().map(|chart| chart.hypothesis.as_str()).collect();
        assert_eq!(names, ["checkout-error_ratio", "checkout-p95", "effect-check"]);
        let [errors, slow, gap] = &charts[..] else { panic!() };
        assert_eq!((errors.unit.as_str(), errors.high), ("ratio", Some(0.01)));
        assert_eq!((gap.low, gap.high, gap.unit.as_str()), (None, None, "ms"));
        let high = slow.high.unwrap();
        assert!((100.0..140.0).contains(&high), "{high}");
        for chart in &charts {
            assert!(chart.samples.len() <= MOST_SAMPLES as usize, "{}", chart.samples.len());
            assert!(chart.samples.is_sorted_by_key(|sample| sample.at));
            for sample in &chart.samples {
                let span = run.evidence.phases.get(sample.phase);
                assert!((span.from..span.to()).contains(&sample.at));
            }
        }
        let mean = |phase: Phase| {
            let of = slow.samples.iter().filter(|sample| sample.phase == phase);
            let values: Vec<f64> = of.filter_map(|sample| sample.value).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        assert!(mean(Phase::Injection) > high && mean(Phase::Recovery) < high);
        let Observed::Measure(measured) = &run.evidence.probes[0] else { panic!() };
        let rows: f64 =
            measured.phases.values().map(|asked| asked.answer.as_ref().unwrap().n()).sum();
        assert_eq!(errors.samples.iter().map(|sample| sample.n).sum::<u64>() as f64, rows);
    }
}
