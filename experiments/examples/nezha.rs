//! Measures the judge on recorded days with known faults, through a running
//! daemon that holds them (`cloudsail replay`):
//!
//!     cargo run --release -p cloudsail-experiments --example nezha -- 127.0.0.1:4320 judged LABELS.json
//!
//! `judged`: for each fault the verdict of a document that expects its target to
//! stay calm, and at which place of the measured blast radius the target stands.
//! `quiet`: whether anything is found in fault-free time. `spoiled`: verdicts
//! over rows that were deleted, frozen, delayed. `shifted`: verdicts with labels
//! eight hours off, on either side. `complete`: what is torn or doubled.
//! `PART@25` begins with the 25th fault; parts of one run, `judged,quiet`, share what
//! they ask. docs/acceptance.md has what came of it.

#![expect(clippy::print_stdout, reason = "a command's answer")]

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use experiments::document::{Allowed, Experiment};
use experiments::radius::{Radius, Sign, Suspect, discover, statement};
use experiments::report::Report;
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
            let message = format!("{body} of {statement}");
            return Err(Error::Engine { kind: ErrorKind::Invalid, message });
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
    /// Until when it lasted, as far as the labels know: the paper's three minutes, or
    /// longer where processors were busy for longer.
    end: i64,
    /// Where its traces begin and end, if there are any.
    recorded: Option<(i64, i64)>,
    spans_after: u64,
}

impl Fault {
    /// Where its traces end, if they tell enough of it; the end of the fault where
    /// only metrics do.
    fn until(&self) -> i64 {
        match self.recorded {
            Some((_, end)) if end >= self.inject + 60 * SECOND && !self.kind.starts_with("cpu") => {
                end
            }
            _ => self.end,
        }
    }
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
        let inject = instant(&label["inject_time"]).expect("a fault has a time");
        let normal_again = instant(&label["cpu_normal_again"]).unwrap_or(inject);
        Fault {
            id: text("id"),
            kind: text("fault_type"),
            target: text("target_service"),
            inject,
            end: normal_again.max(inject + 180 * SECOND),
            recorded: instant(&label["window_start"]).zip(instant(&label["window_end"])),
            spans_after: label["spans_after_inject"].as_u64().unwrap_or(0),
        }
    };
    labels.iter().map(fault).collect()
}

/// What a user would declare of a service: it may get slower by half, need half
/// as much again of its processors, and say something else in a fifth of its
/// requests. Tolerances are round numbers; no label was looked at.
fn document(target: &str, callers: &[String]) -> Experiment {
    let mut probes = vec![
        format!("{{service: {target}, indicator: self.p50, max-increase: 50%}}"),
        format!("{{service: {target}, indicator: resource.cpu, max-increase: 50%}}"),
        format!("{{service: {target}, indicator: log.callsite_shift, max: 20%}}"),
    ];
    let mut effects = vec![
        format!("{{indicator: self.p50, service: {target}, increase: \">=50%\"}}"),
        format!("{{indicator: resource.cpu, service: {target}, increase: \">=0.03\"}}"),
        format!("{{indicator: log.callsite_shift, service: {target}, increase: \">=20%\"}}"),
    ];
    for caller in callers {
        let edge = format!("edge: \"{caller}->{target}\", indicator: gap_p50");
        probes.push(format!("{{{edge}, max-increase: 50%}}"));
        effects.push(format!(
            "{{indicator: edge.gap_p50, edge: \"{caller}->{target}\", increase: \">=50%\"}}"
        ));
    }
    let text = format!(
        "{{apiVersion: chaos/v1, kind: Experiment, title: t, target: {{services: [{target}]}},
         window: {{baseline: 45s, settle: 2s, recovery: 0s, late: 0s}},
         effect-check: {{any: [{}]}}, steady-state-hypothesis: {{probes: [{}]}}}}",
        effects.join(", "),
        probes.join(", ")
    );
    Experiment::parse(&text, &Allowed::new()).expect("the document is sound")
}

/// The run from `inject` to `recover`; all other faults are known windows.
fn window(all: &[Fault], id: &str, inject: i64, recover: i64) -> Window {
    let others = all.iter().filter(|fault| fault.inject != inject);
    let others = others.map(|fault| Span::between(fault.inject, fault.end));
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

/// Fault-free stretches before a fault: its last 45 s, what is before them, and
/// what is a minute away from any label.
fn fault_free(all: &[Fault], fault: &Fault) -> Vec<(&'static str, i64, i64)> {
    let Some((start, _)) = fault.recorded else { return Vec::new() };
    let (late, away) = (fault.inject - 45 * SECOND, fault.inject - 60 * SECOND);
    let parts =
        [("early", start, late), ("late", start.max(late), fault.inject), ("away", start, away)];
    let fits = |(which, from, to): &(&str, i64, i64)| {
        let margin = if *which == "away" { 60 * SECOND } else { 0 };
        let taken =
            |other: &Fault| other.inject < *to && other.inject + 180 * SECOND + margin > *from;
        to - from >= 20 * SECOND && !all.iter().any(taken)
    };
    parts.into_iter().filter(fits).collect()
}

/// A day on which the target's rows are not what they were. Statements are asked
/// over views in the place of the tables.
struct Spoiled<'a> {
    daemon: &'a Daemon,
    how: &'static str,
    target: &'a str,
    from: i64,
    to: i64,
}

const WAYS: [&str; 5] = ["deleted", "frozen", "NaN", "late", "without a baseline"];

impl Spoiled<'_> {
    /// Whether a statement asks of a time in which rows are spoiled.
    fn concerns(&self, statement: &str) -> bool {
        let baseline = self.from - 45 * SECOND;
        statement.split("time >= '").skip(1).any(|rest| {
            let mut ends = rest.split('\'').step_by(2).map(|text| instant(&json!(text)));
            let (from, to) = (ends.next().flatten(), ends.next().flatten());
            from.is_none_or(|from| from < self.to) && to.is_none_or(|to| to > baseline)
        })
    }

    fn view(&self, table: &str) -> String {
        let during =
            |from: i64, to: i64| format!("time_unix_nano >= {from} AND time_unix_nano < {to}");
        let own = format!("service_name = '{}' AND {}", self.target, during(self.from, self.to));
        let replaced = |value: &str, column: &str| {
            format!(
                "SELECT * REPLACE (CASE WHEN {own} THEN {value} ELSE {column} END AS {column}) FROM {table}"
            )
        };
        let without = |rows: &str| format!("SELECT * FROM {table} WHERE NOT ({rows})");
        let baseline = self.from - 45 * SECOND;
        match (self.how, table) {
            ("deleted", _) => without(&own),
            ("frozen", "spans") => replaced("5000000", "duration_ns"),
            ("frozen", "logs") => replaced("'frozen'", "body"),
            ("frozen", _) => replaced("0.1", "value"),
            ("NaN", "metrics") => replaced("CAST('NaN' AS DOUBLE)", "value"),
            // Nothing of anybody has come yet from half a minute on.
            ("late", _) => without(&format!("time_unix_nano >= {}", self.from + 30 * SECOND)),
            ("without a baseline", _) => without(&format!(
                "service_name = '{}' AND {}",
                self.target,
                during(baseline, self.from)
            )),
            _ => format!("SELECT * FROM {table}"),
        }
    }
}

#[async_trait]
impl Ask for Spoiled<'_> {
    async fn ask(&self, statement: &str) -> Result<Table, Error> {
        // What asks of other times alone is what it was.
        if self.how != "late" && !self.concerns(statement) {
            return self.daemon.ask(statement).await;
        }
        let mut statement = statement.to_owned();
        for table in ["spans", "logs", "metrics"] {
            let spoiled = format!("FROM ({}) AS {table} WHERE", self.view(table));
            statement = statement.replace(&format!("FROM {table} WHERE"), &spoiled);
        }
        self.daemon.exchange(&statement)
    }
}

/// Who calls whom, over a whole day.
fn callers(daemon: &Daemon, all: &[Fault]) -> HashMap<String, Vec<String>> {
    let mut callers: HashMap<String, Vec<String>> = HashMap::new();
    let day =
        Span::between(all[0].inject - 3_600 * SECOND, all[all.len() - 1].inject + 3_600 * SECOND);
    let table = daemon.exchange(&statement::calls(&[day], JUDGED)).expect("calls");
    for row in &table.rows {
        let text = |at: usize| row[at].as_str().unwrap_or_default().to_owned();
        callers.entry(text(1)).or_default().push(text(0));
    }
    callers
}

struct Day {
    all: Vec<Fault>,
    callers: HashMap<String, Vec<String>>,
    /// Faults before it are known windows, and not looked at.
    first: usize,
}

impl Day {
    fn faults(&self) -> &[Fault] {
        self.all.get(self.first..).unwrap_or_default()
    }

    fn document(&self, fault: &Fault) -> Experiment {
        document(&fault.target, self.callers.get(&fault.target).map_or(&[], |list| &list[..]))
    }

    fn of(&self, fault: &Fault, shift: i64) -> Window {
        window(&self.all, &fault.id, fault.inject + shift, fault.until() + shift)
    }
}

fn in_short(report: &Report) -> String {
    let finding =
        |entry: &experiments::report::Entry| format!("{} {}", entry.hypothesis, entry.in_short());
    let findings: Vec<String> = report.findings.iter().map(finding).collect();
    format!("{}; {} [{}]", report.in_short(), report.detail, findings.join("; "))
}

/// Figures 1 and 2: every fault's verdict, and the place of its target.
fn judged(day: &Day, daemon: &Daemon) {
    let mut first: BTreeMap<&str, [u32; 4]> = BTreeMap::new();
    let mut verdicts: BTreeMap<String, u32> = BTreeMap::new();
    for fault in day.faults() {
        let (experiment, window) = (day.document(fault), day.of(fault, 0));
        let radius = block_on(discover(&experiment, &window, JUDGED, daemon)).expect("a radius");
        let report =
            block_on(experiments::judge(&experiment, &window, JUDGED, daemon)).expect("a report");
        let place = |only: bool| {
            let mut list = radius.suspects.iter().filter(|s| s.stands_out || !only);
            list.position(|suspect| suspect.service == fault.target).map(|at| at + 1)
        };
        let (nominal, calibrated) = (place(false), place(true));
        let count = first.entry(&fault.kind).or_default();
        count[0] += u32::from(nominal == Some(1));
        count[1] += u32::from(calibrated == Some(1));
        count[2] += u32::from(nominal.is_some_and(|place| place <= 3));
        count[3] += 1;
        *verdicts.entry(format!("{} {}", fault.kind, report.in_short())).or_default() += 1;
        println!(
            "{} {} {} ({} spans after): place {nominal:?}, calibrated {calibrated:?} of [{}]\n    {:.600}",
            fault.id,
            fault.kind,
            fault.target,
            fault.spans_after,
            shown(&radius),
            in_short(&report)
        );
    }
    println!(
        "first, first and calibrated, in the first three, of: {first:?}\nverdicts: {verdicts:?}"
    );
}

/// What a sign is about, without its counts.
fn about(sign: &Sign) -> (String, String) {
    let what = match sign.detail.split_once(" now: ") {
        Some((_, site)) => site.to_owned(),
        None => format!("{:?}", sign.signal),
    };
    (sign.service.clone(), what)
}

/// Figure 3: fault-free stretches. By kind: how many, how many flagged, how many
/// of these by nothing but signs that the fault shows after its label, too.
fn quiet(day: &Day, daemon: &Daemon) {
    let mut counts: BTreeMap<&str, [u32; 3]> = BTreeMap::new();
    for fault in day.faults() {
        let parts = fault_free(&day.all, fault);
        if parts.is_empty() {
            continue;
        }
        let experiment = day.document(fault);
        let found = |window: &Window| {
            block_on(discover(&experiment, window, JUDGED, daemon)).expect("a radius")
        };
        let fault_shows = found(&day.of(fault, 0));
        let shows: Vec<_> = fault_shows.suspects.iter().flat_map(|s| &s.signs).map(about).collect();
        for (which, from, to) in parts {
            let radius = found(&window(&day.all, "calm", from, to));
            let out: Vec<&Suspect> = radius.suspects.iter().filter(|s| s.stands_out).collect();
            let begun = |suspect: &&Suspect| {
                suspect.signs.iter().map(about).any(|sign| shows.contains(&sign))
            };
            let count = counts.entry(which).or_default();
            count[0] += 1;
            count[1] += u32::from(!out.is_empty());
            count[2] += u32::from(!out.is_empty() && out.iter().all(begun));
            if let Some(first) = out.first() {
                println!(
                    "{which} before {} ({}): {}: {}\n    {:?}",
                    fault.id,
                    fault.target,
                    shown(&radius),
                    first.signs[0].detail,
                    radius.calibration
                );
            }
        }
    }
    println!("fault-free stretches, flagged, flagged by what the fault shows too: {counts:?}");
}

/// Figure 5: labels eight hours off.
fn shifted(day: &Day, daemon: &Daemon) {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for fault in day.faults() {
        for hours in [-8, 8] {
            let window = day.of(fault, hours * 3_600 * SECOND);
            let report =
                block_on(experiments::judge(&day.document(fault), &window, JUDGED, daemon));
            *counts.entry(report.expect("a report").in_short()).or_default() += 1;
        }
    }
    println!("{counts:#?}");
}

/// Figure 4: no verdict `held` over spoiled telemetry.
fn spoiled(day: &Day, daemon: &Daemon) {
    let mut counts: BTreeMap<(&str, String), u32> = BTreeMap::new();
    for fault in day.faults() {
        let (experiment, window) = (day.document(fault), day.of(fault, 0));
        for how in WAYS {
            let (from, to) = (fault.inject, fault.until() + 60 * SECOND);
            let ask = Spoiled { daemon, how, target: &fault.target, from, to };
            let evidence =
                block_on(experiments::judge::collect(&experiment, &window, JUDGED, 1, &ask));
            let judgement =
                experiments::verdict::judge(&experiment, &window, &evidence.expect("rows"));
            let ruling = &judgement.ruling;
            let said = format!("{} {:?}", ruling.verdict.name(), ruling.reason);
            println!("{} {how}: {said}: {:.160}", fault.id, ruling.detail);
            *counts.entry((how, said)).or_default() += 1;
        }
    }
    println!("{counts:#?}");
}

/// Figure 6.
fn complete(day: &Day, daemon: &Daemon) {
    let first = day.all[0].inject / (86_400 * SECOND) * (86_400 * SECOND);
    let span = Span::between(first, first + 86_400 * SECOND);
    let found = block_on(experiments::completeness::check(span, JUDGED, daemon)).expect("counts");
    println!("{found:#?}\nspans {:?}, logs {:?}", found.spans.grade(), found.logs.grade());
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, parts, paths @ ..] = &arguments[..] else {
        panic!("give ADDRESS judged|quiet|spoiled|shifted|complete,… LABELS.json …")
    };
    let daemon = Daemon { address: address.clone(), known: Mutex::default() };
    for path in paths {
        let all = faults(path);
        let mut day = Day { callers: callers(&daemon, &all), first: 0, all };
        for part in parts.split(',') {
            let (part, first) = part.split_once('@').unwrap_or((part, "1"));
            let first: usize = first.parse().expect("after @ stands which fault is the first");
            day.first = first.saturating_sub(1);
            println!("{path}: {part}");
            match part {
                "judged" => judged(&day, &daemon),
                "quiet" => quiet(&day, &daemon),
                "spoiled" => spoiled(&day, &daemon),
                "shifted" => shifted(&day, &daemon),
                _ => complete(&day, &daemon),
            }
        }
    }
}
