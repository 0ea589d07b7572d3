//! Call sites of a service against a tolerance. What is usual comes from
//! fault-free time, and a site must move further than sites of its service do
//! there.

use crate::document::probe::Direction;
use crate::document::provider::{Measure, Subject};
use crate::radius::calibrate::{self, Noise};
use crate::radius::signal::Usual;
use crate::radius::site::{self, Names, Shift, Spread};
use crate::window::Phase;

use super::evidence::{Evidence, Gap, Sighting, Source};
use super::finding::{Reason, Ruling};
use super::missing::{self, Sight};

/// Whether at most the share `limit` of an operation's traces say something else
/// than they did. For a probe of the injection.
pub fn within(measure: &Measure, evidence: &Evidence, limit: f64) -> Ruling {
    let seen = match shifts(measure, evidence) {
        Ok(seen) => seen,
        Err(ruling) => return ruling,
    };
    let beyond = |shift: &&Shift| lowest(shift) > limit;
    if let Some(shift) = seen.strongest(&beyond) {
        return Ruling::deviated(shift.detail(seen.names));
    }
    let highest = seen.shifts.iter().map(highest).fold(0.0, f64::max);
    if highest <= limit {
        return Ruling::held(format!("no call site moved by more than {highest:.3} of the traces"));
    }
    let detail = format!("a call site may have moved by {highest:.3} of the traces, or by nothing");
    Ruling::inconclusive(Reason::TooFew, detail)
}

/// Whether a fault was seen by a call site that moved by at least `wanted`.
pub fn moved(measure: &Measure, direction: Direction, evidence: &Evidence, wanted: f64) -> Ruling {
    let seen = match shifts(measure, evidence) {
        Ok(seen) => seen,
        // That a service fell silent is told by the hypotheses.
        Err(ruling) => {
            return Ruling::inconclusive(ruling.reason.unwrap_or(Reason::NoData), ruling.detail);
        }
    };
    if direction == Direction::Decrease {
        let detail = "call sites shift or do not: only an increase of the shift can be shown";
        return Ruling::inconclusive(Reason::Error, detail);
    }
    let far = |shift: &&Shift| shift.share().abs() >= wanted && lowest(shift) > 0.0;
    if let Some(shift) = seen.strongest(&far) {
        return Ruling::held(shift.detail(seen.names));
    }
    let highest = seen.shifts.iter().map(highest).fold(0.0, f64::max);
    let detail =
        format!("no call site moved by {wanted:.3} of the traces; at most by {highest:.3}");
    if highest < wanted {
        return Ruling::invalid(Reason::NoEffect, detail);
    }
    Ruling::inconclusive(Reason::TooFew, detail)
}

fn lowest(shift: &Shift) -> f64 {
    let moved = shift.moved();
    if moved.estimate > 0.0 { moved.low } else { -moved.high }
}

fn highest(shift: &Shift) -> f64 {
    let moved = shift.moved();
    moved.low.abs().max(moved.high.abs())
}

/// The shifts of one service, and what fault-free time says of such.
struct Told<'e> {
    shifts: Vec<Shift>,
    noise: Noise,
    names: &'e Names,
}

impl Told<'_> {
    fn strongest(&self, fits: &impl Fn(&&Shift) -> bool) -> Option<&Shift> {
        let out = |shift: &&Shift| {
            shift.is_large() && self.noise.stands_out(&shift.sign(self.names)) && fits(shift)
        };
        let found = self.shifts.iter().filter(out);
        found.max_by(|a, b| a.strength.total_cmp(&b.strength))
    }
}

fn shifts<'e>(measure: &Measure, evidence: &'e Evidence) -> Result<Told<'e>, Ruling> {
    let Subject::Service { service, .. } = &measure.subject else {
        return Err(Ruling::inconclusive(Reason::Error, "call sites are of a service"));
    };
    let sighting = match evidence.sites.as_ref().map(|asked| &asked.answer) {
        Some(Ok(sighting)) => sighting,
        Some(Err(Gap::Error(why))) => return Err(Ruling::inconclusive(Reason::Error, why.clone())),
        Some(Err(Gap::Incomplete(why))) => {
            return Err(Ruling::inconclusive(Reason::PipelineGap, why.clone()));
        }
        None => return Err(Ruling::inconclusive(Reason::Error, "call sites were not asked for")),
    };
    for source in [Source::Spans, Source::Logs] {
        if let Sight::Behind(why) = missing::sight(evidence, source, Phase::Injection, 0) {
            return Err(Ruling::inconclusive(Reason::PipelineGap, why));
        }
    }
    let Sighting { injection, past, names } = sighting;
    let usual = Usual::of(&past.whole());
    for (sites, when) in [(&usual.sites, "in fault-free time"), (injection, "in the injection")] {
        if !sites.speaking(names).contains(service.as_str()) {
            let detail = format!("{service} logged nothing that belongs to a request {when}");
            return Err(Ruling::inconclusive(Reason::NoData, detail));
        }
    }
    let spread = Spread::of(past);
    let noise = Noise::of(&calibrate::pseudo(past, &usual, &spread, names));
    if !noise.is_calibrated() {
        let detail = format!("{} pieces of fault-free time are too few", noise.pseudo_windows);
        return Err(Ruling::inconclusive(Reason::Uncalibrated, detail));
    }
    let mut shifts = site::shifts(&usual.sites, injection, &spread, names);
    shifts.retain(|shift| names.service(shift.site.operation) == service.as_str());
    if shifts.is_empty() {
        let detail = format!("{service} was asked too seldom to tell its call sites");
        return Err(Ruling::inconclusive(Reason::TooFew, detail));
    }
    Ok(Told { shifts, noise, names })
}
