//! A YAML file as a tree in which every value knows its place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Spanned, options};

use super::{Invalid, Place, Problem};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub place: Place,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The same without places.
    pub fn plain(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Node::plain).collect(),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|(k, v)| (k.clone(), v.plain())).collect())
            }
        }
    }

    /// What this is, for a message.
    pub fn what(&self) -> &'static str {
        match &self.content {
            Content::Scalar(Value::Null) => "nothing",
            Content::Scalar(Value::Bool(_)) => "true or false",
            Content::Scalar(Value::Number(_)) => "a number",
            Content::Scalar(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }

    /// Applies `change` to every text, here and below.
    pub fn each_text(&mut self, change: &mut dyn FnMut(&Place, &str) -> Option<Value>) {
        match &mut self.content {
            Content::Scalar(value) => {
                let changed = value.as_str().and_then(|text| change(&self.place, text));
                if let Some(changed) = changed {
                    *value = changed;
                }
            }
            Content::List(items) => items.iter_mut().for_each(|item| item.each_text(change)),
            Content::Map(entries) => entries.iter_mut().for_each(|(_, v)| v.each_text(change)),
        }
    }
}

/// Reads one YAML document. A repeated key is refused by the reader itself.
pub fn parse(text: &str) -> Result<Node, Invalid> {
    let options = options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    let tree: Spanned<Tree> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let at = error.location();
            let place = at.map_or(Place::default(), |at| Place::new(at.line(), at.column()));
            Invalid(vec![Problem { place, message: error.to_string() }])
        })?;
    Ok(node(tree))
}

fn node(tree: Spanned<Tree>) -> Node {
    let place = Place::new(tree.referenced.line(), tree.referenced.column());
    let content = match tree.value {
        Tree::Scalar(value) => Content::Scalar(value),
        Tree::List(items) => Content::List(items.into_iter().map(node).collect()),
        Tree::Map(entries) => {
            Content::Map(entries.into_iter().map(|(key, tree)| (key, node(tree))).collect())
        }
    };
    Node { place, content }
}

#[derive(Debug)]
enum Tree {
    Scalar(Value),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(String, Spanned<Tree>)>),
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
