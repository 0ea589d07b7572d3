//! From a document, a window and the engine to a report: asks for the rows,
//! has them judged, and writes down both. The only part that waits for anything.
//!
//! | file | its part |
//! | --- | --- |
//! | [`collect`] | the statements of a run, asked one after the other, each once |
//! | [`metered`] | the same by metrics, where spans are biased |
//! | [`once`] | the engine, asked for the same only once |
//! | [`quiet`] | fault-free time, and no more of it than calibration needs |
//! | [`stretch`] | history, cut where nothing was recorded |
//! | [`samples`] | what was measured, bucket by bucket |
//!
//! Deliberately not here: what the rows mean (`verdict`), and how a report
//! looks (`report`).

mod collect;
mod metered;
mod once;
mod quiet;
mod samples;
mod stretch;
#[cfg(test)]
mod tests;

use std::hash::Hasher as _;

use async_trait::async_trait;
use parking_lot::Mutex;
use schema::ErrorKind;

use crate::Error;
use crate::document::{Allowed, Experiment};
use crate::indicator::{Ask, Table};
use crate::radius;
use crate::report::Report;
use crate::verdict;
use crate::verdict::evidence::{Asked, Gap};
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
    let ask = &once::Once::new(ask);
    let mut evidence = collect(experiment, window, judged, seed(experiment, window), ask).await?;
    let recorder = Recorder { ask, statements: Mutex::default() };
    let answer = match radius::discover(experiment, window, judged, &recorder).await {
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        answer => answer.map_err(|error| Gap::Error(error.to_string())),
    };
    let sql = recorder.statements.into_inner().join(";\n");
    evidence.radius = Some(Asked { sql, answer });
    let recorder = Recorder { ask, statements: Mutex::default() };
    let answer = match radius::measure(experiment, window, judged, &recorder).await {
        Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
        answer => answer.map_err(|error| Gap::Error(error.to_string())),
    };
    let sql = recorder.statements.into_inner().join(";\n");
    evidence.extent = Some(Asked { sql, answer });
    let mut judgement = verdict::judge(experiment, window, &evidence);
    let radius = match evidence.radius.as_ref().map(|asked| &asked.answer) {
        Some(Ok(radius)) => Some(radius.clone()),
        Some(Err(Gap::Error(why) | Gap::Incomplete(why))) => {
            judgement.notes.push(format!("the blast radius could not be measured: {why}"));
            None
        }
        None => None,
    };
    let report = Report::new(experiment, window, judged, &evidence, judgement, radius)?;
    Ok((report, samples(experiment, &evidence)))
}

/// Keeps the statements that are asked.
struct Recorder<'a> {
    ask: &'a dyn Ask,
    statements: Mutex<Vec<String>>,
}

#[async_trait]
impl Ask for Recorder<'_> {
    async fn ask(&self, statement: &str) -> Result<Table, Error> {
        self.statements.lock().push(statement.to_owned());
        self.ask.ask(statement).await
    }
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
