//! Signals of chaos in telemetry: an injector that says what it does, in an
//! event, a span, or a Kubernetes event of its own objects.
//!
//! | file | its part |
//! | --- | --- |
//! | [`matching`] | which run an event tells of |
//!
//! Deliberately not here: what an event makes of a run (`run`).

pub mod matching;

use serde::{Deserialize, Serialize};

use crate::run::{Mark, Moment, RunId, Source, Told};

/// What happened to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Start,
    Inject,
    Recover,
    End,
    Abort,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Start => "start",
            Kind::Inject => "inject",
            Kind::Recover => "recover",
            Kind::End => "end",
            Kind::Abort => "abort",
        }
    }
}

/// One signal, as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same when it is told again.
    pub id: String,
    pub kind: Kind,
    /// By its source's clock, in nanoseconds since 1970.
    pub at: i64,
    pub source: Source,
    /// The run's id, where the source has one.
    pub run: Option<RunId>,
    pub experiment: Option<String>,
    pub told: Told,
    /// The source's own word for it.
    pub reason: Option<String>,
    pub message: Option<String>,
    /// Where the row is: its table and predicate.
    pub raw_ref: String,
}

impl Event {
    pub fn moment(&self, received: i64) -> Moment {
        // Nothing was heard of before it happened: such a clock is ahead.
        Moment::new(self.at, received, self.source)
    }

    /// What it marks; a start only opens.
    pub fn mark(&self) -> Option<Mark> {
        Some(match self.kind {
            Kind::Start => return None,
            Kind::Inject => Mark::Inject,
            Kind::Recover => Mark::Recover,
            Kind::End => Mark::End,
            Kind::Abort => Mark::Abort {
                guard: self.told.injector.clone().unwrap_or_else(|| "injector".to_owned()),
                reason: self.message.clone().or_else(|| self.reason.clone()).unwrap_or_default(),
            },
        })
    }

    /// What a run is called that nobody named.
    pub fn name(&self) -> String {
        let named = [&self.experiment, &self.told.object, &self.told.fault];
        named.into_iter().flatten().next().cloned().unwrap_or_else(|| "observed".to_owned())
    }
}
