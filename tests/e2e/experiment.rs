//! `cloudsail experiment` against a daemon: what it prints and how it exits.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::daemon::{Launch, run};
use crate::otlp::{Encoding, Request, Signal};

const SECOND: i64 = 1_000_000_000;
/// Of the daemon's clock, which is this machine's.
#[expect(clippy::disallowed_methods, reason = "a run is opened by the daemon's own clock")]
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("it is after 1970").as_nanos()).expect("and before 2262")
}

/// 2026-11-20T10:00:00Z.
const INJECT: i64 = 1_795_168_800 * SECOND;
pub const FROM: &str = "2026-11-20T10:00:00Z";
pub const TO: &str = "2026-11-20T10:03:00Z";

/// A shop whose calls to payment take half a second longer while the fault is
/// in place: from five minutes before it to eleven after.
pub fn telemetry_at(inject: i64) -> Vec<Request> {
    let minutes = -5..11;
    minutes
        .map(|minute| {
            let begin = inject + minute * 60 * SECOND;
            let (mut front, mut payment) = (Vec::new(), Vec::new());
            for at in 0..60 * 4 {
                let start = begin + at * SECOND / 4;
                let bitten = (inject..inject + 180 * SECOND).contains(&start);
                let own = SECOND / 1_000 * (20 + (at * 7) % 13);
                let delay = if bitten { 480 + (at * 11) % 41 } else { 0 };
                let gap = SECOND / 1_000 * (2 + at % 3 + delay);
                let id = format!("{start:016x}");
                let trace_id = format!("{id:0>32}");
                let span = |id: &str, parent: &str, kind: u8, start: i64, length: i64| {
                    json!({
                        "traceId": trace_id, "spanId": id, "parentSpanId": parent,
                        "name": "POST /pay", "kind": kind, "startTimeUnixNano": start.to_string(),
                        "endTimeUnixNano": (start + length).to_string(),
                    })
                };
                let (call, answer) = (format!("c{}", &id[1..]), format!("a{}", &id[1..]));
                front.push(span(&id, "", 2, start, own + gap + SECOND / 100));
                front.push(span(&call, &id, 3, start, own + gap));
                payment.push(span(&answer, &call, 2, start + gap / 2, own));
            }
            let of = |service: &str, spans: Vec<Value>| {
                let name = json!({"key": "service.name", "value": {"stringValue": service}});
                json!({"resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans}]})
            };
            let body = json!({"resourceSpans": [of("frontend", front), of("payment", payment)]});
            Request::from_json(Signal::Traces, &body.to_string())
        })
        .collect()
}

/// [`telemetry_at`] of a day that others know by its date.
pub fn telemetry() -> Vec<Request> {
    telemetry_at(INJECT)
}

pub fn document(probes: &str) -> String {
    format!(
        "apiVersion: chaos/v1\nkind: Experiment\ntitle: the shop bears a slow payment\n\
         target: {{services: [payment]}}\n\
         window: {{baseline: 5m, recovery: 3m}}\n\
         effect-check: {{indicator: edge.gap_p50, edge: frontend->payment, increase: \">=300ms\"}}\n\
         steady-state-hypothesis:\n  probes:\n{probes}\
         expect: {{recovery: 60s}}\nreport: {{formats: [json, md, junit, html]}}\n"
    )
}

pub fn code(output: &Output, expected: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(expected), "{text}\n{error}");
    text + &error
}

/// Scenario: the shipped twelve lines and a document with a mistyped key.
/// Guarantees: the first is printed complete, the second is refused with its line
/// and the key that was meant; exit codes 0 and 2.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_linted() {
    let dir = tempfile::tempdir().unwrap();
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/experiments/twelve-lines.yaml");
    let example = example.to_str().unwrap();
    let text = code(&run(dir.path(), &["experiment", "lint", example]).await, 0);
    assert!(text.contains("baseline: 10m") && text.contains("telemetry-health"), "{text}");
    let wrong = dir.path().join("wrong.yaml");
    let twelve = std::fs::read_to_string(example).unwrap();
    std::fs::write(&wrong, twelve.replace("guard:", "gaurd:")).unwrap();
    let wrong = wrong.to_str().unwrap();
    let text = code(&run(dir.path(), &["experiment", "lint", wrong]).await, 2);
    assert!(text.contains("line ") && text.contains("did you mean guard?"), "{text}");
}

/// Scenario: a fault that the shop bears, one it does not bear, a window beside
/// the telemetry, and no daemon.
/// Guarantees: J1: held and deviated by exit code, and the report's run is judged
/// the same again; J2: no evidence is invalid (4), no daemon is no verdict (6).
#[tokio::test(flavor = "multi_thread")]
async fn inv_j1_j2_a_run_is_judged_by_its_telemetry() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let daemon = Launch::new(data).start().await;
    for request in telemetry() {
        daemon.ack(Encoding::HttpJson, &request).await;
    }
    let server = daemon.url("");
    let write = |name: &str, probes: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, document(probes)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let errors = "    - {service: frontend, indicator: error_ratio, max: 5%}\n";
    let slow = "    - {service: frontend, indicator: p95, max: 2s}\n";
    let good = write("good.yaml", &format!("{errors}{slow}"));
    let bad = write("bad.yaml", &format!("{errors}{}", slow.replace("2s", "300ms")));
    let judge = |file: String, from: &'static str, to: &'static str, out: &'static str| {
        let server = server.clone();
        let dir = dir.path();
        async move {
            let args = [
                "experiment",
                "judge",
                &file,
                "--from",
                from,
                "--to",
                to,
                "--server",
                &server,
                "--out",
                out,
            ];
            run(dir, &args).await
        }
    };
    let text = code(&judge(good.clone(), FROM, TO, "held").await, 0);
    assert!(text.contains("the shop bears a slow payment: held"), "{text}");
    for (name, form) in [("report.md", "md"), ("report.xml", "junit"), ("report.html", "html")] {
        let written = std::fs::read_to_string(dir.path().join("held").join(name)).unwrap();
        let again = ["experiment", "report", "held/report.json", "--format", form];
        let output = run(dir.path(), &again).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), written, "{name}");
        assert_eq!(output.status.code(), Some(0));
    }
    // What its pictures are drawn from is in it.
    let report = std::fs::read_to_string(dir.path().join("held/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let charts = report["charts"].as_array().unwrap();
    assert_eq!(charts.len(), 3, "two hypotheses and the sign of the fault");
    assert!(charts.iter().all(|chart| !chart["samples"].as_array().unwrap().is_empty()));
    assert_eq!(report["calls"][0]["callee"], "payment");
    let verify = ["experiment", "verify", "held/report.json", "--server", &server];
    let text = code(&run(dir.path(), &verify).await, 0);
    assert!(text.contains("the same verdict: held"), "{text}");
    let text = code(&judge(bad, FROM, TO, "deviated").await, 1);
    assert!(text.contains("frontend-p95"), "{text}");
    let beside = judge(good.clone(), "2026-11-20T18:00:00Z", "2026-11-20T18:03:00Z", "beside");
    let text = code(&beside.await, 4);
    assert!(text.contains("no_effect"), "{text}");
    daemon.stop().await;
    code(&judge(good, FROM, TO, "none").await, 6);
}
