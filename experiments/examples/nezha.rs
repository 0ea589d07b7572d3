//! Measures the judge on recorded days with known faults, through a running
//! daemon that holds them (`cloudsail replay`):
//!
//!     cargo run -p cloudsail-experiments --example nezha -- 127.0.0.1:4320 LABELS.json
//!
//! For each fault: the verdict of a document that expects its target to stay
//! calm, and at which place of the measured blast radius the target stands. For
//! each fault-free minute before one: whether anything was found in it.

#![expect(clippy::print_stdout, reason = "a command's answer")]

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use experiments::document::{Allowed, Experiment};
use experiments::radius::{Radius, Suspect, discover};
use experiments::window::Span;
use experiments::{Ask, Error, Table, Window};
use futures::executor::block_on;
use schema::ErrorKind;
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000_000;
/// Rows of recorded days are judged long after: everything was ingested.
const JUDGED: i64 = 4_000_000_000 * SECOND;

/// Asks the daemon, each statement once.
struct Daemon {
    address: String,
    known: Mutex<HashMap<String, Table>>,
}

#[async_trait]
impl Ask for Daemon {
    async fn ask(&self, statement: &str) -> Result<Table, Error> {
        if let Some(table) = self.known.lock().expect("unpoisoned").get(statement) {
            return Ok(table.clone());
        }
        let table = self.exchange(statement)?;
        self.known.lock().expect("unpoisoned").insert(statement.to_owned(), table.clone());
        Ok(table)
    }
}

impl Daemon {
    fn exchange(&self, statement: &str) -> Result<Table, Error> {
        let failed = |error: String| Error::Engine { kind: ErrorKind::Unavailable, message: error };
        let body = json!({ "query": statement }).to_string();
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(&self.address)?;
            let length = body.len();
            write!(
                stream,
                "POST /api/v1/sql HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
                self.address
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

/// Three of the suspects, in one line.
fn shown(radius: &Radius) -> String {
    let one = |suspect: &Suspect| {
        let out = if suspect.stands_out { "!" } else { "" };
        format!("{}{out} {:.1} {:?}", suspect.service, suspect.strength, suspect.signs[0].signal)
    };
    radius.suspects.iter().take(3).map(one).collect::<Vec<_>>().join(", ")
}

/// Fault-free stretches before a fault: its last 45 s, and what is before them.
fn quiet(all: &[Fault], fault: &Fault) -> Vec<(&'static str, i64, i64)> {
    let Some((start, _)) = fault.recorded else { return Vec::new() };
    let late = fault.inject - 45 * SECOND;
    let parts = [("early", start, late), ("late", start.max(late), fault.inject)];
    let fits = |(_, from, to): &(&str, i64, i64)| {
        let taken = |other: &Fault| other.inject < *to && other.inject + 180 * SECOND > *from;
        to - from >= 20 * SECOND && !all.iter().any(taken)
    };
    parts.into_iter().filter(fits).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, paths @ ..] = &arguments[..] else { panic!("give ADDRESS LABELS.json …") };
    let daemon = Daemon { address: address.clone(), known: Mutex::default() };
    for path in paths {
        let all = faults(path);
        let mut first: BTreeMap<&str, [u32; 4]> = BTreeMap::new();
        for fault in &all {
            let until = fault.recorded.map_or(fault.inject + 180 * SECOND, |(_, end)| end);
            let until = until.max(fault.inject + 120 * SECOND);
            let experiment = document(&fault.target);
            let window = window(&all, &fault.id, fault.inject, until);
            let radius =
                block_on(discover(&experiment, &window, JUDGED, &daemon)).expect("a radius");
            let place = |only: bool| {
                let mut list = radius.suspects.iter().filter(|s| s.stands_out || !only);
                list.position(|suspect| suspect.service == fault.target).map(|at| at + 1)
            };
            let nominal = place(false);
            let calibrated = place(true);
            let count = first.entry(&fault.kind).or_default();
            count[0] += u32::from(nominal == Some(1));
            count[1] += u32::from(calibrated == Some(1));
            count[2] += u32::from(nominal.is_some_and(|place| place <= 3));
            count[3] += 1;
            println!(
                "{} {} {} ({} spans after): place {nominal:?}, calibrated {calibrated:?} of [{}]",
                fault.id,
                fault.kind,
                fault.target,
                fault.spans_after,
                shown(&radius)
            );
            if nominal != Some(1) {
                println!("    {}", radius.suspects.first().map_or("", |s| &s.signs[0].detail));
                println!("    {:?}", radius.calibration);
            }
        }
        let (mut flagged, mut own, mut pieces) = (0, 0, 0);
        for fault in &all {
            for (which, from, to) in quiet(&all, fault) {
                let experiment = document(&fault.target);
                let calm = window(&all, "calm", from, to);
                let radius =
                    block_on(discover(&experiment, &calm, JUDGED, &daemon)).expect("a radius");
                let out: Vec<&Suspect> = radius.suspects.iter().filter(|s| s.stands_out).collect();
                pieces += 1;
                flagged += u32::from(!out.is_empty());
                own += u32::from(out.iter().any(|s| s.service == fault.target));
                if !out.is_empty() {
                    println!(
                        "{which} before {}: {}: {}",
                        fault.id,
                        shown(&radius),
                        out[0].signs[0].detail
                    );
                }
            }
        }
        println!("{path}: first, first and calibrated, in the first three, of: {first:?}");
        println!(
            "fault-free segments flagged: {flagged} of {pieces}, {own} by the fault's own target"
        );
    }
}
