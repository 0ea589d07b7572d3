//! Whether telemetry is whole enough to judge by: what is torn, late, doubled or
//! told by clocks that disagree, counted by SQL over any stretch of time.
//!
//! | file | its part |
//! | --- | --- |
//! | [`metrics`] | points beside the cadence of their series |
//! | [`statement`] | spans and logs by themselves |
//! | [`calls`] | calls beside the spans that answer them |
//! | [`attributes`] | attributes that are not told any more, or too variedly |
//! | [`refused`] | what never came, by the word of those who sent it |
//!
//! Counts are of rows as they were stored: an exporter that sends twice is found
//! here, and only here. Deliberately not here: telling silence from a blind
//! pipeline, which needs a baseline (`verdict::missing`).

mod attributes;
mod calls;
pub mod metrics;
mod refused;
pub mod statement;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::indicator::{Ask, Table};
use crate::verdict::evidence::Source;
use crate::window::Span;
pub use metrics::Metrics;
use schema::ErrorKind;

/// The share of broken rows from which a source is no longer whole, and from
/// which nothing that depends on it can be shown to hold.
const TORN: f64 = 0.001;
const BROKEN: f64 = 0.05;

/// How far a source can be trusted. Ordered from best to worst.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Whole,
    /// Something is missing or wrong, too little to matter for a share or a median.
    Torn,
    /// What depends on it is inconclusive at best.
    Broken,
}

impl Grade {
    pub fn name(self) -> &'static str {
        match self {
            Grade::Whole => "whole",
            Grade::Torn => "torn",
            Grade::Broken => "broken",
        }
    }
}

/// The spans of a stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Spans {
    pub spans: u64,
    pub traces: u64,
    pub roots: u64,
    /// Spans whose parent never came, and those of them in traces that have a root:
    /// others may come from where nothing is recorded, such as a browser.
    pub orphans: u64,
    pub lost: u64,
    /// Spans that begin before their parent, and that end after it.
    pub early: u64,
    pub late: u64,
    pub negative: u64,
    /// Spans that last no time.
    pub instant: u64,
    /// Rows beyond the first of their trace and span id, and the ids that have such.
    pub repeated: u64,
    pub repeated_ids: u64,
    /// Traces without a root, and with several different ones.
    pub rootless: u64,
    pub many_rooted: u64,
    /// Spans of nobody, or of a service that never got a name.
    pub unnamed: u64,
    /// Those whose sender dropped attributes, events or links.
    pub cut: u64,
    /// How long after their end 99 of 100 spans had come, in milliseconds.
    pub arrival_p99_ms: u64,
    /// Pairs of services that call each other, and those of them of which over 1 % of the
    /// children begin before their parents: their clocks differ. Where they differ by a
    /// bucket, what they tell lies in another part of a run.
    pub pairs: u64,
    pub skewed: u64,
    pub apart: u64,
    /// Calls that did not fail to services that tell of themselves, and those of which
    /// they told nothing.
    pub calls: u64,
    pub unanswered: u64,
    /// Attributes of services that were usual before, those that are not told any more,
    /// and of these the ones that tell of errors.
    pub keys: u64,
    pub gone: u64,
    pub blind: u64,
    /// Attributes and names with far more values than before.
    pub grown: u64,
    /// Spans that were given up, by those who sent them.
    pub refused: u64,
}

impl Spans {
    pub fn grade(&self) -> Grade {
        // What a parent's clock says of a child is no loss; a lost span is.
        let lost = self.lost + self.negative + self.unnamed;
        let lost = share(lost, self.spans)
            .max(share(self.refused, self.spans + self.refused))
            .max(share(self.apart, self.pairs));
        let odd = share(self.repeated, self.spans)
            .max(share(self.orphans, self.spans))
            .max(share(self.cut, self.spans))
            .max(share(self.gone, self.keys))
            .max(share(self.rootless, self.traces));
        // Requests that fail look well where nothing tells of it.
        let blind = if self.blind > 0 { Grade::Broken } else { Grade::Whole };
        let grown = if self.grown > 0 { Grade::Torn } else { Grade::Whole };
        graded(lost).max(blind).max(grown).max(graded(odd).min(Grade::Torn))
    }

    /// The same beside what is usual: traces that lost their root, spans their parents,
    /// or calls their answers, since then.
    pub fn beside(&self, usual: &Spans) -> Grade {
        let rise = |of: &dyn Fn(&Spans) -> f64| graded(of(self) - of(usual));
        self.grade()
            .max(rise(&|spans| share(spans.orphans, spans.spans)))
            .max(rise(&|spans| share(spans.rootless, spans.traces)))
            .max(rise(&|spans| share(spans.unanswered, spans.calls)))
    }

    /// What the answers of [`statements`] say.
    fn read(tables: &[Table]) -> Result<Spans, Error> {
        let [rows, links, traces, calls, refused, rest @ ..] = tables else {
            return Err(Error::internal("spans are not graded by these answers"));
        };
        let mut spans = Spans {
            spans: count(rows, "spans")?,
            roots: count(rows, "roots")?,
            negative: count(rows, "negative")?,
            instant: count(rows, "instant")?,
            cut: count(rows, "cut")?,
            unnamed: count(rows, "unnamed")?,
            orphans: count(links, "orphans")?,
            lost: count(links, "lost")?,
            early: count(links, "early")?,
            late: count(links, "late")?,
            traces: count(traces, "traces")?,
            rootless: count(traces, "rootless")?,
            many_rooted: count(traces, "many_rooted")?,
            pairs: count(calls, "pairs")?,
            skewed: count(calls, "skewed")?,
            apart: count(calls, "apart")?,
            calls: count(calls, "calls")?,
            unanswered: count(calls, "unanswered")?,
            refused: count(refused, "spans")?,
            ..Spans::default()
        };
        if let [attributes] = rest {
            spans.keys = count(attributes, "keys")?;
            spans.gone = count(attributes, "gone")?;
            spans.blind = count(attributes, "blind")?;
        }
        Ok(spans)
    }
}

/// The logs of a stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Logs {
    pub records: u64,
    pub without_trace: u64,
    pub repeated: u64,
    pub unnamed: u64,
    /// Those whose sender dropped attributes.
    pub cut: u64,
    /// Records that were given up, by those who sent them.
    pub refused: u64,
}

impl Logs {
    pub fn grade(&self) -> Grade {
        let torn = self.without_trace.max(self.repeated).max(self.cut);
        let lost =
            share(self.unnamed, self.records).max(share(self.refused, self.records + self.refused));
        graded(lost).max(graded(share(torn, self.records)).min(Grade::Torn))
    }

    fn read(logs: &Table, refused: &Table) -> Result<Logs, Error> {
        Ok(Logs {
            records: count(logs, "records")?,
            without_trace: count(logs, "without_trace")?,
            repeated: count(logs, "repeated")?,
            unnamed: count(logs, "unnamed")?,
            cut: count(logs, "cut")?,
            refused: count(refused, "logs")?,
        })
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Completeness {
    pub spans: Spans,
    pub logs: Logs,
    pub metrics: Metrics,
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn graded(share: f64) -> Grade {
    match share {
        share if share >= BROKEN => Grade::Broken,
        share if share >= TORN => Grade::Torn,
        _ => Grade::Whole,
    }
}

/// Counts a stretch, over the rows that were ingested up to `judged`. Attributes are
/// beside the stretch of the same length before it.
pub async fn check(span: Span, judged: i64, ask: &dyn Ask) -> Result<Completeness, Error> {
    let before = Span { from: span.from.saturating_sub(span.to() - span.from), ..span };
    let mut graded = Vec::new();
    for source in [Source::Spans, Source::Logs, Source::Metrics] {
        let mut tables = Vec::new();
        for sql in statements(source, span, Some(before), judged) {
            tables.push(one(ask, &sql).await?);
        }
        graded.push(tables);
    }
    let ids = one(ask, &statement::ids(span, judged)).await?;
    let lateness = one(ask, &statement::lateness(span, judged)).await?;
    let values = one(ask, &attributes::values(span, before, judged)).await?;
    match &graded[..] {
        [spans, logs, metrics] => Ok(Completeness {
            spans: Spans {
                repeated: count(&ids, "repeated")?,
                repeated_ids: count(&ids, "repeated_ids")?,
                arrival_p99_ms: count(&lateness, "arrival_p99_ms")?,
                grown: count(&values, "grown")?,
                ..Spans::read(spans)?
            },
            logs: match &logs[..] {
                [logs, refused] => Logs::read(logs, refused)?,
                _ => Logs::default(),
            },
            metrics: match &metrics[..] {
                [metrics, refused] => Metrics::read(metrics, refused)?,
                _ => Metrics::default(),
            },
        }),
        _ => Err(Error::internal("not every source was counted")),
    }
}

/// The statements by which a source is graded: what the grade of a verdict needs. What
/// is usual for it, where that is known, is another stretch.
pub fn statements(source: Source, span: Span, usual: Option<Span>, judged: i64) -> Vec<String> {
    let refused = refused::statement(span, judged);
    match source {
        Source::Spans => {
            let attributes = usual.map(|usual| attributes::statement(span, usual, judged));
            let by_themselves = [
                statement::rows(span, judged),
                statement::links(span, judged),
                statement::traces(span, judged),
                calls::statement(span, usual, judged),
                refused,
            ];
            by_themselves.into_iter().chain(attributes).collect()
        }
        Source::Logs => vec![statement::logs(span, judged), refused],
        Source::Metrics => vec![metrics::statement(span, judged), refused],
    }
}

/// What is usual: the first stretch that was graded.
#[derive(Debug, Clone, Default)]
pub struct Usual {
    spans: Option<Spans>,
    metrics: Option<Metrics>,
}

/// The grade that their answers give. The first stretch is what is usual for
/// those after it.
pub fn graded_by(source: Source, tables: &[Table], usual: &mut Usual) -> Result<Grade, Error> {
    match (source, tables) {
        (Source::Spans, tables) => {
            let spans = Spans::read(tables)?;
            let grade = match &usual.spans {
                Some(usual) => spans.beside(usual),
                None => spans.grade(),
            };
            usual.spans.get_or_insert(spans);
            Ok(grade)
        }
        (Source::Logs, [logs, refused]) => Ok(Logs::read(logs, refused)?.grade()),
        (Source::Metrics, [table, refused]) => {
            let metrics = Metrics::read(table, refused)?;
            let grade = match &usual.metrics {
                Some(usual) => metrics.beside(usual),
                None => metrics.grade(),
            };
            usual.metrics.get_or_insert(metrics);
            Ok(grade)
        }
        _ => Err(Error::internal("nothing grades this source")),
    }
}

async fn one(ask: &dyn Ask, sql: &str) -> Result<Table, Error> {
    let table = ask.ask(sql).await?;
    if table.truncated || !table.incomplete.is_empty() {
        let message = "not every row could be seen; ask again when the answer is complete".into();
        return Err(Error::Engine { kind: ErrorKind::Unavailable, message });
    }
    Ok(table)
}

/// A sum over no row is NULL, which counts nothing.
pub(crate) fn count(table: &Table, column: &str) -> Result<u64, Error> {
    let at = table.columns.iter().position(|name| name == column);
    let value = at.and_then(|at| table.rows.first()?.get(at));
    match value {
        Some(value) if value.is_null() => Ok(0),
        Some(value) => {
            value.as_u64().ok_or_else(|| Error::internal(format!("{column} is {value}, no count")))
        }
        None => Err(Error::internal(format!("the answer has no {column}"))),
    }
}
