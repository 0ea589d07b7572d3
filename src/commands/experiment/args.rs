//! What may be said to `experiment run` and `experiment guard`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::units::Period;

#[derive(Debug, Args)]
pub struct Run {
    /// The experiment, YAML.
    pub file: PathBuf,
    /// The injector: any command, with its arguments. It runs in a process group of
    /// its own, and is told the run by CLOUDSAIL_RUN_ID and CLOUDSAIL_GUARD_URL.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
    /// Shorter phases: 2m, 1m, 2m.
    #[arg(long)]
    pub quick: bool,
    /// Names the run; made up when not given.
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// A variable of the environment that the document may name; repeatable.
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    pub server: String,
    /// How long guards may take to see enough before the injector is started.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub ready: Period,
    /// From SIGTERM to SIGKILL when the run is stopped.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub grace: Period,
    /// A host that the document's rollbacks may be sent to, as host or host:port; repeatable.
    #[arg(long, value_name = "HOST")]
    pub egress: Vec<String>,
    /// A file of certificates, PEM, that https rollbacks are trusted by besides the
    /// system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Folder for report.json and the document's other formats.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Guard {
    /// Measures, from this process, how long it takes from sending failed spans
    /// until a guard is seen to have stopped its run.
    Bench(Bench),
}

#[derive(Debug, Args)]
pub struct Bench {
    /// A running daemon.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    pub server: String,
    /// Its OTLP/HTTP endpoint.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4318")]
    pub endpoint: String,
    /// Runs that are opened and stopped, one after the other.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// Failed spans in the request that tips a guard.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub spans: u32,
    /// Exits with 1 when the 99th percentile is above this.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub limit: Period,
    /// Prints JSON, every round included.
    #[arg(long)]
    pub json: bool,
}
