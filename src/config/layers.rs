//! Values by key, each with where it was said. A layer is a file, the
//! environment or the command line; a later one replaces single values, and a
//! list as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Spanned, options};

use super::substitute::{Lookup, substitute};
use super::{Invalid, Problem};

/// Where a value was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// Derived from this machine: its name, its memory, the current folder.
    Machine,
    File {
        path: Arc<Path>,
        line: u64,
    },
    Env(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Machine => f.write_str("this machine"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Env(name) => write!(f, "environment variable {name}"),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub value: Value,
    pub origin: Origin,
}

/// Values by dotted key.
#[derive(Debug, Clone, Default)]
pub struct Layers(pub BTreeMap<String, Entry>);

impl Layers {
    pub fn set(&mut self, key: &str, value: impl Into<Value>, origin: Origin) {
        self.0.insert(key.to_owned(), Entry { value: value.into(), origin });
    }

    /// Adds a file, or every `*.yaml` and `*.yml` of a folder in order of name.
    pub fn add_path(&mut self, path: &Path, lookup: Lookup<'_>) -> Result<(), Invalid> {
        let broken = |error: std::io::Error| {
            Invalid::one(format!("cannot read configuration {}: {error}", path.display()))
        };
        if !path.is_dir() {
            let text = std::fs::read_to_string(path).map_err(broken)?;
            return self.add_yaml(path, &text, lookup);
        }
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(path).map_err(broken)? {
            files.push(entry.map_err(broken)?.path());
        }
        let yaml = |path: &PathBuf| {
            path.is_file() && path.extension().is_some_and(|end| end == "yaml" || end == "yml")
        };
        files.retain(yaml);
        files.sort();
        if files.is_empty() {
            return Err(Invalid::one(format!(
                "configuration folder {} has no .yaml file; name a file, or put one there",
                path.display()
            )));
        }
        files.iter().try_for_each(|file| self.add_path(file, lookup))
    }

    pub fn add_yaml(&mut self, path: &Path, text: &str, lookup: Lookup<'_>) -> Result<(), Invalid> {
        let path: Arc<Path> = path.into();
        let root = parse(text).map_err(|problem| Invalid(vec![problem.at(&path)]))?;
        let mut reader = Reader { path, lookup, layers: self, problems: Vec::new() };
        reader.take(String::new(), root);
        if reader.problems.is_empty() { Ok(()) } else { Err(Invalid(reader.problems)) }
    }

    /// Adds what the environment says: `CLOUDSAIL_WAL__DIR` is `wal.dir`. A name
    /// without `__` is none of ours (Kubernetes injects `CLOUDSAIL_PORT` and more).
    pub fn add_env(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in variables {
            let Some(key) = name.strip_prefix("CLOUDSAIL_") else { continue };
            if key.contains("__") {
                let key = key.to_ascii_lowercase().replace("__", ".");
                self.set(&key, value, Origin::Env(name));
            }
        }
    }

    /// Adds one `--set key=value`.
    pub fn add_set(&mut self, given: &str, lookup: Lookup<'_>) -> Result<(), Invalid> {
        let (key, value) = given.split_once('=').ok_or_else(|| {
            Invalid::one(format!("--set {given:?} has no value; write --set section.key=value"))
        })?;
        let value = substitute(value, lookup)
            .map_err(|message| Invalid::one(format!("--set {key}: {message}")))?;
        self.set(key.trim(), value, Origin::Flag("--set"));
        Ok(())
    }
}

/// A list given as text, by the environment or `--set`, in YAML's flow style.
pub fn parse_list(text: &str) -> Result<Value, String> {
    let root = parse(text).map_err(|problem| problem.message)?;
    match root.value {
        Tree::List(items) => Ok(Value::Array(items.into_iter().map(plain).collect())),
        _ => Err("a list is meant here; write it like [{scope: record, key: order.id}]".into()),
    }
}

fn plain(node: Spanned<Tree>) -> Value {
    match node.value {
        Tree::Scalar(value) => value,
        Tree::List(items) => Value::Array(items.into_iter().map(plain).collect()),
        Tree::Map(entries) => {
            Value::Object(entries.into_iter().map(|(key, node)| (key, plain(node))).collect())
        }
    }
}

/// Turns the tree of one file into keys and values.
struct Reader<'a> {
    path: Arc<Path>,
    lookup: Lookup<'a>,
    layers: &'a mut Layers,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn take(&mut self, key: String, node: Spanned<Tree>) {
        let line = node.referenced.line();
        match node.value {
            // Said nothing: `wal:` with all its keys commented out.
            Tree::Scalar(Value::Null) => {}
            Tree::Map(entries) => {
                for (name, child) in entries {
                    let below = if key.is_empty() { name } else { format!("{key}.{name}") };
                    self.take(below, child);
                }
            }
            leaf if key.is_empty() => {
                let what = if matches!(leaf, Tree::List(_)) { "a list" } else { "a single value" };
                let message =
                    format!("the file holds {what}; it must hold keys, like wal: or flush:");
                self.problems.push(Problem { message, origin: Some(self.origin(line)) });
            }
            leaf => {
                let node = Spanned { value: leaf, ..node };
                let value = self.substituted(plain(node), &key, line);
                let origin = self.origin(line);
                self.layers.set(&key, value, origin);
            }
        }
    }

    fn origin(&self, line: u64) -> Origin {
        Origin::File { path: self.path.clone(), line }
    }

    fn substituted(&mut self, value: Value, key: &str, line: u64) -> Value {
        match value {
            Value::String(text) => match substitute(&text, self.lookup) {
                Ok(text) => Value::String(text),
                Err(message) => {
                    let message = format!("{key}: {message}");
                    self.problems.push(Problem { message, origin: Some(self.origin(line)) });
                    Value::Null
                }
            },
            Value::Array(items) => {
                items.into_iter().map(|item| self.substituted(item, key, line)).collect()
            }
            Value::Object(entries) => Value::Object(
                entries.into_iter().map(|(k, v)| (k, self.substituted(v, key, line))).collect(),
            ),
            other => other,
        }
    }
}

/// What a YAML file holds, with the line of every value.
#[derive(Debug)]
enum Tree {
    Scalar(Value),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(String, Spanned<Tree>)>),
}

fn parse(text: &str) -> Result<Spanned<Tree>, Problem> {
    let options = options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let message = error.to_string();
        Problem { message, origin: Some(Origin::File { path: Path::new("").into(), line }) }
    })
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}
