//! Two samples of bucket values, compared by rank.

use super::interval::Interval;
use super::{normal, z};

/// Up to this many pairs the null distribution is counted out; beyond it is normal.
const EXACT_PAIRS: usize = 400;

/// The test of Mann and Whitney of whether `after` is above `before`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannWhitney {
    /// Pairs in which `after` is the larger, ties counting half.
    pub u: f64,
    /// One-sided: `after` tends to be larger.
    pub greater: f64,
    /// One-sided: `after` tends to be smaller.
    pub less: f64,
    pub exact: bool,
}

impl MannWhitney {
    pub fn two_sided(&self) -> f64 {
        (2.0 * self.greater.min(self.less)).min(1.0)
    }
}

/// `inflation` multiplies the standard deviation under the null: 1 for
/// independent buckets. Empty samples and NaN give p-values of 1.
pub fn mann_whitney(before: &[f64], after: &[f64], inflation: f64) -> MannWhitney {
    let (n, m) = (before.len(), after.len());
    let pairs = n * m;
    let unusable = before.iter().chain(after).any(|v| v.is_nan());
    if pairs == 0 || unusable {
        return MannWhitney { u: f64::NAN, greater: 1.0, less: 1.0, exact: false };
    }
    let ranks = doubled_ranks(before, after);
    let sum: u64 = ranks[n..].iter().sum();
    let u = (sum as f64 - (m * (m + 1)) as f64) / 2.0;
    if pairs <= EXACT_PAIRS {
        // Counting is for independent buckets; dependence widens what it says.
        let (greater, less) = counted(&ranks, m, sum);
        let soften = |p: f64| normal::tail(normal::quantile(1.0 - p) / inflation).max(p);
        let (greater, less) = match inflation > 1.0 {
            true => (soften(greater), soften(less)),
            false => (greater, less),
        };
        return MannWhitney { u, greater, less, exact: true };
    }
    let sd = deviation(&ranks, n, m) * inflation;
    let mean = pairs as f64 / 2.0;
    let p = |distance: f64| if sd > 0.0 { normal::tail((distance - 0.5) / sd) } else { 1.0 };
    MannWhitney { u, greater: p(u - mean), less: p(mean - u), exact: false }
}

/// Twice the mid-ranks of both samples, `before` first: whole numbers.
fn doubled_ranks(before: &[f64], after: &[f64]) -> Vec<u64> {
    let all: Vec<f64> = before.iter().chain(after).copied().collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|a, b| all[*a].total_cmp(&all[*b]));
    let mut ranks = vec![0; all.len()];
    let mut at = 0;
    while at < order.len() {
        let ties = order[at..].iter().take_while(|i| all[**i] == all[order[at]]).count().max(1);
        // Ranks at+1 ..= at+ties: twice their mean.
        for index in &order[at..at + ties] {
            ranks[*index] = (2 * at + ties + 1) as u64;
        }
        at += ties;
    }
    ranks
}

/// P(sum >= seen) and P(sum <= seen) over all ways to draw `m` of the ranks:
/// exact, ties and all.
fn counted(ranks: &[u64], m: usize, seen: u64) -> (f64, f64) {
    let counts = ways(ranks, m);
    let total: f64 = counts.iter().sum();
    let seen = seen as usize;
    let greater: f64 = counts[seen..].iter().sum();
    let less: f64 = counts[..=seen].iter().sum();
    (greater / total, less / total)
}

/// In how many ways `m` of the ranks sum to each number.
fn ways(ranks: &[u64], m: usize) -> Vec<f64> {
    let top: u64 = ranks.iter().sum();
    let width = top as usize + 1;
    // ways[k][s]: draws of k ranks that sum to s.
    let mut ways = vec![vec![0.0f64; width]; m + 1];
    ways[0][0] = 1.0;
    let mut reach = 0;
    for (drawn, rank) in ranks.iter().enumerate() {
        let rank = *rank as usize;
        reach += rank;
        for k in (1..=m.min(drawn + 1)).rev() {
            let (lower, upper) = ways.split_at_mut(k);
            let (from, to) = (&lower[k - 1], &mut upper[0]);
            for s in rank..=reach.min(width - 1) {
                to[s] += from[s - rank];
            }
        }
    }
    ways.swap_remove(m)
}

/// The standard deviation of U under the null, corrected for ties.
fn deviation(ranks: &[u64], n: usize, m: usize) -> f64 {
    let mut sorted = ranks.to_vec();
    sorted.sort_unstable();
    let ties: f64 = sorted
        .chunk_by(|a, b| a == b)
        .map(|group| {
            let t = group.len() as f64;
            t * t * t - t
        })
        .sum();
    let all = (n + m) as f64;
    let spread = (n * m) as f64 / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)).max(1.0));
    spread.max(0.0).sqrt()
}

/// The shift from `before` to `after` by Hodges and Lehmann: the median of all
/// differences, and the interval that the rank test does not reject. Where
/// dependence asks for more than all differences can show, the widest interval
/// that they show is widened by what is missing, so that few buckets that hang
/// together still tell a step from a stir.
pub fn hodges_lehmann(before: &[f64], after: &[f64], inflation: f64) -> Interval {
    let (n, m) = (before.len(), after.len());
    let mut differences: Vec<f64> =
        after.iter().flat_map(|a| before.iter().map(move |b| a - b)).collect();
    if differences.is_empty() || differences.iter().any(|d| d.is_nan()) {
        return Interval::unknown(f64::NAN);
    }
    differences.sort_by(f64::total_cmp);
    let estimate = median(&differences);
    let pairs = differences.len();
    let inflation = inflation.max(1.0);
    let half = z() * (pairs as f64 * (n + m + 1) as f64 / 12.0).sqrt();
    let cut = |inflation: f64| (pairs as f64 / 2.0 - half * inflation).floor();
    let independent = if pairs <= EXACT_PAIRS { exact_cut(n, m) as f64 } else { cut(1.0) };
    if independent < 1.0 {
        return Interval::unknown(estimate);
    }
    // The inflation at which the outermost differences are the interval.
    let most = (pairs as f64 / 2.0 - 1.0) / half;
    let cut = if inflation > 1.0 { cut(inflation).clamp(1.0, independent) } else { independent };
    let cut = cut as usize;
    Interval::new(estimate, differences[cut - 1], differences[pairs - cut])
        .widened((inflation / most.max(1.0)).max(1.0))
}

/// The shift of Hodges and Lehmann without its interval, which is dear. NaN of nothing.
pub fn shift(before: &[f64], after: &[f64]) -> f64 {
    median_of(after.iter().flat_map(|a| before.iter().map(move |b| a - b)))
}

/// The largest k for which P(U < k) is at most 2.5 %.
fn exact_cut(n: usize, m: usize) -> usize {
    let ranks: Vec<u64> = (1..=(n + m) as u64).map(|rank| 2 * rank).collect();
    // Counted once: calibration asks for it in every pseudo-window.
    let counts = ways(&ranks, m);
    let total: f64 = counts.iter().sum();
    let mut at_most = 0.0;
    let rare = |u: &usize| {
        at_most += counts[m * (m + 1) + 2 * u];
        at_most / total <= super::ALPHA / 2.0
    };
    (0..n * m).take_while(rare).count()
}

/// The chance that a value of `after` is above one of `before`, ties counting
/// half (Vargha and Delaney): .5 is no effect, .71 a large one.
pub fn a12(before: &[f64], after: &[f64]) -> f64 {
    let pairs = (before.len() * after.len()) as f64;
    let above: f64 = after
        .iter()
        .flat_map(|a| before.iter().map(move |b| f64::from(a > b) + f64::from(a == b) / 2.0))
        .sum();
    above / pairs
}

/// The middle of sorted values.
pub fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The middle of values in any order.
pub fn median_of(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    median(&values)
}

/// How many independent buckets these are worth, by the correlation of each
/// bucket's rank with the next one's: n(1 - ρ)/(1 + ρ), never more than n.
pub fn effective(values: &[f64]) -> f64 {
    let n = values.len();
    // Fewer say nothing of correlation.
    if n < 8 {
        return n as f64;
    }
    let ranks: Vec<f64> = doubled_ranks(values, &[]).iter().map(|r| *r as f64).collect();
    let mean = ranks.iter().sum::<f64>() / n as f64;
    let variance: f64 = ranks.iter().map(|r| (r - mean).powi(2)).sum();
    if variance == 0.0 {
        return n as f64;
    }
    let along: f64 = ranks.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum();
    // The estimate is low by about (1 + 4ρ)/n in short series.
    let raw = along / variance;
    let correlation = (raw + (1.0 + 4.0 * raw) / n as f64).clamp(0.0, 0.9);
    // What chance alone gives is no correlation.
    if correlation < 1.645 / (n as f64).sqrt() {
        return n as f64;
    }
    n as f64 * (1.0 - correlation) / (1.0 + correlation)
}
