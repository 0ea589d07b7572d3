//! A guard: what stops a run while it goes on.

use serde::Serialize;

use super::probe::{fit_unit, word};
use super::provider::Provider;
use super::reader::Reader;
use super::tolerance::{Condition, Criteria, Limits};
use super::units::Period;

/// What is watched.
#[derive(Debug, Clone, PartialEq)]
pub enum Watch {
    Threshold(Threshold),
    /// Services outside of the declared blast radius.
    BlastRadius,
    /// What the guards see: cannot see means must stop.
    TelemetryHealth,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    pub provider: Provider,
    /// Over how much time, or since when.
    pub over: Over,
    pub when: Condition,
    pub lasting: Period,
    pub min_samples: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Window(Period),
    SinceInject,
}

/// What a guard does when there is nothing to judge by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoData {
    Abort,
    Hold,
}

/// What firing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Enforce,
    /// Records what it would have stopped, and stops nothing.
    Shadow,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    pub name: String,
    pub watch: Watch,
    pub mode: Mode,
    pub no_data: NoData,
    /// How long nothing to judge by is borne.
    pub grace: Period,
    /// `deny`, or `webhook:name`. A guard that fires denies whatever it says.
    pub action: Vec<String>,
}

impl Guard {
    /// The guard that is always on.
    pub(super) fn health() -> Guard {
        Guard::always("telemetry-health", Watch::TelemetryHealth)
    }

    /// The guard that `off-target: abort` stands for.
    pub(super) fn radius() -> Guard {
        Guard::always("blast-radius", Watch::BlastRadius)
    }

    fn always(name: &str, watch: Watch) -> Guard {
        Guard {
            name: name.into(),
            watch,
            mode: Mode::Enforce,
            no_data: NoData::Abort,
            grace: Period::secs(30),
            action: vec!["deny".into()],
        }
    }

    pub(super) fn read(map: &mut Reader<'_>) -> Option<Guard> {
        let name: Option<String> = map.scalar("name");
        let kind: Option<String> = map.scalar("type");
        let modes = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
        let mode = word(map, "mode", &modes, Mode::Enforce);
        let silences = [("abort", NoData::Abort), ("hold", NoData::Hold)];
        let no_data = word(map, "no-data", &silences, NoData::Abort);
        let grace = map.or("grace", Period::secs(30));
        let mut action: Vec<String> = map.scalars("action");
        if action.is_empty() {
            action.push("deny".into());
        }
        for one in &action {
            if one != "deny" && one.strip_prefix("webhook:").is_none_or(str::is_empty) {
                let message = format!("action {one} is unknown; write deny or webhook:name");
                map.problems.add(map.place, message);
            }
        }
        let watch = match kind.as_deref() {
            None | Some("threshold") => Watch::Threshold(Threshold::read(map)?),
            Some("blast-radius") => Watch::BlastRadius,
            Some("telemetry-health") => Watch::TelemetryHealth,
            Some(other) => {
                let message = format!(
                    "guard type {other} is unknown; leave it out for a threshold, or write blast-radius or telemetry-health"
                );
                map.problems.add(map.place, message);
                return None;
            }
        };
        let name = name.unwrap_or_else(|| match &watch {
            Watch::BlastRadius => "blast-radius".into(),
            Watch::TelemetryHealth => "telemetry-health".into(),
            Watch::Threshold(threshold) => match &threshold.provider {
                Provider::Measure(measure) => measure.name(),
                Provider::Sql { .. } => "sql".into(),
            },
        });
        Some(Guard { name, watch, mode, no_data, grace, action })
    }
}

impl Threshold {
    /// Within which values it does not stop a run. A count since the injection
    /// is over when nothing more is added, so that is what it returns to.
    pub fn within(&self) -> Limits {
        let limit = match self.over {
            Over::Window(_) => self.when.limit.value,
            Over::SinceInject => 0.0,
        };
        match self.when.criteria {
            Criteria::More | Criteria::AtLeast => Limits { low: None, high: Some(limit) },
            Criteria::Less | Criteria::AtMost => Limits { low: Some(limit), high: None },
            Criteria::Equal | Criteria::Unlike => Limits::default(),
        }
    }

    fn read(map: &mut Reader<'_>) -> Option<Threshold> {
        let provider = if map.has("provider") {
            map.map("provider", Provider::read)
        } else {
            Provider::read_short(map).map(Provider::Measure)
        };
        let since = map.has("since").then(|| word(map, "since", &[("inject", ())], ()));
        let window: Option<Period> = map.scalar("window");
        if since.is_some() && window.is_some() {
            map.problems.add(map.place, "a guard has a window or counts since inject, not both");
        }
        let over = match since {
            Some(()) => Over::SinceInject,
            None => Over::Window(window.unwrap_or(Period::secs(10))),
        };
        let lasting = map.or("for", Period::secs(5));
        let min_samples = map.or("min-samples", 20);
        let when: Option<Condition> = map.needed("when");
        let (provider, when) = (provider?, when?);
        if let Provider::Measure(measure) = &provider {
            fit_unit(map, measure, when.limit)?;
        }
        Some(Threshold { provider, over, when, lasting, min_samples })
    }
}

impl Serialize for Guard {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        match &self.watch {
            Watch::BlastRadius => map.serialize_entry("type", "blast-radius")?,
            Watch::TelemetryHealth => map.serialize_entry("type", "telemetry-health")?,
            Watch::Threshold(threshold) => {
                map.serialize_entry("provider", &threshold.provider)?;
                match threshold.over {
                    Over::Window(window) => map.serialize_entry("window", &window)?,
                    Over::SinceInject => map.serialize_entry("since", "inject")?,
                }
                map.serialize_entry("when", &threshold.when)?;
                map.serialize_entry("for", &threshold.lasting)?;
                map.serialize_entry("min-samples", &threshold.min_samples)?;
            }
        }
        if self.mode == Mode::Shadow {
            map.serialize_entry("mode", &self.mode)?;
        }
        map.serialize_entry("no-data", &self.no_data)?;
        map.serialize_entry("grace", &self.grace)?;
        map.serialize_entry("action", &self.action)?;
        map.end()
    }
}
