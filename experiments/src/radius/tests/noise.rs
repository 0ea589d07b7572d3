//! False flags and power over generated days.

use super::super::calibrate::{Noise, pseudo};
use super::super::signal::{Beside, Sign, Signal, Usual};
use super::super::site::Spread;
use super::system::{Harm, SERVICES, System};

const DAYS: u64 = 40;

/// What stands out in a stretch of each day, and the days' shares of pieces that
/// would be flagged.
fn stands_out(days: u64, past: impl Fn(i64) -> Harm, harm: Harm) -> Vec<Vec<Sign>> {
    let day = |seed: u64| {
        let mut system = System::new(seed);
        let past = system.past(&past);
        let phase = system.phase(18, harm);
        let (spread, names) = (Spread::of(&past), &system.names);
        let usual = &Usual::of(&past.whole());
        let noise = Noise::of(&pseudo(&past, usual, &spread, names));
        assert!(noise.flagged * 20 <= noise.pseudo_windows, "{noise:?}");
        let (sites, after, spread) = (&usual.sites, &phase, &spread);
        let mut signs = Beside { usual, sites, near: None, after, spread, names }.signs();
        signs.retain(|sign| noise.stands_out(sign));
        signs.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        // What is only carried on is no cause.
        signs.sort_by_key(|sign| sign.signal == Signal::Carried);
        signs
    };
    (0..days).map(day).collect()
}

/// Scenario: forty days of a system with a trend, a service that is noisy by
/// nature, and bursts at any service in three pieces of a hundred; a stretch of
/// each day without any fault.
/// Guarantees: at most one stretch in twenty is flagged.
#[test]
fn bursts_and_trends_are_not_flagged() {
    let found = stands_out(DAYS, |_| Harm::default(), Harm::default());
    let flagged: Vec<&Vec<Sign>> = found.iter().filter(|signs| !signs.is_empty()).collect();
    assert!(flagged.len() * 20 <= DAYS as usize, "{} flagged: {flagged:?}", flagged.len());
}

/// Scenario: the same days; one service logs an error in most of its traces, takes
/// three times as long, fails in a third of them, or leaves out half of its calls; a
/// database that tells nothing itself answers its two callers in three times as long.
/// Guarantees: it stands out first on at least nineteen of twenty days, also where
/// its caller carries its errors on.
#[test]
fn planted_faults_stand_out() {
    let faults = [
        Harm { error: Some((7, 0.9)), ..Harm::default() },
        Harm { slow: Some((4, 3.0)), ..Harm::default() },
        Harm { fail: Some((6, 0.33)), ..Harm::default() },
        Harm { skip: Some((3, 0.4)), ..Harm::default() },
        Harm { wait: Some(3.0), ..Harm::default() },
    ];
    for (harm, service) in faults.into_iter().zip(["s7", "s4", "s6", "s3", "db"]) {
        let found = stands_out(20, |_| Harm::default(), harm);
        let first = |signs: &&Vec<Sign>| signs.first().is_some_and(|sign| sign.service == service);
        let right = found.iter().filter(first).count();
        assert!(right >= 19, "{harm:?}: {right}");
    }
}

/// Scenario: in two of the forty pieces another fault had already begun, each at
/// another service.
/// Guarantees: a fault still stands out: what is called fault-free need not all
/// be.
#[test]
fn faults_that_began_early_hide_no_others() {
    let early = |at: i64| match at {
        5 | 20 => Harm { error: Some((at as usize % SERVICES, 1.0)), ..Harm::default() },
        _ => Harm::default(),
    };
    let found = stands_out(20, early, Harm { error: Some((7, 0.9)), ..Harm::default() });
    let first = |signs: &&Vec<Sign>| signs.first().is_some_and(|sign| sign.service == "s7");
    assert!(found.iter().filter(first).count() >= 19, "{found:?}");
}
