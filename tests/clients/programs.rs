//! The other programs that tests run: Python and Node with the packages pinned
//! in this folder, and the object stores that run on them. Every test binary
//! that needs one includes this file, so that where they are is known once.
//!
//! Without them a test is skipped and says so; under `CI=true` it fails
//! instead, so that a gate cannot lose them unnoticed. `install.sh` puts them
//! where they are looked for; `CLOUDSAIL_TEST_PYTHON` names another interpreter.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The longest that a script may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The checkout, from whichever of its crates this file is included.
fn checkout() -> PathBuf {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.find(|folder| folder.join("tests/clients/install.sh").exists());
    found.expect("tests run in a checkout").to_owned()
}

pub fn clients() -> PathBuf {
    checkout().join("tests/clients")
}

/// Tells that a test did not run, and fails it where that may not be.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI nothing is skipped: {why}");
    eprintln!("SKIPPED: {why}");
}

/// An interpreter with the packages of the client tests.
pub async fn python() -> Option<PathBuf> {
    python_with(
        "opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http, \
         opentelemetry.exporter.otlp.proto.grpc, deltalake, duckdb, pyarrow",
    )
    .await
}

/// One with ADBC's driver for Flight SQL.
pub async fn adbc() -> Option<PathBuf> {
    python_with("adbc_driver_flightsql.dbapi, pandas, polars, pyarrow").await
}

/// One that needs no packages, but a Unix terminal.
pub async fn plain_python() -> Option<PathBuf> {
    python_with("pty, termios, fcntl").await
}

async fn python_with(modules: &str) -> Option<PathBuf> {
    let named = std::env::var_os("CLOUDSAIL_TEST_PYTHON").map(PathBuf::from);
    let installed = checkout().join("target/ci/venv/bin/python");
    for python in named.into_iter().chain([installed, "python3".into()]) {
        let mut trial = Command::new(&python);
        let import = format!("import {modules}");
        let tried = trial.arg("-c").arg(import).stderr(Stdio::null()).status().await;
        if tried.is_ok_and(|status| status.success()) {
            return Some(python);
        }
    }
    skip(&format!("no Python has {modules}; run tests/clients/install.sh"));
    None
}

/// An interpreter with Chaos Toolkit and the Python SDK.
pub async fn chaos_toolkit() -> Option<PathBuf> {
    python_with("chaoslib, chaostoolkit, opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http")
        .await
}

/// An interpreter with psycopg.
pub async fn psycopg() -> Option<PathBuf> {
    python_with("psycopg").await
}

/// `node` with node-pg.
pub async fn node_pg() -> Option<PathBuf> {
    node_with("pg").await
}

/// `node`, if `npm ci` has run in `tests/clients/js`.
pub async fn node() -> Option<PathBuf> {
    node_with("@opentelemetry/api").await
}

async fn node_with(package: &str) -> Option<PathBuf> {
    let tried = Command::new("node").arg("--version").stdout(Stdio::null()).status().await;
    let installed = clients().join("js/node_modules").join(package).exists();
    if installed && tried.is_ok_and(|status| status.success()) {
        return Some("node".into());
    }
    skip(&format!("node or its package {package} is missing; run tests/clients/install.sh"));
    None
}

/// Runs a script of this folder and returns what it printed. The environment's
/// own OTLP settings are kept out.
pub async fn script(program: &Path, script: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.arg(clients().join(script)).args(args).kill_on_drop(true);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.expect("the script ends in time").expect("the script starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{script} {args:?}: {}\n{errors}", output.status);
    text(&output.stdout)
}

/// A server on loopback: an object store with [`BUCKET`] in it, or a service
/// that is sent to. It ends when this is dropped, or when the test's process ends in whatever way.
pub struct Server {
    pub address: String,
    /// Holds the pipe whose end ends the server.
    _process: Child,
}

/// The bucket, or container, of every object store's [`Server`].
pub const BUCKET: &str = "telemetry";

/// An S3 server that honours `If-None-Match` (moto).
pub async fn s3() -> Option<Server> {
    let python = python_with("moto.server, flask").await?;
    Some(Server::start(&python, "python/s3.py", &[BUCKET]).await)
}

/// An Azure Blob server (Azurite).
pub async fn azure() -> Option<Server> {
    let node = node_with("azurite").await?;
    Some(Server::start(&node, "js/azure.js", &[BUCKET]).await)
}

impl Server {
    /// Runs a script of this folder that tells its address once it serves.
    pub async fn start(program: &Path, script: &str, args: &[&str]) -> Server {
        let mut command = Command::new(program);
        command.arg(clients().join(script)).args(args).env("PYTHONDONTWRITEBYTECODE", "1");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server's program starts");
        let output = process.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(output).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("the server starts in time");
        let address = line.expect("its output is text").expect("it tells its address");
        Server { address, _process: process }
    }

    /// What [`BUCKET`] on an S3 server is opened with; plain HTTP, path style.
    pub fn s3_options(&self) -> [(&'static str, String); 5] {
        [
            ("aws_endpoint", self.address.clone()),
            ("aws_allow_http", "true".into()),
            ("aws_region", "us-east-1".into()),
            ("aws_access_key_id", "test".into()),
            ("aws_secret_access_key", "test-secret".into()),
        ]
    }

    /// What [`BUCKET`] on an Azure server is opened with. The key is the one
    /// that every emulator has.
    pub fn azure_options(&self) -> [(&'static str, String); 4] {
        let key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
        [
            ("azure_endpoint", format!("{}/devstoreaccount1", self.address)),
            ("azure_allow_http", "true".into()),
            ("azure_storage_account_name", "devstoreaccount1".into()),
            ("azure_storage_account_key", key.into()),
        ]
    }
}
