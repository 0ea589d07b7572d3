use serde_json::json;

use super::life::{Stage, table};
use super::*;
use crate::error::Error;
use crate::indicator::text::instant;
use crate::radius::blame::{Graph, Resources};
use crate::radius::calibrate::{Calibration, Noise, Pseudo};
use crate::radius::{About, Radius, Sign, Signal};
use crate::window::{BUCKET, Span};

const BEYOND: &str = "{name: beyond, type: blast-radius}";

/// A radius of services that stand out, beside so many pieces of fault-free time.
fn radius(experiment: &Experiment, services: &[&str], pieces: i64) -> Radius {
    let sign = |service: &&str| Sign {
        signal: Signal::Exclusive,
        service: (*service).into(),
        strength: 9.0,
        about: About::default(),
        onset: None,
        detail: String::new(),
    };
    let span = |at: i64| Span { from: at * 60 * BUCKET.nanos(), buckets: 12 };
    let calm: Vec<Pseudo> =
        (0..pieces).map(|at| Pseudo { span: span(at), signs: Vec::new() }).collect();
    let calibration = Calibration { telemetry: Noise::of(&calm), ..Calibration::default() };
    let (target, declared) = (&experiment.target, &experiment.blast_radius);
    let signs = services.iter().map(sign).collect();
    Radius::new(signs, &Graph::new(), &Resources::new(), target, declared, calibration)
}

/// A stage whose run was injected just now.
fn injected(guard: &str) -> Stage {
    let mut stage = Stage::settled(guard, 10);
    stage.watcher.injected(stage.now, stage.now);
    stage
}

/// Lets seconds pass until the blast radius is asked for, and answers it.
fn look(stage: &mut Stage, answer: impl Fn() -> Result<Radius, Error>) -> (i64, Decision) {
    for waited in 1..120 {
        let seen = stage.second((10, 0), 10);
        assert!(seen.verdict != Verdict::Stop, "{seen:?}");
        let mut questions = stage.watcher.questions(stage.now).into_iter();
        let asked = questions.find_map(|question| match question {
            Question::Radius(want, window) => Some((want, window)),
            Question::Sql(..) => None,
        });
        if let Some((want, window)) = asked {
            assert!(window.recover > window.inject, "{window:?}");
            stage.watcher.answered(
                want,
                Answer::Radius(answer().map(Box::new)),
                stage.now,
                stage.now,
            );
            return (waited, stage.evaluate().0);
        }
    }
    panic!("it is never asked for");
}

/// Scenario: the radius is found to reach beyond the target, not to, and beyond again,
/// twice; too little fault-free time is known; the engine cannot answer now.
/// Guarantees: two looks in a row stop the run and say why; a radius that nothing
/// tells from noise denies and stops nobody; an answer that was none is asked for
/// again soon and takes nothing back.
#[test]
fn a_guard_stops_what_reaches_beyond_twice() {
    let experiment = experiment(BEYOND);
    let of = |services: &[&str], pieces| Ok(radius(&experiment, services, pieces));
    let mut stage = injected(BEYOND);
    let away = || {
        let kind = schema::ErrorKind::Unavailable;
        Err(Error::Engine { kind, message: "no".into() })
    };
    for (answer, verdict, reason) in [
        (of(&["pay", "search"], 60), Verdict::Go, None),
        (of(&["pay"], 60), Verdict::Go, None),
        (of(&["pay", "search"], 60), Verdict::Go, None),
        (away(), Verdict::Go, None),
        (of(&["pay", "search"], 60), Verdict::Stop, Some("off_target")),
    ] {
        let was_away = answer.is_err();
        let (_, seen) = look(&mut stage, || answer.clone());
        assert_eq!((seen.verdict, seen.reason.as_deref()), (verdict, reason), "{seen:?}");
        let stop = seen.detail.contains("off target: search");
        assert_eq!(stop, verdict == Verdict::Stop, "{seen:?}");
        if was_away {
            let (waited, _) = look(&mut stage, || of(&["pay"], 60));
            assert!(waited < 10, "asked again after {waited} s");
            look(&mut stage, || of(&["pay", "search"], 60));
        }
    }
    let mut stage = injected(BEYOND);
    for _ in 0..3 {
        let (_, seen) = look(&mut stage, || of(&["search"], 10));
        assert_eq!(seen.verdict, Verdict::CannotTell, "{seen:?}");
        assert_eq!(seen.reason.as_deref(), Some("uncalibrated"));
    }
}

/// Scenario: a query is asked every few seconds while the node's clock is set an hour
/// ahead or back, and the clocks of senders with it or not; the requests go on well,
/// then they fail.
/// Guarantees: where senders' clocks were not set nothing changes, and what fails stops
/// the run; where they were set ahead it goes on by theirs; where time is told
/// twice nothing can be told, and the stop says that a clock was set.
#[test]
fn a_clock_that_is_set_misleads_no_query() {
    let query = "{name: q, provider: {type: sql, query: 'SELECT 1 WHERE {window}', result: scalar}, when: \"> 5\", for: 0s}";
    for (hours, followed) in [(1, false), (-1, false), (1, true), (-1, true)] {
        let ahead = hours * 3_600 * SECOND;
        let shift = if followed { ahead } else { 0 };
        let mut stage = Stage::settled("{service: shop, indicator: rate, when: \"< 1\"}", 10);
        let start = stage.now;
        stage.watcher = Watcher::new("run", experiment(query), start, start);
        let mut line = Timeline::new(start);
        let mut second = |stage: &mut Stage, set: i64, shift: i64, value: i64| {
            stage.now += SECOND;
            assert_eq!(line.now(stage.now + set, stage.now - start), stage.now);
            let row = Row {
                time: stage.now - SECOND / 2 + shift,
                ..Row::served("shop", stage.now as u64, stage.now + set)
            };
            let mut heard = hear(&watch(&stage.watcher), "spans", &[row]);
            line.translate(&mut heard, stage.now);
            stage.flow.take(&heard);
            stage.watcher.goes_by(line);
            for question in stage.watcher.questions(stage.now) {
                let Question::Sql(want, sql) = question else { panic!("{question:?}") };
                assert!(matches!(want, Want::Value(_)), "{want:?}");
                let from = stage.now + shift - 10 * SECOND;
                assert!(sql.contains(&format!("time >= {}", instant(from))), "{sql}");
                let told = Answer::Table(Ok(table(&["v"], json!([[value]]))));
                stage.watcher.answered(want, told, stage.now, stage.now);
            }
            stage.evaluate().0
        };
        for _ in 0..30 {
            second(&mut stage, 0, 0, 1);
        }
        let after: Vec<Decision> = (0..90).map(|_| second(&mut stage, ahead, shift, 1)).collect();
        let stopped = after.iter().find(|seen| seen.verdict == Verdict::Stop);
        if hours < 0 && followed {
            let stop = stopped.unwrap_or_else(|| panic!("{after:?}"));
            assert_eq!(stop.reason.as_deref(), Some("pipeline_gap"), "{stop:?}");
            assert!(stop.detail.contains("the clock was set"), "{stop:?}");
            continue;
        }
        assert!(
            after.iter().all(|seen| seen.verdict == Verdict::Go),
            "{hours} {followed}: {after:?}"
        );
        let failing = (0..7).map(|_| second(&mut stage, ahead, shift, 9));
        assert!(
            failing.into_iter().any(|seen| seen.verdict == Verdict::Stop),
            "{hours} {followed}"
        );
    }
}
