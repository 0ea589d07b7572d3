//! From a document, a window and the engine to a report: asks for the rows,
//! has them judged, and writes down both. The only part that waits for anything.
//!
//! | file | its part |
//! | --- | --- |
//! | [`collect`] | the statements of a run, asked one after the other, each once |
//! | [`samples`] | what was measured, bucket by bucket |
//!
//! Deliberately not here: what the rows mean (`verdict`), and how a report
//! looks (`report`).

mod collect;
mod samples;
#[cfg(test)]
mod tests;

use std::hash::Hasher as _;

use schema::ErrorKind;

use crate::Error;
use crate::document::{Allowed, Experiment};
use crate::indicator::Ask;
use crate::radius;
use crate::report::Report;
use crate::verdict;
use crate::window::Window;

pub use collect::{HISTORY, collect};
pub use samples::{Sample, samples};

/// Judges a run by the rows that were ingested up to `judged`, in nanoseconds
/// since 1970. An engine that cannot be reached is an error; one that refuses a
/// statement makes what depends on it inconclusive.
pub async fn judge(
    experiment: &Experiment,
    window: &Window,
    judged: i64,
    ask: &dyn Ask,
) -> Result<Report, Error> {
    judge_with_samples(experiment, window, judged, ask).await.map(|(report, _)| report)
}

/// The same with what was measured.
pub async fn judge_with_samples(
    experiment: &Experiment,
    window: &Window,
    judged: i64,
    ask: &dyn Ask,
) -> Result<(Report, Vec<Sample>), Error> {
    let evidence = collect(experiment, window, judged, seed(experiment, window), ask).await?;
    let mut judgement = verdict::judge(experiment, window, &evidence);
    let radius = match radius::discover(experiment, window, judged, ask).await {
        Ok(radius) => Some(radius),
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        Err(error) => {
            judgement.notes.push(format!("the blast radius could not be measured: {error}"));
            None
        }
    };
    let report = Report::new(experiment, window, judged, &evidence, judgement, radius)?;
    Ok((report, samples(experiment, &evidence)))
}

/// Where a run's resampling begins: its own, and the same each time.
fn seed(experiment: &Experiment, window: &Window) -> u64 {
    let mut hasher = twox_hash::XxHash64::with_seed(0);
    hasher.write(experiment.version().as_bytes());
    hasher.write(window.run_id.as_bytes());
    hasher.finish()
}

/// What re-running a report's evidence gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    Same,
    /// Each thing that differs, in words.
    Different(Vec<String>),
}

/// Judges a report's run again, over the rows that it was made from, and
/// compares.
pub async fn verify(report: &Report, ask: &dyn Ask) -> Result<Verified, Error> {
    let experiment = Experiment::parse(&report.document, &Allowed::new())?;
    if experiment.version() != report.version {
        return Err(Error::invalid(format!(
            "the report's document has version {}, and the report says {}: one of them was changed",
            experiment.version(),
            report.version
        )));
    }
    let again = judge(&experiment, &report.window, report.judged_unix_nano, ask).await?;
    let mut different = Vec::new();
    let mut compare = |what: &str, was: String, is: String| {
        if was != is {
            different.push(format!("{what} was {was} and is {is}"));
        }
    };
    compare("the verdict", report.in_short(), again.in_short());
    compare(
        "the number of findings",
        report.findings.len().to_string(),
        again.findings.len().to_string(),
    );
    for (was, is) in report.findings.iter().zip(&again.findings) {
        compare(&was.hypothesis, was.in_short(), is.in_short());
    }
    if different.is_empty() { Ok(Verified::Same) } else { Ok(Verified::Different(different)) }
}
