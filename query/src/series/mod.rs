//! What the points of a metric's series say about a stretch of time: pure
//! arithmetic, without SQL and without I/O.
//!
//! ```text
//! points of one series, by time ─► Series ─► increases ─► a step's sum ─► rate, quantile
//! ```
//!
//! Rates are made here, per series, because nothing that is made out of a sum
//! of counters can tell a restart of one of them from work.
//!
//! | file | what |
//! | --- | --- |
//! | this | [`Point`], [`Series`]: from points to increases; resets, gaps, both temporalities |
//! | [`number`] | counts and sums, integers kept exact |
//! | [`histogram`] | explicit bounds |
//! | [`exponential`] | exponential buckets: scales, the zero bucket, both signs |
//! | [`quantile`] | a value out of buckets, of whatever kind |
//!
//! The rules, in nanoseconds, where `reach` is the longest stretch between two
//! points that still belong together:
//!
//! - A **delta** point is its own increase, over its own interval.
//! - A **cumulative** point's increase is what it has more than the point before
//!   it, over the time between them. After a reset it is all that it has: a
//!   reset is a start that is not before the last point, or a value that fell.
//! - With no point before it within reach, a cumulative point counts from its
//!   own start, if that is within reach; else it only is where the next begins.
//!   So a gap longer than reach stays a gap, and what a step holds does not
//!   depend on where the question begins.
//! - A point at the time of the last one is that one again.

pub(crate) mod exponential;
pub(crate) mod histogram;
pub(crate) mod number;
pub(crate) mod quantile;
#[cfg(test)]
mod tests;

/// Whether a point says what happened since the last one, or since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temporality {
    Cumulative,
    Delta,
}

/// A reading; times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point<T> {
    /// Unknown if absent.
    pub start: Option<i64>,
    pub time: i64,
    pub value: T,
}

/// What a cumulative reading is, seen from an earlier one of its series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Since<T> {
    /// It has this much more.
    More(T),
    /// It has less, so it began anew.
    Less,
    /// Not to be compared: its buckets are others.
    Unlike,
}

/// A value that grows.
pub(crate) trait Measure: Clone + PartialEq {
    fn since(&self, earlier: &Self) -> Since<Self>;
}

/// What came to pass, and the nanoseconds in which it did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Increase<T> {
    pub value: T,
    pub over: i64,
}

/// One series, read in the order of its points' times.
#[derive(Debug)]
pub(crate) struct Series<T> {
    temporality: Temporality,
    reach: i64,
    last: Option<Point<T>>,
}

impl<T: Measure> Series<T> {
    pub fn new(temporality: Temporality, reach: i64) -> Series<T> {
        Series { temporality, reach, last: None }
    }

    /// The increase that a point brings; `None` where it brings none or none
    /// can be told.
    pub fn next(&mut self, point: Point<T>) -> Option<Increase<T>> {
        let last = self.last.as_ref();
        if last.is_some_and(|last| last.time >= point.time) {
            return None;
        }
        let increase = match self.temporality {
            Temporality::Delta => self.delta(last, &point),
            Temporality::Cumulative => self.cumulative(last, &point),
        };
        self.last = Some(point);
        increase
    }

    fn delta(&self, last: Option<&Point<T>>, point: &Point<T>) -> Option<Increase<T>> {
        let since = point.start.or(last.map(|last| last.time));
        let over = since.map_or(0, |since| point.time.saturating_sub(since).max(0));
        Some(Increase { value: point.value.clone(), over })
    }

    fn cumulative(&self, last: Option<&Point<T>>, point: &Point<T>) -> Option<Increase<T>> {
        let within = |since: i64| {
            let over = point.time.saturating_sub(since);
            (0 < over && over <= self.reach).then_some(over)
        };
        let whole = |over| Increase { value: point.value.clone(), over };
        let Some((last, over)) = last.and_then(|last| Some((last, within(last.time)?))) else {
            return point.start.and_then(within).map(whole);
        };
        // A start that moves while points overlap is a clock that drifts.
        let anew = point.start.is_some_and(|start| start >= last.time) && point.start != last.start;
        match point.value.since(&last.value) {
            _ if anew => Some(whole(over)),
            Since::More(value) => Some(Increase { value, over }),
            Since::Less => Some(whole(over)),
            Since::Unlike => None,
        }
    }
}
