//! Whether telemetry is whole enough to judge by: what is torn, late, doubled or
//! told by clocks that disagree, counted by SQL over any stretch of time.
//!
//! | file | its part |
//! | --- | --- |
//! | [`statement`] | one statement per table that is counted over |
//!
//! Counts are of rows as they were stored: an exporter that sends twice is found
//! here, and only here. Deliberately not here: telling silence from a blind
//! pipeline, which needs a baseline (`verdict::missing`).

pub mod statement;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::Error;
use crate::indicator::{Ask, Table};
use crate::window::Span;
use schema::ErrorKind;

/// The share of broken rows from which a source is no longer whole, and from
/// which nothing that depends on it can be shown to hold.
const TORN: f64 = 0.001;
const BROKEN: f64 = 0.05;

/// How far a source can be trusted. Ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    Whole,
    /// Something is missing or wrong, too little to matter for a share or a median.
    Torn,
    /// What depends on it is inconclusive at best.
    Broken,
}

/// The spans of a stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Spans {
    pub spans: u64,
    pub traces: u64,
    pub roots: u64,
    /// Spans whose parent never came.
    pub orphans: u64,
    /// Spans that begin before their parent, and that end after it.
    pub early: u64,
    pub late: u64,
    pub negative: u64,
    /// Rows beyond the first of their trace and span id, and the ids that have such.
    pub repeated: u64,
    pub repeated_ids: u64,
    /// Traces without a root, and with several different ones.
    pub rootless: u64,
    pub many_rooted: u64,
    /// Spans of nobody, or of a service that never got a name.
    pub unnamed: u64,
}

impl Spans {
    pub fn grade(&self) -> Grade {
        // What a parent's clock says of a child is no loss; a lost span is.
        let lost = self.orphans + self.negative + self.unnamed;
        let worst = share(lost, self.spans).max(share(self.rootless, self.traces));
        graded(worst).max(graded(share(self.repeated, self.spans)).min(Grade::Torn))
    }
}

/// The logs of a stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Logs {
    pub records: u64,
    pub without_trace: u64,
    pub repeated: u64,
    pub unnamed: u64,
}

impl Logs {
    pub fn grade(&self) -> Grade {
        let torn = share(self.without_trace, self.records).max(share(self.repeated, self.records));
        graded(share(self.unnamed, self.records)).max(graded(torn).min(Grade::Torn))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Completeness {
    pub spans: Spans,
    pub logs: Logs,
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

/// Counts a stretch, over the rows that were ingested up to `judged`.
pub async fn check(span: Span, judged: i64, ask: &dyn Ask) -> Result<Completeness, Error> {
    let rows = one(ask, &statement::rows(span, judged)).await?;
    let links = one(ask, &statement::links(span, judged)).await?;
    let traces = one(ask, &statement::traces(span, judged)).await?;
    let ids = one(ask, &statement::ids(span, judged)).await?;
    let logs = one(ask, &statement::logs(span, judged)).await?;
    Ok(Completeness {
        spans: Spans {
            spans: count(&rows, "spans")?,
            traces: count(&traces, "traces")?,
            roots: count(&rows, "roots")?,
            orphans: count(&links, "orphans")?,
            early: count(&links, "early")?,
            late: count(&links, "late")?,
            negative: count(&rows, "negative")?,
            repeated: count(&ids, "repeated")?,
            repeated_ids: count(&ids, "repeated_ids")?,
            rootless: count(&traces, "rootless")?,
            many_rooted: count(&traces, "many_rooted")?,
            unnamed: count(&rows, "unnamed")?,
        },
        logs: Logs {
            records: count(&logs, "records")?,
            without_trace: count(&logs, "without_trace")?,
            repeated: count(&logs, "repeated")?,
            unnamed: count(&logs, "unnamed")?,
        },
    })
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
fn count(table: &Table, column: &str) -> Result<u64, Error> {
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
