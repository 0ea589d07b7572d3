//! A daemon's API of runs, guards and leases as `run` and `bench` speak it.

use std::time::Duration;

use bytes::Bytes;
use experiments::Error;
use http_body_util::BodyExt as _;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};
use schema::ErrorKind;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::cli::Usage;
use crate::client::{Client, said};

/// How long a daemon may take to know its runs, and between two questions.
const STARTING: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);

/// What a guard answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    Go,
    Stop { guard: String, detail: String },
    CannotTell { reason: String, detail: String },
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Daemon(Client);

impl Daemon {
    pub fn new(server: &str) -> Result<Daemon, Usage> {
        Client::new(server, "--server").map(Daemon)
    }

    pub fn base(&self) -> &str {
        self.0.base()
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value), Error> {
        let away = |message: String| Error::Engine { kind: ErrorKind::Unavailable, message };
        let headers = [(CONTENT_TYPE, "application/json")];
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let sent = self.0.send(method, path, &headers, body).await;
        let answer = sent.map_err(|error| away(format!("{error:#}")))?;
        let status = answer.status();
        let broken = |_| away("the daemon's answer broke off".to_owned());
        let bytes = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        let read = serde_json::from_slice(&bytes);
        Ok((status, read.unwrap_or_else(|_| Value::String(said(status, &bytes)))))
    }

    async fn asked(&self, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        let (status, answer) = self.call(method, path, body).await?;
        accepted(status, answer)
    }

    /// Opens a run, and answers its id.
    pub async fn open(&self, run: &Value) -> Result<String, Error> {
        let deadline = Instant::now() + STARTING;
        let path = "/api/v1/experiments/runs";
        let run = loop {
            let (status, answer) = self.call(Method::POST, path, run).await?;
            // A daemon that has just started reads the runs of the last process.
            if status != StatusCode::SERVICE_UNAVAILABLE || Instant::now() >= deadline {
                break accepted(status, answer)?;
            }
            sleep(AGAIN).await;
        };
        let id = run.get("run_id").and_then(Value::as_str).map(str::to_owned);
        id.ok_or_else(|| Error::internal("the daemon named no run; is it another version?"))
    }

    /// inject, recover, end or abort.
    pub async fn mark(&self, run: &str, mark: &str, body: &Value) -> Result<(), Error> {
        let path = format!("/api/v1/experiments/runs/{run}/{mark}");
        self.asked(Method::POST, &path, body).await.map(drop)
    }

    /// The last judging's report; `None` while there is none.
    pub async fn report(&self, run: &str) -> Result<Option<Value>, Error> {
        let path = format!("/api/v1/experiments/runs/{run}/report");
        match self.call(Method::GET, &path, &Value::Null).await? {
            (StatusCode::OK, report) => Ok(Some(report)),
            _ => Ok(None),
        }
    }

    /// What the guards say, waiting up to `wait` (like `10s`) for it to change.
    pub async fn guard(&self, run: &str, wait: &str) -> Result<(Guard, Value), Error> {
        let path = format!("/api/v1/guards/{run}?wait={wait}");
        let (status, answer) = self.call(Method::GET, &path, &Value::Null).await?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let guard = match status {
            StatusCode::OK => Guard::Go,
            StatusCode::SERVICE_UNAVAILABLE if answer["verdict"] == "stop" => {
                Guard::Stop { guard: text("guard"), detail: text("detail") }
            }
            StatusCode::FAILED_DEPENDENCY => {
                Guard::CannotTell { reason: text("reason"), detail: text("detail") }
            }
            status => {
                let message = said(status, answer.to_string().as_bytes());
                return Err(Error::Engine { kind: ErrorKind::Unavailable, message });
            }
        };
        Ok((guard, answer))
    }

    /// Renews a lease; an error when it was not.
    pub async fn renew(&self, run: &str, ttl: &str, holder: &str) -> Result<(), Error> {
        let body = json!({ "ttl": ttl, "holder": holder });
        self.asked(Method::POST, &format!("/api/v1/leases/{run}"), &body).await.map(drop)
    }

    pub async fn release(&self, run: &str) -> Result<(), Error> {
        let path = format!("/api/v1/leases/{run}");
        let (status, answer) = self.call(Method::DELETE, &path, &Value::Null).await?;
        match status.is_success() {
            true => Ok(()),
            false => Err(Error::invalid(said(status, answer.to_string().as_bytes()))),
        }
    }
}

/// A good answer, or what was said against the request.
fn accepted(status: StatusCode, answer: Value) -> Result<Value, Error> {
    if status.is_success() {
        return Ok(answer);
    }
    let message = said(status, answer.to_string().as_bytes());
    Err(match status.is_client_error() {
        true => Error::invalid(message),
        false => Error::Engine { kind: ErrorKind::Unavailable, message },
    })
}
