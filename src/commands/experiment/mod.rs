//! `experiment`: documents checked, runs judged, reports verified.
//!
//! | file | its part |
//! | --- | --- |
//! | [`args`] | what may be said to `run` and `guard` |
//! | [`engine`] | a daemon's HTTP API as what experiments ask |
//! | [`spoken`] | what may be said to the commands about a daemon's runs |
//! | [`runs`] | `start`, `mark`, `stop`, `list`, `show`, `verdict` |
//! | [`completeness`] | `completeness`: how whole telemetry is |
//! | [`import`] | `import`: a Chaos Toolkit journal |
//! | [`daemon`] | its API of runs, guards and leases |
//! | [`supervise`], [`child`], [`rollback`] | `run`: an injector under the guards' eyes |
//! | [`bench`] | `guard bench`: from failed spans to a stop, from outside |
//!
//! The exit code is the verdict's: 0 held, 1 deviated, 3 inconclusive, 4
//! invalid, 5 aborted; 2 is a document or command line that cannot be used, 6 a
//! daemon that cannot be reached.

pub mod args;
mod bench;
mod child;
mod completeness;
mod daemon;
mod engine;
mod import;
mod rollback;
mod runs;
pub mod spoken;
mod supervise;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result};
use experiments::document::lint::{Traffic, lint};
use experiments::document::scope::Form;
use experiments::document::{Allowed, Experiment};
use experiments::report::{Report, html, junit, markdown, summary};
use experiments::{Verified, Window};
use schema::{Clock as _, ErrorKind};

use crate::chaos::publishing::files;
use crate::cli::{
    ExperimentCommand, Judge, Lint, Rendered, ReportForm, Usage, Verified as VerifyReport,
    environment,
};
use crate::clock::SystemClock;
use args::Guard;
use engine::Engine;

/// Over which the current traffic is counted.
const TRAFFIC: i64 = 300;

pub async fn run(command: ExperimentCommand) -> Result<ExitCode> {
    let outcome = match command {
        ExperimentCommand::Lint(lint) => check(lint).await,
        ExperimentCommand::Judge(judge) => judge_run(judge).await,
        ExperimentCommand::Verify(verify) => verify_report(verify).await,
        ExperimentCommand::Completeness(asked) => completeness::run(asked).await,
        ExperimentCommand::Report(rendered) => render(&rendered),
        ExperimentCommand::Start(asked) => runs::start(asked).await,
        ExperimentCommand::Mark(asked) => runs::mark(asked).await,
        ExperimentCommand::Stop(asked) => runs::stop(asked).await,
        ExperimentCommand::List(asked) => runs::list(asked).await,
        ExperimentCommand::Show(asked) => runs::show(asked).await,
        ExperimentCommand::Verdict(asked) => runs::verdict(asked).await,
        ExperimentCommand::Import(asked) => import::run(asked).await,
        ExperimentCommand::Run(run) => supervise::run(run).await,
        ExperimentCommand::Guard(Guard::Bench(asked)) => bench::run(asked).await,
    };
    // An engine that is away has a code of its own, so that CI can tell it from a verdict.
    match outcome {
        Err(error) => match error.downcast_ref::<experiments::Error>().map(|e| e.kind()) {
            Some(ErrorKind::Invalid) => Err(Usage(format!("{error:#}")).into()),
            Some(_) => {
                eprintln!("error: {error:#}");
                Ok(ExitCode::from(6))
            }
            None => Err(error),
        },
        done => done,
    }
}

/// Reads a document; its path stands before each of its problems.
fn document(path: &Path, allowed: &[String]) -> Result<Experiment> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage(format!("cannot read {}: {error}", path.display())))?;
    let variables = environment().into_iter().filter(|(name, _)| allowed.contains(name));
    let allowed: Allowed = variables.collect();
    let read = Experiment::parse(&text, &allowed);
    read.map_err(|invalid| Usage(format!("{}:\n{invalid}", path.display())).into())
}

async fn check(asked: Lint) -> Result<ExitCode> {
    let experiment = document(&asked.file, &asked.env)?;
    let (mut traffic, mut seen) = (Traffic::new(), Vec::new());
    if let Some(server) = &asked.server {
        let (engine, now) = (Engine::new(server)?, SystemClock.now_unix_nano());
        traffic = engine.traffic(now, TRAFFIC).await?;
        seen = completeness::notes(&engine, now, TRAFFIC).await?;
    }
    let mut found = lint(&experiment, &traffic);
    found.notes.append(&mut seen);
    say(&experiment.to_yaml()?)?;
    for note in &found.notes {
        eprintln!("note: {note}");
    }
    if !found.errors.is_empty() {
        return Err(Usage(found.errors.join("\n")).into());
    }
    Ok(ExitCode::SUCCESS)
}

async fn judge_run(asked: Judge) -> Result<ExitCode> {
    let mut experiment = document(&asked.file, &asked.env)?;
    if asked.quick {
        experiment.window.quick();
    }
    let found = lint(&experiment, &Traffic::new());
    if !found.errors.is_empty() {
        return Err(Usage(found.errors.join("\n")).into());
    }
    let (inject, recover) = (instant("--from", &asked.from)?, instant("--to", &asked.to)?);
    if recover <= inject {
        return Err(Usage("--to must be later than --from".into()).into());
    }
    let others = asked.other.iter().map(|text| other(text)).collect::<Result<_>>()?;
    let run_id = asked.run_id.unwrap_or_else(|| format!("{}-{}", experiment.version(), asked.from));
    let uncertainty_ms =
        u64::try_from(asked.uncertainty.0.as_millis()).context("--uncertainty is too long")?;
    let window = Window { run_id, inject, recover, uncertainty_ms, others, aborted: None };
    let judged = SystemClock.now_unix_nano();
    let engine = Engine::new(&asked.server)?;
    let report = experiments::judge(&experiment, &window, judged, &engine).await?;
    told(&report, asked.out.as_deref())?;
    if let Some(folder) = asked.out {
        write(&folder, &report, &experiment.report.formats)?;
    }
    Ok(ExitCode::from(report.verdict.exit_code()))
}

/// What a person reads of it. The statements behind each number are many screens.
fn told(report: &Report, out: Option<&Path>) -> Result<()> {
    say(&summary(report))?;
    match out {
        Some(folder) => eprintln!("the SQL behind each number is in {}", folder.display()),
        None => eprintln!("the SQL behind each number is in the report: --out FOLDER writes it"),
    }
    Ok(())
}

/// On standard output. Who reads no further, as `head` does, has what was wanted.
fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// JSON always: it is what can be verified.
fn write(folder: &Path, report: &Report, forms: &[Form]) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}; name another --out", folder.display()))?;
    let put = |name: &str, text: String| {
        let path: PathBuf = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    files(report, forms)?.into_iter().try_for_each(|file| put(file.name, file.text))
}

fn read(path: &Path) -> Result<Report> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(Report::read(&text)?)
}

fn render(asked: &Rendered) -> Result<ExitCode> {
    let report = read(&asked.report)?;
    let text = match asked.format {
        ReportForm::Html => html(&report),
        ReportForm::Md => markdown(&report),
        ReportForm::Junit => junit(&report),
    };
    match &asked.out {
        Some(path) => std::fs::write(path, text)
            .with_context(|| format!("cannot write {}", path.display()))?,
        None => say(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn verify_report(asked: VerifyReport) -> Result<ExitCode> {
    let report = read(&asked.report)?;
    let engine = Engine::new(&asked.server)?;
    match experiments::verify(&report, &engine).await? {
        Verified::Same => {
            let short = report.in_short();
            say(&format!("the same rows give the same verdict: {short}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Verified::Different(how) => {
            for line in how {
                say(&format!("{line}\n"))?;
            }
            Ok(ExitCode::from(1))
        }
    }
}

/// Nanoseconds since 1970 of an RFC 3339 time in UTC.
fn instant(flag: &str, text: &str) -> Result<i64, Usage> {
    let no = || Usage(format!("{flag} {text:?} is no time; write it like 2026-11-23T10:00:00Z"));
    let time = humantime::parse_rfc3339(text).map_err(|_| no())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| no())?;
    i64::try_from(since.as_nanos()).map_err(|_| no())
}

/// `FROM/TO` of a window that is known to lie near.
fn other(text: &str) -> Result<experiments::window::Span> {
    let (from, to) = text
        .split_once('/')
        .ok_or_else(|| Usage(format!("--other {text:?} has no end; write FROM/TO")))?;
    let (from, to) = (instant("--other", from)?, instant("--other", to)?);
    Ok(experiments::window::Span::between(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: times as people write them.
    /// Guarantees: UTC is read to the nanosecond, anything else is refused with
    /// the flag's name.
    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(instant("--from", "1970-01-01T00:00:01.5Z").unwrap(), 1_500_000_000);
        for bad in ["yesterday", "2026-11-23", "1969-01-01T00:00:00Z"] {
            assert!(instant("--from", bad).unwrap_err().0.starts_with("--from"), "{bad}");
        }
        assert!(other("2026-11-23T10:00:00Z").is_err());
        assert_eq!(other("1970-01-01T00:00:00Z/1970-01-01T00:00:10Z").unwrap().buckets, 2);
    }
}
