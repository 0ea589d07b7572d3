//! Measures the judge on recorded days with known faults, through a running
//! daemon that holds them (`cloudsail replay`):
//!
//!     cargo run -p cloudsail-experiments --example nezha -- 127.0.0.1:4320 LABELS.json
//!
//! For each fault: the verdict of a document that expects its target to stay
//! calm, and at which place of the measured blast radius the target stands. For
//! each fault-free minute before one: whether anything was found in it.

#![expect(clippy::print_stdout, reason = "a command's answer")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use experiments::document::{Allowed, Experiment};
use experiments::radius::{Radius, Signal, Suspect, discover};
use experiments::window::Span;
use experiments::{Ask, Error, Table, Window};
use futures::executor::block_on;
use schema::ErrorKind;
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000_000;
/// Rows of recorded days are judged long after: everything was ingested.
const JUDGED: i64 = 4_000_000_000 * SECOND;

struct Daemon(String);

#[async_trait]
impl Ask for Daemon {
    async fn ask(&self, statement: &str) -> Result<Table, Error> {
        let failed = |error: String| Error::Engine { kind: ErrorKind::Unavailable, message: error };
        let body = json!({ "query": statement }).to_string();
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(&self.0)?;
            let length = body.len();
            write!(
                stream,
                "POST /api/v1/sql HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
                self.0
            )?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        let answer = exchange().map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        if !head.starts_with("HTTP/1.0 200") && !head.starts_with("HTTP/1.1 200") {
            return Err(Error::Engine { kind: ErrorKind::Invalid, message: body.to_owned() });
        }
        let document: Value =
            serde_json::from_str(body).map_err(|error| failed(format!("{error}: {body:.200}")))?;
        let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let name = |column: &Value| column["name"].as_str().unwrap_or_default().to_owned();
        let complete = document["complete"] == true;
        Ok(Table {
            columns: rows(&document["columns"]).iter().map(name).collect(),
            rows: rows(&document["rows"]).iter().map(rows).collect(),
            incomplete: if complete { Vec::new() } else { vec!["incomplete".into()] },
            truncated: document["truncated"] == true,
        })
    }
}

struct Fault {
    id: String,
    kind: String,
    target: String,
    inject: i64,
    /// Where its traces begin and end, if there are any.
    recorded: Option<(i64, i64)>,
    spans_after: u64,
}

fn instant(value: &Value) -> Option<i64> {
    let time = humantime::parse_rfc3339(value.as_str()?).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

fn faults(path: &str) -> Vec<Fault> {
    let text = std::fs::read_to_string(path).expect("the labels are readable");
    let labels: Vec<Value> = serde_json::from_str(&text).expect("the labels are JSON");
    let fault = |label: &Value| {
        let text = |key: &str| label[key].as_str().unwrap_or_default().to_owned();
        Fault {
            id: text("id"),
            kind: text("fault_type"),
            target: text("target_service"),
            inject: instant(&label["inject_time"]).expect("a fault has a time"),
            recorded: instant(&label["window_start"]).zip(instant(&label["window_end"])),
            spans_after: label["spans_after_inject"].as_u64().unwrap_or(0),
        }
    };
    labels.iter().map(fault).collect()
}

/// What the target's own users see, by tolerances that no label has tuned.
fn document(target: &str) -> Experiment {
    let text = format!(
        "{{apiVersion: chaos/v1, kind: Experiment, title: t, target: {{services: [{target}]}},
         window: {{baseline: 45s, settle: 2s, recovery: 0s, late: 0s}}, effect-check: none,
         steady-state-hypothesis: {{probes: [
           {{service: {target}, indicator: p50, max-increase: 50%}},
           {{service: {target}, indicator: self.p50, max-increase: 50%}}]}}}}"
    );
    Experiment::parse(&text, &Allowed::new()).expect("the document is sound")
}

/// The run from `inject` to `recover`; all other faults are known windows.
fn window(all: &[Fault], id: &str, inject: i64, recover: i64) -> Window {
    // The paper's faults last three minutes.
    let others = all.iter().filter(|fault| fault.inject != inject);
    let others = others.map(|fault| Span::between(fault.inject, fault.inject + 180 * SECOND));
    Window {
        run_id: id.to_owned(),
        inject,
        recover,
        uncertainty_ms: 0,
        others: others.collect(),
        aborted: None,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, paths @ ..] = &arguments[..] else { panic!("give ADDRESS LABELS.json …") };
    let daemon = Daemon(address.clone());
    for path in paths {
        let all = faults(path);
        let mut first: BTreeMap<&str, (u32, u32, u32)> = BTreeMap::new();
        let (mut flagged, mut quiet) = (0, 0);
        for fault in &all {
            let until = fault.recorded.map_or(fault.inject + 180 * SECOND, |(_, end)| end);
            let until = until.max(fault.inject + 120 * SECOND);
            let experiment = document(&fault.target);
            let window = window(&all, &fault.id, fault.inject, until);
            let found = |radius: &Radius| {
                radius.suspects.iter().position(|s| s.service == fault.target).map(|at| at + 1)
            };
            let radius = block_on(discover(&experiment, &window, JUDGED, &daemon));
            let report = block_on(experiments::judge(&experiment, &window, JUDGED, &daemon));
            let place = radius.as_ref().ok().and_then(found);
            let count = first.entry(&fault.kind).or_default();
            count.0 += u32::from(place == Some(1));
            count.1 += u32::from(place.is_some_and(|place| place <= 3));
            count.2 += 1;
            let suspects = match &radius {
                Ok(radius) => radius
                    .suspects
                    .iter()
                    .take(3)
                    .map(|s| {
                        let signals: Vec<String> =
                            s.signs.iter().map(|sign| format!("{:?}", sign.signal)).collect();
                        format!("{} {:.1} {}", s.service, s.strength, signals.join("+"))
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
                Err(error) => error.to_string(),
            };
            let verdict = match &report {
                Ok(report) => format!("{}; {}", report.in_short(), report.detail),
                Err(error) => error.to_string(),
            };
            println!(
                "{} {} {} ({} spans after): place {place:?} of [{suspects}]\n    {verdict:.240}",
                fault.id, fault.kind, fault.target, fault.spans_after
            );
            // The minute before the fault, halved: nothing was injected in it.
            let Some((start, _)) =
                fault.recorded.filter(|(start, _)| start + 60 * SECOND < fault.inject)
            else {
                continue;
            };
            let middle = (start + 40 * SECOND).max(fault.inject - 45 * SECOND);
            let calm = self::window(&all, "calm", middle, fault.inject);
            if let Ok(mut radius) = block_on(discover(&experiment, &calm, JUDGED, &daemon)) {
                // CPU points lag into the fault.
                let lagging =
                    |suspect: &Suspect| suspect.signs.iter().all(|s| s.signal == Signal::Cpu);
                radius.suspects.retain(|suspect| !lagging(suspect));
                quiet += 1;
                flagged += u32::from(!radius.suspects.is_empty());
                for suspect in radius.suspects.iter().take(2) {
                    println!(
                        "    before it, {} {:.1}: {}",
                        suspect.service, suspect.strength, suspect.signs[0].detail
                    );
                }
            }
        }
        println!(
            "{path}: first / in the first three / all: {first:?}; fault-free segments flagged: {flagged} of {quiet}"
        );
    }
}
