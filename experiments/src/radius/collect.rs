//! The rows of a phase, and of what it is compared with.

use std::collections::BTreeMap;

use schema::ErrorKind;
use serde_json::Value;

use super::blame::{Graph, Radius};
use super::calibrate::Calibration;
use super::history;
use super::seen::{Seen, durations, text};
use super::signal::{self, Sign};
use super::site::Sites;
use super::statement;
use crate::Error;
use crate::document::Experiment;
use crate::document::units::Period;
use crate::indicator::{Ask, Table};
use crate::window::{BUCKET, Phases, Span, Window};

/// Resources are scraped about once a minute: so far back they are compared,
/// and so long they lag.
const SCRAPES: Period = Period::secs(600);
const LAG: Period = Period::secs(60);
/// Recorded buckets that a baseline needs to be compared with.
const RECORDED: usize = 4;

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
    let reach = history::reach(&phases, judged);
    let recorded = asked.table(statement::recorded(reach, judged)).await?;
    let quiet = history::stretches(&recorded, reach, &phases, window);
    let pieces = history::pieces(&quiet, phases.baseline.buckets);
    let past = asked.seen(&pieces).await?;
    let baseline_recorded = recorded
        .rows
        .iter()
        .filter_map(|row| row.first().and_then(Value::as_i64))
        .filter(|at| {
            phases.baseline.overlaps(Span { from: reach.from + at * BUCKET.nanos(), buckets: 1 })
        })
        .count()
        >= RECORDED;
    let before = match baseline_recorded {
        true => asked.one(phases.baseline).await?,
        // Nothing was recorded before the injection: what is usual otherwise.
        false => Seen::joined(past.iter()),
    };
    let after = asked.one(phases.injection).await?;
    let usual: Vec<&Seen> = past.iter().collect();
    let mut signs = signal::signs(&before, &after, &usual);
    let cpu = asked.cpu(window, &pieces).await?;
    let late = Span::between(window.inject, window.recover.saturating_add(LAG.nanos()));
    signs.extend(cpu.signs(late));
    let of_pieces = pieces.iter().map(|piece| cpu.signs(*piece)).collect();
    let calibration = Calibration::new(&past, of_pieces);
    let graph = asked.graph(&[phases.baseline, phases.injection]).await?;
    Ok(Radius::new(signs, &graph, &experiment.target, &experiment.blast_radius, calibration))
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

    async fn one(&self, span: Span) -> Result<Seen, Error> {
        Ok(self.seen(&[span]).await?.pop().unwrap_or_default())
    }

    /// What each of some stretches shows, in order of time.
    async fn seen(&self, spans: &[Span]) -> Result<Vec<Seen>, Error> {
        if spans.iter().all(|span| span.buckets == 0) {
            return Ok(vec![Seen::default(); spans.len()]);
        }
        let table = self.table(statement::exclusive(spans, self.judged)).await?;
        let exclusive = durations(&table, spans, |row| text(row, 0));
        let table = self.table(statement::gaps(spans, self.judged)).await?;
        let gaps = durations(&table, spans, |row| Some((text(row, 0)?, text(row, 1)?)));
        let sites =
            Sites::read(&self.table(statement::sites(spans, self.judged)).await?, spans.len());
        let parts = exclusive.into_iter().zip(gaps).zip(sites);
        Ok(parts.map(|((exclusive, gaps), sites)| Seen { exclusive, gaps, sites }).collect())
    }

    async fn graph(&self, spans: &[Span]) -> Result<Graph, Error> {
        let mut graph = Graph::new();
        for row in &self.table(statement::calls(spans, self.judged)).await?.rows {
            if let (Some(caller), Some(callee)) = (text(row, 0), text(row, 1)) {
                graph.entry(caller).or_default().insert(callee);
            }
        }
        Ok(graph)
    }

    async fn cpu(&self, window: &Window, pieces: &[Span]) -> Result<Cpu, Error> {
        let first = pieces.first().map_or(window.inject, |piece| piece.from.min(window.inject));
        let last = pieces.last().map_or(window.recover, |piece| piece.to().max(window.recover));
        let span =
            Span::between(first.saturating_sub(SCRAPES.nanos()), last.saturating_add(LAG.nanos()));
        let mut points: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
        for row in &self.table(statement::cpu(span, self.judged)).await?.rows {
            let numbers = (row.get(1).and_then(Value::as_i64), row.get(2).and_then(Value::as_f64));
            let (Some(service), (Some(bucket), Some(value))) = (text(row, 0), numbers) else {
                continue;
            };
            points.entry(service).or_default().push((span.from + bucket * BUCKET.nanos(), value));
        }
        Ok(Cpu(points))
    }
}

/// CPU of each service in cores, by the bucket that it was told in.
struct Cpu(BTreeMap<String, Vec<(i64, f64)>>);

impl Cpu {
    /// A stretch beside the ten minutes before it.
    fn signs(&self, span: Span) -> Vec<Sign> {
        let before = Span::between(span.from.saturating_sub(SCRAPES.nanos()), span.from);
        let pairs = self.0.iter().map(|(service, points)| {
            let of = |span: Span| {
                let inside = points.iter().filter(|(at, _)| (span.from..span.to()).contains(at));
                inside.map(|(_, value)| *value).collect::<Vec<f64>>()
            };
            (service.clone(), (of(before), of(span)))
        });
        signal::cpu(&pairs.collect())
    }
}
