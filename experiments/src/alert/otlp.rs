//! Transitions as OTLP log events. No convention of OpenTelemetry names them;
//! what is read is an event `alert.transition` (or `alert.firing` and
//! `alert.resolved`) with `alert.rule` and `alert.state`.

use std::collections::BTreeMap;

use super::{AlertEvent, LONGEST_LABEL, MOST_LABELS, State, cut, fingerprint};

const PREFIX: &str = "alert.";
const RULES: [&str; 3] = ["alert.rule", "alert.name", "alertname"];

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
    labels.retain(|name, _| name != "alert.state" && name != "alert.fingerprint");
    let fingerprint = fingerprint(given.as_deref(), &labels);
    Some(AlertEvent { rule, fingerprint, state, at, labels })
}
