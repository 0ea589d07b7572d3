//! Strata of the load: traces by the endpoint at which a user began them.

use serde::Serialize;

use super::text::literal;

/// Which traces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Stratum {
    /// Those whose root has this name.
    At(String),
    /// All others.
    Elsewhere(Vec<String>),
}

impl Stratum {
    /// The predicate of their spans. `near` is where their roots are looked for.
    pub(super) fn predicate(&self, near: &str) -> String {
        let named = match self {
            Stratum::At(name) => format!(" AND name = {}", literal(name)),
            Stratum::Elsewhere(names) if names.is_empty() => String::new(),
            Stratum::Elsewhere(names) => {
                let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
                format!(" AND name NOT IN ({})", names.join(", "))
            }
        };
        format!(
            "trace_id IN (SELECT trace_id FROM spans WHERE {near} AND parent_span_id IS NULL{named})"
        )
    }
}

impl std::fmt::Display for Stratum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stratum::At(name) => f.write_str(name),
            Stratum::Elsewhere(_) => f.write_str("other endpoints"),
        }
    }
}
