//! Guards that cannot work, said before a run.

use super::subject::Subject;
use crate::document::Experiment;
use crate::document::guard::{Guard, Over, Threshold, Watch};
use crate::document::lint::Lint;
use crate::document::provider::{Family, Indicator, Outcome, Provider};
use crate::document::units::Period;

/// A guard looks at now: a longer look is a hypothesis, or counts since inject.
pub const LONGEST: Period = Period::secs(600);
/// The usual batch of an SDK: in a shorter look many windows are empty.
const BATCH: Period = Period::secs(5);
/// Metrics come every 15 to 60 s; two of them are needed.
const SCRAPES: Period = Period::secs(60);
/// Guards of a document, and so subjects that one run listens to.
pub const MOST: usize = 64;
/// From the receipt of what tips a guard to its answer, when it is heard; the
/// rest of its delay is the document's.
const HEARD: Period = Period::secs(1);

pub fn guards(experiment: &Experiment, lint: &mut Lint) {
    if experiment.guard.len() > MOST {
        let message = format!("{} guards; a run may have {MOST}", experiment.guard.len());
        lint.errors.push(message);
    }
    for (at, guard) in experiment.guard.iter().enumerate() {
        let same = |other: &Guard| other.name == guard.name;
        if experiment.guard[..at].iter().any(same) {
            let message = format!("two guards are named {}; give each a name", guard.name);
            lint.errors.push(message);
        }
        if let Watch::Threshold(threshold) = &guard.watch {
            check(guard, threshold, lint);
        }
    }
}

fn check(guard: &Guard, threshold: &Threshold, lint: &mut Lint) {
    let name = &guard.name;
    let mut error = |message: String| lint.errors.push(format!("guard {name}: {message}"));
    let measure = match &threshold.provider {
        Provider::Sql { result: Outcome::Table, .. } => {
            error("result: table is no number; use rows or scalar".into());
            None
        }
        Provider::Sql { .. } => None,
        Provider::Measure(measure) => Some(measure),
    };
    if measure.is_some_and(|m| m.indicator == Indicator::StructureDivergence) {
        error("structure_divergence compares with a baseline, and a guard looks at now; make it a probe".into());
    }
    if let Over::Window(window) = threshold.over {
        let scraped = measure.is_some_and(|measure| measure.family == Family::Resource);
        if window > LONGEST {
            error(format!("window {window} is longer than {LONGEST}; a guard looks at now"));
        } else if scraped && window < SCRAPES {
            error(format!("window {window} may hold no point of a metric; give 2m"));
        } else if window < BATCH {
            lint.notes.push(format!(
                "guard {name}: window {window} is shorter than the batch of an SDK ({BATCH}) and may be empty between two"
            ));
        }
    }
    let heard = measure.is_some_and(|measure| Subject::of(measure).is_some());
    let asked = if heard { String::new() } else { ", and is asked by SQL every 5s".to_owned() };
    lint.notes.push(format!(
        "guard {name}: stops within {HEARD} of what tips it being received, and for: {}{asked}",
        threshold.lasting
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::lint::{Traffic, lint};
    use crate::guard::tests::experiment;

    fn errors(guards: &str) -> Vec<String> {
        lint(&experiment(guards), &Traffic::new()).errors
    }

    /// Scenario: guards that cannot work, and ones that can; `off-target: abort`.
    /// Guarantees: each is refused with its name and what to write; a note says
    /// how soon a guard stops and whether it is asked by SQL.
    #[test]
    fn guards_that_cannot_work_are_refused() {
        let good = "{service: shop, indicator: p95, when: \"> 1s\"}";
        assert_eq!(errors(good), [""; 0]);
        for (guard, words) in [
            ("{service: shop, indicator: p95, when: \"> 1s\", window: 20m}", "longer than 10m"),
            ("{service: shop, indicator: resource.cpu, when: \"> 1\"}", "give 2m"),
            (
                "{provider: {type: sql, query: SELECT 1, result: table}, when: \"> 1\"}",
                "use rows or scalar",
            ),
            (&*format!("{good}, {good}"), "give each a name"),
            (&vec![good; MOST + 1].join(", "), "a run may have 64"),
        ] {
            let errors = errors(guard);
            assert!(errors.iter().any(|error| error.contains(words)), "{words}: {errors:?}");
        }
        let notes = |guards| lint(&experiment(guards), &Traffic::new()).notes.join("\n");
        assert!(notes(good).contains("within 1s") && !notes(good).contains("SQL"));
        let edge = "{edge: shop->pay, indicator: gap_p50, when: \"> 1s\"}";
        assert!(notes(edge).contains("asked by SQL every 5s"));
        let short = "{service: shop, indicator: p95, when: \"> 1s\", window: 2s}";
        assert!(notes(short).contains("may be empty"));
    }
}
