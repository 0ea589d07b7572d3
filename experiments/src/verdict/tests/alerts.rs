use super::shop::{DOCUMENT, Harm, PHASES, Run, SECOND, asked, run};
use crate::alert::State::{self, Error, Firing, NoData, Resolved};
use crate::alert::statement::Transition;
use crate::verdict::aftermath::{Aftermath, Helped, InPlace};
use crate::verdict::alerts::spells;
use crate::verdict::evidence::{Gap, Measured, Observed, Stop};
use crate::verdict::{Reason, Ruling, Verdict, judge};
use crate::window::Phase;

/// Seconds from the injection, a rule and its state.
type Told<'a> = (i64, &'a str, State);

fn transitions(told: &[Told<'_>]) -> Vec<Transition> {
    let inject = 1_000_000 * SECOND;
    let one = |(at, rule, state): &Told<'_>| Transition {
        rule: (*rule).into(),
        fingerprint: "f".into(),
        at: inject + at * SECOND,
        state: *state,
    };
    told.iter().map(one).collect()
}

/// A run that expects this of alerts, in which this was told of them.
fn told(expected: &str, told: &[Told<'_>]) -> Run {
    let text =
        DOCUMENT.replace("recovery: 120s}", &format!("recovery: 120s, alerts: [{expected}]}}"));
    let mut run = run(&text, 3, Harm::default());
    run.evidence.alerts.known = asked(1);
    run.evidence.alerts.transitions = asked(transitions(told));
    run
}

fn ruling(run: &Run) -> Ruling {
    let judgement = judge(&run.experiment, &run.window, &run.evidence);
    let alert = judgement.findings.iter().find(|f| f.hypothesis.contains("alert")).unwrap();
    assert!(judgement.ruling.verdict >= alert.ruling.verdict, "{judgement:#?}");
    alert.ruling.clone()
}

const SLOW: &str = "{rule: Slow, within: 60s, resolve-within: 90s}";
const ONLY: &str = "{rule: \"*\", not: true, except: [Slow]}";

/// Scenario: an alert seen in time, late, missed, over too late, still firing;
/// an alert that nobody expects, before and after the injection.
/// Guarantees: seen in time is held and the others deviate, each by its name.
#[test]
fn alerts_are_seen_late_missed_or_false() {
    let cases: &[(&str, &[Told<'_>], Verdict, &str)] = &[
        (SLOW, &[(30, "Slow", Firing), (330, "Slow", Resolved)], Verdict::Held, "seen: Slow"),
        (SLOW, &[(60, "Slow", Firing), (61, "Slow", Resolved)], Verdict::Held, "seen: Slow"),
        (SLOW, &[(61, "Slow", Firing), (330, "Slow", Resolved)], Verdict::Deviated, "late: Slow"),
        (SLOW, &[], Verdict::Deviated, "missed: Slow"),
        (SLOW, &[(30, "Burn", Firing)], Verdict::Deviated, "missed: Slow"),
        // Over before the fault was there, and never again.
        (SLOW, &[(-90, "Slow", Firing), (-60, "Slow", Resolved)], Verdict::Deviated, "missed"),
        (SLOW, &[(30, "Slow", Firing), (391, "Slow", Resolved)], Verdict::Deviated, "over 91 s"),
        (SLOW, &[(30, "Slow", Firing)], Verdict::Deviated, "was not over"),
        (ONLY, &[(30, "Slow", Firing)], Verdict::Held, "none fired"),
        (ONLY, &[(30, "Burn", Firing), (40, "Disk", Firing)], Verdict::Deviated, "and 1 more"),
        (ONLY, &[(-100, "Burn", Firing)], Verdict::Deviated, "false: Burn fired -100 s"),
        // It fires already when the run begins, and no fault of this run's did that.
        (ONLY, &[(-400, "Burn", Firing)], Verdict::Held, "none fired"),
        ("{rule: Burn, not: true}", &[(30, "Slow", Firing)], Verdict::Held, "none fired"),
        ("{rule: Burn, not: true}", &[(30, "Burn", Firing)], Verdict::Deviated, "false: Burn"),
        ("{rule: \"*\", within: 60s}", &[(30, "Burn", Firing)], Verdict::Held, "seen: Burn"),
    ];
    for (expected, transitions, verdict, words) in cases {
        let ruling = ruling(&told(expected, transitions));
        assert_eq!((ruling.verdict, ruling.reason), (*verdict, None), "{transitions:?} {ruling:?}");
        assert!(ruling.detail.contains(words), "{ruling:?}: {words}");
    }
}

/// Scenario: nothing was ever heard of alerts; the rows are refused, or not all
/// there; rules without data or with errors; it is too early; the alert fires
/// since before; the fault never bit; a guard ended the run before it was due.
/// Guarantees: J2: each is inconclusive with its reason, whether an alert is
/// expected or not.
#[test]
fn inv_j2_alerts_that_are_not_heard_of_pass_nothing() {
    let both = |reason: Reason, change: &dyn Fn(&mut Run)| {
        for expected in [SLOW, ONLY] {
            let mut run = told(expected, &[]);
            change(&mut run);
            let ruling = ruling(&run);
            let found = (ruling.verdict, ruling.reason);
            assert_eq!(found, (Verdict::Inconclusive, Some(reason)), "{expected} {ruling:?}");
        }
    };
    both(Reason::NoData, &|run| run.evidence.alerts.known = asked(0));
    both(Reason::Error, &|run| run.evidence.alerts.known.answer = Err(Gap::Error("no".into())));
    both(Reason::PipelineGap, &|run| {
        run.evidence.alerts.transitions.answer = Err(Gap::Incomplete("a file".into()));
    });
    both(Reason::Late, &|run| run.evidence.judged = run.window.inject + 90 * SECOND);
    for state in [NoData, Error] {
        both(Reason::NoData, &|run| {
            let rule = run.experiment.expect.alerts[0].rule.replace('*', "Burn");
            run.evidence.alerts.transitions = asked(transitions(&[(-30, &rule, state)]));
        });
    }
    let one = |run: &Run, reason: Reason| {
        let ruling = ruling(run);
        let found = (ruling.verdict, ruling.reason);
        assert_eq!(found, (Verdict::Inconclusive, Some(reason)), "{ruling:?}");
    };
    one(&told(SLOW, &[(-30, "Slow", Firing)]), Reason::BaselineDirty);
    one(&told(SLOW, &[(10, "Slow", Resolved)]), Reason::BaselineDirty);
    let mut early = told(SLOW, &[(30, "Slow", Firing)]);
    early.evidence.judged = early.window.recover + 100 * SECOND;
    one(&early, Reason::Late);
    let mut stopped = told(SLOW, &[]);
    stopped.window.aborted = Some("user-errors".into());
    stopped.window.recover = stopped.window.inject + 20 * SECOND;
    one(&stopped, Reason::TooFew);
    let mut none = told(SLOW, &[]);
    let [effect] = &mut none.evidence.effects[..] else { panic!() };
    let baseline = effect.phases[&Phase::Baseline].clone();
    effect.phases.insert(Phase::Injection, baseline);
    one(&none, Reason::NoEffect);
    let judgement = judge(&none.experiment, &none.window, &none.evidence);
    assert_eq!(judgement.ruling.verdict, Verdict::Invalid, "no effect is the run's");
}

/// Scenario: transitions told twice, a rule that goes from firing to no data and
/// is over, one that is over without having begun, two of one rule.
/// Guarantees: spells do not overlap for one fingerprint, and none is lost.
#[test]
fn transitions_become_spells() {
    let mut given = transitions(&[
        (1, "A", Firing),
        (1, "A", Firing),
        (2, "A", NoData),
        (3, "A", Resolved),
        (4, "B", Resolved),
        (5, "B", Resolved),
        (6, "A", Firing),
    ]);
    given.push(Transition { fingerprint: "g".into(), ..given[6].clone() });
    let inject = 1_000_000 * SECOND;
    let after = |at: i64| (at - inject) / SECOND;
    let spells = spells(&given, inject - 100 * SECOND);
    let short: Vec<(&str, State, i64, Option<i64>)> =
        spells.iter().map(|s| (s.rule.as_str(), s.state, after(s.from), s.to.map(after))).collect();
    let expected = [
        ("A", Firing, 1, Some(2)),
        ("A", NoData, 2, Some(3)),
        ("B", Firing, -100, Some(4)),
        ("A", Firing, 6, None),
        ("A", Firing, 6, None),
    ];
    assert_eq!(short, expected);
}

/// A run that the guard on checkout's errors stopped; what it watches and the
/// sign of the fault, with what follows the stop.
fn stopped(harm: Harm, still: bool) -> Aftermath {
    let text = DOCUMENT.replace(
        "expect:",
        "guard: [{service: checkout, indicator: error_ratio, when: \"> 0.05\"}]\nexpect:",
    );
    let mut bad = run(&text, 5, Harm { errors: 0.2, delay_ms: 0.0 });
    let after = run(&text, 6, harm);
    let series = |run: &Run, phase: Phase| {
        let Observed::Measure(measured) = &run.evidence.probes[0] else { panic!() };
        measured.phases[&phase].clone()
    };
    let mut phases: std::collections::BTreeMap<_, _> =
        PHASES.map(|phase| (phase, series(&bad, phase))).into();
    phases.insert(Phase::Recovery, series(&after, Phase::Injection));
    let crate::document::guard::Watch::Threshold(threshold) = &bad.experiment.guard[0].watch else {
        panic!()
    };
    let crate::document::provider::Provider::Measure(measure) = &threshold.provider else {
        panic!()
    };
    bad.evidence.stop = Some(Stop {
        guard: "checkout-error_ratio".into(),
        measure: measure.clone(),
        limits: threshold.within(),
        measured: Measured { phases, ..Measured::default() },
    });
    bad.window.aborted = Some("checkout-error_ratio".into());
    let effect = &mut bad.evidence.effects[0].phases;
    let from = if still { Phase::Injection } else { Phase::Baseline };
    let answer = effect[&from].answer.clone();
    effect.get_mut(&Phase::Recovery).unwrap().answer = answer;
    let judgement = judge(&bad.experiment, &bad.window, &bad.evidence);
    assert_eq!(judgement.ruling.verdict, Verdict::Aborted);
    judgement.aftermath.unwrap()
}

/// Scenario: a guard stops a run; errors end, errors stay with the fault, errors
/// stay without it, and nothing is seen after the stop.
/// Guarantees: whether it helped, how long that took, and whether the fault is
/// still in place; J2: what was not seen did not help.
#[test]
fn inv_j2_after_a_stop_it_is_told_whether_that_helped() {
    let helped = stopped(Harm::default(), false);
    let (good, gone) = (Helped::Yes, InPlace::Gone);
    assert_eq!((helped.helped, helped.returned_after, helped.fault), (good, Some(0.0), gone));
    assert_eq!(helped.evidence_sql.len(), 4);
    let errors = Harm { errors: 0.2, delay_ms: 0.0 };
    let not = stopped(errors, true);
    assert_eq!((not.helped, not.returned_after), (Helped::No, None));
    assert_eq!(not.fault, InPlace::StillInPlace, "{}", not.detail);
    assert_eq!(stopped(errors, false).fault, InPlace::Gone);
    let text = DOCUMENT.replace("settle: 15s, injection: 5m, recovery: 5m", "recovery: 0s");
    let mut blind = run(&text, 3, Harm::default());
    blind.window.aborted = Some("telemetry-health".into());
    let judgement = judge(&blind.experiment, &blind.window, &blind.evidence);
    let after = judgement.aftermath.unwrap();
    assert_eq!((after.helped, after.fault), (Helped::Unknown, InPlace::Unknown), "{after:?}");
}
