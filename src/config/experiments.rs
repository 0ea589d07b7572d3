//! The section `experiments`, and what guards make of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use storage::store;

use super::units::text;
use crate::chaos::guards::egress::Egress;
use crate::chaos::guards::webhook::{Named, Webhooks};

/// What guards and experiments may send to the outside. Nothing, without a word.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Experiments {
    /// Hosts that webhooks may be sent to, each as host or host:port.
    pub egress: Vec<String>,
    /// Webhooks that guards name, as in `action: webhook:name`.
    pub webhooks: Vec<Webhook>,
    /// Variables of the environment that documents may name as secrets.
    pub secrets: Vec<String>,
    /// A file of certificates, PEM, that https webhooks are trusted by besides the
    /// system's.
    #[serde(deserialize_with = "text")]
    pub ca: String,
    /// Stores below which documents may have their reports published, like
    /// s3://bucket/chaos; opened with store.options.
    pub publish: Vec<String>,
    /// Days at most whose telemetry stays beyond its retention because runs were
    /// judged by it; the oldest are let go first. 0 keeps none.
    pub pinned_days: u32,
}

impl Default for Experiments {
    fn default() -> Experiments {
        let (egress, webhooks, secrets, ca, publish) = Default::default();
        Experiments { egress, webhooks, secrets, ca, publish, pinned_days: 400 }
    }
}

/// One webhook that guards may name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// What guards call it.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Where it is sent; its host must be among experiments.egress.
    #[serde(deserialize_with = "text")]
    pub url: String,
    /// The variable of the environment with the secret that signs it, like
    /// env:HOOK; unsigned without one.
    #[serde(default, deserialize_with = "text")]
    pub secret: String,
}

/// The variable that a secret names.
fn variable(secret: &str) -> Option<&str> {
    secret.strip_prefix("env:").filter(|name| !name.is_empty())
}

impl Experiments {
    /// What cannot work, by key.
    pub fn problems(&self, options: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for url in &self.publish {
            // Of an option that is wrong the store's own keys tell.
            for (_, why) in store::problems(url, options) {
                if let Some(why) = why.strip_prefix("store.url: ") {
                    problems.push(("experiments.publish", format!("experiments.publish: {why}")));
                }
            }
        }
        if let Err(why) = self.egress() {
            problems.push(("experiments.ca", why));
        }
        for host in &self.egress {
            let legal = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
            if host.is_empty() || !host.chars().all(legal) {
                let message = format!(
                    "experiments.egress: {host:?} is no host; write name, name:port or 10.0.0.1:8080"
                );
                problems.push(("experiments.egress", message));
            }
        }
        let egress = Egress::new(self.egress.iter().cloned());
        for webhook in &self.webhooks {
            let Webhook { name, url, secret } = webhook;
            if let Err(why) = egress.check(url) {
                let message =
                    format!("experiments.webhooks: {name}: {why}; see experiments.egress");
                problems.push(("experiments.webhooks", message));
            }
            if !secret.is_empty() && variable(secret).is_none() {
                let message = format!(
                    "experiments.webhooks: {name}: secret must name a variable, like env:HOOK, not be one"
                );
                problems.push(("experiments.webhooks", message));
            }
        }
        problems
    }

    /// What may be sent where, or what is wrong with the certificates.
    fn egress(&self) -> Result<Egress, String> {
        let egress = Egress::new(self.egress.iter().cloned());
        if self.ca.is_empty() {
            return Ok(egress);
        }
        let no = |why: String| format!("experiments.ca: {}: {why}", self.ca);
        let pem = std::fs::read(&self.ca).map_err(|error| no(error.to_string()))?;
        egress.trusting(&pem).map_err(no)
    }

    /// With the secrets that the environment has.
    pub fn webhooks(&self, environment: &[(String, String)]) -> Result<Webhooks, String> {
        let own = self.webhooks.iter().filter_map(|webhook| variable(&webhook.secret));
        let wanted: Vec<&str> = self.secrets.iter().map(String::as_str).chain(own).collect();
        let named = |webhook: &Webhook| {
            let secret = Some(webhook.secret.clone()).filter(|secret| !secret.is_empty());
            (webhook.name.clone(), Named { url: webhook.url.clone(), secret })
        };
        Ok(Webhooks {
            egress: self.egress()?,
            named: self.webhooks.iter().map(named).collect(),
            secrets: environment
                .iter()
                .filter(|(name, value)| wanted.contains(&name.as_str()) && !value.is_empty())
                .cloned()
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: webhooks to hosts that are allowed and not, with a secret itself
    /// instead of its name, and with the environment's.
    /// Guarantees: what cannot work is told by key; only named variables are taken.
    #[test]
    fn webhooks_are_checked_and_filled_in() {
        let webhook = |url: &str, secret: &str| Webhook {
            name: "stop".into(),
            url: url.into(),
            secret: secret.into(),
        };
        let of = |webhook: Webhook| Experiments {
            egress: vec!["h:1".into()],
            webhooks: vec![webhook],
            secrets: vec!["A".into()],
            ..Experiments::default()
        };
        assert!(of(webhook("http://h:1/x", "env:B")).problems(&BTreeMap::new()).is_empty());
        assert_eq!(of(webhook("http://h:2/x", "")).problems(&BTreeMap::new()).len(), 1);
        assert_eq!(of(webhook("http://h:1/x", "s3cret")).problems(&BTreeMap::new()).len(), 1);
        let environment = [("A", "1"), ("B", "2"), ("C", "3")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let webhooks = of(webhook("http://h:1/x", "env:B")).webhooks(&environment).unwrap();
        assert_eq!(webhooks.secrets.keys().collect::<Vec<_>>(), ["A", "B"]);
    }
}
