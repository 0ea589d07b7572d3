//! A shop as an experiment sees it: buckets of requests, errors and latencies,
//! drawn from a seed.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::completeness::Grade;
use crate::document::probe::{Effect, EffectCheck};
use crate::document::provider::{Measure, Nature, Provider};
use crate::document::{Allowed, Experiment};
use crate::indicator::series::{Bucket, Series};
use crate::statistics::random::Random;
use crate::verdict::evidence::{
    Answered, Asked, Evidence, Flow, Heard, Load, Measured, Observed, Source,
};
use crate::verdict::{Reason, Verdict, judge};
use crate::window::{Phase, Phases, Window};

pub const SECOND: i64 = 1_000_000_000;

pub const DOCUMENT: &str = r#"
apiVersion: chaos/v1
kind: Experiment
title: checkout survives a slow payment
target: {services: [payment]}
window: {baseline: 5m, settle: 15s, injection: 5m, recovery: 5m, late: 60s}
effect-check: {indicator: edge.gap_p50, edge: checkout->payment, increase: ">=300ms"}
steady-state-hypothesis:
  probes:
    - {service: checkout, indicator: error_ratio, max: 0.01}
    - {service: checkout, indicator: p95, max-increase: 20%}
expect: {recovery: 120s}
"#;

/// What the fault does to checkout, beside delaying payment by half a second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Harm {
    pub errors: f64,
    pub delay_ms: f64,
}

/// One run: a document, a window and the rows of it.
#[derive(Clone)]
pub struct Run {
    pub experiment: Experiment,
    pub window: Window,
    pub evidence: Evidence,
}

pub fn document(text: &str) -> Experiment {
    Experiment::parse(text, &Allowed::new()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn run(text: &str, seed: u64, harm: Harm) -> Run {
    let experiment = document(text);
    let window = Window {
        run_id: format!("run-{seed}"),
        inject: 1_000_000 * SECOND,
        recover: 1_000_300 * SECOND,
        uncertainty_ms: 0,
        others: Vec::new(),
        aborted: None,
    };
    let phases = Phases::of(&window, &experiment.window);
    let mut shop = Shop { random: Random::new(seed) };
    let probes = &experiment.steady_state_hypothesis.probes;
    let probes = probes.iter().map(|probe| match &probe.provider {
        Provider::Measure(measure) => {
            let mut measured = shop.measured(measure, &phases, harm);
            measured.history = Some(asked(quiet(measure, seed % QUIET.len() as u64)));
            Observed::Measure(measured)
        }
        Provider::Sql { .. } => Observed::Sql(vec![Answered {
            phase: Phase::Injection,
            value: asked(0.into()),
            scanned: 1_000,
        }]),
    });
    let probes = probes.collect();
    let effects = match &experiment.effect_check {
        Some(EffectCheck::Any { any }) => any
            .iter()
            .filter_map(|effect| match effect {
                Effect::Moved { measure, .. } => {
                    Some(shop.measured(measure, &phases, Harm { delay_ms: 500.0, errors: 0.0 }))
                }
                Effect::Reported { .. } => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let counts = |per: u64| -> BTreeMap<Phase, Vec<u64>> {
        PHASES.map(|phase| (phase, vec![per; phases.get(phase).buckets as usize])).into()
    };
    let services = ["frontend", "checkout", "payment", "cart"];
    let flow = Flow {
        services: services.map(|name| (name.to_owned(), counts(150))).into(),
        watermark: Some(phases.end() + 3_600 * SECOND),
    };
    let endpoints = ["GET /products", "POST /cart", "POST /checkout"];
    let requests = PHASES.map(|phase| (phase, f64::from(phases.get(phase).buckets) * 50.0));
    let load = Load { endpoints: endpoints.map(|e| (e.to_owned(), requests.into())).into() };
    let flows = [Source::Spans, Source::Logs, Source::Metrics].map(|s| (s, asked(flow.clone())));
    let evidence = Evidence {
        phases,
        probes,
        effects,
        reported: BTreeMap::new(),
        flows: flows.into(),
        load: asked(load),
        grades: grades(),
        radius: None,
        extent: None,
        scaling: None,
        sites: None,
        stop: None,
        alerts: Heard { known: asked(0), transitions: asked(Vec::new()) },
        judged: phases.end() + 3_600 * SECOND,
        seed,
    };
    Run { experiment, window, evidence }
}

/// Everything came.
fn grades() -> BTreeMap<(Source, Phase), Asked<Grade>> {
    let phases = |source| PHASES.map(|phase| ((source, phase), asked(Grade::Whole)));
    [Source::Spans, Source::Logs, Source::Metrics].into_iter().flat_map(phases).collect()
}

/// Fault-free history of durations, drawn once per seed: it is most of the rows.
static QUIET: [OnceLock<Vec<Series>>; 10] = [const { OnceLock::new() }; 10];

pub fn quiet(measure: &Measure, seed: u64) -> Vec<Series> {
    let mut shop = Shop { random: Random::new(seed + 1_000) };
    // As the judge asks for it: forty pieces as long as a run.
    let mut draw = || (0..40).map(|_| shop.series(measure, 120, Harm::default())).collect();
    match measure.indicator.nature() {
        Nature::Duration => QUIET[seed as usize].get_or_init(draw).clone(),
        _ => draw(),
    }
}

pub const PHASES: [Phase; 3] = [Phase::Baseline, Phase::Injection, Phase::Recovery];

pub fn asked<T>(answer: T) -> Asked<T> {
    Asked { sql: "SELECT".into(), answer: Ok(answer) }
}

pub struct Shop {
    pub random: Random,
}

impl Shop {
    pub fn measured(&mut self, measure: &Measure, phases: &Phases, harm: Harm) -> Measured {
        let mut of = |phase, harm| {
            (phase, asked(self.series(measure, phases.get(phase).buckets as usize, harm)))
        };
        let phases = [
            of(Phase::Baseline, Harm::default()),
            of(Phase::Injection, harm),
            of(Phase::Recovery, Harm::default()),
        ];
        Measured { phases: phases.into(), ..Measured::default() }
    }

    /// About 30 requests a second.
    pub fn series(&mut self, measure: &Measure, buckets: usize, harm: Harm) -> Series {
        let nature = measure.indicator.nature();
        let buckets = (0..buckets).map(|_| {
            let n = self.poisson(150.0);
            let all = n as f64;
            match nature {
                Nature::Duration => {
                    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
                    for _ in 0..n {
                        // A median of 60 ms, a p95 of about 98 ms.
                        let ms = 60.0 * (0.3 * self.gauss()).exp() + harm.delay_ms;
                        *counts.entry((ms.ln() * 100.0).floor() as i64).or_default() += 1;
                    }
                    let cell = |(k, n): (i64, u64)| (((k as f64 + 0.5) / 100.0).exp(), n as f64);
                    let cells = counts.into_iter().map(cell).collect();
                    Bucket { n: all, cells, ..Bucket::default() }
                }
                Nature::Ratio => {
                    let drawn = if harm.errors > 0.0 { n } else { 0 };
                    let hits = (0..drawn).filter(|_| self.random.unit() < harm.errors).count();
                    Bucket { n: all, hits: hits as f64, ..Bucket::default() }
                }
                Nature::Count => Bucket { n: all, hits: all, ..Bucket::default() },
                Nature::Gauge => {
                    let value = Some(0.4 + 0.02 * self.gauss() + harm.errors);
                    Bucket { n: 1.0, value, ..Bucket::default() }
                }
            }
        });
        Series { buckets: buckets.collect(), sampled: 0 }
    }

    fn gauss(&mut self) -> f64 {
        // Four of them are near enough; each has a variance of a twelfth.
        ((0..4).map(|_| self.random.unit()).sum::<f64>() - 2.0) * 3f64.sqrt()
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        // Near enough at this size, and never negative.
        (mean + mean.sqrt() * self.gauss()).round().max(0.0) as u64
    }
}

/// The latency's hypothesis in the injection.
pub fn found(run: &Run) -> (Verdict, Option<Reason>, String) {
    let judgement = judge(&run.experiment, &run.window, &run.evidence);
    let ruling = judgement.findings[2].ruling.clone();
    (ruling.verdict, ruling.reason, ruling.detail)
}
