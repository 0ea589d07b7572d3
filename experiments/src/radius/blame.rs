//! From signs to services: which one it came from, and which were touched.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::calibrate::Calibration;
use super::signal::{Sign, Signal};
use crate::document::provider::Edge;
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
    /// It calls the target, by way of services that are touched too, or shares with
    /// it what it runs on or keeps things in.
    Explained,
    OffTarget,
}

/// What explains a touched service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// It calls this one, which is a target or explained.
    Calls(String),
    Shares {
        resource: Resource,
        /// A target.
        with: String,
    },
}

impl Why {
    pub fn in_words(&self) -> String {
        match self {
            Why::Calls(callee) => format!("calls {callee}"),
            Why::Shares { resource: (kind, name), with } => {
                format!("shares {kind} {name} with {with}")
            }
        }
    }
}

/// A kind, `node` or `database`, and a name.
pub type Resource = (String, String);

/// What each service runs on and keeps things in.
pub type Resources = BTreeMap<String, BTreeSet<Resource>>;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// Stronger than it gets where nothing was injected; never, where too little
    /// fault-free time is known.
    pub stands_out: bool,
    /// The strongest first.
    pub signs: Vec<Sign>,
}

impl Suspect {
    /// Whether it does no more than pass on what others did to it.
    pub fn only_carries(&self) -> bool {
        self.signs.iter().all(|sign| sign.signal == Signal::Carried)
    }

    /// When the first of its signs began, as a bucket of the phase.
    pub fn onset(&self) -> Option<u32> {
        self.signs.iter().filter_map(|sign| sign.onset).min()
    }
}

/// What a fault touched, the likeliest cause first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Radius {
    pub suspects: Vec<Suspect>,
    /// What was aimed at, with the services that its resource stands for.
    pub aim: Target,
    /// Declared targets that show nothing.
    pub under_reach: Vec<String>,
    /// Who called whom, before the fault or during it.
    pub graph: Graph,
    /// Those of the graph that tell nothing themselves: what is known of them is what
    /// their callers say.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub uninstrumented: BTreeSet<String>,
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
        resources: &Resources,
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
        let explained = explained(graph, resources, target, &touched);
        let place = |service: &str| {
            let is = |list: &[String]| list.iter().any(|name| name == service);
            if target.is_level_0(service) || is(&declared.allow.services) {
                Place::Inside
            } else if explained.contains_key(service) {
                Place::Explained
            } else {
                Place::OffTarget
            }
        };
        // Who fails to answer and tells nothing shows by the errors of its callers.
        let failing = by_service.values().flatten().filter(|sign| sign.signal == Signal::Error);
        let unanswered: BTreeSet<&str> = failing
            .filter_map(|sign| sign.about.edge.as_ref().map(|(_, whom)| whom.as_str()))
            .collect();
        let untouched =
            |name: &String| ![&touched, &unanswered].iter().any(|all| all.contains(name.as_str()));
        let services = target.services.iter().filter(|name| untouched(name)).cloned();
        let edges = target.edges.iter().filter(|edge| untouched(&edge.from) && untouched(&edge.to));
        let under_reach = services.chain(edges.map(Edge::to_string)).collect();
        let mut suspects: Vec<Suspect> = by_service
            .iter()
            .map(|(service, signs)| Suspect {
                service: service.clone(),
                strength: signs.iter().map(|sign| sign.strength).fold(0.0, f64::max),
                place: place(service),
                why: explained
                    .get(service.as_str())
                    .filter(|_| place(service) == Place::Explained)
                    .cloned(),
                stands_out: signs.iter().any(|sign| calibration.stands_out(sign)),
                signs: signs.clone(),
            })
            .collect();
        suspects.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        // What noise explains is no cause before what it does not explain.
        suspects.sort_by_key(|suspect| (suspect.only_carries(), !suspect.stands_out));
        deepest_first(&mut suspects, graph);
        let (aim, graph, uninstrumented) = (target.clone(), graph.clone(), BTreeSet::new());
        Radius { suspects, aim, under_reach, graph, uninstrumented, calibration }
    }
}

/// Call sites change in callers of a broken service too: they log what came
/// back, and do not go on to call others. Durations, errors and CPU are attributed
/// to one service already.
fn deepest_first(suspects: &mut [Suspect], graph: &Graph) {
    let Some(first) = suspects.first().cloned() else { return };
    let about = |suspect: &&Suspect| {
        suspect.strength >= ABOUT * first.strength && suspect.stands_out == first.stands_out
    };
    let close: BTreeSet<String> = suspects
        .iter()
        .filter(|suspect| about(suspect) && by_sites(suspect))
        .map(|suspect| suspect.service.clone())
        .collect();
    let shallow = |suspect: &Suspect| {
        let below = below(graph, &suspect.service);
        let deeper = |name: &String| *name != suspect.service && below.contains(name.as_str());
        !close.contains(&suspect.service) || close.iter().any(deeper)
    };
    // Stable: among alike ones strength decides.
    if !close.is_empty() && by_sites(&first) {
        suspects.sort_by_key(shallow);
    }
}

fn by_sites(suspect: &Suspect) -> bool {
    let of_callers = |sign: &Sign| matches!(sign.signal, Signal::Site | Signal::Call);
    suspect.signs.iter().all(of_callers)
}

/// Touched services that share something with a target, or that reach a target or
/// one of those by calls through touched services, and by what. Of an edge it is its
/// caller that they reach: others that call the same callee are not on it.
fn explained<'t>(
    graph: &Graph,
    resources: &Resources,
    target: &Target,
    touched: &BTreeSet<&'t str>,
) -> BTreeMap<&'t str, Why> {
    let mut known: BTreeSet<&str> = target.services.iter().map(String::as_str).collect();
    let callers = target.edges.iter().filter(|edge| !target.is_level_0(&edge.from));
    let callers = callers.filter_map(|edge| Some((touched.get(edge.from.as_str())?, edge)));
    let mut explained: BTreeMap<&str, Why> =
        callers.map(|(caller, edge)| (*caller, Why::Calls(edge.to.clone()))).collect();
    let aimed = |service: &str| target.is_level_0(service) || explained.contains_key(service);
    let others: Vec<&str> = touched.iter().filter(|service| !aimed(service)).copied().collect();
    for service in others {
        if let Some(why) = shares(resources, target, service) {
            explained.insert(service, why);
        }
    }
    known.extend(explained.keys());
    loop {
        let open = |service: &str| !known.contains(service) && !target.is_level_0(service);
        let next = touched.iter().filter(|service| open(service)).find_map(|service| {
            let callee = graph.get(*service)?.iter().find(|name| known.contains(name.as_str()))?;
            Some((*service, callee.clone()))
        });
        let Some((service, callee)) = next else { return explained };
        known.insert(service);
        explained.insert(service, Why::Calls(callee));
    }
}

/// The node of a target is the one that is declared, else any that is seen.
fn shares(resources: &Resources, target: &Target, service: &str) -> Option<Why> {
    let declared = target.resource.get("k8s.node.name");
    let aimed = |(kind, name): &&Resource| {
        kind != "node" || declared.is_none_or(|declared| declared == name)
    };
    let own = resources.get(service)?;
    target.level_0().into_iter().find_map(|with| {
        let mut common = resources.get(&with)?.intersection(own).filter(aimed);
        let resource = common.next()?.clone();
        Some(Why::Shares { resource, with })
    })
}
