//! `${name}` stands for what `configuration` says of `name`. A value comes from
//! the environment only if the caller allows that variable.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Allowed;
use super::problem::{Place, Problems};
use super::reader::nearest;
use super::tree::{Content, Node};
use super::units::shown;

/// Replaces `${…}` everywhere but in `configuration` itself, and answers that
/// section with its values filled in.
pub(super) fn apply(
    root: &mut Node,
    environment: &Allowed,
    problems: &mut Problems,
) -> Option<Value> {
    let Content::Map(entries) = &mut root.content else { return None };
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    let mut given = None;
    if let Some((_, section)) = entries.iter().find(|(key, _)| key == "configuration") {
        let Content::Map(named) = &section.content else {
            problems.add(section.place, "configuration must be a map of names and values");
            return None;
        };
        for (name, node) in named {
            if let Some(value) = resolve(name, node, environment, problems) {
                values.insert(name.clone(), value);
            }
        }
        given = Some(Value::Object(values.clone().into_iter().collect()));
    }
    // Commands of others keep what stands in them: they are never run here.
    let foreign = ["configuration", "method", "rollbacks", "extensions"];
    for (_, node) in entries.iter_mut().filter(|(key, _)| !foreign.contains(&key.as_str())) {
        node.each_text(&mut |place, text| replace(text, &values, *place, problems));
    }
    given
}

/// A value as it stands, or Chaos Toolkit's `{type: env, key: NAME, default: x}`.
fn resolve(
    name: &str,
    node: &Node,
    environment: &Allowed,
    problems: &mut Problems,
) -> Option<Value> {
    let value = node.plain();
    if value.get("type").and_then(Value::as_str) != Some("env") {
        return Some(value);
    }
    let Some(key) = value.get("key").and_then(Value::as_str) else {
        problems.add(node.place, format!("configuration {name} has no key; name the variable"));
        return None;
    };
    let found = environment.get(key).map(|found| Value::from(found.clone()));
    let found = found.or_else(|| value.get("default").cloned());
    if found.is_none() {
        let message = format!(
            "configuration {name} wants the variable {key}, which is not given to documents; allow it with --env {key}, or write a default"
        );
        problems.add(node.place, message);
    }
    found
}

/// `None` when nothing was to be replaced.
fn replace(
    text: &str,
    values: &BTreeMap<String, Value>,
    place: Place,
    problems: &mut Problems,
) -> Option<Value> {
    text.find("${")?;
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, left)) = after.split_once('}') else {
            problems.add(place, format!("{} has a ${{ without its }}", shown(&text.into())));
            return None;
        };
        match values.get(name.trim()) {
            // Alone it keeps its type: a number stays one.
            Some(value) if before.is_empty() && left.is_empty() && out.is_empty() => {
                return Some(value.clone());
            }
            Some(Value::String(value)) => out.push_str(value),
            Some(value) => out.push_str(&value.to_string()),
            None => {
                let known: Vec<&str> = values.keys().map(String::as_str).collect();
                let hint = match nearest(name.trim(), &known) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "configuration must name it".to_owned(),
                };
                problems.add(place, format!("${{{name}}} is not configured; {hint}"));
                return None;
            }
        }
        rest = left;
    }
    out.push_str(rest);
    Some(out.into())
}
