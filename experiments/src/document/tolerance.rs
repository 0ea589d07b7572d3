//! What a probe may answer: the forms of Chaos Toolkit and Litmus, and bounds
//! relative to the baseline.

use regex::Regex;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::path::Path;
use super::problem::Problems;
use super::reader::{Reader, read_map};
use super::tree::{Content, Node};
use super::units::{Percent, Quantity, Said, Unit, shown};

/// A comparison, as Litmus writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criteria {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unlike,
}

const CRITERIA: [(&str, Criteria); 7] = [
    ("<=", Criteria::AtMost),
    (">=", Criteria::AtLeast),
    ("==", Criteria::Equal),
    ("!=", Criteria::Unlike),
    ("<", Criteria::Less),
    (">", Criteria::More),
    ("=", Criteria::Equal),
];

impl Criteria {
    pub fn sign(self) -> &'static str {
        CRITERIA.iter().find(|(_, known)| *known == self).map_or("", |(sign, _)| sign)
    }

    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Criteria::Less => value < limit,
            Criteria::AtMost => value <= limit,
            Criteria::More => value > limit,
            Criteria::AtLeast => value >= limit,
            Criteria::Equal => value == limit,
            Criteria::Unlike => value != limit,
        }
    }
}

/// A comparison with a number, written `> 0.05` or `>=300ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    pub criteria: Criteria,
    pub limit: Quantity,
}

impl Said for Condition {
    const REMEDY: &'static str = "write a comparison, like \"> 0.05\" or \">=300ms\"";

    fn said(value: &Value) -> Result<Condition, String> {
        let text = value.as_str().unwrap_or_default().trim();
        let (sign, criteria) = CRITERIA
            .iter()
            .find(|(sign, _)| text.starts_with(sign))
            .ok_or_else(|| format!("is {}; {}", shown(value), Condition::REMEDY))?;
        let limit = text[sign.len()..].trim().parse()?;
        Ok(Condition { criteria: *criteria, limit })
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.criteria.sign(), self.limit)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Between which values an indicator is in tolerance, ends included.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// How far an indicator may move from its baseline. A move is outside of the
/// tolerance only when it is past the share *and* past `least`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Relative {
    pub max_increase: Option<Percent>,
    pub max_decrease: Option<Percent>,
    /// Moves smaller than this are within the tolerance whatever their share.
    pub least: Quantity,
}

impl Relative {
    /// What an indicator may be when its baseline is `level`, in its own unit.
    pub fn around(&self, level: f64) -> Limits {
        let room = |share: Percent| (share.0 * level.abs()).max(self.least.value);
        Limits {
            low: self.max_decrease.map(|share| level - room(share)),
            high: self.max_increase.map(|share| level + room(share)),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Tolerance {
    /// Equal to this.
    Exactly(Value),
    OneOf(Vec<Value>),
    /// Ends included; an end that is missing is open.
    Range {
        low: Option<Quantity>,
        high: Option<Quantity>,
    },
    Compare(Condition),
    Relative(Relative),
    Regex(Regex),
    /// What lies at a path of the answer equals one of `expect`, or there are `count` such.
    Jsonpath {
        path: Path,
        expect: Option<Vec<Value>>,
        count: Option<u64>,
    },
}

impl PartialEq for Tolerance {
    fn eq(&self, other: &Tolerance) -> bool {
        let plain = |tolerance: &Tolerance| serde_json::to_value(tolerance).ok();
        plain(self) == plain(other)
    }
}

impl Tolerance {
    /// The limits that do not depend on a baseline; `None` where a tolerance is
    /// not an interval of numbers. `<` and `<=` are one to a confidence interval.
    pub fn limits(&self) -> Option<Limits> {
        let low = |value| Limits { low: Some(value), high: None };
        let high = |value| Limits { low: None, high: Some(value) };
        match self {
            Tolerance::Exactly(value) => {
                value.as_f64().map(|v| Limits { low: Some(v), high: Some(v) })
            }
            Tolerance::Range { low, high } => {
                Some(Limits { low: low.map(|l| l.value), high: high.map(|h| h.value) })
            }
            Tolerance::Compare(Condition { criteria, limit }) => match criteria {
                Criteria::Less | Criteria::AtMost => Some(high(limit.value)),
                Criteria::More | Criteria::AtLeast => Some(low(limit.value)),
                Criteria::Equal => Some(Limits { low: Some(limit.value), high: Some(limit.value) }),
                Criteria::Unlike => None,
            },
            _ => None,
        }
    }

    /// Whether one value, not a sample, is in tolerance. `None` when the form
    /// and the value do not go together, which is never a pass.
    pub fn admits(&self, value: &Value) -> Option<bool> {
        match self {
            Tolerance::Exactly(expected) => Some(same(expected, value)),
            Tolerance::OneOf(allowed) => Some(allowed.iter().any(|one| same(one, value))),
            Tolerance::Range { low, high } => {
                let value = finite(value)?;
                Some(low.is_none_or(|l| value >= l.value) && high.is_none_or(|h| value <= h.value))
            }
            Tolerance::Compare(Condition { criteria, limit }) => {
                Some(criteria.holds(finite(value)?, limit.value))
            }
            Tolerance::Regex(regex) => Some(regex.is_match(value.as_str()?)),
            Tolerance::Jsonpath { path, expect, count } => {
                let found = path.find(value);
                let counted = count.is_none_or(|count| found.len() as u64 == count);
                let expected = expect.as_ref().is_none_or(|expect| {
                    !found.is_empty()
                        && found.iter().all(|one| expect.iter().any(|expected| same(expected, one)))
                });
                Some(counted && expected)
            }
            Tolerance::Relative(_) => None,
        }
    }

    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Tolerance> {
        match &node.content {
            // A comparison as a text, such as "<= 0.01", is our own form.
            Content::Scalar(value) => match Condition::said(value) {
                Ok(condition) => Some(Tolerance::Compare(condition)),
                Err(_) => Some(Tolerance::Exactly(value.clone())),
            },
            Content::List(items) => Some(Tolerance::OneOf(items.iter().map(Node::plain).collect())),
            Content::Map(_) => read_map("tolerance", node, problems, Tolerance::read_typed),
        }
    }

    fn read_typed(map: &mut Reader<'_>) -> Option<Tolerance> {
        let form: String = map.needed("type")?;
        match form.as_str() {
            "range" => {
                let ends = map.list("range");
                let [low, high] = ends else {
                    map.missing(
                        "range of two ends",
                        "write range: [0, 0.01], null for an open end",
                    );
                    return None;
                };
                let mut end = |node: &Node| match node.plain() {
                    Value::Null => None,
                    value => Quantity::said(&value)
                        .map_err(|why| map.problems.add(node.place, format!("range {why}")))
                        .ok(),
                };
                let (low, high) = (end(low), end(high));
                ordered(map, low, high)
            }
            "relative" => {
                let to: String = map.or("to", "baseline".into());
                if to != "baseline" {
                    let message = format!("to is {to:?}; a tolerance is relative to: baseline");
                    map.problems.add(map.place, message);
                }
                read_relative(map)
            }
            "regex" => {
                let pattern: String = map.needed("pattern")?;
                match Regex::new(&pattern) {
                    Ok(regex) => Some(Tolerance::Regex(regex)),
                    Err(error) => {
                        map.problems.add(map.place, format!("pattern is no regex: {error}"));
                        None
                    }
                }
            }
            "jsonpath" => {
                let path: Path = map.needed("path")?;
                let expect = map.has("expect").then(|| map.scalars("expect"));
                let count = map.scalar("count");
                if expect.is_none() && count.is_none() {
                    map.missing("expect or count", "say what lies at the path");
                    return None;
                }
                Some(Tolerance::Jsonpath { path, expect, count })
            }
            other => {
                let message = format!(
                    "tolerance type {other} is unknown; write range, relative, regex, jsonpath, or a value or list alone"
                );
                map.problems.add(map.place, message);
                None
            }
        }
    }

    /// Litmus' `comparator: {type: float, criteria: "<=", value: "0.01"}`.
    pub(super) fn read_comparator(map: &mut Reader<'_>) -> Option<Tolerance> {
        let kind: String = map.or("type", "float".into());
        let criteria: String = map.needed("criteria")?;
        let value = map.node("value").map(Node::plain);
        let Some(value) = value else {
            map.missing("value", "say what to compare with");
            return None;
        };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut no = |message: String| {
            map.problems.add(map.place, message);
            None
        };
        let numbers = || text.trim_matches(['[', ']']).split(',').map(|one| one.trim().to_owned());
        if kind == "string" {
            return match criteria.as_str() {
                "equal" | "==" => Some(Tolerance::Exactly(text.into())),
                "oneOf" => Some(Tolerance::OneOf(numbers().map(Value::from).collect())),
                "contains" => Regex::new(&regex::escape(&text)).ok().map(Tolerance::Regex),
                "matches" => match Regex::new(&text) {
                    Ok(regex) => Some(Tolerance::Regex(regex)),
                    Err(error) => no(format!("value is no regex: {error}")),
                },
                other => no(format!(
                    "criteria {other} is not known for string; write equal, oneOf, contains or matches"
                )),
            };
        }
        if !matches!(kind.as_str(), "float" | "int") {
            return no(format!("comparator type {kind} is unknown; write float, int or string"));
        }
        let quantity = |text: &str| text.parse::<Quantity>().map_err(|why| format!("value {why}"));
        match criteria.as_str() {
            "between" | "oneOf" => {
                let all: Result<Vec<Quantity>, String> = numbers().map(|n| quantity(&n)).collect();
                match (all, criteria.as_str()) {
                    (Err(why), _) => no(why),
                    (Ok(all), "oneOf") => {
                        Some(Tolerance::OneOf(all.iter().map(|q| q.value.into()).collect()))
                    }
                    (Ok(all), _) if all.len() == 2 => ordered(map, Some(all[0]), Some(all[1])),
                    (Ok(_), _) => no("between takes two numbers, like [0, 0.01]".into()),
                }
            }
            sign => match CRITERIA.iter().find(|(known, _)| *known == sign) {
                Some((_, criteria)) => match quantity(&text) {
                    Ok(limit) => Some(Tolerance::Compare(Condition { criteria: *criteria, limit })),
                    Err(why) => no(why),
                },
                None => no(format!(
                    "criteria {sign} is unknown; write <, <=, >, >=, ==, !=, between or oneOf"
                )),
            },
        }
    }

    /// The short form: `max`, `min`, `max-increase`, `max-decrease` in the probe.
    pub(super) fn read_short(map: &mut Reader<'_>) -> Option<Tolerance> {
        let (low, high) = (map.scalar("min"), map.scalar("max"));
        if low.is_some() || high.is_some() {
            return ordered(map, low, high);
        }
        if map.has("max-increase") || map.has("max-decrease") {
            return read_relative(map);
        }
        // Asked for, so that they are known where they are missing.
        for key in ["max-increase", "max-decrease", "min-increase-abs"] {
            map.node(key);
        }
        map.missing("tolerance", "write tolerance:, or max:, min:, max-increase: or max-decrease:");
        None
    }
}

fn ordered(
    map: &mut Reader<'_>,
    low: Option<Quantity>,
    high: Option<Quantity>,
) -> Option<Tolerance> {
    if let (Some(low), Some(high)) = (low, high)
        && low.value > high.value
    {
        map.problems.add(map.place, format!("the range from {low} to {high} is empty"));
        return None;
    }
    if low.is_none() && high.is_none() {
        map.problems.add(map.place, "a range that is open at both ends holds anything");
        return None;
    }
    Some(Tolerance::Range { low, high })
}

fn read_relative(map: &mut Reader<'_>) -> Option<Tolerance> {
    let (max_increase, max_decrease) = (map.scalar("max-increase"), map.scalar("max-decrease"));
    // The unit says that nothing was said; the probe knows the indicator's default.
    let unsaid = Quantity { value: f64::NAN, unit: Unit::Plain };
    let least = map.or("min-increase-abs", unsaid);
    if max_increase.is_none() && max_decrease.is_none() {
        map.missing("max-increase or max-decrease", "say how far it may move, like 20%");
        return None;
    }
    Some(Tolerance::Relative(Relative { max_increase, max_decrease, least }))
}

/// JSON's `1` and `1.0` are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn finite(value: &Value) -> Option<f64> {
    value.as_f64().filter(|value| value.is_finite())
}

impl Serialize for Tolerance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = match self {
            Tolerance::Exactly(value) => return value.serialize(serializer),
            Tolerance::OneOf(values) => return values.serialize(serializer),
            Tolerance::Compare(condition) => return condition.serialize(serializer),
            Tolerance::Range { .. } => "range",
            Tolerance::Relative(_) => "relative",
            Tolerance::Regex(_) => "regex",
            Tolerance::Jsonpath { .. } => "jsonpath",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", form)?;
        match self {
            Tolerance::Range { low, high } => map.serialize_entry("range", &[low, high])?,
            Tolerance::Relative(relative) => {
                map.serialize_entry("to", "baseline")?;
                if let Some(share) = relative.max_increase {
                    map.serialize_entry("max-increase", &share)?;
                }
                if let Some(share) = relative.max_decrease {
                    map.serialize_entry("max-decrease", &share)?;
                }
                map.serialize_entry("min-increase-abs", &relative.least)?;
            }
            Tolerance::Regex(regex) => map.serialize_entry("pattern", regex.as_str())?,
            Tolerance::Jsonpath { path, expect, count } => {
                map.serialize_entry("path", path.text())?;
                if let Some(expect) = expect {
                    map.serialize_entry("expect", expect)?;
                }
                if let Some(count) = count {
                    map.serialize_entry("count", count)?;
                }
            }
            _ => {}
        }
        map.end()
    }
}
