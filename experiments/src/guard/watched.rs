//! One guard of a run: where it looks, and what it sees there.

use super::asked::{Reading, frozen_tally};
use super::flow::{Flow, KEPT};
use super::ring::{Ring, SECOND};
use super::state::{Sight, State};
use super::subject::Subject;
use super::tally::Tally;
use crate::document::guard::{Guard, Mode, NoData, Over, Threshold, Watch};
use crate::document::provider::{Family, Measure, Nature, Provider};
use crate::document::tolerance::Criteria;
use crate::document::units::Period;
use crate::verdict::evidence::{Gap, Source};
use crate::verdict::finding::Reason;
use crate::verdict::missing::{EXPECTED, FLOWING, VANISHED};

/// An answer older than this is none any more.
const STALE: Period = Period::secs(20);
/// The shortest look for silence: two batches of an SDK.
const SILENCE: i64 = 10;
/// Looks that must find something off target: a discovery may be a false one.
const TWICE: u32 = 2;

/// What was usual before: of the subject and of everybody, in rows per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usual {
    pub own: f64,
    pub others: f64,
}

#[derive(Debug)]
pub enum How {
    /// Told by the rows on their way in.
    Heard(Measure, Subject),
    /// Asked by SQL every few seconds.
    Asked {
        provider: Provider,
        answer: Option<(i64, Result<Reading, Gap>)>,
    },
    Radius {
        /// When it looked last, and how often in a row it found something beyond.
        looks: Option<(i64, Result<u32, Sight>)>,
        beyond: String,
    },
    Health,
}

/// One guard and how it stands.
#[derive(Debug)]
pub struct Watched {
    pub guard: Guard,
    pub how: How,
    pub state: State,
    pub usual: Option<Usual>,
    /// Why it does not ask, where it does not.
    pub doubt: Option<String>,
    /// What it saw last.
    pub value: Option<f64>,
    pub n: u64,
}

/// What a run's guards look at, at one moment.
pub struct Scene<'a> {
    pub now: i64,
    pub injected: Option<i64>,
    /// When the blast radius can first be looked at.
    pub first: Option<i64>,
    pub flow: &'a Flow,
    /// The tables that the run's guards read.
    pub sources: &'a [Source],
}

impl Watched {
    pub fn new(guard: &Guard) -> Watched {
        let (how, lasting) = match &guard.watch {
            Watch::TelemetryHealth => (How::Health, Period::default()),
            Watch::BlastRadius => {
                (How::Radius { looks: None, beyond: String::new() }, Period::default())
            }
            Watch::Threshold(threshold) => {
                let measure = match &threshold.provider {
                    Provider::Measure(measure) => Subject::of(measure).map(|s| (measure, s)),
                    Provider::Sql { .. } => None,
                };
                let how = match measure {
                    Some((measure, subject)) => How::Heard(measure.clone(), subject),
                    None => How::Asked { provider: threshold.provider.clone(), answer: None },
                };
                (how, threshold.lasting)
            }
        };
        let state = State::new(lasting, guard.grace, guard.no_data);
        Watched { guard: guard.clone(), how, state, usual: None, doubt: None, value: None, n: 0 }
    }

    pub fn enforces(&self) -> bool {
        self.guard.mode == Mode::Enforce
    }

    pub fn threshold(&self) -> Option<&Threshold> {
        match &self.guard.watch {
            Watch::Threshold(threshold) => Some(threshold),
            _ => None,
        }
    }

    /// Whole seconds of its window; none of one that counts since the injection.
    pub fn seconds(&self) -> Option<i64> {
        match self.threshold()?.over {
            Over::Window(window) => Some(((window.nanos() + SECOND - 1) / SECOND).max(1)),
            Over::SinceInject => None,
        }
    }

    /// Seconds over which silence is looked for.
    pub fn silence(&self) -> i64 {
        self.seconds().unwrap_or(SILENCE).clamp(SILENCE, KEPT)
    }

    pub fn sight(&mut self, ring: Option<&Ring>, scene: &Scene<'_>) -> Sight {
        (self.value, self.n) = (None, 0);
        match &self.how {
            How::Health => match scene.flow.gap(scene.sources, scene.now) {
                Some(why) => Sight::blind(Reason::PipelineGap, why),
                None => Sight::Seen { holds: false, reason: None, detail: String::new() },
            },
            How::Radius { looks, beyond } => match (scene.first, looks) {
                (None, _) => Sight::Waiting,
                (Some(first), None) if scene.now - first < STALE.nanos() * 2 => Sight::Waiting,
                (_, Some((at, Ok(looks)))) if scene.now - at < STALE.nanos() * 6 => {
                    Sight::Seen { holds: *looks >= TWICE, reason: None, detail: beyond.clone() }
                }
                (_, Some((at, Err(blind)))) if scene.now - at < STALE.nanos() * 6 => blind.clone(),
                _ => self.unanswered("the engine does not answer"),
            },
            How::Asked { answer, .. } => self.asked(answer.clone(), scene),
            How::Heard(measure, subject) => match ring {
                Some(ring) => self.heard(&measure.clone(), &subject.clone(), ring, scene),
                None => Sight::blind(Reason::PipelineGap, "its rows are not listened to"),
            },
        }
    }

    fn asked(&mut self, answer: Option<(i64, Result<Reading, Gap>)>, scene: &Scene<'_>) -> Sight {
        if self.seconds().is_none() && scene.injected.is_none() {
            return Sight::Waiting;
        }
        let stale = |at: i64| scene.now.saturating_sub(at) > STALE.nanos();
        let reading = match answer {
            Some((at, _)) if stale(at) => {
                return self.unanswered("the engine does not answer any more");
            }
            None => return self.unanswered("the engine has not answered yet"),
            Some((_, Err(Gap::Error(why)))) => return Sight::blind(Reason::Error, why),
            Some((_, Err(Gap::Incomplete(why)))) => return Sight::blind(Reason::PipelineGap, why),
            Some((_, Ok(reading))) => reading,
        };
        self.judge(reading, false)
    }

    fn unanswered(&self, why: &str) -> Sight {
        Sight::blind(Reason::PipelineGap, self.doubt.as_deref().unwrap_or(why))
    }

    fn heard(
        &mut self,
        measure: &Measure,
        subject: &Subject,
        ring: &Ring,
        scene: &Scene<'_>,
    ) -> Sight {
        let (tally, seconds) = match (self.seconds(), scene.injected) {
            (Some(seconds), _) => {
                // The second under way is not over.
                let part = scene.now.rem_euclid(SECOND) as f64 / SECOND as f64;
                (ring.window(scene.now, seconds), (seconds - 1) as f64 + part)
            }
            (None, Some(at)) => (ring.total(), (scene.now.saturating_sub(at)) as f64 / 1e9),
            (None, None) => return Sight::Waiting,
        };
        let frozen = frozen_tally(measure, &tally);
        let reading = Reading { value: tally.value(measure, seconds), n: tally.n, frozen };
        if tally.unknown > 0 {
            return self.biased(measure, &tally, reading);
        }
        let first = match self.seconds() {
            Some(seconds) => scene.now.div_euclid(SECOND) + 1 - seconds.max(self.silence()),
            None => scene.injected.map_or(i64::MIN, |at| at.div_euclid(SECOND)),
        };
        if !ring.knows(first) {
            // What is missing cannot undo what stops a run.
            return match self.judge(reading, true) {
                stop @ Sight::Seen { holds: true, .. } => stop,
                _ => Sight::blind(Reason::PipelineGap, "rows that were not heard are asked for"),
            };
        }
        if let Some(silence) = self.silent(measure, subject, ring, scene) {
            return silence;
        }
        self.judge(reading, false)
    }

    /// Of rows that stand for an unknown number of others. Each stands for one at
    /// least, so that a count of them that is too high is too high; all else may
    /// be anything.
    fn biased(&mut self, measure: &Measure, tally: &Tally, reading: Reading) -> Sight {
        let above = self.threshold().is_some_and(|threshold| {
            matches!(threshold.when.criteria, Criteria::More | Criteria::AtLeast)
        });
        if above && measure.indicator.nature() == Nature::Count {
            let judged = self.judge(reading, true);
            if matches!(judged, Sight::Seen { holds: true, .. }) {
                return judged;
            }
        }
        (self.value, self.n) = (None, tally.n);
        let detail = format!(
            "{} of {} spans stand for an unknown number of others: their trace state has no threshold",
            tally.unknown, tally.n
        );
        Sight::blind(Reason::Biased, detail)
    }

    /// Whether a subject that is usually asked is not any more.
    fn silent(
        &self,
        measure: &Measure,
        subject: &Subject,
        ring: &Ring,
        scene: &Scene<'_>,
    ) -> Option<Sight> {
        let usual = self.usual?;
        let seconds = self.silence();
        let n = ring.window(scene.now, seconds).all;
        let expected = usual.own * seconds as f64;
        if !matches!(measure.family, Family::Red | Family::Slo | Family::Trace)
            || expected < EXPECTED
            || n >= VANISHED * expected
        {
            return None;
        }
        let source = subject.stream.source();
        let others = scene.flow.others(source, &subject.service, scene.now, seconds);
        let told = format!(
            "{n:.0} of about {expected:.0} expected rows of {} in {seconds} s",
            measure.subject
        );
        Some(match usual.others > 0.0 && others >= FLOWING * usual.others {
            true => Sight::Seen {
                holds: true,
                reason: Some(Reason::Silence),
                detail: format!("{told}, while others go on"),
            },
            false => {
                Sight::blind(Reason::PipelineGap, format!("{told}, and others are silent too"))
            }
        })
    }

    /// A reading against the guard's condition.
    fn judge(&mut self, reading: Reading, partly: bool) -> Sight {
        let Some(threshold) = self.threshold().cloned() else { return Sight::Waiting };
        (self.value, self.n) = (reading.value, reading.n);
        let idle = self.usual.is_some_and(|usual| usual.own == 0.0);
        let Some(value) = reading.value else {
            if self.guard.no_data == NoData::Hold && idle {
                return Sight::Seen {
                    holds: false,
                    reason: Some(Reason::Idle),
                    detail: "idle".into(),
                };
            }
            return Sight::blind(Reason::NoData, format!("{} has no row", self.guard.name));
        };
        if !value.is_finite() {
            return Sight::blind(Reason::Error, format!("{value} is no value"));
        }
        let holds = threshold.when.criteria.holds(value, threshold.when.limit.value);
        if !holds && reading.frozen && !partly {
            let detail = format!("all {} values are the same", reading.n);
            return Sight::Seen { holds: true, reason: Some(Reason::DeadSignal), detail };
        }
        if reading.n < least(&threshold) {
            let detail = format!("{} of {} samples", reading.n, threshold.min_samples);
            // What little there is speaks against it: that is not borne for ever.
            return Sight::Blind { reason: Reason::TooFew, detail, aborts: holds };
        }
        let detail = format!(
            "{} is {value:.4} of {} samples, {}",
            self.guard.name, reading.n, threshold.when
        );
        Sight::Seen { holds, reason: None, detail }
    }

    /// Takes what lies beyond the declared blast radius, or why that is not known.
    pub fn looked(&mut self, now: i64, found: Result<Option<String>, Sight>) {
        let How::Radius { looks, beyond } = &mut self.how else { return };
        let before = match looks {
            Some((_, Ok(times))) => *times,
            _ => 0,
        };
        let times = found.map(|found| {
            *beyond = found.unwrap_or_default();
            if beyond.is_empty() { 0 } else { before + 1 }
        });
        *looks = Some((now, times));
    }
}

/// Samples without which a value says nothing. A count is what it is, and a
/// gauge or a query has no samples to speak of.
fn least(threshold: &Threshold) -> u64 {
    match &threshold.provider {
        Provider::Measure(measure)
            if !matches!(measure.indicator.nature(), Nature::Count | Nature::Gauge) =>
        {
            threshold.min_samples
        }
        _ => 1,
    }
}
