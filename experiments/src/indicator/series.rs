//! What an indicator answered for a stretch of time: a bucket every 5 s.

use serde::{Deserialize, Serialize};

use crate::statistics::bootstrap;
use crate::statistics::ratio::Share;

/// One bucket. Which fields are filled depends on the indicator's nature.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// What was looked at: requests, calls, log records, points.
    pub n: u64,
    /// Of these, what the indicator counts.
    pub hits: u64,
    /// Durations in milliseconds with how often each occurs, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<(f64, u64)>,
    /// A gauge's mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// All buckets of a stretch, those without rows too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub buckets: Vec<Bucket>,
    /// Rows that stand for an unknown number of others (sampling).
    pub sampled: u64,
}

impl Series {
    pub fn n(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.n).sum()
    }

    pub fn share(&self) -> Share {
        Share::new(self.buckets.iter().map(|bucket| bucket.hits).sum(), self.n())
    }

    pub fn shares(&self) -> Vec<(u64, u64)> {
        self.buckets.iter().map(|bucket| (bucket.hits, bucket.n)).collect()
    }

    pub fn counts(&self) -> Vec<u64> {
        self.buckets.iter().map(|bucket| bucket.hits).collect()
    }

    pub fn gauges(&self) -> Vec<f64> {
        self.buckets.iter().filter_map(|bucket| bucket.value).collect()
    }

    /// Things looked at per bucket.
    pub fn density(&self) -> f64 {
        self.n() as f64 / self.buckets.len().max(1) as f64
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
            let mut cells: Vec<(f64, u64)> =
                part.iter().flat_map(|bucket| bucket.cells.iter().copied()).collect();
            cells.sort_by(|a, b| a.0.total_cmp(&b.0));
            Bucket {
                n: part.iter().map(|bucket| bucket.n).sum(),
                hits: part.iter().map(|bucket| bucket.hits).sum(),
                cells,
                value: None,
            }
        };
        self.buckets.chunks_exact(width.max(1)).map(join).collect()
    }

    /// The quantile of each bucket of `width` that has at least `least` values.
    pub fn quantiles(&self, q: f64, width: usize, least: u64) -> Vec<f64> {
        let merged = self.merged(width);
        let full = merged.iter().filter(|bucket| bucket.n >= least);
        full.map(|bucket| bootstrap::quantile(&bucket.cells, q)).collect()
    }

    /// The longest run of buckets without anything, as (start, length).
    pub fn longest_silence(&self) -> (usize, usize) {
        let mut longest = (0, 0);
        let mut start = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            if bucket.n > 0 {
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
