//! Webhooks: who is told of what. Each is signed, sent up to three times within
//! two seconds, and written down with its outcome.
//!
//! A receiver checks `Cloudsail-Signature: v1=<hex>`, the HMAC-SHA256 under the
//! shared secret of `<Cloudsail-Timestamp>.<body>`, and knows a repetition by
//! `Idempotency-Key`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use experiments::document::scope::Control;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::Method;
use serde_json::Value;
use sha2::Sha256;
use tokio::time::{Instant, sleep};

use super::egress::{Egress, Failed, Message};

/// Tries of one delivery, and the time that they have together.
const TRIES: u32 = 3;
const WITHIN: Duration = Duration::from_secs(2);
const BETWEEN: Duration = Duration::from_millis(100);

/// A webhook of the configuration, which guards name.
#[derive(Clone)]
pub struct Named {
    pub url: String,
    pub secret: Option<String>,
}

/// What may be sent where. It holds secrets, so it has no `Debug` (S29).
#[derive(Clone, Default)]
pub struct Webhooks {
    pub egress: Egress,
    pub named: BTreeMap<String, Named>,
    /// Variables of the environment that documents may name as secrets.
    pub secrets: BTreeMap<String, String>,
}

/// One delivery.
#[derive(Clone)]
pub struct Delivery {
    /// The same for a repetition.
    pub key: String,
    pub url: Result<(String, Option<String>), String>,
    /// What the record calls it: a webhook's name, or its URL without a query.
    pub shown: String,
    pub body: Value,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub word: &'static str,
    pub tries: u32,
    pub detail: String,
}

impl Webhooks {
    /// The delivery to a webhook that a guard names.
    pub fn named(&self, name: &str, key: String, body: Value) -> Delivery {
        let url = match self.named.get(name) {
            Some(named) => self.secret(named.secret.as_deref()).map(|s| (named.url.clone(), s)),
            None => Err(format!("experiments.webhooks has no {name}")),
        };
        Delivery { key, url, shown: name.to_owned(), body }
    }

    /// The delivery to a document's control.
    pub fn control(&self, control: &Control, key: String, body: Value) -> Delivery {
        let url = self.secret(control.secret.as_deref()).map(|s| (control.webhook.clone(), s));
        let shown = control.webhook.split(['?', '#']).next().unwrap_or_default().to_owned();
        Delivery { key, url, shown, body }
    }

    fn secret(&self, said: Option<&str>) -> Result<Option<String>, String> {
        let Some(said) = said else { return Ok(None) };
        let name = said.strip_prefix("env:").unwrap_or(said);
        match self.secrets.get(name) {
            Some(secret) => Ok(Some(secret.clone())),
            // Unsigned it would be taken for somebody else's.
            None => Err(format!("{name} is not set, or not among experiments.secrets")),
        }
    }

    /// Sends it; `now` is in seconds since 1970.
    pub async fn deliver(&self, delivery: &Delivery, now: i64) -> Outcome {
        let (url, secret) = match &delivery.url {
            Ok(url) => url,
            Err(why) => return Outcome { word: "denied", tries: 0, detail: why.clone() },
        };
        let body = delivery.body.to_string();
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", delivery.key.clone()),
            ("cloudsail-timestamp", now.to_string()),
        ];
        if let Some(secret) = secret {
            headers.push(("cloudsail-signature", signature(secret, now, &body)));
        }
        let body = Bytes::from(body);
        let message = Message { method: Method::POST, url, headers: &headers, body };
        let deadline = Instant::now() + WITHIN;
        let mut last = String::new();
        for tried in 1..=TRIES {
            let left = deadline.saturating_duration_since(Instant::now());
            // Each try leaves room for those after it.
            match self.egress.send(&message, left / (TRIES - tried + 1)).await {
                Ok(status) if status.is_success() => {
                    let detail = status.to_string();
                    return Outcome { word: "delivered", tries: tried, detail };
                }
                Ok(status) => last = format!("it answered {status}"),
                Err(Failed::Denied(detail)) => {
                    return Outcome { word: "denied", tries: 0, detail };
                }
                Err(Failed::Sending(why)) => last = why,
            }
            if tried < TRIES {
                sleep(BETWEEN * tried).await;
            }
        }
        Outcome { word: "failed", tries: TRIES, detail: last }
    }
}

/// The value of `Cloudsail-Signature`.
pub fn signature(secret: &str, timestamp: i64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        // HMAC takes keys of any length.
        return String::new();
    };
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let hex = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>();
    format!("v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a signature of a known secret, time and body.
    /// Guarantees: it is the HMAC-SHA256 that any other implementation makes
    /// (here: Python's `hmac` over `1700000000.{"a":1}` with the key `secret`).
    #[test]
    fn signatures_are_those_of_others() {
        let expected = "v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686";
        assert_eq!(signature("secret", 1_700_000_000, "{\"a\":1}"), expected);
    }

    /// Scenario: deliveries to a host that is not allowed, to a webhook without a
    /// name, with a secret that documents may not name.
    /// Guarantees: egress is denied, and the reason is told; nothing is unsigned
    /// that should be signed.
    #[tokio::test]
    async fn what_is_not_allowed_is_denied() {
        let webhooks = Webhooks::default();
        let control = |secret: Option<&str>| Control {
            webhook: "http://127.0.0.1:1/x?token=1".into(),
            on: Vec::new(),
            secret: secret.map(str::to_owned),
        };
        for (delivery, why) in [
            (webhooks.control(&control(None), "k".into(), Value::Null), "not among the hosts"),
            (
                webhooks.control(&control(Some("env:AWS")), "k".into(), Value::Null),
                "AWS is not set",
            ),
            (webhooks.named("stop", "k".into(), Value::Null), "has no stop"),
        ] {
            assert!(!delivery.shown.contains("token"));
            let outcome = webhooks.deliver(&delivery, 1).await;
            assert_eq!((outcome.word, outcome.tries), ("denied", 0));
            assert!(outcome.detail.contains(why), "{}", outcome.detail);
        }
    }
}
