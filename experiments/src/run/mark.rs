//! What is said of a run's edges: who, when, and when it was heard.

use serde::{Deserialize, Serialize};

/// Whose word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The HTTP API, and the command line through it.
    Api,
    /// A log event or a span.
    Otlp,
    /// A Kubernetes event.
    K8s,
    /// A journal that was read afterwards.
    Import,
    /// A guard of ours.
    Guard,
    /// Nobody: the document's plan says that it was due.
    Plan,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Source::Api => "api",
            Source::Otlp => "otlp",
            Source::K8s => "k8s",
            Source::Import => "import",
            Source::Guard => "guard",
            Source::Plan => "plan",
        }
    }

    /// Whether it tells of what happened by itself, by a clock of its own.
    pub fn observes(self) -> bool {
        matches!(self, Source::Otlp | Source::K8s)
    }
}

/// When something happened by its source's clock, and when it was heard by ours;
/// nanoseconds since 1970, whole microseconds, which is what rows keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub at: i64,
    pub received: i64,
    pub source: Source,
}

/// Past this, the difference of two clocks is no clock's but a delivery's.
pub const MOST_UNSURE_MS: u64 = 60_000;

const MICRO: i64 = 1_000;

impl Moment {
    pub fn new(at: i64, received: i64, source: Source) -> Moment {
        let whole = |nanos: i64| nanos - nanos.rem_euclid(MICRO);
        Moment { at: whole(at), received: whole(received), source }
    }

    /// How far the source's clock and ours may disagree. What was not observed by
    /// another clock is as sure as it was said to be.
    pub fn unsure_ms(&self) -> u64 {
        match self.source.observes() {
            true => self.apart(self.received),
            false => 0,
        }
    }

    /// What came long after it happened.
    pub fn is_backdated(&self) -> bool {
        self.received.saturating_sub(self.at) / 1_000_000 > MOST_UNSURE_MS as i64
    }

    /// Milliseconds between this and another time, as far as clocks can explain
    /// them.
    pub fn apart(&self, other: i64) -> u64 {
        let millis = other.abs_diff(self.at).div_ceil(1_000_000);
        if millis > MOST_UNSURE_MS { 0 } else { millis }
    }
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// The fault is in place.
    Inject,
    /// It was removed.
    Recover,
    /// The run is over; a fault that is still in place is taken for removed.
    End,
    /// It was stopped, by a guard or by hand.
    Abort { guard: String, reason: String },
}

impl Mark {
    pub fn name(&self) -> &'static str {
        match self {
            Mark::Inject => "inject",
            Mark::Recover => "recover",
            Mark::End => "end",
            Mark::Abort { .. } => "abort",
        }
    }
}
