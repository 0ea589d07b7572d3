use super::shop::{DOCUMENT, Harm, Run, Shop, asked, found, run};
use crate::document::provider::{Measure, Provider};
use crate::indicator::series::{Bucket, Series};
use crate::indicator::stratum::Stratum;
use crate::statistics::random::Random;
use crate::verdict::evidence::{Gap, Layer, Measured, Observed};
use crate::verdict::{Reason, Verdict, judge, strata};
use crate::window::Phase;

/// So much of a series: fewer rows, each standing for itself.
fn part(series: &Series, share: f64) -> Series {
    let thin = |bucket: &Bucket| Bucket { squares: None, ..bucket.weighted(share) };
    Series { buckets: series.buckets.iter().map(thin).collect(), sampled: 0 }
}

fn sum(parts: [&Series; 2]) -> Series {
    let mut whole = parts[0].clone();
    for (bucket, other) in whole.buckets.iter_mut().zip(&parts[1].buckets) {
        bucket.join(other.clone());
        bucket.cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    whole
}

fn measured(run: &mut Run) -> &mut Measured {
    match &mut run.evidence.probes[1] {
        Observed::Measure(measured) => measured,
        _ => panic!("no measure"),
    }
}

/// A run in which a slow endpoint had a fifth of the load and gets most of it,
/// with the fault or without; `harm` slows the injection within both endpoints.
fn mixed(harm: f64) -> Run {
    let mut run = run(DOCUMENT, 3, Harm::default());
    let Provider::Measure(measure) =
        run.experiment.steady_state_hypothesis.probes[1].provider.clone()
    else {
        panic!("no measure")
    };
    let mut shop = Shop { random: Random::new(5) };
    let mut of = |phase: Phase, delay_ms: f64, share: f64| {
        let buckets = run.evidence.phases.get(phase).buckets as usize;
        part(&shop.series(&measure, buckets, Harm { delay_ms, errors: 0.0 }), share)
    };
    let fast = [of(Phase::Baseline, 0.0, 0.8), of(Phase::Injection, harm, 0.3)];
    let slow = [of(Phase::Baseline, 100.0, 0.2), of(Phase::Injection, 100.0 + harm, 0.7)];
    let load = run.evidence.load.answer.as_mut().unwrap();
    load.endpoints = [("GET /fast", [4_000.0, 1_500.0]), ("POST /slow", [1_000.0, 3_500.0])]
        .map(|(name, [before, after])| {
            let counts = [(Phase::Baseline, before), (Phase::Injection, after)];
            (name.to_owned(), counts.into())
        })
        .into();
    let measured = measured(&mut run);
    for (at, phase) in [Phase::Baseline, Phase::Injection].into_iter().enumerate() {
        measured.phases.insert(phase, asked(sum([&fast[at], &slow[at]])));
    }
    let layer = |name: &str, [before, after]: [Series; 2]| Layer {
        stratum: Stratum::At(name.into()),
        before: asked(before),
        after: asked(after),
    };
    let layers = vec![layer("GET /fast", fast), layer("POST /slow", slow)];
    measured.strata.insert(Phase::Injection, layers);
    run
}

/// Scenario: most of the load goes to a slow endpoint with the fault, which slows
/// nothing, or everything by 60 ms; the same without a look into the endpoints.
/// Guarantees: within its endpoints the first held and the second deviated;
/// without them neither is known.
#[test]
fn a_moved_mix_is_compared_within_its_endpoints() {
    let calm = mixed(0.0);
    let (verdict, reason, detail) = found(&calm);
    assert_eq!((verdict, reason), (Verdict::Held, None), "{detail}");
    assert!(detail.contains("weighted to the baseline's mix"), "{detail}");
    let (verdict, reason, detail) = found(&mixed(60.0));
    assert_eq!((verdict, reason), (Verdict::Deviated, None), "{detail}");
    for mut run in [calm, mixed(60.0)] {
        measured(&mut run).strata.clear();
        assert_eq!(found(&run).1, Some(Reason::LoadConfounded));
    }
}

/// Scenario: of a moved mix an endpoint has no row left, cannot be asked for, or
/// most rows belong to traces without a root.
/// Guarantees: J2: load_confounded, with what is missing; never held.
#[test]
fn inv_j2_an_empty_stratum_stays_confounded() {
    let spoiled = |spoil: &dyn Fn(&mut Vec<Layer>), words: &str| {
        let mut run = mixed(0.0);
        spoil(measured(&mut run).strata.get_mut(&Phase::Injection).unwrap());
        let (verdict, reason, detail) = found(&run);
        assert_eq!((verdict, reason), (Verdict::Inconclusive, Some(Reason::LoadConfounded)));
        assert!(detail.contains(words), "{detail}");
    };
    let clear = |series: &mut Series| series.buckets.fill(Bucket::default());
    spoiled(&|layers| clear(layers[0].after.answer.as_mut().unwrap()), "rows are of traces");
    let gap = || Err(Gap::Error("no".into()));
    spoiled(&|layers| layers[1].before.answer = gap(), "could not be asked for");
    spoiled(&|layers| drop(layers.pop()), "whose root is not known");
}

/// Scenario: a mix that moved: with all endpoints common, with many rare ones,
/// with new ones, and with one that nobody asks for any more.
/// Guarantees: common endpoints are strata and the rest is one; what is mostly
/// rare, new or gone cannot be compared.
#[test]
fn strata_are_the_common_endpoints() {
    let run = run(DOCUMENT, 1, Harm::default());
    let load = |counts: &[(&str, f64, f64)]| {
        let mut load = run.evidence.load.answer.clone().unwrap();
        load.endpoints = counts
            .iter()
            .map(|(name, before, after)| {
                let counts = [(Phase::Baseline, *before), (Phase::Injection, *after)];
                (name.to_string(), counts.into())
            })
            .collect();
        strata::moved(&load, &run.evidence.phases, Phase::Injection)
    };
    let mix = load(&[("a", 600.0, 300.0), ("b", 380.0, 680.0), ("c", 20.0, 20.0)]);
    let Some(strata::Moved::Mix { strata, by }) = mix else { panic!("{mix:?}") };
    assert!((by - 0.3).abs() < 1e-9);
    let rest = Stratum::Elsewhere(vec!["a".into(), "b".into()]);
    assert_eq!(strata, [Stratum::At("a".into()), Stratum::At("b".into()), rest]);
    assert_eq!(load(&[("a", 600.0, 580.0), ("b", 400.0, 420.0)]), None);
    let apart = |moved: Option<strata::Moved>| matches!(moved, Some(strata::Moved::Apart(_)));
    assert!(apart(load(&[("a", 600.0, 700.0), ("new", 0.0, 300.0)])));
    assert!(apart(load(&[("a", 600.0, 900.0), ("b", 400.0, 0.0)])));
    let rare: Vec<String> = (0..50).map(|at| format!("r{at}")).collect();
    let mut many: Vec<(&str, f64, f64)> = rare.iter().map(|r| (r.as_str(), 10.0, 2.0)).collect();
    many.push(("a", 500.0, 900.0));
    assert!(apart(load(&many)));
}

/// Scenario: spans that stand for a hundred others each, few of them or many.
/// Guarantees: J2: few are too few, whatever they stand for; many show what they
/// would unsampled, and the report says what they are worth.
#[test]
fn inv_j2_sampled_spans_are_worth_what_they_are() {
    let sampled = |keep: f64, weight: f64| {
        let mut run = run(DOCUMENT, 3, Harm::default());
        let Observed::Measure(measured) = &mut run.evidence.probes[0] else { panic!() };
        for asked in measured.phases.values_mut() {
            for bucket in &mut asked.answer.as_mut().unwrap().buckets {
                let kept = Bucket { n: (bucket.n * keep).ceil(), hits: 0.0, ..Bucket::default() };
                *bucket = kept.weighted(weight);
            }
        }
        let judgement = judge(&run.experiment, &run.window, &run.evidence);
        (judgement.findings[0].ruling.clone(), judgement.findings[0].numbers.clone().unwrap())
    };
    let (ruling, numbers) = sampled(0.01, 100.0);
    assert_eq!(ruling.reason, Some(Reason::TooFew), "{ruling:?}");
    assert!(numbers.n > 5_000 && numbers.n_effective < 200.0, "{numbers:?}");
    let (ruling, numbers) = sampled(0.5, 2.0);
    assert_eq!(ruling.verdict, Verdict::Held, "{ruling:?}");
    assert!(numbers.n_effective < 0.6 * numbers.n as f64, "{numbers:?}");
}

/// Scenario: the indicators that are read from spans, from logs and from metrics.
/// Guarantees: how many there were, and what no trace tells, is never weighted.
#[test]
fn counts_are_the_load_itself() {
    let of = |probe: &str| {
        let text =
            DOCUMENT.replace("{service: checkout, indicator: error_ratio, max: 0.01}", probe);
        let experiment = super::shop::document(&text);
        match &experiment.steady_state_hypothesis.probes[0].provider {
            Provider::Measure(measure) => measure.clone(),
            Provider::Sql { .. } => panic!("no measure"),
        }
    };
    let can = |measure: Measure| strata::can_weight(&measure);
    assert!(can(of("{service: checkout, indicator: p90, max: 1s}")));
    assert!(can(of("{edge: a->b, indicator: error_ratio, max: 1%}")));
    assert!(!can(of("{service: checkout, indicator: rate, min: 1}")));
    assert!(!can(of("{service: checkout, indicator: log.error_ratio, max: 1%}")));
    assert!(!can(of("{service: checkout, indicator: resource.cpu, max: 1}")));
}
