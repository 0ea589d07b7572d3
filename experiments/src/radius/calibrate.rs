//! A/A: how strong signs get where nothing was injected. Each service's signs
//! of a kind must be stronger than they are in fault-free time, so that at most
//! 5 % of fault-free pieces would be flagged.

use std::collections::BTreeMap;

use serde::Serialize;

use super::seen::Seen;
use super::signal::{self, Sign, Signal};
use crate::statistics::{ALPHA, rank};
use crate::verdict::calibrate::LEAST;

/// What fault-free time says of signs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// Pieces of fault-free time that were compared with the rest of it.
    pub pseudo_windows: usize,
    /// Of these, how many show any sign, and how many one that is strong enough.
    pub nominal: usize,
    pub flagged: usize,
    #[serde(skip)]
    thresholds: BTreeMap<(Signal, String), f64>,
}

impl Calibration {
    /// `cpu` are the signs of processors in each piece.
    pub fn new(pieces: &[Seen], cpu: Vec<Vec<Sign>>) -> Calibration {
        let mut windows: Vec<Vec<Sign>> = cpu;
        windows.resize(pieces.len(), Vec::new());
        for (at, signs) in windows.iter_mut().enumerate() {
            // The piece before it stands for a baseline; the first has the next.
            let before = pieces.get(at.checked_sub(1).unwrap_or(1));
            let rest = pieces.iter().enumerate().filter(|(other, _)| *other != at);
            let rest: Vec<&Seen> = rest.map(|(_, seen)| seen).collect();
            if let Some(before) = before {
                signs.extend(signal::signs(before, &pieces[at], &rest));
            }
        }
        let top = |signs: &[Sign]| signs.iter().map(|sign| sign.strength).fold(0.0, f64::max);
        let nominal = windows.iter().filter(|signs| !signs.is_empty()).count();
        // The strongest few are what may be flagged; none of the others must be.
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by(|a, b| top(&windows[*b]).total_cmp(&top(&windows[*a])));
        let spare = (ALPHA * windows.len() as f64).floor() as usize;
        let mut thresholds: BTreeMap<(Signal, String), f64> = BTreeMap::new();
        for sign in order.iter().skip(spare).flat_map(|at| &windows[*at]) {
            let threshold = thresholds.entry((sign.signal, sign.service.clone())).or_default();
            *threshold = threshold.max(sign.strength);
        }
        let mut found =
            Calibration { pseudo_windows: windows.len(), nominal, flagged: 0, thresholds };
        found.flagged =
            windows.iter().filter(|signs| signs.iter().any(|sign| found.stands_out(sign))).count();
        found
    }

    pub fn is_calibrated(&self) -> bool {
        self.pseudo_windows >= LEAST
    }

    /// Whether a sign is stronger than its kind is where nothing was injected.
    /// Without enough fault-free time nothing is known to be.
    pub fn stands_out(&self, sign: &Sign) -> bool {
        let own = self.thresholds.get(&(sign.signal, sign.service.clone())).copied();
        let usual = own.unwrap_or(0.0).max(self.typical(sign.signal));
        self.is_calibrated() && sign.strength > usual
    }

    /// What services that showed noise commonly showed: that one has been quiet
    /// so far does not mean that it always is.
    fn typical(&self, signal: Signal) -> f64 {
        let of = self.thresholds.iter().filter(|((kind, _), _)| *kind == signal);
        let typical = rank::median_of(of.map(|(_, threshold)| *threshold));
        if typical.is_nan() { 0.0 } else { typical }
    }
}
