//! A/A: how strong signs get where nothing was injected.
//!
//! Pieces of fault-free time are judged as if they were runs, each beside the
//! others. A service's own noise is the strongest sign that it shows, but for its
//! strongest 5 % of the pieces: noisy ones are noisy for themselves. What a piece
//! shows beyond that comes without warning, from whichever of many services, so it
//! counts for all: no more than 5 % of the pieces may show anything as strong as
//! what stands out. Pieces that overlap show the same event, which counts once; one
//! event is no rate, and is always left out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::seen::Past;
use super::signal::{Beside, Sign, Signal, Usual};
use super::site::{Names, Spread};
use crate::statistics::{ALPHA, rank};
use crate::verdict::calibrate::LEAST;
use crate::window::Span;

/// A piece of fault-free time, judged as if it were a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Pseudo {
    pub span: Span,
    pub signs: Vec<Sign>,
}

/// What fault-free time says of signs that come from the same rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Noise {
    /// Pieces that were judged.
    pub pseudo_windows: usize,
    /// Of these, how many show a large move, and how many one that stands out
    /// beside all others.
    pub nominal: usize,
    pub flagged: usize,
    /// What a sign of a kind must exceed, whosever it is.
    #[serde(skip)]
    common: BTreeMap<Signal, f64>,
    /// What it must exceed besides, by service.
    #[serde(skip)]
    own: BTreeMap<(Signal, String), f64>,
}

/// What fault-free time says of signs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Calibration {
    pub telemetry: Noise,
    pub resources: Noise,
}

impl Calibration {
    /// Whether all that was told could stand out.
    pub fn is_calibrated(&self) -> bool {
        self.pseudo_windows() >= LEAST
    }

    /// Pieces of what fewest are known of; resources are not told everywhere.
    pub fn pseudo_windows(&self) -> usize {
        match self.resources.pseudo_windows {
            0 => self.telemetry.pseudo_windows,
            resources => self.telemetry.pseudo_windows.min(resources),
        }
    }

    /// Whether a sign is stronger than its kind gets where nothing was injected.
    /// Without enough fault-free time nothing is known to be.
    pub fn stands_out(&self, sign: &Sign) -> bool {
        match sign.signal {
            Signal::Cpu => self.resources.stands_out(sign),
            _ => self.telemetry.stands_out(sign),
        }
    }
}

/// Each piece of the past as if it were a run, beside what is `usual`: all of it.
/// One piece more or less moves no median; of call sites it is left out.
pub fn pseudo(past: &Past, usual: &Usual, spread: &Spread, names: &Names) -> Vec<Pseudo> {
    let judged = |span: &Span| {
        let after = &past.piece(*span);
        let sites = &usual.sites.clone().less(&after.sites);
        // Pieces are shorter than runs: what is unsure in one may be sure in the other.
        let signs = Beside { usual, sites, near: None, after, spread, names }.chance();
        Pseudo { span: *span, signs }
    };
    past.pieces.iter().map(judged).collect()
}

/// By kind and service, the strongest sign of each piece: which one, how strong;
/// the strongest first.
type Strengths = BTreeMap<(Signal, String), Vec<(usize, f64)>>;

impl Noise {
    pub fn of(windows: &[Pseudo]) -> Noise {
        let strengths = strengths(windows);
        let few = spare(windows);
        let surprises = surprises(windows, &strengths, few);
        let common = common(windows, &surprises, few);
        let all = |(key, signs): (&(Signal, String), &Vec<(usize, f64)>)| {
            (key.clone(), strongest_but(few, windows, signs.iter()))
        };
        let beyond = |surprise: &BTreeMap<Signal, f64>| {
            surprise.iter().any(|(signal, s)| *s > common.get(signal).copied().unwrap_or(0.0))
        };
        Noise {
            pseudo_windows: windows.len(),
            nominal: windows.iter().filter(|window| !window.signs.is_empty()).count(),
            flagged: surprises.iter().filter(|surprise| beyond(surprise)).count(),
            own: strengths.iter().map(all).collect(),
            common,
        }
    }

    pub fn is_calibrated(&self) -> bool {
        self.pseudo_windows >= LEAST
    }

    pub fn stands_out(&self, sign: &Sign) -> bool {
        let own = self.own.get(&(sign.signal, sign.service.clone())).copied().unwrap_or(0.0);
        let common = self.common.get(&sign.signal).copied().unwrap_or(0.0);
        self.is_calibrated() && sign.strength > own.max(common)
    }
}

/// In how many events what stands out may be shown.
fn spare(windows: &[Pseudo]) -> usize {
    let mut apart = Events::default();
    let count = windows.iter().filter(|window| apart.is_new(window.span)).count();
    ((ALPHA * count as f64).floor() as usize).max(1)
}

/// Spans that overlap are one event.
#[derive(Default)]
struct Events(Vec<Span>);

impl Events {
    fn is_known(&self, span: Span) -> bool {
        self.0.iter().any(|known| known.overlaps(span))
    }

    /// Whether it overlaps none that was new before it.
    fn is_new(&mut self, span: Span) -> bool {
        let new = !self.is_known(span);
        if new {
            self.0.push(span);
        }
        new
    }
}

fn strengths(windows: &[Pseudo]) -> Strengths {
    let mut strengths = Strengths::new();
    for (at, window) in windows.iter().enumerate() {
        for sign in &window.signs {
            let of = strengths.entry((sign.signal, sign.service.clone())).or_default();
            match of.last_mut() {
                Some((last, strength)) if *last == at => *strength = strength.max(sign.strength),
                _ => of.push((at, sign.strength)),
            }
        }
    }
    strengths.values_mut().for_each(|of| of.sort_by(|a, b| b.1.total_cmp(&a.1)));
    strengths
}

/// The strongest of sorted signs but for those of a few events; 0 where there are
/// no more.
fn strongest_but<'s>(
    few: usize,
    windows: &[Pseudo],
    signs: impl Iterator<Item = &'s (usize, f64)>,
) -> f64 {
    let (mut events, mut count) = (Events::default(), 0);
    for (at, strength) in signs {
        let span = windows[*at].span;
        if !events.is_known(span) {
            count += 1;
            if count > few {
                return *strength;
            }
        }
        events.0.push(span);
    }
    0.0
}

/// By kind, the strongest sign of each piece that its service does not show in
/// the others. Those that overlap the piece know of it, and are left out.
fn surprises(windows: &[Pseudo], strengths: &Strengths, few: usize) -> Vec<BTreeMap<Signal, f64>> {
    let surprise = |(at, window): (usize, &Pseudo)| {
        let other = |(of, _): &&(usize, f64)| !windows[*of].span.overlaps(window.span);
        let mut surprise: BTreeMap<Signal, f64> = BTreeMap::new();
        for ((signal, _), signs) in strengths {
            let Some((_, strength)) = signs.iter().find(|(of, _)| *of == at) else { continue };
            if *strength > strongest_but(few, windows, signs.iter().filter(other)) {
                let most = surprise.entry(*signal).or_default();
                *most = most.max(*strength);
            }
        }
        surprise
    };
    windows.iter().enumerate().map(surprise).collect()
}

/// The strongest surprise of each kind, but for a few events: those that are
/// furthest beyond what their kind commonly shows. Kinds have units of their own.
fn common(
    windows: &[Pseudo],
    surprises: &[BTreeMap<Signal, f64>],
    few: usize,
) -> BTreeMap<Signal, f64> {
    let mut usual: BTreeMap<Signal, Vec<f64>> = BTreeMap::new();
    for (signal, strength) in surprises.iter().flatten() {
        usual.entry(*signal).or_default().push(*strength);
    }
    let usual: BTreeMap<Signal, f64> =
        usual.into_iter().map(|(signal, all)| (signal, rank::median_of(all))).collect();
    let beyond = |surprise: &BTreeMap<Signal, f64>| {
        let times = surprise.iter().map(|(signal, s)| s / usual.get(signal).copied().unwrap_or(*s));
        times.fold(0.0, f64::max)
    };
    let mut order: Vec<(f64, &BTreeMap<Signal, f64>, Span)> = surprises
        .iter()
        .zip(windows)
        .map(|(surprise, window)| (beyond(surprise), surprise, window.span))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut spared, mut count) = (Events::default(), 0);
    let mut common: BTreeMap<Signal, f64> = BTreeMap::new();
    for (_, surprise, span) in order {
        let known = spared.is_known(span);
        if known || count < few {
            count += usize::from(!known);
            spared.0.push(span);
            continue;
        }
        for (signal, strength) in surprise {
            let most = common.entry(*signal).or_default();
            *most = most.max(*strength);
        }
    }
    common
}
