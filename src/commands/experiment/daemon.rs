//! A daemon's API of runs, guards and leases as the commands speak it.

use std::time::Duration;

use anyhow::Result;
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
/// From one look at a run that is not judged yet to the next.
const LOOK: Duration = Duration::from_millis(500);

pub const RUNS: &str = "/api/v1/experiments/runs";

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

    /// A good answer. What the caller did wrong is told as such; a daemon that is
    /// away or cannot answer is no verdict.
    async fn once(&self, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        let (status, answer) = self.call(method, path, body).await?;
        accepted(status, answer)
    }

    /// The same of a daemon that has just started and reads the runs of the last
    /// process: it is waited for, which is said, and not for ever.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        let deadline = Instant::now() + STARTING;
        let mut told = false;
        loop {
            let (status, answer) = self.call(method.clone(), path, body).await?;
            if status != StatusCode::SERVICE_UNAVAILABLE || Instant::now() >= deadline {
                return accepted(status, answer);
            }
            if !std::mem::replace(&mut told, true) {
                let why = said(status, answer.to_string().as_bytes());
                eprintln!("waiting up to {} s for the daemon: {why}", STARTING.as_secs());
            }
            sleep(AGAIN).await;
        }
    }

    /// A run as it is.
    pub async fn run(&self, id: &str) -> Result<Value> {
        Ok(self.ask(Method::GET, &path(id, "")?, &Value::Null).await?)
    }

    /// The run once it is judged; as it is when the time is over.
    pub async fn judged(&self, id: &str, wait: Duration) -> Result<Value> {
        let until = Instant::now() + wait;
        loop {
            let run = self.run(id).await?;
            if !run["verdict"].is_null() || Instant::now() >= until {
                return Ok(run);
            }
            sleep(LOOK).await;
        }
    }

    /// Opens a run, and answers its id.
    pub async fn open(&self, run: &Value) -> Result<String, Error> {
        let run = self.ask(Method::POST, RUNS, run).await?;
        let id = run.get("run_id").and_then(Value::as_str).map(str::to_owned);
        id.ok_or_else(|| Error::internal("the daemon named no run; is it another version?"))
    }

    /// inject, recover, end or abort.
    pub async fn mark(&self, run: &str, mark: &str, body: &Value) -> Result<(), Error> {
        let path = format!("/api/v1/experiments/runs/{run}/{mark}");
        self.once(Method::POST, &path, body).await.map(drop)
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
        self.once(Method::POST, &format!("/api/v1/leases/{run}"), &body).await.map(drop)
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

/// A run's id is a part of a path, and nothing else.
pub fn path(id: &str, rest: &str) -> Result<String, Usage> {
    let id = experiments::RunId::new(id).map_err(|error| Usage(format!("RUN is {error}")))?;
    Ok(format!("{RUNS}/{id}{rest}"))
}

/// A good answer, or what was said against the request.
fn accepted(status: StatusCode, answer: Value) -> Result<Value, Error> {
    if status.is_success() {
        return Ok(answer);
    }
    let message = said(status, answer.to_string().as_bytes());
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Error::Engine { kind: ErrorKind::Unavailable, message }
        }
        status if status.is_client_error() => Error::invalid(message),
        _ => Error::Engine { kind: ErrorKind::Unavailable, message },
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request after the other with these statuses.
    async fn answers(listener: &TcpListener, statuses: Vec<&str>) {
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 4096];
            assert!(stream.read(&mut read).await.unwrap() > 0);
            let body = if status.starts_with('2') {
                r#"{"run_id": "r1"}"#
            } else {
                r#"{"error": {"kind": "unavailable", "message": "reads runs", "hint": ""}}"#
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
                 connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
        }
    }

    /// Scenario: a daemon that answers 503 twice and then opens the run; one that
    /// refuses the run; a lease that a daemon cannot renew.
    /// Guarantees: its start is waited for; a refusal is told at once, and so is a
    /// lease, because an injector must not go on without one.
    #[tokio::test]
    async fn a_daemon_that_starts_is_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let daemon = Daemon::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (busy, run) = ("503 Service Unavailable", json!({"experiment": "e"}));
        let served = answers(&listener, vec![busy, busy, "201 Created"]);
        let (opened, ()) = tokio::join!(daemon.open(&run), served);
        assert_eq!(opened.unwrap(), "r1");
        let served = answers(&listener, vec!["400 Bad Request"]);
        let (refused, ()) = tokio::join!(daemon.open(&run), served);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
        let served = answers(&listener, vec![busy]);
        let (lease, ()) = tokio::join!(daemon.renew("r1", "10s", "me"), served);
        assert_eq!(lease.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
