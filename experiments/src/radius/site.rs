//! Call sites of logs: which are new, which expected ones are missing, and which
//! are said more or less often than they were. What else requests do (`request`) is
//! counted like that too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::onset;
use super::request::What;
use super::seen::{Past, Seen, place, text};
use super::signal::{About, Sign};
use super::statement::REPEATS;
use crate::indicator::Table;
use crate::statistics::interval::Interval;
use crate::statistics::ratio::{self, Share};
use crate::statistics::{normal, rank};
use crate::verdict::evidence::Gap;
use crate::window::Span;

/// Traces on either side that a share must be of.
const LEAST: u64 = 3;
/// Below this in any cell the exact test is used (section 4 of the paper).
const SMALL_CELL: u64 = 10;
/// Weaker moves are noise whatever test tells their strength.
const WEAK: f64 = 2.0;
/// The median of chi-squared with one degree of freedom: what chance alone has
/// a stretch's squared deviation be.
pub const CHANCE: f64 = 0.455;

/// A service and one of its operations.
pub type Operation = (String, String);

/// Operations and call sites by number: they are compared very often.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Names {
    operations: Numbered<Operation>,
    sites: Numbered<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Numbered<T> {
    names: Vec<T>,
    numbers: BTreeMap<T, u32>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Numbered<T> {
        Numbered { names: Vec::new(), numbers: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Numbered<T> {
    fn number(&mut self, name: T) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }
}

impl Names {
    pub fn operation(&mut self, service: &str, operation: &str) -> u32 {
        self.operations.number((service.to_owned(), operation.to_owned()))
    }

    pub fn site(&mut self, operation: u32, site: &str, repeats: u8) -> Site {
        Site { operation, what: What::Said, text: self.sites.number(site.to_owned()), repeats }
    }

    /// What else a request does, and to whom.
    pub fn deed(&mut self, operation: u32, what: What, whom: &str) -> Site {
        Site { operation, what, text: self.sites.number(whom.to_owned()), repeats: 0 }
    }

    pub fn service(&self, operation: u32) -> &str {
        self.operation_of(operation).0
    }

    pub fn operation_of(&self, operation: u32) -> (&str, &str) {
        let of = self.operations.names.get(operation as usize);
        of.map_or(("", ""), |(service, operation)| (service, operation))
    }

    fn text(&self, text: u32) -> &str {
        self.sites.names.get(text as usize).map_or("", String::as_str)
    }
}

/// A call site in an operation, with the index of how often a request says it; or
/// what else its requests do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    pub operation: u32,
    pub what: What,
    pub text: u32,
    pub repeats: u8,
}

/// In how many of an operation's traces each of its call sites appeared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sites {
    pub traces: BTreeMap<u32, u64>,
    pub hits: BTreeMap<Site, u64>,
}

impl Sites {
    pub fn add(&mut self, part: &Sites) {
        part.traces.iter().for_each(|(key, n)| *self.traces.entry(*key).or_default() += n);
        part.hits.iter().for_each(|(key, n)| *self.hits.entry(*key).or_default() += n);
    }

    /// What is left without a part.
    pub fn less(mut self, part: &Sites) -> Sites {
        let left = |n: &mut u64, part: &u64| *n = n.saturating_sub(*part);
        part.traces.iter().for_each(|(key, n)| left(self.traces.entry(*key).or_default(), n));
        part.hits.iter().for_each(|(key, n)| left(self.hits.entry(*key).or_default(), n));
        self.traces.retain(|_, n| *n > 0);
        self.hits.retain(|_, n| *n > 0);
        self
    }

    /// The answer, unless it is cut.
    pub fn whole(table: &Table) -> Result<&Table, Gap> {
        if table.truncated || !table.incomplete.is_empty() {
            return Err(Gap::Incomplete("not every row of the logs could be seen".into()));
        }
        Ok(table)
    }

    /// Rows of bucket, service, operation, n, site and hits by repeats: each
    /// bucket of each stretch.
    pub fn read(table: &Table, spans: &[Span], names: &mut Names) -> Vec<Vec<Sites>> {
        let empty = |span: &Span| vec![Sites::default(); span.buckets as usize];
        let mut all: Vec<Vec<Sites>> = spans.iter().map(empty).collect();
        for row in &table.rows {
            let at = row.first().and_then(Value::as_i64).and_then(|at| place(spans, at));
            let Some(sites) = at.and_then(|(span, bucket)| all.get_mut(span)?.get_mut(bucket))
            else {
                continue;
            };
            let (Some(service), Some(operation)) = (text(row, 1), text(row, 2)) else { continue };
            let Some(n) = row.get(3).and_then(Value::as_u64) else { continue };
            let operation = names.operation(&service, &operation);
            sites.traces.insert(operation, n);
            let Some(site) = text(row, 4) else { continue };
            for at in 0..REPEATS.len() {
                let hits = row.get(5 + at).and_then(Value::as_u64).filter(|hits| *hits > 0);
                if let (Some(hits), Ok(repeats)) = (hits, u8::try_from(at)) {
                    sites.hits.insert(names.site(operation, &site, repeats), hits);
                }
            }
        }
        all
    }

    fn of(&self, site: &Site) -> (u64, u64) {
        let hits = self.hits.get(site).copied().unwrap_or(0);
        let n = self.traces.get(&site.operation).copied().unwrap_or(0);
        (hits.min(n), n)
    }

    /// Services that said anything: one that says nothing at all is not seen,
    /// and nothing of its sites is missing.
    pub fn speaking<'n>(&self, names: &'n Names) -> BTreeSet<&'n str> {
        let said = self.hits.keys().filter(|site| site.what == What::Said);
        let operations: BTreeSet<u32> = said.map(|site| site.operation).collect();
        operations.into_iter().map(|operation| names.service(operation)).collect()
    }
}

/// How many times as much as chance the share of each site varies between
/// fault-free pieces: as standard deviations, and at least 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spread(BTreeMap<Site, f64>);

/// The requests of an endpoint that failed, wherever that began.
pub fn failed(operation: u32) -> Site {
    Site { operation, what: What::Carried, text: 0, repeats: 0 }
}

impl Spread {
    pub fn of(past: &Past) -> Spread {
        let sites = |piece: &Span| past.piece(*piece).sites;
        Spread::between(&past.apart().iter().map(sites).collect::<Vec<_>>())
    }

    /// By the median, so that pieces in which something happened after all do
    /// not hide what happens next.
    pub fn between(pieces: &[Sites]) -> Spread {
        let all: BTreeSet<&Site> = pieces.iter().flat_map(|sites| sites.hits.keys()).collect();
        let spread = |site: &Site| {
            let cells: Vec<(u64, u64)> =
                pieces.iter().map(|sites| sites.of(site)).filter(|(_, n)| *n > 0).collect();
            let hits: u64 = cells.iter().map(|(hits, _)| hits).sum();
            let all: u64 = cells.iter().map(|(_, n)| n).sum();
            // Half of a hit more and less: a share of nothing or all has no variance.
            let share = (hits as f64 + 0.5) / (all as f64 + 1.0);
            let squared = |(hits, n): (u64, u64)| {
                let n = n as f64;
                (hits as f64 - n * share).powi(2) / (n * share * (1.0 - share))
            };
            let times = rank::median_of(cells.iter().copied().map(squared)) / CHANCE;
            (cells.len() > 1 && times > 1.0).then(|| (*site, times.sqrt()))
        };
        Spread(all.into_iter().filter_map(spread).collect())
    }

    fn site(&self, site: &Site) -> f64 {
        self.0.get(site).copied().unwrap_or(1.0)
    }
}

/// How a call site's share of traces moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Shift {
    pub site: Site,
    /// Of how many traces before, and of how many now.
    pub before: (u64, u64),
    pub after: (u64, u64),
    /// What its share varies by, as a multiple of chance.
    spread: f64,
    /// Standard deviations, as much as shares vary in fault-free time.
    pub strength: f64,
}

impl Shift {
    /// Of the difference of the two shares.
    pub fn moved(&self) -> Interval {
        let share = |(hits, n)| Share::new(hits, n);
        ratio::difference(share(self.before), share(self.after)).widened(self.spread)
    }

    /// The difference of the two shares.
    pub fn share(&self) -> f64 {
        let share = |(hits, n): (u64, u64)| hits as f64 / n as f64;
        share(self.after) - share(self.before)
    }

    pub fn is_large(&self) -> bool {
        self.site.what.is_large(self.share())
    }

    /// The chance of such a move, in either direction.
    pub fn p(&self) -> f64 {
        2.0 * normal::tail(self.strength)
    }

    /// The sign of it, which speaks of the service that did it.
    pub fn sign(&self, names: &Names) -> Sign {
        let (service, operation) = names.operation_of(self.site.operation);
        let whom = names.text(self.site.text);
        let other = matches!(self.site.what, What::Unanswered | What::Called);
        Sign {
            signal: self.site.what.signal(),
            service: service.to_owned(),
            strength: self.strength,
            about: About {
                operation: Some(operation.to_owned()),
                edge: other.then(|| (service.to_owned(), whom.to_owned())),
            },
            onset: None,
            detail: self.detail(names),
        }
    }

    /// In which bucket of a phase it began.
    pub fn onset(&self, after: &Seen) -> Option<u32> {
        let share = |(hits, n): (u64, u64)| hits as f64 / n as f64;
        let between = f64::midpoint(share(self.before), share(self.after));
        let up = if self.share() > 0.0 { 1.0 } else { -1.0 };
        let beyond = |sites: &Sites| {
            let (hits, n) = sites.of(&self.site);
            up * (hits as f64 - between * n as f64)
        };
        onset::of(after.steps.iter().map(beyond))
    }

    pub fn detail(&self, names: &Names) -> String {
        let ((b, n), (a, m)) = (self.before, self.after);
        let (service, operation) = names.operation_of(self.site.operation);
        let site = names.text(self.site.text);
        let what = if self.share() > 0.0 { "more" } else { "less" };
        let counts = format!("{b} of {n} traces before, {a} of {m} now");
        if self.site.what != What::Said {
            let done = self.site.what.in_words(site);
            return format!("{service} {what} often in {operation}: {counts}: {done}");
        }
        let times = match REPEATS.get(usize::from(self.site.repeats)) {
            Some(times) if *times > 1 => format!(" {times} times"),
            _ => String::new(),
        };
        format!("call site of {service} {what} often{times} in {operation}: {counts}: {site}")
    }
}

/// The moves of the call sites of services that say anything, before and now, and
/// of what else requests do.
pub fn shifts(before: &Sites, after: &Sites, spread: &Spread, names: &Names) -> Vec<Shift> {
    let (then, now) = (before.speaking(names), after.speaking(names));
    let heard: BTreeSet<&str> = then.intersection(&now).copied().collect();
    let keys: BTreeSet<&Site> = before.hits.keys().chain(after.hits.keys()).collect();
    let shift = |site: &&Site| {
        let ((b, n), (a, m)) = (before.of(site), after.of(site));
        let seen = site.what != What::Said || heard.contains(names.service(site.operation));
        let seen = seen && n >= LEAST && m >= LEAST;
        let spread = spread.site(site);
        seen.then(|| Shift {
            site: **site,
            before: (b, n),
            after: (a, m),
            spread,
            strength: deviations((b, n), (a, m)) / spread,
        })
    };
    keys.iter().filter_map(shift).collect()
}

/// The strongest of each call site.
pub fn strongest(shifts: Vec<&Shift>) -> Vec<&Shift> {
    let mut strongest: BTreeMap<Site, &Shift> = BTreeMap::new();
    for shift in shifts {
        let place = strongest.entry(Site { repeats: 0, ..shift.site }).or_insert(shift);
        if shift.strength > place.strength {
            *place = shift;
        }
    }
    strongest.into_values().collect()
}

/// How many standard deviations lie between two shares: by the exact test where
/// a cell is small, else by the root of G.
fn deviations(before: (u64, u64), after: (u64, u64)) -> f64 {
    let root = deviance(before, after).sqrt();
    let ((b, n), (a, m)) = (before, after);
    let small = [b, n - b, a, m - a].into_iter().any(|cell| cell < SMALL_CELL);
    if root < WEAK || !small {
        return root;
    }
    let p = ratio::fisher(before, after).max(f64::MIN_POSITIVE);
    -normal::quantile(p / 2.0)
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
