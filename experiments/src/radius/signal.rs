//! Signs of a fault: moves of a signal that are significant and large. Small
//! ones are always found where there is enough data, and mean nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::seen::{Durations, Seen};
use super::site::{self, Sites};
use crate::indicator::Series;
use crate::statistics::{multiple, normal, rank};
use crate::verdict::compare::LEAST;

/// The false share of discoveries (Benjamini-Hochberg).
const Q: f64 = 0.05;
/// The effect floor of durations: A12, times the median, milliseconds more.
const A12: f64 = 0.66;
const TIMES: f64 = 1.5;
const MORE_MS: f64 = 3.0;
/// The effect floor of CPU: times, and cores more.
const CPU_TIMES: f64 = 1.25;
const CPU_MORE: f64 = 0.03;
/// Standard deviations that a share must have moved.
pub const SURE: f64 = 3.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Time in a service itself.
    Exclusive,
    /// Time between a caller and its callee.
    Gap,
    /// Log call sites that are new or missing.
    Site,
    Cpu,
}

/// A move of one signal, and the service that it speaks of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sign {
    pub signal: Signal,
    pub service: String,
    /// How far it moved, in units of its own noise: comparable between signals.
    pub strength: f64,
    pub detail: String,
}

/// What one stretch shows beside another. `history` is fault-free time, in pieces.
pub fn signs(before: &Seen, after: &Seen, history: &[&Seen]) -> Vec<Sign> {
    let sites: Vec<&Sites> = history.iter().map(|seen| &seen.sites).collect();
    let mut signs = exclusive(&before.exclusive, &after.exclusive);
    signs.extend(gaps(&before.gaps, &after.gaps));
    // A site is expected by having been seen: the more fault-free time, the surer.
    let usual = Sites::sum(sites.iter().copied());
    let before = if usual.traces.is_empty() { &before.sites } else { &usual };
    signs.extend(site::signs(before, &after.sites, &sites));
    signs
}

struct Moved<K> {
    key: K,
    p: f64,
    large: bool,
    strength: f64,
    detail: String,
}

/// Durations that became longer, corrected for how many were looked at.
fn longer<K: Ord + Clone>(before: &Durations<K>, after: &Durations<K>) -> Vec<Moved<K>> {
    let each = before.iter().filter_map(|(key, before)| {
        let after = after.get(key)?;
        let of = |series: &Series, width| series.quantiles(0.5, width, LEAST);
        let (b, a) = [1, 2, 3, 6].into_iter().find_map(|width| {
            let (b, a) = (of(before, width), of(after, width));
            (b.len() >= 4 && a.len() >= 4).then_some((b, a))
        })?;
        let level = rank::median_of(b.iter().copied());
        let spread = rank::median_of(b.iter().map(|v| (v - level).abs())) * 1.4826;
        let moved = rank::hodges_lehmann(&b, &a, 1.0).estimate;
        let effect = rank::a12(&b, &a);
        let large = effect >= A12 && level + moved >= TIMES * level && moved >= MORE_MS;
        // A floor of a twentieth keeps a very even series from shouting.
        let strength = moved / (spread + 0.05 * level + 0.5);
        let detail = format!("{level:.1} ms moved by {moved:+.1} ms (A12 {effect:.2})");
        let p = rank::mann_whitney(&b, &a, 1.0).two_sided();
        Some(Moved { key: key.clone(), p, large, strength, detail })
    });
    let each: Vec<Moved<K>> = each.collect();
    let p: Vec<f64> = each.iter().map(|moved| moved.p).collect();
    let adjusted = multiple::benjamini_hochberg(&p);
    let kept = each.into_iter().zip(adjusted).filter(|(moved, p)| *p <= Q && moved.large);
    kept.map(|(moved, _)| moved).collect()
}

pub fn exclusive(before: &Durations<String>, after: &Durations<String>) -> Vec<Sign> {
    let sign = |moved: Moved<String>| Sign {
        signal: Signal::Exclusive,
        detail: format!("exclusive time of {}: {}", moved.key, moved.detail),
        service: moved.key,
        strength: moved.strength,
    };
    longer(before, after).into_iter().map(sign).collect()
}

/// A gap speaks of the callee, unless most of what the caller calls moved too:
/// then it is the caller that is slow to send and to receive.
pub fn gaps(
    before: &Durations<(String, String)>,
    after: &Durations<(String, String)>,
) -> Vec<Sign> {
    let moved = longer(before, after);
    let looked_at = || before.keys().filter(|edge| after.contains_key(*edge));
    let sign = |one: &Moved<(String, String)>| {
        let (caller, callee) = &one.key;
        let all = edges_of(caller, looked_at());
        let touched = edges_of(caller, moved.iter().map(|moved| &moved.key));
        let own = touched >= 2 && 2 * touched > all;
        Sign {
            signal: Signal::Gap,
            service: if own { caller.clone() } else { callee.clone() },
            strength: one.strength,
            detail: format!("gap of {caller}->{callee}: {}", one.detail),
        }
    };
    moved.iter().map(sign).collect()
}

fn edges_of<'a>(caller: &str, edges: impl Iterator<Item = &'a (String, String)>) -> usize {
    edges.filter(|(from, _)| from == caller).count()
}

/// CPU of each service, in cores: points before, and points in the phase.
pub fn cpu(pairs: &BTreeMap<String, (Vec<f64>, Vec<f64>)>) -> Vec<Sign> {
    let sign = |(service, (before, after)): (&String, &(Vec<f64>, Vec<f64>))| {
        if before.len() < 3 || after.is_empty() {
            return None;
        }
        let level = rank::median_of(before.iter().copied());
        let spread = rank::median_of(before.iter().map(|v| (v - level).abs())) * 1.4826;
        // A rate over a window lags: the two highest points are the fault's.
        let mut highest = after.clone();
        highest.sort_by(f64::total_cmp);
        let top = &highest[highest.len().saturating_sub(2)..];
        let now = top.iter().sum::<f64>() / top.len() as f64;
        let strength = (now - level) / (spread + 0.1 * level + 0.01);
        let large = now >= CPU_TIMES * level && now - level >= CPU_MORE;
        let sure = strength >= normal::quantile(0.84);
        let detail = format!("CPU of {service} went from {level:.3} to {now:.3} cores");
        (large && sure).then(|| Sign {
            signal: Signal::Cpu,
            service: service.clone(),
            strength,
            detail,
        })
    };
    pairs.iter().filter_map(sign).collect()
}
