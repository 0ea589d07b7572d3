//! The experiment document: YAML in, a complete [`Experiment`] or everything
//! that is wrong with it out. It is where a run begins; windows, verdicts and
//! guards work on its types.
//!
//! | file | its part |
//! | --- | --- |
//! | [`tree`] | YAML in which every value knows its place |
//! | [`problem`] | what is wrong, and where |
//! | [`reader`] | a map read key by key; unknown keys are told with the nearest |
//! | [`units`] | lengths of time, percentages, quantities |
//! | [`substitute`] | `configuration` and `${name}` |
//! | [`indicator`] | what can be measured |
//! | [`provider`] | indicators of subjects, queries |
//! | [`tolerance`], [`path`] | what a probe may answer, in the forms of Chaos Toolkit and Litmus |
//! | [`probe`] | hypotheses and the effect check |
//! | [`control`] | stand-ins that the fault leaves alone |
//! | [`guard`] | what stops a run |
//! | [`scope`] | fault, target, blast radius, window, expectations, report |
//! | [`lint`] | what cannot work, said before a run |
//!
//! Deliberately not here: running `method`, which nobody does, or `rollbacks`,
//! which the command line does; and reading files or the environment, which the
//! caller does.

mod control;
pub mod guard;
pub mod indicator;
pub mod lint;
pub mod path;
pub mod probe;
pub mod problem;
pub mod provider;
mod reader;
pub mod scope;
mod substitute;
#[cfg(test)]
mod tests;
pub mod tolerance;
mod tree;
pub mod units;

use std::collections::BTreeMap;
use std::hash::Hasher as _;

use serde::Serialize;
use serde_json::Value;

use guard::{Guard, Watch};
use probe::{EffectCheck, Hypothesis};
use problem::Problems;
pub use problem::{Invalid, Place, Problem};
use reader::{Reader, read_map};
use scope::{
    BlastRadius, Control, ControlGroup, Expect, Fault, OffTarget, ReportPlan, Target, WindowPlan,
};
use tree::Node;

/// The environment variables that a document may name, by the caller's list.
pub type Allowed = BTreeMap<String, String>;

/// A document with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Experiment {
    #[serde(rename = "apiVersion")]
    pub api_version: &'static str,
    pub kind: &'static str,
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    pub target: Target,
    pub blast_radius: BlastRadius,
    pub window: WindowPlan,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect_check: Option<EffectCheck>,
    pub steady_state_hypothesis: Hypothesis,
    pub guard: Vec<Guard>,
    pub expect: Expect,
    pub report: ReportPlan,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<Addressee>,
    /// Recorded, never executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Value>,
    /// Played by the command line, HTTP alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollbacks: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
}

/// A webhook of ours, or a control of Chaos Toolkit, which is kept as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Addressee {
    Webhook(Control),
    Foreign(Value),
}

const API_VERSION: &str = "chaos/v1";
const KIND: &str = "Experiment";

impl Experiment {
    /// Reads a document. `environment` holds the variables that it may name.
    pub fn parse(text: &str, environment: &Allowed) -> Result<Experiment, Invalid> {
        let mut problems = Problems::default();
        let mut root = tree::parse(text)?;
        let configuration = substitute::apply(&mut root, environment, &mut problems);
        let read = read_map("the document", &root, &mut problems, |map| {
            Experiment::read(map, configuration)
        });
        match problems.or(read)? {
            Some(experiment) => Ok(experiment),
            None => {
                let message = "the document says nothing".to_owned();
                Err(Invalid(vec![Problem { place: Place::default(), message }]))
            }
        }
    }

    fn read(map: &mut Reader<'_>, configuration: Option<Value>) -> Option<Experiment> {
        for (key, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            let said: Option<String> = map.needed(key);
            if let Some(said) = said.filter(|said| said != expected) {
                let message = format!("{key} is {said}; this version knows {expected}");
                map.problems.add(map.place, message);
            }
        }
        let title: Option<String> = map.needed("title");
        let (description, tags, owner) =
            (map.scalar("description"), map.scalars("tags"), map.scalar("owner"));
        map.node("configuration");
        let fault = map.map("fault", Fault::read);
        let target = map.map("target", Target::read);
        if !map.has("target") {
            map.missing("target", "say what the fault is aimed at, like target: {services: [a]}");
        }
        let blast_radius = map.map("blast-radius", BlastRadius::read).unwrap_or_default();
        let window = map.map("window", WindowPlan::read).unwrap_or_default();
        let control = map.map("control", ControlGroup::read);
        let effect_check =
            map.node("effect-check").and_then(|node| EffectCheck::read(node, map.problems));
        let steady_state_hypothesis =
            map.map("steady-state-hypothesis", Hypothesis::read).unwrap_or_default();
        let mut guard = map.maps("guard", "guard", Guard::read);
        if !guard.iter().any(|guard| guard.watch == Watch::TelemetryHealth) {
            guard.push(Guard::health());
        }
        if blast_radius.off_target == OffTarget::Abort
            && !guard.iter().any(|guard| guard.watch == Watch::BlastRadius)
        {
            guard.push(Guard::radius());
        }
        let expect = map.map("expect", Expect::read).unwrap_or_default();
        let report = map.map("report", ReportPlan::read).unwrap_or_default();
        let controls = read_controls(map);
        let plain = |node: &Node| node.plain();
        Some(Experiment {
            api_version: API_VERSION,
            kind: KIND,
            title: title?,
            description,
            tags,
            owner,
            configuration,
            fault,
            target: target?,
            blast_radius,
            window,
            control,
            effect_check,
            steady_state_hypothesis,
            guard,
            expect,
            report,
            controls,
            method: map.node("method").map(plain),
            rollbacks: map.node("rollbacks").map(plain),
            extensions: map.node("extensions").map(plain),
        })
    }

    /// The completed document, which reads back as the same experiment.
    pub fn to_yaml(&self) -> Result<String, crate::Error> {
        serde_saphyr::to_string(self).map_err(|error| {
            crate::Error::internal(format!("the document cannot be written: {error}"))
        })
    }

    /// Names this version of the document: 16 hex digits over all it says, with
    /// defaults. Comments and order of keys do not count.
    pub fn version(&self) -> String {
        // serde_json sorts the keys of a `Value`.
        let canonical = serde_json::to_value(self).map(|value| value.to_string());
        let mut hasher = twox_hash::XxHash64::with_seed(0);
        hasher.write(canonical.unwrap_or_default().as_bytes());
        format!("{:016x}", hasher.finish())
    }
}

fn read_controls(map: &mut Reader<'_>) -> Vec<Addressee> {
    let mut controls = Vec::new();
    for node in map.list("controls") {
        let ours = matches!(&node.content, tree::Content::Map(entries)
            if entries.iter().any(|(key, _)| key == "webhook"));
        let control = if ours {
            read_map("control", node, map.problems, Control::read).map(Addressee::Webhook)
        } else {
            Some(Addressee::Foreign(node.plain()))
        };
        controls.extend(control);
    }
    controls
}
