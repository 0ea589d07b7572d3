//! What the fault touched, and who calls whom around it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::scope::Target;
use crate::radius::{Radius, depth};

/// Calls that a report holds.
const MOST_CALLS: usize = 300;

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
    pub signs: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    pub caller: String,
    pub callee: String,
}

/// The touched services, the likeliest cause first.
pub fn suspects(radius: &Radius, target: &Target) -> Vec<SuspectEntry> {
    let depths = depth::of_callers(&radius.graph, target);
    let entry = |suspect: &crate::radius::Suspect| SuspectEntry {
        service: suspect.service.clone(),
        strength: suspect.strength,
        place: suspect.place.name().to_owned(),
        depth: depths.get(suspect.service.as_str()).copied(),
        signs: suspect.signs.iter().map(|sign| sign.detail.clone()).collect(),
    };
    radius.suspects.iter().map(entry).collect()
}

/// The calls of what was touched and of the targets; those among them first.
pub fn calls(radius: &Radius, target: &Target) -> Vec<Call> {
    let touched: BTreeSet<&str> = radius
        .suspects
        .iter()
        .map(|suspect| suspect.service.as_str())
        .chain(target.services.iter().map(String::as_str))
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
    use crate::radius::{Place, Suspect};

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
        let radius =
            Radius { suspects: suspects_of, under_reach: Vec::new(), graph, ..Radius::default() };
        let target = Target { services: vec!["pay".into()], ..Target::default() };
        let found = suspects(&radius, &target);
        let depths: Vec<Option<u32>> = found.iter().map(|suspect| suspect.depth).collect();
        assert_eq!(depths, [Some(0), Some(1), Some(2), None]);
        let calls = calls(&radius, &target);
        assert_eq!(calls.len(), MOST_CALLS);
        let first: Vec<&str> = calls[..3].iter().map(|call| call.caller.as_str()).collect();
        assert_eq!(first, ["cart", "pay", "web"]);
    }
}
