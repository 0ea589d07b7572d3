use std::collections::BTreeMap;

use super::blame::{Graph, Place, Radius};
use super::signal::{self, Sign, Signal, Sites};
use crate::document::scope::{Allow, BlastRadius, Target};
use crate::indicator::{Bucket, Series};
use crate::statistics::random::Random;

fn durations(random: &mut Random, buckets: usize, ms: f64) -> Series {
    let mut series = Series { buckets: vec![Bucket::default(); buckets], sampled: 0 };
    for bucket in &mut series.buckets {
        bucket.cells = (0..20).map(|_| (ms * (0.8 + 0.4 * random.unit()), 1)).collect();
        bucket.cells.sort_by(|a, b| a.0.total_cmp(&b.0));
        bucket.n = 20;
    }
    series
}

fn edge(from: &str, to: &str) -> (String, String) {
    (from.into(), to.into())
}

fn named(signs: &[Sign]) -> Vec<&str> {
    signs.iter().map(|sign| sign.service.as_str()).collect()
}

/// Scenario: one edge of four becomes slow; three of a caller's four do; all
/// become slower by a tenth.
/// Guarantees: the callee is blamed for its own edge, the caller for most of its
/// edges, and nobody for a small move however significant.
#[test]
fn a_gap_speaks_of_the_callee_or_the_caller() {
    let mut random = Random::new(1);
    let mut moved = |slow: &dyn Fn(&str) -> f64| {
        let pairs = ["cart", "pay", "ship", "ads"].map(|to| {
            let before = durations(&mut random, 9, 5.0);
            (edge("shop", to), (before, durations(&mut random, 12, slow(to))))
        });
        signal::gaps(&pairs.into())
    };
    assert_eq!(named(&moved(&|to| if to == "pay" { 500.0 } else { 5.0 })), ["pay"]);
    let most = moved(&|to| if to == "ads" { 5.0 } else { 50.0 });
    assert_eq!(named(&most), ["shop", "shop", "shop"]);
    assert_eq!(moved(&|_| 5.5), []);
}

fn sites(traces: u64, hits: &[(&str, u64)]) -> Sites {
    Sites {
        traces: [("pay".to_owned(), traces)].into(),
        hits: hits.iter().map(|(site, n)| (edge("pay", site), *n)).collect(),
    }
}

/// Scenario: a call site that was always there is missing, one is new, one is
/// rarer, all of them in half the traces, and a service that never logged.
/// Guarantees: only missing and new ones are signs: a service that is asked less
/// has the same sites.
#[test]
fn call_sites_shift_by_trace() {
    let before = sites(40, &[("found", 20), ("asked", 40), ("rare", 1)]);
    assert_eq!(signal::sites(&before, &sites(20, &[("found", 10), ("asked", 20)])), []);
    let missing = signal::sites(&before, &sites(30, &[("asked", 30)]));
    assert!(missing.len() == 1 && missing[0].detail.contains("missing"), "{missing:?}");
    let new = sites(30, &[("found", 15), ("asked", 30), ("exception", 12)]);
    let new = signal::sites(&before, &new);
    assert!(new.len() == 1 && new[0].detail.contains("new"), "{new:?}");
    assert_eq!(signal::sites(&Sites::default(), &before), []);
}

/// Scenario: CPU of one service rises far above what it was, of another a little.
/// Guarantees: only the first is a sign; two points say nothing of what is usual.
#[test]
fn cpu_stands_out() {
    let quiet = || vec![0.05, 0.06, 0.05, 0.055, 0.05];
    let pairs = BTreeMap::from([
        ("pay".to_owned(), (quiet(), vec![0.06, 0.3, 0.25])),
        ("shop".to_owned(), (quiet(), vec![0.06, 0.07, 0.06])),
        ("new".to_owned(), (vec![0.0, 0.0], vec![1.0])),
    ]);
    assert_eq!(named(&signal::cpu(&pairs)), ["pay"]);
}

/// Scenario: a caller and its callee show about as much; a stronger sign lies
/// elsewhere; the target shows nothing.
/// Guarantees: the callee comes first, callers of the target are explained, the
/// rest is off target, and a target without a sign is told.
#[test]
fn the_deepest_is_blamed() {
    let graph = Graph::from([
        ("front".to_owned(), ["shop".to_owned()].into()),
        ("shop".to_owned(), ["pay".to_owned()].into()),
    ]);
    let target = |name: &str| Target { services: vec![name.into()], ..Target::default() };
    let sign = |service: &str, strength| Sign {
        signal: Signal::Site,
        service: service.into(),
        strength,
        detail: String::new(),
    };
    let signs = vec![sign("front", 5.0), sign("shop", 4.5), sign("pay", 4.0), sign("ads", 3.2)];
    let open = BlastRadius::default();
    let radius = Radius::new(signs.clone(), &graph, &target("pay"), &open);
    let order: Vec<_> = radius.suspects.iter().map(|s| (s.service.as_str(), s.place)).collect();
    let expected = [
        ("pay", Place::Inside),
        ("front", Place::Explained),
        ("shop", Place::Explained),
        ("ads", Place::OffTarget),
    ];
    assert_eq!(order, expected);
    assert!(radius.under_reach.is_empty());
    let allow = Allow { services: vec!["ads".into()], upstream_depth: None };
    let declared = BlastRadius { allow, ..BlastRadius::default() };
    let radius = Radius::new(signs, &graph, &target("mail"), &declared);
    assert_eq!(radius.under_reach, ["mail"]);
    assert_eq!(radius.suspects.last().map(|s| s.place), Some(Place::Inside));
    assert_eq!(radius.suspects[0].place, Place::OffTarget);
}
