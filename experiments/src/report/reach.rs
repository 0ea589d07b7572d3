//! What the fault touched, and who calls whom around it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::radius::extent::{Endpoint, Masked, People};
use crate::radius::{Place, Radius, Signal, Suspect, Why, depth};
use crate::verdict::evidence::Evidence;
use crate::window::{BUCKET, Window};

/// Calls that a report holds.
const MOST_CALLS: usize = 300;
/// Endpoints that it holds.
const MOST_ENDPOINTS: usize = 200;

/// A service of the measured blast radius.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SuspectEntry {
    pub service: String,
    pub strength: f64,
    /// `inside`, `explained` or `off-target`.
    pub place: String,
    /// Calls away from the nearest target, which is 0; missing where none leads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// What explains it, where it is explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Stronger than it gets where nothing was injected.
    #[serde(default)]
    pub stands_out: bool,
    /// Whether it does no more than pass on errors of others.
    #[serde(default)]
    pub carried: bool,
    /// Seconds from the injection to the first of its signs, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<f64>,
    pub signs: Vec<String>,
}

/// How far a fault reached. Services are those that stand out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ReachEntry {
    pub inside: Vec<String>,
    pub explained: Vec<String>,
    pub off_target: Vec<String>,
    /// Targets that show no sign at all.
    pub under_reach: Vec<String>,
    /// Who is called and tells nothing: known by what its callers say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uninstrumented: Vec<String>,
    /// Services in which errors began that no user saw.
    pub masked: Vec<MaskedEntry>,
    /// In the order in which they were touched.
    pub onset_order: Vec<String>,
    /// Calls that take longer, fail without an answer, or became fewer.
    pub edges: Vec<Call>,
    /// The furthest moved first.
    pub endpoints: Vec<EndpointEntry>,
    /// Missing where it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<TracesEntry>,
    /// Distinct users, about; missing where no span tells of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<PeopleEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<PeopleEntry>,
    /// The statements behind endpoints, traces, users and what was masked.
    pub sql: String,
}

/// Traces in which errors began in a service, and those whose root was fine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MaskedEntry {
    pub service: String,
    pub traces: u64,
    pub masked: u64,
}

/// An endpoint that fails more often or takes longer, and stands out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointEntry {
    pub service: String,
    pub operation: String,
    /// Whether users ask for it.
    pub user_visible: bool,
    pub strength: f64,
    /// Seconds from the injection, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<f64>,
    pub detail: String,
}

/// Requests of users in the injection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TracesEntry {
    pub n: u64,
    /// Failed or slow.
    pub affected: u64,
    /// Of endpoints of which nobody knows what slow is.
    pub unknown: u64,
    pub before_n: u64,
    pub before_affected: u64,
    /// By how much the share grew, with its interval of 95 %; missing where there
    /// is nothing to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grown: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

/// How many users or tenants, about, and those with a request that failed or was
/// slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeopleEntry {
    pub all: u64,
    pub affected: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    pub caller: String,
    pub callee: String,
}

/// The touched services, the likeliest cause first.
pub fn suspects(radius: &Radius, evidence: &Evidence, window: &Window) -> Vec<SuspectEntry> {
    let depths = depth::of_callers(&radius.graph, &radius.aim);
    let entry = |suspect: &crate::radius::Suspect| SuspectEntry {
        service: suspect.service.clone(),
        strength: suspect.strength,
        place: suspect.place.name().to_owned(),
        depth: depths.get(suspect.service.as_str()).copied(),
        why: suspect.why.as_ref().map(Why::in_words),
        stands_out: suspect.stands_out,
        carried: suspect.only_carries(),
        onset: suspect.onset().map(|at| since(at, evidence, window)),
        signs: suspect.signs.iter().map(|sign| sign.detail.clone()).collect(),
    };
    radius.suspects.iter().map(entry).collect()
}

/// Seconds from the injection to a bucket of its phase.
fn since(bucket: u32, evidence: &Evidence, window: &Window) -> f64 {
    let at = evidence.phases.injection.from + i64::from(bucket) * BUCKET.nanos();
    at.saturating_sub(window.inject) as f64 / 1e9
}

/// How far it reached, beside what was declared.
pub fn reach(radius: &Radius, evidence: &Evidence, window: &Window) -> ReachEntry {
    let out: Vec<&Suspect> = radius.suspects.iter().filter(|suspect| suspect.stands_out).collect();
    let placed = |place: Place| {
        let those = out.iter().filter(|suspect| suspect.place == place);
        those.map(|suspect| suspect.service.clone()).collect()
    };
    let mut order: Vec<(u32, &str)> = out
        .iter()
        .filter_map(|suspect| Some((suspect.onset()?, suspect.service.as_str())))
        .collect();
    order.sort_unstable();
    let mut edges: BTreeSet<Call> = BTreeSet::new();
    for sign in out.iter().flat_map(|suspect| &suspect.signs) {
        if let Some((caller, callee)) =
            sign.about.edge.clone().filter(|_| sign.signal != Signal::Carried)
        {
            edges.insert(Call { caller, callee });
        }
    }
    let mut reach = ReachEntry {
        inside: placed(Place::Inside),
        explained: placed(Place::Explained),
        off_target: placed(Place::OffTarget),
        under_reach: radius.under_reach.clone(),
        uninstrumented: radius.uninstrumented.iter().take(MOST_CALLS).cloned().collect(),
        onset_order: order.into_iter().map(|(_, service)| service.to_owned()).collect(),
        edges: edges.into_iter().take(MOST_CALLS).collect(),
        ..ReachEntry::default()
    };
    let Some(asked) = &evidence.extent else { return reach };
    reach.sql = asked.sql.clone();
    let Ok(extent) = &asked.answer else { return reach };
    let masked = extent.masked.iter().filter(|masked| masked.is_masked());
    let masked = masked.cloned().map(|Masked { service, traces, masked }| MaskedEntry {
        service,
        traces,
        masked,
    });
    reach.masked = masked.collect();
    let endpoints = extent.endpoints.iter().filter(|endpoint| endpoint.stands_out);
    let endpoints = endpoints.take(MOST_ENDPOINTS).map(|endpoint| EndpointEntry {
        service: endpoint.service.clone(),
        operation: endpoint.operation.clone(),
        user_visible: endpoint.user_visible,
        strength: endpoint.strength,
        onset: endpoint.onset.map(|at| since(at, evidence, window)),
        detail: endpoint.detail.clone(),
    });
    reach.endpoints = endpoints.collect();
    let silent = |operation: &&String| {
        let shows = |endpoint: &Endpoint| {
            radius.aim.services.contains(&endpoint.service) && endpoint.operation == **operation
        };
        !extent.endpoints.iter().any(shows)
    };
    reach.under_reach.extend(radius.aim.endpoints.iter().filter(silent).cloned());
    let traces = &extent.traces;
    let grown = traces.grown.filter(|grown| grown.is_known());
    reach.traces = Some(TracesEntry {
        n: traces.n,
        affected: traces.felt,
        unknown: traces.unknown,
        before_n: traces.before.1,
        before_affected: traces.before.0,
        grown: grown.map(|grown| grown.estimate),
        low: grown.map(|grown| grown.low),
        high: grown.map(|grown| grown.high),
    });
    let people = |people: People| PeopleEntry { all: people.all, affected: people.felt };
    (reach.users, reach.tenants) = (extent.users.map(people), extent.tenants.map(people));
    reach
}

impl ReachEntry {
    /// Each thing that is known, by its name, in words.
    pub fn in_words(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let lists = [
            ("inside", &self.inside),
            ("explained", &self.explained),
            ("off-target", &self.off_target),
            ("under-reach", &self.under_reach),
            ("uninstrumented", &self.uninstrumented),
            ("in order of onset", &self.onset_order),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            lines.push((name, list.join(", ")));
        }
        for MaskedEntry { service, traces, masked } in &self.masked {
            let told = format!(
                "errors began in {service} in {traces} traces; the root of {masked} was fine"
            );
            lines.push(("masked", told));
        }
        if let Some(TracesEntry { n, affected, before_n, before_affected, .. }) = &self.traces {
            let told = format!(
                "{affected} of {n} requests failed or were slow, {before_affected} of {before_n} before"
            );
            lines.push(("affected traces", told));
        }
        for (name, people) in [("affected users", self.users), ("affected tenants", self.tenants)] {
            if let Some(PeopleEntry { all, affected }) = people {
                lines.push((name, format!("about {affected} of {all}")));
            }
        }
        lines
    }
}

/// The calls of what was touched and of the targets; those among them first.
pub fn calls(radius: &Radius) -> Vec<Call> {
    let targets = radius.aim.level_0();
    let touched: BTreeSet<&str> = radius
        .suspects
        .iter()
        .map(|suspect| suspect.service.as_str())
        .chain(targets.iter().map(String::as_str))
        .collect();
    let ends = |call: &Call| {
        [&call.caller, &call.callee].iter().filter(|end| touched.contains(end.as_str())).count()
    };
    let mut calls: Vec<Call> = radius
        .graph
        .iter()
        .flat_map(|(caller, callees)| {
            callees.iter().map(|callee| Call { caller: caller.clone(), callee: callee.clone() })
        })
        .filter(|call| ends(call) > 0)
        .collect();
    calls.sort_by_key(|call| std::cmp::Reverse(ends(call)));
    calls.truncate(MOST_CALLS);
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::scope::Target;
    use crate::radius::{Place, Suspect};
    use crate::verdict::tests::shop::{DOCUMENT, Harm, run};

    /// Scenario: a chain of callers above a target, a bystander, and very many
    /// services that a touched one calls.
    /// Guarantees: depth counts calls towards users; a bystander has none and its
    /// calls are left out; calls are bounded, those between touched services first.
    #[test]
    fn depth_counts_calls_towards_users() {
        let suspect = |service: &str| Suspect {
            service: service.into(),
            strength: 1.0,
            place: Place::Inside,
            why: None,
            stands_out: false,
            signs: Vec::new(),
        };
        let mut graph = crate::radius::blame::Graph::new();
        let mut call = |caller: &str, callee: &str| {
            graph.entry(caller.to_owned()).or_default().insert(callee.to_owned());
        };
        call("web", "cart");
        call("cart", "pay");
        call("pay", "cart");
        call("mail", "queue");
        (0..1_000).for_each(|n| call("cart", &format!("a{n}")));
        let suspects_of = ["pay", "cart", "web", "mail"].map(suspect).to_vec();
        let aim = Target { services: vec!["pay".into()], ..Target::default() };
        let radius = Radius { suspects: suspects_of, aim, graph, ..Radius::default() };
        let run = run(DOCUMENT, 1, Harm::default());
        let found = suspects(&radius, &run.evidence, &run.window);
        let depths: Vec<Option<u32>> = found.iter().map(|suspect| suspect.depth).collect();
        assert_eq!(depths, [Some(0), Some(1), Some(2), None]);
        let calls = calls(&radius);
        assert_eq!(calls.len(), MOST_CALLS);
        let first: Vec<&str> = calls[..3].iter().map(|call| call.caller.as_str()).collect();
        assert_eq!(first, ["cart", "pay", "web"]);
    }
}
