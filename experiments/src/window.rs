//! A run's window and its phases, cut into buckets. Times are nanoseconds since
//! 1970 and given; nothing here asks what time it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::scope::{Baseline, WindowPlan};
use crate::document::units::Period;

/// The unit of analysis.
pub const BUCKET: Period = Period::secs(5);

/// A baseline that ends so long before the injection is another time's.
pub const SEASON: Period = Period::secs(3_600);

/// A stretch of whole buckets, counted from its own start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    pub from: i64,
    pub buckets: u32,
}

impl Span {
    /// The whole buckets between two times; what is left over is in none.
    pub fn between(from: i64, to: i64) -> Span {
        let length = to.saturating_sub(from).max(0) / BUCKET.nanos();
        Span { from, buckets: u32::try_from(length).unwrap_or(u32::MAX) }
    }

    pub fn to(self) -> i64 {
        self.from.saturating_add(i64::from(self.buckets).saturating_mul(BUCKET.nanos()))
    }

    pub fn seconds(self) -> f64 {
        f64::from(self.buckets) * BUCKET.0.as_secs_f64()
    }

    /// The same stretch so long before.
    pub fn earlier(self, ago: Period) -> Span {
        Span { from: self.from.saturating_sub(ago.nanos()), ..self }
    }

    /// And so long after.
    pub fn later(self, by: Period) -> Span {
        Span { from: self.from.saturating_add(by.nanos()), ..self }
    }

    pub fn overlaps(self, other: Span) -> bool {
        self.from < other.to() && other.from < self.to()
    }
}

/// One run, declared or merely observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    pub run_id: String,
    pub inject: i64,
    pub recover: i64,
    /// How far source and receiver may disagree on these; buckets inside belong
    /// to no phase.
    pub uncertainty_ms: u64,
    /// Other windows that are known of, from injection to the end of recovery.
    #[serde(default)]
    pub others: Vec<Span>,
    /// The guard that stopped the run.
    #[serde(default)]
    pub aborted: Option<String>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Baseline,
    Injection,
    Recovery,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Baseline => "baseline",
            Phase::Injection => "injection",
            Phase::Recovery => "recovery",
        }
    }
}

/// The phases of a window by its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phases {
    pub baseline: Span,
    pub injection: Span,
    /// Of no bucket when the plan has no recovery.
    pub recovery: Span,
}

impl Phases {
    pub fn of(window: &Window, plan: &WindowPlan) -> Phases {
        let unsure = Period::millis(window.uncertainty_ms).nanos();
        let settle = plan.settle.nanos().max(unsure);
        let start = window.inject.saturating_sub(unsure);
        let end = window.recover.saturating_add(unsure);
        let injection = Span::between(
            window.inject.saturating_add(settle),
            window.recover.saturating_sub(unsure),
        );
        let baseline = match plan.baseline {
            Baseline::Before(length) => Span::between(start.saturating_sub(length.nanos()), start),
            Baseline::Like(ago) => injection.earlier(ago),
        };
        Phases {
            baseline,
            injection,
            recovery: Span::between(end, end.saturating_add(plan.recovery.nanos())),
        }
    }

    pub fn get(&self, phase: Phase) -> Span {
        match phase {
            Phase::Baseline => self.baseline,
            Phase::Injection => self.injection,
            Phase::Recovery => self.recovery,
        }
    }

    /// How long before the injection its baseline lies, where that is another
    /// day's.
    pub fn season(&self) -> Option<Period> {
        let apart = self.injection.from.saturating_sub(self.baseline.to());
        let ago = self.injection.from.saturating_sub(self.baseline.from);
        let ago = Period::nanoseconds(ago);
        (apart >= SEASON.nanos()).then_some(ago)
    }

    /// Where the run begins: with its baseline, unless that is another day's.
    pub fn start(&self) -> i64 {
        if self.season().is_some() { self.injection.from } else { self.baseline.from }
    }

    pub fn end(&self) -> i64 {
        if self.recovery.buckets > 0 { self.recovery.to() } else { self.injection.to() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a window whose edges are a second unsure, with a settle time; the
    /// same with the time a week ago for a baseline.
    /// Guarantees: phases are whole buckets, and none holds what is unsure or
    /// settling; what was a week ago is as long, and no part of the run.
    #[test]
    fn phases_leave_out_what_is_unsure() {
        let second = 1_000_000_000;
        let window = Window {
            run_id: "r".into(),
            inject: 1_000 * second,
            recover: 1_062 * second,
            uncertainty_ms: 1_000,
            others: Vec::new(),
            aborted: None,
        };
        let plan = WindowPlan { recovery: Period::secs(30), ..WindowPlan::default() };
        let phases = Phases::of(&window, &plan);
        assert_eq!(phases.baseline, Span { from: 399 * second, buckets: 120 });
        assert_eq!(phases.baseline.to(), 999 * second);
        assert_eq!(phases.injection, Span { from: 1_015 * second, buckets: 9 });
        assert_eq!(phases.recovery, Span { from: 1_063 * second, buckets: 6 });
        let empty = Phases::of(&Window { recover: 900 * second, ..window.clone() }, &plan);
        assert_eq!(empty.injection.buckets, 0);
        assert_eq!((phases.season(), phases.start()), (None, phases.baseline.from));
        let week = Period::secs(7 * 86_400);
        let plan = WindowPlan { baseline: Baseline::Like(week), ..plan };
        let like = Phases::of(
            &Window { inject: week.nanos() * 2, recover: week.nanos() * 2 + 62 * second, ..window },
            &plan,
        );
        assert_eq!(like.baseline, like.injection.earlier(week));
        assert_eq!((like.season(), like.start()), (Some(week), like.injection.from));
    }
}
