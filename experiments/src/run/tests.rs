//! A run's life, mark by mark.

use proptest::prelude::*;

use super::*;
use crate::document::Allowed;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_795_168_800 * SECOND;

fn document(window: &str) -> Arc<Experiment> {
    let text = format!(
        "apiVersion: chaos/v1\nkind: Experiment\ntitle: t\ntarget: {{services: [payment]}}\nwindow: {{{window}}}\n\
         steady-state-hypothesis:\n  probes:\n    - {{service: a, indicator: error_ratio, max: 0.1}}\n"
    );
    Arc::new(Experiment::parse(&text, &Allowed::new()).unwrap())
}

/// A time `seconds` after the start, heard at once.
fn api(seconds: i64) -> Moment {
    let at = START + seconds * SECOND;
    Moment::new(at, at, Source::Api)
}

fn seen(source: Source, seconds: i64, later_ms: i64) -> Moment {
    let at = START + seconds * SECOND;
    Moment::new(at, at + later_ms * 1_000_000, source)
}

fn opened(window: &str, moment: Moment) -> Run {
    Run::open(Opening {
        id: RunId::new("r-1").unwrap(),
        tenant: Tenant::default(),
        name: "t".into(),
        experiment: Some(document(window)),
        told: Told::default(),
        moment,
        uncertainty_ms: 0,
        confidence: Confidence::Declared,
        overlaps: BTreeSet::new(),
    })
}

fn after(run: &Run, mark: Mark, moment: Moment) -> Run {
    run.marked(&mark, moment).unwrap().expect("it says something new")
}

fn abort() -> Mark {
    Mark::Abort { guard: "g".into(), reason: "too many errors".into() }
}

/// Scenario: a run is opened, injected, recovered, and its planned recovery passes.
/// Guarantees: each state follows from its mark, the last from time alone; every
/// change is the next revision, and the window is what was marked.
#[test]
fn a_run_goes_from_its_baseline_to_its_end() {
    let run = opened("baseline: 2m, recovery: 1m, late: 30s", api(0));
    assert_eq!((run.state, run.revision), (State::Baseline, 1));
    let run = after(&run, Mark::Inject, api(120));
    assert_eq!((run.state, run.baseline), (State::Injecting, START));
    assert_eq!(run.advanced(START + 4_000 * SECOND), None, "it has no planned length");
    let run = after(&run, Mark::Recover, api(180));
    assert_eq!(run.state, State::Recovering);
    assert_eq!(run.advanced(START + 239 * SECOND), None);
    let run = run.advanced(START + 240 * SECOND).unwrap();
    assert_eq!((run.state, run.revision), (State::Ended, 4));
    let window = run.window(Vec::new());
    assert_eq!((window.inject, window.recover), (START + 120 * SECOND, START + 180 * SECOND));
    assert_eq!(run.settled(), Some(START + 270 * SECOND));
    assert!(!run.retrospective);
}

/// Scenario: a run is declared for later, and nobody tells when its fault of a
/// planned length ends; then somebody does.
/// Guarantees: the baseline begins on time, the end is assumed as planned once late
/// words had their time, and whoever saw it is believed instead.
#[test]
fn a_plan_stands_in_for_who_does_not_tell() {
    let at = START + 60 * SECOND;
    let later = Moment::new(at, START, Source::Api);
    let run = opened("injection: 5m, recovery: 1m, late: 30s", later);
    assert_eq!(run.state, State::Declared);
    let run = run.advanced(at).unwrap();
    assert_eq!(run.state, State::Baseline);
    let run = after(&run, Mark::Inject, api(60));
    assert_eq!(run.advanced(START + 389 * SECOND), None);
    let run = run.advanced(START + 390 * SECOND).unwrap();
    assert_eq!(run.state, State::Recovering);
    assert_eq!(run.marks.recover.unwrap().source, Source::Plan);
    let ended = run.advanced(START + 420 * SECOND).unwrap();
    assert_eq!(ended.state, State::Ended);
    let seen = after(&ended, Mark::Recover, api(410));
    assert_eq!((seen.state, seen.marks.recover.unwrap().source), (State::Recovering, Source::Api));
    assert_eq!(seen.advanced(START + 470 * SECOND).unwrap().state, State::Ended);
}

/// Scenario: a guard stops a run; then everybody tells what they know.
/// Guarantees: it stays aborted by that guard, whatever comes, and keeps the time
/// of the recovery; a run that ended by itself is not aborted afterwards.
#[test]
fn an_aborted_run_never_reopens() {
    let run = after(&opened("", api(0)), Mark::Inject, api(10));
    let run = after(&run, abort(), api(20));
    assert_eq!(run.state, State::Aborted);
    let other = Mark::Abort { guard: "h".into(), reason: "later".into() };
    assert_eq!(run.marked(&other, api(21)).unwrap(), None);
    let error = after(&opened("", api(0)), abort(), api(5)).marked(&Mark::Inject, api(30));
    assert!(error.unwrap_err().message.contains("aborted"));
    let run = after(&run, Mark::Recover, api(40));
    let run = after(&run, Mark::End, api(50));
    assert_eq!(run.advanced(i64::MAX), None);
    let window = run.window(Vec::new());
    assert_eq!((run.state, window.aborted), (State::Aborted, Some("g".into())));
    assert_eq!(window.recover, START + 40 * SECOND);

    let ended = after(&opened("", api(0)), Mark::End, api(60));
    assert!(ended.marked(&abort(), api(61)).is_err());
}

/// Scenario: two sources tell of one injection, four seconds apart and one of them
/// late; a third is hours off.
/// Guarantees: the first sets the edge, the others widen what is unsure of it by
/// what clocks can explain, and the run is confirmed.
#[test]
fn sources_that_disagree_make_an_edge_unsure() {
    let run = after(&opened("", api(0)), Mark::Inject, api(10));
    assert_eq!(run.uncertainty_ms, 0);
    let run = after(&run, Mark::Inject, seen(Source::Otlp, 14, 1_500));
    assert_eq!((run.uncertainty_ms, run.confidence), (4_000, Confidence::Confirmed));
    let run = after(&run, Mark::Inject, seen(Source::K8s, 9, 6_000));
    assert_eq!(run.uncertainty_ms, 6_000);
    assert_eq!(run.marks.inject.unwrap(), api(10));
    let wrong = seen(Source::K8s, 10 - 8 * 3_600, 8 * 3_600_000);
    assert_eq!(run.marked(&Mark::Inject, wrong).unwrap(), None);
}

/// Scenario: marks in an order that cannot be.
/// Guarantees: each is refused with what to do, and the run stays as it is.
#[test]
fn impossible_marks_are_refused() {
    let run = opened("", api(0));
    assert!(run.marked(&Mark::Recover, api(1)).unwrap_err().remedy.contains("inject first"));
    let run = after(&run, Mark::Inject, api(10));
    assert!(run.marked(&Mark::Recover, api(9)).is_err());
    let run = after(&run, Mark::Recover, api(20));
    assert!(run.marked(&Mark::Inject, api(30)).unwrap_err().remedy.contains("another run"));
    assert_eq!(run.marked(&Mark::Recover, api(20)).unwrap(), None);
}

/// Scenario: a fault that nobody ends for a day.
/// Guarantees: the run does not stay open for ever.
#[test]
fn a_forgotten_run_ends() {
    let run = after(&opened("", api(0)), Mark::Inject, api(10));
    let day = 86_400 * SECOND;
    assert_eq!(run.advanced(START + day), None);
    let run = run.advanced(START + day + 11 * SECOND).unwrap();
    assert_eq!(run.state, State::Ended);
    assert!(run.marks.recover.is_some());
}

/// Scenario: runs in several states go through their rows as JSON.
/// Guarantees: what is read back is the same run, latch and verdict included, but for
/// when each word of it was heard.
#[test]
fn a_run_comes_back_from_its_row() {
    let experiment = document("baseline: 2m, recovery: 1m");
    let mut open = after(&opened("baseline: 2m, recovery: 1m", api(0)), Mark::Inject, api(120));
    open.told.target = BTreeMap::from([("service".to_owned(), "payment".to_owned())]);
    open.overlaps = BTreeSet::from([RunId::new("other").unwrap()]);
    let stopped = after(&open, abort(), api(130));
    let mut ended = after(&open, Mark::Recover, seen(Source::K8s, 180, 0));
    ended = ended.advanced(ended.plan().recovery.nanos() + START + 180 * SECOND).unwrap();
    let reason = Some(Reason::TooFew);
    ended.judged = Some(Judged { verdict: Verdict::Inconclusive, reason, at: START });
    for run in [open, stopped, ended] {
        let row = row::WindowRow::of(&run, "n", START, None);
        let text = serde_json::to_string(&row).unwrap();
        let read: row::WindowRow = serde_json::from_str(&text).unwrap();
        let mut back = read.run(Tenant::default(), Some(experiment.clone())).unwrap();
        if let (Some(back), Some(end)) = (&mut back.marks.end, &run.marks.end) {
            back.received = end.received;
        }
        assert_eq!(back, run);
    }
}

/// Scenario: ids as people and injectors write them.
/// Guarantees: none that could leave a path or a statement exists.
#[test]
fn ids_are_harmless() {
    for bad in ["", "..", "a/b", "a b", "a'b", "-x", ".x", "a\n", &"x".repeat(129)] {
        assert_eq!(RunId::new(bad), Err(InvalidRunId), "{bad:?}");
    }
    assert_eq!(
        RunId::near("NetworkChaos/shop/pay delay").unwrap().as_str(),
        "NetworkChaos-shop-pay-delay"
    );
    assert!(RunId::near("/../").is_err());
}

proptest! {
    /// Scenario: any marks in any order, with time passing between them.
    /// Guarantees: nothing panics, revisions only grow, what is aborted stays so, and
    /// a recovery never comes before its injection.
    #[test]
    fn any_history_is_a_life(steps in prop::collection::vec((0u8..5, -100i64..2_000, 0i64..90_000), 0..30)) {
        let mut run = opened("injection: 2m, recovery: 1m", api(0));
        for (what, at, later) in steps {
            let moment = seen(Source::Otlp, at, later);
            let next = match what {
                0 => run.marked(&Mark::Inject, moment),
                1 => run.marked(&Mark::Recover, moment),
                2 => run.marked(&Mark::End, moment),
                3 => run.marked(&abort(), moment),
                _ => Ok(run.advanced(moment.received)),
            };
            if let Ok(Some(next)) = next {
                prop_assert_eq!(next.revision, run.revision + 1);
                prop_assert!(run.state != State::Aborted || next.state == State::Aborted);
                run = next;
            }
            if let Some((inject, Some(to))) = run.fault() {
                prop_assert!(inject <= to);
            }
            prop_assert_eq!(run.settled().is_some(), run.state.is_over());
            let window = run.window(Vec::new());
            prop_assert!(window.inject <= window.recover);
        }
    }
}
