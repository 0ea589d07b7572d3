//! The effective configuration as YAML that can be loaded again, with the
//! origin of each value on request. Secrets are redacted by the types that
//! hold them (S29).

use std::fmt::Write as _;

use serde_json::Value;

use super::{Loaded, Origin};

/// `origins` adds a comment per value.
pub fn show(loaded: &Loaded, origins: bool) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    if let Value::Object(sections) = serde_json::to_value(&loaded.config)? {
        for (name, value) in &sections {
            print(&mut out, loaded, origins, name, name, value, 0);
        }
    }
    Ok(out)
}

fn print(
    out: &mut String,
    loaded: &Loaded,
    origins: bool,
    key: &str,
    name: &str,
    value: &Value,
    depth: usize,
) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(below) if below.is_empty() => {}
        Value::Object(below) => {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{indent}{name}:");
            for (name, value) in below {
                print(out, loaded, origins, &format!("{key}.{name}"), name, value, depth + 1);
            }
        }
        leaf => {
            let _ = write!(out, "{indent}{name}: {}", scalar(leaf));
            if origins {
                let origin =
                    loaded.layers.0.get(key).map_or(&Origin::Default, |entry| &entry.origin);
                let _ = write!(out, "  # {}", origin.to_string().replace(['\n', '\r'], " "));
            }
            out.push('\n');
        }
    }
}

/// JSON is YAML's flow style; a dollar sign would be read as a reference.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if plain(text) => text.clone(),
        other => other.to_string().replace('$', "$$"),
    }
}

/// Text that YAML reads as the same text without quotes.
fn plain(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_./%".contains(c);
    let starts = |c: char| c.is_ascii_alphabetic() || c == '/';
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let measure = text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_alphabetic() || c == '%')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '%')
        && !text.contains(['e', 'E', 'x', 'o']);
    measure
        || (text.starts_with(starts)
            && text.chars().all(word)
            && !reserved.contains(&text.to_ascii_lowercase().as_str()))
}
