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

/// Scenario: durations that are all the same.
/// Guarantees: a dead signal stops the run whose guard reads it.
#[test]
fn guard_dead_signals_are_not_healthy() {
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
}

/// Scenario: spans that stand for four each, half of them failed; then spans whose
/// trace state says that they were sampled and not how, for a ratio, for a count
/// that must not be low and for one that must not be high.
/// Guarantees: J2: known samples count as what they stand for, by value, and as what
/// they are, by number; unknown ones are `biased` and never go, and stop a run by a
/// count that exceeds its limit already, for each stands for one at least.
#[test]
fn guard_sampled_spans_count_as_what_they_stand_for() {
    let hear_state = |stage: &mut Stage, state: &'static str| {
        stage.now += SECOND;
        let row = |id: u64| Row {
            state: Some(state),
            error: id.is_multiple_of(2),
            duration: 1_000_000 * (10 + id as i64),
            ..Row::served("shop", (1 << 40) + id, stage.now)
        };
        let rows: Vec<Row> = (0..10).map(row).collect();
        let heard = hear(&watch(&stage.watcher), "spans", &rows);
        stage.flow.take(&heard);
        stage.watcher.take(&heard);
        stage.evaluate().0
    };
    let guard = |indicator: &str, when: &str| {
        let guard = format!(
            "{{service: shop, indicator: {indicator}, when: \"{when}\", for: 0s, window: 5s, min-samples: 5}}"
        );
        Stage::settled(&guard, 10)
    };
    // Five seconds: 50 seen, 10 of which stand for 40, 5 of these for 20 failures.
    let seen = hear_state(&mut guard("errors", "> 20.5"), "ot=th:c");
    assert_eq!((seen.verdict, seen.value, seen.n), (Verdict::Go, Some(20.0), 50), "{seen:?}");
    let seen = hear_state(&mut guard("error_ratio", "> 0.2"), "x=1, ot=rv:1;th:c");
    assert_eq!((seen.verdict, seen.value), (Verdict::Stop, Some(20.0 / 80.0)), "{seen:?}");
    let unknown = "ot=p:8";
    for (indicator, when) in
        [("error_ratio", "> 0.05"), ("errors", "> 100"), ("rate", "< 1"), ("p95", "> 1s")]
    {
        let seen = hear_state(&mut guard(indicator, when), unknown);
        assert_eq!(seen.verdict, Verdict::CannotTell, "{indicator} {when}");
        assert_eq!((seen.reason.as_deref(), seen.value), (Some("biased"), None), "{seen:?}");
    }
    let seen = hear_state(&mut guard("errors", "> 4"), unknown);
    assert_eq!((seen.verdict, seen.value), (Verdict::Stop, Some(5.0)), "{seen:?}");
}

/// Scenario: the node's clock is set an hour ahead while requests come in, then back by
/// two; other clocks are not. The requests go on well, then they fail. Beside it a
/// guard that counts since the injection, which has lost rows when the clock is set.
/// Guarantees: a jump leaves no guard without data, makes nothing last longer or shorter,
/// and delays no stop; what cannot be counted any more is never taken for none (J2).
#[test]
fn guard_time_does_not_jump() {
    for hours in [1, -2] {
        let ahead = hours * 3_600 * SECOND;
        let mut stage = Stage::settled(ERRORS, 10);
        let start = stage.now;
        let mut line = Timeline::new(start);
        let mut id = 1 << 40;
        let mut second = |stage: &mut Stage, errors: u64| {
            stage.now += SECOND;
            assert_eq!(line.now(stage.now + ahead, stage.now - start), stage.now);
            stage.watcher.goes_by(line);
            let row = |at: u64| Row {
                error: at < errors,
                duration: 1_000_000 * (10 + at as i64),
                time: stage.now - SECOND / 2,
                ..Row::served("shop", id + at, stage.now + ahead)
            };
            let rows: Vec<Row> = (0..10).map(row).collect();
            id += 10;
            let mut heard = hear(&watch(&stage.watcher), "spans", &rows);
            line.translate(&mut heard, stage.now);
            stage.flow.take(&heard);
            stage.watcher.take(&heard);
            stage.evaluate().0
        };
        for _ in 0..40 {
            let seen = second(&mut stage, 0);
            assert_eq!((seen.verdict, seen.n >= 90), (Verdict::Go, true), "{seen:?}");
        }
        assert_eq!(second(&mut stage, 10).verdict, Verdict::Go, "it must hold for 2 s");
        assert_eq!(second(&mut stage, 10).verdict, Verdict::Go);
        assert_eq!(second(&mut stage, 10).verdict, Verdict::Stop);
    }
    let budget = "{service: shop, indicator: errors, since: inject, when: \"> 500\"}";
    let mut stage = Stage::settled(budget, 10);
    stage.watcher.injected(stage.now, stage.now);
    until(&mut stage, (10, 0), 10, Verdict::Go);
    let mut line = Timeline::new(stage.now);
    stage.now += SECOND;
    line.now(stage.now + 3_600 * SECOND, SECOND);
    stage.watcher.goes_by(line);
    stage.watcher.lost(stage.now);
    for _ in 0..20 {
        let seen = stage.second((10, 0), 10);
        assert_eq!((seen.verdict, stage.answer(10)), (Verdict::CannotTell, 0), "{seen:?}");
    }
}
