//! The keys that exist, read off the typed configuration's own schema, and the
//! nearest one to what was mistyped.

use std::collections::BTreeSet;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::keys::Config;

/// The JSON schema of the configuration file.
pub fn schema() -> Schema {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Config>()
}

#[derive(Debug)]
pub struct Known {
    /// Keys that take one value.
    leaves: BTreeSet<String>,
    /// Keys that take a list.
    lists: BTreeSet<String>,
    /// Sections that take any key.
    open: BTreeSet<String>,
}

/// What a key turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Value,
    List,
    /// A section was given a value.
    Section,
    /// A value was given keys; the key that takes it.
    NotASection(String),
    /// No such key; the nearest, if one is near.
    Unknown(Option<String>),
}

impl Known {
    pub fn of_config() -> Known {
        let mut known =
            Known { leaves: BTreeSet::new(), lists: BTreeSet::new(), open: BTreeSet::new() };
        known.collect("", schema().as_value());
        known
    }

    fn collect(&mut self, key: &str, schema: &Value) {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (name, below) in properties {
                let path = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                self.collect(&path, below);
            }
        } else if schema.get("type") == Some(&"array".into()) {
            self.lists.insert(key.to_owned());
        } else if schema.get("type") == Some(&"object".into()) {
            self.open.insert(key.to_owned());
        } else {
            self.leaves.insert(key.to_owned());
        }
    }

    pub fn judge(&self, key: &str) -> Verdict {
        if self.leaves.contains(key) {
            return Verdict::Value;
        }
        if self.lists.contains(key) {
            return Verdict::List;
        }
        let above = |prefix: &String| {
            key.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        if self.open.iter().any(above) {
            return Verdict::Value;
        }
        if let Some(leaf) = self.leaves.iter().chain(&self.lists).find(|leaf| above(leaf)) {
            return Verdict::NotASection(leaf.clone());
        }
        let below =
            |known: &String| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        if self.open.contains(key) || self.leaves.iter().any(below) {
            return Verdict::Section;
        }
        Verdict::Unknown(self.nearest(key))
    }

    /// The keys below a section.
    pub fn below(&self, section: &str) -> Vec<&str> {
        let prefix = format!("{section}.");
        self.leaves.iter().filter(|key| key.starts_with(&prefix)).map(String::as_str).collect()
    }

    /// At most a third of the key mistyped, or the right name in a wrong section.
    fn nearest(&self, key: &str) -> Option<String> {
        let all = || self.leaves.iter().chain(&self.lists).chain(&self.open);
        let (distance, near) =
            all().map(|known| (strsim::damerau_levenshtein(key, known), known)).min()?;
        if distance <= (key.len() / 3).clamp(1, 4) {
            return Some(near.clone());
        }
        let name = key.rsplit('.').next()?;
        all().find(|known| known.rsplit('.').next() == Some(name)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: keys that exist, are mistyped, misplaced or nonsense.
    /// Guarantees: each gets the verdict that a helpful message needs.
    #[test]
    fn a_mistyped_key_finds_its_neighbour() {
        let known = Known::of_config();
        let near = |key: &str| match known.judge(key) {
            Verdict::Unknown(near) => near,
            other => panic!("{key}: {other:?}"),
        };
        assert_eq!(near("flush.max_agee").as_deref(), Some("flush.max_age"));
        assert_eq!(near("wall.sync").as_deref(), Some("wal.sync"));
        assert_eq!(near("max_age").as_deref(), Some("flush.max_age"));
        assert_eq!(near("otlp.grcp.listen").as_deref(), Some("otlp.grpc.listen"));
        assert_eq!(near("promotions").as_deref(), None);
        assert_eq!(known.judge("store.options.aws_region"), Verdict::Value);
        assert_eq!(known.judge("auth.tokens"), Verdict::Value);
        assert_eq!(known.judge("promote"), Verdict::List);
        assert_eq!(known.judge("store"), Verdict::Section);
        assert_eq!(known.judge("wal.dir.x"), Verdict::NotASection("wal.dir".into()));
    }

    /// Scenario: the keys that interfaces.md promises are looked up.
    /// Guarantees: every one of them is known.
    #[test]
    fn every_promised_key_is_known() {
        let known = Known::of_config();
        for key in "otlp.grpc.listen otlp.http.listen http.listen flight.listen postgres.listen \
             store.url ack.level wal.dir wal.sync wal.max_bytes stage.dir stage.max_bytes \
             disk.reserve flush.max_age flush.max_bytes compaction.enabled retention.spans \
             retention.logs retention.metrics retention.usage_parts \
             retention.experiments retention.experiment_windows retention.experiment_events \
             retention.experiment_samples retention.experiment_verdicts retention.alert_events \
             limits.max_request_bytes limits.memory limits.max_connections query.memory \
             query.timeout query.max_rows query.concurrency auth.x tls.cert node.id \
             self_telemetry.enabled"
            .split_whitespace()
        {
            assert_eq!(known.judge(key), Verdict::Value, "{key}");
        }
    }
}
