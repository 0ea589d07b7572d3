//! Where a number comes from: a built-in indicator of a subject, or a query.

use std::fmt;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::problem::Problems;
use super::reader::{Reader, nearest, read_map};
use super::tree::{Content, Node};
use super::units::{Percent, Said, shown};

use super::indicator::FAMILIES;
pub use super::indicator::{Family, Indicator, Level, Nature};

/// Calls from one service to another, written `checkout->payment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    pub from: String,
    pub to: String,
}

impl Said for Edge {
    const REMEDY: &'static str = "write caller->callee";

    fn said(value: &Value) -> Result<Edge, String> {
        let ends = value.as_str().and_then(|text| text.split_once("->"));
        let ends = ends.map(|(from, to)| (from.trim(), to.trim()));
        match ends {
            Some((from, to)) if !from.is_empty() && !to.is_empty() => {
                Ok(Edge { from: from.into(), to: to.into() })
            }
            _ => Err(format!("is {}; {}", shown(value), Edge::REMEDY)),
        }
    }
}

impl Edge {
    /// `a->b` or `{from: a, to: b}`.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Edge> {
        if matches!(node.content, Content::Map(_)) {
            return read_map("edge", node, problems, |edge| {
                Some(Edge { from: edge.needed("from")?, to: edge.needed("to")? })
            });
        }
        match Edge::said(&node.plain()) {
            Ok(edge) => Some(edge),
            Err(why) => {
                problems.add(node.place, format!("edge {why}"));
                None
            }
        }
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}

impl Serialize for Edge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whose indicator it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A service, or one of its endpoints (the name of its server spans).
    Service { service: String, endpoint: Option<String> },
    /// An edge, or one operation of the callee on it.
    Edge { edge: Edge, operation: Option<String> },
}

impl Subject {
    pub fn service(name: impl Into<String>) -> Subject {
        Subject::Service { service: name.into(), endpoint: None }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Service { service, endpoint: None } => f.write_str(service),
            Subject::Service { service, endpoint: Some(endpoint) } => {
                write!(f, "{service} {endpoint}")
            }
            Subject::Edge { edge, operation: None } => edge.fmt(f),
            Subject::Edge { edge, operation: Some(operation) } => write!(f, "{edge} {operation}"),
        }
    }
}

/// A built-in indicator of a subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    pub family: Family,
    pub indicator: Indicator,
    pub subject: Subject,
    /// What `slo` is measured against: the share of requests that may fail is
    /// one less this.
    pub objective: Option<Percent>,
}

impl Measure {
    pub fn new(family: Family, indicator: Indicator, subject: Subject) -> Measure {
        Measure { family, indicator, subject, objective: None }
    }

    /// What a hypothesis on it is called unless the document names it.
    pub fn name(&self) -> String {
        let Measure { family, indicator, subject, .. } = self;
        match family {
            Family::Red | Family::Edge => format!("{subject}-{indicator}"),
            family => format!("{subject}-{}.{indicator}", family.name()),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} of {}", self.family.name(), self.indicator, self.subject)
    }
}

/// What a query's answer is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The number of rows.
    Rows,
    /// The one value of the one row.
    Scalar,
    /// The rows themselves, for `regex` and `jsonpath`.
    Table,
}

/// A provider of a probe or guard.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    Measure(Measure),
    Sql { query: String, result: Outcome },
}

impl Serialize for Provider {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Provider::Sql { query, result } => {
                map.serialize_entry("type", "sql")?;
                map.serialize_entry("query", query)?;
                map.serialize_entry("result", result)?;
            }
            Provider::Measure(measure) => {
                map.serialize_entry("type", measure.family.name())?;
                match &measure.subject {
                    Subject::Service { service, endpoint } => {
                        map.serialize_entry("service", service)?;
                        if let Some(endpoint) = endpoint {
                            map.serialize_entry("endpoint", endpoint)?;
                        }
                    }
                    Subject::Edge { edge, operation } => {
                        map.serialize_entry("edge", edge)?;
                        if let Some(operation) = operation {
                            map.serialize_entry("operation", operation)?;
                        }
                    }
                }
                map.serialize_entry("indicator", &measure.indicator.to_string())?;
                if let Some(objective) = measure.objective {
                    map.serialize_entry("objective", &objective)?;
                }
            }
        }
        map.end()
    }
}

impl Provider {
    /// The keys of a provider in a map of its own, under `type`.
    pub(super) fn read(map: &mut Reader<'_>) -> Option<Provider> {
        let named: String = map.or("type", "red".into());
        if named == "sql" {
            let query: Option<String> = map.needed("query");
            let result = match map.scalar::<String>("result").as_deref() {
                None | Some("scalar") => Outcome::Scalar,
                Some("rows") => Outcome::Rows,
                Some("table") => Outcome::Table,
                Some(other) => {
                    let message = format!("result is {other:?}; write rows, scalar or table");
                    map.problems.add(map.place, message);
                    return None;
                }
            };
            return Some(Provider::Sql { query: query?, result });
        }
        if named == "promql" {
            let message = "provider type promql is not available in this version; ask by sql";
            map.problems.add(map.place, message);
            return None;
        }
        let names: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
        let Some((_, family)) = FAMILIES.iter().find(|(name, _)| *name == named) else {
            let near = nearest(&named, &names);
            let hint = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            let message = format!(
                "provider type {named} is unknown{hint}: a probe asks stored telemetry by {} or sql, and nothing else is run",
                names.join(", ")
            );
            map.problems.add(map.place, message);
            return None;
        };
        let name: String = map.needed("indicator")?;
        measure(map, *family, &name).map(Provider::Measure)
    }

    /// The short form, in which the keys stand in the probe or guard itself and
    /// the indicator may name its family, as in `edge.gap_p50`.
    pub(super) fn read_short(map: &mut Reader<'_>) -> Option<Measure> {
        let named: String = map.needed("indicator")?;
        let family = named
            .split_once('.')
            .and_then(|(name, _)| FAMILIES.iter().find(|(known, _)| *known == name));
        match family {
            Some((name, family)) => measure(map, *family, &named[name.len() + 1..]),
            None if map.has("edge") => measure(map, Family::Edge, &named),
            None => measure(map, Family::Red, &named),
        }
    }
}

fn measure(map: &mut Reader<'_>, family: Family, name: &str) -> Option<Measure> {
    let subject = match family {
        Family::Edge => {
            let operation = map.scalar("operation");
            match map.node("edge") {
                Some(node) => Edge::read(node, map.problems),
                None => {
                    map.missing("edge", Edge::REMEDY);
                    None
                }
            }
            .map(|edge| Subject::Edge { edge, operation })
        }
        _ => {
            let endpoint = match family {
                Family::Red | Family::Exclusive | Family::Trace | Family::Slo => {
                    map.scalar("endpoint")
                }
                _ => None,
            };
            let service = map.needed("service");
            service.map(|service| Subject::Service { service, endpoint })
        }
    };
    let objective: Option<Percent> = match family {
        Family::Slo => map.needed("objective"),
        _ => None,
    };
    if let Some(Percent(share)) = objective
        && !(0.0..1.0).contains(&share)
    {
        map.problems.add(map.place, "objective must be under 100%; write it like 99.9%");
        return None;
    }
    let Some(indicator) = Indicator::read(family, name) else {
        let names = Indicator::names(family);
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("it has {}", names.join(", ")),
        };
        let family = family.name();
        let message = format!("{family} has no indicator {name} in this version; {hint}");
        map.problems.add(map.place, message);
        return None;
    };
    Some(Measure { family, indicator, subject: subject?, objective })
}
