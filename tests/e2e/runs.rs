//! Runs over HTTP and by telemetry, across SIGKILL.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::daemon::{Daemon, Launch};
use crate::experiment::{document, now, telemetry_at};
use crate::otlp::{Encoding, Request, Signal};

const SECOND: i64 = 1_000_000_000;
/// A debug build judges a run in tens of seconds on two shared cores.
const PATIENCE: Duration = Duration::from_secs(300);
const ERRORS: &str = "    - {service: frontend, indicator: error_ratio, max: 5%}\n";

/// RFC 3339 of nanoseconds since 1970.
fn instant(nanos: i64) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_nanos(nanos as u64);
    humantime::format_rfc3339_micros(at).to_string()
}

impl Daemon {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let url = self.url(&format!("/api/v1/experiments{path}"));
        let body = body.to_string();
        let answer = self.client.post(&url, &[("content-type", "application/json")], body).await;
        let answer = answer.expect("the API answers");
        (answer.status.as_u16(), answer.json())
    }

    async fn run(&self, id: &str) -> (u16, Value) {
        let url = self.url(&format!("/api/v1/experiments/runs/{id}"));
        let answer = self.client.get(&url).await.expect("the API answers");
        (answer.status.as_u16(), answer.json())
    }

    /// Asks until the run is as it should be.
    async fn until(&self, id: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, run) = self.run(id).await;
            if status == 200 && is(&run) {
                return run;
            }
            assert!(Instant::now() < deadline, "{status} {run}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Scenario: a document is stored and a run of it opened, twice with one id; another
/// run would overlap; it is marked, and the node killed after each answer; a guard's
/// word stops it, and it is told to begin again.
/// Guarantees: D1 for runs: what was answered is still so after SIGKILL, marks and
/// latch included; asking again repeats nothing; refusals say what to do; SQL joins
/// runs, events and documents.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d1_a_run_outlives_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path());
    let daemon = launch.start().await;
    let title = "the shop bears a slow payment";
    let text = document(ERRORS);
    let url = daemon.url("/api/v1/experiments");
    let answer = daemon.client.post(&url, &[], text.clone()).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["name"]),
        (201, &json!(title)),
        "{}",
        answer.text()
    );
    let start = json!({"experiment": title, "run_id": "live-1"});
    let (status, run) = daemon.post("/runs", start.clone()).await;
    assert_eq!(
        (status, &run["state"], &run["source"]),
        (201, &json!("baseline"), &json!("api")),
        "{run}"
    );
    assert_eq!(daemon.post("/runs", start).await.0, 200);
    let (status, refusal) = daemon.post("/runs", json!({"experiment": title})).await;
    assert_eq!(status, 409, "{refusal}");
    assert!(
        refusal["error"]["hint"].as_str().unwrap().contains("\"overlap\": \"mark\""),
        "{refusal}"
    );
    for (path, body, expected) in [
        ("/runs", json!({"experiment": "no such"}), 404),
        ("/runs", json!({"experiment": title, "run_id": "../../etc"}), 400),
        ("/runs", json!({"experiment": title, "unknown": 1}), 400),
        ("/runs", json!({"document": "apiVersion: chaos/v1"}), 400),
        ("/runs/live-1/recover", json!({}), 409),
        ("/runs/live-1/inject", json!({"at": "2999-01-01T00:00:00Z"}), 400),
        ("/runs/live-1/explode", json!({}), 404),
        ("/runs/nobody/inject", json!({}), 404),
    ] {
        let (status, refusal) = daemon.post(path, body).await;
        assert_eq!(status, expected, "{path} {refusal}");
        assert!(!refusal["error"]["hint"].as_str().unwrap().is_empty(), "{refusal}");
    }
    let (status, injected) = daemon.post("/runs/live-1/inject", json!({})).await;
    assert_eq!((status, &injected["state"]), (200, &json!("injecting")), "{injected}");

    daemon.kill().await;
    let daemon = launch.start().await;
    let run = daemon.until("live-1", |run| run["state"] == "injecting").await;
    assert_eq!(run["t_inject"], injected["t_inject"]);
    let stop = json!({"guard": "user-errors", "reason": "too many errors"});
    let (status, run) = daemon.post("/runs/live-1/abort", stop).await;
    assert_eq!((status, &run["state"]), (200, &json!("aborted")), "{run}");

    daemon.kill().await;
    let daemon = launch.start().await;
    let run = daemon.until("live-1", |run| run["state"] == "aborted").await;
    assert_eq!(run["abort_guard"], "user-errors");
    let (status, refusal) = daemon.post("/runs/live-1/end", json!({})).await;
    assert_eq!((status, &refusal["state"]), (200, &json!("aborted")), "{refusal}");
    let joined = "SELECT w.state, d.title, e.kind FROM experiment_windows w \
         JOIN experiments d ON d.name = w.experiment AND d.version = w.version \
         JOIN experiment_events e ON e.run_id = w.run_id ORDER BY e.received_time";
    let kinds: Vec<Value> =
        daemon.sql(joined).await.rows.into_iter().map(|row| json!(row)).collect();
    let row = |kind: &str| json!(["aborted", title, kind]);
    assert_eq!(kinds, [row("start"), row("inject"), row("abort"), row("end")]);
    daemon.stop().await;
}

/// Scenario: a fault of twenty minutes ago whose telemetry is stored is told of
/// afterwards, with its document.
/// Guarantees: the window is marked retrospective and judged by the daemon itself; the
/// verdict, its hypotheses with their SQL and the samples are rows that join, and the
/// report is kept over a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_told_afterwards_is_judged_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path());
    let daemon = launch.start().await;
    let inject = (now() - 1_500 * SECOND) / (5 * SECOND) * (5 * SECOND);
    for request in telemetry_at(inject) {
        daemon.ack(Encoding::HttpJson, &request).await;
    }
    let start = json!({
        "document": document(ERRORS), "run_id": "past-1",
        "inject": instant(inject), "recover": instant(inject + 180 * SECOND),
    });
    let (status, run) = daemon.post("/runs", start).await;
    assert_eq!((status, &run["retrospective"]), (201, &json!(true)), "{run}");
    let run = daemon.until("past-1", |run| !run["verdict"].is_null()).await;
    assert_eq!((&run["verdict"], &run["exit_code"]), (&json!("held"), &json!(0)), "{run}");
    daemon.kill().await;
    let daemon = launch.start().await;
    daemon.until("past-1", |run| run["verdict"] == "held").await;
    let report =
        daemon.client.get(&daemon.url("/api/v1/experiments/runs/past-1/report")).await.unwrap();
    assert_eq!((report.status.as_u16(), &report.json()["verdict"]), (200, &json!("held")));
    let found = "SELECT hypothesis, v.verdict, array_length(evidence_sql) > 0, ci_low <= estimate \
         FROM experiment_verdicts v JOIN experiment_windows w USING (run_id) \
         WHERE w.verdict = 'held' AND hypothesis = 'frontend-error_ratio'";
    let rows = daemon.sql(found).await.rows;
    assert_eq!(rows, [[json!("frontend-error_ratio"), json!("held"), json!(true), json!(true)]]);
    let samples = "SELECT phase, count(*) FROM experiment_samples WHERE indicator = 'red.error_ratio' \
         AND subject = 'frontend' AND value = 0 GROUP BY phase ORDER BY 1";
    let rows = daemon.sql(samples).await.rows;
    assert_eq!(
        rows,
        [
            [json!("baseline"), json!("60")],
            [json!("injection"), json!("33")],
            [json!("recovery"), json!("36")]
        ]
    );
    daemon.stop().await;
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

fn log(
    at: i64,
    resource: &[(&str, &str)],
    record: &[(&str, &str)],
    event: &str,
    body: &str,
) -> Request {
    let record = json!({
        "timeUnixNano": at.to_string(), "eventName": event, "body": {"stringValue": body},
        "attributes": attributes(record),
    });
    let logs = json!({"resource": {"attributes": attributes(resource)}, "scopeLogs": [{"logRecords": [record]}]});
    Request::from_json(Signal::Logs, &json!({"resourceLogs": [logs]}).to_string())
}

/// Scenario: an injector tells of its run by the four events, each over another door;
/// then Chaos Mesh by Events of its object in the three generations of attributes, one
/// of them sent twice; then an ordinary record.
/// Guarantees: two runs are observed, each with its edges, source and confidence; every
/// event is a row that joins its run and names the log row that it came from.
#[tokio::test(flavor = "multi_thread")]
async fn telemetry_tells_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let begin = now() - 30 * SECOND;
    let said = [
        ("chaos.run.id", "obs-1"),
        ("chaos.experiment.name", "pay"),
        ("chaos.fault.type", "network_delay"),
        ("chaos.target.service", "payment"),
    ];
    let injector = [("service.name", "injector")];
    let events = [
        ("chaos.run.started", 0, Encoding::HttpJson),
        ("chaos.fault.injected", 5, Encoding::HttpProtobuf),
        ("chaos.fault.recovered", 15, Encoding::Grpc),
        ("chaos.run.ended", 20, Encoding::HttpJson),
    ];
    for (event, after, encoding) in events {
        daemon.ack(encoding, &log(begin + after * SECOND, &injector, &said, event, "")).await;
    }
    let run = daemon.until("obs-1", |run| run["state"] == "ended").await;
    assert_eq!((&run["confidence"], &run["source"]), (&json!("observed"), &json!("otlp")), "{run}");
    assert_eq!(
        (&run["fault_type"], &run["target"]["service"]),
        (&json!("network_delay"), &json!("payment"))
    );
    assert!(run["edge_uncertainty_ms"].as_i64().unwrap() >= 10_000, "{run}");

    let body = "Successfully apply chaos for shop/pay-7f9c/app";
    let object = [("k8s.object.kind", "NetworkChaos"), ("k8s.object.name", "pay-delay")];
    let namespace = ("k8s.namespace.name", "shop");
    let oldest = [
        ("k8s.event.reason", "Applied"),
        ("k8s.event.uid", "u-1"),
        ("k8s.networkchaos.name", "pay-delay"),
        namespace,
    ];
    let second = [("k8s.event.reason", "TimeUp"), ("k8s.event.uid", "u-2"), namespace];
    let newest = [("k8s.event.reason", "Recovered"), ("k8s.event.uid", "u-3")];
    let placed = [object[0], object[1], namespace];
    for request in [
        log(begin + 2 * SECOND, &[], &oldest, "", body),
        log(begin + 2 * SECOND, &[], &oldest, "", body),
        log(begin + 12 * SECOND, &object, &second, "", "Time up according to the duration"),
        log(begin + 13 * SECOND, &placed, &newest, "", body),
        log(begin + 14 * SECOND, &injector, &[("k", "v")], "", "nothing"),
    ] {
        daemon.ack(Encoding::HttpJson, &request).await;
    }
    let seconds = begin / SECOND + 2;
    let id = format!("NetworkChaos-shop-pay-delay-{seconds}");
    let run = daemon.until(&id, |run| run["state"] == "recovering").await;
    assert_eq!((&run["confidence"], &run["source"]), (&json!("inferred"), &json!("k8s")), "{run}");
    assert_eq!(
        (&run["object"], &run["target"]["k8s.pod.name"]),
        (&json!("NetworkChaos/shop/pay-delay"), &json!("pay-7f9c"))
    );
    let told = "SELECT w.run_id, e.kind, e.raw_ref LIKE 'logs WHERE time_unix_nano = %' FROM experiment_windows w \
         JOIN experiment_events e ON e.run_id = w.run_id WHERE e.source <> 'plan' ORDER BY w.source, e.event_time";
    let deadline = Instant::now() + PATIENCE;
    let row = |id: &str, kind: &str| json!([id, kind, true]);
    let expected = [
        row(&id, "inject"),
        row(&id, "recover"),
        row(&id, "recover"),
        row("obs-1", "start"),
        row("obs-1", "inject"),
        row("obs-1", "recover"),
        row("obs-1", "end"),
    ];
    loop {
        let rows: Vec<Value> =
            daemon.sql(told).await.rows.into_iter().map(|row| json!(row)).collect();
        if rows == expected {
            break;
        }
        assert!(Instant::now() < deadline, "{rows:?}");
        sleep(Duration::from_millis(100)).await;
    }
    daemon.stop().await;
}
