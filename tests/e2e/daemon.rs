//! The binary under test as a process: [`Launch`] says how, [`Process`] may
//! not be ready yet, [`Daemon`] has told its addresses.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;

/// A debug build replays and plans slowly on two shared cores.
const READY: Duration = Duration::from_secs(60);

/// A debug build replays a recorded day in minutes.
const COMMAND: Duration = Duration::from_secs(900);

/// The binary with an environment that cannot leak into it.
pub fn cloudsail() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudsail"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CLOUDSAIL_") || text.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command of the binary to its end.
pub async fn run(dir: &Path, args: &[&str]) -> Output {
    let output = cloudsail().current_dir(dir).args(args).output();
    timeout(COMMAND, output).await.expect("the command ends").expect("the binary starts")
}

/// How a daemon is started. Data goes to `cloudsail-data` under `dir`, as it
/// does for a user who configures nothing.
#[derive(Clone)]
pub struct Launch {
    dir: PathBuf,
    logs: PathBuf,
    sets: Vec<String>,
    envs: Vec<(String, String)>,
}

impl Launch {
    pub fn new(dir: impl Into<PathBuf>) -> Launch {
        let dir = dir.into();
        let doors = ["otlp.grpc", "otlp.http", "http"];
        let sets = doors.iter().map(|door| format!("{door}.listen=127.0.0.1:0"));
        let off = ["flight", "postgres"].iter().map(|door| format!("{door}.listen="));
        let mut sets: Vec<String> = sets.chain(off).collect();
        // How full this machine's disk is must not decide a test.
        sets.push("disk.reserve=0%".into());
        Launch { logs: dir.clone(), dir, sets, envs: Vec::new() }
    }

    /// Where the log and the ports file go, when `dir` is no place for them.
    pub fn logs(mut self, dir: impl Into<PathBuf>) -> Launch {
        self.logs = dir.into();
        self
    }

    pub fn set(mut self, setting: impl Into<String>) -> Launch {
        self.sets.push(setting.into());
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Launch {
        self.envs.push((name.into(), value.into()));
        self
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("cloudsail-data")
    }

    /// The `file://` URL of the store that a daemon without settings uses.
    pub fn store_url(&self) -> String {
        format!("file://{}", self.data().join("store").display())
    }

    /// Starts the process and does not wait for it.
    pub fn spawn(&self) -> Process {
        let ports = self.logs.join("ports.json");
        match std::fs::remove_file(&ports) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{ports:?}: {e}"),
            _ => {}
        }
        let log = self.logs.join("daemon.log");
        let out = OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let start = out.metadata().expect("its size").len();
        let err: File = out.try_clone().expect("a second handle");
        let mut command = cloudsail();
        command.arg("serve").arg("--ports-file").arg(&ports);
        for set in &self.sets {
            command.arg("--set").arg(set);
        }
        command.envs(self.envs.iter().map(|(k, v)| (k, v)));
        command.current_dir(&self.dir).stdout(out).stderr(err);
        let child = command.spawn().expect("the binary starts");
        Process { child, ports, log, start }
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(&self) -> Daemon {
        self.spawn().ready().await.expect("the daemon becomes ready")
    }
}

/// A started process, ready or not. Killed when dropped.
pub struct Process {
    child: Child,
    ports: PathBuf,
    log: PathBuf,
    start: u64,
}

impl Process {
    /// Waits for the ports file; an error if the process ends before it.
    pub async fn ready(mut self) -> anyhow::Result<Daemon> {
        let deadline = Instant::now() + READY;
        loop {
            // Written by rename or not: an unfinished file does not parse.
            let written = std::fs::read(&self.ports).ok();
            if let Some(ports) = written.and_then(|text| serde_json::from_slice(&text).ok()) {
                return Ok(Daemon { process: self, ports, client: Client::default() });
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("ended before it was ready: {status}\n{}", self.log_text());
            }
            if Instant::now() > deadline {
                bail!("not ready after {READY:?}\n{}", self.log_text());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL; returns once the kernel has buried it.
    pub async fn kill(mut self) {
        if self.child.try_wait().expect("its state").is_none() {
            self.child.kill().await.expect("SIGKILL");
        }
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("the process runs");
        let pid = Pid::from_raw(id as i32).expect("a process id");
        kill_process(pid, signal).expect("the signal is sent");
    }

    /// Waits for the end, for a minute at most.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let status = timeout(READY, self.child.wait()).await;
        Ok(status.with_context(|| format!("still running\n{}", self.log_text()))??)
    }

    /// What this process (and none before it) wrote to stdout and stderr.
    pub fn log_text(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(text.get(self.start as usize..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.log_text();
            let from = text.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
            eprintln!("--- the daemon's log, its end:\n{}\n---", &text[from..]);
        }
    }
}

/// The content of `--ports-file`; an absent door is off.
#[derive(Debug, Clone, Deserialize)]
pub struct Ports {
    pub otlp_grpc: String,
    pub otlp_http: String,
    pub http: String,
    pub flight: Option<String>,
    pub postgres: Option<String>,
}

/// A daemon that is ready.
pub struct Daemon {
    pub process: Process,
    pub ports: Ports,
    pub client: Client,
}

impl Daemon {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ports.http)
    }

    pub async fn kill(self) {
        self.process.kill().await;
    }

    /// SIGTERM, and the exit code 0 that it owes.
    pub async fn stop(mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.wait().await.expect("it ends after SIGTERM");
        assert_eq!(status.code(), Some(0), "{}", self.process.log_text());
    }
}
