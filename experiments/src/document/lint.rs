//! What cannot work, said before a run wastes its time.

use std::collections::BTreeMap;

use super::Experiment;
use super::guard::{Over, Watch};
use super::probe::{Mode, Severity};
use super::provider::{Measure, Nature, Provider, Subject};
use super::tolerance::Tolerance;
use super::units::Period;
use crate::statistics::power::detectable_ratio;
use crate::window::SEASON;

/// What a report of telemetry takes until it can be judged: a scrape, the
/// evaluation of a rule, the batch of an SDK. Nothing shorter can be measured.
pub const ALERT_DELAY: Period = Period::secs(15 + 15 + 5);
/// A bucket and the batch of an SDK.
pub const RECOVERY_DELAY: Period = Period::secs(5 + 5);

/// Two points of a gauge: between them nothing is known of it.
pub const SCRAPES: Period = Period::secs(30);

/// Requests per second that services take now.
pub type Traffic = BTreeMap<String, f64>;

/// The outcome: what refuses the document, and what a user should know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lint {
    pub errors: Vec<String>,
    pub notes: Vec<String>,
}

/// `traffic` is what is known of it; without it what depends on it is not said.
pub fn lint(experiment: &Experiment, traffic: &Traffic) -> Lint {
    let mut lint = Lint::default();
    hypotheses(experiment, &mut lint);
    expectations(experiment, &mut lint);
    comparison(experiment, &mut lint);
    samples(experiment, traffic, &mut lint);
    crate::guard::lint::guards(experiment, &mut lint);
    not_here(experiment, &mut lint);
    lint
}

fn hypotheses(experiment: &Experiment, lint: &mut Lint) {
    let probes = &experiment.steady_state_hypothesis.probes;
    if !probes.iter().any(|probe| probe.severity == Severity::Critical) {
        lint.errors.push(
            "no critical hypothesis: such a run is invalid whatever happens; give one probe severity: critical".into(),
        );
    }
    if experiment.effect_check.is_none() {
        lint.errors.push(
            "no effect-check: nothing would show that the fault took effect; write one, or effect-check: none for a run without a fault".into(),
        );
    }
    let recovery = experiment.window.recovery;
    for probe in probes {
        if recovery.is_zero() && matches!(probe.mode, Mode::EOT | Mode::Edge) {
            lint.errors.push(format!(
                "{}: mode {:?} looks at the recovery, and window.recovery is 0",
                probe.name, probe.mode
            ));
        }
    }
}

fn expectations(experiment: &Experiment, lint: &mut Lint) {
    if let Some(expected) = experiment.expect.recovery {
        if expected.within < RECOVERY_DELAY {
            lint.errors.push(format!(
                "expect.recovery within {} is shorter than a bucket and an export ({RECOVERY_DELAY}) and cannot be measured",
                expected.within
            ));
        }
        let whole = Period(expected.within.0 + expected.stay.0);
        if experiment.window.recovery < whole {
            lint.errors.push(format!(
                "expect.recovery needs {whole} (within and stay), and window.recovery is {}",
                experiment.window.recovery
            ));
        }
    }
    if let Some(within) = experiment.expect.scaling.as_ref().and_then(|s| s.time_to_ready)
        && within < SCRAPES
    {
        lint.errors.push(format!(
            "expect.scaling time-to-ready {within} is shorter than two scrapes ({SCRAPES}) and cannot be measured"
        ));
    }
    for alert in &experiment.expect.alerts {
        if alert.not && (alert.within.is_some() || alert.resolve_within.is_some()) {
            lint.errors.push(format!(
                "alert {}: not: true is for the whole run; leave within and resolve-within out",
                alert.rule
            ));
        }
        for (key, within) in [("within", alert.within), ("resolve-within", alert.resolve_within)] {
            if let Some(within) = within.filter(|within| *within < ALERT_DELAY) {
                lint.errors.push(format!(
                    "alert {}: {key} {within} is shorter than scrape, evaluation and export ({ALERT_DELAY}) and cannot be measured",
                    alert.rule
                ));
            }
        }
    }
}

/// What a run is compared with.
fn comparison(experiment: &Experiment, lint: &mut Lint) {
    let window = &experiment.window;
    if let Some(ago) = window.baseline.ago() {
        let longest = window.injection.unwrap_or_default().0 + window.recovery.0;
        let least = Period(longest + SEASON.0);
        if ago < least {
            lint.errors.push(format!(
                "baseline like -{ago} lies within the run or close to it; write at least -{least}, or a length before the injection, like 10m"
            ));
        }
        if experiment.control.is_some() {
            lint.errors.push(
                "control and baseline: {like: …} both take off what is not the fault's doing; use one".into(),
            );
        }
    }
    let Some(control) = &experiment.control else { return };
    for (service, other) in &control.services {
        if experiment.target.is_level_0(other) {
            lint.errors.push(format!(
                "control: {other} stands in for {service} and is a target; a control is what the fault leaves alone"
            ));
        }
    }
    let relative = experiment.steady_state_hypothesis.probes.iter().any(|probe| {
        matches!((&probe.provider, &probe.tolerance), (Provider::Measure(measure), Tolerance::Relative(_))
            if control.of(measure).is_some())
    });
    if !relative {
        lint.errors.push(
            "control: no probe compares one of its services with the baseline; write max-increase or max-decrease, or leave control out".into(),
        );
    }
}

fn samples(experiment: &Experiment, traffic: &Traffic, lint: &mut Lint) {
    let rate = |provider: &Provider| match provider {
        Provider::Measure(Measure { subject: Subject::Service { service, .. }, .. }) => {
            traffic.get(service).copied()
        }
        _ => None,
    };
    for guard in &experiment.guard {
        let Watch::Threshold(threshold) = &guard.watch else { continue };
        let (Over::Window(window), Some(rate)) = (threshold.over, rate(&threshold.provider)) else {
            continue;
        };
        let expected = rate * window.0.as_secs_f64();
        if expected < threshold.min_samples as f64 {
            let detectable = detectable_ratio(expected, 0.0);
            lint.errors.push(format!(
                "guard {}: {window} of current traffic are {expected:.0} samples, min-samples is {}; lengthen window. With these samples an error ratio under {:.0} % cannot be told from none",
                guard.name, threshold.min_samples, detectable * 100.0
            ));
        }
    }
    let Some(injection) = experiment.window.injection else { return };
    let seconds = injection.0.saturating_sub(experiment.window.settle.0).as_secs_f64();
    for probe in &experiment.steady_state_hypothesis.probes {
        let Provider::Measure(measure) = &probe.provider else { continue };
        let (Nature::Ratio, Some(rate)) = (measure.indicator.nature(), rate(&probe.provider))
        else {
            continue;
        };
        lint.notes.push(format!(
            "{}: {:.0} samples in the injection can show a change of {:.2} points or more",
            probe.name,
            rate * seconds,
            detectable_ratio(rate * seconds, 0.0) * 100.0
        ));
    }
}

/// What the document may say and this version does not do. A verdict never
/// counts it as held.
fn not_here(experiment: &Experiment, lint: &mut Lint) {
    let mut note = |what: &str| lint.notes.push(what.to_owned());
    if experiment.guard.iter().any(|guard| guard.watch != Watch::TelemetryHealth) {
        note("guards stop a run while it goes on; `experiment judge`, which looks back, asks none");
    }
    if experiment.report.publish.is_some() {
        note(
            "report.publish is a daemon's: one that judges the run publishes it where its experiments.publish allows; `experiment judge` publishes nothing",
        );
    }
    if experiment.method.is_some() {
        note("method is recorded, never executed");
    }
    if experiment.rollbacks.is_some() {
        note("rollbacks are played by `experiment run`, over HTTP to hosts of --egress alone");
    }
}
