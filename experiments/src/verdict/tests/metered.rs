use super::shop::{DOCUMENT, Harm, PHASES, Run, SECOND, Shop, asked, quiet, run};
use crate::document::provider::Provider;
use crate::indicator::meter;
use crate::statistics::random::Random;
use crate::verdict::evidence::{Gap, Measured, Metered, Observed, Source};
use crate::verdict::{Reason, Ruling, Verdict, judge};
use crate::window::Phase;

/// A run whose spans are sampled nobody knows how, with metrics that show `harm`,
/// in buckets that are `wide` times as high as low.
fn biased(harm: Harm, wide: f64) -> Run {
    let mut run = run(DOCUMENT, 3, Harm::default());
    let probes = run.experiment.steady_state_hypothesis.probes.clone();
    let phases = run.evidence.phases;
    for (probe, observed) in probes.iter().zip(&mut run.evidence.probes) {
        let (Provider::Measure(measure), Observed::Measure(measured)) = (&probe.provider, observed)
        else {
            panic!("no measure")
        };
        for asked in measured.phases.values_mut() {
            asked.answer.as_mut().unwrap().sampled = 7;
        }
        let measure = meter::instead_of(measure).unwrap();
        let bound = |[before, after]: [f64; 2]| {
            let mut shop = Shop { random: Random::new(5) };
            let mut told = shop.measured(&measure, &phases, harm);
            for (phase, asked) in &mut told.phases {
                let by = if *phase == Phase::Baseline { before } else { after };
                let buckets = &mut asked.answer.as_mut().unwrap().buckets;
                buckets.iter_mut().flat_map(|b| &mut b.cells).for_each(|cell| cell.0 *= by);
            }
            Measured { history: Some(asked(quiet(&measure, 4))), ..told }
        };
        let bounds = vec![bound([wide, 1.0]), bound([1.0, wide])];
        let (metrics, told) = (vec!["http.server.request.duration"], "SELECT told".to_owned());
        measured.metered = Some(Box::new(Metered { measure, metrics, told, bounds }));
    }
    run
}

/// What was found of the error ratio and of the latency in the injection.
fn found(run: &Run) -> [Ruling; 2] {
    let judgement = judge(&run.experiment, &run.window, &run.evidence);
    [0, 2].map(|at| judgement.findings[at].ruling.clone())
}

fn metered(run: &mut Run, probe: usize) -> &mut Metered {
    match &mut run.evidence.probes[probe] {
        Observed::Measure(measured) => measured.metered.as_mut().unwrap(),
        _ => panic!("no measure"),
    }
}

/// Scenario: spans are biased, and metrics tell of no harm and of harm; in fine
/// buckets and in coarse ones; nothing tells but the spans.
/// Guarantees: judged by the metrics, which the finding and its statements name;
/// what lies between the ends of a bucket is not guessed; without metrics it stays
/// biased.
#[test]
fn biased_spans_are_judged_by_metrics() {
    let good = biased(Harm::default(), 1.0);
    for ruling in found(&good) {
        assert_eq!(ruling.verdict, Verdict::Held, "{}", ruling.detail);
        assert!(ruling.detail.contains("by http.server.request.duration"), "{}", ruling.detail);
    }
    let judgement = judge(&good.experiment, &good.window, &good.evidence);
    assert_eq!(judgement.ruling.verdict, Verdict::Held, "{:#?}", judgement.ruling);
    assert!(judgement.findings[0].evidence_sql.contains(&"SELECT told".to_owned()));
    let harmed = found(&biased(Harm { errors: 0.05, delay_ms: 60.0 }, 1.0));
    assert_eq!(
        harmed.map(|ruling| (ruling.verdict, ruling.reason)),
        [(Verdict::Deviated, None); 2]
    );
    // 100 ms may have become 20 % more, and lie in a bucket up to twice as high.
    let [_, coarse] = found(&biased(Harm::default(), 2.0));
    assert_eq!((coarse.verdict, coarse.reason), (Verdict::Inconclusive, Some(Reason::TooFew)));
    assert!(coarse.detail.contains("too coarse"), "{}", coarse.detail);
    let mut alone = biased(Harm::default(), 1.0);
    for observed in &mut alone.evidence.probes {
        let Observed::Measure(measured) = observed else { continue };
        measured.metered = None;
    }
    for ruling in found(&alone) {
        assert_eq!((ruling.verdict, ruling.reason), (Verdict::Inconclusive, Some(Reason::Biased)));
    }
}

/// Scenario: the metrics of the injection, or of the baseline, are deleted, cannot
/// be read, stop in the middle, or end before the injection does.
/// Guarantees: J2: never held, and never an outage, as only an exporter may be dead.
#[test]
fn inv_j2_spoiled_metrics_never_hold() {
    let spoiled = |name: &str, spoil: &dyn Fn(&mut Run)| {
        let mut run = biased(Harm::default(), 1.0);
        spoil(&mut run);
        for ruling in found(&run) {
            assert_eq!(ruling.verdict, Verdict::Inconclusive, "{name}: {}", ruling.detail);
        }
    };
    type Change<'a> = &'a dyn Fn(&mut crate::verdict::evidence::Asked<crate::indicator::Series>);
    let each = |run: &mut Run, phase: Phase, change: Change<'_>| {
        for probe in 0..2 {
            for bound in &mut metered(run, probe).bounds {
                change(bound.phases.get_mut(&phase).unwrap());
            }
        }
    };
    for phase in [PHASES[0], PHASES[1]] {
        spoiled("deleted", &|run| {
            each(run, phase, &|asked| {
                asked.answer.as_mut().unwrap().buckets.fill_with(Default::default)
            });
        });
        spoiled("unreadable", &|run| {
            each(run, phase, &|asked| asked.answer = Err(Gap::Error("NaN".into())));
        });
    }
    spoiled("stopped", &|run| {
        each(run, Phase::Injection, &|asked| {
            asked.answer.as_mut().unwrap().buckets[20..].fill_with(Default::default);
        });
    });
    spoiled("behind", &|run| {
        let flow = run.evidence.flows.get_mut(&Source::Metrics).unwrap();
        let from = run.evidence.phases.injection.from;
        flow.answer.as_mut().unwrap().watermark = Some(from + 60 * SECOND);
    });
}
