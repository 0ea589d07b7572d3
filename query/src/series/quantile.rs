//! A value out of buckets.

use super::exponential::Exponential;
use super::histogram::Histogram;

/// Sets of bounds that one step may mix; a series has one at a time.
const MOST: usize = 32;

/// What a step's histograms hold together, each with the bounds it came with.
#[derive(Debug, Default)]
pub(crate) struct Mixture {
    explicit: Vec<super::histogram::Explicit>,
    exponential: Option<Exponential>,
}

impl Mixture {
    /// False when there are too many sets of bounds to keep.
    #[must_use]
    pub fn add(&mut self, histogram: Histogram) -> bool {
        match histogram {
            Histogram::Exponential(more) => match &mut self.exponential {
                Some(sum) => sum.add(&more),
                none => *none = Some(more),
            },
            Histogram::Explicit(more) => {
                match self.explicit.iter().position(|sum| sum.bounds() == more.bounds()) {
                    Some(same) => self.explicit[same].add(&more),
                    None if self.explicit.len() == MOST => return false,
                    None => self.explicit.push(more),
                }
            }
        }
        true
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> usize {
        let explicit = self.explicit.iter().map(|held| held.counts().len() * 16);
        let exponential = self.exponential.as_ref().map_or(0, |held| held.segments().count() * 32);
        explicit.sum::<usize>() + exponential
    }

    /// The value that a part `q` (0 to 1) of the observations does not exceed:
    /// interpolated linearly within its bucket. `None` without observations.
    ///
    /// An open bucket has no end to interpolate to. The last one answers the
    /// bound that it begins at; the first one reaches down to 0, or answers its
    /// bound where that is not above 0.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let mut segments: Vec<Segment> = Vec::new();
        for histogram in &self.explicit {
            segments.extend(between(histogram.bounds(), histogram.counts()));
        }
        let exponential = self.exponential.iter().flat_map(Exponential::segments);
        segments.extend(exponential.map(|(low, high, n)| Segment { low, high, count: n as f64 }));
        walk(&segments, q)
    }
}

/// Observations spread evenly from `low` to `high`, or all at one value.
#[derive(Debug, Clone, Copy)]
struct Segment {
    low: f64,
    high: f64,
    count: f64,
}

fn between(bounds: &[f64], counts: &[i64]) -> impl Iterator<Item = Segment> {
    let ends = |at: usize| match (at.checked_sub(1).map(|below| bounds[below]), bounds.get(at)) {
        (Some(low), Some(high)) => (low, *high),
        (None, Some(high)) => (if *high > 0.0 { 0.0 } else { *high }, *high),
        (Some(low), None) => (low, low),
        (None, None) => (0.0, 0.0),
    };
    let held = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    held.map(move |(at, count)| {
        let (low, high) = ends(at);
        Segment { low, high, count: *count as f64 }
    })
}

/// Walks up the values until a part `q` of all observations lies below.
/// Segments may overlap: those of different bounds do.
fn walk(segments: &[Segment], q: f64) -> Option<f64> {
    let total: f64 = segments.iter().map(|segment| segment.count).sum();
    if total <= 0.0 {
        return None;
    }
    let rank = q.clamp(0.0, 1.0) * total;
    // What rounding may take away in adding up parts of buckets.
    let slack = total * 1e-12;
    let mut ends: Vec<f64> = segments.iter().flat_map(|s| [s.low, s.high]).collect();
    ends.sort_by(f64::total_cmp);
    ends.dedup();
    let mut by_low: Vec<&Segment> = segments.iter().collect();
    by_low.sort_by(|a, b| a.low.total_cmp(&b.low));
    let (mut below, mut next) = (0.0, 0);
    let mut open: Vec<&Segment> = Vec::new();
    for (at, &from) in ends.iter().enumerate() {
        open.retain(|segment| segment.high > from);
        while let Some(&segment) = by_low.get(next).filter(|segment| segment.low == from) {
            match segment.high > segment.low {
                true => open.push(segment),
                false => below += segment.count,
            }
            next += 1;
        }
        if below > 0.0 && below + slack >= rank {
            return Some(from);
        }
        let Some(&to) = ends.get(at + 1) else { break };
        let part =
            |segment: &&Segment| segment.count * ((to - from) / (segment.high - segment.low));
        let within: f64 = open.iter().map(part).sum();
        if within > 0.0 && below + within + slack >= rank {
            let share = ((rank - below) / within).clamp(0.0, 1.0);
            return Some(from + (to - from) * share);
        }
        below += within;
    }
    ends.last().copied()
}
