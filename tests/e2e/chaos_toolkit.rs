//! Chaos Toolkit for real: two HTTP services under load on loopback, its own
//! experiment as we ship it, a guard that stops it, and what is said afterwards.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::daemon::{Daemon, Launch, cloudsail};
use crate::programs::{Server, chaos_toolkit, clients};

/// Longer than all phases of the run and its judging.
const PATIENCE: Duration = Duration::from_secs(300);

const DOCUMENT: &str = r#"
apiVersion: chaos/v1
kind: Experiment
title: checkout survives a slow payment
target: {services: [payment]}
window: {baseline: 30s, settle: 0s, recovery: 40s, late: 5s}
effect-check: {indicator: edge.gap_p50, edge: checkout->payment, increase: ">=300ms"}
steady-state-hypothesis:
  probes:
    - {service: checkout, indicator: error_ratio, max: 0.05}
guard:
  - {service: checkout, indicator: error_ratio, when: "> 0.2", window: 10s, min-samples: 5}
expect: {recovery: {within: 30s, stay: 10s}}
report: {formats: [json, md, junit, html]}
"#;

/// Checkouts of which spans have arrived.
async fn seen(daemon: &Daemon) -> i64 {
    let spans = "SELECT count(*) FROM spans WHERE service_name = 'checkout' AND kind = 'SERVER'";
    daemon.sql(spans).await.number()
}

async fn until(mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "it never came");
        sleep(Duration::from_millis(200)).await;
    }
}

fn read(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// Scenario: `cloudsail experiment run` starts Chaos Toolkit with the experiment
/// that we ship; it makes a real service slow and failing, which sends spans by
/// the Python SDK all the while.
/// Guarantees: issue 6: the guard stops the run, Chaos Toolkit plays its
/// rollbacks and the service is healed; the report says so, and whether that
/// helped, in every format; the exit code is 5 and the run's rows say aborted.
#[tokio::test(flavor = "multi_thread")]
async fn chaos_toolkit_is_stopped_by_a_guard() {
    let Some(python) = chaos_toolkit().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let daemon = Launch::new(data).start().await;
    let endpoint = format!("http://{}", daemon.ports.otlp_http);
    let shop = Server::start(&python, "python/shop.py", &[&endpoint, "20"]).await;
    // The baseline lies before the run.
    until(async || seen(&daemon).await > 20 * 45).await;

    std::fs::write(dir.path().join("checkout.yaml"), DOCUMENT).unwrap();
    let recipe = clients().join("../../configs/experiments/chaos-toolkit.yaml");
    let mut command = cloudsail();
    command.current_dir(dir.path()).args(["experiment", "run", "checkout.yaml", "--out", "report"]);
    command.args(["--run-id", "slow-payment", "--server", &daemon.url(""), "--"]);
    command.arg(&python).args(["-m", "chaostoolkit", "--no-version-check", "run"]);
    command.args(["--rollback-strategy=always", "--journal-path", "journal.json"]).arg(recipe);
    command.env("SHOP_URL", &shop.address).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}\n{told}");
    assert!(told.contains("stopped by checkout-error_ratio"), "{told}");

    let journal: Value = serde_json::from_str(&read(dir.path(), "journal.json")).unwrap();
    assert_eq!(journal["steady_states"]["before"]["steady_state_met"], true, "{journal:#}");
    assert_eq!(journal["run"][0]["status"], "succeeded", "the fault was injected");
    let rollback = &journal["rollbacks"][0];
    assert_eq!(rollback["activity"]["name"], "heal-payment", "{journal:#}");
    assert_eq!(rollback["status"], "succeeded", "{journal:#}");
    let state = daemon.client.get(&format!("{}/state", shop.address)).await.unwrap();
    assert_eq!(state.text(), "healthy");

    let report: Value = serde_json::from_str(&read(dir.path(), "report/report.json")).unwrap();
    assert_eq!(report["verdict"], "aborted");
    assert_eq!(report["aftermath"]["guard"], "checkout-error_ratio");
    assert_eq!(report["aftermath"]["helped"], "yes", "{:#}", report["aftermath"]);
    assert_eq!(report["aftermath"]["fault"], "gone", "{:#}", report["aftermath"]);
    let page = read(dir.path(), "report/report.html");
    assert!(page.contains("Stopping helped; the fault is gone."), "{page}");
    assert!(read(dir.path(), "report/report.md").contains("aborted"));
    assert!(read(dir.path(), "report/report.xml").contains("<failure type=\"aborted\""));
    let rows = daemon
        .sql("SELECT state, verdict, abort_guard FROM experiment_windows WHERE run_id = 'slow-payment'")
        .await;
    assert_eq!(rows.rows, [["aborted", "aborted", "checkout-error_ratio"].map(Value::from)]);

    // Latched: whoever asks later is told to stop, too.
    let guard = daemon.client.get(&daemon.url("/api/v1/guards/slow-payment")).await.unwrap();
    assert_eq!(guard.status, 503, "{}", guard.text());
    drop(shop);
    daemon.stop().await;
}
