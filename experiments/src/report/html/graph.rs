//! What was touched, by who calls whom: users at the left, the target and what
//! it calls at the right.

use std::collections::{BTreeMap, BTreeSet};

use crate::radius::depth::depths;
use crate::report::Report;

use super::markup::Markup;
use super::scale::{cut, place, rectangle};

const BOX: (f64, f64) = (170.0, 40.0);
const GAP: (f64, f64) = (64.0, 16.0);
const EDGE: f64 = 12.0;
/// Services that are drawn; touched ones and targets first.
const MOST: usize = 48;
const NAME: usize = 22;
/// Depths that have a colour of their own.
const DEEPEST: u32 = 4;

struct Node<'a> {
    name: &'a str,
    /// Where its box begins.
    at: (f64, f64),
    class: String,
    said: String,
}

pub fn graph(report: &Report, section: &mut Markup) {
    let (nodes, left_out) = nodes(report);
    if nodes.is_empty() {
        return;
    }
    let end = |of: fn(&Node<'_>) -> f64| nodes.iter().map(of).fold(0.0, f64::max);
    let (width, height) = (end(|n| n.at.0) + BOX.0 + EDGE, end(|n| n.at.1) + BOX.1 + EDGE);
    let view = format!("0 0 {} {}", place(width), place(height));
    let said = "Services by their calls, those of users at the left";
    let size = format!("{}px", place(width));
    let attributes = [
        ("viewBox", view.as_str()),
        ("width", size.as_str()),
        ("role", "img"),
        ("aria-label", said),
    ];
    section.within("figure", &[], |figure| {
        figure.within("svg", &attributes, |svg| {
            svg.leaf("title", &[], said);
            calls(report, &nodes, svg);
            nodes.iter().for_each(|node| service(node, svg));
        });
        figure.within("figcaption", &[], |caption| {
            caption.text(
                "Depth counts calls from a target towards users. Thick: target; full: inside or \
                 explained; double: off target; dotted: not touched.",
            );
            if left_out > 0 {
                caption.text(&format!(" {left_out} more services are not drawn."));
            }
        });
    });
}

/// The services in their places, and how many are not drawn.
fn nodes(report: &Report) -> (Vec<Node<'_>>, usize) {
    let mut names: Vec<&str> = report.targets.iter().map(String::as_str).collect();
    names.extend(report.suspects.iter().map(|suspect| suspect.service.as_str()));
    names.extend(report.calls.iter().flat_map(|call| [call.caller.as_str(), call.callee.as_str()]));
    let mut known = BTreeSet::new();
    names.retain(|name| known.insert(*name));
    let left_out = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let ends = report.calls.iter().map(|call| (call.caller.as_str(), call.callee.as_str()));
    let targets = || report.targets.iter().map(|target| (target.as_str(), 0));
    let above = depths(ends.clone().map(|(caller, callee)| (callee, caller)), targets());
    let below = depths(ends, targets());
    let highest = names.iter().filter_map(|name| above.get(name)).max().copied().unwrap_or(0);
    let mut filled: BTreeMap<u32, u32> = BTreeMap::new();
    let nodes = names.iter().map(|name| {
        // What neither calls a target nor is called by one stands with the users.
        let column = match (above.get(name), below.get(name)) {
            (Some(above), _) => highest - above,
            (None, Some(below)) => highest + below,
            (None, None) => 0,
        };
        let row = filled.entry(column).or_default();
        let at =
            (EDGE + f64::from(column) * (BOX.0 + GAP.0), EDGE + f64::from(*row) * (BOX.1 + GAP.1));
        *row += 1;
        let (class, said) = standing(report, name, above.get(name).copied());
        Node { name, at, class, said }
    });
    let nodes = nodes.collect();
    (nodes, left_out)
}

fn standing(report: &Report, name: &str, depth: Option<u32>) -> (String, String) {
    let suspect = report.suspects.iter().find(|suspect| suspect.service == name);
    let target = report.targets.iter().any(|target| target == name);
    let colour = depth.map_or("far".to_owned(), |depth| format!("d{}", depth.min(DEEPEST)));
    let deep = depth.map_or(String::new(), |depth| format!(", depth {depth}"));
    let untold = || {
        let reach = report.reach.as_ref();
        reach.is_some_and(|reach| reach.uninstrumented.iter().any(|one| one == name))
    };
    match (suspect, target) {
        (Some(_), true) => (format!("node target {colour}"), format!("target{deep}")),
        (None, true) => ("node target untouched".into(), "target, shows nothing".into()),
        // `place` may come from a file: it is a text, and no class.
        (Some(suspect), false) if suspect.place == "off-target" => {
            (format!("node off {colour}"), format!("off target{deep}"))
        }
        (Some(suspect), false) => {
            (format!("node {colour}"), format!("{}{deep}", cut(&suspect.place, NAME)))
        }
        (None, false) if untold() => ("node untouched".into(), "tells nothing itself".into()),
        (None, false) => ("node untouched".into(), "not touched".into()),
    }
}

fn service(node: &Node<'_>, svg: &mut Markup) {
    svg.within("g", &[], |g| {
        g.leaf("title", &[], &format!("{}: {}", node.name, node.said));
        rectangle(&node.class, node.at, BOX, g);
        if node.class.contains(" off ") {
            let inner = (node.at.0 + 3.0, node.at.1 + 3.0);
            rectangle("inner", inner, (BOX.0 - 6.0, BOX.1 - 6.0), g);
        }
        let middle = place(node.at.0 + BOX.0 / 2.0);
        for (text, down, class) in
            [(node.name, 17.0, "name middle"), (&node.said, 31.0, "tick middle")]
        {
            let y = place(node.at.1 + down);
            let at = [("class", class), ("x", middle.as_str()), ("y", y.as_str())];
            g.leaf("text", &at, &cut(text, NAME));
        }
    });
}

/// A line from the caller's side to the callee's, thick at the callee.
fn calls(report: &Report, nodes: &[Node<'_>], svg: &mut Markup) {
    let of = |name: &str| nodes.iter().find(|node| node.name == name);
    for call in &report.calls {
        let (Some(caller), Some(callee)) = (of(&call.caller), of(&call.callee)) else { continue };
        let half = BOX.1 / 2.0;
        let right = caller.at.0 < callee.at.0;
        let (from, to) = match right {
            true => (caller.at.0 + BOX.0, callee.at.0),
            false => (caller.at.0, callee.at.0 + BOX.0),
        };
        let (y, z) = (caller.at.1 + half, callee.at.1 + half);
        let bend = if right { GAP.0 / 2.0 } else { -GAP.0 / 2.0 };
        let [from, y, a, b, to, z] = [from, y, from + bend, to - bend, to, z].map(place);
        let drawn = format!("M{from} {y}C{a} {y} {b} {z} {to} {z}");
        svg.leaf("path", &[("class", "call"), ("d", &drawn)], "");
        let at = [("class", "head"), ("cx", to.as_str()), ("cy", z.as_str()), ("r", "3")];
        svg.leaf("circle", &at, "");
    }
}
