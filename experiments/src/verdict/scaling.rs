//! `expect.scaling`: how soon pods were ready once more were wanted, how far that
//! went past what was needed, and whether a limit was in the way. Told by points,
//! so a time is known to lie between two of them.

use crate::document::Experiment;
use crate::document::probe::Severity;
use crate::document::scope::Scaling;
use crate::indicator::scale::{Point, What};
use crate::window::{Phase, Window};

use super::evidence::{Evidence, Gap, Source};
use super::finding::{Finding, Reason, Ruling, Verdict};
use super::missing::{self, Sight};

/// Points from which is read where it settled.
const SETTLED: usize = 3;

/// One finding for each thing that is expected of scaling.
pub fn judge(experiment: &Experiment, window: &Window, evidence: &Evidence) -> Vec<Finding> {
    let Some(scaling) = &experiment.expect.scaling else { return Vec::new() };
    let asked = evidence.scaling.as_ref();
    let expected = [
        ("time to ready", scaling.time_to_ready.is_some()),
        ("overshoot", scaling.overshoot.is_some()),
    ];
    let named = expected.into_iter().filter(|(_, said)| *said).map(|(what, _)| {
        let ruling = match asked.map(|asked| &asked.answer) {
            None => Ruling::inconclusive(Reason::Error, "replicas were not asked for"),
            Some(Err(Gap::Error(why))) => Ruling::inconclusive(Reason::Error, why.clone()),
            Some(Err(Gap::Incomplete(why))) => {
                Ruling::inconclusive(Reason::PipelineGap, why.clone())
            }
            Some(Ok(points)) => {
                let case = Case { scaling, window, points };
                case.judge(what)
                    .map_or_else(|open| open, |ruling| capped(experiment, evidence, ruling))
            }
        };
        Finding {
            hypothesis: format!("scaling of {}: {what}", scaling.workload),
            severity: Severity::Critical,
            phase: Some(Phase::Injection),
            ruling,
            numbers: None,
            evidence_sql: asked.iter().map(|asked| asked.sql.clone()).collect(),
        }
    });
    named.collect()
}

/// What would hold waits for what may come late.
fn capped(experiment: &Experiment, evidence: &Evidence, ruling: Ruling) -> Ruling {
    if ruling.verdict != Verdict::Held {
        return ruling;
    }
    let late = experiment.window.late.nanos();
    match missing::sight(evidence, Source::Metrics, Phase::Injection, late) {
        Sight::Whole => ruling,
        Sight::Late(why) => Ruling::inconclusive(Reason::Late, why),
        Sight::Behind(why) => Ruling::inconclusive(Reason::PipelineGap, why),
    }
}

struct Case<'a> {
    scaling: &'a Scaling,
    window: &'a Window,
    points: &'a [Point],
}

/// Where more was wanted: the last point before, and the first that says so.
struct Rise {
    before: i64,
    at: i64,
}

impl Case<'_> {
    fn of(&self, what: What) -> impl DoubleEndedIterator<Item = &Point> {
        self.points.iter().filter(move |point| point.what == what)
    }

    /// An error is what keeps it from being judged.
    fn judge(&self, what: &str) -> Result<Ruling, Ruling> {
        let rise = self.rise()?;
        if let Some(reached) = self.ceiling(&rise)? {
            return Ok(Ruling::deviated(reached));
        }
        if what == "overshoot" { self.overshoot(&rise) } else { self.ready(&rise) }
    }

    fn rise(&self) -> Result<Rise, Ruling> {
        let no_data = |detail: String| Ruling::inconclusive(Reason::NoData, detail);
        let workload = &self.scaling.workload;
        for (what, words) in [(What::Desired, "are wanted"), (What::Ready, "are ready")] {
            if self.of(what).next().is_none() {
                return Err(no_data(format!("nothing tells how many pods of {workload} {words}")));
            }
        }
        let mut last =
            self.of(What::Desired).take_while(|point| point.at <= self.window.inject).last();
        let Some(usual) = last else {
            return Err(no_data(format!(
                "nothing tells how many pods of {workload} were wanted before the injection"
            )));
        };
        for point in self.of(What::Desired).filter(|point| point.at > self.window.inject) {
            if point.at > self.window.recover {
                break;
            }
            if point.value > usual.value {
                let before = last.map_or(point.at, |last| last.at);
                return Ok(Rise { before, at: point.at });
            }
            last = Some(point);
        }
        let detail = format!("more than {} pods of {workload} were never wanted", usual.value);
        Err(Ruling::inconclusive(Reason::NoEffect, detail))
    }

    /// Whether more would have been wanted than may be.
    fn ceiling(&self, rise: &Rise) -> Result<Option<String>, Ruling> {
        let Some(model) = &self.scaling.model else { return Ok(None) };
        let Some(limit) = self.of(What::Limit).next_back() else {
            let detail = format!("nothing tells the limit of {model}");
            return Err(Ruling::inconclusive(Reason::NoData, detail));
        };
        let during = |point: &&Point| (rise.at..=self.window.recover).contains(&point.at);
        let reached = self.of(What::Desired).filter(during).any(|point| point.value >= limit.value);
        Ok(reached.then(|| format!("ceiling: {model} reached its limit of {} pods", limit.value)))
    }

    fn ready(&self, rise: &Rise) -> Result<Ruling, Ruling> {
        let Some(limit) = self.scaling.time_to_ready else {
            return Err(Ruling::inconclusive(Reason::Error, "no time was expected"));
        };
        let wanted = |at: i64| {
            let known = self.of(What::Desired).take_while(|point| point.at <= at).last();
            known.map_or(f64::INFINITY, |point| point.value)
        };
        let seconds = |nanos: i64| nanos as f64 / 1e9;
        let mut last = rise.at;
        for point in self.of(What::Ready).filter(|point| point.at >= rise.at) {
            if point.value < wanted(point.at) {
                last = point.at;
                continue;
            }
            let (least, most) = (last - rise.at, point.at - rise.before);
            let told = format!(
                "ready {:.0} to {:.0} s after more were wanted, expected within {limit}",
                seconds(least),
                seconds(most)
            );
            return Ok(match (most <= limit.nanos(), least > limit.nanos()) {
                (true, _) => Ruling::held(told),
                (_, true) => Ruling::deviated(told),
                _ => Ruling::inconclusive(
                    Reason::TooFew,
                    format!("{told}: points are too far apart"),
                ),
            });
        }
        let waited = last - rise.at;
        let told = format!(
            "not ready {:.0} s after more were wanted, expected within {limit}",
            seconds(waited)
        );
        match waited > limit.nanos() {
            true => Ok(Ruling::deviated(told)),
            false => Err(Ruling::inconclusive(
                Reason::TooFew,
                format!("{told}, and nothing was told later"),
            )),
        }
    }

    /// The most that was wanted, beside where it settled: the last third.
    fn overshoot(&self, rise: &Rise) -> Result<Ruling, Ruling> {
        let Some(limit) = self.scaling.overshoot else {
            return Err(Ruling::inconclusive(Reason::Error, "no overshoot was expected"));
        };
        let during = |point: &&Point| (rise.at..=self.window.recover).contains(&point.at);
        let wanted: Vec<f64> =
            self.of(What::Desired).filter(during).map(|point| point.value).collect();
        let third = wanted.len() / 3;
        if third < SETTLED {
            let detail = format!(
                "{} points since more were wanted; {} are needed",
                wanted.len(),
                3 * SETTLED
            );
            return Err(Ruling::inconclusive(Reason::TooFew, detail));
        }
        let settled =
            crate::statistics::rank::median_of(wanted[wanted.len() - third..].iter().copied());
        let most = wanted.iter().copied().fold(0.0, f64::max);
        if settled <= 0.0 {
            return Err(Ruling::inconclusive(Reason::Error, "it settled at no pod at all"));
        }
        let over = most / settled - 1.0;
        let told = format!(
            "{most} pods were wanted at most and {settled} in the end: {:.0} % over, tolerated is {limit}",
            over * 100.0
        );
        Ok(if over <= limit.0 { Ruling::held(told) } else { Ruling::deviated(told) })
    }
}
