//! Signs of a fault: moves of a signal that are significant and large. Small
//! ones are always found where there is enough data, and mean nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::blame::Graph;
use super::onset;
use super::seen::{Durations, Seen};
use super::site::{self, Names, Shift, Sites, Spread};
use crate::indicator::Series;
use crate::statistics::{bootstrap, multiple, normal, rank};
use crate::verdict::compare::{LEAST, LEAST_BUCKETS};

/// The false share of discoveries (Benjamini-Hochberg).
pub const Q: f64 = 0.05;
/// The effect floor of durations: A12, times the median, milliseconds more.
const A12: f64 = 0.66;
const TIMES: f64 = 1.5;
const MORE_MS: f64 = 3.0;
/// The effect floor of CPU: times, and cores more.
const CPU_TIMES: f64 = 1.25;
const CPU_MORE: f64 = 0.03;
/// Points of CPU that say what was usual.
pub const CPU_POINTS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Time in a service itself.
    Exclusive,
    /// Time between a caller and its callee, or that it waits for one that tells
    /// nothing of the call.
    Gap,
    /// Log call sites that are new or missing.
    Site,
    /// Errors that begin in a service.
    Error,
    /// Calls that a service makes less often than it did.
    Call,
    /// Errors of others that pass through it: it is touched, and not the cause.
    Carried,
    Cpu,
    /// How its endpoints answer, by whatever cause.
    Endpoint,
}

/// A move of one signal, and the service that it speaks of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sign {
    pub signal: Signal,
    pub service: String,
    /// How far it moved, in units of its own noise: comparable between signals.
    pub strength: f64,
    #[serde(flatten)]
    pub about: About,
    /// The bucket of the phase that it began in, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onset: Option<u32>,
    pub detail: String,
}

/// What of a service moved, where it is not all of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Caller and callee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<(String, String)>,
}

/// What is usual: the medians of buckets, and call sites.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usual {
    exclusive: Levels<String>,
    gaps: Levels<(String, String)>,
    waits: Levels<(String, String)>,
    pub sites: Sites,
}

impl Usual {
    pub fn of(seen: &Seen) -> Usual {
        let (exclusive, sites) = (levels(&seen.exclusive), seen.sites.clone());
        Usual { exclusive, gaps: levels(&seen.gaps), waits: levels(&seen.waits), sites }
    }
}

/// What is beside what: a stretch, what is usual, and what lay right before it,
/// where that was recorded. What takes longer must do so beside both, or the time
/// of the day may have done it.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    pub usual: &'a Usual,
    /// Where these are not all that is usual, as for a piece of it.
    pub sites: &'a Sites,
    pub near: Option<&'a Seen>,
    pub after: &'a Seen,
    pub spread: &'a Spread,
    pub names: &'a Names,
}

impl Beside<'_> {
    /// Moves that are large and sure.
    pub fn signs(self) -> Vec<Sign> {
        self.moves(Q)
    }

    /// Moves that are large, sure or not: what chance does.
    pub fn chance(self) -> Vec<Sign> {
        self.moves(1.0)
    }

    /// Of what is found, the share `q` may be false. All that is looked at is one
    /// family.
    fn moves(self, q: f64) -> Vec<Sign> {
        let Beside { usual, sites, near, after, spread, names } = self;
        let exclusive =
            longer(&usual.exclusive, near.map(|seen| &seen.exclusive), &after.exclusive);
        let gaps = longer(&usual.gaps, near.map(|seen| &seen.gaps), &after.gaps);
        let waits = longer(&usual.waits, near.map(|seen| &seen.waits), &after.waits);
        let mut shifts = site::shifts(sites, &after.sites, spread, names);
        // What is said in every trace or in none, before and now, cannot have moved.
        shifts.retain(|shift| shift.strength > 0.0);
        let p = exclusive.iter().map(|moved| moved.p);
        let p = p.chain(gaps.iter().chain(&waits).map(|moved| moved.p));
        let p: Vec<f64> = p.chain(shifts.iter().map(Shift::p)).collect();
        let sure: Vec<bool> = multiple::benjamini_hochberg(&p).iter().map(|p| *p <= q).collect();
        let (of_exclusive, rest) = sure.split_at(exclusive.len());
        let (of_gaps, rest) = rest.split_at(gaps.len());
        let (of_waits, of_shifts) = rest.split_at(waits.len());
        let spent =
            |moved: &Moved<String>| Sign { onset: moved.onset(&after.exclusive), ..spent(moved) };
        let mut signs: Vec<Sign> =
            kept(&exclusive, of_exclusive).filter(|moved| moved.large).map(spent).collect();
        let edges = usual.gaps.keys().filter(|edge| after.gaps.contains_key(*edge));
        let alone = usual.waits.keys().filter(|edge| after.waits.contains_key(*edge));
        let edges: Vec<&(String, String)> = edges.chain(alone).collect();
        let gaps: Vec<_> = kept(&gaps, of_gaps).filter(|moved| moved.large).collect();
        let waits: Vec<_> = kept(&waits, of_waits).filter(|moved| moved.large).collect();
        let moved: Vec<&(String, String)> =
            gaps.iter().chain(&waits).map(|moved| &moved.key).collect();
        signs.extend(blamed(&edges, &moved, &gaps, &after.gaps, "gap"));
        let waits = blamed(&edges, &moved, &waits, &after.waits, "wait").into_iter();
        signs.extend(waits.map(|sign| match &sign.about.edge {
            Some((caller, _)) if *caller == sign.service => sign,
            _ => self.told_by(sign),
        }));
        let shifts = kept(&shifts, of_shifts).filter(|shift| shift.is_large()).collect();
        let sign = |shift: &Shift| {
            let sign = Sign { onset: shift.onset(after), ..shift.sign(names) };
            match sign.signal {
                Signal::Error => self.told_by(sign),
                _ => sign,
            }
        };
        signs.extend(site::strongest(shifts).into_iter().map(sign));
        signs
    }

    /// Errors of calls without an answer speak of who was called, if that is a
    /// service that tells of itself and did not tell of these: it is gone, or the
    /// way to it is. What is waited for speaks of it in any case.
    fn told_by(self, sign: Sign) -> Sign {
        let whom = sign.about.edge.as_ref().map(|(_, whom)| whom.as_str());
        match whom.and_then(|whom| self.service(whom)) {
            Some(service) => {
                let about = About { operation: None, ..sign.about.clone() };
                Sign { service: service.to_owned(), about, ..sign }
            }
            None => sign,
        }
    }

    /// The service that callers mean by a name. Hosts are called by the first part
    /// of theirs.
    pub fn service(self, whom: &str) -> Option<&str> {
        let told = |name: &&str| {
            self.usual.exclusive.contains_key(*name) || self.after.exclusive.contains_key(*name)
        };
        let first = whom.split(['.', ':']).next().unwrap_or_default();
        [whom, first].into_iter().find(told)
    }

    /// Adds who is called and never tells of it. Returns those of them that tell
    /// nothing at all: they are known by what their callers say.
    pub fn uninstrumented(self, graph: &mut Graph) -> BTreeSet<String> {
        let seen = [self.near, Some(self.after)].into_iter().flatten();
        let mut alone = BTreeSet::new();
        for (caller, whom) in seen.flat_map(|seen| seen.waits.keys()) {
            let told = self.service(whom);
            if told.is_none() {
                alone.insert(whom.clone());
            }
            let callee = told.unwrap_or(whom);
            if callee != caller {
                graph.entry(caller.clone()).or_default().insert(callee.to_owned());
            }
        }
        alone
    }
}

fn kept<'s, T>(all: &'s [T], sure: &'s [bool]) -> impl Iterator<Item = &'s T> {
    all.iter().zip(sure).filter(|(_, sure)| **sure).map(|(one, _)| one)
}

/// A duration that is longer than it was.
pub struct Moved<K> {
    pub key: K,
    pub p: f64,
    pub large: bool,
    pub strength: f64,
    pub detail: String,
    /// Halfway between what it was and what it is, in milliseconds.
    between: f64,
}

impl<K: Ord> Moved<K> {
    /// In which bucket of a phase it began.
    pub fn onset(&self, after: &Durations<K>) -> Option<u32> {
        let beyond = |cells: &Vec<(f64, f64)>| {
            // By the logarithm, or one slow bucket weighs as much as many.
            (bootstrap::quantile(cells, 0.5) / self.between).ln()
        };
        let series = after.get(&self.key)?;
        onset::of(series.buckets.iter().map(|bucket| beyond(&bucket.cells)))
    }
}

/// The medians of buckets that have enough values, by how many are joined.
pub type Levels<K> = BTreeMap<K, [Vec<f64>; WIDTHS.len()]>;

/// How many buckets are joined where traffic is low, first to last.
const WIDTHS: [usize; 4] = [1, 2, 3, 6];

pub fn levels<K: Ord + Clone>(durations: &Durations<K>) -> Levels<K> {
    let of = |series: &Series| WIDTHS.map(|width| series.quantiles(0.5, width, LEAST));
    durations.iter().map(|(key, series)| (key.clone(), of(series))).collect()
}

/// Durations, and whether they became much longer. What did not is no sign: it
/// counts among what was looked at, with a p-value of 1.
pub fn longer<K: Ord + Clone>(
    usual: &Levels<K>,
    near: Option<&Durations<K>>,
    after: &Durations<K>,
) -> Vec<Moved<K>> {
    let (near, after) = (near.map(levels), levels(after));
    let each = usual.iter().filter_map(|(key, usual)| {
        let after = after.get(key)?;
        let (b, a) = comparable(usual, after)?;
        let near = near.as_ref().and_then(|near| comparable(near.get(key)?, after));
        // Dear, and needed for few.
        let large = is_large(b, a) && near.is_none_or(|(b, a)| is_large(b, a));
        let (p, moved) = match large {
            true => (rank::mann_whitney(b, a, 1.0).two_sided(), rank::shift(b, a)),
            false => (1.0, 0.0),
        };
        let level = rank::median_of(b.iter().copied());
        let spread = rank::median_of(b.iter().map(|v| (v - level).abs())) * 1.4826;
        Some(Moved {
            key: key.clone(),
            p,
            large,
            // A floor of a twentieth keeps a very even series from shouting.
            strength: moved / (spread + 0.05 * level + 0.5),
            between: level + moved / 2.0,
            detail: format!("{level:.1} ms moved by {moved:+.1} ms (A12 {:.2})", rank::a12(b, a)),
        })
    });
    each.collect()
}

/// Values of both, joined as far as traffic needs it.
fn comparable<'l>(
    before: &'l [Vec<f64>; WIDTHS.len()],
    after: &'l [Vec<f64>; WIDTHS.len()],
) -> Option<(&'l [f64], &'l [f64])> {
    let enough = |(b, a): &(&'l Vec<f64>, &'l Vec<f64>)| {
        b.len() >= LEAST_BUCKETS && a.len() >= LEAST_BUCKETS
    };
    before.iter().zip(after).find(enough).map(|(b, a)| (&b[..], &a[..]))
}

/// The effect floor.
fn is_large(before: &[f64], after: &[f64]) -> bool {
    if rank::a12(before, after) < A12 {
        return false;
    }
    let (level, moved) = (rank::median_of(before.iter().copied()), rank::shift(before, after));
    level + moved >= TIMES * level && moved >= MORE_MS
}

fn spent(moved: &Moved<String>) -> Sign {
    Sign {
        signal: Signal::Exclusive,
        service: moved.key.clone(),
        strength: moved.strength,
        about: About::default(),
        onset: None,
        detail: format!("exclusive time of {}: {}", moved.key, moved.detail),
    }
}

/// A gap speaks of the callee, unless most of what the caller calls `moved` too:
/// then it is the caller that is slow to send and to receive.
fn blamed(
    edges: &[&(String, String)],
    moved: &[&(String, String)],
    gaps: &[&Moved<(String, String)>],
    after: &Durations<(String, String)>,
    what: &str,
) -> Vec<Sign> {
    let sign = |one: &&Moved<(String, String)>| {
        let (caller, callee) = &one.key;
        let all = edges_of(caller, edges);
        let touched = edges_of(caller, moved);
        let own = touched >= 2 && 2 * touched > all;
        Sign {
            signal: Signal::Gap,
            service: if own { caller.clone() } else { callee.clone() },
            strength: one.strength,
            about: About { operation: None, edge: Some(one.key.clone()) },
            onset: one.onset(after),
            detail: format!("{what} of {caller}->{callee}: {}", one.detail),
        }
    };
    gaps.iter().map(sign).collect()
}

fn edges_of(caller: &str, edges: &[&(String, String)]) -> usize {
    edges.iter().filter(|(from, _)| from == caller).count()
}

/// CPU of each service, in cores: points before, and points in the phase.
pub fn cpu(pairs: &BTreeMap<String, (Vec<f64>, Vec<f64>)>) -> Vec<Sign> {
    let sign = |(service, (before, after)): (&String, &(Vec<f64>, Vec<f64>))| {
        if before.len() < CPU_POINTS || after.is_empty() {
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
            about: About::default(),
            // A rate over a window lags.
            onset: None,
            detail,
        })
    };
    pairs.iter().filter_map(sign).collect()
}
