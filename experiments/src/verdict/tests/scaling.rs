use super::shop::{DOCUMENT, Harm, Run, SECOND, asked, run};
use crate::indicator::scale::{Point, What};
use crate::verdict::evidence::{Gap, Source};
use crate::verdict::{Reason, Verdict, judge};

/// Two pods, and from 65 s after the injection four: ready after `ready` seconds
/// more, with `most` wanted at most; told every 10 s.
fn scaled(ready: i64, most: f64) -> Run {
    let text = DOCUMENT.replace(
        "expect: {recovery: 120s}",
        "expect: {scaling: {workload: pay, model: pay-hpa, time-to-ready: 60s, overshoot: 30%}}",
    );
    let mut run = run(&text, 3, Harm::default());
    let inject = run.window.inject;
    let points = (-3..30).flat_map(|at| {
        let since = at * 10;
        let wanted = match since {
            since if since < 70 => 2.0,
            since if since < 140 => most,
            _ => 4.0,
        };
        let up = if since < 70 + ready { 2.0 } else { most.max(4.0) };
        let point = |what, value| Point { what, at: inject + since * SECOND, value };
        [point(What::Desired, wanted), point(What::Ready, up), point(What::Limit, 10.0)]
    });
    run.evidence.scaling = Some(asked(points.collect()));
    run
}

/// What was found of the time to ready and of the overshoot.
fn found(run: &Run) -> [(Verdict, Option<Reason>); 2] {
    let judgement = judge(&run.experiment, &run.window, &run.evidence);
    let of = |what: &str| {
        let named =
            |f: &&crate::verdict::Finding| f.hypothesis == format!("scaling of pay: {what}");
        let finding = judgement.findings.iter().find(named).unwrap();
        assert!(judgement.ruling.verdict >= finding.ruling.verdict);
        (finding.ruling.verdict, finding.ruling.reason)
    };
    ["time to ready", "overshoot"].map(of)
}

fn points(run: &mut Run) -> &mut Vec<Point> {
    run.evidence.scaling.as_mut().unwrap().answer.as_mut().unwrap()
}

const HELD: (Verdict, Option<Reason>) = (Verdict::Held, None);
const DEVIATED: (Verdict, Option<Reason>) = (Verdict::Deviated, None);

fn inconclusive(reason: Reason) -> (Verdict, Option<Reason>) {
    (Verdict::Inconclusive, Some(reason))
}

/// Scenario: pods are ready soon, late, about when they must be, and never; twice
/// as many as needed are wanted; the limit is reached.
/// Guarantees: held, deviated, and too few where points lie too far apart to
/// tell; an overshoot deviates, and so does a ceiling.
#[test]
fn scaling_is_judged_by_its_points() {
    assert_eq!(found(&scaled(30, 4.0)), [HELD, HELD]);
    assert_eq!(found(&scaled(90, 4.0))[0], DEVIATED);
    assert_eq!(found(&scaled(60, 4.0))[0], inconclusive(Reason::TooFew));
    assert_eq!(found(&scaled(9_999, 4.0))[0], DEVIATED);
    assert_eq!(found(&scaled(30, 8.0)), [HELD, DEVIATED]);
    assert_eq!(found(&scaled(30, 10.0)), [DEVIATED; 2]);
}

/// Scenario: nothing tells what was wanted, ready or allowed, or what was wanted
/// before; more were never wanted; points end early; metrics are behind; the
/// answer is an error, or was never asked for.
/// Guarantees: J2: none of it is held.
#[test]
fn inv_j2_scaling_that_is_not_told_shows_nothing() {
    let without = |keep: &dyn Fn(&Point) -> bool| {
        let mut run = scaled(30, 4.0);
        points(&mut run).retain(|point| keep(point));
        found(&run)
    };
    let inject = scaled(30, 4.0).window.inject;
    for what in [What::Desired, What::Ready, What::Limit] {
        assert_eq!(without(&|point| point.what != what), [inconclusive(Reason::NoData); 2]);
    }
    let late = without(&|point| point.at > inject);
    assert_eq!(late, [inconclusive(Reason::NoData); 2]);
    let early = without(&|point| point.at < inject + 75 * SECOND);
    assert_eq!(early, [inconclusive(Reason::TooFew); 2]);
    let mut still = scaled(30, 4.0);
    points(&mut still).iter_mut().for_each(|point| point.value = 2.0);
    assert_eq!(found(&still), [inconclusive(Reason::NoEffect); 2]);
    let mut behind = scaled(30, 4.0);
    let flow = behind.evidence.flows.get_mut(&Source::Metrics).unwrap().answer.as_mut().unwrap();
    flow.watermark = Some(inject);
    assert_eq!(found(&behind), [inconclusive(Reason::PipelineGap); 2]);
    let mut refused = scaled(30, 4.0);
    refused.evidence.scaling.as_mut().unwrap().answer = Err(Gap::Error("no".into()));
    assert_eq!(found(&refused), [inconclusive(Reason::Error); 2]);
    refused.evidence.scaling = None;
    assert_eq!(found(&refused), [inconclusive(Reason::Error); 2]);
}
