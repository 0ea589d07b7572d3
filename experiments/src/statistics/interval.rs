//! An estimate and how sure it is.

use serde::Serialize;

use crate::document::tolerance::Limits;

/// An estimate with its 95 % interval. The ends may be infinite: nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// Where an interval lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Wholly inside: equivalence is shown.
    Inside,
    /// Wholly outside: a deviation is shown.
    Outside,
    /// Neither is.
    Unclear,
}

impl Interval {
    pub fn new(estimate: f64, low: f64, high: f64) -> Interval {
        Interval { estimate, low, high }
    }

    /// Nothing is known but the estimate.
    pub fn unknown(estimate: f64) -> Interval {
        Interval { estimate, low: f64::NEG_INFINITY, high: f64::INFINITY }
    }

    /// Each half as many times as wide.
    pub fn widened(self, factor: f64) -> Interval {
        let Interval { estimate, low, high } = self;
        let (low, high) =
            (estimate - (estimate - low) * factor, estimate + (high - estimate) * factor);
        Interval { estimate, low, high }
    }

    pub fn shifted(self, by: f64) -> Interval {
        Interval { estimate: self.estimate + by, low: self.low + by, high: self.high + by }
    }

    pub fn scaled(self, by: f64) -> Interval {
        Interval { estimate: self.estimate * by, low: self.low * by, high: self.high * by }
    }

    pub fn is_known(&self) -> bool {
        self.low.is_finite() && self.high.is_finite() && self.estimate.is_finite()
    }

    /// NaN anywhere is unclear, never inside.
    pub fn standing(&self, limits: Limits) -> Standing {
        let inside =
            limits.low.is_none_or(|l| self.low >= l) && limits.high.is_none_or(|h| self.high <= h);
        let outside =
            limits.low.is_some_and(|l| self.high < l) || limits.high.is_some_and(|h| self.low > h);
        match (inside && self.is_known(), outside) {
            (true, _) => Standing::Inside,
            (_, true) => Standing::Outside,
            _ => Standing::Unclear,
        }
    }
}
