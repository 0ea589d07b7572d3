//! `demo`: a daemon on free ports, ten minutes of a small shop with a fault in
//! them sent through its OTLP door, and the questions one asks then.
//!
//! | file | its part |
//! | --- | --- |
//! | [`shop`] | the shop's requests as spans, logs and metrics, in OTLP/JSON; the load bench sends them too |
//! | [`questions`] | the SQL, asked and printed |

mod questions;
mod shop;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use hyper::Method;
use schema::Clock;

use crate::cli::Demo;
use crate::client::Client;
use crate::clock::SystemClock;
use crate::config::{Config, Sources};
use crate::shutdown::Signals;
use crate::wiring::{Daemon, Ending};
use shop::Shop;

/// A second.
const VISITS: i64 = 2;

pub async fn run(demo: Demo) -> Result<ExitCode> {
    let folder = Folder::new(demo.dir)?;
    let config = configuration(&folder)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let mut daemon = Daemon::start(&config, Arc::new(SystemClock)).await?;
    let told = tokio::select! {
        told = tell(&daemon, &folder, demo.once) => told.map(|()| !demo.once),
        _ = signals.next() => Ok(false),
    };
    let outcome = match told {
        Ok(true) => tokio::select! {
            _ = signals.next() => Ok(()),
            ending = daemon.ended() => Err(match ending {
                Ending::Failed(failure) => failure,
                Ending::StartOver => anyhow::anyhow!("the demo's folder is an older copy; start it again"),
            }),
        },
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    tokio::select! {
        () = daemon.stop() => {}
        _ = signals.next() => return Ok(ExitCode::FAILURE),
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn tell(daemon: &Daemon, folder: &Folder, once: bool) -> Result<()> {
    let addresses = daemon.addresses();
    let otlp = addresses.otlp_http.context("the demo's OTLP door is off")?;
    let http = addresses.http.context("the demo's HTTP door is off")?;
    say(&format!("A daemon runs with its data in {}.\n", folder.path.display()))?;

    let now = SystemClock.now_unix_nano();
    let mut shop = Shop::open(now, VISITS, 0);
    let fault = shop.fault();
    say(
        "Sending ten minutes of a small shop to it by OTLP; in the sixth, payment 1.4.0 goes live …\n",
    )?;
    let client = Client::new(&format!("http://{otlp}"), "the demo's OTLP door")?;
    let mut counts = shop::Counts::default();
    while let Some(window) = shop.next_window() {
        for (path, body) in window.requests() {
            let answer = client.json(Method::POST, path, Bytes::from(body.to_string())).await?;
            if let Some(partial) = answer.get("partialSuccess") {
                anyhow::bail!("the demo's own telemetry was rejected: {partial}");
            }
        }
        counts.add(&window);
    }
    say(&format!(
        "{} spans, {} log records and {} data points are acked: durable, and visible to SQL already.\n",
        counts.spans, counts.logs, counts.points
    ))?;
    questions::ask(&format!("http://{http}"), fault).await?;
    if once {
        return Ok(());
    }
    say(&format!(
        "\nStill serving. Ask more:\n  cloudsail sql --server http://{http}\nSend your own:\n  export OTEL_EXPORTER_OTLP_ENDPOINT=http://{otlp}\n  export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nCtrl-C ends{}.\n",
        if folder.temporary { " and removes the data" } else { "" }
    ))
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot print")
}

/// The defaults, below one folder and on free ports; the user's files and
/// environment are left out, so that the demo is the same everywhere.
fn configuration(folder: &Folder) -> Result<Config> {
    let below = |name: &str| folder.path.join(name);
    let url = url::Url::from_file_path(below("store"))
        .map_err(|()| anyhow::anyhow!("{} is not a usable path", folder.path.display()))?;
    let any = "127.0.0.1:0".to_owned();
    let flags = [
        ("otlp.grpc.listen", any.clone()),
        ("otlp.http.listen", any.clone()),
        ("http.listen", any),
        ("flight.listen", String::new()),
        ("postgres.listen", String::new()),
        ("store.url", url.to_string()),
        ("wal.dir", below("wal").display().to_string()),
        ("stage.dir", below("stage").display().to_string()),
        ("node.id", "demo".to_owned()),
    ];
    let flags = flags.map(|(key, value)| (key, value.into(), "demo")).to_vec();
    Ok(super::load_from(&Sources { flags, ..Sources::default() })?.config)
}

/// Where the demo's data lies.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(given: Option<PathBuf>) -> Result<Folder> {
        let temporary = given.is_none();
        let path = given.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("cloudsail-demo-{}", std::process::id()))
        });
        let context = || format!("cannot create {}; name another --dir", path.display());
        std::fs::create_dir_all(&path).with_context(context)?;
        let path = path.canonicalize().with_context(context)?;
        Ok(Folder { path, temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, dir = %self.path.display(), "the demo's data could not be removed");
        }
    }
}
