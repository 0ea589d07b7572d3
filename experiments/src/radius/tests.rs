use std::collections::BTreeMap;

use super::blame::{Graph, Place, Radius};
use super::calibrate::Calibration;
use super::seen::Seen;
use super::signal::{self, Sign, Signal};
use super::site::{self, Sites};
use crate::document::scope::{Allow, BlastRadius, Target};
use crate::indicator::Series;
use crate::statistics::random::Random;

fn durations(random: &mut Random, buckets: usize, ms: f64) -> Series {
    let mut series = Series::empty(buckets);
    for bucket in &mut series.buckets {
        bucket.cells = (0..20).map(|_| (ms * (0.8 + 0.4 * random.unit()), 1.0)).collect();
        bucket.cells.sort_by(|a, b| a.0.total_cmp(&b.0));
        bucket.n = 20.0;
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
        let mut of = |buckets, ms: &dyn Fn(&str) -> f64| {
            let to = ["cart", "pay", "ship", "ads"];
            to.map(|to| (edge("shop", to), durations(&mut random, buckets, ms(to)))).into()
        };
        signal::gaps(&of(9, &|_| 5.0), &of(12, slow))
    };
    assert_eq!(named(&moved(&|to| if to == "pay" { 500.0 } else { 5.0 })), ["pay"]);
    let most = moved(&|to| if to == "ads" { 5.0 } else { 50.0 });
    assert_eq!(named(&most), ["shop", "shop", "shop"]);
    assert_eq!(moved(&|_| 5.5), []);
}

/// Traces of one operation, and in how many of them each call site was said.
fn sites(traces: u64, hits: &[(&str, u64)]) -> Sites {
    let charge = edge("pay", "charge");
    Sites {
        traces: [(charge.clone(), traces)].into(),
        hits: hits.iter().map(|(site, n)| ((charge.clone(), site.to_string(), 0), *n)).collect(),
    }
}

/// Scenario: a call site that was always there is missing, one is new, one is
/// rarer, all of them in half the traces; a service that never logged, and one
/// that does not log any more.
/// Guarantees: only what an operation says in another share of its traces is a
/// sign, however often it is asked; of who is not heard nothing is missing.
#[test]
fn call_sites_shift_by_trace() {
    let before = sites(40, &[("found", 20), ("asked", 40), ("rare", 1)]);
    let signs = |after: &Sites| site::signs(&before, after, &[]);
    assert_eq!(signs(&sites(20, &[("found", 10), ("asked", 20)])), []);
    let missing = signs(&sites(30, &[("asked", 30)]));
    assert!(
        missing.len() == 1 && missing[0].detail.contains("less often in charge"),
        "{missing:?}"
    );
    let new = signs(&sites(30, &[("found", 15), ("asked", 30), ("exception", 12)]));
    assert!(new.len() == 1 && new[0].detail.contains("more often in charge"), "{new:?}");
    assert_eq!(site::signs(&Sites::default(), &before, &[]), []);
    assert_eq!(signs(&sites(30, &[])), []);
}

/// Scenario: a call site whose share swings between fault-free stretches, one
/// that is even, and a stretch in which something happened after all.
/// Guarantees: the first moves far without being a sign, the second is one, and
/// the odd stretch does not hide it.
#[test]
fn what_swings_by_itself_is_no_sign() {
    let stretch = |swings, even| sites(20, &[("asked", 20), ("swings", swings), ("even", even)]);
    let mut history: Vec<Sites> =
        (0..8).map(|at| stretch(if at % 2 == 0 { 1 } else { 15 }, 20)).collect();
    history.push(stretch(8, 2));
    let usual = Sites::sum(history.iter());
    let pieces: Vec<&Sites> = history.iter().collect();
    let signs = site::signs(&usual, &stretch(18, 2), &pieces);
    assert!(signs.len() == 1 && signs[0].detail.ends_with("even"), "{signs:?}");
}

/// Scenario: fault-free pieces in two of which a service showed signs, forty and
/// ten of them, and a sign as strong as these and a stronger one.
/// Guarantees: what gets as strong without a fault does not stand out, in a quiet
/// service neither; with too few pieces nothing does.
#[test]
fn signs_are_told_from_noise() {
    let sign = |service: &str, strength| Sign {
        signal: Signal::Cpu,
        service: service.into(),
        strength,
        detail: String::new(),
    };
    let calibrated = |pieces: usize| {
        let mut noise = vec![Vec::new(); pieces];
        // The two strongest of forty are the ones that may be flagged.
        noise[1] = vec![sign("pay", 50.0)];
        noise[2] = vec![sign("pay", 40.0)];
        noise[3] = vec![sign("pay", 6.0)];
        Calibration::new(&vec![Seen::default(); pieces], noise)
    };
    let many = calibrated(40);
    assert_eq!((many.pseudo_windows, many.nominal, many.flagged), (40, 3, 2));
    assert!(!many.stands_out(&sign("pay", 6.0)) && many.stands_out(&sign("pay", 6.1)));
    assert!(!many.stands_out(&sign("shop", 5.9)) && many.stands_out(&sign("shop", 6.1)));
    assert!(!calibrated(10).stands_out(&sign("pay", 99.0)));
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
    let radius = Radius::new(signs.clone(), &graph, &target("pay"), &open, Calibration::default());
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
    let radius = Radius::new(signs, &graph, &target("mail"), &declared, Calibration::default());
    assert_eq!(radius.under_reach, ["mail"]);
    assert_eq!(radius.suspects.last().map(|s| s.place), Some(Place::Inside));
    assert_eq!(radius.suspects[0].place, Place::OffTarget);
}
