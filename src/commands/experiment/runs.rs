//! `experiment start|mark|stop|list|show|verdict`: a daemon's runs, from the
//! command line.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};

use super::daemon::{Daemon, RUNS, path};
use super::spoken::{List, Mark, Show, Start, Stop, Verdict};
use crate::cli::Usage;

/// Without a verdict the question is open, which is no pass.
const INCONCLUSIVE: u8 = 3;

pub async fn start(asked: Start) -> Result<ExitCode> {
    let daemon = Daemon::new(&asked.server)?;
    let mut body = json!({
        "run_id": asked.run_id, "at": asked.at, "inject": asked.inject, "recover": asked.recover,
        "end": asked.end, "overlap": asked.overlap.map(|overlap| overlap.name()),
        "uncertainty": asked.uncertainty.map(|p| format!("{}ms", p.0.as_millis())),
    });
    let file = std::path::Path::new(&asked.experiment);
    if file.is_file() {
        let mut document = super::document(file, &asked.env)?;
        if asked.quick {
            document.window.quick();
        }
        body["document"] = document.to_yaml()?.into();
    } else if asked.quick {
        return Err(Usage("--quick shortens a file's phases; name the file".into()).into());
    } else {
        body["experiment"] = asked.experiment.clone().into();
    }
    let run = daemon.ask(Method::POST, RUNS, &body).await?;
    say(&text(&run, "run_id"))
}

pub async fn mark(asked: Mark) -> Result<ExitCode> {
    let daemon = Daemon::new(&asked.server)?;
    let path = path(&asked.run, &format!("/{}", asked.mark.name()))?;
    let mut body = json!({ "at": asked.at });
    if let Some(reason) = asked.reason {
        body["reason"] = reason.into();
    }
    let run = daemon.ask(Method::POST, &path, &body).await?;
    say(&format!("{} is {}", text(&run, "run_id"), text(&run, "state")))
}

pub async fn stop(asked: Stop) -> Result<ExitCode> {
    let daemon = Daemon::new(&asked.server)?;
    let (what, body) = match asked.abort {
        Some(reason) => ("/abort", json!({ "reason": reason, "at": asked.at })),
        None => ("/end", json!({ "at": asked.at })),
    };
    let run = daemon.ask(Method::POST, &path(&asked.run, what)?, &body).await?;
    let Some(wait) = asked.wait else {
        return say(&format!("{} is {}", text(&run, "run_id"), text(&run, "state")));
    };
    told(&daemon.judged(&asked.run, wait.0).await?)
}

pub async fn list(asked: List) -> Result<ExitCode> {
    let daemon = Daemon::new(&asked.server)?;
    let answer =
        daemon.ask(Method::GET, &format!("{RUNS}?limit={}", asked.limit), &Value::Null).await?;
    if asked.json {
        return say(&serde_json::to_string_pretty(&answer)?);
    }
    let mut lines =
        vec![["RUN", "EXPERIMENT", "STATE", "VERDICT", "SOURCE", "INJECTED"].map(str::to_owned)];
    for run in answer["runs"].as_array().into_iter().flatten() {
        let keys = ["run_id", "experiment", "state", "verdict", "source", "t_inject"];
        lines.push(keys.map(|key| text(run, key)));
    }
    for why in answer["incomplete"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        eprintln!("note: there may be more runs: {}", text(&json!({ "why": why }), "why"));
    }
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    super::say(&out)?;
    Ok(ExitCode::SUCCESS)
}

pub async fn show(asked: Show) -> Result<ExitCode> {
    let run = Daemon::new(&asked.server)?.run(&asked.run).await?;
    say(&serde_json::to_string_pretty(&run)?)
}

/// Its exit code is the verdict's; with `--value` a bare number or a failure, for
/// tools that compare what a command prints.
pub async fn verdict(asked: Verdict) -> Result<ExitCode> {
    let daemon = Daemon::new(&asked.server)?;
    let run = daemon.judged(&asked.run, asked.wait.map_or(Duration::ZERO, |wait| wait.0)).await?;
    if !asked.value && asked.hypothesis.is_none() {
        return told(&run);
    }
    let Some(hypothesis) = asked.hypothesis else {
        return match run["exit_code"].as_u64() {
            Some(code) => say(&code.to_string()),
            None => told(&run),
        };
    };
    if run["verdict"].is_null() {
        return told(&run);
    }
    let report = daemon.ask(Method::GET, &path(&asked.run, "/report")?, &Value::Null).await?;
    let findings = report["findings"].as_array();
    let found = findings.into_iter().flatten().find(|one| one["hypothesis"] == *hypothesis);
    let Some(found) = found else {
        return Err(Usage(format!(
            "the run has no hypothesis {hypothesis:?}; `experiment verdict` without it names them"
        ))
        .into());
    };
    match found["numbers"]["value"]["estimate"].as_f64().filter(|value| value.is_finite()) {
        Some(value) => say(&value.to_string()),
        None => {
            eprintln!("error: {hypothesis} has no number: {}", text(found, "detail"));
            Ok(ExitCode::from(INCONCLUSIVE))
        }
    }
}

/// A run's verdict in words, and as an exit code.
pub fn told(run: &Value) -> Result<ExitCode> {
    let id = text(run, "run_id");
    let Some(code) = run["exit_code"].as_u64().and_then(|code| u8::try_from(code).ok()) else {
        let settles = match text(run, "settles") {
            none if none.is_empty() => String::new(),
            at => format!("; it is judged from {at} on"),
        };
        eprintln!("error: run {id} is {} and not judged yet{settles}", text(run, "state"));
        return Ok(ExitCode::from(INCONCLUSIVE));
    };
    let reason = match text(run, "reason") {
        none if none.is_empty() => String::new(),
        reason => format!(": {reason}"),
    };
    super::say(&format!("{id}: {}{reason}\n", text(run, "verdict")))?;
    Ok(ExitCode::from(code))
}

fn say(line: &str) -> Result<ExitCode> {
    super::say(&format!("{line}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::Null => String::new(),
        Value::String(text) => {
            text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
        }
        other => other.to_string(),
    }
}
