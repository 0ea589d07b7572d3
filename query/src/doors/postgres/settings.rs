//! A session's settings: those that clients set before they ask anything.
//! They belong to their connection; none reaches the engine's own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::status::Refusal;
use crate::Engine;
use crate::functions::postgres::{SETTINGS, usual};

/// What a value has to be.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// Anything: it changes nothing here, or only what SHOW says.
    Any,
    /// One of these, which is what happens anyway.
    Only(&'static [&'static str]),
    Zone,
    Duration,
    /// Told by SHOW, not to be set.
    Fixed,
}

struct Known {
    name: &'static str,
    takes: Takes,
    /// Under this name a change is reported to the client.
    reported: Option<&'static str>,
}

impl Known {
    fn usual(&self) -> &'static str {
        usual(self.name).unwrap_or_default()
    }
}

const ON: Takes = Takes::Only(&["on", "true", "yes", "1"]);

/// Those of the engine's list that are checked or reported; the others take
/// anything.
const KNOWN: &[Known] = &[
    of("application_name", Takes::Any, Some("application_name")),
    of("bytea_output", Takes::Only(&["hex"]), None),
    of("client_encoding", Takes::Only(&["utf8", "utf-8", "unicode"]), Some("client_encoding")),
    of("datestyle", Takes::Only(&["iso", "iso, mdy", "iso, ymd", "iso, dmy"]), Some("DateStyle")),
    of("default_transaction_read_only", ON, Some("default_transaction_read_only")),
    of("in_hot_standby", Takes::Fixed, Some("in_hot_standby")),
    of("integer_datetimes", Takes::Fixed, Some("integer_datetimes")),
    of("intervalstyle", Takes::Only(&["postgres"]), Some("IntervalStyle")),
    of("is_superuser", Takes::Fixed, Some("is_superuser")),
    of("max_identifier_length", Takes::Fixed, None),
    of("server_encoding", Takes::Fixed, Some("server_encoding")),
    of("server_version", Takes::Fixed, Some("server_version")),
    of("server_version_num", Takes::Fixed, None),
    of("session_authorization", Takes::Fixed, Some("session_authorization")),
    of("standard_conforming_strings", ON, Some("standard_conforming_strings")),
    of("statement_timeout", Takes::Duration, None),
    of("timezone", Takes::Zone, Some("TimeZone")),
    of("transaction_read_only", ON, None),
];

const fn of(name: &'static str, takes: Takes, reported: Option<&'static str>) -> Known {
    Known { name, takes, reported }
}

/// Of settings with a dot in their names, which any program may invent.
const MAX_OWN: usize = 64;
const MAX_VALUE: usize = 1 << 10;

fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// The values that differ from what is usual.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// What RESET goes back to: the wishes of the startup message.
    initial: BTreeMap<String, String>,
    now: BTreeMap<String, String>,
    /// Set by SET LOCAL, with what was there before.
    local: Vec<(String, Option<String>)>,
}

impl Settings {
    /// Sets a value, or what it was at the start when there is none.
    pub fn set(
        &mut self,
        engine: &Engine,
        name: &str,
        value: Option<String>,
        local: bool,
    ) -> Result<(), Refusal> {
        let value = match value {
            Some(value) => Some(checked(engine, name, value)?),
            None => {
                check_name(name)?;
                self.initial.get(name).cloned()
            }
        };
        if !self.now.contains_key(name) && self.now.len() >= SETTINGS.len() + MAX_OWN {
            return Err(Refusal::new("54000", format!("more than {MAX_OWN} settings of your own")));
        }
        let before = match value {
            Some(value) => self.now.insert(name.to_owned(), value),
            None => self.now.remove(name),
        };
        if local {
            self.local.push((name.to_owned(), before));
        }
        Ok(())
    }

    /// What a startup message wants: an unknown wish is its error, too.
    pub fn begin(&mut self, engine: &Engine, name: &str, value: &str) -> Result<(), Refusal> {
        self.set(engine, &name.to_lowercase(), Some(value.to_owned()), false)?;
        self.initial = self.now.clone();
        Ok(())
    }

    pub fn reset_all(&mut self) {
        self.now = self.initial.clone();
        self.local.clear();
    }

    /// A transaction ends: what was set for it alone is what it was before.
    pub fn end_of_transaction(&mut self) {
        while let Some((name, before)) = self.local.pop() {
            match before {
                Some(value) => self.now.insert(name, value),
                None => self.now.remove(&name),
            };
        }
    }

    pub fn get(&self, name: &str) -> Result<&str, Refusal> {
        let now = self.now.get(name).map(String::as_str);
        now.or_else(|| usual(name)).ok_or_else(|| unknown(name))
    }

    /// Every setting by name, with its value.
    pub fn all(&self) -> Vec<(&str, &str)> {
        let usual = SETTINGS.iter().copied();
        let now = self.now.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        usual.chain(now).collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    /// What a client is told at its start, and when one of them changes.
    pub fn reported(&self) -> Vec<(&'static str, &str)> {
        let told = KNOWN.iter().filter_map(|known| {
            let now = self.now.get(known.name).map(String::as_str);
            Some((known.reported?, now.unwrap_or(known.usual())))
        });
        told.collect()
    }

    /// The zone of the session's statements; `None` is UTC.
    pub fn zone(&self) -> Option<&str> {
        self.now.get("timezone").map(String::as_str)
    }

    /// A time limit for statements.
    pub fn timeout(&self) -> Option<Duration> {
        let said = self.now.get("statement_timeout")?;
        duration(said).filter(|limit| !limit.is_zero())
    }
}

fn unknown(name: &str) -> Refusal {
    let near = crate::sandbox::nearest(name, SETTINGS.iter().map(|(name, _)| *name));
    let refusal = Refusal::new("42704", format!("unrecognized configuration parameter \"{name}\""));
    match near {
        Some(near) => refusal.with_hint(format!("did you mean {near}?")),
        None => refusal.with_hint("SHOW ALL lists the settings of a session"),
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    match known(name) {
        Some(Known { takes: Takes::Fixed, .. }) => {
            Err(Refusal::new("55P02", format!("{name} cannot be changed")))
        }
        Some(_) => Ok(()),
        // Any program may have settings of its own, with a dot in their names.
        None if name.contains('.') || usual(name).is_some() => Ok(()),
        None => Err(unknown(name)),
    }
}

fn checked(engine: &Engine, name: &str, value: String) -> Result<String, Refusal> {
    check_name(name)?;
    if value.len() > MAX_VALUE {
        return Err(Refusal::new("22023", format!("the value of {name} is too long")));
    }
    let invalid =
        || Refusal::new("22023", format!("invalid value for parameter \"{name}\": \"{value}\""));
    match known(name).map_or(Takes::Any, |known| known.takes) {
        Takes::Any | Takes::Fixed => Ok(value),
        Takes::Only(values) => match values.contains(&value.to_lowercase().as_str()) {
            // Clients compare what they are told with what is usual.
            true => Ok(known(name).map_or(value, |known| known.usual().to_owned())),
            false => Err(invalid().with_hint(format!("it can be {}", values.join(" or ")))),
        },
        Takes::Duration => duration(&value).map(|_| value.clone()).ok_or_else(invalid),
        Takes::Zone => {
            let zone = zone(&value);
            Ok(engine.check_zone(&zone).map_err(|_| invalid())?.to_string())
        }
    }
}

/// PostgreSQL's shorthands for zones in names that are known everywhere.
fn zone(said: &str) -> String {
    match said.parse::<i32>() {
        // Hours ahead of UTC.
        Ok(hours) if (-14..=14).contains(&hours) => {
            format!("{}{:02}:00", if hours < 0 { '-' } else { '+' }, hours.abs())
        }
        _ if said.eq_ignore_ascii_case("utc") || said.eq_ignore_ascii_case("gmt") => "UTC".into(),
        _ => said.to_owned(),
    }
}

/// Milliseconds, or a number with a unit.
fn duration(said: &str) -> Option<Duration> {
    let said = said.trim();
    let digits =
        said.len() - said.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let number: f64 = said[..digits].parse().ok()?;
    let unit = match said[digits..].trim() {
        "" | "ms" => 1e-3,
        "us" => 1e-6,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: time limits in every way that PostgreSQL takes.
    /// Guarantees: each is the same time; anything else is refused.
    #[test]
    fn time_limits_have_units() {
        for said in ["90000", "90000ms", "90s", "1.5min", " 90 s "] {
            assert_eq!(duration(said), Some(Duration::from_secs(90)), "{said}");
        }
        assert!(["", "s", "5 weeks", "-1"].iter().all(|said| duration(said).is_none()));
        assert!(KNOWN.iter().all(|known| usual(known.name).is_some()));
        assert_eq!(zone("-3"), "-03:00");
    }
}
