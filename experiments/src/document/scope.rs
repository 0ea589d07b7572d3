//! What surrounds the hypotheses: the fault, its target, the window, what is
//! expected afterwards, and where the report goes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

pub use super::control::ControlGroup;
use super::probe::word;
use super::provider::Edge;
use super::reader::Reader;
use super::tree::Node;
use super::units::{Percent, Period, Said, shown};

/// What someone else injects.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// Free text; `network_delay`, `cpu`, `pod_kill` and the like are known kinds.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injector: Option<String>,
    /// The injector's own object, such as kind, namespace and name.
    #[serde(skip_serializing_if = "Option::is_none", rename = "ref")]
    pub reference: Option<Value>,
}

impl Fault {
    pub(super) fn read(map: &mut Reader<'_>) -> Option<Fault> {
        let (kind, injector) = (map.needed("type"), map.scalar("injector"));
        let reference = map.node("ref").map(Node::plain);
        Some(Fault { kind: kind?, injector, reference })
    }

    /// The injector's object as `kind/namespace/name`, where both ends are named.
    pub fn object(&self) -> Option<String> {
        let reference = self.reference.as_ref()?;
        let part = |key: &str| reference.get(key).and_then(|value| value.as_str());
        let namespace = part("namespace").unwrap_or_default();
        Some(format!("{}/{namespace}/{}", part("kind")?, part("name")?))
    }
}

/// The declared blast radius, level 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Target {
    pub services: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resource: BTreeMap<String, String>,
}

impl Target {
    pub(super) fn read(map: &mut Reader<'_>) -> Option<Target> {
        let (services, endpoints) = (map.scalars("services"), map.scalars("endpoints"));
        let nodes = map.list("edges");
        let edges = nodes.iter().filter_map(|node| Edge::read(node, map.problems)).collect();
        let resource = match map.node("resource").map(Node::plain) {
            Some(Value::Object(entries)) => entries
                .into_iter()
                .map(|(key, value)| (key, value.as_str().map_or(value.to_string(), str::to_owned)))
                .collect(),
            Some(_) => {
                map.problems.add(map.place, "resource is a map of resource attributes");
                BTreeMap::new()
            }
            None => BTreeMap::new(),
        };
        let target = Target { services, endpoints, edges, resource };
        if target == Target::default() {
            map.missing("service, edge or resource", "say what the fault is aimed at");
            return None;
        }
        if target.services.is_empty() && !target.endpoints.is_empty() {
            map.missing("services", "endpoints are of services; name these");
            return None;
        }
        Some(target)
    }

    /// Its services, and those that its edges lead to.
    pub fn level_0(&self) -> Vec<String> {
        let callees = self.edges.iter().map(|edge| &edge.to);
        let mut all: Vec<String> = self.services.iter().chain(callees).cloned().collect();
        let mut known = std::collections::BTreeSet::new();
        all.retain(|name| known.insert(name.clone()));
        all
    }

    pub fn is_level_0(&self, service: &str) -> bool {
        self.services.iter().any(|name| name == service)
            || self.edges.iter().any(|edge| edge.to == service)
    }

    /// What it says, as a window's row has it: `service`, `endpoint` and `edge`, each
    /// of several with commas between, and the resource's attributes.
    pub fn told(&self) -> BTreeMap<String, String> {
        let mut told = self.resource.clone();
        let edges: Vec<String> = self.edges.iter().map(Edge::to_string).collect();
        let lists = [("service", &self.services), ("endpoint", &self.endpoints), ("edge", &edges)];
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            told.insert(key.to_owned(), list.join(","));
        }
        told
    }
}

/// What may degrade beside the target, and what follows when more does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlastRadius {
    pub allow: Allow,
    #[serde(skip_serializing_if = "Most::is_open")]
    pub max: Most,
    pub off_target: OffTarget,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Allow {
    pub services: Vec<String>,
    /// How many calls away callers of the target may be touched; none when open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_depth: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Most {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affected_traces: Option<Percent>,
}

impl Most {
    fn is_open(&self) -> bool {
        *self == Most::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OffTarget {
    Deviate,
    Abort,
    Report,
}

impl Default for BlastRadius {
    fn default() -> BlastRadius {
        BlastRadius { allow: Allow::default(), max: Most::default(), off_target: OffTarget::Report }
    }
}

impl BlastRadius {
    pub(super) fn read(map: &mut Reader<'_>) -> Option<BlastRadius> {
        let allow = map.map("allow", |map| {
            let (services, upstream_depth) =
                (map.scalars("services"), map.scalar("upstream-depth"));
            Some(Allow { services, upstream_depth })
        });
        let max = map.map("max", |map| {
            let (services, affected_traces) =
                (map.scalar("services"), map.scalar("affected-traces"));
            Some(Most { services, affected_traces })
        });
        let words = [
            ("deviate", OffTarget::Deviate),
            ("abort", OffTarget::Abort),
            ("report", OffTarget::Report),
        ];
        let off_target = word(map, "off-target", &words, OffTarget::Report);
        let (allow, max) = (allow.unwrap_or_default(), max.unwrap_or_default());
        Some(BlastRadius { allow, max, off_target })
    }
}

/// The phases of a run. None of the lengths is measured from a clock here.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WindowPlan {
    /// Whose word opens a window: `k8s`, `otlp`, `api`.
    pub source: Vec<String>,
    pub baseline: Baseline,
    /// Dropped after the injection began.
    pub settle: Period,
    /// Expected; the recover event wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injection: Option<Period>,
    pub recovery: Period,
    /// How far telemetry must have come past the end before a verdict is final.
    pub late: Period,
    pub overlap: Overlap,
}

/// What a run is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// So long before the injection.
    Before(Period),
    /// The same time so long ago, for what follows the day or the week.
    Like(Period),
}

impl Baseline {
    /// How long before its injection a run begins.
    pub fn lead(self) -> Period {
        match self {
            Baseline::Before(length) => length,
            Baseline::Like(_) => Period::default(),
        }
    }

    /// How long ago what is alike was.
    pub fn ago(self) -> Option<Period> {
        match self {
            Baseline::Before(_) => None,
            Baseline::Like(ago) => Some(ago),
        }
    }
}

impl Serialize for Baseline {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Baseline::Before(length) => length.serialize(serializer),
            Baseline::Like(ago) => {
                BTreeMap::from([("like", format!("-{ago}"))]).serialize(serializer)
            }
        }
    }
}

/// A length of time with a sign before it, written `-7d`.
struct Ago(Period);

impl Said for Ago {
    const REMEDY: &'static str = "write how long ago, like -7d";

    fn said(value: &Value) -> Result<Ago, String> {
        let no = || format!("is {}; {}", shown(value), Ago::REMEDY);
        let length =
            value.as_str().and_then(|text| text.trim().strip_prefix('-')).ok_or_else(no)?;
        Period::said(&length.into()).map(Ago)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    Refuse,
    Mark,
}

impl Default for WindowPlan {
    fn default() -> WindowPlan {
        WindowPlan {
            source: ["k8s", "otlp", "api"].map(str::to_owned).to_vec(),
            baseline: Baseline::Before(Period::secs(600)),
            settle: Period::secs(15),
            injection: None,
            recovery: Period::secs(300),
            late: Period::secs(60),
            overlap: Overlap::Refuse,
        }
    }
}

impl WindowPlan {
    /// The shorter phases of `--quick`.
    pub fn quick(&mut self) {
        self.baseline = Baseline::Before(Period::secs(120));
        self.injection = Some(Period::secs(60));
        self.recovery = Period::secs(120);
    }

    pub(super) fn read(map: &mut Reader<'_>) -> Option<WindowPlan> {
        let default = WindowPlan::default();
        let mut source: Vec<String> = map.scalars("source");
        for one in &source {
            if !default.source.contains(one) {
                map.problems
                    .add(map.place, format!("source {one} is unknown; write k8s, otlp or api"));
            }
        }
        if source.is_empty() {
            source = default.source;
        }
        let seasonal = matches!(
            map.node("baseline").map(|node| &node.content),
            Some(super::tree::Content::Map(_))
        );
        let baseline = if seasonal {
            map.map("baseline", |map| map.needed("like").map(|Ago(ago)| Baseline::Like(ago)))
        } else {
            map.scalar("baseline").map(Baseline::Before)
        };
        let baseline = baseline.unwrap_or(default.baseline);
        let plan = WindowPlan {
            source,
            baseline,
            settle: map.or("settle", default.settle),
            injection: map.scalar("injection"),
            recovery: map.or("recovery", default.recovery),
            late: map.or("late", default.late),
            overlap: word(
                map,
                "overlap",
                &[("refuse", Overlap::Refuse), ("mark", Overlap::Mark)],
                Overlap::Refuse,
            ),
        };
        if plan.injection.is_some_and(|length| length <= plan.settle) {
            let message = format!("injection must be longer than settle ({})", plan.settle);
            map.problems.add(map.place, message);
        }
        Some(plan)
    }
}

/// What must follow.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Expect {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
}

/// How a workload is to follow the load.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scaling {
    /// The Deployment or StatefulSet.
    pub workload: String,
    /// The HorizontalPodAutoscaler that says how many are wanted; without it the
    /// workload itself does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_ready: Option<Period>,
    /// How much more may be wanted at most than in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overshoot: Option<Percent>,
}

impl Scaling {
    fn read(map: &mut Reader<'_>) -> Option<Scaling> {
        let (workload, model) = (map.needed("workload"), map.scalar("model"));
        let (time_to_ready, overshoot) = (map.scalar("time-to-ready"), map.scalar("overshoot"));
        if time_to_ready.is_none() && overshoot.is_none() {
            map.missing(
                "time-to-ready or overshoot",
                "say what is expected, like time-to-ready: 90s",
            );
            return None;
        }
        Some(Scaling { workload: workload?, model, time_to_ready, overshoot })
    }
}

/// Back in tolerance within this time, and for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Recovery {
    pub within: Period,
    pub stay: Period,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Alert {
    pub rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_within: Option<Period>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

impl Expect {
    pub(super) fn read(map: &mut Reader<'_>) -> Option<Expect> {
        let stay = Period::secs(60);
        let terse = matches!(
            map.node("recovery").map(|node| &node.content),
            Some(super::tree::Content::Scalar(_))
        );
        let recovery = if terse {
            map.scalar("recovery").map(|within| Recovery { within, stay })
        } else {
            map.map("recovery", |map| {
                let (within, stay) = (map.needed("within"), map.or("stay", stay));
                Some(Recovery { within: within?, stay })
            })
        };
        let alerts = map.maps("alerts", "alert", |map| {
            let rule: Option<String> = map.needed("rule");
            let (within, resolve_within) = (map.scalar("within"), map.scalar("resolve-within"));
            let (not, except) = (map.or("not", false), map.scalars("except"));
            Some(Alert { rule: rule?, within, resolve_within, not, except })
        });
        let scaling = map.map("scaling", Scaling::read);
        Some(Expect { recovery, alerts, scaling })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    Json,
    Md,
    Junit,
    Html,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportPlan {
    pub formats: Vec<Form>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
}

impl Default for ReportPlan {
    fn default() -> ReportPlan {
        ReportPlan { formats: vec![Form::Json, Form::Md, Form::Html], publish: None }
    }
}

impl ReportPlan {
    pub(super) fn read(map: &mut Reader<'_>) -> Option<ReportPlan> {
        let known =
            [("json", Form::Json), ("md", Form::Md), ("junit", Form::Junit), ("html", Form::Html)];
        let said: Vec<String> = map.scalars("formats");
        let mut formats = Vec::new();
        for one in &said {
            match known.iter().find(|(name, _)| name == one) {
                Some((_, form)) => formats.push(*form),
                None => {
                    let message = format!("format {one} is unknown; write json, md, junit or html");
                    map.problems.add(map.place, message);
                }
            }
        }
        if said.is_empty() {
            formats = ReportPlan::default().formats;
        }
        Some(ReportPlan { formats, publish: map.scalar("publish") })
    }
}

/// Who is told of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Control {
    pub webhook: String,
    pub on: Vec<String>,
    /// `env:NAME`; never the secret itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl Control {
    pub(super) fn read(map: &mut Reader<'_>) -> Option<Control> {
        let webhook: Option<String> = map.needed("webhook");
        let mut on: Vec<String> = map.scalars("on");
        let known = ["started", "aborted", "finished"];
        for one in &on {
            if !known.contains(&one.as_str()) {
                let message = format!("on {one} is unknown; write started, aborted or finished");
                map.problems.add(map.place, message);
            }
        }
        if on.is_empty() {
            on = known.map(str::to_owned).to_vec();
        }
        let secret: Option<String> = map.scalar("secret");
        if secret.as_ref().is_some_and(|secret| !secret.starts_with("env:")) {
            map.problems.add(map.place, "secret must name a variable, like env:HOOK, not be one");
            return None;
        }
        Some(Control { webhook: webhook?, on, secret })
    }
}
