use super::shop::{DOCUMENT, Harm, Run, asked, run};
use crate::verdict::evidence::Observed;
use crate::verdict::{Reason, Verdict, judge};
use crate::window::{Phase, Span};

fn ruled(run: &Run) -> (Verdict, Option<Reason>) {
    let ruling = judge(&run.experiment, &run.window, &run.evidence).ruling;
    (ruling.verdict, ruling.reason)
}

fn changed(from: &str, to: &str, harm: Harm) -> Run {
    assert!(DOCUMENT.contains(from), "{from}");
    run(&DOCUMENT.replace(from, to), 3, harm)
}

const HARMED: Harm = Harm { errors: 0.2, delay_ms: 300.0 };

/// Scenario: the five verdicts, their exit codes and their order.
/// Guarantees: aborted > invalid > deviated > inconclusive > held, and no
/// verdict shares a code with usage (2) or failure (6).
#[test]
fn inv_j1_the_worst_verdict_wins() {
    use Verdict::*;
    let order = [Held, Inconclusive, Deviated, Invalid, Aborted];
    assert!(order.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(order.map(Verdict::exit_code), [0, 3, 1, 4, 5]);
    let mut harmed = run(DOCUMENT, 3, HARMED);
    assert_eq!(ruled(&harmed), (Deviated, None));
    // Invalid outranks deviated.
    harmed.evidence.effects[0] = run(DOCUMENT, 4, Harm::default()).measured(1);
    assert_eq!(ruled(&harmed), (Invalid, Some(Reason::NoEffect)));
    harmed.window.aborted = Some("user-errors".into());
    assert_eq!(ruled(&harmed), (Aborted, None));
}

impl Run {
    /// The rows of a probe, those of a phase without harm.
    fn measured(&self, probe: usize) -> crate::verdict::evidence::Measured {
        match &self.evidence.probes[probe] {
            Observed::Measure(measured) => measured.clone(),
            Observed::Sites | Observed::Sql(_) => panic!("no measure"),
        }
    }
}

/// Scenario: the same run is judged twice.
/// Guarantees: J1: the same verdict with the same numbers, to the last digit.
#[test]
fn inv_j1_a_verdict_is_a_function_of_its_rows() {
    let run = run(DOCUMENT, 9, Harm { errors: 0.005, delay_ms: 7.0 });
    let judged = || {
        let judgement = judge(&run.experiment, &run.window, &run.evidence);
        serde_json::to_string(&judgement).unwrap()
    };
    assert_eq!(judged(), judged());
}

/// Scenario: only what is not critical deviates; nothing is critical.
/// Guarantees: the first does not decide the run, and a run without a critical
/// hypothesis is invalid, never held.
#[test]
fn inv_j2_only_what_is_critical_decides() {
    let lenient =
        changed("max: 0.01}", "max: 0.01, severity: warning}", Harm { errors: 0.2, delay_ms: 0.0 });
    let judgement = judge(&lenient.experiment, &lenient.window, &lenient.evidence);
    assert_eq!(judgement.findings[0].ruling.verdict, Verdict::Deviated);
    assert_eq!(judgement.ruling.verdict, Verdict::Held, "{judgement:#?}");
    let none = DOCUMENT.replace("max: 0.01}", "max: 0.01, severity: info}");
    let none = run(&none.replace("20%}", "20%, severity: info}"), 3, Harm::default());
    assert_eq!(ruled(&none).0, Verdict::Invalid);
}

/// Scenario: a baseline with another window in it, one that drifts, one that is
/// outside of its tolerance already.
/// Guarantees: each run is invalid for its baseline.
#[test]
fn a_dirty_baseline_is_invalid() {
    let dirty = (Verdict::Invalid, Some(Reason::BaselineDirty));
    let mut other = run(DOCUMENT, 3, Harm::default());
    other.window.others = vec![Span { from: other.evidence.phases.baseline.from, buckets: 10 }];
    assert_eq!(ruled(&other), dirty);
    let mut drifting = run(DOCUMENT, 3, Harm::default());
    let slow = run(DOCUMENT, 4, HARMED);
    let Observed::Measure(measured) = &mut drifting.evidence.probes[1] else { panic!() };
    let before = measured.phases.get_mut(&Phase::Baseline).unwrap();
    let Observed::Measure(slow) = &slow.evidence.probes[1] else { panic!() };
    let late = slow.phases[&Phase::Injection].answer.as_ref().unwrap();
    let buckets = &mut before.answer.as_mut().unwrap().buckets;
    let half = buckets.len() / 2;
    buckets.truncate(half);
    buckets.extend(late.buckets.iter().take(half).cloned());
    assert_eq!(ruled(&drifting), dirty);
    let mut broken = run(DOCUMENT, 3, Harm::default());
    let failing = run(DOCUMENT, 4, HARMED);
    let Observed::Measure(measured) = &mut broken.evidence.probes[0] else { panic!() };
    let Observed::Measure(failing) = &failing.evidence.probes[0] else { panic!() };
    let asked = failing.phases[&Phase::Injection].clone();
    measured.phases.insert(Phase::Baseline, asked);
    assert_eq!(ruled(&broken), dirty);
}

/// Scenario: another fault's window lies over the injection.
/// Guarantees: refused, it is inconclusive; marked, it is judged with a note.
#[test]
fn overlapping_windows_are_told() {
    let mut run = run(DOCUMENT, 3, HARMED);
    run.window.others = vec![run.evidence.phases.injection];
    assert_eq!(ruled(&run), (Verdict::Inconclusive, Some(Reason::Overlap)));
    let mut marked = changed("late: 60s}", "late: 60s, overlap: mark}", HARMED);
    marked.window.others = run.window.others;
    assert_eq!(ruled(&marked).0, Verdict::Deviated);
}

/// Scenario: the mix of endpoints changes with the fault; one endpoint is gone.
/// Guarantees: what held is confounded, what deviated from an absolute tolerance
/// stays deviated.
#[test]
fn a_moved_load_confounds_and_hides_nothing() {
    let moved = |run: &mut Run, left: f64| {
        let load = run.evidence.load.answer.as_mut().unwrap();
        let cart = load.endpoints.get_mut("POST /cart").unwrap();
        cart.insert(Phase::Injection, left);
    };
    let mut calm = run(DOCUMENT, 3, Harm::default());
    for left in [0.0, 100.0] {
        moved(&mut calm, left);
        assert_eq!(ruled(&calm), (Verdict::Inconclusive, Some(Reason::LoadConfounded)), "{left}");
    }
    let mut harmed = run(DOCUMENT, 3, HARMED);
    moved(&mut harmed, 0.0);
    assert_eq!(ruled(&harmed).0, Verdict::Deviated);
}

/// Scenario: after the fault the errors go on, come back late, come back in time.
/// Guarantees: never recovered deviates though the injection held, late deviates,
/// in time holds and says when.
#[test]
fn recovery_is_a_hypothesis_of_its_own() {
    let spoiled = |buckets: usize| {
        let mut run = run(DOCUMENT, 3, Harm::default());
        let Observed::Measure(measured) = &mut run.evidence.probes[0] else { panic!() };
        let series = measured.phases.get_mut(&Phase::Recovery).unwrap().answer.as_mut().unwrap();
        series.buckets.iter_mut().take(buckets).for_each(|bucket| bucket.hits = bucket.n / 2.0);
        judge(&run.experiment, &run.window, &run.evidence)
    };
    let never = spoiled(60);
    assert_eq!(never.findings[0].ruling.verdict, Verdict::Held);
    assert_eq!(never.findings[1].ruling.verdict, Verdict::Deviated);
    assert_eq!(never.ruling.verdict, Verdict::Deviated);
    assert_eq!(spoiled(36).ruling.verdict, Verdict::Deviated);
    let in_time = spoiled(12);
    assert_eq!(in_time.ruling.verdict, Verdict::Held, "{:#?}", in_time.findings[1]);
    assert!(in_time.findings[1].ruling.detail.contains("60 s"), "{:?}", in_time.findings[1]);
}

/// Scenario: too little history to calibrate by, and a history full of jumps.
/// Guarantees: a relative tolerance is not judged without 30 pseudo-windows while
/// the absolute one is, and noise widens intervals until it is not flagged.
#[test]
fn inv_j2_nothing_relative_without_calibration() {
    let mut young = run(DOCUMENT, 3, HARMED);
    let Observed::Measure(measured) = &mut young.evidence.probes[1] else { panic!() };
    let history = measured.history.as_mut().unwrap().answer.as_mut().unwrap();
    // Too short for a window of even a third of the run's lengths, also together.
    history.truncate(1);
    history.iter_mut().for_each(|stretch| stretch.buckets.truncate(30));
    let judgement = judge(&young.experiment, &young.window, &young.evidence);
    assert_eq!(judgement.findings[0].ruling.verdict, Verdict::Deviated);
    assert_eq!(judgement.findings[2].ruling.reason, Some(Reason::Uncalibrated));
    let mut noisy = run(DOCUMENT, 3, Harm { delay_ms: 60.0, errors: 0.0 });
    let slow = run(DOCUMENT, 5, HARMED);
    let Observed::Measure(slow) = &slow.evidence.probes[1] else { panic!() };
    let slow = slow.phases[&Phase::Injection].answer.as_ref().unwrap().buckets.clone();
    let Observed::Measure(measured) = &mut noisy.evidence.probes[1] else { panic!() };
    for stretch in measured.history.as_mut().unwrap().answer.as_mut().unwrap() {
        let from = stretch.buckets.len() - slow.len() - 5;
        stretch.buckets.truncate(from);
        stretch.buckets.extend(slow.iter().chain(&slow[..5]).cloned());
    }
    let judgement = judge(&noisy.experiment, &noisy.window, &noisy.evidence);
    assert_eq!(judgement.findings[2].ruling.reason, Some(Reason::TooFew));
    assert!(judgement.notes.iter().any(|note| note.contains("unusable")), "{:?}", judgement.notes);
}

/// Scenario: the effect is measured as half of what was wanted, and as none with
/// an effect check that a report would satisfy too; a report alone, heard and not.
/// Guarantees: the fault was not seen to bite: invalid, reported or not. A report
/// counts where nothing is measured, and the lack of one is no evidence.
#[test]
fn inv_j2_an_effect_must_be_seen() {
    let weak = changed(">=300ms", ">=900ms", Harm::default());
    assert_eq!(ruled(&weak), (Verdict::Invalid, Some(Reason::NoEffect)));
    let check = "{indicator: edge.gap_p50, edge: checkout->payment, increase: \">=300ms\"}";
    let reported = "{any: [{injector-event: Applied}]}";
    let only_said = changed(check, reported, Harm::default());
    assert_eq!(ruled(&only_said).0, Verdict::Inconclusive);
    let told = |run: &Run, n| {
        let mut run = run.clone();
        run.evidence.reported.insert("Applied".into(), asked(n));
        let judgement = judge(&run.experiment, &run.window, &run.evidence);
        (judgement.effect.ruling.verdict, judgement.effect.ruling.reason)
    };
    assert_eq!(told(&only_said, 0), (Verdict::Inconclusive, Some(Reason::NoData)));
    assert_eq!(told(&only_said, 1), (Verdict::Held, None));
    // What was measured ranks above what was told.
    let both = "{any: [{indicator: edge.gap_p50, edge: checkout->payment, increase: \">=900ms\"}, {injector-event: Applied}]}";
    let both = changed(check, both, Harm::default());
    assert_eq!(told(&both, 1), (Verdict::Invalid, Some(Reason::NoEffect)));
    let share = changed(">=300ms", ">=400%", Harm::default());
    assert_eq!(
        ruled(&share).0,
        Verdict::Held,
        "{:?}",
        judge(&share.experiment, &share.window, &share.evidence).effect
    );
}
