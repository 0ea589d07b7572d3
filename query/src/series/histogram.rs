//! Histograms: explicit bounds here, exponential buckets in
//! [`exponential`](super::exponential).

use super::exponential::Exponential;
use super::{Measure, Since};

/// Counts between bounds: one more than there are bounds, as the first and the
/// last are open.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Explicit {
    bounds: Vec<f64>,
    counts: Vec<i64>,
}

impl Explicit {
    /// `None` when it has no buckets to speak of, or they make no sense.
    pub fn new(bounds: Vec<f64>, counts: Vec<i64>) -> Option<Explicit> {
        let rising = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        let finite = bounds.iter().all(|bound| bound.is_finite());
        let fits = !bounds.is_empty() && counts.len() == bounds.len() + 1;
        let counts_up = counts.iter().all(|count| *count >= 0);
        (rising && finite && fits && counts_up).then_some(Explicit { bounds, counts })
    }

    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    pub fn counts(&self) -> &[i64] {
        &self.counts
    }

    /// Adds one of the same bounds.
    pub fn add(&mut self, other: &Explicit) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.saturating_add(*count);
        }
    }
}

impl Measure for Explicit {
    fn since(&self, earlier: &Explicit) -> Since<Explicit> {
        if self.bounds != earlier.bounds {
            return Since::Unlike;
        }
        let pairs = self.counts.iter().zip(&earlier.counts);
        let counts: Option<Vec<i64>> =
            pairs.map(|(now, then)| (now >= then).then(|| now - then)).collect();
        match counts {
            Some(counts) => Since::More(Explicit { bounds: self.bounds.clone(), counts }),
            None => Since::Less,
        }
    }
}

/// A histogram of either kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Histogram {
    Explicit(Explicit),
    Exponential(Exponential),
}

impl Measure for Histogram {
    fn since(&self, earlier: &Histogram) -> Since<Histogram> {
        fn of<T>(since: Since<T>, kind: fn(T) -> Histogram) -> Since<Histogram> {
            match since {
                Since::More(more) => Since::More(kind(more)),
                Since::Less => Since::Less,
                Since::Unlike => Since::Unlike,
            }
        }
        match (self, earlier) {
            (Histogram::Explicit(now), Histogram::Explicit(then)) => {
                of(now.since(then), Histogram::Explicit)
            }
            (Histogram::Exponential(now), Histogram::Exponential(then)) => {
                of(now.since(then), Histogram::Exponential)
            }
            _ => Since::Unlike,
        }
    }
}
