//! `drain`: log and stage are empty, or it says what is left in them.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use prometheus_client::registry::Registry;
use schema::{Budget, Clock, Meter};
use storage::wal::Disk;
use storage::{Left, Settings, Storage};
use tokio::time::{Instant, sleep, timeout_at};

use super::serve::reachable;
use crate::cli::{Configuration, Drain};
use crate::client::Client;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::wiring;

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(200);
/// What an end may take after everything is committed.
const CLOSE: Duration = Duration::from_secs(10);
/// An end of the wait that nobody lives to see.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

pub async fn run(given: &Configuration, drain: Drain) -> Result<ExitCode> {
    let end = deadline(drain.deadline.map(|period| period.0));
    let target = match &drain.server {
        Some(server) => Target::Server(Box::new(Client::new(server, "--server")?)),
        None => Target::of(&super::load(given)?.config).await?,
    };
    let left = target.drained(end).await?;
    target.close().await;
    if !left.is_empty() {
        return Err(not_empty(&left));
    }
    writeln!(std::io::stdout(), "drained: log and stage are empty")?;
    Ok(ExitCode::SUCCESS)
}

/// Who drains.
pub enum Target {
    /// A daemon, which takes nothing more from now on.
    Server(Box<Client>),
    /// This process, on a folder that no daemon has open.
    Folder(Arc<Storage>),
}

impl Target {
    /// The folder of the configuration, or the daemon that has it open.
    async fn of(config: &Config) -> Result<Target> {
        let settings = config.storage();
        let dir = settings.wal.dir.clone();
        if !Disk::holds_log(&dir) {
            bail!(
                "there is no write-ahead log in {}; check wal.dir, or name the daemon by --server URL",
                dir.display()
            );
        }
        let opened = Target::folder(config, settings).await;
        match opened {
            Err(error) if wiring::in_use(&error) => {
                let listen = &config.http.listen;
                match listen.parse::<SocketAddr>() {
                    Ok(address) if address.port() != 0 => {
                        let url = format!("http://{}", reachable(address));
                        Ok(Target::Server(Box::new(Client::new(&url, "http.listen")?)))
                    }
                    _ => Err(anyhow!(
                        "a daemon has {} open, and http.listen {listen:?} does not tell its address; name it by --server URL",
                        dir.display()
                    )),
                }
            }
            opened => opened,
        }
    }

    /// Opens a data folder without doors.
    pub async fn folder(config: &Config, settings: Settings) -> Result<Target> {
        let catalog = Arc::new(config.catalog());
        let budget = Budget::new(config.ingest_memory());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut registry = Registry::default();
        // What is staged here was counted when it came in.
        let meter = Meter::default();
        let opened =
            wiring::open_folder(config, settings, &catalog, &budget, &clock, &meter, &mut registry);
        Ok(Target::Folder(opened.await?))
    }

    async fn left(&self) -> Result<Left> {
        match self {
            Target::Folder(storage) => Ok(storage.drain().await?),
            Target::Server(client) => {
                let answer = client.json(Method::POST, "/api/v1/drain", Bytes::new()).await?;
                let left = answer.get("left").cloned().unwrap_or_default();
                serde_json::from_value(left).context("the daemon did not say what is left")
            }
        }
    }

    /// Waits until nothing is left, until `end` at most; gives what is left then.
    pub async fn drained(&self, end: Instant) -> Result<Left> {
        let late =
            || anyhow!("no answer within the deadline; the daemon may be draining, ask again");
        let bar = progress();
        let mut most = 0;
        loop {
            let left = timeout_at(end, self.left()).await.map_err(|_| late())??;
            most = most.max(left.rows);
            bar.set_length(most);
            bar.set_position(most - left.rows);
            bar.set_message(match &left.waiting_for {
                Some(reason) => format!("waiting: {reason}"),
                None => "committing".into(),
            });
            if left.is_empty() || Instant::now() + LOOK >= end {
                bar.finish_and_clear();
                return Ok(left);
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                why = self.failed() => bail!("{why}"),
            }
        }
    }

    /// Why a folder's storage cannot go on; a daemon tells by not answering.
    async fn failed(&self) -> String {
        match self {
            Target::Folder(storage) => tokio::select! {
                why = storage.failed() => format!("storage: {why}"),
                why = storage.undecided() => why,
                () = storage.parted() => {
                    "the folder is an older copy of a log that went on elsewhere; run it again: what only \
                     this copy holds is then committed under a new log id"
                        .into()
                }
            },
            Target::Server(_) => std::future::pending().await,
        }
    }

    pub async fn close(&self) {
        if let Target::Folder(storage) = self {
            for late in storage.shutdown(CLOSE).await {
                tracing::warn!(late, "storage could not finish");
            }
        }
    }
}

pub fn deadline(given: Option<Duration>) -> Instant {
    Instant::now() + given.unwrap_or(NEVER)
}

/// What stays, where it is safe, and why.
pub fn not_empty(left: &Left) -> anyhow::Error {
    let why = match &left.waiting_for {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    anyhow!(
        "not empty within the deadline: {} rows are not committed, {} bytes of log and {} bytes of stage are left{why}; nothing is lost, run it again",
        left.rows,
        left.log_bytes,
        left.stage_bytes
    )
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{wide_bar} {pos}/{len} rows {elapsed} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
