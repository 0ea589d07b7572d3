//! Transitions as OTLP log events. No convention of OpenTelemetry names them;
//! what is read is an event `alert.transition` (or `alert.firing` and
//! `alert.resolved`) with `alert.rule` and `alert.state`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use schema::{Batch, Signal};

use super::{AlertEvent, LONGEST_LABEL, MOST_LABELS, State, cut, fingerprint};
use crate::signal::reader::Reader;

const PREFIX: &str = "alert.";
const RULES: [&str; 3] = ["alert.rule", "alert.name", "alertname"];

/// The transitions that a batch tells of. It stands before every append: one
/// without such keys costs a look over the bytes of its keys.
pub fn events(batch: &Batch) -> Vec<AlertEvent> {
    static ALERT: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("alert"));
    if batch.table.signal != Some(Signal::Logs) {
        return Vec::new();
    }
    let reader = Reader::new(batch);
    if !reader.mentions(&ALERT) && !RULES.iter().any(|rule| reader.promotes(rule)) {
        return Vec::new();
    }
    let event = |row: usize| {
        // Older SDKs have an attribute for the name.
        let name = reader.text("event_name", row).or_else(|| reader.record("event.name", row));
        let name = name.filter(|name| name.starts_with(PREFIX))?;
        let mut attributes = reader.entries(row);
        for key in RULES.into_iter().chain(["alert.state", "alert.fingerprint"]) {
            let promoted = reader.promotes(key).then(|| reader.record(key, row)).flatten();
            attributes.extend(promoted.map(|value| (key.to_owned(), value)));
        }
        let pairs = attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        read(Some(&name), pairs, reader.time(row))
    };
    (0..reader.rows()).filter_map(event).collect()
}

/// A record's transition; `None` for all other records, and for states of which
/// nobody is told, such as pending. `at` is the record's time.
pub fn read<'a>(
    event_name: Option<&str>,
    attributes: impl Iterator<Item = (&'a str, &'a str)>,
    at: i64,
) -> Option<AlertEvent> {
    let word = event_name?.strip_prefix(PREFIX)?;
    let labels: BTreeMap<String, String> = attributes
        .filter(|(name, _)| name.len() <= LONGEST_LABEL)
        .take(MOST_LABELS)
        .map(|(name, value)| (name.to_owned(), cut(value)))
        .collect();
    let said = match word {
        "transition" => labels.get("alert.state")?.as_str(),
        word => word,
    };
    let state = match said.to_ascii_lowercase().as_str() {
        "firing" | "alerting" => State::Firing,
        "resolved" | "ok" | "normal" | "inactive" => State::Resolved,
        "no_data" | "nodata" => State::NoData,
        "error" => State::Error,
        _ => return None,
    };
    let rule = RULES.iter().find_map(|name| labels.get(*name))?.clone();
    let given = labels.get("alert.fingerprint").cloned();
    // The state is no label: both transitions of an alert have one fingerprint.
    let mut labels = labels;
    let own = ["alert.state", "alert.fingerprint", "event.name"];
    labels.retain(|name, _| !own.contains(&name.as_str()));
    let fingerprint = fingerprint(given.as_deref(), &labels);
    Some(AlertEvent { rule, fingerprint, state, at, labels })
}
