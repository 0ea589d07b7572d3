//! Values as people write them: `10s`, `20%`, `300ms`. A length of time without
//! a unit is refused, because nobody remembers whose seconds a file means.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// What can be read from a scalar. `REMEDY` says how it is written.
pub trait Said: Sized {
    const REMEDY: &'static str;

    fn said(value: &Value) -> Result<Self, String>;
}

/// A value as a message shows it.
pub fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"))
}

impl Said for String {
    const REMEDY: &'static str = "write a text";

    fn said(value: &Value) -> Result<String, String> {
        match value {
            Value::String(text) if text.trim().is_empty() => Err("is empty; write a text".into()),
            Value::String(text) => Ok(text.clone()),
            // `tags: [2026]` means the text.
            Value::Number(number) => Ok(number.to_string()),
            other => Err(format!("is {}; write a text", shown(other))),
        }
    }
}

impl Said for bool {
    const REMEDY: &'static str = "write true or false";

    fn said(value: &Value) -> Result<bool, String> {
        value.as_bool().ok_or_else(|| format!("is {}; write true or false", shown(value)))
    }
}

impl Said for u64 {
    const REMEDY: &'static str = "write a whole number";

    fn said(value: &Value) -> Result<u64, String> {
        value.as_u64().ok_or_else(|| format!("is {}; write a whole number", shown(value)))
    }
}

impl Said for Value {
    const REMEDY: &'static str = "write a value";

    fn said(value: &Value) -> Result<Value, String> {
        Ok(value.clone())
    }
}

/// A length of time, written `500ms`, `10s`, `7d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

impl Period {
    pub const fn secs(seconds: u64) -> Period {
        Period(Duration::from_secs(seconds))
    }

    pub const fn millis(millis: u64) -> Period {
        Period(Duration::from_millis(millis))
    }

    /// Nothing for what is negative.
    pub fn nanoseconds(nanos: i64) -> Period {
        Period(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
    }

    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Nanoseconds; lengths past 292 years are cut.
    pub fn nanos(self) -> i64 {
        i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)
    }

    pub fn as_millis(self) -> f64 {
        self.0.as_secs_f64() * 1e3
    }
}

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Period, String> {
        let text = text.trim();
        if text == "0" {
            return Ok(Period::default());
        }
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(format!("is {text}, without a unit; write {text}s or {text}ms"));
        }
        humantime::parse_duration(text)
            .map(Period)
            .map_err(|_| format!("is {text:?}; {}", Period::REMEDY))
    }
}

impl Said for Period {
    const REMEDY: &'static str = "write a length of time, like 500ms, 10s or 5m";

    fn said(value: &Value) -> Result<Period, String> {
        match value {
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `5m 30s` would need quotes in YAML's flow style; `5m30s` reads the same.
        f.write_str(&humantime::format_duration(self.0).to_string().replace(' ', ""))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A share; `Percent(0.2)` is written `20%`. It may be over the whole: a
/// latency may rise by 150 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl std::str::FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Percent, String> {
        let no = || format!("is {text:?}; {}", Percent::REMEDY);
        let number = text.trim().strip_suffix('%').ok_or_else(no)?;
        let percent: f64 = number.trim().parse().map_err(|_| no())?;
        if percent >= 0.0 && percent.is_finite() { Ok(Percent(percent / 100.0)) } else { Err(no()) }
    }
}

impl Said for Percent {
    const REMEDY: &'static str = "write a percentage, like 20%";

    fn said(value: &Value) -> Result<Percent, String> {
        match value {
            Value::String(text) => text.parse(),
            other => Err(format!("is {other}; {}", Percent::REMEDY)),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded, because 0.07 * 100.0 is 7.000000000000001.
        write!(f, "{}%", (self.0 * 1e8).round() / 1e6)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a number of a tolerance counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    #[default]
    Plain,
    /// Milliseconds, as latencies are reported.
    Time,
    /// A ratio, 1 being the whole.
    Share,
}

/// A number of a tolerance or condition with the unit it was written in. Times
/// are in milliseconds and percentages ratios, as the indicators are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quantity {
    pub value: f64,
    pub unit: Unit,
}

impl Quantity {
    pub const fn plain(value: f64) -> Quantity {
        Quantity { value, unit: Unit::Plain }
    }

    pub const fn millis(value: f64) -> Quantity {
        Quantity { value, unit: Unit::Time }
    }

    pub const fn share(value: f64) -> Quantity {
        Quantity { value, unit: Unit::Share }
    }
}

impl std::str::FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Quantity, String> {
        let text = text.trim();
        if text.ends_with('%') {
            return text.parse().map(|Percent(share)| Quantity::share(share));
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Quantity::plain(value)),
            Ok(_) => Err(format!("is {text}; {}", Quantity::REMEDY)),
            Err(_) => match text.parse::<Period>() {
                Ok(period) => Ok(Quantity::millis(period.as_millis())),
                Err(_) => Err(format!("is {text:?}; {}", Quantity::REMEDY)),
            },
        }
    }
}

impl Said for Quantity {
    const REMEDY: &'static str = "write a number, a time like 300ms or a percentage like 5%";

    fn said(value: &Value) -> Result<Quantity, String> {
        match value {
            Value::String(text) => text.parse(),
            Value::Number(number) => number.to_string().parse(),
            other => Err(format!("is {}; {}", shown(other), Quantity::REMEDY)),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Plain => write!(f, "{}", self.value),
            Unit::Time => {
                write!(f, "{}", Period(Duration::from_secs_f64(self.value.max(0.0) / 1e3)))
            }
            Unit::Share => write!(f, "{}", Percent(self.value)),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.unit {
            Unit::Plain => serializer.serialize_f64(self.value),
            _ => serializer.collect_str(self),
        }
    }
}
