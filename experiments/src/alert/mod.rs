//! Alerts of others: what their webhooks and log events say, as transitions of
//! rules. The root stores them as rows of `alert_events`; whether a run's alerts
//! came as expected is judged from those rows (`verdict::alerts`).
//!
//! | file | its part |
//! | --- | --- |
//! | [`alertmanager`] | Prometheus Alertmanager's webhook, version 4 |
//! | [`grafana`] | Grafana's webhook contact point, and the legacy one |
//! | [`otlp`] | log records that tell of a transition |
//! | [`seen`] | the same transition told twice is one |
//! | [`statement`] | the rows of a run, by SQL |
//!
//! Everything here comes from outside: it is bounded, and what is not understood
//! is refused in words. Deliberately not here: HTTP and writing rows (the root).

pub mod alertmanager;
pub mod grafana;
pub mod otlp;
pub mod seen;
pub mod statement;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::time::{Duration, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Alerts that one delivery may hold; Alertmanager's `max_alerts` bounds it there.
pub const MOST_ALERTS: usize = 1_000;
/// Labels of an alert, and characters of a label, that are kept.
pub const MOST_LABELS: usize = 64;
pub const LONGEST_LABEL: usize = 1_024;
/// How far a sender's clock may be ahead.
const AHEAD: Duration = Duration::from_secs(3_600);

/// Where a rule stands for one set of labels.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Firing,
    Resolved,
    /// The rule had nothing to evaluate, so that its silence means nothing.
    NoData,
    /// The rule could not be evaluated.
    Error,
}

impl State {
    pub const ALL: [State; 4] = [State::Firing, State::Resolved, State::NoData, State::Error];

    pub fn name(self) -> &'static str {
        match self {
            State::Firing => "firing",
            State::Resolved => "resolved",
            State::NoData => "no_data",
            State::Error => "error",
        }
    }

    /// As a row has it.
    pub fn named(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A rule changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertEvent {
    pub rule: String,
    /// Names the labels: the sender's own, or a hash of them.
    pub fingerprint: String,
    pub state: State,
    /// Nanoseconds since 1970, by the sender's clock.
    pub at: i64,
    pub labels: BTreeMap<String, String>,
}

/// What a delivery held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    pub events: Vec<AlertEvent>,
    /// Why an alert was not taken, by its place in the delivery.
    pub refused: Vec<String>,
}

/// The labels of one alert, bounded.
fn labels(given: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let kept = given.iter().take(MOST_LABELS);
    kept.map(|(name, value)| (cut(name), cut(&text(value)))).collect()
}

/// The first characters of a text.
fn cut(text: &str) -> String {
    text.chars().take(LONGEST_LABEL).collect()
}

/// The sender's name for the labels, or one of our own.
fn fingerprint(given: Option<&str>, labels: &BTreeMap<String, String>) -> String {
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        return cut(given);
    }
    let mut hasher = twox_hash::XxHash64::with_seed(0);
    for (name, value) in labels {
        for text in [name, value] {
            hasher.write(text.as_bytes());
            // No text holds it, so that two texts are not one.
            hasher.write_u8(0xff);
        }
    }
    format!("{:016x}", hasher.finish())
}

/// A time as Go writes it: RFC 3339 with any offset. Its zero time is none.
fn instant(text: &str, received: i64) -> Result<Option<i64>, String> {
    if text.is_empty() || text.starts_with("0001-01-01") {
        return Ok(None);
    }
    let no = || format!("{:?} is no time of RFC 3339", cut(text));
    let (local, ahead) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, 0),
        None => {
            let at = text.len().checked_sub(6).filter(|at| text.is_char_boundary(*at));
            let (local, offset) = text.split_at(at.ok_or_else(no)?);
            let (sign, hours, minutes) = match offset.as_bytes() {
                [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                    (*sign, offset.get(1..3), offset.get(4..6))
                }
                _ => return Err(no()),
            };
            let number = |text: Option<&str>, most: i64| {
                let digits = text.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                digits
                    .and_then(|text| text.parse::<i64>().ok())
                    .filter(|n| *n <= most)
                    .ok_or_else(no)
            };
            let seconds = number(hours, 23)? * 3_600 + number(minutes, 59)? * 60;
            (local, if sign == b'-' { -seconds } else { seconds })
        }
    };
    let time = humantime::parse_rfc3339(&format!("{local}Z")).map_err(|_| no())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| no())?;
    let nanos = i64::try_from(since.as_nanos()).map_err(|_| no())?;
    let at = nanos.saturating_sub(ahead * 1_000_000_000);
    let latest = received.saturating_add(i64::try_from(AHEAD.as_nanos()).unwrap_or(i64::MAX));
    if !(1..=latest).contains(&at) {
        return Err(format!("{} lies in the future or before 1970", cut(text)));
    }
    Ok(Some(at))
}

/// One alert of a delivery, as both webhooks write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: String,
    labels: BTreeMap<String, Value>,
    #[serde(default)]
    starts_at: String,
    #[serde(default)]
    ends_at: String,
    #[serde(default)]
    fingerprint: Option<String>,
}

/// Reads the alerts of a delivery. `rule` names the rule and what firing means.
fn delivery(
    alerts: Vec<Value>,
    received: i64,
    rule: impl Fn(&BTreeMap<String, String>) -> Option<(String, State)>,
) -> Result<Delivery, String> {
    if alerts.len() > MOST_ALERTS {
        return Err(format!(
            "{} alerts in one delivery, and {MOST_ALERTS} are taken; set max_alerts at the sender",
            alerts.len()
        ));
    }
    let mut delivery = Delivery::default();
    for (at, alert) in alerts.into_iter().enumerate() {
        match transitions(alert, received, &rule) {
            Ok(events) => delivery.events.extend(events),
            Err(why) => delivery.refused.push(format!("alert {at}: {why}")),
        }
    }
    Ok(delivery)
}

/// An alert that is over tells when it began too: that may not have arrived.
fn transitions(
    alert: Value,
    received: i64,
    rule: &impl Fn(&BTreeMap<String, String>) -> Option<(String, State)>,
) -> Result<Vec<AlertEvent>, String> {
    let alert: Alert =
        serde_json::from_value(alert).map_err(|error| format!("it is no alert: {error}"))?;
    let labels = labels(&alert.labels);
    let (rule, begun) = rule(&labels).ok_or("it has no label alertname")?;
    let fingerprint = fingerprint(alert.fingerprint.as_deref(), &labels);
    let event = |state, at| AlertEvent {
        rule: rule.clone(),
        fingerprint: fingerprint.clone(),
        state,
        at,
        labels: labels.clone(),
    };
    let began = instant(&alert.starts_at, received).map_err(|why| format!("startsAt {why}"))?;
    let mut events: Vec<AlertEvent> = began.map(|at| event(begun, at)).into_iter().collect();
    match alert.status.as_str() {
        "firing" if events.is_empty() => return Err("it fires and has no startsAt".into()),
        "firing" => {}
        "resolved" => {
            let over = instant(&alert.ends_at, received).map_err(|why| format!("endsAt {why}"))?;
            let over = over.ok_or("it is resolved and has no endsAt")?;
            events.push(event(State::Resolved, over));
        }
        other => {
            return Err(format!("its status is {:?}; known are firing and resolved", cut(other)));
        }
    }
    Ok(events)
}

fn parsed<T: for<'de> Deserialize<'de>>(body: &[u8], what: &str) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is no {what}: {error}"))
}
