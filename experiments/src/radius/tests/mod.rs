//! | file | what it proves |
//! | --- | --- |
//! | [`system`] | the generator: services, operations, call sites, durations, seeded |
//! | [`noise`] | false flags and power over generated days |
//! | [`request`] | errors, calls, and what explains who is touched |
//! | [`extent`] | endpoints, shares of requests, users |
//! | [`past`] | which fault-free time is taken, and how it is cut |

mod extent;
mod noise;
mod past;
mod request;
mod system;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::blame::{Graph, Place, Radius, Resources};
use super::calibrate::{Calibration, Noise, Pseudo};
use super::history::History;
use super::seen::{Answers, Past, Seen};
use super::signal::{self, About, Beside, Sign, Signal, Usual};
use super::site::{self, Names, Sites, Spread};
use crate::document::scope::{Allow, BlastRadius, Target};
use crate::indicator::{Series, Table};
use crate::statistics::random::Random;
use crate::window::{BUCKET, Span};

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
        let seen = |gaps| Seen { gaps, ..Seen::default() };
        let (before, after) = (seen(of(9, &|_| 5.0)), seen(of(12, slow)));
        beside(&before, &after, &Spread::default(), &Names::default())
    };
    assert_eq!(named(&moved(&|to| if to == "pay" { 500.0 } else { 5.0 })), ["pay"]);
    let most = moved(&|to| if to == "ads" { 5.0 } else { 50.0 });
    assert_eq!(named(&most), ["shop", "shop", "shop"]);
    assert_eq!(moved(&|_| 5.5), []);
}

/// Traces of one operation, and in how many of them each call site was said.
fn sites(names: &mut Names, traces: u64, hits: &[(&str, u64)]) -> Sites {
    let charge = names.operation("pay", "charge");
    Sites {
        traces: [(charge, traces)].into(),
        hits: hits.iter().map(|(site, n)| (names.site(charge, site, 0), *n)).collect(),
    }
}

fn by_sites(before: &Sites, after: &Sites, spread: &Spread, names: &Names) -> Vec<Sign> {
    let seen = |sites: &Sites| Seen { sites: sites.clone(), ..Seen::default() };
    beside(&seen(before), &seen(after), spread, names)
}

fn beside(usual: &Seen, after: &Seen, spread: &Spread, names: &Names) -> Vec<Sign> {
    let usual = &Usual::of(usual);
    Beside { usual, sites: &usual.sites, near: None, after, spread, names }.signs()
}

/// Scenario: a call site that was always there is missing, one is new, one is
/// rarer, all of them in half the traces; a service that never logged, and one
/// that does not log any more.
/// Guarantees: only what an operation says in another share of its traces is a
/// sign, however often it is asked; of who is not heard nothing is missing.
#[test]
fn call_sites_shift_by_trace() {
    let mut names = Names::default();
    let before = sites(&mut names, 40, &[("found", 20), ("asked", 40), ("rare", 1)]);
    let mut signs = |traces, hits: &[(&str, u64)]| {
        let after = sites(&mut names, traces, hits);
        by_sites(&before, &after, &Spread::default(), &names)
    };
    assert_eq!(signs(20, &[("found", 10), ("asked", 20)]), []);
    let missing = signs(30, &[("asked", 30)]);
    assert!(
        missing.len() == 1 && missing[0].detail.contains("less often in charge"),
        "{missing:?}"
    );
    let new = signs(30, &[("found", 15), ("asked", 30), ("exception", 12)]);
    assert!(new.len() == 1 && new[0].detail.contains("more often in charge"), "{new:?}");
    assert_eq!(signs(30, &[]), []);
    let spread = Spread::default();
    assert_eq!(by_sites(&Sites::default(), &before, &spread, &names), []);
}

/// Scenario: two of three traces say what one of forty did, and three of three.
/// Guarantees: where counts are small their chance is counted out, 0.0098 and
/// 0.0003, and not taken from the root of G, which makes more of it.
#[test]
fn few_traces_are_counted_out() {
    let mut names = Names::default();
    let before = sites(&mut names, 40, &[("asked", 40), ("odd", 1)]);
    let mut strength = |hits: u64| {
        let after = sites(&mut names, 3, &[("asked", 3), ("odd", hits)]);
        let shifts = site::shifts(&before, &after, &Spread::default(), &names);
        shifts.iter().map(|shift| shift.strength).fold(0.0, f64::max)
    };
    let (two, three) = (strength(2), strength(3));
    assert!((2.5..2.8).contains(&two) && (3.2..3.6).contains(&three), "{two} {three}");
}

/// Fault-free pieces of four buckets each, and how often `swings` and `even` are
/// said in each of their five traces a bucket.
fn past(pieces: &[(u64, u64)], names: &mut Names) -> Past {
    let spans: Vec<Span> = (0..pieces.len() as i64)
        .map(|at| Span { from: at * 10 * BUCKET.nanos(), buckets: 4 })
        .collect();
    let row = |bucket: usize, site: &str, hits: u64| -> Vec<Value> {
        let cells = [json!(bucket), json!("pay"), json!("charge"), json!(20), json!(site)];
        cells.into_iter().chain([hits, 0, 0, 0].map(|n| json!(n))).collect()
    };
    let rows = pieces.iter().enumerate().flat_map(|(at, (swings, even))| {
        let sites = [("asked", 20), ("swings", *swings), ("even", *even)];
        sites.map(|(site, hits)| row(at * 10, site, hits))
    });
    let table = Table { rows: rows.collect(), ..Table::default() };
    Past::read(History { pieces: spans, margin: 0 }, Answers::of_sites(&table), names)
}

/// Scenario: a call site whose share swings between fault-free pieces, one that
/// is even, and a piece in which something happened after all.
/// Guarantees: the first moves far without being a sign, the second is one, and
/// the odd piece does not hide it.
#[test]
fn what_swings_by_itself_is_no_sign() {
    let mut names = Names::default();
    let mut pieces: Vec<(u64, u64)> =
        (0..8).map(|at| (if at % 2 == 0 { 1 } else { 15 }, 20)).collect();
    pieces.push((8, 2));
    let past = past(&pieces, &mut names);
    let after = sites(&mut names, 20, &[("asked", 20), ("swings", 18), ("even", 2)]);
    let signs = by_sites(&past.whole().sites, &after, &Spread::of(&past), &names);
    assert!(signs.len() == 1 && signs[0].detail.ends_with("even"), "{signs:?}");
}

fn sign(service: &str, strength: f64) -> Sign {
    Sign {
        signal: Signal::Site,
        service: service.into(),
        strength,
        about: About::default(),
        onset: None,
        detail: String::new(),
    }
}

fn pseudo(signs: Vec<Vec<Sign>>) -> Vec<Pseudo> {
    let span = |at: usize| Span { from: at as i64 * BUCKET.nanos() * 8, buckets: 4 };
    let each = signs.into_iter().enumerate();
    each.map(|(at, signs)| Pseudo { span: span(at), signs }).collect()
}

/// Scenario: forty fault-free pieces; one service shows signs in a third of them,
/// others in one piece each: 50, 40, 6.
/// Guarantees: the noisy one is noisy for itself alone; the two strongest of forty
/// surprises may be flagged, the third is what any service must exceed; with too
/// few pieces nothing stands out.
#[test]
fn signs_are_told_from_noise() {
    let pieces = |count: usize| {
        let mut noise = vec![Vec::new(); count];
        noise.iter_mut().step_by(3).for_each(|signs| signs.push(sign("ads", 9.0)));
        noise[1].push(sign("pay", 50.0));
        noise[2].push(sign("cart", 40.0));
        noise[4].push(sign("mail", 6.0));
        Noise::of(&pseudo(noise))
    };
    let noise = pieces(40);
    assert_eq!((noise.pseudo_windows, noise.nominal, noise.flagged), (40, 17, 2));
    for service in ["pay", "shop"] {
        assert!(!noise.stands_out(&sign(service, 6.0)) && noise.stands_out(&sign(service, 6.1)));
    }
    assert!(!noise.stands_out(&sign("ads", 9.0)) && noise.stands_out(&sign("ads", 9.1)));
    assert!(!pieces(10).stands_out(&sign("pay", 99.0)));
}

/// Scenario: an event in six pieces that overlap, and a weaker one.
/// Guarantees: the first counts once, is spared, and is no precedent of itself;
/// the second is what others must exceed.
#[test]
fn an_event_counts_once() {
    let mut windows = pseudo(vec![Vec::new(); 40]);
    for (at, window) in windows.iter_mut().enumerate() {
        window.span.from = at as i64 * BUCKET.nanos();
        match at {
            8..14 => window.signs.push(sign("pay", 7.0)),
            24 => window.signs.push(sign("cart", 6.0)),
            _ => {}
        }
    }
    let noise = Noise::of(&windows);
    assert!(!noise.stands_out(&sign("shop", 6.0)) && noise.stands_out(&sign("shop", 6.1)));
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
    let signs = vec![sign("front", 5.0), sign("shop", 4.5), sign("pay", 4.0), sign("ads", 3.2)];
    let open = BlastRadius::default();
    let (none, calibration) = (Resources::new(), Calibration::default());
    let radius =
        Radius::new(signs.clone(), &graph, &none, &target("pay"), &open, calibration.clone());
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
    let radius = Radius::new(signs, &graph, &none, &target("mail"), &declared, calibration);
    assert_eq!(radius.under_reach, ["mail"]);
    assert_eq!(radius.suspects.last().map(|s| s.place), Some(Place::Inside));
    assert_eq!(radius.suspects[0].place, Place::OffTarget);
}
