//! Counts of rows that can be added up: a second's, a window's, or all since
//! the injection.

use std::collections::BTreeMap;

use crate::document::provider::{Indicator, Measure};
use crate::indicator::text::{CELLS, cell_millis};
use crate::statistics::bootstrap;

/// One row, as far as guards count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// A span that stands for others (a sampling threshold above zero).
    pub sampled: bool,
}

/// The cell of a duration. Longer ones than 17 years share the last.
pub fn cell(nanos: i64) -> u16 {
    ((nanos.max(1_000) as f64).ln() * CELLS).floor().min(f64::from(u16::MAX)) as u16
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub n: u64,
    pub errors: u64,
    pub traced: u64,
    pub sampled: u64,
    /// Rows by the cell of their duration: about 1 % wide, so that an hour has
    /// at most 2,200 of them.
    pub cells: BTreeMap<u16, u64>,
}

impl Tally {
    pub fn count(&mut self, mark: &Mark) {
        self.n += 1;
        self.errors += u64::from(mark.error);
        self.traced += u64::from(mark.traced);
        self.sampled += u64::from(mark.sampled);
        *self.cells.entry(mark.cell).or_default() += 1;
    }

    pub fn add(&mut self, other: &Tally) {
        self.n += other.n;
        self.errors += other.errors;
        self.traced += other.traced;
        self.sampled += other.sampled;
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
        let share = |part: u64| part as f64 / self.n as f64;
        Some(match measure.indicator {
            Indicator::Rate => self.n as f64 / seconds.max(1e-3),
            Indicator::Errors => self.errors as f64,
            Indicator::ErrorRatio => share(self.errors),
            Indicator::BurnRate => share(self.errors) / (1.0 - measure.objective?.0),
            Indicator::TraceIdRatio => share(self.traced),
            Indicator::RootSuccess => share(self.n - self.errors),
            Indicator::Quantile(level) => {
                let cells: Vec<(f64, f64)> = self
                    .cells
                    .iter()
                    .map(|(cell, n)| (cell_millis(i64::from(*cell)), *n as f64))
                    .collect();
                bootstrap::quantile(&cells, level.share())
            }
            _ => return None,
        })
    }
}
