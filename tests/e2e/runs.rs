//! Runs over HTTP and by telemetry, across SIGKILL.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::daemon::{Daemon, Launch, run};
use crate::experiment::{code, document, now, telemetry_at};
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
        (answer.status, answer.json())
    }

    async fn run(&self, id: &str) -> (u16, Value) {
        let url = self.url(&format!("/api/v1/experiments/runs/{id}"));
        let answer = self.client.get(&url).await.expect("the API answers");
        (answer.status, answer.json())
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
    assert_eq!((answer.status, &answer.json()["name"]), (201, &json!(title)), "{}", answer.text());
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

/// Scenario: a Chaos Toolkit journal of a fault of half an hour ago, whose telemetry is
/// stored, is imported; then everything that the command line asks of a run.
/// Guarantees: the window is marked retrospective and judged by the daemon itself, and
/// the verdict is written into the journal; exit codes and the bare value are those of
/// the verdict; hypotheses with their SQL and samples are rows that join; the report is
/// kept over SIGKILL.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_imported_and_judged() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path());
    let daemon = launch.start().await;
    let inject = (now() - 1_500 * SECOND) / (5 * SECOND) * (5 * SECOND);
    for request in telemetry_at(inject) {
        daemon.ack(Encoding::HttpJson, &request).await;
    }
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let yaml = file("pay.yaml", document(ERRORS));
    let action = |start: i64, end: i64| json!({"activity": {"type": "action", "name": "tc"}, "start": instant(start), "end": instant(end)});
    let recover = inject + 180 * SECOND;
    let journal = json!({
        "experiment": {"title": "payment survives"}, "start": instant(inject - SECOND),
        "end": instant(recover), "run": [action(inject, inject + SECOND)],
        "rollbacks": [action(recover - SECOND, recover)],
    });
    let journal = file("journal.json", journal.to_string());
    let server = daemon.url("");
    let ask = |args: &[&str]| {
        let args: Vec<String> =
            ["experiment"].iter().chain(args).map(|arg| arg.to_string()).collect();
        let (server, dir) = (server.clone(), dir.path());
        async move {
            let args: Vec<&str> =
                args.iter().map(String::as_str).chain(["--server", &server]).collect();
            run(dir, &args).await
        }
    };
    let text = code(
        &ask(&["import", &journal, "--experiment", &yaml, "--run-id", "past-1", "--wait", "5m"])
            .await,
        0,
    );
    assert!(text.contains("past-1: held"), "{text}");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&journal).unwrap()).unwrap();
    assert_eq!(written["experiment"]["extensions"][0]["verdict"], "held", "{written}");

    daemon.kill().await;
    let daemon = launch.start().await;
    let server = daemon.url("");
    let ask = |args: &[&str]| {
        let args: Vec<String> =
            ["experiment"].iter().chain(args).map(|arg| arg.to_string()).collect();
        let (server, dir) = (server.clone(), dir.path());
        async move {
            let args: Vec<&str> =
                args.iter().map(String::as_str).chain(["--server", &server]).collect();
            run(dir, &args).await
        }
    };
    let run = daemon.until("past-1", |run| run["verdict"] == "held").await;
    assert_eq!((&run["retrospective"], &run["source"]), (&json!(true), &json!("import")), "{run}");
    let report =
        daemon.client.get(&daemon.url("/api/v1/experiments/runs/past-1/report")).await.unwrap();
    assert_eq!((report.status, &report.json()["verdict"]), (200, &json!("held")));
    assert!(code(&ask(&["verdict", "past-1"]).await, 0).contains("past-1: held"));
    assert_eq!(code(&ask(&["verdict", "past-1", "--value"]).await, 0), "0\n");
    let value = ["verdict", "past-1", "--value", "--hypothesis", "frontend-error_ratio"];
    assert_eq!(code(&ask(&value).await, 0), "0\n");
    code(&ask(&["verdict", "nobody"]).await, 2);
    assert!(code(&ask(&["list"]).await, 0).contains("past-1"));
    assert!(code(&ask(&["show", "past-1"]).await, 0).contains("\"verdict\": \"held\""));
    assert_eq!(
        code(&ask(&["start", &yaml, "--run-id", "next-1", "--overlap", "mark"]).await, 0),
        "next-1\n"
    );
    assert!(code(&ask(&["mark", "next-1", "inject"]).await, 0).contains("injecting"));
    assert!(code(&ask(&["stop", "next-1", "--abort", "enough"]).await, 0).contains("aborted"));
    code(&ask(&["verdict", "next-1"]).await, 3);

    let found = "SELECT hypothesis, v.verdict, array_length(evidence_sql) > 0, ci_low <= estimate \
         FROM experiment_verdicts v JOIN experiment_windows w USING (run_id) \
         WHERE w.verdict = 'held' AND hypothesis = 'frontend-error_ratio'";
    let rows = daemon.sql(found).await.rows;
    assert_eq!(rows, [[json!("frontend-error_ratio"), json!("held"), json!(true), json!(true)]]);
    let samples = "SELECT phase, count(*) FROM experiment_samples WHERE indicator = 'red.error_ratio' \
         AND subject = 'frontend' AND value = 0 GROUP BY phase ORDER BY 1";
    let rows = daemon.sql(samples).await.rows;
    let row = |phase: &str, buckets: &str| [json!(phase), json!(buckets)];
    assert_eq!(rows, [row("baseline", "60"), row("injection", "33"), row("recovery", "36")]);
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
