//! Python and Node with their packages, pinned in `tests/clients/`. Without
//! them a test is skipped and says so; under `CI=true` it fails instead, so
//! that a gate cannot lose its clients unnoticed.
//!
//! `tests/clients/install.sh` puts them where they are looked for;
//! `CLOUDSAIL_TEST_PYTHON` names another interpreter.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// The longest that a script may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Tells that a test did not run, and fails it where that may not be.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI nothing is skipped: {why}");
    eprintln!("SKIPPED: {why}");
}

/// An interpreter that has the packages of `requirements.txt`.
pub async fn python() -> Option<PathBuf> {
    let named = std::env::var_os("CLOUDSAIL_TEST_PYTHON").map(PathBuf::from);
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci/venv/bin/python");
    let imports = "import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http, \
        opentelemetry.exporter.otlp.proto.grpc, deltalake, duckdb, pyarrow";
    for python in named.into_iter().chain([installed, "python3".into()]) {
        let mut trial = Command::new(&python);
        let tried = trial.arg("-c").arg(imports).stderr(Stdio::null()).status().await;
        if tried.is_ok_and(|status| status.success()) {
            return Some(python);
        }
    }
    skip("no Python with the packages; run tests/clients/install.sh");
    None
}

/// `node`, if `npm ci` has run in `tests/clients/js`.
pub async fn node() -> Option<PathBuf> {
    let tried = Command::new("node").arg("--version").stdout(Stdio::null()).status().await;
    let installed = clients().join("js/node_modules/@opentelemetry/api").exists();
    if installed && tried.is_ok_and(|status| status.success()) {
        return Some("node".into());
    }
    skip("node or its packages are missing; run tests/clients/install.sh");
    None
}

/// Runs a script of `tests/clients/` and returns what it printed. The
/// environment's own OTLP settings are kept out.
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
