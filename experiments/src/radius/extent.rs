//! How far a fault reached: which endpoints answer otherwise, which share of the
//! requests that users make, of how many users they are, and which errors no user
//! saw. What it comes from is told elsewhere (`signal`, `blame`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::calibrate::{Noise, Pseudo};
use super::collect::Asked;
use super::history::{self, History};
use super::seen::{Durations, Seen, text};
use super::signal::{self, About, Moved, Q, Sign, Signal};
use super::site::{self, CHANCE, Names, Operation, Shift, Sites, Spread};
use super::statement;
use crate::Error;
use crate::document::Experiment;
use crate::indicator::text::cell_millis;
use crate::indicator::{Ask, Series, Table};
use crate::statistics::interval::Interval;
use crate::statistics::ratio::{self, Share};
use crate::statistics::{bootstrap, multiple, rank};
use crate::window::{BUCKET, Phases, Span, Window};

/// A request is slow beyond twice what nine of ten take in fault-free time, and ten
/// milliseconds more (the effect floor of section 4 of the paper).
const SLOW: f64 = 0.9;
const TIMES: f64 = 2.0;
const MORE_MS: f64 = 10.0;
/// Requests of fault-free time that say what slow is.
const LEAST: f64 = 20.0;
/// Endpoints that are told what slow is, those of most requests first.
const MOST: usize = 500;

/// An endpoint that fails more often or takes longer than it did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Endpoint {
    pub service: String,
    pub operation: String,
    /// Whether users ask for it: some of its spans have no parent.
    pub user_visible: bool,
    pub strength: f64,
    /// Stronger than it gets where nothing was injected.
    pub stands_out: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onset: Option<u32>,
    pub detail: String,
}

/// Requests of users, counted by trace and endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Traces {
    /// In the phase; those that failed or were slow.
    pub n: u64,
    pub felt: u64,
    /// The same of what it is compared with.
    pub before: (u64, u64),
    /// Of endpoints of which nobody knows what slow is, and that did not fail.
    pub unknown: u64,
    /// By how much the share grew; unknown where there is nothing to compare.
    pub grown: Option<Interval>,
    /// Requests a second in the phase, as a multiple of before.
    pub load: Option<f64>,
}

/// Of how many users or tenants the requests are, about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct People {
    pub all: u64,
    /// With a request that failed or was slow.
    pub felt: u64,
}

/// Traces in which errors began in a service, and those whose root was fine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Masked {
    pub service: String,
    pub traces: u64,
    pub masked: u64,
}

impl Masked {
    /// Errors below and none above, but for one in twenty: retries and fallbacks
    /// are not perfect.
    pub fn is_masked(&self) -> bool {
        self.traces >= 3 && self.masked * 20 >= self.traces * 19
    }
}

/// How far a fault reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Extent {
    /// The furthest moved first.
    pub endpoints: Vec<Endpoint>,
    pub traces: Traces,
    /// Missing where no span tells of any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<People>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenants: Option<People>,
    pub masked: Vec<Masked>,
    pub noise: Noise,
}

/// Measures how far a fault reached. Refused statements are errors.
pub async fn measure(
    experiment: &Experiment,
    window: &Window,
    judged: i64,
    ask: &dyn Ask,
) -> Result<Extent, Error> {
    let phases = Phases::of(window, &experiment.window);
    let asked = Asked { judged, ask };
    let reach = history::reach(&phases, judged);
    let recorded = asked.table(statement::recorded(reach, judged)).await?;
    let history = History::of(&recorded, reach, &phases, window);
    let mut names = Names::default();
    let past = asked.requests(&history.asked(), &mut names).await?;
    let before = asked.requests(&[phases.baseline], &mut names).await?;
    let after = asked.requests(&[phases.injection], &mut names).await?;
    let pieces = &history.pieces;
    let mut told =
        Told { past, pieces, before, after, phases, names: &names, spread: Spread::default() };
    told.spread = told.spread();
    let slow = told.slow();
    let mut extent = Extent {
        endpoints: told.endpoints(),
        traces: told.traces(&slow),
        noise: told.noise(),
        ..Extent::default()
    };
    for endpoint in &mut extent.endpoints {
        endpoint.stands_out = extent.noise.stands_out(&endpoint.sign());
    }
    if phases.injection.buckets == 0 {
        return Ok(extent);
    }
    let listed = told.listed(&slow);
    let table = asked.table(statement::reach(phases.injection, &listed, judged)).await?;
    let number = |at: usize| {
        let value = table.rows.first().and_then(|row| row.get(at));
        value.and_then(Value::as_u64).unwrap_or(0)
    };
    let people = |all: usize| {
        let people = People { all: number(all), felt: number(all + 1).min(number(all)) };
        (people.all > 0).then_some(people)
    };
    (extent.users, extent.tenants) = (people(2), people(4));
    for row in &asked.table(statement::masked(phases.injection, judged)).await?.rows {
        let count = |at: usize| row.get(at).and_then(Value::as_u64);
        if let (Some(service), Some(traces), Some(masked)) = (text(row, 0), count(1), count(2)) {
            extent.masked.push(Masked { service, traces, masked });
        }
    }
    Ok(extent)
}

impl Endpoint {
    fn sign(&self) -> Sign {
        Sign {
            signal: Signal::Endpoint,
            service: self.service.clone(),
            strength: self.strength,
            about: About { operation: Some(self.operation.clone()), edge: None },
            onset: self.onset,
            detail: self.detail.clone(),
        }
    }
}

/// Requests of an endpoint that began in one bucket and ended alike.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Requests {
    endpoint: u32,
    root: bool,
    failed: bool,
    /// Where the bucket begins, in nanoseconds.
    at: i64,
    millis: f64,
    n: u64,
}

impl Asked<'_> {
    async fn requests(&self, spans: &[Span], names: &mut Names) -> Result<Vec<Requests>, Error> {
        if spans.iter().all(|span| span.buckets == 0) {
            return Ok(Vec::new());
        }
        let table = self.table(statement::endpoints(spans, self.judged)).await?;
        Ok(read(&table, spans, names))
    }
}

/// Rows of service, operation, root, failed, bucket, cell, n.
fn read(table: &Table, spans: &[Span], names: &mut Names) -> Vec<Requests> {
    let origin = spans.first().map_or(0, |span| span.from);
    let mut requests = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let number = |at: usize| row.get(at).and_then(Value::as_i64);
        let numbers = (number(2), number(3), number(4), number(5), number(6));
        let (Some(service), Some(operation)) = (text(row, 0), text(row, 1)) else { continue };
        let (Some(root), Some(failed), Some(bucket), Some(cell), Some(n)) = numbers else {
            continue;
        };
        requests.push(Requests {
            endpoint: names.operation(&service, &operation),
            root: root > 0,
            failed: failed > 0,
            at: origin.saturating_add(bucket.saturating_mul(BUCKET.nanos())),
            millis: cell_millis(cell),
            n: u64::try_from(n).unwrap_or(0),
        });
    }
    requests
}

/// What was told of all endpoints.
struct Told<'a> {
    past: Vec<Requests>,
    pieces: &'a [Span],
    before: Vec<Requests>,
    after: Vec<Requests>,
    phases: Phases,
    names: &'a Names,
    /// Of the shares that fail.
    spread: Spread,
}

/// Of an endpoint, how long is slow, in milliseconds.
type Slow = BTreeMap<u32, f64>;

/// What a part of the time showed: durations, and how many failed.
struct Part {
    durations: Durations<u32>,
    failed: Seen,
}

impl Told<'_> {
    /// Of requests within stretches, one after the other.
    fn part(&self, requests: &[Requests], spans: &[Span], steps: bool) -> Part {
        let total: u32 = spans.iter().map(|span| span.buckets).sum();
        let offsets: Vec<u32> = spans
            .iter()
            .scan(0, |upto, span| Some(std::mem::replace(upto, *upto + span.buckets)))
            .collect();
        let mut durations: Durations<u32> = BTreeMap::new();
        let mut all = vec![Sites::default(); if steps { total as usize } else { 1 }];
        for one in requests {
            let Some(at) = spans.partition_point(|span| span.from <= one.at).checked_sub(1) else {
                continue;
            };
            let inside = (one.at - spans[at].from) / BUCKET.nanos();
            let Some(inside) =
                u32::try_from(inside).ok().filter(|inside| *inside < spans[at].buckets)
            else {
                continue;
            };
            let bucket = (offsets[at] + inside) as usize;
            let series =
                durations.entry(one.endpoint).or_insert_with(|| Series::empty(total as usize));
            series.buckets[bucket].add(one.n, 1.0);
            series.buckets[bucket].cells.push((one.millis, one.n as f64));
            let sites = &mut all[if steps { bucket } else { 0 }];
            *sites.traces.entry(one.endpoint).or_default() += one.n;
            if one.failed {
                *sites.hits.entry(site::failed(one.endpoint)).or_default() += one.n;
            }
        }
        let by_value = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0);
        let buckets = durations.values_mut().flat_map(|series| &mut series.buckets);
        buckets.for_each(|bucket| bucket.cells.sort_by(by_value));
        let mut sites = Sites::default();
        all.iter().for_each(|part| sites.add(part));
        let failed = Seen { sites, steps: if steps { all } else { Vec::new() }, ..Seen::default() };
        Part { durations, failed }
    }

    fn spread(&self) -> Spread {
        let pieces = history::apart(self.pieces);
        let each = pieces.iter().map(|piece| self.part(&self.past, &[*piece], false).failed.sites);
        Spread::between(&each.collect::<Vec<_>>())
    }

    /// Endpoints that fail more often or take longer, of which the share `q` may be
    /// found falsely.
    fn moves(&self, usual: &Part, near: Option<&Part>, after: &Part, q: f64) -> Vec<Sign> {
        let levels = signal::levels(&usual.durations);
        let near = near.map(|near| &near.durations);
        let slower = signal::longer(&levels, near, &after.durations);
        let (before, now) = (&usual.failed.sites, &after.failed.sites);
        let mut failing = site::shifts(before, now, &self.spread, self.names);
        failing.retain(|shift| shift.strength > 0.0);
        let p: Vec<f64> =
            slower.iter().map(|moved| moved.p).chain(failing.iter().map(Shift::p)).collect();
        let sure: Vec<bool> = multiple::benjamini_hochberg(&p).iter().map(|p| *p <= q).collect();
        let (of_slower, of_failing) = sure.split_at(slower.len());
        let slower = slower.iter().zip(of_slower).filter(|(moved, sure)| **sure && moved.large);
        let failing =
            failing.iter().zip(of_failing).filter(|(shift, sure)| **sure && shift.is_large());
        let slower = slower.map(|(moved, _)| self.slower(moved, &after.durations));
        let failing = failing.map(|(shift, _)| Sign {
            signal: Signal::Endpoint,
            onset: shift.onset(&after.failed),
            ..shift.sign(self.names)
        });
        slower.chain(failing).collect()
    }

    fn slower(&self, moved: &Moved<u32>, after: &Durations<u32>) -> Sign {
        let (service, operation) = self.names.operation_of(moved.key);
        Sign {
            signal: Signal::Endpoint,
            service: service.to_owned(),
            strength: moved.strength,
            about: About { operation: Some(operation.to_owned()), edge: None },
            onset: moved.onset(after),
            detail: format!("{service} {operation}: {}", moved.detail),
        }
    }

    /// Everything fault-free; the baseline where nothing else is.
    fn usual(&self) -> Part {
        let asked = history::joined(self.pieces);
        match asked.is_empty() {
            true => self.part(&self.before, &[self.phases.baseline], false),
            false => self.part(&self.past, &asked, false),
        }
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let usual = self.usual();
        let near = self.part(&self.before, &[self.phases.baseline], false);
        let near = (!near.durations.is_empty()).then_some(near);
        let after = self.part(&self.after, &[self.phases.injection], true);
        let roots: BTreeSet<u32> =
            self.after.iter().filter(|one| one.root).map(|one| one.endpoint).collect();
        let is_root = |service: &str, operation: &str| {
            roots.iter().any(|root| self.names.operation_of(*root) == (service, operation))
        };
        let mut strongest: BTreeMap<Operation, Endpoint> = BTreeMap::new();
        for sign in self.moves(&usual, near.as_ref(), &after, Q) {
            let Sign { service, strength, about, onset, detail, .. } = sign;
            let operation = about.operation.unwrap_or_default();
            let endpoint = Endpoint {
                user_visible: is_root(&service, &operation),
                strength,
                stands_out: false,
                onset,
                detail,
                service: service.clone(),
                operation: operation.clone(),
            };
            let key = (service, operation);
            match strongest.get_mut(&key) {
                None => {
                    strongest.insert(key, endpoint);
                }
                Some(known) if known.strength < endpoint.strength => {
                    let detail = format!("{}; {}", endpoint.detail, known.detail);
                    *known = Endpoint { detail, ..endpoint };
                }
                Some(known) => known.detail = format!("{}; {}", known.detail, endpoint.detail),
            }
        }
        let mut endpoints: Vec<Endpoint> = strongest.into_values().collect();
        endpoints.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        endpoints
    }

    /// What endpoints show where nothing was injected.
    fn noise(&self) -> Noise {
        let usual = self.usual();
        let judged = |piece: &Span| {
            let after = self.part(&self.past, &[*piece], false);
            Pseudo { span: *piece, signs: self.moves(&usual, None, &after, 1.0) }
        };
        Noise::of(&self.pieces.iter().map(judged).collect::<Vec<_>>())
    }

    /// Of the endpoints that users ask for.
    fn slow(&self) -> Slow {
        let of = |requests: &[Requests]| {
            let mut cells: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
            for one in requests.iter().filter(|one| one.root) {
                cells.entry(one.endpoint).or_default().push((one.millis, one.n as f64));
            }
            cells
        };
        let mut usual = of(if self.past.is_empty() { &self.before } else { &self.past });
        let mut slow = Slow::new();
        for (endpoint, cells) in &mut usual {
            cells.sort_by(|a, b| a.0.total_cmp(&b.0));
            if cells.iter().map(|(_, n)| n).sum::<f64>() >= LEAST {
                let most = bootstrap::quantile(cells, SLOW);
                slow.insert(*endpoint, (TIMES * most).max(most + MORE_MS));
            }
        }
        slow
    }

    /// The same by name and in nanoseconds, those of most requests first.
    fn listed(&self, slow: &Slow) -> Vec<(String, String, i64)> {
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        for one in self.after.iter().filter(|one| one.root) {
            *counts.entry(one.endpoint).or_default() += one.n;
        }
        let mut order: Vec<(u32, u64)> = counts.into_iter().collect();
        order.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let named = |(endpoint, _): (u32, u64)| {
            let (service, operation) = self.names.operation_of(endpoint);
            let nanos = slow.get(&endpoint)? * 1e6;
            Some((service.to_owned(), operation.to_owned(), nanos as i64))
        };
        order.into_iter().take(MOST).filter_map(named).collect()
    }

    fn traces(&self, slow: &Slow) -> Traces {
        let after = felt(&self.after, self.phases.injection, slow);
        let near = felt(&self.before, self.phases.baseline, slow);
        let pieces = history::apart(self.pieces);
        let parts: Vec<Felt> = pieces.iter().map(|piece| felt(&self.past, *piece, slow)).collect();
        let all = parts.iter().fold(Felt::default(), |sum, part| sum.add(part));
        let before = if near.n as f64 >= LEAST { near } else { all };
        let share = |felt: &Felt| Share::new(felt.felt, felt.n);
        let grown = (before.n > 0 && after.n > 0)
            .then(|| ratio::difference(share(&before), share(&after)).widened(spread(&parts)));
        let rate = |felt: &Felt, span: Span| (felt.n + felt.unknown) as f64 / span.seconds();
        let (now, was) = (rate(&after, self.phases.injection), rate(&near, self.phases.baseline));
        Traces {
            n: after.n + after.unknown,
            felt: after.felt,
            before: (before.felt, before.n),
            unknown: after.unknown,
            grown,
            load: (was > 0.0).then(|| now / was),
        }
    }
}

/// Requests of users of which it can be told whether they failed or were slow.
#[derive(Debug, Clone, Copy, Default)]
struct Felt {
    n: u64,
    felt: u64,
    unknown: u64,
}

impl Felt {
    fn add(self, other: &Felt) -> Felt {
        Felt {
            n: self.n + other.n,
            felt: self.felt + other.felt,
            unknown: self.unknown + other.unknown,
        }
    }
}

fn felt(requests: &[Requests], span: Span, slow: &Slow) -> Felt {
    let mut sum = Felt::default();
    let inside =
        requests.iter().filter(|one| one.root && one.at >= span.from && one.at < span.to());
    for one in inside {
        match slow.get(&one.endpoint) {
            None if !one.failed => sum.unknown += one.n,
            most => {
                sum.n += one.n;
                let felt = one.failed || most.is_some_and(|most| one.millis > *most);
                sum.felt += if felt { one.n } else { 0 };
            }
        }
    }
    sum
}

/// How many times as much as chance the share varies between fault-free pieces.
fn spread(parts: &[Felt]) -> f64 {
    let told: Vec<&Felt> = parts.iter().filter(|part| part.n > 0).collect();
    let all = told.iter().fold(Felt::default(), |sum, part| sum.add(part));
    let share = (all.felt as f64 + 0.5) / (all.n as f64 + 1.0);
    let squared = |part: &&Felt| {
        let n = part.n as f64;
        (part.felt as f64 - n * share).powi(2) / (n * share * (1.0 - share))
    };
    let times = rank::median_of(told.iter().map(squared)) / CHANCE;
    if told.len() > 1 && times > 1.0 { times.sqrt() } else { 1.0 }
}
