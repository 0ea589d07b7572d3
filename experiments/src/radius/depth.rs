//! How many calls away from others a service lies.

use std::collections::{BTreeMap, VecDeque};

use super::blame::Graph;
use crate::document::scope::Target;

/// Calls from each service that leads to a target to the nearest one, which is 0. To
/// what an edge leads, only its own caller does.
pub fn of_callers<'a>(graph: &'a Graph, target: &'a Target) -> BTreeMap<&'a str, u32> {
    let callers = graph.iter().flat_map(|(caller, callees)| {
        callees.iter().map(|callee| (callee.as_str(), caller.as_str()))
    });
    let services = target.services.iter().map(|name| (name.as_str(), 0));
    let callers_of_edges = target.edges.iter().map(|edge| (edge.from.as_str(), 1));
    let mut depths = depths(callers, services.chain(callers_of_edges));
    depths.extend(target.edges.iter().map(|edge| (edge.to.as_str(), 0)));
    depths
}

/// How many steps each end is from the nearest start, which has so many already;
/// those with fewer come first.
pub fn depths<'a>(
    steps: impl Iterator<Item = (&'a str, &'a str)>,
    starts: impl Iterator<Item = (&'a str, u32)>,
) -> BTreeMap<&'a str, u32> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    steps.for_each(|(from, to)| next.entry(from).or_default().push(to));
    let mut depths: BTreeMap<&str, u32> = BTreeMap::new();
    let mut open: VecDeque<(&str, u32)> = VecDeque::new();
    for (start, depth) in starts {
        if !depths.contains_key(start) {
            depths.insert(start, depth);
            open.push_back((start, depth));
        }
    }
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
