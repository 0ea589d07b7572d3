//! `experiment import`: a Chaos Toolkit journal as a run that is told of
//! afterwards. Its window is that of its activities; the verdict is written back
//! under the experiment's `extensions`.

use std::path::Path;
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::{Value, json};

use super::daemon::{Daemon, RUNS};
use super::runs::told;
use super::spoken::Import;
use crate::cli::Usage;

/// Bytes of a journal: it holds what its probes answered.
const MOST: u64 = 64 << 20;

const EXTENSION: &str = "cloudsail";

/// What a journal says of its run.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    title: String,
    inject: String,
    recover: String,
    end: String,
}

pub async fn run(asked: Import) -> Result<ExitCode> {
    let shown = asked.journal.display();
    let usage = |message: String| Usage(format!("{shown}: {message}"));
    let size = std::fs::metadata(&asked.journal)
        .map_err(|error| usage(format!("cannot be read: {error}")))?;
    if size.len() > MOST {
        return Err(usage(format!("has {} bytes; a journal has at most {MOST}", size.len())).into());
    }
    let text = std::fs::read_to_string(&asked.journal)
        .map_err(|error| usage(format!("cannot be read: {error}")))?;
    let mut journal: Value =
        serde_json::from_str(&text).map_err(|error| usage(format!("is no JSON: {error}")))?;
    let window = window(&journal).map_err(usage)?;
    let run_id = match &asked.run_id {
        Some(id) => id.clone(),
        None => experiments::RunId::near(&format!("{}-{}", window.title, window.inject))
            .map_err(|_| usage("its title names no run; give --run-id".into()))?
            .to_string(),
    };
    let mut body = json!({
        "run_id": run_id, "source": "import", "injector": "chaostoolkit",
        "inject": window.inject, "recover": window.recover, "end": window.end,
        "overlap": asked.overlap.map(|overlap| overlap.name()),
    });
    let experiment = asked.experiment.clone().unwrap_or(window.title);
    match Path::new(&experiment) {
        file if file.is_file() => {
            body["document"] = super::document(file, &asked.env)?.to_yaml()?.into()
        }
        _ => body["experiment"] = experiment.into(),
    }
    let daemon = Daemon::new(&asked.server)?;
    daemon.ask(Method::POST, RUNS, &body).await?;
    let run = daemon.judged(&run_id, asked.wait.0).await?;
    if !asked.dry_run && !run["verdict"].is_null() {
        write_back(&mut journal, &run);
        replace(&asked.journal, &serde_json::to_string_pretty(&journal)?)?;
    }
    told(&run)
}

/// From the first action to the last rollback, or to the last action without one.
fn window(journal: &Value) -> Result<Told, String> {
    let title = journal["experiment"]["title"].as_str().filter(|title| !title.trim().is_empty());
    let title = title.ok_or("is no journal of Chaos Toolkit: experiment.title is missing")?;
    let actions = |list: &str| {
        let all = journal[list].as_array().into_iter().flatten();
        let action = |one: &&Value| one["activity"]["type"] == "action";
        let times = |one: &Value| Some((instant(&one["start"])?, instant(&one["end"])?));
        all.filter(action).filter_map(times).collect::<Vec<_>>()
    };
    let (method, rollbacks) = (actions("run"), actions("rollbacks"));
    let inject = method.iter().map(|(start, _)| *start).min();
    let inject = inject.ok_or("tells of no action that was run, so nothing was injected")?;
    let undone = rollbacks.iter().map(|(_, end)| *end).max();
    let done = method.iter().map(|(_, end)| *end).max();
    let recover = undone.or(done).unwrap_or(inject).max(inject);
    let end = instant(&journal["end"]).unwrap_or(recover).max(recover);
    let shown = |at| humantime::format_rfc3339_micros(at).to_string();
    Ok(Told {
        title: title.to_owned(),
        inject: shown(inject),
        recover: shown(recover),
        end: shown(end),
    })
}

/// Journals have UTC, with an offset or without one.
fn instant(value: &Value) -> Option<std::time::SystemTime> {
    let text = value.as_str()?.trim();
    let text = text.strip_suffix("+00:00").or_else(|| text.strip_suffix('Z')).unwrap_or(text);
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| UNIX_EPOCH + since)
}

/// An earlier verdict of the same run gives way.
fn write_back(journal: &mut Value, run: &Value) {
    let entry = json!({
        "name": EXTENSION,
        "run_id": run["run_id"], "verdict": run["verdict"], "reason": run["reason"],
        "exit_code": run["exit_code"], "judged": run["judged"], "version": run["version"],
    });
    let experiment = &mut journal["experiment"];
    if !experiment["extensions"].is_array() {
        experiment["extensions"] = json!([]);
    }
    if let Some(extensions) = experiment["extensions"].as_array_mut() {
        extensions.retain(|one| one["name"] != EXTENSION || one["run_id"] != run["run_id"]);
        extensions.push(entry);
    }
}

/// Beside and renamed, so that a journal is never half written.
fn replace(path: &Path, text: &str) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)).with_context(|| {
        format!("cannot write the verdict into {}; check its folder's permissions", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Value {
        let one = |kind: &str, start: &str, end: &str| {
            json!({
                "activity": {"type": kind, "name": "n"}, "start": start, "end": end, "status": "succeeded",
            })
        };
        json!({
            "experiment": {"title": "pay survives", "extensions": [{"name": "other"}]},
            "start": "2026-11-23T10:00:00.000000", "end": "2026-11-23T10:10:00.500000",
            "run": [
                one("probe", "2026-11-23T10:00:01", "2026-11-23T10:00:02"),
                one("action", "2026-11-23T10:01:00.250000", "2026-11-23T10:01:01"),
                one("action", "2026-11-23T10:04:00+00:00", "2026-11-23T10:05:00+00:00"),
            ],
            "rollbacks": [one("action", "2026-11-23T10:06:00", "2026-11-23T10:06:01Z")],
        })
    }

    /// Scenario: a journal with probes, two actions and a rollback, times with and without
    /// an offset; one without a rollback; and texts that are no journal.
    /// Guarantees: the window is from the first action to the last rollback, else to the
    /// last action; what says nothing of an injection is refused in words.
    #[test]
    fn a_journals_window_is_that_of_its_actions() {
        let told = window(&journal()).unwrap();
        let expected = [
            "2026-11-23T10:01:00.250000Z",
            "2026-11-23T10:06:01.000000Z",
            "2026-11-23T10:10:00.500000Z",
        ];
        assert_eq!([told.inject.as_str(), &told.recover, &told.end], expected);
        assert_eq!(told.title, "pay survives");
        let mut without = journal();
        without["rollbacks"] = json!([]);
        assert_eq!(window(&without).unwrap().recover, "2026-11-23T10:05:00.000000Z");
        without["run"] = json!([]);
        assert!(window(&without).unwrap_err().contains("nothing was injected"));
        assert!(window(&json!([])).unwrap_err().contains("experiment.title"));
    }

    /// Scenario: a verdict is written back twice, beside somebody else's extension.
    /// Guarantees: it stands there once, and the other stays.
    #[test]
    fn a_verdict_is_written_back_once() {
        let mut journal = journal();
        for verdict in ["inconclusive", "held"] {
            write_back(&mut journal, &json!({"run_id": "r", "verdict": verdict, "exit_code": 0}));
        }
        let extensions = journal["experiment"]["extensions"].as_array().unwrap();
        assert_eq!((extensions.len(), &extensions[1]["verdict"]), (2, &json!("held")));
    }
}
