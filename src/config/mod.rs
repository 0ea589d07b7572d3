//! What the daemon is told: files, environment and flags in, one typed
//! [`Config`] out, with the origin of every value.
//!
//! | file | its part |
//! | --- | --- |
//! | [`layers`] | YAML, environment and `--set` as values by dotted key, with origins |
//! | [`substitute`] | `${env:NAME:-default}` inside scalars |
//! | [`units`] | sizes, times, shares |
//! | [`keys`] | every key, typed, with its default |
//! | [`experiments`] | the keys of what experiments may send to the outside |
//! | [`known`] | which keys exist, and the one nearest to a mistyped one |
//! | [`machine`] | defaults that depend on the machine |
//! | [`check`] | what cannot work or is not built yet, said before anything starts |
//! | [`settings`] | the numbers each crate is run with |
//! | [`show`] | the effective configuration, secrets redacted (S29) |
//!
//! Pure but for reading the files named: nothing here touches the store, a port
//! or the data folder; that is `cloudsail doctor`.

pub mod check;
pub mod experiments;
pub mod keys;
pub mod known;
pub mod layers;
pub mod machine;
pub mod settings;
pub mod show;
pub mod substitute;
pub mod units;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use check::bind_rule;
pub use keys::Config;
use known::{Known, Verdict};
pub use layers::{Layers, Origin};
use machine::Machine;

/// One thing that is wrong, and where it was said.
#[derive(Debug, Clone)]
pub struct Problem {
    pub message: String,
    pub origin: Option<Origin>,
}

impl Problem {
    /// Fills in the file of a problem that only knows its line.
    fn at(mut self, path: &Path) -> Problem {
        if let Some(Origin::File { path: unnamed, .. }) = &mut self.origin {
            *unnamed = path.into();
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A configuration that cannot be used: exit code 2.
#[derive(Debug)]
pub struct Invalid(pub Vec<Problem>);

impl Invalid {
    pub fn one(message: impl Into<String>) -> Invalid {
        Invalid(vec![Problem { message: message.into(), origin: None }])
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Invalid {}

/// The layers, lowest first, as the command line names them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub files: Vec<PathBuf>,
    /// The whole environment; the names that are ours are picked from it.
    pub environment: Vec<(String, String)>,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
    /// Values that flags of their own stand for, like `--insecure`.
    pub flags: Vec<(&'static str, Value, &'static str)>,
}

/// A configuration that was read and checked.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub layers: Layers,
    /// Keys that are known but have no effect yet.
    pub warnings: Vec<Problem>,
}

pub fn load(sources: &Sources, machine: &Machine) -> Result<Loaded, Invalid> {
    let lookup = |name: &str| {
        let found = sources.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let mut layers = Layers::default();
    for file in &sources.files {
        layers.add_path(file, &lookup)?;
    }
    layers.add_env(sources.environment.iter().cloned());
    for set in &sources.set {
        layers.add_set(set, &lookup)?;
    }
    for (key, value, flag) in &sources.flags {
        layers.set(key, value.clone(), Origin::Flag(flag));
    }
    let mut config = typed(&mut layers)?;
    machine.fill_in(&mut config, &mut layers)?;
    let warnings = check::check(&config, &layers)?;
    Ok(Loaded { config, layers, warnings })
}

/// Unknown keys first, all of them; then every value that does not fit its key.
fn typed(layers: &mut Layers) -> Result<Config, Invalid> {
    let known = Known::of_config();
    let mut problems = Vec::new();
    for (key, entry) in &mut layers.0 {
        let origin = entry.origin.clone();
        let mut problem =
            |message| problems.push(Problem { message, origin: Some(origin.clone()) });
        match known.judge(key) {
            Verdict::Value => {}
            Verdict::List => {
                if let Value::String(text) = &entry.value {
                    match layers::parse_list(text) {
                        Ok(list) => entry.value = list,
                        Err(message) => problem(format!("{key}: {message}")),
                    }
                }
            }
            Verdict::Section => {
                let below = known.below(key);
                let hint = if below.is_empty() {
                    String::new()
                } else {
                    format!(": {}", below.join(", "))
                };
                problem(format!("{key} is a section, not a value{hint}"));
            }
            Verdict::NotASection(leaf) => {
                problem(format!("{leaf} takes one value; there is nothing below it"));
            }
            Verdict::Unknown(Some(near)) => {
                problem(format!("unknown key {key}; did you mean {near}?"));
            }
            Verdict::Unknown(None) => {
                problem(format!("unknown key {key}; `cloudsail config schema` lists every key"))
            }
        }
    }
    if !problems.is_empty() {
        return Err(Invalid(problems));
    }
    // One value at a time, so that every misfit is told with its own key and place.
    for (key, entry) in &layers.0 {
        if let Err(error) = serde_json::from_value::<Config>(nested([(key, &entry.value)])) {
            let message = format!("{key}: {error}");
            problems.push(Problem { message, origin: Some(entry.origin.clone()) });
        }
    }
    if !problems.is_empty() {
        return Err(Invalid(problems));
    }
    let whole = nested(layers.0.iter().map(|(key, entry)| (key, &entry.value)));
    serde_json::from_value(whole).map_err(|error| Invalid::one(error.to_string()))
}

/// The sections of a dotted key. An option of the store and a tenant's name may
/// have dots of their own.
fn parts(key: &str) -> Vec<&str> {
    if let Some(option) = key.strip_prefix("store.options.") {
        return vec!["store", "options", option];
    }
    let tenant = key.strip_prefix("retention.tenants.").and_then(|rest| rest.rsplit_once('.'));
    match tenant {
        Some((tenant, table)) => vec!["retention", "tenants", tenant, table],
        None => key.split('.').collect(),
    }
}

/// Dotted keys as nested objects.
fn nested<'a>(values: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Value {
    let mut root = Map::new();
    for (key, value) in values {
        let parts = parts(key);
        if let Some((leaf, sections)) = parts.split_last() {
            put(&mut root, sections, leaf, value);
        }
    }
    Value::Object(root)
}

fn put(at: &mut Map<String, Value>, sections: &[&str], leaf: &str, value: &Value) {
    let Some((section, rest)) = sections.split_first() else {
        at.insert(leaf.to_owned(), value.clone());
        return;
    };
    let below = at.entry(*section).or_insert(Value::Null);
    if !below.is_object() {
        *below = Value::Object(Map::new());
    }
    if let Value::Object(below) = below {
        put(below, rest, leaf, value);
    }
}
