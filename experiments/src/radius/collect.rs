//! The rows of a phase, and of what it is compared with.

use std::collections::{BTreeMap, BTreeSet};

use schema::ErrorKind;
use serde_json::Value;

use super::blame::{Graph, Radius, Resources};
use super::calibrate::{self, Calibration, Noise, Pseudo};
use super::history::{self, History};
use super::seen::{self, Answers, Past, Seen, text};
use super::signal::{self, Beside, Sign, Usual};
use super::site::{Names, Spread};
use super::statement;
use crate::Error;
use crate::document::Experiment;
use crate::document::scope::Target;
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
    let history = History::of(&recorded, reach, &phases, window);
    let taken = history::taken(&phases, window, history.margin);
    let mut names = Names::default();
    let past = asked.past(history, &mut names).await?;
    let near = match recorded_buckets(&recorded, reach, phases.baseline) >= RECORDED {
        true => Some(asked.seen(phases.baseline, &mut names).await?),
        false => None,
    };
    let after = asked.seen(phases.injection, &mut names).await?;
    let usual = match (past.pieces.is_empty(), &near) {
        (true, Some(near)) => Usual::of(near),
        _ => Usual::of(&past.whole()),
    };
    let (sites, near) = (&usual.sites, near.as_ref());
    let (spread, names) = (&Spread::of(&past), &names);
    let beside = Beside { usual: &usual, sites, near, after: &after, spread, names };
    let mut signs = beside.signs();
    let late = late(window);
    let cpu = asked.cpu(reach, late).await?;
    signs.extend(cpu.signs(late));
    let calibration = Calibration {
        telemetry: Noise::of(&calibrate::pseudo(&past, &usual, spread, names)),
        resources: Noise::of(&cpu.pseudo(late, &taken)),
    };
    let phases = [phases.baseline, phases.injection];
    let (mut graph, resources) = (asked.graph(&phases).await?, asked.resources(&phases).await?);
    let uninstrumented = beside.uninstrumented(&mut graph);
    let (target, declared) =
        (asked.aim(&experiment.target, &phases).await?, &experiment.blast_radius);
    let radius = Radius::new(signs, &graph, &resources, &target, declared, calibration);
    Ok(Radius { uninstrumented, ..radius })
}

/// Where resources tell of the run: they lag, but not into another one.
fn late(window: &Window) -> Span {
    let others = window.others.iter().map(|other| other.from);
    let next = others.filter(|from| *from >= window.recover).min().unwrap_or(i64::MAX);
    Span::between(window.inject, window.recover.saturating_add(LAG.nanos()).min(next))
}

/// A window, and how long resources tell of it afterwards.
fn lagging(taken: Span) -> Span {
    Span::between(taken.from, taken.to().saturating_add(LAG.nanos()))
}

fn recorded_buckets(recorded: &Table, reach: Span, span: Span) -> usize {
    let at = |row: &Vec<Value>| row.first().and_then(Value::as_i64);
    let inside = |at: &i64| {
        let from = reach.from.saturating_add(at.saturating_mul(BUCKET.nanos()));
        span.overlaps(Span { from, buckets: 1 })
    };
    recorded.rows.iter().filter_map(at).filter(inside).count()
}

pub(super) struct Asked<'a> {
    pub judged: i64,
    pub ask: &'a dyn Ask,
}

impl Asked<'_> {
    pub async fn table(&self, sql: String) -> Result<Table, Error> {
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

    /// Exclusive times, gaps, waits, call sites and requests.
    async fn tables(&self, spans: &[Span]) -> Result<[Table; 5], Error> {
        if spans.iter().all(|span| span.buckets == 0) {
            return Ok(Default::default());
        }
        Ok([
            self.table(statement::exclusive(spans, self.judged)).await?,
            self.table(statement::gaps(spans, self.judged)).await?,
            self.table(statement::waits(spans, self.judged)).await?,
            self.table(statement::sites(spans, self.judged)).await?,
            self.table(statement::requests(spans, self.judged)).await?,
        ])
    }

    async fn seen(&self, span: Span, names: &mut Names) -> Result<Seen, Error> {
        let tables = self.tables(&[span]).await?;
        Ok(seen::seen(span, Answers::of(&tables), names))
    }

    async fn past(&self, history: History, names: &mut Names) -> Result<Past, Error> {
        let tables = self.tables(&history.asked()).await?;
        Ok(Past::read(history, Answers::of(&tables), names))
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

    /// What each service runs on and keeps things in.
    async fn resources(&self, spans: &[Span]) -> Result<Resources, Error> {
        let mut resources = Resources::new();
        for row in &self.table(statement::resources(spans, self.judged)).await?.rows {
            if let (Some(service), Some(kind), Some(name)) =
                (text(row, 0), text(row, 1), text(row, 2))
            {
                resources.entry(service).or_default().insert((kind, name));
            }
        }
        Ok(resources)
    }

    /// The target, with the services that its resource stands for where it names none.
    async fn aim(&self, target: &Target, spans: &[Span]) -> Result<Target, Error> {
        let mut aim = target.clone();
        if target.level_0().is_empty() {
            let table =
                self.table(statement::holders(&target.resource, spans, self.judged)).await?;
            aim.services = table.rows.iter().filter_map(|row| text(row, 0)).collect();
        }
        Ok(aim)
    }

    async fn cpu(&self, reach: Span, late: Span) -> Result<Cpu, Error> {
        let span = Span::between(reach.from, reach.to().max(late.to()));
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

/// CPU of each service in cores, by the bucket that it was told in, oldest first.
struct Cpu(BTreeMap<String, Vec<(i64, f64)>>);

impl Cpu {
    /// A stretch beside the ten minutes before it.
    fn signs(&self, span: Span) -> Vec<Sign> {
        signal::cpu(&self.before_and_in(span).collect())
    }

    /// The services of which enough is known to compare a stretch.
    fn before_and_in(&self, span: Span) -> impl Iterator<Item = (String, (Vec<f64>, Vec<f64>))> {
        let before = Span::between(span.from.saturating_sub(SCRAPES.nanos()), span.from);
        let of = |points: &[(i64, f64)], span: Span| -> Vec<f64> {
            let from = points.partition_point(|(at, _)| *at < span.from);
            let to = points.partition_point(|(at, _)| *at < span.to());
            points[from..to.max(from)].iter().map(|(_, value)| *value).collect()
        };
        let each = self.0.iter();
        let pairs =
            each.map(move |(name, points)| (name.clone(), (of(points, before), of(points, span))));
        pairs.filter(|(_, (before, inside))| {
            before.len() >= signal::CPU_POINTS && !inside.is_empty()
        })
    }

    /// Pieces about as long as `late` that nothing is taken of, as if each were a
    /// run. Resources are told where traces are not, seldom, and of the time
    /// before, so these pieces are not those of the past.
    fn pseudo(&self, late: Span, taken: &[Span]) -> Vec<Pseudo> {
        let is_taken = |span: Span| taken.iter().any(|taken| lagging(*taken).overlaps(span));
        let times: BTreeSet<i64> = self.0.values().flatten().map(|(at, _)| *at).collect();
        let mut told: Vec<Span> = Vec::new();
        for at in times {
            if is_taken(Span { from: at, buckets: 1 }) {
                continue;
            }
            let until = at.saturating_add(BUCKET.nanos());
            match told.last_mut() {
                Some(last)
                    if at.saturating_sub(last.to()) <= 2 * LAG.nanos()
                        && !is_taken(Span::between(last.to(), until)) =>
                {
                    *last = Span::between(last.from, until);
                }
                _ => told.push(Span { from: at, buckets: 1 }),
            }
        }
        let pieces = history::pieces(&told, late.buckets).into_iter();
        let pieces = pieces.filter(|piece| self.before_and_in(*piece).next().is_some());
        pieces.map(|span| Pseudo { span, signs: self.signs(span) }).collect()
    }
}
