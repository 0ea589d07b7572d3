//! What flowed at all: whether telemetry can be seen, and whether others send
//! while a subject is silent.

use std::collections::{BTreeMap, VecDeque};

use super::reduce::Heard;
use super::ring::SECOND;
use crate::document::units::Period;
use crate::tap::Losses;
use crate::verdict::evidence::Source;

/// How long after a loss a window of the usual length still lacks rows.
const LOST: Period = Period::secs(10);
/// Nothing at all arrived for so long: three batches of an SDK, or a scrape.
const HEARTBEAT: Period = Period::secs(15);
/// The latest event of a source that guards read is so old.
const WATERMARK: Period = Period::secs(30);
/// Seconds of counts that are kept, and so the longest look for silence.
pub const KEPT: i64 = 60;

#[derive(Debug, Default)]
struct Second {
    second: i64,
    rows: BTreeMap<Source, u64>,
    services: BTreeMap<(Source, String), u64>,
}

/// Of one tenant.
#[derive(Debug)]
pub struct Flow {
    /// Since when it listens; before that nothing is known.
    since: i64,
    seconds: VecDeque<Second>,
    newest: BTreeMap<Source, i64>,
    heard: Option<i64>,
    losses: Losses,
    missed: Option<i64>,
    refused: Option<i64>,
}

impl Flow {
    /// `losses` is what was lost before, which concerns nobody here.
    pub fn new(now: i64, losses: Losses) -> Flow {
        Flow {
            since: now,
            seconds: VecDeque::new(),
            newest: BTreeMap::new(),
            heard: None,
            losses,
            missed: None,
            refused: None,
        }
    }

    pub fn take(&mut self, heard: &Heard) {
        self.heard = self.heard.max(Some(heard.received));
        let newest = self.newest.entry(heard.source).or_insert(heard.newest);
        *newest = (*newest).max(heard.newest);
        let second = heard.received.div_euclid(SECOND);
        let at = self.seconds.partition_point(|known| known.second < second);
        if self.seconds.get(at).is_none_or(|known| known.second != second) {
            self.seconds.insert(at, Second { second, ..Second::default() });
        }
        let counts = &mut self.seconds[at];
        *counts.rows.entry(heard.source).or_default() += heard.rows;
        for (service, rows) in &heard.services {
            *counts.services.entry((heard.source, service.clone())).or_default() += rows;
        }
        let newest = self.seconds.back().map_or(second, |last| last.second);
        while self.seconds.front().is_some_and(|first| first.second <= newest - KEPT) {
            self.seconds.pop_front();
        }
    }

    /// What was lost up to now. True when rows are missing that were stored.
    pub fn lost(&mut self, losses: Losses, now: i64) -> bool {
        let missed = losses.missed > self.losses.missed;
        if missed {
            self.missed = Some(now);
        }
        if losses.refused > self.losses.refused {
            self.refused = Some(now);
        }
        self.losses = losses;
        missed
    }

    /// Rows per second of everybody but a service, over the last `seconds`.
    pub fn others(&self, source: Source, service: &str, now: i64, seconds: i64) -> f64 {
        let last = now.div_euclid(SECOND);
        let within = self.seconds.iter().filter(|s| s.second > last - seconds && s.second <= last);
        let key = (source, service.to_owned());
        let count = |second: &Second| {
            let all = second.rows.get(&source).copied().unwrap_or_default();
            all.saturating_sub(second.services.get(&key).copied().unwrap_or_default())
        };
        within.map(count).sum::<u64>() as f64 / seconds.max(1) as f64
    }

    /// Why telemetry cannot be trusted to be there, if it cannot.
    pub fn gap(&self, sources: &[Source], now: i64) -> Option<String> {
        let ago = |at: i64| (now.saturating_sub(at)) as f64 / SECOND as f64;
        let recent = |at: Option<i64>| at.filter(|at| now.saturating_sub(*at) < LOST.nanos());
        if let Some(at) = recent(self.missed) {
            return Some(format!("batches were not counted, the last {:.0} s ago", ago(at)));
        }
        if let Some(at) = recent(self.refused) {
            return Some(format!("batches were refused, the last {:.0} s ago", ago(at)));
        }
        let heard = self.heard.unwrap_or(self.since).max(self.since);
        if now.saturating_sub(heard) > HEARTBEAT.nanos() {
            return Some(format!("no telemetry arrived for {:.0} s", ago(heard)));
        }
        sources.iter().find_map(|source| {
            let newest = self.newest.get(source).copied().unwrap_or(self.since);
            let behind = now.saturating_sub(newest) > WATERMARK.nanos();
            behind.then(|| format!("{} end {:.0} s ago", source.table(), ago(newest)))
        })
    }
}
