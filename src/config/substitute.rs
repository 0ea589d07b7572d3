//! `${env:NAME:-default}` and `$$`, replaced inside scalars after the file was
//! parsed, so that a variable can bring a value but never structure.
//!
//! Grammar (the OpenTelemetry configuration data model):
//! `"${" ["env:"] NAME [":-" DEFAULT] "}"`. Any other `${…}` is an error; a
//! lone `$` is itself.

/// Looks a variable up; `None` when it is not set.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// `text` with every reference replaced. What a variable brings is not
/// searched for references again.
pub fn substitute(text: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            tail
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = inner.find('}').ok_or_else(|| {
                format!(
                    "\"${{\" is never closed in {text:?}; close it, or write $$ for a dollar sign"
                )
            })?;
            out.push_str(&value_of(&inner[..end], lookup)?);
            &inner[end + 1..]
        } else {
            out.push('$');
            after
        };
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(reference: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let body = reference.strip_prefix("env:").unwrap_or(reference);
    let (name, default) = match body.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (body, None),
    };
    let mut letters = name.chars();
    let first_fits = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first_fits || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!(
            "${{{reference}}} is not a reference; write ${{env:NAME}} or ${{env:NAME:-default}}, and $$ for a dollar sign"
        ));
    }
    match (lookup(name), default) {
        // As in a shell, ":-" also stands in for a variable that is set to nothing.
        (Some(value), Some(default)) if value.is_empty() => Ok(default.into()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.into()),
        (None, None) => Err(format!(
            "environment variable {name} is not set; set it, or give a default: ${{env:{name}:-…}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("10.0.0.7".into()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}: [a, b]".into()),
            _ => None,
        }
    }

    /// Scenario: every form of the grammar, alone and inside other text.
    /// Guarantees: each gives its value; what a variable holds is taken literally.
    #[test]
    fn references_are_replaced() {
        for (text, expected) in [
            ("${env:HOST}:4317", "10.0.0.7:4317"),
            ("${HOST}", "10.0.0.7"),
            ("${env:NONE:-a:-b}", "a:-b"),
            ("${NONE:-}", ""),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("${NESTED}", "${HOST}: [a, b]"),
            ("$$HOST $${HOST} $5 $", "$HOST ${HOST} $5 $"),
            ("", ""),
        ] {
            assert_eq!(substitute(text, &env).as_deref(), Ok(expected), "{text}");
        }
    }

    /// Scenario: anything else in `${…}`, and a variable that is not set.
    /// Guarantees: an error that names the reference, never an empty value.
    #[test]
    fn anything_else_is_an_error() {
        for bad in ["${}", "${env:}", "${1A}", "${file:/etc/x}", "${A-b}", "${HOST", "${a b}"] {
            assert!(substitute(bad, &env).is_err(), "{bad}");
        }
        let message = substitute("${env:NONE}", &env).unwrap_err();
        assert!(message.contains("NONE is not set"), "{message}");
    }
}
