//! What operators and orchestrators ask the HTTP door: is it alive, is it
//! ready, what does it count, write everything out now, join its files, take
//! nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use collector::Collector;
use prometheus_client::registry::Registry;
use query::Engine;
use schema::ErrorKind;
use serde_json::json;
use storage::Storage;

use crate::bind::Addresses;
use crate::{door, usage};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How far the daemon is; shared between its doors and its life.
#[derive(Debug, Default)]
pub struct Phase(AtomicU8);

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

impl Phase {
    pub fn serving(&self) {
        self.0.store(SERVING, Ordering::Relaxed);
    }

    /// True the first time.
    pub fn draining(&self) -> bool {
        self.0.swap(DRAINING, Ordering::Relaxed) != DRAINING
    }

    fn as_str(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            STARTING => "starting",
            SERVING => "serving",
            _ => "draining",
        }
    }
}

/// What the routes read.
#[derive(Clone)]
pub struct Admin {
    pub storage: Arc<Storage>,
    pub usage: usage::Writer,
    pub collector: Arc<Collector>,
    pub engine: Arc<Engine>,
    pub registry: Arc<Registry>,
    pub phase: Arc<Phase>,
    pub addresses: Addresses,
    pub node_id: String,
    pub started: Instant,
}

/// Until recovery is done: alive, not ready, and nothing else.
pub fn starting() -> Router {
    let not_yet =
        || async { (StatusCode::SERVICE_UNAVAILABLE, "recovering the write-ahead log\n") };
    let refused = || async {
        let hint = "try again when /readyz answers 200";
        let message = "the daemon is still recovering its write-ahead log";
        let mut answer =
            door::error(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable, message, hint);
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        answer
    };
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(not_yet)).fallback(refused)
}

/// The admin routes beside the query engine's and those of `experiments`.
pub fn router(admin: Admin, experiments: Router) -> Router {
    let queries = query::doors::http::router(admin.engine.clone());
    let own = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/flush", post(flush))
        .route("/api/v1/drain", post(drain))
        .route("/api/v1/compact", post(compact))
        .route("/api/v1/status", get(status))
        .with_state(admin);
    door::finish(own.merge(queries).merge(experiments))
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// Recovered and accepting. The store may be away: rows wait on the local disk.
async fn readyz(State(admin): State<Admin>) -> Response {
    let phase = admin.phase.as_str();
    let reason = match admin.storage.ready() {
        Ok(()) if phase == "serving" => return "ready\n".into_response(),
        Ok(()) => phase.to_owned(),
        Err(reason) => reason,
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written as text");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            door::error(
                status,
                ErrorKind::Internal,
                "the metrics could not be written",
                "see the log",
            )
        }
    }
}

/// Seals, stages and commits everything acked before the call.
async fn flush(State(admin): State<Admin>) -> Response {
    // Staged first, so that what it costs is part of the usage that is flushed.
    let flushed = async {
        admin.storage.stage().await?;
        admin.usage.write().await;
        admin.storage.flush().await
    };
    match flushed.await {
        Ok(flushed) => {
            let tables: Vec<_> = flushed
                .iter()
                .map(|reached| {
                    json!({
                        "tenant": reached.tenant.as_str(),
                        "table": reached.table,
                        "version": reached.version.map(|version| version.0),
                    })
                })
                .collect();
            Json(json!({ "tables": tables })).into_response()
        }
        Err(error) => {
            let kind = error.kind();
            let message = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error = %message, "a flush was asked for and could not be finished");
            let hint = "nothing is lost: the rows stay in the log or staged; try again when the cause is gone";
            door::error(status_of(kind), kind, &message, hint)
        }
    }
}

/// Stops taking rows for good and has everything committed; says what is left.
/// Asked again, it says how far it has come.
async fn drain(State(admin): State<Admin>) -> Response {
    if admin.phase.draining() {
        admin.collector.drain();
        // The last rows that this daemon writes of itself.
        if let Err(error) = admin.storage.stage().await {
            tracing::warn!(%error, "a drain begins, and rows could not be staged yet");
        }
        admin.usage.write().await;
    }
    match admin.storage.drain().await {
        Ok(left) => Json(json!({ "drained": left.is_empty(), "left": left })).into_response(),
        Err(error) => {
            let kind = error.kind();
            let message = format!("{:#}", anyhow::Error::new(error));
            let hint = "the daemon goes on draining, and nothing is lost; ask again";
            door::error(status_of(kind), kind, &message, hint)
        }
    }
}

/// Joins every file that may be joined.
async fn compact(State(admin): State<Admin>) -> Response {
    match admin.storage.compact().await {
        Ok(compacted) => {
            let tables: Vec<_> = compacted
                .iter()
                .map(|done| {
                    json!({
                        "tenant": done.tenant.as_str(),
                        "table": done.table,
                        "version": done.version.map(|version| version.0),
                        "files": done.files,
                        "jobs": done.jobs,
                        "files_in": done.files_in,
                        "files_out": done.files_out,
                        "bytes_in": done.bytes_in,
                        "bytes_out": done.bytes_out,
                    })
                })
                .collect();
            Json(json!({ "tables": tables })).into_response()
        }
        Err(error) => {
            let kind = error.kind();
            let message = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error = %message, "files were to be joined and could not be");
            let hint =
                "nothing is lost: the files stay as they are; try again when the cause is gone";
            door::error(status_of(kind), kind, &message, hint)
        }
    }
}

async fn status(State(admin): State<Admin>) -> Response {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node_id": admin.node_id,
        "phase": admin.phase.as_str(),
        "ready": admin.storage.ready().is_ok() && admin.phase.as_str() == "serving",
        "uptime_seconds": admin.started.elapsed().as_secs(),
        "addresses": admin.addresses,
        "queries_running": admin.engine.running(),
        "storage": admin.storage.status(),
    }))
    .into_response()
}

/// The HTTP status for what the caller should do.
pub fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::DeadlineExceeded | ErrorKind::Cancelled => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::Method;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::client::{Client, error_body};

    /// Scenario: probes and a question while the daemon still recovers.
    /// Guarantees: it is alive and not ready, and says when to come back.
    #[tokio::test]
    async fn a_starting_daemon_answers_its_probes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut owner = JoinSet::new();
        owner.spawn(async move { axum::serve(listener, starting()).await });
        let client = Client::new(&url, "--server").unwrap();
        for (method, path, status) in [
            (Method::GET, "/healthz", 200),
            (Method::GET, "/readyz", 503),
            (Method::POST, "/api/v1/sql", 503),
        ] {
            let answer = client.send(method, path, &[], Bytes::new()).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            if path == "/api/v1/sql" {
                assert_eq!(answer.headers()["retry-after"], "1");
                let body: serde_json::Value =
                    serde_json::from_slice(&error_body(answer).await).unwrap();
                assert_eq!(body["error"]["kind"], "unavailable");
            }
        }
    }
}
