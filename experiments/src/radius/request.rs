//! What requests came to: which failed and where that began, and whom they called.
//! Counted like call sites, in traces of an operation.

use serde_json::Value;

use super::seen::{place, text};
use super::signal::Signal;
use super::site::{Names, Sites};
use crate::indicator::Table;
use crate::window::Span;

/// What a request did at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Its service logged it.
    Said,
    /// A span of it failed, and none below did.
    Failed,
    /// A call of it failed, and nothing is known below that.
    Unanswered,
    /// A span of it failed as one below did.
    Carried,
    /// It called somebody.
    Called,
}

/// The effect floor: the share of an operation's traces that must have changed.
/// Who logs or calls anew does so in many; an error in twenty is much.
const MOVED: f64 = 0.25;
const FAILED: f64 = 0.05;

impl What {
    fn of(name: &str) -> Option<What> {
        Some(match name {
            "failed" => What::Failed,
            "unanswered" => What::Unanswered,
            "carried" => What::Carried,
            "called" => What::Called,
            _ => return None,
        })
    }

    pub fn signal(self) -> Signal {
        match self {
            What::Said => Signal::Site,
            What::Failed | What::Unanswered => Signal::Error,
            What::Carried => Signal::Carried,
            What::Called => Signal::Call,
        }
    }

    /// Whether a share moved as far, and to the side, that makes it a sign: more
    /// errors, fewer calls. Fewer errors harm nobody, and calls that are new are
    /// told by who is called.
    pub fn is_large(self, moved: f64) -> bool {
        match self {
            What::Said => moved.abs() >= MOVED,
            What::Failed | What::Unanswered | What::Carried => moved >= FAILED,
            What::Called => -moved >= MOVED,
        }
    }

    /// What is counted, in words.
    pub fn in_words(self, whom: &str) -> String {
        match self {
            What::Said => format!("call site {whom}"),
            What::Failed => "errors that begin here".to_owned(),
            What::Unanswered => format!("calls of {whom} that failed without an answer"),
            What::Carried => "errors of others carried on".to_owned(),
            What::Called => format!("calls of {whom}"),
        }
    }
}

/// Adds rows of bucket, service, operation, n, what, whom and hits to each bucket
/// of each stretch.
pub fn read(table: &Table, spans: &[Span], names: &mut Names, all: &mut [Vec<Sites>]) {
    for row in &table.rows {
        let at = row.first().and_then(Value::as_i64).and_then(|at| place(spans, at));
        let Some(sites) = at.and_then(|(span, bucket)| all.get_mut(span)?.get_mut(bucket)) else {
            continue;
        };
        let (Some(service), Some(operation)) = (text(row, 1), text(row, 2)) else { continue };
        let Some(n) = row.get(3).and_then(Value::as_u64) else { continue };
        let operation = names.operation(&service, &operation);
        sites.traces.insert(operation, n);
        let Some(what) = text(row, 4).and_then(|what| What::of(&what)) else { continue };
        let whom = text(row, 5).unwrap_or_default();
        if let Some(hits) = row.get(6).and_then(Value::as_u64).filter(|hits| *hits > 0) {
            sites.hits.insert(names.deed(operation, what, &whom), hits);
        }
    }
}
