//! What a fault reaches, beside what a document declares, on rows that a daemon has.

use serde_json::{Value, json};

use crate::daemon::{Launch, run};
use crate::experiment::{FROM, TO, code};
use crate::otlp::{Encoding, Request, Signal};

const SECOND: i64 = 1_000_000_000;
/// 2026-11-20T10:00:00Z, when three minutes of a fault begin.
const INJECT: i64 = 1_795_168_800 * SECOND;

/// What a service keeps its rows in, by the names of attributes now and before.
const DATABASE: [(&str, &str); 3] =
    [("db.system.name", "postgresql"), ("server.address", "db"), ("db.namespace", "shop")];
const FORMERLY: [(&str, &str); 3] =
    [("db.system", "postgresql"), ("net.peer.name", "db"), ("db.name", "shop")];

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

/// A minute of payment, which runs in a Deployment, orders, which has its database
/// too, and search, which has none. Nobody calls another; all fail while `bitten`,
/// but for one in three.
fn minute(begin: i64, bitten: bool) -> Request {
    let of = |at: i64, service: &str, operations: &[&str], database: &[(&str, &str)]| {
        let mut spans = Vec::new();
        for second in 0..60 {
            for (number, operation) in operations.iter().enumerate() {
                let place = number as i64 + at * 10;
                let start = begin + second * SECOND + place * SECOND / 200;
                let took = (20 + (second * 7 + number as i64) % 13) * SECOND / 1_000;
                let failed = bitten && (second + number as i64) % 3 > 0;
                let (id, trace) = (format!("{start:016x}"), format!("{start:032x}"));
                let span = |id: &str, parent: &str, kind: u8, took: i64, told: Value| {
                    json!({
                        "traceId": trace, "spanId": id, "parentSpanId": parent, "kind": kind,
                        "name": if kind == 2 { operation } else { "SELECT" }, "attributes": told,
                        "startTimeUnixNano": start.to_string(),
                        "endTimeUnixNano": (start + took).to_string(),
                        "status": {"code": if failed && kind == 2 { 2 } else { 0 }},
                    })
                };
                spans.push(span(&id, "", 2, took, json!([])));
                if !database.is_empty() {
                    let call = format!("c{}", &id[1..]);
                    spans.push(span(&call, &id, 3, took / 2, attributes(database)));
                }
            }
        }
        let mut resource = vec![("service.name", service)];
        if service == "payment" {
            resource.push(("k8s.deployment.name", "pay"));
        }
        json!({
            "resource": {"attributes": attributes(&resource)}, "scopeSpans": [{"spans": spans}],
        })
    };
    let body = json!({"resourceSpans": [
        of(0, "payment", &["POST /charge", "POST /refund"], &DATABASE),
        of(1, "orders", &["GET /order"], &FORMERLY),
        of(2, "search", &["GET /search"], &[]),
    ]});
    Request::from_json(Signal::Traces, &body.to_string())
}

fn document(target: &str, allowed: &str) -> String {
    format!(
        "apiVersion: chaos/v1\nkind: Experiment\ntitle: payment fails\ntarget: {target}\n\
         blast-radius: {{off-target: deviate, allow: {{services: [{allowed}]}}}}\n\
         window: {{baseline: 5m, recovery: 0s, late: 1s}}\n\
         effect-check: {{service: payment, indicator: error_ratio, increase: \">=0.3\"}}\n\
         steady-state-hypothesis:\n  probes:\n    - {{service: payment, indicator: p95, max: 2s}}\n"
    )
}

/// Scenario: three services fail together, of which two share a database and call it by
/// newer and by older names; the target is a Deployment of which one of them tells, then
/// one endpoint of that, then both of its endpoints.
/// Guarantees: the resource stands for its service; what is called and tells nothing of
/// itself is among the calls, and said to be so; who shares its database is explained
/// by that and who does not is off target; an endpoint beside the one aimed at is off
/// target, and is not where both are aimed at.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_explained_by_what_services_share() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let daemon = Launch::new(data).start().await;
    for at in -60..6 {
        let request = minute(INJECT + at * 60 * SECOND, (0..3).contains(&at));
        daemon.ack(Encoding::HttpJson, &request).await;
    }
    let server = daemon.url("");
    let judged = async |name: &str, document: String, exit: i32| {
        let file = dir.path().join(name);
        std::fs::write(&file, document).unwrap();
        let out = dir.path().join(format!("{name}.out"));
        let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap().to_owned());
        let judge = ["experiment", "judge", file, "--from", FROM, "--to", TO, "--server", &server];
        let args: Vec<&str> = judge.into_iter().chain(["--out", &out]).collect();
        code(&run(dir.path(), &args).await, exit);
        let report = std::fs::read_to_string(format!("{out}/report.json")).unwrap();
        serde_json::from_str::<Value>(&report).unwrap()
    };
    let radius = |report: &Value| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|one| one["hypothesis"] == "blast radius").unwrap()["detail"].clone()
    };
    let resource = "{resource: {k8s.deployment.name: pay}}";
    let report = judged("resource.yaml", document(resource, ""), 1).await;
    assert_eq!(report["targets"], json!(["payment"]));
    let suspects = report["suspects"].as_array().unwrap();
    let place = |name: &str| {
        let found = suspects.iter().find(|one| one["service"] == name);
        let found = found.unwrap_or_else(|| panic!("{name}: {suspects:?}"));
        (found["place"].clone(), found["why"].clone())
    };
    assert_eq!(place("payment"), (json!("inside"), Value::Null));
    let shares = "shares database postgresql at db shop with payment";
    assert_eq!(place("orders"), (json!("explained"), json!(shares)));
    assert_eq!(place("search"), (json!("off-target"), Value::Null));
    assert_eq!(radius(&report), "touched off target: search");
    let calls =
        ["orders", "payment"].map(|caller| json!({"caller": caller, "callee": "postgresql/shop"}));
    assert_eq!(report["calls"], json!(calls));
    assert_eq!(report["reach"]["uninstrumented"], json!(["postgresql/shop"]));

    let one = "{services: [payment], endpoints: [POST /charge]}";
    let report = judged("one.yaml", document(one, "orders, search"), 1).await;
    assert_eq!(radius(&report), "touched off target: payment POST /refund");
    let both = one.replace("/charge]", "/charge, POST /refund]");
    let report = judged("both.yaml", document(&both, "orders, search"), 0).await;
    assert_eq!(radius(&report), "3 services stand out, and none off target");
    daemon.stop().await;
}
