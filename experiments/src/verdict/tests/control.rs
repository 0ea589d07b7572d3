use super::shop::{DOCUMENT, Harm, Run, Shop, asked, found, quiet, run};
use crate::document::provider::Provider;
use crate::document::scope::Baseline;
use crate::document::units::Period;
use crate::indicator::series::Bucket;
use crate::statistics::random::Random;
use crate::verdict::evidence::{Control, Gap, Measured, Observed};
use crate::verdict::{Reason, Verdict};
use crate::window::Phase;

fn measured(run: &mut Run) -> &mut Measured {
    match &mut run.evidence.probes[1] {
        Observed::Measure(measured) => measured,
        _ => panic!("no measure"),
    }
}

/// A run whose checkout is slowed by `own` milliseconds and whose control by
/// `other`.
fn beside(own: f64, other: f64) -> Run {
    let harm = |delay_ms| Harm { delay_ms, errors: 0.0 };
    let mut run = run(DOCUMENT, 3, harm(own));
    let Provider::Measure(measure) =
        run.experiment.steady_state_hypothesis.probes[1].provider.clone()
    else {
        panic!("no measure")
    };
    let mut shop = Shop { random: Random::new(77) };
    let control = shop.measured(&measure, &run.evidence.phases, harm(other));
    let measured = measured(&mut run);
    measured.control = Some(Box::new(Control { measure: measure.clone(), phases: control.phases }));
    measured.beside = Some(asked(quiet(&measure, 6)));
    run
}

/// Scenario: beside a control that is as it was, checkout is as it was, and slow;
/// both are slow by as much; the mix of endpoints moves for both.
/// Guarantees: held, deviated; what moved both is neither; a load that moved is
/// the control's too and confounds nothing.
#[test]
fn a_control_takes_off_what_moved_both() {
    let (verdict, _, detail) = found(&beside(0.0, 0.0));
    assert_eq!(verdict, Verdict::Held, "{detail}");
    assert_eq!(found(&beside(80.0, 0.0)).0, Verdict::Deviated);
    // Ten are within the tolerance of either, and are taken off.
    let mut both = beside(90.0, 10.0);
    assert_eq!(found(&both).0, Verdict::Deviated);
    let load = both.evidence.load.answer.as_mut().unwrap();
    load.endpoints.get_mut("POST /cart").unwrap().insert(Phase::Injection, 100.0);
    assert_eq!(found(&both).0, Verdict::Deviated);
    let (verdict, reason, detail) = found(&beside(80.0, 80.0));
    assert_eq!((verdict, reason), (Verdict::Inconclusive, Some(Reason::LoadConfounded)));
    assert!(detail.contains("the control moved by"), "{detail}");
}

/// Scenario: the control falls silent, cannot be asked for, was never asked for,
/// or has no history.
/// Guarantees: J2: inconclusive with the reason; its silence is no harm, and
/// never a pass.
#[test]
fn inv_j2_an_unseen_control_shows_nothing() {
    let spoiled = |spoil: &dyn Fn(&mut Measured)| {
        let mut run = beside(0.0, 0.0);
        spoil(measured(&mut run));
        let (verdict, reason, detail) = found(&run);
        assert_eq!(verdict, Verdict::Inconclusive, "{detail}");
        reason
    };
    fn phases(
        measured: &mut Measured,
    ) -> &mut std::collections::BTreeMap<
        Phase,
        super::super::evidence::Asked<crate::indicator::Series>,
    > {
        &mut measured.control.as_mut().unwrap().phases
    }
    let silent = spoiled(&|measured| {
        let asked = phases(measured).get_mut(&Phase::Injection).unwrap();
        asked.answer.as_mut().unwrap().buckets.fill(Bucket::default());
    });
    assert_eq!(silent, Some(Reason::Silence));
    let failed = spoiled(&|measured| {
        let asked = phases(measured).get_mut(&Phase::Baseline).unwrap();
        asked.answer = Err(Gap::Error("no".into()));
    });
    assert_eq!(failed, Some(Reason::Error));
    assert_eq!(spoiled(&|measured| phases(measured).clear()), Some(Reason::NoData));
    let young = spoiled(&|measured| {
        measured.beside.as_mut().unwrap().answer = Err(Gap::Error("no".into()));
    });
    assert_eq!(young, Some(Reason::Uncalibrated));
}

/// Scenario: a baseline of a week ago, with its own week of fault-free time; the
/// same without any.
/// Guarantees: held and deviated as beside any baseline; noise is that between
/// weeks, and without it nothing is compared.
#[test]
fn a_season_is_a_baseline() {
    let text = DOCUMENT.replace("baseline: 5m", "baseline: {like: -7d}");
    let season = |delay_ms: f64| {
        let mut run = run(&text, 3, Harm { delay_ms, errors: 0.0 });
        assert_eq!(run.experiment.window.baseline, Baseline::Like(Period::secs(604_800)));
        let Provider::Measure(measure) =
            run.experiment.steady_state_hypothesis.probes[1].provider.clone()
        else {
            panic!("no measure")
        };
        measured(&mut run).beside = Some(asked(quiet(&measure, 5)));
        run
    };
    let (verdict, _, detail) = found(&season(0.0));
    assert_eq!(verdict, Verdict::Held, "{detail}");
    assert_eq!(found(&season(80.0)).0, Verdict::Deviated);
    let mut young = season(0.0);
    measured(&mut young).beside.as_mut().unwrap().answer = Err(Gap::Error("no".into()));
    assert_eq!(found(&young).1, Some(Reason::Uncalibrated));
}
