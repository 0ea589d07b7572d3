//! Runs: opened, marked, looked at. Asking again repeats nothing.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use experiments::document::scope::Overlap;
use experiments::document::units::Period;
use experiments::report::{html, junit, markdown};
use experiments::run::{Mark, Source, Told};
use experiments::{Ask as _, Report, Run};
use query::doors::http::Caller;
use schema::tables::experiments::WINDOWS;
use schema::{ErrorKind, Tenant};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{self, Marking};
use super::{Api, shown, tenant};
use crate::chaos::Error;
use crate::chaos::journal::{objects, seen};
use crate::chaos::runs::{Reading, Start};

/// Runs that a list has at most.
const MOST_LISTED: usize = 1_000;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Said {
    run_id: Option<String>,
    name: Option<String>,
}

pub(super) async fn open(
    State(api): State<Api>,
    Query(said): Query<Said>,
    caller: Option<Extension<Caller>>,
    text: Bytes,
) -> Response {
    let opened = async {
        let start = read(&text, said, tenant(caller))?;
        if let Some(experiment) = &start.experiment {
            api.places.check(experiment)?;
        }
        api.runs.open(start).await
    };
    match opened.await {
        Ok((run, new)) => {
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            (status, Json(shown::run(&run))).into_response()
        }
        Err(error) => error.response(),
    }
}

fn read(text: &[u8], said: Said, tenant: Tenant) -> Result<Start, Error> {
    let (start, document) = body::Start::read(text)?;
    let mut experiment = document;
    if start.quick {
        let Some(document) = &mut experiment else {
            let hint = "send the document along, or store it with these phases";
            return Err(Error::invalid(
                "quick shortens a document's phases, and none was sent",
                hint,
            ));
        };
        Arc::make_mut(document).window.quick();
    }
    if let Some(experiment) = &experiment {
        body::linted(experiment)?;
    }
    let name =
        start.experiment.or(said.name).or_else(|| experiment.as_ref().map(|e| e.title.clone()));
    let Some(name) = name else {
        let hint = "send {\"experiment\": \"name\"}, {\"document\": …}, or the document itself";
        return Err(Error::invalid("the request names no experiment", hint));
    };
    let id = start.run_id.or(said.run_id).map(|id| body::run_id(&id)).transpose()?;
    let time = |key: &str, said: &Option<String>| {
        said.as_ref().map(|text| body::instant(key, text)).transpose()
    };
    let mut marks = Vec::new();
    let said = [
        ("inject", Mark::Inject, &start.inject),
        ("recover", Mark::Recover, &start.recover),
        ("end", Mark::End, &start.end),
    ];
    for (key, mark, text) in said {
        marks.extend(time(key, text)?.map(|at| (mark, at)));
    }
    let period = |text: &String| {
        let read = text.parse::<Period>();
        read.map_err(|error| Error::invalid(format!("uncertainty {error}"), "write 500ms or 2s"))
    };
    let uncertainty = start.uncertainty.as_ref().map(period).transpose()?.unwrap_or_default();
    let overlap = match start.overlap.as_deref() {
        None => None,
        Some("refuse") => Some(Overlap::Refuse),
        Some("mark") => Some(Overlap::Mark),
        Some(other) => {
            let message = format!("overlap is {other:?}");
            return Err(Error::invalid(message, "write refuse or mark"));
        }
    };
    let source = match start.source.as_deref() {
        None | Some("api") => Source::Api,
        Some("import") => Source::Import,
        Some(other) => {
            let message = format!("source is {other:?}");
            return Err(Error::invalid(
                message,
                "write api or import; the others tell by themselves",
            ));
        }
    };
    let fault = experiment.as_ref().and_then(|experiment| experiment.fault.as_ref());
    let told = Told {
        fault: start.fault_type.or_else(|| fault.map(|fault| fault.kind.clone())),
        injector: start.injector.or_else(|| fault.and_then(|fault| fault.injector.clone())),
        target: match &experiment {
            Some(experiment) if start.target.is_empty() => experiment.target.told(),
            _ => start.target,
        },
        object: fault.and_then(|fault| fault.object()),
    };
    // What happened before it was opened opened it then.
    let at = time("at", &start.at)?.or_else(|| marks.first().map(|(_, at)| *at));
    Ok(Start {
        tenant,
        id,
        name: body::name(&name)?.to_owned(),
        experiment,
        source,
        told,
        at,
        marks,
        uncertainty_ms: u64::try_from(uncertainty.0.as_millis()).unwrap_or(u64::MAX),
        overlap,
    })
}

pub(super) async fn mark(
    State(api): State<Api>,
    Path((run, mark)): Path<(String, String)>,
    caller: Option<Extension<Caller>>,
    text: Bytes,
) -> Response {
    let tenant = tenant(caller);
    let marked = async {
        let id = body::run_id(&run)?;
        let Marking { at, reason, guard } = body::json(&text)?;
        if mark == "take" {
            return api.runs.take(&tenant, &id).await;
        }
        let stop = || Mark::Abort {
            guard: guard.unwrap_or_else(|| "by hand".to_owned()),
            reason: reason.unwrap_or_else(|| "it was stopped by hand".to_owned()),
        };
        let mark = match mark.as_str() {
            "inject" => Mark::Inject,
            "recover" => Mark::Recover,
            "end" => Mark::End,
            "abort" => stop(),
            other => {
                let message = format!("a run cannot be told {other:?}");
                let hint = "it takes inject, recover, end, abort, take and judge";
                return Err(Error::new(ErrorKind::NotFound, message, hint));
            }
        };
        let at = at.map(|text| body::instant("at", &text)).transpose()?;
        api.runs.mark(&tenant, &id, mark, at, Source::Api).await
    };
    marked.await.map_or_else(|error| error.response(), |run| Json(shown::run(&run)).into_response())
}

pub(super) async fn judge(
    State(api): State<Api>,
    Path(run): Path<String>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let tenant = tenant(caller);
    let ordered = async {
        let id = body::run_id(&run)?;
        api.runs.judge(&tenant, &id).await
    };
    match ordered.await {
        Ok(()) => {
            (StatusCode::ACCEPTED, Json(json!({ "run_id": run, "judging": true }))).into_response()
        }
        Err(error) => error.response(),
    }
}

pub(super) async fn show(
    State(api): State<Api>,
    Path(run): Path<String>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let tenant = tenant(caller);
    let found = async {
        let id = body::run_id(&run)?;
        api.runs.ready().await?;
        if let Some(run) = api.runs.get(&tenant, &id) {
            return Ok(shown::run(&run));
        }
        if api.runs.reading() != Reading::Whole {
            return Err(api.runs.unknown(&tenant, &id));
        }
        let columns = shown::COLUMNS.join(", ");
        let statement = format!("SELECT {columns} FROM {WINDOWS} WHERE run_id = '{id}'");
        let mut rows = ask(&api, &tenant, &statement).await?;
        rows.pop().map(Value::Object).ok_or_else(|| Error::unknown_run(&run))
    };
    found.await.map_or_else(|error| error.response(), |run| Json(run).into_response())
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    experiment: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(api): State<Api>,
    Query(wanted): Query<Wanted>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let tenant = tenant(caller);
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut predicates = vec!["true".to_owned()];
    predicates.extend(wanted.experiment.map(|name| format!("experiment = {}", text(&name))));
    predicates.extend(wanted.state.map(|state| format!("state = {}", text(&state))));
    let statement = format!(
        "SELECT {} FROM {WINDOWS} WHERE {} ORDER BY t_opened DESC, run_id LIMIT {}",
        shown::COLUMNS.join(", "),
        predicates.join(" AND "),
        wanted.limit.unwrap_or(100).min(MOST_LISTED)
    );
    let listed = async {
        let table = api.local(&tenant).ask(&statement).await?;
        let incomplete = table.incomplete.clone();
        let (runs, complete) = seen(table).map_err(unanswered)?;
        Ok::<_, Error>(json!({"runs": runs, "complete": complete, "incomplete": incomplete}))
    };
    listed.await.map_or_else(|error| error.response(), |runs| Json(runs).into_response())
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Form {
    format: Option<String>,
}

pub(super) async fn report(
    State(api): State<Api>,
    Path(run): Path<String>,
    Query(form): Query<Form>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let tenant = tenant(caller);
    let kept = async {
        let id = body::run_id(&run)?;
        let table = "experiment_window_revisions";
        let statement = format!(
            "SELECT report FROM {table} WHERE run_id = '{id}' AND report IS NOT NULL ORDER BY revision DESC LIMIT 1"
        );
        let mut rows = ask(&api, &tenant, &statement).await?;
        let text = rows.pop().and_then(|mut row| row.remove("report"));
        let text = text.as_ref().and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| unjudged(&run, api.runs.get(&tenant, &id)))
    };
    let text = match kept.await {
        Ok(text) => text,
        Err(error) => return error.response(),
    };
    let read = || Report::read(&text).map_err(Error::from);
    let (media, text) = match form.format.as_deref() {
        None | Some("json") => ("application/json", Ok(text.clone())),
        Some("md") => ("text/markdown; charset=utf-8", read().map(|report| markdown(&report))),
        Some("junit") => ("application/xml", read().map(|report| junit(&report))),
        Some("html") => ("text/html; charset=utf-8", read().map(|report| html(&report))),
        Some(other) => {
            let message = format!("there is no report format {other:?}");
            return Error::invalid(message, "use json, md, junit or html").response();
        }
    };
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, media)], text).into_response(),
        Err(error) => error.response(),
    }
}

fn unjudged(id: &str, run: Option<Arc<Run>>) -> Error {
    let Some(run) = run else { return Error::unknown_run(id) };
    let message = format!("run {id} is {}, and was not judged yet", run.state.name());
    let hint = match run.settled() {
        _ if run.experiment.is_none() => "no document says what to judge".to_owned(),
        Some(settled) => format!("it is judged from {} on", shown::instant(settled / 1_000)),
        None => "it is judged once it is over and late telemetry had its time".to_owned(),
    };
    Error::new(ErrorKind::NotFound, message, hint)
}

async fn ask(
    api: &Api,
    tenant: &Tenant,
    statement: &str,
) -> Result<Vec<serde_json::Map<String, Value>>, Error> {
    let table = api.local(tenant).ask(statement).await?;
    objects(table).map_err(unanswered)
}

fn unanswered(error: anyhow::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{error:#}"), "try again in a moment")
}
