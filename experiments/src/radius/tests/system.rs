//! A system over a day, drawn from a seed: what its services say and how long
//! they take, with a trend over the day, services that are noisy by nature, and
//! now and then a burst without any fault.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::history::History;
use super::super::seen::{self, Answers, Past, Seen};
use super::super::site::Names;
use crate::indicator::Table;
use crate::statistics::random::Random;
use crate::window::{BUCKET, Span};

pub const SERVICES: usize = 10;
/// Pieces of fault-free time, of nine buckets each.
pub const PIECES: i64 = 40;
/// Buckets from one piece to the next: a day's worth in all.
const APART: i64 = 400;

/// What is wrong in a stretch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Harm {
    /// A service that says an error in this share of its traces.
    pub error: Option<(usize, f64)>,
    /// A service that takes so many times as long.
    pub slow: Option<(usize, f64)>,
    /// A service that fails in this share of its traces, and one that calls another
    /// in only this share of them.
    pub fail: Option<(usize, f64)>,
    pub skip: Option<(usize, f64)>,
    /// The database answers in so many times as long.
    pub wait: Option<f64>,
}

pub struct System {
    random: Random,
    /// What is waited for is drawn apart: it came later, and changes nothing else.
    waits: Random,
    pub names: Names,
    /// The chance of a burst in a piece, at any one service.
    pub bursts: f64,
}

impl System {
    pub fn new(seed: u64) -> System {
        let (random, waits) = (Random::new(seed), Random::new(seed + 1_000));
        System { random, waits, names: Names::default(), bursts: 0.03 }
    }

    /// Fault-free pieces, but for those that `harm` tells of.
    pub fn past(&mut self, harm: impl Fn(i64) -> Harm) -> Past {
        let spans: Vec<Span> = (0..PIECES).map(|at| piece(at, 9)).collect();
        let harms: Vec<Harm> = (0..PIECES).map(harm).collect();
        let tables = self.tables(&spans, &harms);
        let history = History { pieces: spans, margin: 0 };
        Past::read(history, Answers::of(&tables), &mut self.names)
    }

    /// A stretch of so many buckets somewhere in the day.
    pub fn phase(&mut self, buckets: u32, harm: Harm) -> Seen {
        let at = self.random.below(PIECES as usize) as i64;
        let span = piece(at, buckets);
        let tables = self.tables(&[span], &[harm]);
        seen::seen(span, Answers::of(&tables), &mut self.names)
    }

    /// Exclusive times, no gaps, waits, call sites and requests, as the engine answers.
    fn tables(&mut self, spans: &[Span], harms: &[Harm]) -> [Table; 5] {
        let [mut times, mut waits, mut said, mut done] = [const { Vec::new() }; 4];
        let origin = spans.first().map_or(0, |span| span.from);
        for (span, harm) in spans.iter().zip(harms) {
            let burst = (self.random.unit() < self.bursts).then(|| self.random.below(SERVICES));
            let flap = self.random.unit() < 0.3;
            for bucket in 0..i64::from(span.buckets) {
                let at = span.from / BUCKET.nanos() + bucket;
                let day = (at as f64 / (APART * PIECES) as f64 * std::f64::consts::TAU).sin();
                let number = at - origin / BUCKET.nanos();
                let level = 8.0 * (1.0 + 0.2 * day) * harm.wait.unwrap_or(1.0);
                for caller in [1, 8] {
                    let cells =
                        cells(&mut self.waits, &[&format!("s{caller}"), "db"], number, level);
                    waits.extend(cells);
                }
                for service in 0..SERVICES {
                    let slow = harm.slow.filter(|(of, _)| *of == service).map_or(1.0, |(_, x)| x);
                    let odd = if burst == Some(service) { 2.0 } else { 1.0 };
                    let level = (5 + 3 * service) as f64 * (1.0 + 0.2 * day) * slow * odd;
                    let name = format!("s{service}");
                    times.extend(cells(&mut self.random, &[&name], number, level));
                    let mut error = if burst == Some(service) { 0.7 } else { 0.02 };
                    if service == 0 && flap {
                        error = 0.6;
                    }
                    if let Some((_, share)) = harm.error.filter(|(of, _)| *of == service) {
                        error = share;
                    }
                    let shares = [("asked", 1.0), ("cached", 0.5 + 0.1 * day), ("error", error)];
                    // From one trace in two buckets to three in one.
                    let n = (1 + self.random.below(1 + service % 4)) as u64;
                    said.extend(self.sites(service, number, n, &shares));
                    let of = |harm: Option<(usize, f64)>| {
                        harm.filter(|(of, _)| *of == service).map(|(_, share)| share)
                    };
                    let fail =
                        of(harm.fail).unwrap_or(if burst == Some(service) { 0.5 } else { 0.01 });
                    let call = of(harm.skip).unwrap_or(0.9 - 0.05 * day);
                    // What fails below is carried on.
                    let below = harm.fail.filter(|(of, _)| *of == service + 1);
                    let carry = below.map_or(0.01, |(_, share)| share);
                    let shares = [("failed", fail), ("carried", carry), ("called", call)];
                    done.extend(self.requests(service, number, n, &shares));
                }
            }
        }
        let table = |rows| Table { rows, ..Table::default() };
        [table(times), Table::default(), table(waits), table(said), table(done)]
    }

    fn sites(
        &mut self,
        service: usize,
        bucket: i64,
        n: u64,
        shares: &[(&str, f64)],
    ) -> Vec<Vec<Value>> {
        let mut row = |(site, share): &(&str, f64)| {
            let head = [json!(bucket), json!(format!("s{service}")), json!("op"), json!(n)];
            let hits = [self.hits(n, *share), 0, 0, 0].map(|n| json!(n));
            head.into_iter().chain([json!(site)]).chain(hits).collect()
        };
        shares.iter().map(&mut row).collect()
    }

    /// Failures that begin in a service or below it, and calls of the next.
    fn requests(
        &mut self,
        service: usize,
        bucket: i64,
        n: u64,
        shares: &[(&str, f64)],
    ) -> Vec<Vec<Value>> {
        let mut row = |(what, share): &(&str, f64)| {
            let whom = if *what == "called" { format!("s{}", service + 1) } else { String::new() };
            let head = [json!(bucket), json!(format!("s{service}")), json!("op"), json!(n)];
            let deed = [json!(what), json!(whom), json!(self.hits(n, *share))];
            head.into_iter().chain(deed).collect()
        };
        shares.iter().map(&mut row).collect()
    }

    fn hits(&mut self, n: u64, share: f64) -> u64 {
        (0..n).filter(|_| self.random.unit() < share).count() as u64
    }
}

/// Six durations about a level.
fn cells(random: &mut Random, key: &[&str], bucket: i64, level: f64) -> Vec<Vec<Value>> {
    let mut cells: BTreeMap<i64, u64> = BTreeMap::new();
    for _ in 0..6 {
        let gauss = (0..4).map(|_| random.unit()).sum::<f64>() - 2.0;
        let nanos = level * 1e6 * (0.5 * gauss).exp();
        *cells.entry((nanos.ln() * 100.0).floor() as i64).or_default() += 1;
    }
    let row = |(cell, n)| {
        let key = key.iter().map(|name| json!(name));
        key.chain([json!(bucket), json!(cell), json!(n)]).collect()
    };
    cells.into_iter().map(row).collect()
}

fn piece(at: i64, buckets: u32) -> Span {
    Span { from: at * APART * BUCKET.nanos(), buckets }
}
