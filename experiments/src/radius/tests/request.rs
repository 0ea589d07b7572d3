//! Errors, calls, and what explains a service that they touch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::blame::{Graph, Place, Radius, Resources, Why};
use super::super::calibrate::Calibration;
use super::super::depth;
use super::super::seen::{self, Answers, Seen};
use super::super::signal::{Beside, Sign, Signal, Usual};
use super::super::site::{Names, Spread};
use super::{durations, edge, sign};
use crate::document::provider::Edge;
use crate::document::scope::{BlastRadius, Target};
use crate::indicator::Table;
use crate::statistics::random::Random;
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
    let (exclusive, requests) = (Some(&times), Some(&requests));
    let answers = Answers { exclusive, gaps: None, waits: None, sites: &nothing, requests };
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

/// Scenario: a shop waits for a database, and for a service that it calls by its
/// host and that tells nothing of the call; each becomes slow, then both; errors of
/// calls to the database, which is the target.
/// Guarantees: the database is in the graph and marked as known by its callers
/// alone; it is blamed for its slowness, the service for its own, and the shop where
/// it waits longer for most; a target that cannot tell shows by errors of its
/// callers, and explains them.
#[test]
fn who_tells_nothing_is_known_by_its_callers() {
    let (host, database) = ("pay.shop.svc:443", "postgresql/orders");
    let seen = |slow: &[&str]| {
        let mut random = Random::new(1);
        let mut of = |to: &str| {
            let ms = if slow.contains(&to) { 90.0 } else { 9.0 };
            (edge("shop", to), durations(&mut random, 12, ms))
        };
        let waits = [host, database, "redis"].map(&mut of).into();
        let exclusive = [("pay".to_owned(), durations(&mut random, 12, 5.0))].into();
        Seen { exclusive, waits, ..Seen::default() }
    };
    let (spread, names) = (&Spread::default(), &Names::default());
    let mut graph = Graph::new();
    let mut blamed = |slow: &[&str]| -> Vec<String> {
        let (usual, after) = (&Usual::of(&seen(&[])), &seen(slow));
        let beside = Beside { usual, sites: &usual.sites, near: None, after, spread, names };
        assert_eq!(beside.uninstrumented(&mut graph), [database, "redis"].map(String::from).into());
        beside.signs().into_iter().map(|sign| sign.service).collect()
    };
    assert_eq!(blamed(&[]), Vec::<String>::new());
    assert_eq!(blamed(&[database]), [database]);
    assert_eq!(blamed(&[host]), ["pay"]);
    assert_eq!(blamed(&[host, database]), ["shop", "shop"]);
    assert_eq!(graph["shop"], ["pay", database, "redis"].map(String::from).into());
    let mut failing = sign("shop", 5.0);
    failing.signal = Signal::Error;
    failing.about.edge = Some(edge("shop", database));
    let target = |name: &str| Target { services: vec![name.into()], ..Target::default() };
    let of = |name: &str| {
        let (declared, calm) = (BlastRadius::default(), Calibration::default());
        let signs = vec![failing.clone()];
        Radius::new(signs, &graph, &Resources::new(), &target(name), &declared, calm)
    };
    let radius = of(database);
    assert_eq!((radius.suspects[0].place, radius.under_reach.len()), (Place::Explained, 0));
    assert_eq!(of("redis").under_reach, ["redis"]);
}
