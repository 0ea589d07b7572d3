//! Reads a map key by key. The keys that are asked for are the keys that exist:
//! what is left over is unknown, and is told with the nearest of them.

use super::problem::{Place, Problems};
use super::tree::{Content, Node};
use super::units::Said;

/// One map of the document while it is read.
pub struct Reader<'a> {
    /// What this map is, for messages: `probe`, `window`.
    what: &'static str,
    pub place: Place,
    entries: Vec<(&'a str, &'a Node)>,
    asked: Vec<&'static str>,
    pub problems: &'a mut Problems,
}

impl<'a> Reader<'a> {
    /// `None`, and a problem, when `node` is no map. Nothing at all is an empty one.
    pub fn of(what: &'static str, node: &'a Node, problems: &'a mut Problems) -> Option<Self> {
        let entries = match &node.content {
            Content::Map(entries) => entries.iter().map(|(k, v)| (k.as_str(), v)).collect(),
            Content::Scalar(serde_json::Value::Null) => Vec::new(),
            _ => {
                let message = format!("{what} is {}; it must be a map of keys", node.what());
                problems.add(node.place, message);
                return None;
            }
        };
        Some(Reader { what, place: node.place, entries, asked: Vec::new(), problems })
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| *name == key)
    }

    /// The value of a key, if it was said.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        let (_, node) = self.entries.iter().find(|(name, _)| *name == key)?;
        match node.content {
            Content::Scalar(serde_json::Value::Null) => None,
            _ => Some(node),
        }
    }

    /// A scalar of a type of its own; one that does not fit is a problem and `None`.
    pub fn scalar<T: Said>(&mut self, key: &'static str) -> Option<T> {
        let node = self.node(key)?;
        let read = match &node.content {
            Content::Scalar(value) => T::said(value),
            _ => Err(format!("is {}; {}", node.what(), T::REMEDY)),
        };
        match read {
            Ok(value) => Some(value),
            Err(why) => {
                self.problems.add(node.place, format!("{key} {why}"));
                None
            }
        }
    }

    /// Like [`scalar`](Self::scalar), with what holds when nothing was said.
    pub fn or<T: Said>(&mut self, key: &'static str, default: T) -> T {
        self.scalar(key).unwrap_or(default)
    }

    /// A scalar without which the map says nothing.
    pub fn needed<T: Said>(&mut self, key: &'static str) -> Option<T> {
        if self.has(key) {
            return self.scalar(key);
        }
        self.asked.push(key);
        self.missing(key, T::REMEDY);
        None
    }

    pub fn missing(&mut self, key: &str, remedy: &str) {
        self.problems.add(self.place, format!("{} has no {key}; {remedy}", self.what));
    }

    /// A list, or one value that stands for a list of one.
    pub fn list(&mut self, key: &'static str) -> &'a [Node] {
        match self.node(key) {
            Some(Node { content: Content::List(items), .. }) => items,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        }
    }

    /// A list of scalars, or one scalar.
    pub fn scalars<T: Said>(&mut self, key: &'static str) -> Vec<T> {
        let mut read = Vec::new();
        for node in self.list(key) {
            let value = match &node.content {
                Content::Scalar(value) => T::said(value),
                _ => Err(format!("is {}; {}", node.what(), T::REMEDY)),
            };
            match value {
                Ok(value) => read.push(value),
                Err(why) => self.problems.add(node.place, format!("{key} {why}")),
            }
        }
        read
    }

    /// Another map below a key, read by `read`.
    pub fn map<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Option<T> {
        let node = self.node(key)?;
        read_map(key, node, self.problems, read)
    }

    /// Each map of a list below a key.
    pub fn maps<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        mut read: impl FnMut(&mut Reader<'_>) -> Option<T>,
    ) -> Vec<T> {
        let nodes = self.list(key);
        nodes.iter().filter_map(|node| read_map(what, node, self.problems, &mut read)).collect()
    }

    /// Complains of every key that nobody asked for.
    fn end(&mut self) {
        for (key, node) in &self.entries {
            if self.asked.contains(key) {
                continue;
            }
            let near = nearest(key, &self.asked);
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => {
                    let mut known = self.asked.clone();
                    known.sort_unstable();
                    known.dedup();
                    format!("it takes {}", known.join(", "))
                }
            };
            self.problems.add(node.place, format!("unknown key {key} in {}; {hint}", self.what));
        }
    }
}

/// Reads a map and then complains of the keys that were not asked for.
pub fn read_map<T>(
    what: &'static str,
    node: &Node,
    problems: &mut Problems,
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Option<T> {
    let mut reader = Reader::of(what, node, problems)?;
    let value = read(&mut reader);
    reader.end();
    value
}

/// At most a third of the word mistyped.
pub fn nearest<'n>(word: &str, known: &[&'n str]) -> Option<&'n str> {
    let distance = |name: &&str| strsim::damerau_levenshtein(word, name);
    let near = known.iter().min_by_key(|name| distance(name))?;
    (distance(near) <= (word.len() / 3).clamp(1, 4)).then_some(*near)
}
