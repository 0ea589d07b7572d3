//! `/api/v1/guards/{run}` and `/api/v1/leases/{run}`. The status alone is
//! enough: 200 go, 503 stop, 424 cannot tell, 404 no such run, and never 200 by
//! default.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use experiments::RunId;
use experiments::document::units::Period;
use experiments::guard::Verdict;
use futures::stream;
use query::doors::http::Caller;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::board::{Board, Key, Seen};
use super::lease::Leases;
use crate::chaos::Error;
use crate::chaos::journal::Journal;
use crate::chaos::{Runs, told};

/// The longest wait of one request.
const LONGEST: Duration = Duration::from_secs(60);
/// Between two events that say the same.
const AGAIN: Duration = Duration::from_secs(5);
/// A lease without a word, and the bounds of one.
/// How long a lease waits for the first look at its run's guards.
const FIRST_LOOK: Duration = Duration::from_secs(2);
const TTL: Period = Period::secs(10);
const SHORTEST_TTL: Period = Period::secs(1);
const LONGEST_TTL: Period = Period::secs(600);

#[derive(Clone)]
pub(super) struct Api {
    pub board: Arc<Board>,
    pub leases: Arc<Leases>,
    pub runs: Arc<Runs>,
    pub journal: Arc<Journal>,
}

/// What the routes read, made by the hub.
pub fn router(hub: &super::Hub) -> Router {
    Router::new()
        .route("/api/v1/guards/{run}", get(guard))
        .route("/api/v1/guards/{run}/events", get(events))
        .route("/api/v1/leases/{run}", post(renew).delete(release))
        .with_state(hub.api())
}

fn key(run: &str, caller: Option<Extension<Caller>>) -> Result<Key, Error> {
    // What is no name of a run is no run.
    let id = RunId::new(run).map_err(|_| Error::unknown_run(run))?;
    Ok((caller.map(|Extension(caller)| caller.tenant).unwrap_or_default(), id))
}

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    wait: Option<String>,
    format: Option<String>,
}

async fn guard(
    State(api): State<Api>,
    Path(run): Path<String>,
    Query(wanted): Query<Wanted>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let argo = wanted.format.as_deref() == Some("argo");
    let found = async {
        let key = key(&run, caller)?;
        let wait = match &wanted.wait {
            None => Duration::ZERO,
            Some(text) => period("wait", text)?.0.min(LONGEST),
        };
        match wanted.format.as_deref() {
            None | Some("json" | "value" | "argo") => {}
            Some(other) => {
                let message = format!("there is no format {other:?}");
                return Err(Error::invalid(message, "use json, value or argo"));
            }
        }
        let seen = waited(&api.board, &key, wait).await;
        seen.ok_or_else(|| Error::unknown_run(&run))
    };
    match (found.await, wanted.format.as_deref()) {
        (Ok(seen), Some("value")) => value(&seen),
        (Ok(seen), Some("argo")) => rollout(&seen),
        (Ok(seen), _) => answer(status(seen.decision.verdict), &shown(&api.board, &run, &seen)),
        // Argo takes any other status for a broken provider, and goes on asking.
        (Err(error), _) if argo => {
            let body = json!({"verdict": "inconclusive", "value": null, "n": 0, "reason": "error", "detail": error.message});
            answer(StatusCode::OK, &body)
        }
        (Err(error), _) => error.response(),
    }
}

/// The decision once its verdict is another than at first, or after `wait`.
/// A stop is final and waits for nothing.
async fn waited(board: &Board, key: &Key, wait: Duration) -> Option<Seen> {
    let deadline = Instant::now() + wait;
    let first = board.seen(key)?;
    let mut seen = first.clone();
    while seen.decision.verdict == first.decision.verdict
        && seen.decision.verdict != Verdict::Stop
        && Instant::now() < deadline
        && !board.is_closed()
    {
        let left = deadline.saturating_duration_since(Instant::now());
        // At the deadline the last look holds.
        drop(tokio::time::timeout(left, board.changed(key)).await);
        seen = board.seen(key)?;
    }
    Some(seen)
}

/// The first decision that some guard made, waiting a little for it: who opens a run
/// and then takes a lease finds its guards not evaluated yet.
async fn looked_at(board: &Board, key: &Key) -> Option<Seen> {
    let deadline = Instant::now() + FIRST_LOOK;
    let mut seen = board.seen(key)?;
    while seen.decision.guard.is_none()
        && seen.decision.verdict == Verdict::CannotTell
        && Instant::now() < deadline
        && !board.is_closed()
    {
        board.changed(key).await;
        seen = board.seen(key)?;
    }
    Some(seen)
}

fn status(verdict: Verdict) -> StatusCode {
    match verdict {
        Verdict::Go => StatusCode::OK,
        Verdict::Stop => StatusCode::SERVICE_UNAVAILABLE,
        Verdict::CannotTell => StatusCode::FAILED_DEPENDENCY,
    }
}

fn shown(board: &Board, run: &str, seen: &Seen) -> Value {
    let decision = &seen.decision;
    json!({
        "verdict": decision.verdict.name(),
        "reason": decision.reason,
        "value": decision.value,
        "n": decision.n,
        "evaluated_at": instant(decision.evaluated_at),
        "staleness_ms": seen.staleness_ms,
        "guard": decision.guard,
        "detail": decision.detail,
        "run": run,
        // The part of the traffic that was seen: what this node received.
        "node": board.node_id,
    })
}

fn instant(nanos: i64) -> String {
    let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// Chaos Toolkit compares the content type literally.
fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// A bare number, or 424. What was measured of too little is no number.
fn value(seen: &Seen) -> Response {
    let told = seen.decision.verdict != Verdict::CannotTell;
    match seen.decision.value.filter(|value| told && value.is_finite()) {
        Some(value) => ([(header::CONTENT_TYPE, "text/plain")], value.to_string()).into_response(),
        None => {
            let why = format!("{}\n", seen.decision.detail);
            (StatusCode::FAILED_DEPENDENCY, [(header::CONTENT_TYPE, "text/plain")], why)
                .into_response()
        }
    }
}

/// Argo Rollouts' conditions read `result.verdict`.
fn rollout(seen: &Seen) -> Response {
    let decision = &seen.decision;
    let verdict = match decision.verdict {
        Verdict::Go => "held",
        Verdict::Stop => "deviated",
        Verdict::CannotTell => "inconclusive",
    };
    let body = json!({
        "verdict": verdict, "value": decision.value, "n": decision.n, "reason": decision.reason,
    });
    answer(StatusCode::OK, &body)
}

/// Each change of the verdict as it comes, and the same again from time to time.
async fn events(
    State(api): State<Api>,
    Path(run): Path<String>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let known = key(&run, caller).and_then(|key| match api.board.seen(&key) {
        Some(_) => Ok(key),
        None => Err(Error::unknown_run(&run)),
    });
    let key = match known {
        Ok(key) => key,
        Err(error) => return error.response(),
    };
    let next = |(board, key, run, last): (Arc<Board>, Key, String, Option<Verdict>)| async move {
        let deadline = Instant::now() + AGAIN;
        loop {
            if board.is_closed() || last == Some(Verdict::Stop) {
                return None;
            }
            let seen = board.seen(&key)?;
            let verdict = seen.decision.verdict;
            if last != Some(verdict) || Instant::now() >= deadline {
                let data = shown(&board, &run, &seen).to_string();
                let event = Event::default().event(verdict.name()).data(data);
                return Some((Ok::<_, Infallible>(event), (board, key, run, Some(verdict))));
            }
            board.changed(&key).await;
        }
    };
    let events = stream::unfold((api.board.clone(), key, run, None), next);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Renewal {
    ttl: Option<String>,
    holder: Option<String>,
}

/// Renews a lease, unless the run is stopped, over, or not watched: then the
/// injector must roll back.
async fn renew(
    State(api): State<Api>,
    Path(run): Path<String>,
    caller: Option<Extension<Caller>>,
    body: Bytes,
) -> Response {
    let renewed = async {
        let key = key(&run, caller)?;
        let said: Renewal = match body.iter().all(u8::is_ascii_whitespace) {
            true => Renewal::default(),
            false => serde_json::from_slice(&body).map_err(|error| {
                let hint = "send {\"ttl\": \"10s\", \"holder\": \"name\"}, or nothing";
                Error::invalid(format!("the body is no lease: {error}"), hint)
            })?,
        };
        let ttl = said.ttl.as_deref().map(|text| period("ttl", text)).transpose()?.unwrap_or(TTL);
        if ttl < SHORTEST_TTL || ttl > LONGEST_TTL {
            let hint = format!("give {SHORTEST_TTL} to {LONGEST_TTL}");
            return Err(Error::invalid(format!("ttl is {ttl}"), hint));
        }
        let holder: String = said.holder.unwrap_or_default().chars().take(128).collect();
        let seen = looked_at(&api.board, &key).await.ok_or_else(|| Error::unknown_run(&run))?;
        let mut shown = shown(&api.board, &run, &seen);
        // What cannot be told for lack of data is borne for the guard's grace, and
        // a stop comes after it; what was not evaluated is not watched at all.
        let watched = seen.decision.guard.is_some();
        if seen.decision.verdict == Verdict::Stop || !watched {
            return Ok(answer(status(seen.decision.verdict), &shown));
        }
        let now = api.board.now();
        if api.leases.renew(&key, &holder, ttl.0, Instant::now())
            && let Some(run) = api.runs.get(&key.0, &key.1)
        {
            let row = told::note(&run, "lease", now, &holder, &ttl.to_string());
            let written = api.journal.write(&key.0, told::EVENTS, &[row]).await;
            if let Err(refusal) = written {
                api.leases.release(&key);
                return Err(refusal.into());
            }
        }
        shown["ttl"] = ttl.to_string().into();
        shown["expires_at"] = instant(now.saturating_add(ttl.nanos())).into();
        Ok(answer(StatusCode::OK, &shown))
    };
    renewed.await.unwrap_or_else(|error: Error| error.response())
}

/// Gives a lease back: the fault is removed.
async fn release(
    State(api): State<Api>,
    Path(run): Path<String>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let released = async {
        let key = key(&run, caller)?;
        let known = api.runs.get(&key.0, &key.1).ok_or_else(|| Error::unknown_run(&run))?;
        if let Some(lease) = api.leases.release(&key) {
            let row =
                told::note(&known, "lease-over", api.board.now(), &lease.holder, "given back");
            api.journal.write(&key.0, told::EVENTS, &[row]).await?;
        }
        Ok::<_, Error>(StatusCode::NO_CONTENT)
    };
    released.await.map_or_else(|error| error.response(), IntoResponse::into_response)
}

fn period(key: &str, text: &str) -> Result<Period, Error> {
    let read = text.parse::<Period>();
    read.map_err(|error| Error::invalid(format!("{key} {error}"), "write 500ms, 10s or 5m"))
}
