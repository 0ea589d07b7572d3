//! Values with a unit, as users write them: `10s`, `512MiB`, `5%`. A bare
//! number is refused with the remedy, because nobody remembers whose seconds
//! and whose megabytes a file means.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Multiples of a byte, largest first so that printing picks the roundest.
const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim());
        let remedy = "write a number and a unit, like 512MiB or 10GB";
        if unit.is_empty() && !number.is_empty() {
            return Err(format!("{text} has no unit; write {number}B, {number}MiB or {number}GiB"));
        }
        let known = BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let Some((_, factor)) = known else {
            return Err(format!("{text:?} is not a size; {remedy}"));
        };
        // Whole numbers stay exact; a fraction goes through f64, which is exact
        // far beyond any size that anyone writes with a point.
        let bytes = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(*factor),
            Err(_) => number.parse::<f64>().ok().map(|part| (part * *factor as f64) as u64),
        };
        bytes.map(Bytes).ok_or_else(|| format!("{text:?} is not a size; {remedy}"))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = BYTE_UNITS.iter().filter(|(name, _)| name.len() != 2);
        let exact =
            binary.clone().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        match exact {
            Some((name, size)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Period, String> {
        let text = text.trim();
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(format!("{text} has no unit; write {text}s, {text}m or {text}h"));
        }
        humantime::parse_duration(text).map(Period).map_err(|_| {
            format!("{text:?} is not a length of time; write it like 500ms, 10s or 30d")
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A share; `Percent(0.05)` is written `5%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Percent, String> {
        let no = || format!("{text:?} is not a percentage; write it like 5%");
        let number = text.trim().strip_suffix('%').ok_or_else(no)?;
        let percent: f64 = number.trim().parse().map_err(|_| no())?;
        if (0.0..=100.0).contains(&percent) { Ok(Percent(percent / 100.0)) } else { Err(no()) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded, because 0.07 * 100.0 is 7.000000000000001.
        write!(f, "{}%", (self.0 * 1e8).round() / 1e6)
    }
}

/// A plain count. The environment can only give text, so text is taken too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Count, String> {
        let digits = text.trim().replace('_', "");
        digits.parse().map(Count).map_err(|_| format!("{text:?} is not a whole number"))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// True or false; text is taken too, for the environment's sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Switch, String> {
        match text.trim() {
            "true" => Ok(Switch(true)),
            "false" => Ok(Switch(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Free text. Numbers are refused: YAML has already read `007` as 7 by the
/// time it gets here, so only quotes keep what was meant.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Bool(given) => Ok(given.to_string()),
        Value::Number(given) => Err(D::Error::custom(format!(
            "{given} is a number where text is meant; put it in quotes: \"{given}\""
        ))),
        _ => Err(D::Error::custom("one text value is meant here")),
    }
}

macro_rules! written_as_text {
    ($type:ident, $schema:tt) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let given = match Value::deserialize(deserializer)? {
                    Value::String(text) => text,
                    scalar @ (Value::Number(_) | Value::Bool(_)) => scalar.to_string(),
                    _ => return Err(D::Error::custom("one value is meant here")),
                };
                given.parse().map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }

            fn inline_schema() -> bool {
                true
            }
        }
    };
}

written_as_text!(Bytes, { "type": "string", "examples": ["512MiB"] });
written_as_text!(Period, { "type": "string", "examples": ["500ms", "10s", "30d"] });
written_as_text!(Percent, { "type": "string", "examples": ["5%"] });
written_as_text!(Count, { "type": ["integer", "string"], "minimum": 0 });
written_as_text!(Switch, { "type": ["boolean", "string"] });

macro_rules! shown_as_text {
    ($($type:ident)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

shown_as_text!(Bytes Period Percent);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl Serialize for Switch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: sizes, times and shares are written with units.
    /// Guarantees: each is read exactly and printed so that it reads back the same.
    #[test]
    fn units_are_read_and_printed() {
        for (text, bytes) in [("512MiB", 512 << 20), ("1 GB", 1_000_000_000), ("1.5KiB", 1536)] {
            let read: Bytes = text.parse().unwrap();
            assert_eq!(read.0, bytes, "{text}");
            assert_eq!(read.to_string().parse::<Bytes>(), Ok(read));
        }
        assert_eq!("64mib".parse::<Bytes>().unwrap().to_string(), "64MiB");
        assert_eq!("90s".parse::<Period>().unwrap().to_string(), "1m 30s");
        assert_eq!("7%".parse::<Percent>().unwrap().to_string(), "7%");
        assert_eq!("10_000".parse::<Count>(), Ok(Count(10_000)));
    }

    /// Scenario: a unit is missing, unknown, or the number does not fit.
    /// Guarantees: it is refused, and the message says what to write instead.
    #[test]
    fn a_bare_number_is_refused_with_the_remedy() {
        assert!("512".parse::<Bytes>().unwrap_err().contains("write 512B, 512MiB"));
        assert!("60".parse::<Period>().unwrap_err().contains("write 60s"));
        assert!("5".parse::<Percent>().unwrap_err().contains("5%"));
        for bad in ["", "MiB", "1.2.3MiB", "5 apples", "99999999999TiB", "-1MiB"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad:?}");
        }
        assert!("101%".parse::<Percent>().is_err());
        assert!("yes".parse::<Switch>().is_err());
    }
}
