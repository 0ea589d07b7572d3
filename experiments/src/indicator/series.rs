//! What an indicator answered for a stretch of time: a bucket every 5 s.

use serde::{Deserialize, Serialize};

use crate::statistics::bootstrap;
use crate::statistics::ratio::Share;

/// One bucket. Which fields are filled depends on the indicator's nature.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// What was looked at: requests, calls, log records, points. A sampled span
    /// counts as many times as it stands for others.
    pub n: f64,
    /// Of these, what the indicator counts.
    pub hits: f64,
    /// Durations in milliseconds with how often each occurs, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<(f64, f64)>,
    /// A gauge's mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The sum of the squared weights of its rows, where these stand for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squares: Option<f64>,
}

impl Bucket {
    /// Counts `rows` rows that stand for `weight` each.
    pub fn add(&mut self, rows: u64, weight: f64) {
        let rows = rows as f64;
        if weight != 1.0 || self.squares.is_some() {
            let squares = self.squares.unwrap_or(self.n) + rows * weight * weight;
            self.squares = Some(squares);
        }
        self.n += rows * weight;
    }

    /// How many rows that stand for themselves alone say as much (Kish's
    /// effective size): what evidence is counted in.
    pub fn worth(&self) -> f64 {
        worth(self.n, self.squares)
    }

    /// Takes in another's rows; cells are left to be sorted.
    pub fn join(&mut self, other: Bucket) {
        if self.squares.is_some() || other.squares.is_some() {
            let squares = [&*self, &other].map(|b| b.squares.unwrap_or(b.n));
            self.squares = Some(squares[0] + squares[1]);
        }
        self.n += other.n;
        self.hits += other.hits;
        self.cells.extend(other.cells);
    }

    /// The same rows, each standing for so many times as much.
    pub fn weighted(&self, by: f64) -> Bucket {
        Bucket {
            n: self.n * by,
            hits: self.hits * by,
            cells: self.cells.iter().map(|(value, n)| (*value, n * by)).collect(),
            value: self.value,
            squares: Some(self.squares.unwrap_or(self.n) * by * by),
        }
    }
}

fn worth(n: f64, squares: Option<f64>) -> f64 {
    match squares {
        Some(squares) if squares > 0.0 => n * n / squares,
        _ => n,
    }
}

/// All buckets of a stretch, those without rows too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub buckets: Vec<Bucket>,
    /// Rows that stand for an unknown number of others (sampling).
    pub sampled: u64,
}

impl Series {
    pub fn empty(buckets: usize) -> Series {
        Series { buckets: vec![Bucket::default(); buckets], sampled: 0 }
    }

    pub fn n(&self) -> f64 {
        self.buckets.iter().map(|bucket| bucket.n).sum()
    }

    /// Whether rows stand for a known number of others.
    pub fn is_weighted(&self) -> bool {
        self.buckets.iter().any(|bucket| bucket.squares.is_some())
    }

    /// How many rows that stand for themselves alone say as much.
    pub fn worth(&self) -> f64 {
        let squares = self.buckets.iter().map(|bucket| bucket.squares.unwrap_or(bucket.n)).sum();
        worth(self.n(), self.is_weighted().then_some(squares))
    }

    /// How many times its worth it counts: 1 where nothing is weighted.
    pub fn design(&self) -> f64 {
        let worth = self.worth();
        if worth > 0.0 { (self.n() / worth).max(1.0) } else { 1.0 }
    }

    pub fn share(&self) -> Share {
        Share { hits: self.buckets.iter().map(|bucket| bucket.hits).sum(), n: self.n() }
    }

    pub fn shares(&self) -> Vec<(f64, f64)> {
        self.buckets.iter().map(|bucket| (bucket.hits, bucket.n)).collect()
    }

    pub fn counts(&self) -> Vec<f64> {
        self.buckets.iter().map(|bucket| bucket.hits).collect()
    }

    pub fn gauges(&self) -> Vec<f64> {
        self.buckets.iter().filter_map(|bucket| bucket.value).collect()
    }

    /// Things looked at per bucket.
    pub fn density(&self) -> f64 {
        self.n() / self.buckets.len().max(1) as f64
    }

    /// Stretches one after the other, as if nothing lay between them.
    pub fn joined(parts: &[Series]) -> Series {
        Series {
            buckets: parts.iter().flat_map(|part| part.buckets.iter().cloned()).collect(),
            sampled: parts.iter().map(|part| part.sampled).sum(),
        }
    }

    /// A part of the buckets.
    pub fn part(&self, range: std::ops::Range<usize>) -> Series {
        let end = range.end.min(self.buckets.len());
        let buckets = self.buckets.get(range.start.min(end)..end).unwrap_or_default().to_vec();
        Series { buckets, sampled: self.sampled }
    }

    /// Every `width` buckets as one; what is left over at the end is dropped.
    pub fn merged(&self, width: usize) -> Vec<Bucket> {
        let join = |part: &[Bucket]| {
            let mut whole = Bucket::default();
            part.iter().for_each(|bucket| whole.join(bucket.clone()));
            whole.cells.sort_by(|a, b| a.0.total_cmp(&b.0));
            whole
        };
        self.buckets.chunks_exact(width.max(1)).map(join).collect()
    }

    /// The quantile of each bucket of `width` that has at least `least` values.
    pub fn quantiles(&self, q: f64, width: usize, least: u64) -> Vec<f64> {
        // Weights that do not divide evenly leave a trace of rounding.
        let least = least as f64 - 1e-6;
        let merged = self.merged(width);
        let full = merged.iter().filter(|bucket| bucket.n > 0.0 && bucket.worth() >= least);
        full.map(|bucket| bootstrap::quantile(&bucket.cells, q)).collect()
    }

    /// The longest run of buckets without anything, as (start, length).
    pub fn longest_silence(&self) -> (usize, usize) {
        let mut longest = (0, 0);
        let mut start = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            if bucket.n > 0.0 {
                start = at + 1;
            } else if at + 1 - start > longest.1 {
                longest = (start, at + 1 - start);
            }
        }
        longest
    }

    /// Every value that occurs.
    pub fn distinct_values(&self) -> usize {
        let cells = self.buckets.iter().flat_map(|b| b.cells.iter().map(|(value, _)| *value));
        let mut values: Vec<u64> = cells.chain(self.gauges()).map(f64::to_bits).collect();
        values.sort_unstable();
        values.dedup();
        values.len()
    }
}
