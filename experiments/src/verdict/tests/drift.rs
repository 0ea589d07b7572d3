use super::shop::{DOCUMENT, Harm, PHASES, Run, found, run};
use crate::indicator::series::{Bucket, Series};
use crate::verdict::evidence::{Measured, Observed};
use crate::verdict::{Reason, Verdict};
use crate::window::Phase;

fn latency(run: &mut Run) -> &mut Measured {
    match &mut run.evidence.probes[1] {
        Observed::Measure(measured) => measured,
        Observed::Sites | Observed::Sql(_) => panic!("no measure"),
    }
}

fn series(run: &mut Run, phase: Phase) -> &mut Series {
    latency(run).phases.get_mut(&phase).unwrap().answer.as_mut().unwrap()
}

fn history(run: &mut Run) -> &mut Vec<Series> {
    latency(run).history.as_mut().unwrap().answer.as_mut().unwrap()
}

/// Durations that take so many times as long, from one bucket to the next.
fn stretched(buckets: &mut [Bucket], times: impl Fn(f64) -> f64) {
    for (at, bucket) in buckets.iter_mut().enumerate() {
        bucket.cells.iter_mut().for_each(|cell| cell.0 *= times(at as f64));
    }
}

/// A document that tolerates 5 % of the latency, however little that is.
fn strict() -> String {
    DOCUMENT.replace("max-increase: 20%", "max-increase: 5%, min-increase-abs: 0ms")
}

/// Scenario: latency creeps up by a tenth over every ten minutes, fault or no
/// fault, where a twentieth is tolerated; the same with harm on top.
/// Guarantees: what creeps is no deviation in more than one of twenty runs, and is
/// never held; harm is one all the same.
#[test]
fn inv_j2_slow_drift_is_no_deviation() {
    let creeps = |from: f64| move |at: f64| 1.0 + 0.1 * (from + at) / 60.0;
    let drifting = |seed: u64, delay_ms: f64| {
        let mut run = run(&strict(), seed, Harm { delay_ms, errors: 0.0 });
        for (phase, from) in PHASES.into_iter().zip([0.0, 63.0, 120.0]) {
            stretched(&mut series(&mut run, phase).buckets, creeps(from));
        }
        for piece in history(&mut run) {
            stretched(&mut piece.buckets, creeps(0.0));
        }
        found(&run)
    };
    let calm: Vec<_> = (0..20).map(|seed| drifting(seed, 0.0)).collect();
    let of = |verdict| calm.iter().filter(|found| found.0 == verdict).count();
    assert!(of(Verdict::Deviated) <= 1 && of(Verdict::Held) == 0, "{calm:#?}");
    for seed in 0..5 {
        let harmed = drifting(seed, 80.0);
        assert_eq!(harmed.0, Verdict::Deviated, "{}", harmed.2);
    }
}

/// Scenario: nothing of checkout was recorded before the injection; fault-free time
/// is, in which levels differ by up to a fifth from hour to hour, without harm and
/// with it; hardly any fault-free time is recorded either; the baseline tells a
/// little, and the injection nothing.
/// Guarantees: J2: fault-free time shows harm, takes its own hours for none, and
/// shows nothing to be held; without it there is no data. What was told before and
/// is silent now is an outage, however little that was.
#[test]
fn inv_j2_without_a_baseline_only_deviations_are_shown() {
    let hour = |at: usize| 1.0 + 0.2 * (at as f64 / 40.0 * std::f64::consts::TAU).sin();
    let unrecorded = |seed: u64, delay_ms: f64| {
        let mut run = run(&strict(), seed, Harm { delay_ms, errors: 0.0 });
        series(&mut run, Phase::Baseline).buckets.fill(Bucket::default());
        let level = hour(seed as usize * 7 % 40);
        stretched(&mut series(&mut run, Phase::Injection).buckets, |_| level);
        for (at, piece) in history(&mut run).iter_mut().enumerate() {
            stretched(&mut piece.buckets, |_| hour(at));
        }
        run
    };
    let calm: Vec<_> = (0..20).map(|seed| found(&unrecorded(seed, 0.0))).collect();
    let of = |verdict| calm.iter().filter(|found| found.0 == verdict).count();
    assert!(of(Verdict::Deviated) <= 1 && of(Verdict::Held) == 0, "{calm:#?}");
    for seed in 0..5 {
        let harmed = found(&unrecorded(seed, 60.0));
        assert_eq!(harmed.0, Verdict::Deviated, "{}", harmed.2);
    }
    let mut young = unrecorded(0, 60.0);
    history(&mut young).truncate(1);
    history(&mut young)[0].buckets.truncate(5);
    assert_eq!(found(&young).1, Some(Reason::NoData));
    let mut silent = unrecorded(0, 0.0);
    let told = series(&mut silent, Phase::Injection).buckets[0].clone();
    series(&mut silent, Phase::Baseline).buckets[0] = told;
    series(&mut silent, Phase::Injection).buckets.fill(Bucket::default());
    assert_eq!((found(&silent).0, found(&silent).1), (Verdict::Deviated, Some(Reason::Silence)));
}
