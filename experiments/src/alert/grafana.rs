//! Grafana: the webhook contact point of its alerting, and the notification
//! channel of the alerting before it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{AlertEvent, Delivery, State, cut, delivery, fingerprint, parsed};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    alerts: Option<Vec<Value>>,
    // The legacy channel tells of one rule, by name.
    rule_name: Option<String>,
    rule_id: Option<Value>,
    state: Option<String>,
}

/// Reads a delivery. `received` is now, in nanoseconds since 1970; the legacy
/// channel has no time of its own.
pub fn read(body: &[u8], received: i64) -> Result<Delivery, String> {
    let webhook: Webhook = parsed(body, "webhook of Grafana")?;
    match webhook {
        Webhook { alerts: Some(alerts), .. } => delivery(alerts, received, rule),
        Webhook { rule_name: Some(rule), rule_id, state, .. } => {
            legacy(&rule, rule_id, &state.unwrap_or_default(), received)
        }
        _ => {
            Err("the body has neither alerts nor a ruleName, so it is no webhook of Grafana".into())
        }
    }
}

/// A rule without data, or with an error, fires under another name, and its own
/// stands in a label.
fn rule(labels: &BTreeMap<String, String>) -> Option<(String, State)> {
    let name = labels.get("alertname")?;
    let own = || labels.get("rulename").unwrap_or(name).clone();
    Some(match name.as_str() {
        "DatasourceNoData" => (own(), State::NoData),
        "DatasourceError" => (own(), State::Error),
        name => (name.to_owned(), State::Firing),
    })
}

fn legacy(rule: &str, id: Option<Value>, state: &str, received: i64) -> Result<Delivery, String> {
    let state = match state {
        "alerting" => State::Firing,
        "ok" => State::Resolved,
        "no_data" => State::NoData,
        // Nobody was told of anything yet, or will be.
        "pending" | "paused" => return Ok(Delivery::default()),
        other => return Err(format!("the state is {:?}; alerting and ok are known", cut(other))),
    };
    let mut labels = BTreeMap::from([("alertname".to_owned(), cut(rule))]);
    labels.extend(id.map(|id| ("rule_id".to_owned(), cut(&id.to_string()))));
    let fingerprint = fingerprint(None, &labels);
    let event = AlertEvent { rule: cut(rule), fingerprint, state, at: received, labels };
    Ok(Delivery { events: vec![event], refused: Vec::new() })
}
