//! Guards against a daemon: what stops a run, who is told, and what an injector
//! that is supervised goes through.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Answer, Client};
use crate::daemon::{Daemon, Launch, Ports, cloudsail};
use crate::otlp::{Encoding, Request, Signal, send};
use crate::vertical::now;

/// Longer than any guard here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

pub const HEALTHY: u8 = 0;
pub const FAILING: u8 = 1;
const STOPPED: u8 = 2;

/// A shop that serves requests of two services, ten a second each, until it is
/// dropped; those of `frontend` fail when it is told.
pub struct Shop {
    mood: Arc<AtomicU8>,
    _sending: JoinSet<()>,
}

impl Shop {
    pub fn open(daemon: &Daemon) -> Shop {
        let mood = Arc::new(AtomicU8::new(HEALTHY));
        let mut sending = JoinSet::new();
        sending.spawn(serve(daemon.ports.clone(), mood.clone()));
        Shop { mood, _sending: sending }
    }

    pub fn turn(&self, mood: u8) {
        self.mood.store(mood, Ordering::Relaxed);
    }
}

async fn serve(ports: Ports, mood: Arc<AtomicU8>) {
    let client = Client::default();
    for at in 0_u64.. {
        let mood = mood.load(Ordering::Relaxed);
        let services: &[(&str, bool)] = match mood {
            STOPPED => &[("cart", false)],
            mood => &[("frontend", mood == FAILING), ("cart", false)],
        };
        let of = |(service, failing): &(&str, bool)| {
            let span = |number: u64| {
                let end = now().as_nanos() as u64;
                let id = (at * 16 + number) * 2 + u64::from(*service == "cart");
                json!({
                    "traceId": format!("{id:032x}"), "spanId": format!("{:016x}", id + 1), "name": "GET /",
                    "kind": 2, "startTimeUnixNano": (end - 1_000_000 * (5 + id % 40)).to_string(),
                    "endTimeUnixNano": end.to_string(), "status": {"code": if *failing { 2 } else { 0 }},
                })
            };
            let spans: Vec<Value> = (0..4).map(span).collect();
            let name = json!({"key": "service.name", "value": {"stringValue": service}});
            json!({"resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans}]})
        };
        let body: Vec<Value> = services.iter().map(of).collect();
        let request =
            Request::from_json(Signal::Traces, &json!({"resourceSpans": body}).to_string());
        // A daemon that is gone for a moment is the test's doing.
        drop(send(&client, &ports, Encoding::HttpJson, &request).await);
        sleep(Duration::from_millis(200)).await;
    }
}

/// Takes requests and answers 204.
struct Receiver {
    host: String,
    requests: mpsc::UnboundedReceiver<(String, String)>,
    _listening: JoinSet<()>,
}

impl Receiver {
    async fn listen() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (sender, requests) = mpsc::unbounded_channel();
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut read = Vec::new();
                let (head, body) = loop {
                    let mut part = [0; 4096];
                    let n = stream.read(&mut part).await.unwrap_or(0);
                    read.extend_from_slice(&part[..n]);
                    let text = String::from_utf8_lossy(&read).into_owned();
                    let whole = text.split_once("\r\n\r\n").filter(|(head, body)| {
                        let length = header(head, "content-length").unwrap_or_default();
                        body.len() >= length.parse().unwrap_or(0)
                    });
                    if let Some((head, body)) = whole {
                        break (head.to_owned(), body.to_owned());
                    }
                    if n == 0 {
                        break (text, String::new());
                    }
                };
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                drop(stream.write_all(answer).await);
                drop(sender.send((head, body)));
            }
        });
        Receiver { host, requests, _listening: listening }
    }

    async fn next(&mut self) -> (String, String) {
        timeout(PATIENCE, self.requests.recv()).await.expect("a request comes").unwrap()
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut named = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.trim().to_owned())
}

/// An experiment with these guards and whatever else.
pub fn document(guards: &str, more: &str) -> String {
    format!(
        "apiVersion: chaos/v1\nkind: Experiment\ntitle: guarded\ntarget: {{services: [payment]}}\n\
         window: {{baseline: 10s, settle: 1s, recovery: 5s, late: 1s, overlap: mark}}\neffect-check: none\n\
         steady-state-hypothesis:\n  probes:\n    - {{service: frontend, indicator: error_ratio, max: 5%}}\n\
         guard:\n  - {guards}\n{more}"
    )
}

pub const ERRORS: &str = "{name: user-errors, service: frontend, indicator: error_ratio, when: \"> 0.05\", for: 1s, min-samples: 5, action: [deny, \"webhook:stop-pay\"]}";

pub async fn open(daemon: &Daemon, run: &str, document: &str) {
    let body = json!({"document": document, "run_id": run}).to_string();
    let kind = [("content-type", "application/json")];
    let url = daemon.url("/api/v1/experiments/runs");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = daemon.client.post(&url, &kind, body.clone()).await.unwrap();
        // It may still read the runs of the last process.
        if answer.status != 503 || Instant::now() > deadline {
            assert_eq!(answer.status, 201, "{}", answer.text());
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

pub async fn guard(daemon: &Daemon, run: &str, query: &str) -> Answer {
    daemon.client.get(&daemon.url(&format!("/api/v1/guards/{run}{query}"))).await.unwrap()
}

/// Asks until the guards answer this status.
pub async fn until(daemon: &Daemon, run: &str, status: u16) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = guard(daemon, run, "?wait=2s").await;
        if answer.status == status {
            assert_eq!(answer.header("content-type"), Some("application/json"));
            return answer.json();
        }
        assert!(Instant::now() < deadline, "never {status}: {} {}", answer.status, answer.text());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Rows of `experiment_events` of a run and kind, once there are so many.
pub async fn events(daemon: &Daemon, run: &str, kind: &str, count: usize) -> Vec<Vec<Value>> {
    let sql = format!(
        "SELECT reason, message, accepted FROM experiment_events WHERE run_id = '{run}' AND kind = '{kind}' ORDER BY reason"
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows = daemon.sql(&sql).await.rows;
        if rows.len() >= count {
            return rows;
        }
        assert!(Instant::now() < deadline, "{rows:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Scenario: a shop in health whose requests then fail, a guard with a webhook of
/// the configuration and a control with a secret; then SIGKILL and a new start.
/// Guarantees: 200 and then 503 with the content type to the letter; both webhooks
/// come with a valid HMAC and are written down; a lease is given before and refused
/// after; the run stays stopped, and a lease that a dead node gave lapses on the next
/// one; an unknown run is 404.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_stops_a_run_and_it_stays_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::listen().await;
    let host = receiver.host.clone();
    let launch = Launch::new(dir.path())
        .set(format!("experiments.egress=[\"{host}\"]"))
        .set(format!("experiments.webhooks=[{{name: stop-pay, url: \"http://{host}/stop\", secret: \"env:STOP\"}}]"))
        .set("experiments.secrets=[HOOK]")
        .env("STOP", "one")
        .env("HOOK", "two");
    let daemon = launch.start().await;
    let shop = Shop::open(&daemon);
    let control = format!(
        "controls: [{{webhook: \"http://{host}/told\", on: [aborted], secret: \"env:HOOK\"}}]\n"
    );
    open(&daemon, "r1", &document(ERRORS, &control)).await;
    let go = until(&daemon, "r1", 200).await;
    assert_eq!((&go["verdict"], &go["value"]), (&json!("go"), &json!(0.0)), "{go}");
    for key in ["reason", "n", "evaluated_at", "staleness_ms", "node"] {
        assert!(go.get(key).is_some(), "{key}: {go}");
    }
    assert_eq!(guard(&daemon, "r1", "?format=value").await.text(), "0");
    assert_eq!(guard(&daemon, "r1", "?format=argo").await.json()["verdict"], "held");
    assert_eq!(guard(&daemon, "nobody", "").await.status, 404);
    let lease = daemon.url("/api/v1/leases/r1");
    assert_eq!(daemon.client.post(&lease, &[], "{\"ttl\": \"60s\"}").await.unwrap().status, 200);

    shop.turn(FAILING);
    let stop = until(&daemon, "r1", 503).await;
    assert_eq!(
        (&stop["verdict"], &stop["guard"]),
        (&json!("stop"), &json!("user-errors")),
        "{stop}"
    );
    let mut told = [receiver.next().await, receiver.next().await];
    told.sort();
    let names: Vec<&str> = told.iter().map(|(head, _)| head.lines().next().unwrap()).collect();
    assert_eq!(names, ["POST /stop HTTP/1.1", "POST /told HTTP/1.1"]);
    for ((head, body), secret) in told.iter().zip(["one", "two"]) {
        let time = header(head, "cloudsail-timestamp").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{time}.{body}").as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(header(head, "cloudsail-signature"), Some(format!("v1={hex}")));
        assert!(header(head, "idempotency-key").unwrap().starts_with("r1/"));
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["event"], &body["guard"]), (&json!("aborted"), &json!("user-errors")));
    }
    let written = events(&daemon, "r1", "webhook", 2).await;
    assert!(written.iter().all(|row| row[2] == true), "{written:?}");
    let refused = daemon.client.post(&lease, &[], "").await.unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    events(&daemon, "r1", "abort", 1).await;
    shop.turn(HEALTHY);
    open(&daemon, "left", &document(&ERRORS.replace("0.05", "2"), "")).await;
    let lease = daemon.url("/api/v1/leases/left");
    assert_eq!(daemon.client.post(&lease, &[], "{\"ttl\": \"3s\"}").await.unwrap().status, 200);
    daemon.kill().await;
    let daemon = launch.start().await;
    let stop = until(&daemon, "r1", 503).await;
    assert_eq!(stop["guard"], "user-errors", "{stop}");
    assert_eq!(until(&daemon, "left", 503).await["guard"], "lease");
    assert_eq!(guard(&daemon, "nobody", "").await.status, 404);
    daemon.stop().await;
}

/// Scenario: a guard on a service that sends nothing, one in shadow mode that
/// would fire, and a lease that is not renewed.
/// Guarantees: J2: no data is 424, in every format, and a stop after grace alone; a
/// shadow guard stops nothing and is written down; a lapsed lease stops its run.
#[tokio::test(flavor = "multi_thread")]
async fn inv_j2_no_data_is_never_go() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let shop = Shop::open(&daemon);
    let silent = "{service: nobody, indicator: error_ratio, when: \"> 0.05\", grace: 8s}";
    let shadow = ERRORS.replace("for: 1s", "for: 1s, mode: shadow");
    open(&daemon, "shadow", &document(&shadow, "")).await;
    // No guard of it was evaluated when the lease is asked for.
    open(&daemon, "leased", &document(&ERRORS.replace("0.05", "2"), "")).await;
    let lease = daemon.url("/api/v1/leases/leased");
    assert_eq!(daemon.client.post(&lease, &[], "{\"ttl\": \"1s\"}").await.unwrap().status, 200);
    open(&daemon, "silent", &document(silent, "")).await;
    let blind = until(&daemon, "silent", 424).await;
    assert_eq!(blind["verdict"], "cannot_tell", "{blind}");
    assert_eq!(guard(&daemon, "silent", "?format=value").await.status, 424);
    let argo = guard(&daemon, "silent", "?format=argo").await;
    assert_eq!((argo.status, &argo.json()["verdict"]), (200, &json!("inconclusive")));
    let stop = until(&daemon, "silent", 503).await;
    assert!(stop["detail"].as_str().unwrap().contains("8s and longer"), "{stop}");
    assert_eq!(until(&daemon, "leased", 503).await["guard"], "lease");
    shop.turn(FAILING);
    let written = events(&daemon, "shadow", "guard-shadow", 1).await;
    assert_eq!(written[0][0], "user-errors");
    assert_eq!(until(&daemon, "shadow", 200).await["verdict"], "go");
    daemon.stop().await;
}

/// Scenario: the tables of the store cannot be reached; then requests fail, and a
/// second run's service falls silent.
/// Guarantees: guards go on and stop both while the object store fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_stops_while_the_store_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1s");
    let daemon = launch.start().await;
    let shop = Shop::open(&daemon);
    // A baseline of which silence can be told.
    sleep(Duration::from_secs(6)).await;
    open(&daemon, "errors", &document(ERRORS, "")).await;
    let quiet = "{service: frontend, indicator: rate, when: \"< 0.001\", for: 1s}";
    open(&daemon, "quiet", &document(quiet, "")).await;
    until(&daemon, "errors", 200).await;
    until(&daemon, "quiet", 200).await;
    let tables = launch.data().join("store/default");
    let aside = dir.path().join("aside");
    std::fs::rename(&tables, &aside).unwrap();
    std::fs::write(&tables, "in the way").unwrap();
    sleep(Duration::from_secs(2)).await;
    shop.turn(FAILING);
    assert_eq!(until(&daemon, "errors", 503).await["guard"], "user-errors");
    shop.turn(STOPPED);
    assert_eq!(until(&daemon, "quiet", 503).await["verdict"], "stop");
    std::fs::remove_file(&tables).unwrap();
    std::fs::rename(&aside, &tables).unwrap();
    daemon.stop().await;
}

/// Waits for a file with a text.
async fn told(path: &Path) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => assert!(Instant::now() < deadline, "{} was never written", path.display()),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Scenario: an injector that ignores SIGTERM is supervised while requests begin
/// to fail; a rollback by HTTP is declared. Then one that ends by itself, and one
/// that cannot be started.
/// Guarantees: the stopped one is killed with its whole group, rolled back, and
/// judged aborted (5); the second is judged by its telemetry; the third is 2.
#[tokio::test(flavor = "multi_thread")]
async fn an_injector_is_stopped_for_certain() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let shop = Shop::open(&daemon);
    let mut receiver = Receiver::listen().await;
    let host = receiver.host.clone();
    let rollbacks = format!(
        "rollbacks:\n  - {{type: action, name: undo, provider: {{type: http, url: \"http://{host}/undo\", method: POST, arguments: {{a: 1}}}}}}\n"
    );
    let file = dir.path().join("exp.yaml");
    std::fs::write(&file, document(ERRORS, &rollbacks)).unwrap();
    let supervise = |command: &[&str]| {
        let mut run = cloudsail();
        run.current_dir(dir.path()).args(["experiment", "run"]).arg(&file);
        run.args(["--server", &daemon.url(""), "--grace", "1s", "--egress", &host, "--"]);
        run.args(command);
        run
    };
    let text = |output: &std::process::Output| {
        let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        format!("{}\n{out}{err}", output.status)
    };
    let stubborn = r#"trap '' TERM
        sh -c "trap '' TERM; echo \$\$ > inner; while :; do sleep 0.1; done" &
        echo $$ > outer
        while :; do sleep 0.1; done"#;
    let running = supervise(&["sh", "-c", stubborn]).output();
    let (output, ()) = tokio::join!(running, async {
        told(&dir.path().join("outer")).await;
        shop.turn(FAILING);
    });
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("stopped by user-errors") && said.contains("was killed"), "{said}");
    for process in ["outer", "inner"] {
        let pid = told(&dir.path().join(process)).await;
        assert!(!Path::new("/proc").join(pid).exists(), "{process} lives");
    }
    let (head, body) = receiver.next().await;
    assert!(head.starts_with("POST /undo") && body == "{\"a\":1}", "{head} {body}");

    // Until the window of the guard holds no failure any more.
    shop.turn(HEALTHY);
    open(&daemon, "calm", &document(&ERRORS.replace("0.05", "2"), "")).await;
    let deadline = Instant::now() + PATIENCE;
    while guard(&daemon, "calm", "?format=value").await.text() != "0" {
        assert!(Instant::now() < deadline, "the failures stay");
        sleep(Duration::from_millis(100)).await;
    }
    let output = supervise(&["sh", "-c", "test -n \"$CLOUDSAIL_RUN_ID\" && sleep 8"])
        .output()
        .await
        .unwrap();
    let code = output.status.code().unwrap();
    assert!([0, 1, 3, 4].contains(&code), "{}", text(&output));
    assert!(text(&output).contains("guarded: "), "{}", text(&output));
    let output = supervise(&["/no/such/injector"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    daemon.stop().await;
}

/// Scenario: the guard bench against a daemon under no load.
/// Guarantees: each round sees a stop; the figures are JSON, in order.
#[tokio::test(flavor = "multi_thread")]
async fn the_guard_bench_measures_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let endpoint = format!("http://{}", daemon.ports.otlp_http);
    let args =
        ["experiment", "guard", "bench", "--server", &daemon.url(""), "--endpoint", &endpoint];
    let more = ["--rounds", "5", "--json", "--limit", "1h"];
    let output = cloudsail().args(args).args(more).output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{error}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["each_stopped_ms"].as_array().unwrap().len(), 5, "{told}");
    let stopped = |key: &str| told["stopped_ms"][key].as_f64().unwrap();
    assert!(0.0 < stopped("p50") && stopped("p50") <= stopped("p99"), "{told}");
    let metrics = daemon.client.get(&daemon.url("/metrics")).await.unwrap().text();
    assert!(metrics.contains("cloudsail_chaos_guard_latency_seconds_count"), "{metrics}");
    daemon.stop().await;
}
