//! `serve`: the daemon, from its configuration to its exit code.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use storage::store::shown;
use tokio::time::Instant;

use crate::bind::Addresses;
use crate::cli::{Configuration, Serve};
use crate::clock::SystemClock;
use crate::config::{Config, Loaded};
use crate::shutdown::{self, Signals};
use crate::wiring::{self, Daemon, Ending};

/// From one start over to the next.
const BETWEEN: Duration = Duration::from_secs(10);

pub async fn run(given: &Configuration, serve: Serve) -> Result<ExitCode> {
    let mut sources = given.sources();
    if serve.insecure {
        sources.flags.push(("insecure", true.into(), "--insecure"));
    }
    let Loaded { mut config, warnings, .. } = super::load_from(&sources)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    say_what_is_open(&config);
    if let Some(path) = &serve.ports_file {
        remove_stale(path)?;
    }
    // Installed before anything is opened: from here on a signal ends in order.
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let Some(mut daemon) = start(&config, &mut signals).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    tracing::info!(node = %config.node.id, store = shown(&config.store.url), "ready");
    if let Some(path) = &serve.ports_file {
        write_ports(path, daemon.addresses())?;
    }
    // A closed standard output is no reason to stop serving.
    if let Err(error) = std::io::stdout().write_all(banner(&config, daemon.addresses()).as_bytes())
    {
        tracing::debug!(%error, "the banner could not be printed");
    }

    let mut over: Option<Instant> = None;
    let failure = loop {
        let ending = tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "shutting down; a second signal exits at once");
                break None;
            }
            ending = daemon.ended() => ending,
        };
        match ending {
            Ending::Failed(failure) => {
                tracing::error!("shutting down: {failure:#}");
                break Some(failure);
            }
            Ending::StartOver => {
                tracing::warn!(
                    "starting over: the log is an older copy of one that went on elsewhere, and gets a new id"
                );
                // Senders know these addresses, whatever the configuration left open.
                config.listen_on(daemon.addresses());
                let mut stopping = std::pin::pin!(daemon.stop());
                let signal = tokio::select! {
                    () = &mut stopping => None,
                    signal = signals.next() => Some(signal),
                };
                if let Some(signal) = signal {
                    tracing::info!(signal, "shutting down; a second signal exits at once");
                    return Ok(ended(stopping, &mut signals).await);
                }
                // A store that will not tell is not asked without a pause.
                let due = over.replace(Instant::now()).map(|last| last + BETWEEN);
                if let Some(due) = due.filter(|due| *due > Instant::now()) {
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        signal = signals.next() => {
                            tracing::info!(signal, "stopped between two starts; the next one goes on");
                            return Ok(ExitCode::SUCCESS);
                        }
                    }
                }
                daemon = match start_over(&config, &mut signals).await? {
                    Some(daemon) => daemon,
                    None => return Ok(ExitCode::SUCCESS),
                };
            }
        }
    };
    let code = ended(daemon.stop(), &mut signals).await;
    match failure {
        Some(failure) if code == ExitCode::SUCCESS => Err(failure),
        _ => Ok(code),
    }
}

/// Waits for a daemon's end, or for the signal that will not have it.
async fn ended(stopping: impl Future<Output = ()>, signals: &mut Signals) -> ExitCode {
    tokio::select! {
        () = stopping => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        signal = signals.next() => {
            tracing::warn!(signal, "exiting at once; the next start recovers what was not written out");
            ExitCode::FAILURE
        }
    }
}

/// A started daemon; `None` when a signal came first.
async fn start(config: &Config, signals: &mut Signals) -> Result<Option<Daemon>> {
    tokio::select! {
        started = Daemon::start(config, Arc::new(SystemClock)) => started.map(Some),
        signal = signals.next() => {
            tracing::info!(signal, "stopped while starting; the next start recovers the same");
            Ok(None)
        }
    }
}

/// Starts on the folder that the last daemon of this process may still be
/// staging into.
async fn start_over(config: &Config, signals: &mut Signals) -> Result<Option<Daemon>> {
    let until = Instant::now() + shutdown::STORAGE;
    loop {
        match start(config, signals).await {
            Err(error) if wiring::in_use(&error) && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            started => return started,
        }
    }
}

fn say_what_is_open(config: &Config) {
    if config.insecure.0 {
        let open: Vec<_> = config
            .listens()
            .into_iter()
            .filter(|(_, listen)| {
                listen.parse::<SocketAddr>().is_ok_and(|address| !address.ip().is_loopback())
            })
            .map(|(_, listen)| listen)
            .collect();
        if !open.is_empty() {
            tracing::warn!(
                "INSECURE: whoever reaches {} may write and read everything: there is neither TLS nor authentication",
                open.join(", ")
            );
        }
    }
}

/// What an earlier daemon left would be taken for this one's.
fn remove_stale(ports: &Path) -> Result<()> {
    match std::fs::remove_file(ports) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot replace the ports file {}", ports.display()))
        }
        _ => Ok(()),
    }
}

/// Written beside and renamed, so that whoever waits for it reads it whole.
fn write_ports(path: &Path, addresses: &Addresses) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let text = serde_json::to_string(addresses)?;
    std::fs::write(&beside, text + "\n")
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("cannot write the ports file {}", path.display()))
}

/// What was bound, and the line to paste.
fn banner(config: &Config, addresses: &Addresses) -> String {
    let mut text = format!("cloudsail {} is ready\n\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, what: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<10} {what}");
    };
    if let Some(address) = addresses.otlp_grpc {
        line("OTLP/gRPC", address.to_string());
    }
    if let Some(address) = addresses.otlp_http {
        line("OTLP/HTTP", format!("http://{address}"));
    }
    if let Some(address) = addresses.http {
        line("HTTP API", format!("http://{address}"));
    }
    if let Some(address) = addresses.flight {
        line("Flight SQL", format!("grpc://{address}"));
    }
    if let Some(address) = addresses.postgres {
        line("Postgres", address.to_string());
    }
    line("store", shown(&config.store.url));
    line("log", config.wal.dir.clone());
    let door = match (addresses.otlp_http, addresses.otlp_grpc) {
        (Some(http), _) => Some((http, "http/protobuf")),
        (None, Some(grpc)) => Some((grpc, "grpc")),
        (None, None) => None,
    };
    if let Some((address, protocol)) = door {
        let _ = write!(
            text,
            "\nSend telemetry:\n  export OTEL_EXPORTER_OTLP_ENDPOINT=http://{}\n  export OTEL_EXPORTER_OTLP_PROTOCOL={protocol}\n",
            reachable(address)
        );
    }
    if let Some(address) = addresses.http {
        let _ = write!(
            text,
            "Ask:\n  cloudsail sql --server http://{} \"SELECT service_name, count(*) FROM spans GROUP BY 1\"\n",
            reachable(address)
        );
    }
    if let Some(address) = addresses.postgres {
        let address = reachable(address);
        let _ = writeln!(text, "  psql -h {} -p {} cloudsail", address.ip(), address.port());
    }
    text
}

/// An address to connect to: all addresses are reached by loopback from here.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the ports file is written over an older one; a door is off.
    /// Guarantees: it holds the addresses really bound, and nothing is left beside it.
    #[test]
    fn the_ports_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ports.json");
        std::fs::write(&path, "old").unwrap();
        remove_stale(&path).unwrap();
        assert!(!path.exists() && remove_stale(&path).is_ok());
        let addresses = Addresses {
            otlp_grpc: None,
            otlp_http: Some("127.0.0.1:1".parse().unwrap()),
            http: Some("[::1]:2".parse().unwrap()),
            ..Addresses::default()
        };
        write_ports(&path, &addresses).unwrap();
        let read: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(read, serde_json::json!({"otlp_http": "127.0.0.1:1", "http": "[::1]:2"}));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// Scenario: doors on all addresses, and OTLP/HTTP turned off.
    /// Guarantees: the line to paste names an address and a protocol that work from here.
    #[test]
    fn the_banner_has_the_line_to_paste() {
        let config = Config::default();
        let both = Addresses {
            otlp_grpc: Some("0.0.0.0:4317".parse().unwrap()),
            otlp_http: Some("0.0.0.0:4318".parse().unwrap()),
            postgres: Some("0.0.0.0:4322".parse().unwrap()),
            ..Addresses::default()
        };
        let text = banner(&config, &both);
        assert!(
            text.contains("\n  export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n"),
            "{text}"
        );
        assert!(text.contains("\n  psql -h 127.0.0.1 -p 4322 cloudsail\n"), "{text}");
        let text = banner(&config, &Addresses { otlp_http: None, ..both });
        assert!(text.contains("=http://127.0.0.1:4317\n  export OTEL_EXPORTER_OTLP_PROTOCOL=grpc"));
    }
}
