//! How many calls away from others a service lies.

use std::collections::{BTreeMap, VecDeque};

use super::blame::Graph;
use crate::document::scope::Target;

/// Calls from each service that leads to a target to the nearest one, which is 0.
pub fn of_callers<'a>(graph: &'a Graph, target: &'a Target) -> BTreeMap<&'a str, u32> {
    let callers = graph.iter().flat_map(|(caller, callees)| {
        callees.iter().map(|callee| (callee.as_str(), caller.as_str()))
    });
    depths(callers, target.services.iter().map(String::as_str))
}

/// How many steps each end is from the nearest start.
pub fn depths<'a>(
    steps: impl Iterator<Item = (&'a str, &'a str)>,
    starts: impl Iterator<Item = &'a str>,
) -> BTreeMap<&'a str, u32> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    steps.for_each(|(from, to)| next.entry(from).or_default().push(to));
    let mut depths: BTreeMap<&str, u32> = starts.map(|start| (start, 0)).collect();
    let mut open: VecDeque<(&str, u32)> = depths.keys().map(|name| (*name, 0)).collect();
    while let Some((at, depth)) = open.pop_front() {
        for to in next.get(at).into_iter().flatten() {
            if !depths.contains_key(to) {
                depths.insert(to, depth + 1);
                open.push_back((to, depth + 1));
            }
        }
    }
    depths
}
