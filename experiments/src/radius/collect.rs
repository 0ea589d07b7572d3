//! The rows of a phase, and of what it is compared with.

use std::collections::BTreeMap;

use schema::ErrorKind;
use serde_json::Value;

use super::blame::{Graph, Radius};
use super::signal::{self, Pairs, Sign, Sites};
use super::statement;
use crate::Error;
use crate::document::Experiment;
use crate::document::units::Period;
use crate::indicator::text::cell_millis;
use crate::indicator::{Ask, Bucket, Series, Table};
use crate::judge::HISTORY;
use crate::window::{BUCKET, Phases, Span, Window};

/// Resources are scraped about once a minute: so far back they are compared,
/// and so long they lag.
const SCRAPES: Period = Period::secs(600);
const LAG: Period = Period::secs(60);
/// Recorded buckets that a stretch needs to stand in for a baseline.
const LEAST: u32 = 6;

/// Finds what a fault touched. Refused statements are errors: a radius with a
/// signal left out would look small.
pub async fn discover(
    experiment: &Experiment,
    window: &Window,
    judged: i64,
    ask: &dyn Ask,
) -> Result<Radius, Error> {
    let phases = Phases::of(window, &experiment.window);
    let asked = Asked { judged, ask };
    let quiet = asked.quiet(&phases, window).await?;
    let before = match quiet.last() {
        // Nothing was recorded before the injection: the latest that was.
        Some(last) if !quiet.iter().any(|span| span.overlaps(phases.baseline)) => *last,
        _ => phases.baseline,
    };
    let after = phases.injection;
    let (signs, graph) = asked.signs(before, after, &quiet).await?;
    let mut signs = signs;
    signs.extend(asked.cpu(window).await?);
    Ok(Radius::new(signs, &graph, &experiment.target, &experiment.blast_radius))
}

struct Asked<'a> {
    judged: i64,
    ask: &'a dyn Ask,
}

impl Asked<'_> {
    async fn table(&self, sql: String) -> Result<Table, Error> {
        let table = self.ask.ask(&sql).await?;
        if table.truncated || !table.incomplete.is_empty() {
            return Err(Error::Engine {
                kind: ErrorKind::Unavailable,
                message: "not every row could be seen; ask again when the answer is complete"
                    .into(),
            });
        }
        Ok(table)
    }

    /// Stretches before the injection in which spans were recorded and no other
    /// window lies, oldest first.
    async fn quiet(&self, phases: &Phases, window: &Window) -> Result<Vec<Span>, Error> {
        let end = phases.baseline.to();
        let day = Span::between(end.saturating_sub(HISTORY.nanos()), end);
        let table = self.table(statement::recorded(day, self.judged)).await?;
        let mut quiet: Vec<Span> = Vec::new();
        for row in &table.rows {
            let Some(at) = row.first().and_then(Value::as_i64) else { continue };
            let bucket = Span { from: day.from + at * BUCKET.nanos(), buckets: 1 };
            if window.others.iter().any(|other| other.overlaps(bucket)) {
                continue;
            }
            match quiet.last_mut() {
                Some(last) if last.to() == bucket.from => last.buckets += 1,
                _ => quiet.push(bucket),
            }
        }
        quiet.retain(|span| span.buckets >= LEAST);
        Ok(quiet)
    }

    async fn signs(
        &self,
        before: Span,
        after: Span,
        quiet: &[Span],
    ) -> Result<(Vec<Sign>, Graph), Error> {
        let exclusive = |span| statement::exclusive(span, self.judged);
        let gaps = |span| statement::gaps(span, self.judged);
        let (b, a) = (self.table(exclusive(before)).await?, self.table(exclusive(after)).await?);
        let mut signs = signal::exclusive(&durations(&b, before, &a, after, |row| text(row, 0)));
        let (b, a) = (self.table(gaps(before)).await?, self.table(gaps(after)).await?);
        let edge = |row: &[Value]| Some((text(row, 0)?, text(row, 1)?));
        signs.extend(signal::gaps(&durations(&b, before, &a, after, edge)));
        let now = sites(&self.table(statement::sites(&[after], self.judged)).await?);
        for reference in [&[before][..], quiet] {
            let then = sites(&self.table(statement::sites(reference, self.judged)).await?);
            signs.extend(signal::sites(&then, &now));
        }
        let mut graph = Graph::new();
        for span in [before, after] {
            for row in &self.table(statement::calls(span, self.judged)).await?.rows {
                if let (Some(caller), Some(callee)) = (text(row, 0), text(row, 1)) {
                    graph.entry(caller).or_default().insert(callee);
                }
            }
        }
        Ok((signs, graph))
    }

    async fn cpu(&self, window: &Window) -> Result<Vec<Sign>, Error> {
        let before = Span::between(window.inject.saturating_sub(SCRAPES.nanos()), window.inject);
        let after = Span::between(window.inject, window.recover.saturating_add(LAG.nanos()));
        let mut pairs: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
        for (span, late) in [(before, false), (after, true)] {
            for row in &self.table(statement::cpu(span, self.judged)).await?.rows {
                let (Some(service), Some(value)) =
                    (text(row, 0), row.get(2).and_then(Value::as_f64))
                else {
                    continue;
                };
                let pair = pairs.entry(service).or_default();
                if late { pair.1.push(value) } else { pair.0.push(value) }
            }
        }
        Ok(signal::cpu(&pairs))
    }
}

fn text(row: &[Value], at: usize) -> Option<String> {
    row.get(at)?.as_str().map(str::to_owned)
}

/// Rows of key, bucket, cell, n into a pair of series per key.
fn durations<K: Ord>(
    before: &Table,
    b: Span,
    after: &Table,
    a: Span,
    key: impl Fn(&[Value]) -> Option<K>,
) -> Pairs<K> {
    let empty =
        |span: Span| Series { buckets: vec![Bucket::default(); span.buckets as usize], sampled: 0 };
    let mut pairs: Pairs<K> = BTreeMap::new();
    for (table, late) in [(before, false), (after, true)] {
        for row in &table.rows {
            let Some((head, [bucket, cell, n])) = row.split_last_chunk::<3>() else { continue };
            let numbers = (bucket.as_i64(), cell.as_i64(), n.as_u64());
            let (Some(bucket), Some(cell), Some(n)) = numbers else { continue };
            let Some(key) = key(head) else { continue };
            let pair = pairs.entry(key).or_insert_with(|| (empty(b), empty(a)));
            let series = if late { &mut pair.1 } else { &mut pair.0 };
            let at = usize::try_from(bucket).unwrap_or(usize::MAX);
            if let Some(bucket) = series.buckets.get_mut(at) {
                bucket.n += n;
                bucket.cells.push((cell_millis(cell), n));
            }
        }
    }
    pairs
}

/// Rows of service, site, n, hits.
fn sites(table: &Table) -> Sites {
    let mut sites = Sites::default();
    for row in &table.rows {
        let (Some(service), Some(site)) = (text(row, 0), text(row, 1)) else { continue };
        let (Some(n), Some(hits)) =
            (row.get(2).and_then(Value::as_u64), row.get(3).and_then(Value::as_u64))
        else {
            continue;
        };
        sites.traces.insert(service.clone(), n);
        *sites.hits.entry((service, site)).or_default() += hits;
    }
    sites
}
