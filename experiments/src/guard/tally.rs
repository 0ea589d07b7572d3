//! Counts of rows that can be added up: a second's, a window's, or all since
//! the injection.

use std::collections::BTreeMap;

use crate::document::provider::{Indicator, Measure};
use crate::indicator::text::{CELLS, cell_millis};
use crate::statistics::bootstrap;

/// One row, as far as guards count it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Hashed from the columns that make a row distinct in the judge's SQL.
    pub id: u64,
    /// When what it tells of was over, in nanoseconds since 1970.
    pub ended: i64,
    /// Its duration's cell, as the judge's SQL cuts them.
    pub cell: u16,
    pub error: bool,
    /// A log record that names its trace.
    pub traced: bool,
    /// For how many it stands; `None` of a sampled span that does not say.
    pub weight: Option<f64>,
}

/// The cell of a duration. Longer ones than 17 years share the last.
pub fn cell(nanos: i64) -> u16 {
    ((nanos.max(1_000) as f64).ln() * CELLS).floor().min(f64::from(u16::MAX)) as u16
}

/// Rows, and what they stand for. One that does not say for how many stands for
/// itself here, and is counted as unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Rows that were seen.
    pub n: u64,
    /// Rows that stand for an unknown number of others.
    pub unknown: u64,
    pub all: f64,
    pub errors: f64,
    pub traced: f64,
    /// By the cell of their duration: about 1 % wide, so that an hour has at most
    /// 2,200 of them.
    pub cells: BTreeMap<u16, f64>,
}

impl Tally {
    pub fn count(&mut self, mark: &Mark) {
        let weight = mark.weight.unwrap_or(1.0);
        let part = |is: bool| if is { weight } else { 0.0 };
        self.n += 1;
        self.unknown += u64::from(mark.weight.is_none());
        self.all += weight;
        self.errors += part(mark.error);
        self.traced += part(mark.traced);
        *self.cells.entry(mark.cell).or_default() += weight;
    }

    pub fn add(&mut self, other: &Tally) {
        self.n += other.n;
        self.unknown += other.unknown;
        self.all += other.all;
        self.errors += other.errors;
        self.traced += other.traced;
        for (cell, n) in &other.cells {
            *self.cells.entry(*cell).or_default() += n;
        }
    }

    /// The indicator's value in its own unit, over so many seconds; `None` of
    /// no row, and for what no row can tell.
    pub fn value(&self, measure: &Measure, seconds: f64) -> Option<f64> {
        if self.n == 0 {
            return None;
        }
        let share = |part: f64| part / self.all;
        Some(match measure.indicator {
            Indicator::Rate => self.all / seconds.max(1e-3),
            Indicator::Errors => self.errors,
            Indicator::ErrorRatio => share(self.errors),
            Indicator::BurnRate => share(self.errors) / (1.0 - measure.objective?.0),
            Indicator::TraceIdRatio => share(self.traced),
            Indicator::RootSuccess => share(self.all - self.errors),
            Indicator::Quantile(level) => {
                let cells: Vec<(f64, f64)> = self
                    .cells
                    .iter()
                    .map(|(cell, n)| (cell_millis(i64::from(*cell)), *n))
                    .collect();
                bootstrap::quantile(&cells, level.share())
            }
            _ => return None,
        })
    }
}
