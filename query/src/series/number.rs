//! Counts and sums.

use super::{Measure, Since};

/// A number as it was sent. Integers are added and subtracted as such: a
/// difference of two readings past 2^53 is exact.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Int(i128),
    Double(f64),
}

impl Number {
    pub fn double(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Double(double) => double,
        }
    }

    pub fn plus(self, other: Number) -> Number {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => Number::Int(a.saturating_add(b)),
            (a, b) => Number::Double(a.double() + b.double()),
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => a == b,
            (a, b) => a.double() == b.double(),
        }
    }
}

impl Measure for Number {
    fn since(&self, earlier: &Number) -> Since<Number> {
        let more = match (*self, *earlier) {
            (Number::Int(now), Number::Int(then)) => Number::Int(now.saturating_sub(then)),
            (now, then) => Number::Double(now.double() - then.double()),
        };
        match more {
            Number::Int(more) if more < 0 => Since::Less,
            Number::Double(more) if more < 0.0 => Since::Less,
            more => Since::More(more),
        }
    }
}
