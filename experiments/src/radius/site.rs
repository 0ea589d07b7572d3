//! Call sites of logs: which are new, which expected ones are missing, and which
//! are said more or less often than they were.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::seen::text;
use super::signal::{SURE, Sign, Signal};
use super::statement::REPEATS;
use crate::indicator::Table;
use crate::statistics::interval::Interval;
use crate::statistics::rank;
use crate::statistics::ratio::{self, Share};
use crate::verdict::evidence::Gap;

/// The effect floor: the share of an operation's traces that must have changed.
const MOVED: f64 = 0.25;
/// Traces on either side that a share must be of.
const LEAST: u64 = 3;
/// The median of chi-squared with one degree of freedom: what chance alone has
/// a stretch's squared deviation be.
const CHANCE: f64 = 0.455;

/// A service and one of its operations.
pub type Operation = (String, String);
/// An operation, a call site, and the index of how often a request said it.
pub type Site = (Operation, String, usize);

/// In how many of an operation's traces each of its call sites appeared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sites {
    pub traces: BTreeMap<Operation, u64>,
    pub hits: BTreeMap<Site, u64>,
}

impl Sites {
    pub fn sum<'s>(parts: impl Iterator<Item = &'s Sites>) -> Sites {
        let mut whole = Sites::default();
        for part in parts {
            part.traces
                .iter()
                .for_each(|(key, n)| *whole.traces.entry(key.clone()).or_default() += n);
            part.hits.iter().for_each(|(key, n)| *whole.hits.entry(key.clone()).or_default() += n);
        }
        whole
    }

    /// The same of an answer that may be cut.
    pub fn asked(table: &Table, stretches: usize) -> Result<Vec<Sites>, Gap> {
        if table.truncated || !table.incomplete.is_empty() {
            return Err(Gap::Incomplete("not every row of the logs could be seen".into()));
        }
        Ok(Sites::read(table, stretches))
    }

    /// Rows of stretch, service, operation, n, site and hits by repeats.
    pub fn read(table: &Table, stretches: usize) -> Vec<Sites> {
        let mut sites = vec![Sites::default(); stretches];
        for row in &table.rows {
            let stretch =
                row.first().and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
            let Some(sites) = stretch.and_then(|at| sites.get_mut(at)) else { continue };
            let (Some(service), Some(operation)) = (text(row, 1), text(row, 2)) else { continue };
            let Some(n) = row.get(3).and_then(Value::as_u64) else { continue };
            let operation = (service, operation);
            sites.traces.insert(operation.clone(), n);
            let Some(site) = text(row, 4) else { continue };
            for at in 0..REPEATS.len() {
                if let Some(hits) = row.get(5 + at).and_then(Value::as_u64).filter(|hits| *hits > 0)
                {
                    sites.hits.insert((operation.clone(), site.clone(), at), hits);
                }
            }
        }
        sites
    }

    fn of(&self, site: &Site) -> (u64, u64) {
        let hits = self.hits.get(site).copied().unwrap_or(0);
        (hits, self.traces.get(&site.0).copied().unwrap_or(0))
    }

    /// Services that said anything: one that says nothing at all is not seen,
    /// and nothing of its sites is missing.
    pub fn speaking(&self) -> BTreeSet<&str> {
        self.hits.keys().map(|((service, _), _, _)| service.as_str()).collect()
    }
}

/// How a call site's share of traces moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Shift {
    pub site: Site,
    /// Of how many traces before, and of how many now.
    pub before: (u64, u64),
    pub after: (u64, u64),
    /// Of the difference of the two shares.
    pub moved: Interval,
    /// Standard deviations, as much as shares vary in fault-free time.
    pub strength: f64,
}

impl Shift {
    pub fn is_sign(&self) -> bool {
        self.moved.estimate.abs() >= MOVED && self.strength >= SURE
    }

    pub fn detail(&self) -> String {
        let (((service, operation), site, at), (b, n), (a, m)) =
            (&self.site, self.before, self.after);
        let what = if self.moved.estimate > 0.0 { "more" } else { "less" };
        let times = match REPEATS[*at] {
            1 => String::new(),
            times => format!(" {times} times"),
        };
        format!(
            "call site of {service} {what} often{times} in {operation}: {b} of {n} traces before, {a} of {m} now: {site}"
        )
    }
}

/// The moves of the call sites of services that say anything, before and now.
/// `history` are stretches of fault-free time: how much more than chance a site
/// varies from one to the next takes off from its strength.
pub fn shifts(before: &Sites, after: &Sites, history: &[&Sites]) -> Vec<Shift> {
    let (then, now) = (before.speaking(), after.speaking());
    let keys: BTreeSet<&Site> = before.hits.keys().chain(after.hits.keys()).collect();
    let shift = |key: &&Site| {
        let service = key.0.0.as_str();
        let ((b, n), (a, m)) = (before.of(key), after.of(key));
        if !(then.contains(service) && now.contains(service)) || n < LEAST || m < LEAST {
            return None;
        }
        let spread = dispersion(key, history).sqrt();
        let moved = ratio::difference(Share::new(b, n), Share::new(a, m)).widened(spread);
        let strength = deviance((b, n), (a, m)).sqrt() / spread;
        Some(Shift { site: (*key).clone(), before: (b, n), after: (a, m), moved, strength })
    };
    keys.iter().filter_map(shift).collect()
}

/// Shifts that are large and sure, the strongest of each call site.
pub fn signs(before: &Sites, after: &Sites, history: &[&Sites]) -> Vec<Sign> {
    let shifts = shifts(before, after, history);
    let mut strongest: BTreeMap<(&Operation, &str), &Shift> = BTreeMap::new();
    for shift in shifts.iter().filter(|shift| shift.is_sign()) {
        let place = strongest.entry((&shift.site.0, &shift.site.1)).or_insert(shift);
        if shift.strength > place.strength {
            *place = shift;
        }
    }
    let sign = |shift: &Shift| Sign {
        signal: Signal::Site,
        service: shift.site.0.0.clone(),
        strength: shift.strength,
        detail: shift.detail(),
    };
    strongest.into_values().map(sign).collect()
}

/// How many times as much as chance a site's share varies between fault-free
/// stretches: at least 1. By the median, so that stretches in which something
/// happened after all do not hide what happens next.
fn dispersion(site: &Site, history: &[&Sites]) -> f64 {
    let cells: Vec<(u64, u64)> =
        history.iter().map(|sites| sites.of(site)).filter(|(_, n)| *n > 0).collect();
    if cells.len() < 2 {
        return 1.0;
    }
    let hits: u64 = cells.iter().map(|(hits, _)| hits).sum();
    let all: u64 = cells.iter().map(|(_, n)| n).sum();
    // Half of a hit more and less: a share of nothing or all has no variance.
    let share = (hits as f64 + 0.5) / (all as f64 + 1.0);
    let squared = |(hits, n): (u64, u64)| {
        let n = n as f64;
        (hits as f64 - n * share).powi(2) / (n * share * (1.0 - share))
    };
    (rank::median_of(cells.into_iter().map(squared)) / CHANCE).max(1.0)
}

/// Twice the log of how much likelier two shares are than one (G): its root is
/// about normal.
fn deviance((a, n): (u64, u64), (b, m): (u64, u64)) -> f64 {
    let log = |hits: u64, n: u64, p: f64| {
        let part = |count: f64, p: f64| if count > 0.0 { count * p.ln() } else { 0.0 };
        part(hits as f64, p) + part((n - hits.min(n)) as f64, 1.0 - p)
    };
    let share = |hits: u64, n: u64| hits as f64 / n as f64;
    let both = share(a + b, n + m);
    let apart = log(a, n, share(a, n)) + log(b, m, share(b, m));
    (2.0 * (apart - log(a, n, both) - log(b, m, both))).max(0.0)
}
