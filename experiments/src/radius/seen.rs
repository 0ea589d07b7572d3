//! What a stretch of time showed of every service, and the answers that say so.

use std::collections::BTreeMap;

use serde_json::Value;

use super::history::{self, History};
use super::request;
use super::site::{Names, Sites};
use crate::indicator::text::cell_millis;
use crate::indicator::{Series, Table};
use crate::window::{BUCKET, Span};

/// Durations of many subjects.
pub type Durations<K> = BTreeMap<K, Series>;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    pub exclusive: Durations<String>,
    /// By caller and callee.
    pub gaps: Durations<(String, String)>,
    /// What callers wait for those who tell nothing of a call.
    pub waits: Durations<(String, String)>,
    pub sites: Sites,
    /// The same bucket by bucket, where when it began is of interest.
    pub steps: Vec<Sites>,
}

/// Fault-free time, bucket by bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    stretches: Vec<Told>,
    /// What false flags are counted on; each lies within a stretch.
    pub pieces: Vec<Span>,
}

/// An unbroken stretch.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    span: Span,
    exclusive: Durations<String>,
    gaps: Durations<(String, String)>,
    waits: Durations<(String, String)>,
    /// Of each bucket.
    sites: Vec<Sites>,
}

/// The answers about stretches; durations are left out where only call sites
/// are of interest.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    pub exclusive: Option<&'a Table>,
    pub gaps: Option<&'a Table>,
    pub waits: Option<&'a Table>,
    pub sites: &'a Table,
    pub requests: Option<&'a Table>,
}

impl<'a> Answers<'a> {
    /// Of exclusive times, gaps, waits, call sites and requests.
    pub fn of([exclusive, gaps, waits, sites, requests]: &'a [Table; 5]) -> Answers<'a> {
        let [exclusive, gaps, waits, requests] = [exclusive, gaps, waits, requests].map(Some);
        Answers { exclusive, gaps, waits, sites, requests }
    }

    /// Of call sites alone.
    pub fn of_sites(sites: &'a Table) -> Answers<'a> {
        Answers { exclusive: None, gaps: None, waits: None, sites, requests: None }
    }
}

impl Past {
    pub fn read(history: History, answers: Answers, names: &mut Names) -> Past {
        let stretches = told(&history.asked(), answers, names);
        Past { stretches, pieces: history.pieces }
    }

    /// Everything.
    pub fn whole(&self) -> Seen {
        let mut whole = Seen::default();
        self.stretches.iter().for_each(|told| told.add(0..told.sites.len(), &mut whole));
        whole
    }

    pub fn piece(&self, piece: Span) -> Seen {
        let mut seen = Seen::default();
        for told in &self.stretches {
            let (from, to) = told.inside(piece);
            if from < to {
                told.add(from..to, &mut seen);
            }
        }
        seen
    }

    /// Pieces that do not overlap.
    pub fn apart(&self) -> Vec<Span> {
        history::apart(&self.pieces)
    }
}

impl Told {
    /// Which of the buckets lie in a piece.
    fn inside(&self, piece: Span) -> (usize, usize) {
        let bucket = |at: i64| {
            let since = at.saturating_sub(self.span.from) / BUCKET.nanos();
            usize::try_from(since).unwrap_or(0).min(self.span.buckets as usize)
        };
        if !self.span.overlaps(piece) {
            return (0, 0);
        }
        (bucket(piece.from), bucket(piece.to()))
    }

    fn add(&self, range: std::ops::Range<usize>, seen: &mut Seen) {
        append(&mut seen.exclusive, &self.exclusive, &range);
        append(&mut seen.gaps, &self.gaps, &range);
        append(&mut seen.waits, &self.waits, &range);
        self.sites[range].iter().for_each(|sites| seen.sites.add(sites));
    }
}

fn append<K: Ord + Clone>(
    whole: &mut Durations<K>,
    part: &Durations<K>,
    range: &std::ops::Range<usize>,
) {
    if range.is_empty() {
        return;
    }
    for (key, series) in part {
        let buckets = &series.buckets[range.clone()];
        whole.entry(key.clone()).or_default().buckets.extend(buckets.iter().cloned());
    }
}

/// What one stretch showed.
pub fn seen(span: Span, answers: Answers, names: &mut Names) -> Seen {
    let mut seen = Seen::default();
    for told in told(&[span], answers, names) {
        told.add(0..told.sites.len(), &mut seen);
        seen.steps = told.sites;
    }
    seen
}

fn told(spans: &[Span], answers: Answers, names: &mut Names) -> Vec<Told> {
    let nothing = Table::default();
    let exclusive = answers.exclusive.unwrap_or(&nothing);
    let exclusive = durations(exclusive, spans, |row| text(row, 0));
    let edges = |table: Option<&Table>| {
        durations(table.unwrap_or(&nothing), spans, |row| Some((text(row, 0)?, text(row, 1)?)))
    };
    let (gaps, waits) = (edges(answers.gaps), edges(answers.waits));
    let mut sites = Sites::read(answers.sites, spans, names);
    request::read(answers.requests.unwrap_or(&nothing), spans, names, &mut sites);
    let parts = spans.iter().zip(exclusive).zip(gaps.into_iter().zip(waits)).zip(sites);
    let told = |(((span, exclusive), (gaps, waits)), sites): (((&Span, _), _), _)| Told {
        span: *span,
        exclusive,
        gaps,
        waits,
        sites,
    };
    parts.map(told).collect()
}

/// Where among stretches, and in which of its buckets, the bucket lies that is
/// the `at`-th after the first stretch's begin.
pub fn place(spans: &[Span], at: i64) -> Option<(usize, usize)> {
    let at = spans.first()?.from.saturating_add(at.saturating_mul(BUCKET.nanos()));
    let stretch = spans.partition_point(|span| span.from <= at).checked_sub(1)?;
    let bucket = usize::try_from((at - spans[stretch].from) / BUCKET.nanos()).ok()?;
    (bucket < spans[stretch].buckets as usize).then_some((stretch, bucket))
}

/// Rows of key, bucket, cell, n into durations of each stretch.
fn durations<K: Ord + Clone>(
    table: &Table,
    spans: &[Span],
    key: impl Fn(&[Value]) -> Option<K>,
) -> Vec<Durations<K>> {
    let mut seen: Vec<Durations<K>> = vec![BTreeMap::new(); spans.len()];
    for row in &table.rows {
        let Some((head, [bucket, cell, n])) = row.split_last_chunk::<3>() else { continue };
        let numbers = (bucket.as_i64(), cell.as_i64(), n.as_u64());
        let (Some(bucket), Some(cell), Some(n)) = numbers else { continue };
        let (Some((stretch, bucket)), Some(key)) = (place(spans, bucket), key(head)) else {
            continue;
        };
        let empty = || Series::empty(spans[stretch].buckets as usize);
        let series = seen[stretch].entry(key).or_insert_with(empty);
        if let Some(bucket) = series.buckets.get_mut(bucket) {
            bucket.add(n, 1.0);
            bucket.cells.push((cell_millis(cell), n as f64));
        }
    }
    seen
}

pub fn text(row: &[Value], at: usize) -> Option<String> {
    row.get(at)?.as_str().map(str::to_owned)
}
