//! Alerts of others: taken in by their webhooks, asked for by SQL, judged with
//! the run that they belong to.

use std::path::Path;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Launch, run};
use crate::experiment::{FROM, TO, code, document, telemetry};
use crate::otlp::{Encoding, Request, Signal};

/// An alert in the run of [`telemetry`]: fired 40 s after the injection, over
/// 30 s after the fault was removed.
fn slow(status: &str, ends_at: &str) -> Value {
    json!({"status": status, "labels": {"alertname": "Slow", "service": "payment"},
        "annotations": {}, "startsAt": "2026-11-20T11:00:40+01:00", "endsAt": ends_at,
        "generatorURL": "http://prometheus/graph", "fingerprint": "5ef77f1f8a3ecfb8"})
}

fn alertmanager(alerts: &[Value]) -> String {
    json!({"version": "4", "groupKey": "{}:{alertname=\"Slow\"}", "truncatedAlerts": 0,
        "status": "firing", "receiver": "cloudsail", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://alertmanager", "alerts": alerts})
    .to_string()
}

async fn post(daemon: &Daemon, door: &str, body: String, status: u16) -> Value {
    let url = daemon.url(&format!("/api/v1/alerts/{door}"));
    let kind = [("content-type", "application/json")];
    let answer = daemon.client.post(&url, &kind, body).await.unwrap();
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json()
}

/// Judges the run by a document that expects this of alerts.
async fn judge(dir: &Path, server: &str, alerts: &str) -> std::process::Output {
    let errors = "    - {service: frontend, indicator: error_ratio, max: 5%}\n";
    let text =
        document(errors).replace("recovery: 60s}", &format!("recovery: 60s, alerts: [{alerts}]}}"));
    let file = dir.join("alerts.yaml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let args = ["experiment", "judge", file, "--from", FROM, "--to", TO, "--server", server];
    run(dir, &[&args[..], &["--out", "out"]].concat()).await
}

/// Scenario: Alertmanager and Grafana deliver what fired in a run, twice and
/// also again after a restart, and a log event tells of another alert, twice;
/// one delivery is nonsense; the run is judged
/// before and after by what it expects of alerts.
/// Guarantees: J2: before anything was heard the run is inconclusive (3);
/// transitions are rows once, durable when answered; seen in time is held (0),
/// and a false alarm deviates (1); the report shows the alert and is verified.
#[tokio::test(flavor = "multi_thread")]
async fn inv_j2_alerts_are_taken_and_judged() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let launch = Launch::new(data);
    let daemon = launch.start().await;
    for request in telemetry() {
        daemon.ack(Encoding::HttpJson, &request).await;
    }
    let server = daemon.url("");
    let expected = "{rule: Slow, within: 60s, resolve-within: 60s}";
    let text = code(&judge(dir.path(), &server, expected).await, 3);
    assert!(text.contains("no alert was heard of"), "{text}");

    let open = "0001-01-01T00:00:00Z";
    let firing = post(&daemon, "alertmanager", alertmanager(&[slow("firing", open)]), 200).await;
    assert_eq!((&firing["accepted"], &firing["repeated"]), (&json!(1), &json!(0)));
    let over = alertmanager(&[slow("resolved", "2026-11-20T10:03:30Z"), json!({"status": "odd"})]);
    let resolved = post(&daemon, "alertmanager", over.clone(), 200).await;
    assert_eq!((&resolved["accepted"], &resolved["repeated"]), (&json!(1), &json!(1)));
    assert_eq!(resolved["refused"].as_array().unwrap().len(), 1);
    post(&daemon, "alertmanager", "{}".into(), 400).await;
    post(&daemon, "grafana", alertmanager(&[json!({})]), 400).await;

    // Acked is durable; what is told again after a restart is one all the same.
    daemon.kill().await;
    let daemon = launch.start().await;
    let server = daemon.url("");
    post(&daemon, "alertmanager", over, 200).await;
    let rows = daemon
        .sql("SELECT state, labels['service'], CAST(at AS BIGINT) AS micros FROM alert_events WHERE rule = 'Slow' ORDER BY at")
        .await;
    let at = |second: i64| ((1_795_168_800 + second) * 1_000_000).to_string();
    assert_eq!(rows.rows.len(), 2, "{rows:?}");
    assert_eq!(rows.rows[0], [json!("firing"), json!("payment"), json!(at(40))]);
    assert_eq!(rows.rows[1], [json!("resolved"), json!("payment"), json!(at(210))]);

    // All rows are there again.
    daemon.count("spans").await;
    let text = code(&judge(dir.path(), &server, expected).await, 0);
    assert!(text.contains("seen: Slow fired 40 s after the injection"), "{text}");
    let page = std::fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    assert!(page.contains("class=\"alarm\""), "its alert lane");
    let verify = ["experiment", "verify", "out/report.json", "--server", &server];
    code(&run(dir.path(), &verify).await, 0);

    let grafana = json!({"receiver": "cloudsail", "status": "firing", "orgId": 1, "version": "1",
        "alerts": [{"status": "firing", "labels": {"alertname": "Disk"}, "fingerprint": "d",
            "startsAt": "2026-11-20T10:01:00Z", "endsAt": open, "values": {"B": 22}}]});
    post(&daemon, "grafana", grafana.to_string(), 200).await;
    // A log event tells of an alert as well, and its record is stored, too.
    let log = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{
        "timeUnixNano": "1795168870000000000", "eventName": "alert.transition",
        "attributes": [{"key": "alert.rule", "value": {"stringValue": "Burn"}},
            {"key": "alert.state", "value": {"stringValue": "firing"}}]}]}]}]});
    let log = Request::from_json(Signal::Logs, &log.to_string());
    daemon.ack(Encoding::HttpJson, &log).await;
    daemon.ack(Encoding::HttpProtobuf, &log).await;
    let burn = "SELECT source, state FROM alert_events WHERE rule = 'Burn'";
    assert_eq!(daemon.sql(burn).await.rows, [[json!("otlp"), json!("firing")]]);
    assert_eq!(daemon.count("logs").await, 2);
    let only = "{rule: \"*\", not: true, except: [Slow]}";
    let text = code(&judge(dir.path(), &server, only).await, 1);
    assert!(text.contains("false: Disk fired 60 s after the injection"), "{text}");
    assert!(text.contains("and 1 more"), "{text}");
    daemon.stop().await;
}
