//! Kubernetes Events as the Collector's receivers send them as logs, in three
//! generations of attributes: `k8s.<kind>.name` on the record; `k8s.object.*` on
//! the resource with the namespace on the record; and the namespace on the
//! resource too. Chaos Mesh and Litmus write Events about their own objects.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::{Event, Kind};
use crate::run::{Source, Told};

pub const REASON: &str = "k8s.event.reason";

/// Kinds that the oldest generation writes in small letters.
const KINDS: [&str; 20] = [
    "NetworkChaos",
    "PodChaos",
    "StressChaos",
    "IOChaos",
    "TimeChaos",
    "DNSChaos",
    "HTTPChaos",
    "JVMChaos",
    "KernelChaos",
    "AWSChaos",
    "GCPChaos",
    "AzureChaos",
    "BlockChaos",
    "PhysicalMachineChaos",
    "YCChaos",
    "Schedule",
    "Workflow",
    "WorkflowNode",
    "ChaosEngine",
    "ChaosResult",
];

/// What an Event says, however it came.
pub struct Said {
    pub kind: String,
    pub name: String,
    pub namespace: String,
    /// API group and version of the object.
    pub group: Option<String>,
    pub reason: String,
    pub message: Option<String>,
    /// By the cluster's clock, in nanoseconds since 1970.
    pub at: i64,
    pub uid: Option<String>,
    /// Litmus counts an Event up in place, and it is sent anew each time.
    pub count: String,
    pub raw_ref: String,
}

/// An Event's record, if it is about an object of chaos and says something of it.
pub fn event(reader: &Reader<'_>, row: usize) -> Option<Event> {
    let reason = reader.record(REASON, row)?;
    let (kind, name) = object(reader, row)?;
    let at = reader.time(row);
    told(Said {
        kind,
        name,
        namespace: reader.either("k8s.namespace.name", row).unwrap_or_default(),
        group: reader.resource("k8s.object.api_version", row),
        reason,
        message: reader.text("body", row),
        at,
        uid: reader.either("k8s.event.uid", row),
        count: reader.record("k8s.event.count", row).unwrap_or_else(|| "1".to_owned()),
        raw_ref: super::raw_ref("logs", at, reader.text("service_name", row).as_deref()),
    })
}

/// What an Event tells of a run; nothing, for most.
pub fn told(said: Said) -> Option<Event> {
    let Said { kind, name, namespace, group, reason, message, at, uid, count, raw_ref } = said;
    let injector = injector(&kind, group.as_deref())?;
    let what = meaning(injector, &kind, &reason)?;
    let id = match uid {
        Some(uid) => format!("k8s/{uid}/{count}"),
        None => format!("k8s/{kind}/{namespace}/{name}/{reason}/{at}"),
    };
    Some(Event {
        id,
        kind: what,
        at,
        source: Source::K8s,
        run: None,
        experiment: None,
        told: Told {
            fault: fault(&kind),
            injector: Some(injector.to_owned()),
            target: message.as_deref().map(aimed_at).unwrap_or_default(),
            object: Some(format!("{kind}/{namespace}/{name}")),
        },
        reason: Some(reason),
        message,
        raw_ref,
    })
}

/// Kind and name of the object that the Event is about.
fn object(reader: &Reader<'_>, row: usize) -> Option<(String, String)> {
    let newer = |key: &str| reader.resource(key, row).or_else(|| reader.record(key, row));
    if let (Some(kind), Some(name)) = (newer("k8s.object.kind"), newer("k8s.object.name")) {
        return Some((kind, name));
    }
    reader.entries(row).into_iter().find_map(|(key, name)| {
        let kind = key.strip_prefix("k8s.")?.strip_suffix(".name")?;
        let known = KINDS.iter().find(|known| known.eq_ignore_ascii_case(kind))?;
        Some(((*known).to_owned(), name))
    })
}

/// Whose object it is; `None` of one that is nobody's here. Others have
/// schedules and workflows too, and say so by their API group.
fn injector(kind: &str, group: Option<&str>) -> Option<&'static str> {
    match kind {
        "ChaosEngine" | "ChaosResult" => Some("litmus"),
        "Schedule" | "Workflow" | "WorkflowNode" => {
            group.is_none_or(|group| group.starts_with("chaos-mesh.org")).then_some("chaos-mesh")
        }
        kind => kind.ends_with("Chaos").then_some("chaos-mesh"),
    }
}

fn meaning(injector: &str, kind: &str, reason: &str) -> Option<Kind> {
    Some(match (injector, kind, reason) {
        ("chaos-mesh", _, "Started" | "EntryCreated") => Kind::Start,
        ("chaos-mesh", _, "Applied") => Kind::Inject,
        ("chaos-mesh", _, "Recovered" | "TimeUp" | "Deleted" | "Paused") => Kind::Recover,
        ("chaos-mesh", _, "WorkflowAccomplished") => Kind::End,
        ("litmus", "ChaosEngine", "ChaosEngineInitialized" | "PreChaosCheck") => Kind::Start,
        ("litmus", "ChaosEngine", "ChaosInject") => Kind::Inject,
        ("litmus", "ChaosEngine", "PostChaosCheck") => Kind::Recover,
        ("litmus", "ChaosEngine", "Summary" | "ChaosEngineCompleted") => Kind::End,
        ("litmus", _, "Stopped" | "ChaosEngineStopped") => Kind::Abort,
        ("litmus", "ChaosResult", "Pass" | "Fail" | "Error") => Kind::End,
        _ => return None,
    })
}

/// `network` of a NetworkChaos; an engine's kind says nothing of its fault.
fn fault(kind: &str) -> Option<String> {
    let of = kind.strip_suffix("Chaos")?;
    Some(of.to_ascii_lowercase())
}

/// The pod in `Successfully apply chaos for shop/pay-7f9c/app`: it is in the
/// message only, because annotations of Events do not travel.
fn aimed_at(message: &str) -> BTreeMap<String, String> {
    let mut target = BTreeMap::new();
    let Some((_, id)) = message.rsplit_once(" chaos for ") else { return target };
    let mut parts = id.split_whitespace().next().unwrap_or_default().split('/');
    for key in ["k8s.namespace.name", "k8s.pod.name", "k8s.container.name"] {
        match parts.next() {
            Some(part) if !part.is_empty() => drop(target.insert(key.to_owned(), part.to_owned())),
            _ => break,
        }
    }
    target
}
