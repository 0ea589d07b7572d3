//! `experiment run`: an injector under the guards' eyes. The window is opened,
//! the command started, its lease renewed; when a guard stops the run, or the
//! daemon cannot be seen to guard it, the command is ended for certain.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use experiments::document::Experiment;
use experiments::document::lint::{Traffic, lint};
use experiments::{Error, Report};
use schema::{Clock as _, ErrorKind};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::args::Run;
use super::child::Injector;
use super::daemon::{Daemon, Guard};
use super::engine::Engine;
use super::{TRAFFIC, completeness, document, rollback, told, write};
use crate::chaos::guards::egress::Egress;
use crate::cli::Usage;
use crate::clock::SystemClock;
use crate::shutdown::Signals;

/// The lease: its term, and how often it is renewed.
const TTL: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(3);
/// One long poll of the guards.
const POLL: &str = "5s";
/// Before a question that failed is asked again.
const AGAIN: Duration = Duration::from_millis(300);
/// What judging may take beyond the window.
const JUDGING: Duration = Duration::from_secs(300);

/// Why the command did not run to its own end.
struct Stopped {
    guard: String,
    detail: String,
}

pub async fn run(asked: Run) -> Result<ExitCode> {
    let mut experiment = document(&asked.file, &asked.env)?;
    if asked.quick {
        experiment.window.quick();
    }
    let egress = egress(&asked)?;
    let daemon = Daemon::new(&asked.server)?;
    let now = SystemClock.now_unix_nano();
    let engine = Engine::new(&asked.server)?;
    let traffic = engine.traffic(now, TRAFFIC).await?;
    // What could be detected is said first. Whether there is traffic enough the
    // guards see for themselves: they deny the start without it.
    let seen = completeness::notes(&engine, now, TRAFFIC).await?;
    let notes = lint(&experiment, &traffic).notes.into_iter().chain(seen);
    notes.for_each(|note| eprintln!("note: {note}"));
    let found = lint(&experiment, &Traffic::new());
    if !found.errors.is_empty() {
        return Err(Usage(found.errors.join("\n")).into());
    }
    let mut signals = Signals::listen()?;
    let mut start = json!({ "document": experiment.to_yaml()? });
    if let Some(id) = &asked.run_id {
        start["run_id"] = id.as_str().into();
    }
    let run = daemon.open(&start).await?;
    eprintln!("run {run}: opened; its guards answer at {}/api/v1/guards/{run}", daemon.base());
    let stopped = match ready(&daemon, &run, asked.ready.0, &mut signals).await? {
        Ready::Go => supervise(&asked, &experiment, &daemon, &run, &mut signals, &egress).await?,
        Ready::Stop(stopped) => Some(stopped),
        Ready::Never(why) => {
            daemon.mark(&run, "end", &Value::Null).await?;
            eprintln!("run {run}: not started: {why}");
            return Ok(ExitCode::from(experiments::Verdict::Inconclusive.exit_code()));
        }
    };
    if let Some(Stopped { guard, detail }) = &stopped {
        eprintln!("run {run}: stopped by {guard}: {detail}");
    }
    let report = judged(&daemon, &run, &experiment).await?;
    told(&report, asked.out.as_deref())?;
    if let Some(folder) = &asked.out {
        write(folder, &report, &experiment.report.formats)?;
    }
    Ok(ExitCode::from(report.verdict.exit_code()))
}

enum Ready {
    Go,
    Stop(Stopped),
    Never(String),
}

/// Waits until the guards see enough to say go: what they cannot see now they
/// could not stop either.
async fn ready(
    daemon: &Daemon,
    run: &str,
    patience: Duration,
    signals: &mut Signals,
) -> Result<Ready, Error> {
    let deadline = Instant::now() + patience;
    loop {
        let guard = tokio::select! {
            guard = daemon.guard(run, "1s") => guard?.0,
            signal = signals.next() => return by_hand(daemon, run, signal).await.map(Ready::Stop),
        };
        match guard {
            Guard::Go => return Ok(Ready::Go),
            Guard::Stop { guard, detail } => return Ok(Ready::Stop(Stopped { guard, detail })),
            Guard::CannotTell { reason, detail } if Instant::now() >= deadline => {
                return Ok(Ready::Never(format!("{reason}: {detail}")));
            }
            Guard::CannotTell { .. } => sleep(AGAIN).await,
        }
    }
}

async fn by_hand(daemon: &Daemon, run: &str, signal: &str) -> Result<Stopped, Error> {
    let stopped = Stopped { guard: "by hand".into(), detail: format!("{signal} was received") };
    abort(daemon, run, &stopped).await?;
    Ok(stopped)
}

async fn abort(daemon: &Daemon, run: &str, stopped: &Stopped) -> Result<(), Error> {
    let Stopped { guard, detail } = stopped;
    daemon.mark(run, "abort", &json!({ "guard": guard, "reason": detail })).await
}

/// From the command's start to its end and the fault's. `None`: it ended by itself.
async fn supervise(
    asked: &Run,
    experiment: &Experiment,
    daemon: &Daemon,
    run: &str,
    signals: &mut Signals,
    egress: &Egress,
) -> Result<Option<Stopped>> {
    let (ttl, holder) = (format!("{}s", TTL.as_secs()), format!("run {}", std::process::id()));
    daemon.renew(run, &ttl, &holder).await?;
    let guard_url = format!("{}/api/v1/guards/{run}", daemon.base());
    let variables = [("CLOUDSAIL_RUN_ID", run.to_owned()), ("CLOUDSAIL_GUARD_URL", guard_url)];
    let mut injector = match Injector::start(&asked.command, &variables) {
        Ok(injector) => injector,
        Err(error) => {
            daemon.release(run).await?;
            daemon.mark(run, "end", &Value::Null).await?;
            return Err(error);
        }
    };
    let mut renewals = interval(RENEW);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed = Instant::now();
    let injecting = daemon.mark(run, "inject", &Value::Null).await;
    let mut guarding = Box::pin(guarded(daemon, run));
    let stopped = if let Err(error) = injecting {
        Some(Stopped { guard: "lease".into(), detail: error.to_string() })
    } else {
        loop {
            tokio::select! {
                ended = injector.wait() => {
                    let status = ended?;
                    if !status.success() {
                        eprintln!("run {run}: the command ended with {status}");
                        rollback(experiment, egress).await;
                    }
                    break None;
                }
                stopped = &mut guarding => break Some(stopped),
                signal = signals.next() => {
                    let detail = format!("{signal} was received");
                    break Some(Stopped { guard: "by hand".into(), detail });
                }
                _ = renewals.tick() => match daemon.renew(run, &ttl, &holder).await {
                    Ok(()) => renewed = Instant::now(),
                    // The daemon may be restarting: a term of it is borne.
                    Err(_) if renewed.elapsed() < TTL => {}
                    Err(error) => {
                        let detail = format!("the lease could not be renewed: {error}");
                        break Some(Stopped { guard: "lease".into(), detail });
                    }
                },
            }
        }
    };
    if let Some(stopped) = &stopped {
        if injector.stop(asked.grace.0).await? {
            eprintln!(
                "run {run}: the command did not end by SIGTERM within {}, and was killed",
                asked.grace
            );
        }
        rollback(experiment, egress).await;
        // Against a run that is stopped already this changes nothing.
        again(|| abort(daemon, run, stopped)).await?;
    }
    again(|| daemon.mark(run, "recover", &Value::Null)).await?;
    again(|| daemon.release(run)).await?;
    Ok(stopped)
}

/// Where rollbacks may be sent to; what is wrong with it is told before a fault is
/// injected that could not be undone.
fn egress(asked: &Run) -> Result<Egress> {
    let egress = Egress::new(asked.egress.iter().cloned());
    let Some(ca) = &asked.ca else { return Ok(egress) };
    let no = |why: String| Usage(format!("--ca {}: {why}", ca.display()));
    let pem = std::fs::read(ca).map_err(|error| no(error.to_string()))?;
    Ok(egress.trusting(&pem).map_err(no)?)
}

async fn rollback(experiment: &Experiment, egress: &Egress) {
    if !rollback::play(experiment.rollbacks.as_ref(), egress).await {
        eprintln!("warning: not every rollback was played; the fault may still be in place");
    }
}

/// Ends when the guards stop the run. A daemon that is away is the lease's to tell.
async fn guarded(daemon: &Daemon, run: &str) -> Stopped {
    loop {
        match daemon.guard(run, POLL).await {
            Ok((Guard::Stop { guard, detail }, _)) => return Stopped { guard, detail },
            Ok((Guard::Go, _)) => {}
            Ok((Guard::CannotTell { .. }, _)) | Err(_) => sleep(AGAIN).await,
        }
    }
}

/// Until the daemon answers, for as long as judging may take.
async fn again<F>(call: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let deadline = Instant::now() + JUDGING;
    loop {
        match call().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && Instant::now() < deadline => {
                sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// The daemon's own judging, once the window and what may come late are over.
async fn judged(daemon: &Daemon, run: &str, experiment: &Experiment) -> Result<Report> {
    let plan = &experiment.window;
    let wait = plan.recovery.0 + plan.late.0;
    eprintln!("run {run}: judged in about {} s", wait.as_secs());
    let deadline = Instant::now() + wait + JUDGING;
    loop {
        match daemon.report(run).await {
            Ok(Some(report)) => return Ok(Report::read(&report.to_string())?),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= deadline {
            let message = format!(
                "the daemon did not judge run {run}; `cloudsail experiment verdict {run}` asks again"
            );
            let error = Error::Engine { kind: ErrorKind::Unavailable, message };
            return Err(anyhow!(error));
        }
        sleep(AGAIN).await;
    }
}
