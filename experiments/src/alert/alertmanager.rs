//! Prometheus Alertmanager: `webhook_configs`, payload version 4.

use serde::Deserialize;
use serde_json::Value;

use super::{Delivery, State, delivery, parsed};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    version: String,
    alerts: Vec<Value>,
    #[serde(default)]
    truncated_alerts: u64,
}

/// Reads a delivery. `received` is now, in nanoseconds since 1970. The error is
/// for the sender: nothing of the delivery was taken.
pub fn read(body: &[u8], received: i64) -> Result<Delivery, String> {
    let webhook: Webhook = parsed(body, "webhook of Alertmanager")?;
    if webhook.version != "4" {
        return Err(format!(
            "the webhook has version {:?}, and 4 is known",
            super::cut(&webhook.version)
        ));
    }
    let mut delivery = delivery(webhook.alerts, received, |labels| {
        Some((labels.get("alertname")?.clone(), State::Firing))
    })?;
    if webhook.truncated_alerts > 0 {
        delivery.refused.push(format!(
            "{} more were cut by max_alerts of the receiver; raise it",
            webhook.truncated_alerts
        ));
    }
    Ok(delivery)
}
