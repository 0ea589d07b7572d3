//! The rows of a run's alerts.

use serde_json::Value;

use super::State;
use crate::indicator::Table;
use crate::indicator::text::instant;
use crate::verdict::evidence::Gap;

/// Transitions that a run may have. More is no run to judge alerts by.
const MOST: usize = 20_000;

/// A row of the revisions of `alert_events`: a transition that was told again
/// later has a later revision, and was known by its first one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transition {
    pub rule: String,
    pub fingerprint: String,
    pub at: i64,
    pub state: State,
}

/// Whether any alert was heard of since `from`: proof that somebody tells.
pub fn known(from: i64, judged: i64) -> String {
    format!(
        "SELECT count(*) AS n FROM alert_event_revisions WHERE at >= {} AND time <= {}",
        instant(from),
        instant(judged)
    )
}

/// The transitions of a stretch, each once.
pub fn transitions(from: i64, to: i64, judged: i64) -> String {
    format!(
        "SELECT DISTINCT rule, fingerprint, CAST(at AS BIGINT) AS at_us, state FROM alert_event_revisions\n\
         WHERE at >= {} AND at < {} AND time <= {}\n\
         ORDER BY at_us, rule, fingerprint, state LIMIT {}",
        instant(from),
        instant(to),
        instant(judged),
        MOST + 1
    )
}

/// The answer of [`transitions`], in order of time.
pub fn read(table: &Table) -> Result<Vec<Transition>, Gap> {
    if table.truncated || table.rows.len() > MOST {
        return Err(Gap::Incomplete(format!("more than {MOST} transitions of alerts")));
    }
    if !table.incomplete.is_empty() {
        return Err(Gap::Incomplete(table.incomplete.join("; ")));
    }
    let row = |row: &Vec<Value>| {
        let text = |at: usize| row.get(at).and_then(Value::as_str);
        let micros: i64 = match row.get(2)? {
            // 64-bit integers may come as text.
            Value::String(text) => text.parse().ok()?,
            value => value.as_i64()?,
        };
        Some(Transition {
            rule: text(0)?.to_owned(),
            fingerprint: text(1)?.to_owned(),
            at: micros.saturating_mul(1_000),
            state: State::named(text(3)?)?,
        })
    };
    let read = table.rows.iter().map(|given| {
        row(given)
            .ok_or_else(|| Gap::Error(format!("{} is no transition", Value::from(given.clone()))))
    });
    let mut transitions: Vec<Transition> = read.collect::<Result<_, _>>()?;
    transitions.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.cmp(b)));
    Ok(transitions)
}
