//! Exponential histograms (OpenTelemetry data model, "ExponentialHistogram").
//!
//! At scale `s` bucket `i` holds values in `(base^i, base^(i+1)]` with
//! `base = 2^(2^-s)`; one scale down, two neighbours are one bucket. Two
//! histograms are compared and added at the lower of their scales and with the
//! wider of their zero buckets.

use std::collections::BTreeMap;

use super::{Measure, Since};

/// Beyond these a bucket is finer than doubles are, or wider than all of them.
const SCALES: std::ops::RangeInclusive<i32> = -11..=20;

/// Buckets that are kept apart; past it the scale falls. A sender's default is
/// 160, and at scale 0 all doubles need some 4,200.
const MOST: usize = 8_192;

type Buckets = BTreeMap<i32, i64>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exponential {
    scale: i32,
    zero: i64,
    /// Values up to here, of either sign, are in the zero bucket.
    threshold: f64,
    positive: Buckets,
    negative: Buckets,
}

impl Exponential {
    /// `None` when a count is negative. Buckets are an offset and counts.
    pub fn new(
        scale: i32,
        zero: (i64, f64),
        positive: (i32, &[i64]),
        negative: (i32, &[i64]),
    ) -> Option<Exponential> {
        let whole = |counts: &[i64]| counts.iter().all(|count| *count >= 0);
        if zero.0 < 0 || !whole(positive.1) || !whole(negative.1) {
            return None;
        }
        let buckets = |(offset, counts): (i32, &[i64])| {
            let indices = (0..).map(|at: i32| offset.saturating_add(at));
            indices.zip(counts.iter().copied()).filter(|(_, count)| *count > 0).collect()
        };
        let threshold = if zero.1.is_finite() { zero.1.max(0.0) } else { 0.0 };
        let (positive, negative) = (buckets(positive), buckets(negative));
        let mut new = Exponential { scale, zero: zero.0, threshold, positive, negative };
        new.coarsen(scale.min(*SCALES.end()));
        new.scale = new.scale.max(*SCALES.start());
        new.bound();
        Some(new)
    }

    pub fn add(&mut self, other: &Exponential) {
        let mut other = other.clone();
        self.align(&mut other);
        self.zero = self.zero.saturating_add(other.zero);
        for (into, from) in
            [(&mut self.positive, other.positive), (&mut self.negative, other.negative)]
        {
            for (index, count) in from {
                let sum = into.entry(index).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        self.bound();
    }

    /// `(low, high, count)` of each bucket that holds anything.
    pub fn segments(&self) -> impl Iterator<Item = (f64, f64, i64)> {
        let bound = |index: i32| self.bound_of(index);
        let negative = self.negative.iter().rev();
        let negative = negative.map(move |(i, n)| (-bound(i.saturating_add(1)), -bound(*i), *n));
        let positive = self.positive.iter();
        let positive = positive.map(move |(i, n)| (bound(*i), bound(i.saturating_add(1)), *n));
        // Where nothing is below zero, what is about zero is not either.
        let reach = |buckets: &Buckets| if buckets.is_empty() { 0.0 } else { self.threshold };
        let zero = (0.0 - reach(&self.negative), reach(&self.positive), self.zero);
        negative.chain((self.zero > 0).then_some(zero)).chain(positive)
    }

    /// The lower bound of a bucket: `base^index`.
    fn bound_of(&self, index: i32) -> f64 {
        let exponent = f64::from(index) * f64::from(-self.scale).exp2();
        exponent.exp2().min(f64::MAX)
    }

    /// Brings two to one scale and one zero bucket.
    fn align(&mut self, other: &mut Exponential) {
        let scale = self.scale.min(other.scale);
        self.coarsen(scale);
        other.coarsen(scale);
        // Widening one may reach past the other's threshold, into a bucket.
        while self.threshold != other.threshold {
            let threshold = self.threshold.max(other.threshold);
            self.widen(threshold);
            other.widen(threshold);
        }
    }

    fn coarsen(&mut self, scale: i32) {
        let down = self.scale.saturating_sub(scale).clamp(0, 31);
        if down == 0 {
            return;
        }
        for buckets in [&mut self.positive, &mut self.negative] {
            let mut coarse = Buckets::new();
            for (index, count) in std::mem::take(buckets) {
                let sum = coarse.entry(index >> down).or_default();
                *sum = sum.saturating_add(count);
            }
            *buckets = coarse;
        }
        self.scale = scale;
    }

    /// Takes the buckets up to a threshold into the zero bucket. One that lies
    /// across it is taken whole, and the threshold goes to its end.
    fn widen(&mut self, threshold: f64) {
        self.threshold = self.threshold.max(threshold);
        loop {
            let lowest = [&self.positive, &self.negative].map(|b| b.keys().next().copied());
            let Some(index) = lowest.into_iter().flatten().min() else { return };
            if self.bound_of(index) >= self.threshold {
                return;
            }
            for buckets in [&mut self.positive, &mut self.negative] {
                let count = buckets.remove(&index).unwrap_or_default();
                self.zero = self.zero.saturating_add(count);
            }
            self.threshold = self.threshold.max(self.bound_of(index.saturating_add(1)));
        }
    }

    fn bound(&mut self) {
        while self.positive.len() + self.negative.len() > MOST && self.scale > *SCALES.start() {
            self.coarsen(self.scale - 1);
        }
    }
}

impl Measure for Exponential {
    fn since(&self, earlier: &Exponential) -> Since<Exponential> {
        let (mut now, mut then) = (self.clone(), earlier.clone());
        now.align(&mut then);
        let Some(zero) = now.zero.checked_sub(then.zero).filter(|zero| *zero >= 0) else {
            return Since::Less;
        };
        for (now, then) in [(&mut now.positive, then.positive), (&mut now.negative, then.negative)]
        {
            for (index, count) in then {
                match now.get_mut(&index) {
                    Some(more) if *more > count => *more -= count,
                    Some(more) if *more == count => {
                        now.remove(&index);
                    }
                    _ => return Since::Less,
                }
            }
        }
        now.zero = zero;
        Since::More(now)
    }
}
