//! The guard column of section 5 of the paper, a row each.

use super::life::Stage;
use super::*;
use crate::tap::Losses;

const ERRORS: &str =
    "{service: shop, indicator: error_ratio, when: \"> 0.05\", for: 2s, min-samples: 20}";

/// Lets seconds pass until the answer is this; how many it took.
fn until(stage: &mut Stage, shop: (u64, u64), cart: u64, verdict: Verdict) -> (usize, Decision) {
    for at in 1..100 {
        let decision = stage.second(shop, cart);
        stage.answer(10);
        if decision.verdict == verdict {
            return (at, decision);
        }
    }
    panic!("never {verdict:?}");
}

/// Scenario: the subject's traffic vanishes while others go on.
/// Guarantees: it is an outage: stopped for silence after `for`.
#[test]
fn guard_silence_is_an_outage() {
    let mut stage = Stage::settled(ERRORS, 10);
    let (_, decision) = until(&mut stage, (0, 0), 10, Verdict::Stop);
    assert_eq!(decision.reason.as_deref(), Some("silence"), "{decision:?}");
}

/// Scenario: everybody falls silent; then telemetry comes back within grace, and
/// the next time it does not.
/// Guarantees: the pipeline cannot be seen: 424, and a stop after grace alone.
#[test]
fn guard_a_blind_pipeline_is_borne_for_grace() {
    let mut stage = Stage::settled(ERRORS, 10);
    let gap = |stage: &mut Stage| {
        let gap = |stage: &mut Stage| stage.second((0, 0), 0).reason;
        while gap(stage).as_deref() != Some("pipeline_gap") {}
    };
    gap(&mut stage);
    until(&mut stage, (10, 0), 10, Verdict::Go);
    gap(&mut stage);
    let (seconds, decision) = until(&mut stage, (0, 0), 0, Verdict::Stop);
    assert!((29..=31).contains(&seconds), "{seconds}");
    assert_eq!(decision.reason.as_deref(), Some("pipeline_gap"));
}

/// Scenario: batches overflow, storage refuses one, and what arrives is old.
/// Guarantees: telemetry-health says that it cannot tell, each with its words,
/// and is fine again when it is over.
#[test]
fn guard_losses_and_old_telemetry_are_gaps() {
    let mut stage = Stage::settled(ERRORS, 10);
    for (losses, words) in [
        (Losses { missed: 1, refused: 0 }, "not counted"),
        (Losses { missed: 1, refused: 1 }, "refused"),
    ] {
        if stage.flow.lost(losses, stage.now) {
            stage.watcher.lost(stage.now);
        }
        let decision = stage.second((10, 0), 10);
        assert_eq!(decision.verdict, Verdict::CannotTell);
        let health = stage.flow.gap(&[], stage.now).unwrap();
        assert!(health.contains(words), "{health}");
        until(&mut stage, (10, 0), 10, Verdict::Go);
    }
    for at in 0..40 {
        stage.now += SECOND;
        let old =
            Row { time: stage.now - 50 * SECOND, ..Row::served("shop", 9_000 + at, stage.now) };
        let heard = hear(&watch(&stage.watcher), "spans", &[old]);
        stage.flow.take(&heard);
    }
    let health = stage.flow.gap(&[crate::verdict::evidence::Source::Spans], stage.now).unwrap();
    assert!(health.contains("spans end"), "{health}");
}

/// Scenario: a service that stands idle, as it did before, with `no-data: hold`
/// and without.
/// Guarantees: the first is borne for ever, the second is stopped after grace.
#[test]
fn guard_idle_is_held_only_where_it_was_said() {
    let idle = |guard: &str| {
        let mut stage = Stage::settled(guard, 10);
        stage.watcher = Watcher::new("run", experiment(guard), stage.now, stage.now);
        for _ in 0..12 {
            stage.second((0, 0), 10);
            stage.answer(0);
        }
        stage
    };
    let mut held = idle(&ERRORS.replace("for: 2s", "for: 2s, no-data: hold"));
    for _ in 0..60 {
        assert_eq!(held.second((0, 0), 10).verdict, Verdict::Go);
    }
    let mut other = idle(ERRORS);
    let (_, decision) = until(&mut other, (0, 0), 10, Verdict::Stop);
    assert_eq!(decision.reason.as_deref(), Some("no_data"));
}

/// Scenario: fewer samples than the guard needs, all well; then all failed.
/// Guarantees: too few denies and does not stop; what little there is is heeded.
#[test]
fn guard_too_few_denies() {
    let guard = ERRORS.replace("shop", "pay");
    let mut stage = Stage::new(&guard);
    let pay = |stage: &mut Stage, errors: u64| {
        stage.now += SECOND;
        stage.arrive("cart", 5, 0);
        stage.arrive("pay", 1, errors);
        stage.answer(1);
        stage.evaluate().0
    };
    for _ in 0..60 {
        let decision = pay(&mut stage, 0);
        assert_ne!(decision.verdict, Verdict::Stop, "{decision:?}");
    }
    let decision = pay(&mut stage, 0);
    assert_eq!(
        (decision.verdict, decision.reason.as_deref()),
        (Verdict::CannotTell, Some("too_few"))
    );
    let last = (0..45).map(|_| pay(&mut stage, 1)).last().unwrap();
    assert_eq!(last.verdict, Verdict::Stop);
}

/// Scenario: durations that are all the same, and counts of sampled spans.
/// Guarantees: a dead signal stops the run whose guard reads it; a count of rows
/// that stand for others is none.
#[test]
fn guard_dead_and_biased_signals_are_not_healthy() {
    let mut stage = Stage::settled("{service: shop, indicator: p95, when: \"> 1s\", for: 1s}", 10);
    assert_eq!(stage.evaluate().0.verdict, Verdict::Go);
    let mut last = None;
    for at in 0..14 {
        stage.now += SECOND;
        let frozen: Vec<Row> =
            (0..10).map(|id| Row::served("shop", 70_000 + at * 10 + id, stage.now)).collect();
        let heard = hear(&watch(&stage.watcher), "spans", &frozen);
        stage.flow.take(&heard);
        stage.watcher.take(&heard);
        last = Some(stage.evaluate().0);
    }
    let last = last.unwrap();
    assert_eq!((last.verdict, last.reason.as_deref()), (Verdict::Stop, Some("dead_signal")));
    let mut stage = Stage::settled("{service: shop, indicator: rate, when: \"< 1\"}", 10);
    stage.now += SECOND;
    let sampled = Row { state: Some("ot=th:8"), ..Row::served("shop", 1 << 40, stage.now) };
    let heard = hear(&watch(&stage.watcher), "spans", &[sampled]);
    stage.watcher.take(&heard);
    assert_eq!(stage.evaluate().0.reason.as_deref(), Some("biased"));
}
