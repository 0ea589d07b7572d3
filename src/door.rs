//! The doors that answer: a router served with limits on headers, bodies, time
//! and connections (S14, S15), and drained when it is cancelled. The HTTP API is
//! spoken to in HTTP/1.1 alone: without TLS nothing that asks there speaks
//! anything else; Flight SQL, which is gRPC, in HTTP/2 alone.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::future::Either;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use schema::ErrorKind;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Largest request body. Statements are limited to 64 KiB by the engine; the
/// rest is room for parameters.
const MAX_BODY: usize = 1 << 20;
const MAX_HEADERS: usize = 16 << 10;
/// Also how long an idle connection is kept: the wait for a head begins with the
/// connection and after each answer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_CONNECTIONS: usize = 1024;
/// Calls at once on one HTTP/2 connection; what runs of them the engine bounds.
const MAX_STREAMS: u32 = 128;
/// Dead peers are found by asking them: an HTTP/2 connection may be long silent.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    #[cfg_attr(not(feature = "flight"), expect(dead_code, reason = "Flight SQL alone speaks it"))]
    Http2,
}

/// Serves whatever router `routers` holds at the moment of a request, so that
/// the door can answer probes before there is anything else to answer.
/// Returns how many connections were still busy `grace` after `cancel`.
pub async fn serve(
    listener: TcpListener,
    routers: watch::Receiver<Router>,
    protocol: Protocol,
    cancel: CancellationToken,
    grace: Duration,
) -> Result<usize> {
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADERS)
        .half_close(false);
    let streams = TaskTracker::new();
    let mut http2 = http2::Builder::new(Owned(streams.clone()));
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: it passes, and a busy loop would not help.
                tracing::warn!(%error, ?protocol, "a door could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY on a connection");
        }
        let routers = routers.clone();
        let asked = Arc::new(AtomicBool::new(false));
        let first = asked.clone();
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            first.store(true, Ordering::Relaxed);
            let router = routers.borrow().clone();
            async move { TowerToHyperService::new(router).call(request).await }
        });
        let io = TokioIo::new(stream);
        let connection = match protocol {
            Protocol::Http1 => Either::Left(graceful.watch(http1.serve_connection(io, answer))),
            Protocol::Http2 => Either::Right(graceful.watch(http2.serve_connection(io, answer))),
        };
        connections.spawn(async move {
            tokio::select! {
                ended = connection => ended,
                () = silence(asked) => Ok(()),
            }
        });
    }
    drop(listener);
    let left = tokio::time::timeout(grace, graceful.shutdown()).await;
    let mut busy = 0;
    if left.is_err() {
        while let Some(ended) = connections.try_join_next() {
            report(ended);
        }
        busy = connections.len();
        connections.abort_all();
    }
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
    streams.close();
    streams.wait().await;
    Ok(busy)
}

/// Ends when a connection has asked nothing for as long as a head may take: of
/// an HTTP/2 connection nothing else bounds how long it takes to begin.
async fn silence(asked: Arc<AtomicBool>) {
    tokio::time::sleep(HEADER_TIMEOUT).await;
    if asked.load(Ordering::Relaxed) {
        pending().await
    }
}

/// Runs the streams of HTTP/2 connections as tasks that the door owns and joins.
#[derive(Debug, Clone)]
struct Owned(TaskTracker);

impl<F> Executor<F> for Owned
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

type Ended = Result<Result<(), hyper::Error>, tokio::task::JoinError>;

/// A connection's error is its client's; a panic is ours, but of one request only (S18).
fn report(ended: Ended) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(error) if error.is_panic() => {
            tracing::error!(%error, "answering a request panicked; please report it");
        }
        Err(_) => {}
    }
}

/// Adds what every answer of this door has: JSON errors for what no route
/// answers, bounded bodies, and headers that keep browsers from guessing.
pub fn finish(router: Router) -> Router {
    router
        .fallback(|request: Request| async move {
            let message = format!("there is no {}", request.uri().path());
            let hint = "the API is POST /api/v1/sql, POST /api/v1/flush, POST /api/v1/compact, GET /api/v1/tables, GET /api/v1/status, /api/v1/experiments, /healthz, /readyz and /metrics";
            error(StatusCode::NOT_FOUND, ErrorKind::NotFound, &message, hint)
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let message = format!("{} does not take {}", request.uri().path(), request.method());
            error(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorKind::Invalid,
                &message,
                "the allow header says which method it takes",
            )
        })
        .layer(from_fn(guard))
}

/// Whether a browser sends this for a page of another site. It needs no answer
/// to have done harm (drain, say), so what changes anything is not taken.
fn foreign(head: &Parts) -> bool {
    if head.method.is_safe() {
        return false;
    }
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let host = text("host").unwrap_or_default();
    text("origin").is_some_and(|origin| origin.split("://").nth(1) != Some(host))
}

async fn guard(request: Request, next: Next) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    if foreign(&head) {
        let message = "a page of another site may not ask for this";
        let hint = "ask from a page of this daemon, or from a program";
        return Ok(error(StatusCode::FORBIDDEN, ErrorKind::Denied, message, hint));
    }
    let mut response = match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(_)) => {
            let message = format!("the body is broken or larger than {MAX_BODY} bytes");
            error(
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorKind::TooLarge,
                &message,
                "send a smaller one",
            )
        }
        Err(_) => {
            let message = format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs());
            error(
                StatusCode::REQUEST_TIMEOUT,
                ErrorKind::DeadlineExceeded,
                &message,
                "send it faster",
            )
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The error body of the HTTP API.
pub fn error(status: StatusCode, kind: ErrorKind, message: &str, hint: &str) -> Response {
    let body = serde_json::json!({
        "error": { "kind": kind.as_str(), "message": message, "hint": hint, "position": null }
    });
    (status, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use bytes::Bytes;
    use hyper::Method;

    use super::*;
    use crate::client::{Client, error_body};

    struct Served {
        client: Client,
        cancel: CancellationToken,
        owner: JoinSet<Result<usize>>,
    }

    async fn served() -> Served {
        let slow = || tokio::time::sleep(Duration::from_secs(60));
        let router = Router::new()
            .route("/echo", post(|body: String| async move { body }))
            .route("/slow", get(slow));
        let (_, routers) = watch::channel(finish(router));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cancel = CancellationToken::new();
        let mut owner = JoinSet::new();
        let grace = Duration::from_millis(300);
        owner.spawn(serve(listener, routers, Protocol::Http1, cancel.clone(), grace));
        Served { client: Client::new(&url, "--server").unwrap(), cancel, owner }
    }

    /// Scenario: a path and a method that no route answers, and a body past the limit.
    /// Guarantees: each answer is the API's JSON error with its own status.
    #[tokio::test]
    async fn sec_s14_what_no_route_answers_is_a_json_error() {
        let served = served().await;
        let large = Bytes::from(vec![b'x'; MAX_BODY + 1]);
        for (method, path, body, status, kind) in [
            (Method::GET, "/nothing", Bytes::new(), 404, "not_found"),
            (Method::GET, "/echo", Bytes::new(), 405, "invalid"),
            (Method::POST, "/echo", large, 413, "too_large"),
        ] {
            let answer = served.client.send(method, path, &[], body).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            let body: serde_json::Value =
                serde_json::from_slice(&error_body(answer).await).unwrap();
            assert_eq!(body["error"]["kind"], kind);
        }
        let answer = served.client.send(Method::POST, "/echo", &[], "hi".into()).await.unwrap();
        assert_eq!(error_body(answer).await, "hi");
    }

    /// Scenario: a browser asks for pages of this site and of another one.
    /// Guarantees: S14, another site's page changes nothing here.
    #[test]
    fn sec_s14_a_foreign_page_changes_nothing() {
        let of = |method: Method, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method).header("host", "127.0.0.1:4320");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            foreign(&request.body(Body::empty()).unwrap().into_parts().0)
        };
        let (own, other) = (("origin", "http://127.0.0.1:4320"), ("origin", "http://evil.example"));
        assert!(!of(Method::POST, &[]), "a program");
        assert!(!of(Method::POST, &[own]));
        assert!(!of(Method::POST, &[("sec-fetch-site", "same-origin"), own]));
        assert!(!of(Method::GET, &[other]), "reading is the browser's to hide");
        assert!(of(Method::POST, &[other]));
        assert!(of(Method::POST, &[("origin", "null")]));
        assert!(of(Method::POST, &[("sec-fetch-site", "cross-site"), own]));
    }

    /// Scenario: the door is cancelled with nothing to do, and with a request that does not end.
    /// Guarantees: the first returns at once, the second after its grace, and says how many were busy.
    #[tokio::test]
    async fn a_cancelled_door_waits_for_its_grace_and_no_longer() {
        let mut idle = served().await;
        idle.cancel.cancel();
        assert_eq!(idle.owner.join_next().await.unwrap().unwrap().unwrap(), 0);

        let mut busy = served().await;
        let client = busy.client.clone();
        let mut asking = JoinSet::new();
        asking.spawn(async move { client.send(Method::GET, "/slow", &[], Bytes::new()).await });
        tokio::time::sleep(Duration::from_millis(150)).await;
        busy.cancel.cancel();
        assert_eq!(busy.owner.join_next().await.unwrap().unwrap().unwrap(), 1);
        assert!(asking.join_next().await.unwrap().unwrap().is_err());
    }
}
