//! A small HTTP client for the commands: plain HTTP, bodies as bytes, whole or
//! as they come.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error};
use hyper_util::rt::TokioExecutor;

/// Larger error bodies are cut: they are only shown.
const MAX_ERROR_BODY: usize = 64 << 10;

/// Requests to one base URL over pooled connections.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Client {
    /// `flag` is named when `base` is no HTTP URL.
    pub fn new(base: &str, flag: &str) -> Result<Client, crate::cli::Usage> {
        let no = |why: &str| Err(crate::cli::Usage(format!("{flag} {base}: {why}")));
        let uri: Uri = match base.parse() {
            Ok(uri) => uri,
            Err(_) => return no("not a URL; write http://host:port"),
        };
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(_)) => {}
            (Some("https"), _) => return no("https is not available in this version; use http"),
            _ => return no("not an HTTP URL; write http://host:port"),
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Client { pool, base: base.trim_end_matches('/').to_owned() })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and waits for the head of the answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(name, HeaderValue::from_str(value)?);
        }
        let request = request.body(Full::new(body))?;
        self.pool.request(request).await.map_err(|error| {
            let base = &self.base;
            let said = match error.is_connect() {
                true => {
                    format!("cannot reach {base}; is the daemon running there? (cloudsail serve)")
                }
                false => format!("{base} broke off without an answer; its log says why"),
            };
            anyhow::Error::new(error).context(said)
        })
    }

    /// Like [`send`](Self::send), leaving the judgement of the error to the caller.
    pub async fn try_send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        self.pool.request(request).await
    }

    /// A JSON answer, or what the server said against it.
    pub async fn json(&self, method: Method, path: &str, body: Bytes) -> Result<serde_json::Value> {
        let answer = self.send(method, path, &[(CONTENT_TYPE, "application/json")], body).await?;
        let answer = accepted(answer).await?;
        let bytes = answer.into_body().collect().await.context("the answer broke off")?.to_bytes();
        serde_json::from_slice(&bytes).with_context(|| format!("{path} did not answer JSON"))
    }
}

/// The answer, or its error body as an error.
pub async fn accepted(answer: Response<Incoming>) -> Result<Response<Incoming>> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let (status, body) = (answer.status(), error_body(answer).await);
    bail!("{}", said(status, &body))
}

/// The body of a failed request, cut; empty when even that fails.
pub async fn error_body(answer: Response<Incoming>) -> Bytes {
    match Limited::new(answer.into_body(), MAX_ERROR_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            tracing::debug!(%error, "an error's body could not be read");
            Bytes::new()
        }
    }
}

/// An error of the HTTP API in a user's words, without what could steer the
/// terminal (S16).
pub fn said(status: StatusCode, body: &[u8]) -> String {
    let steers = |c: char| c.is_control() && c != '\n';
    in_words(status, body).replace(steers, "\u{fffd}")
}

fn in_words(status: StatusCode, body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let Some(error) = parsed.as_ref().and_then(|body| body.get("error")) else {
        return format!("the server answered {status}: {}", String::from_utf8_lossy(body).trim());
    };
    let text = |key: &str| error.get(key).and_then(|value| value.as_str()).unwrap_or_default();
    let mut said = text("message").to_owned();
    let place = |key: &str| error.get("position").and_then(|p| p.get(key)).and_then(|n| n.as_u64());
    if let (Some(line), Some(column)) = (place("line"), place("column")) {
        said.push_str(&format!(" (line {line}, column {column})"));
    }
    if !text("hint").is_empty() {
        said.push_str(&format!("\nhint: {}", text("hint")));
    }
    said
}

/// Whole seconds to wait, as `Retry-After` says; an HTTP date is not understood.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(hyper::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the API's error body, and one of somebody else's server.
    /// Guarantees: message, place and hint are shown; anything else is shown as it is.
    #[test]
    fn errors_are_told_in_words() {
        let body = br#"{"error":{"kind":"invalid","message":"no column x","hint":"did you mean y?","position":{"line":1,"column":8}}}"#;
        let text = said(StatusCode::BAD_REQUEST, body);
        assert_eq!(text, "no column x (line 1, column 8)\nhint: did you mean y?");
        let text = said(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(text, "the server answered 502 Bad Gateway: <html>");
    }

    /// Scenario: base URLs that cannot be used.
    /// Guarantees: each is refused with the flag's name and what to write.
    #[test]
    fn only_http_urls_are_taken() {
        assert_eq!(Client::new("http://h:1/", "--server").unwrap().base(), "http://h:1");
        for bad in ["h:1", "https://h", "ftp://h", "", "http://"] {
            let message = Client::new(bad, "--server").unwrap_err().to_string();
            assert!(message.contains("--server"), "{message}");
        }
    }
}
