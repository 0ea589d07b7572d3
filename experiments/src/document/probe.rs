//! A hypothesis of the steady state.

use serde::Serialize;
use serde_json::Value;

use super::problem::Problems;
use super::provider::{Measure, Nature, Outcome, Provider};
use super::reader::{Reader, nearest, read_map};
use super::tolerance::{Limits, Tolerance};
use super::tree::{Content, Node};
use super::units::{Quantity, Unit};
use crate::window::Phase;

/// When a probe must be in tolerance, in Litmus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Mode {
    /// Start of test: in the baseline.
    SOT,
    /// End of test: in the recovery; for a query from the injection to the end.
    EOT,
    /// Both of these.
    Edge,
    /// Throughout.
    Continuous,
    /// While the fault is in place.
    OnChaos,
}

impl Mode {
    pub fn phases(self) -> &'static [Phase] {
        match self {
            Mode::SOT => &[Phase::Baseline],
            Mode::EOT => &[Phase::Recovery],
            Mode::Edge => &[Phase::Baseline, Phase::Recovery],
            Mode::OnChaos => &[Phase::Injection],
            Mode::Continuous => &[Phase::Baseline, Phase::Injection, Phase::Recovery],
        }
    }
}

/// Whether a hypothesis decides the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Critical,
    Warning,
    Info,
}

/// What having no rows means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoData {
    Inconclusive,
    /// For a query of violations: none were found, if the interval was seen whole.
    HeldIfZeroRows,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Probe {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub mode: Mode,
    pub severity: Severity,
    pub provider: Provider,
    pub tolerance: Tolerance,
    pub no_data: NoData,
    /// The subject may stand idle, as something scaled to zero does.
    pub scale_to_zero: bool,
}

/// One of a closed list of words; a near miss is told.
pub(super) fn word<T: Copy>(
    map: &mut Reader<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
    default: T,
) -> T {
    let Some(said) = map.scalar::<String>(key) else { return default };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == said) {
        return *value;
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let near = nearest(&said, &names).map(|near| format!("did you mean {near}?"));
    let hint = near.unwrap_or_else(|| format!("it may be {}", names.join(", ")));
    map.problems.add(map.place, format!("{key} {said} is unknown; {hint}"));
    default
}

impl Probe {
    pub(super) fn read(map: &mut Reader<'_>) -> Option<Probe> {
        let name: Option<String> = map.scalar("name");
        word(map, "type", &[("probe", ())], ());
        let modes = [
            ("SOT", Mode::SOT),
            ("EOT", Mode::EOT),
            ("Edge", Mode::Edge),
            ("Continuous", Mode::Continuous),
            ("OnChaos", Mode::OnChaos),
        ];
        let mode = word(map, "mode", &modes, Mode::OnChaos);
        let severities = [
            ("critical", Severity::Critical),
            ("warning", Severity::Warning),
            ("info", Severity::Info),
        ];
        let severity = word(map, "severity", &severities, Severity::Critical);
        let silences =
            [("inconclusive", NoData::Inconclusive), ("held-if-zero-rows", NoData::HeldIfZeroRows)];
        let no_data = word(map, "no-data", &silences, NoData::Inconclusive);
        let scale_to_zero = map.or("scale-to-zero", false);
        let provider = if map.has("provider") {
            map.map("provider", Provider::read)
        } else {
            Provider::read_short(map).map(Provider::Measure)
        };
        let tolerance = read_tolerance(map);
        let (provider, mut tolerance) = (provider?, tolerance?);
        match &provider {
            Provider::Measure(measure) => fit_measure(map, measure, &mut tolerance)?,
            Provider::Sql { result, .. } => fit_query(map, *result, &tolerance)?,
        }
        if no_data == NoData::HeldIfZeroRows
            && !matches!(provider, Provider::Sql { result: Outcome::Rows, .. })
        {
            let message = "no-data: held-if-zero-rows is for sql with result: rows only";
            map.problems.add(map.place, message);
        }
        let name = match (&provider, name) {
            (_, Some(name)) => name,
            (Provider::Measure(measure), None) => measure.name(),
            (Provider::Sql { .. }, None) => {
                map.missing("name", "a query says nothing of what it is; name it");
                return None;
            }
        };
        let kind = "probe";
        Some(Probe { name, kind, mode, severity, provider, tolerance, no_data, scale_to_zero })
    }
}

fn read_tolerance(map: &mut Reader<'_>) -> Option<Tolerance> {
    if map.has("comparator") {
        return map.map("comparator", Tolerance::read_comparator);
    }
    match map.node("tolerance") {
        Some(node) => Tolerance::read(node, map.problems),
        None => Tolerance::read_short(map),
    }
}

/// A built-in indicator is compared by its confidence interval, so its
/// tolerance must be an interval, in its own unit.
fn fit_measure(map: &mut Reader<'_>, measure: &Measure, tolerance: &mut Tolerance) -> Option<()> {
    let unit = measure.indicator.unit();
    if let Tolerance::Relative(relative) = tolerance {
        if relative.least.value.is_nan() {
            relative.least = least(unit);
        }
        return fit_unit(map, measure, relative.least);
    }
    if let Tolerance::Range { low, high } = tolerance {
        for end in [*low, *high].into_iter().flatten() {
            fit_unit(map, measure, end)?;
        }
    }
    if let Tolerance::Compare(condition) = tolerance {
        fit_unit(map, measure, condition.limit)?;
    }
    let limits = tolerance.limits();
    let message = match limits {
        None => format!("{measure} is a number with an interval of confidence"),
        Some(Limits { low: Some(low), high: Some(high) }) if low == high => {
            format!("{measure} is never exactly {low}, as a measured number")
        }
        Some(_) => return Some(()),
    };
    let remedy = "give a range, <= or >=, or a move relative to the baseline";
    map.problems.add(map.place, format!("{message}; {remedy}"));
    None
}

/// The smallest move that counts, where the document does not say.
fn least(unit: Unit) -> Quantity {
    match unit {
        Unit::Time => Quantity::millis(20.0),
        Unit::Share => Quantity::share(0.01),
        Unit::Plain => Quantity::plain(0.0),
    }
}

pub(super) fn fit_unit(map: &mut Reader<'_>, measure: &Measure, quantity: Quantity) -> Option<()> {
    let unit = measure.indicator.unit();
    let ratio = measure.indicator.nature() == Nature::Ratio;
    if quantity.unit == unit || (quantity.unit == Unit::Plain && unit != Unit::Time) {
        return Some(());
    }
    // Milliseconds, as the indicator is reported in: 0 needs no unit.
    if unit == Unit::Time && quantity.value == 0.0 {
        return Some(());
    }
    let meant = match (unit, ratio) {
        (Unit::Time, _) => "a length of time, like 300ms",
        (Unit::Share, _) => "a ratio, like 0.01 or 1%",
        _ => "a plain number",
    };
    map.problems.add(map.place, format!("{quantity} does not measure {measure}; write {meant}"));
    None
}

fn fit_query(map: &mut Reader<'_>, result: Outcome, tolerance: &Tolerance) -> Option<()> {
    let misfit = match tolerance {
        Tolerance::Relative(_) => "a query has no baseline of its own; compare inside of it",
        Tolerance::Regex(_) if result == Outcome::Rows => {
            "result: rows is a number, and a regex wants a text; use result: scalar"
        }
        Tolerance::Jsonpath { .. } if result != Outcome::Table => {
            "jsonpath looks into rows; use result: table"
        }
        Tolerance::Jsonpath { .. } => return Some(()),
        _ if result == Outcome::Table => "result: table is for jsonpath; use rows or scalar",
        _ => return Some(()),
    };
    map.problems.add(map.place, misfit);
    None
}

/// The steady-state hypothesis: a title and its probes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Hypothesis {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub probes: Vec<Probe>,
}

impl Hypothesis {
    pub(super) fn read(map: &mut Reader<'_>) -> Option<Hypothesis> {
        let title = map.scalar("title");
        let probes = map.maps("probes", "probe", Probe::read);
        for (at, probe) in probes.iter().enumerate() {
            if probes[..at].iter().any(|earlier| earlier.name == probe.name) {
                let message = format!("two probes are named {}; give each a name", probe.name);
                map.problems.add(map.place, message);
            }
        }
        Some(Hypothesis { title, probes })
    }
}

/// Whether the fault was seen to bite.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EffectCheck {
    /// Said so: a run without a fault, such as a load test.
    #[serde(serialize_with = "none")]
    None,
    Any {
        any: Vec<Effect>,
    },
}

fn none<S: serde::Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("none")
}

/// One sign of a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// An indicator moved from its baseline by at least so much.
    Moved { measure: Measure, direction: Direction, by: super::tolerance::Condition },
    /// The injector said so. Ranks below what was measured.
    Reported { event: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Increase,
    Decrease,
}

impl Serialize for Effect {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        match self {
            Effect::Reported { event } => map.serialize_entry("injector-event", event)?,
            Effect::Moved { measure, direction, by } => {
                let provider = serde_json::to_value(Provider::Measure(measure.clone()));
                let provider = provider.map_err(serde::ser::Error::custom)?;
                let named = format!("{}.{}", measure.family.name(), measure.indicator);
                map.serialize_entry("indicator", &named)?;
                for (key, value) in provider.as_object().into_iter().flatten() {
                    if key != "type" && key != "indicator" {
                        map.serialize_entry(key, value)?;
                    }
                }
                let key = match direction {
                    Direction::Increase => "increase",
                    Direction::Decrease => "decrease",
                };
                map.serialize_entry(key, by)?;
            }
        }
        map.end()
    }
}

impl EffectCheck {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<EffectCheck> {
        if let Content::Scalar(Value::String(text)) = &node.content
            && text == "none"
        {
            return Some(EffectCheck::None);
        }
        read_map("effect-check", node, problems, |map| {
            let any = if map.has("any") {
                map.maps("any", "effect", Effect::read)
            } else {
                Effect::read(map).into_iter().collect()
            };
            if any.is_empty() {
                return None;
            }
            Some(EffectCheck::Any { any })
        })
    }
}

impl Effect {
    fn read(map: &mut Reader<'_>) -> Option<Effect> {
        if let Some(event) = map.scalar("injector-event") {
            return Some(Effect::Reported { event });
        }
        let measure = Provider::read_short(map);
        let (increase, decrease) = (map.scalar("increase"), map.scalar("decrease"));
        let (direction, by): (_, super::tolerance::Condition) = match (increase, decrease) {
            (Some(by), None) => (Direction::Increase, by),
            (None, Some(by)) => (Direction::Decrease, by),
            _ => {
                map.missing("increase or decrease", "say one, like increase: \">=300ms\"");
                return None;
            }
        };
        use super::tolerance::Criteria;
        if !matches!(by.criteria, Criteria::More | Criteria::AtLeast) {
            map.problems
                .add(map.place, format!("a move is at least so much: write >= {}", by.limit));
            return None;
        }
        let measure = measure?;
        // A share is of the baseline, whatever the unit of the indicator.
        if by.limit.unit != Unit::Share {
            fit_unit(map, &measure, by.limit)?;
        }
        Some(Effect::Moved { measure, direction, by })
    }
}
