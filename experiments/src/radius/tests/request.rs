//! Errors, calls, and what explains a service that they touch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::blame::{Graph, Place, Radius, Resources, Why};
use super::super::calibrate::Calibration;
use super::super::depth;
use super::super::seen::{self, Answers, Seen};
use super::super::signal::{Beside, Sign, Signal, Usual};
use super::super::site::{Names, Spread};
use super::sign;
use crate::document::provider::Edge;
use crate::document::scope::{BlastRadius, Target};
use crate::indicator::Table;
use crate::window::{BUCKET, Span};

/// What requests came to in a stretch of twelve buckets with ten traces each:
/// service, what, whom, hits in each bucket from the one at `from` on.
fn stretch(rows: &[(&str, &str, &str, u64, usize)], names: &mut Names) -> Seen {
    let each = rows.iter().flat_map(|(service, what, whom, hits, from)| {
        (0..12_usize).map(move |bucket| -> Vec<Value> {
            let hits = if bucket >= *from { *hits } else { 0 };
            let row = [json!(bucket), json!(service), json!("op"), json!(10)];
            row.into_iter().chain([json!(what), json!(whom), json!(hits)]).collect()
        })
    });
    let requests = Table { rows: each.collect(), ..Table::default() };
    let times: Vec<Vec<Value>> = ["front", "shop", "pay"]
        .into_iter()
        .flat_map(|name| {
            (0..12).map(move |at| vec![json!(name), json!(at), json!(1_600), json!(9)])
        })
        .collect();
    let times = Table { rows: times, ..Table::default() };
    let nothing = Table::default();
    let answers =
        Answers { exclusive: Some(&times), gaps: None, sites: &nothing, requests: Some(&requests) };
    seen::seen(Span { from: 1_000 * BUCKET.nanos(), buckets: 12 }, answers, names)
}

fn found(
    before: &[(&str, &str, &str, u64, usize)],
    after: &[(&str, &str, &str, u64, usize)],
) -> Vec<Sign> {
    let mut names = Names::default();
    let (before, after) = (stretch(before, &mut names), stretch(after, &mut names));
    let (usual, spread) = (&Usual::of(&before), &Spread::default());
    let sites = &usual.sites;
    Beside { usual, sites, near: None, after: &after, spread, names: &names }.signs()
}

/// Scenario: `pay` fails from the fourth bucket on, and its callers with it; calls
/// become fewer, or more; calls fail of which nothing is known below, to a service
/// and to a database; everything fails less than it did.
/// Guarantees: errors speak of where they begin, and those above only carry them;
/// the caller is blamed for calls that it leaves out, the callee for not answering
/// where it is a service, else who asked; what is better is no sign; the begin of
/// each is told.
#[test]
fn errors_speak_of_where_they_begin() {
    let quiet = [
        ("pay", "failed", "", 0, 0),
        ("shop", "carried", "", 0, 0),
        ("shop", "called", "pay", 9, 0),
    ];
    let mut failing = quiet;
    (failing[0].3, failing[0].4, failing[1].3, failing[1].4) = (6, 3, 5, 3);
    let signs = found(&quiet, &failing);
    let told: Vec<_> = signs.iter().map(|s| (s.signal, s.service.as_str(), s.onset)).collect();
    let expected = [(Signal::Error, "pay", Some(3)), (Signal::Carried, "shop", Some(3))];
    assert!(expected.iter().all(|sign| told.contains(sign)) && told.len() == 2, "{signs:?}");
    assert_eq!(found(&failing, &quiet), []);
    let mut fewer = quiet;
    fewer[2].3 = 2;
    let signs = found(&quiet, &fewer);
    assert_eq!(
        (signs.len(), signs[0].signal, signs[0].service.as_str()),
        (1, Signal::Call, "shop")
    );
    assert_eq!(signs[0].about.edge, Some(("shop".into(), "pay".into())));
    assert_eq!(found(&fewer, &quiet), []);
    for (whom, blamed) in [("pay.shop.svc:443", "pay"), ("postgresql/orders", "shop")] {
        let signs =
            found(&quiet, &[quiet[0], quiet[1], quiet[2], ("shop", "unanswered", whom, 4, 0)]);
        let one = (signs.len(), signs[0].signal, signs[0].service.as_str());
        assert_eq!(one, (1, Signal::Error, blamed));
    }
}

/// Scenario: beside the target, a service on its node, its caller, a service on
/// another node, and one that only carries errors on, each more strongly touched
/// than the one before; the declared node is another one.
/// Guarantees: what shares a node or calls what does is explained and says by what;
/// the node that is declared is the one that counts; who carries comes last.
#[test]
fn what_shares_a_resource_is_explained() {
    let graph = Graph::from([
        ("web".to_owned(), ["ads".to_owned()].into()),
        ("gate".to_owned(), ["pay".to_owned()].into()),
    ]);
    let on = |node: &str| [("node".to_owned(), node.to_owned())].into();
    let resources = Resources::from([
        ("pay".to_owned(), on("n1")),
        ("ads".to_owned(), on("n1")),
        ("mail".to_owned(), on("n2")),
    ]);
    let mut target = Target { services: vec!["pay".into()], ..Target::default() };
    let mut carrier = sign("gate", 9.0);
    carrier.signal = Signal::Carried;
    let signs =
        vec![sign("pay", 4.0), sign("ads", 5.0), sign("web", 6.0), sign("mail", 7.0), carrier];
    let of = |target: &Target| {
        let (declared, calm) = (BlastRadius::default(), Calibration::default());
        Radius::new(signs.clone(), &graph, &resources, target, &declared, calm)
    };
    let radius = of(&target);
    let place = |radius: &Radius, name: &str| {
        let suspect = radius.suspects.iter().find(|suspect| suspect.service == name).unwrap();
        (suspect.place, suspect.why.as_ref().map(Why::in_words))
    };
    let explained = |why: &str| (Place::Explained, Some(why.to_owned()));
    assert_eq!(place(&radius, "ads"), explained("shares node n1 with pay"));
    assert_eq!(place(&radius, "web"), explained("calls ads"));
    assert_eq!(place(&radius, "gate"), explained("calls pay"));
    assert_eq!(place(&radius, "mail"), (Place::OffTarget, None));
    assert_eq!(place(&radius, "pay"), (Place::Inside, None));
    assert_eq!(radius.suspects.last().map(|suspect| suspect.service.as_str()), Some("gate"));
    target.resource.insert("k8s.node.name".into(), "n2".into());
    assert_eq!(place(&of(&target), "ads"), (Place::OffTarget, None));
}

/// Scenario: the target is the calls from one service to another, which are touched
/// with a caller of either; the same where nothing at their ends is touched.
/// Guarantees: who is called is inside, its caller on the edge and what calls that are
/// explained, and another caller is off target; depth is counted along the edge alone;
/// an edge that shows no sign is told.
#[test]
fn an_edge_that_is_aimed_at_explains_its_own_callers() {
    let graph = Graph::from([
        ("web".to_owned(), ["shop".to_owned()].into()),
        ("shop".to_owned(), ["pay".to_owned()].into()),
        ("mail".to_owned(), ["pay".to_owned()].into()),
    ]);
    let edge = Edge { from: "shop".into(), to: "pay".into() };
    let target = Target { edges: vec![edge], ..Target::default() };
    let of = |names: &[&str]| {
        let (declared, calm) = (BlastRadius::default(), Calibration::default());
        let signs = names.iter().map(|name| sign(name, 9.0)).collect();
        Radius::new(signs, &graph, &Resources::new(), &target, &declared, calm)
    };
    let radius = of(&["web", "shop", "pay", "mail"]);
    let places: BTreeMap<_, _> =
        radius.suspects.iter().map(|one| (one.service.as_str(), one.place)).collect();
    let expected = [
        ("mail", Place::OffTarget),
        ("pay", Place::Inside),
        ("shop", Place::Explained),
        ("web", Place::Explained),
    ];
    assert_eq!(places, BTreeMap::from(expected));
    assert_eq!(radius.under_reach, [""; 0]);
    let depths: Vec<_> = depth::of_callers(&graph, &target).into_iter().collect();
    assert_eq!(depths, [("pay", 0), ("shop", 1), ("web", 2)]);
    assert_eq!(of(&["mail"]).under_reach, ["shop->pay"]);
}
