//! From signs to services: which one it came from, and which were touched.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::calibrate::Calibration;
use super::signal::{Sign, Signal};
use crate::document::scope::{BlastRadius, Target};

/// Of services that show about as much, the one that others call is the cause:
/// its callers suffer from it, and it not from them.
const ABOUT: f64 = 0.7;

/// Where a touched service lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The declared target, or what was allowed to degrade.
    Inside,
    /// It calls the target, by way of services that are touched too.
    Explained,
    OffTarget,
}

impl Place {
    pub fn name(self) -> &'static str {
        match self {
            Place::Inside => "inside",
            Place::Explained => "explained",
            Place::OffTarget => "off-target",
        }
    }
}

/// A touched service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suspect {
    pub service: String,
    pub strength: f64,
    pub place: Place,
    /// Stronger than it gets where nothing was injected; never, where too little
    /// fault-free time is known.
    pub stands_out: bool,
    /// The strongest first.
    pub signs: Vec<Sign>,
}

/// What a fault touched, the likeliest cause first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Radius {
    pub suspects: Vec<Suspect>,
    /// Declared targets that show nothing.
    pub under_reach: Vec<String>,
    /// Who called whom, before the fault or during it.
    pub graph: Graph,
    pub calibration: Calibration,
}

/// Who calls whom.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// Everything that a service reaches by calls.
fn below<'g>(graph: &'g Graph, service: &str) -> BTreeSet<&'g str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = vec![service];
    while let Some(service) = next.pop() {
        for callee in graph.get(service).into_iter().flatten() {
            if reached.insert(callee.as_str()) {
                next.push(callee);
            }
        }
    }
    reached
}

impl Radius {
    pub fn new(
        mut signs: Vec<Sign>,
        graph: &Graph,
        target: &Target,
        declared: &BlastRadius,
        calibration: Calibration,
    ) -> Radius {
        signs.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        let mut by_service: BTreeMap<String, Vec<Sign>> = BTreeMap::new();
        for sign in signs {
            by_service.entry(sign.service.clone()).or_default().push(sign);
        }
        let touched: BTreeSet<&str> = by_service.keys().map(String::as_str).collect();
        let explained = explained(graph, target, &touched);
        let place = |service: &str| {
            let is = |list: &[String]| list.iter().any(|name| name == service);
            if is(&target.services) || is(&declared.allow.services) {
                Place::Inside
            } else if explained.contains(service) {
                Place::Explained
            } else {
                Place::OffTarget
            }
        };
        let under_reach = target.services.iter().filter(|name| !touched.contains(name.as_str()));
        let under_reach = under_reach.cloned().collect();
        let mut suspects: Vec<Suspect> = by_service
            .iter()
            .map(|(service, signs)| Suspect {
                service: service.clone(),
                strength: signs.iter().map(|sign| sign.strength).fold(0.0, f64::max),
                place: place(service),
                stands_out: signs.iter().any(|sign| calibration.stands_out(sign)),
                signs: signs.clone(),
            })
            .collect();
        suspects.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        deepest_first(&mut suspects, graph);
        Radius { suspects, under_reach, graph: graph.clone(), calibration }
    }
}

/// Call sites change in callers of a broken service too: they log what came
/// back. Durations and CPU are attributed to one service already.
fn deepest_first(suspects: &mut [Suspect], graph: &Graph) {
    let Some(strongest) = suspects.first().map(|suspect| suspect.strength) else { return };
    let close: BTreeSet<String> = suspects
        .iter()
        .filter(|suspect| suspect.strength >= ABOUT * strongest && by_sites(suspect))
        .map(|suspect| suspect.service.clone())
        .collect();
    let shallow = |suspect: &Suspect| {
        let below = below(graph, &suspect.service);
        let deeper = |name: &String| *name != suspect.service && below.contains(name.as_str());
        !close.contains(&suspect.service) || close.iter().any(deeper)
    };
    // Stable: among alike ones strength decides.
    if !close.is_empty() && suspects.first().is_some_and(by_sites) {
        suspects.sort_by_key(shallow);
    }
}

fn by_sites(suspect: &Suspect) -> bool {
    suspect.signs.iter().all(|sign| sign.signal == Signal::Site)
}

/// Touched services that reach a target by calls through touched services.
fn explained<'t>(graph: &Graph, target: &Target, touched: &BTreeSet<&'t str>) -> BTreeSet<&'t str> {
    let mut known: BTreeSet<&str> = target.services.iter().map(String::as_str).collect();
    let mut explained = BTreeSet::new();
    loop {
        let next = touched.iter().find(|service| {
            !known.contains(**service)
                && graph.get(**service).is_some_and(|called| {
                    called.iter().any(|callee| known.contains(callee.as_str()))
                })
        });
        let Some(service) = next else { return explained };
        known.insert(service);
        explained.insert(*service);
    }
}
