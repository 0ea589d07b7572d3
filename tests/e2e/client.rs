//! HTTP and gRPC as a sender speaks them, without a line shared with the
//! server: bare hyper, gRPC frames by hand.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::{Method, Request};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::daemon::Daemon;

/// Longer than any deadline of the server's.
const PATIENCE: Duration = Duration::from_secs(60);

type Http = legacy::Client<HttpConnector, Full<Bytes>>;

/// One pool per protocol version. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http1: Http,
    http2: Http,
}

impl Default for Client {
    fn default() -> Client {
        let new = |http2| {
            legacy::Client::builder(TokioExecutor::new())
                .http2_only(http2)
                // A repeat behind our back would hide an unknown outcome.
                .retry_canceled_requests(false)
                .build(HttpConnector::new())
        };
        Client { http1: new(false), http2: new(true) }
    }
}

/// What came back, read to the end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        let body = serde_json::from_slice(&self.body);
        body.unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }

    /// `grpc-status`, from the trailers or from a trailers-only answer.
    pub fn grpc_status(&self) -> Option<u16> {
        let status = self.trailers.get("grpc-status").or(self.headers.get("grpc-status"))?;
        status.to_str().ok()?.parse().ok()
    }
}

async fn exchange(client: &Http, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    let whole = async {
        let response = client.request(request).await.context("no answer")?;
        let (head, body) = response.into_parts();
        let collected = body.collect().await.context("a torn answer")?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let (status, headers) = (head.status.as_u16(), head.headers);
        Ok(Answer { status, headers, body: collected.to_bytes(), trailers })
    };
    timeout(PATIENCE, whole).await.context("no answer in time")?
}

impl Client {
    pub async fn get(&self, url: &str) -> anyhow::Result<Answer> {
        let request = Request::get(url).body(Full::default())?;
        exchange(&self.http1, request).await
    }

    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse()?;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value)?;
            request.headers_mut().insert(HeaderName::try_from(*name)?, value);
        }
        exchange(&self.http1, request).await
    }

    /// A unary call: one length-prefixed message each way.
    pub async fn grpc(&self, url: &str, message: &[u8]) -> anyhow::Result<Answer> {
        let mut framed = BytesMut::with_capacity(message.len() + 5);
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len())?);
        framed.put_slice(message);
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(Full::new(framed.freeze()))?;
        exchange(&self.http2, request).await
    }
}

/// An answer to SQL; 64-bit integers are texts in it.
#[derive(Debug)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

impl Rows {
    /// The only value of the only row, as an integer.
    pub fn number(&self) -> i64 {
        number(&self.rows[0][0])
    }
}

/// An integer, whether it came as a number or as text.
pub fn number(value: &Value) -> i64 {
    let read = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    read.unwrap_or_else(|| panic!("not an integer: {value}"))
}

impl Daemon {
    /// Asks until the answer is complete: after a start the tables load while
    /// the hot rows are there already.
    pub async fn try_sql(&self, query: &str) -> anyhow::Result<Rows> {
        let url = self.url("/api/v1/sql?int64=string");
        let body = json!({ "query": query }).to_string();
        let deadline = Instant::now() + PATIENCE;
        let mut whole = loop {
            let kind = [("content-type", "application/json")];
            let answer = self.client.post(&url, &kind, body.clone()).await?;
            ensure!(answer.status == 200, "{query}\n{}: {}", answer.status, answer.text());
            let whole = answer.json();
            if whole["complete"] == true {
                break whole;
            }
            ensure!(Instant::now() < deadline, "{query}: never complete: {}", whole["stats"]);
            sleep(Duration::from_millis(20)).await;
        };
        ensure!(whole["truncated"] == false, "{query}: truncated");
        let columns = whole["columns"].as_array().context("columns")?;
        let columns = columns.iter().filter_map(|c| Some(c["name"].as_str()?.into())).collect();
        let rows = serde_json::from_value(whole["rows"].take())?;
        Ok(Rows { columns, rows })
    }

    pub async fn sql(&self, query: &str) -> Rows {
        self.try_sql(query).await.expect("the query is answered")
    }

    pub async fn count(&self, table: &str) -> i64 {
        self.sql(&format!("SELECT count(*) FROM {table}")).await.number()
    }

    /// Seals, stages and commits everything acked before.
    pub async fn flush(&self) {
        let answer = self.client.post(&self.url("/api/v1/flush"), &[], "").await;
        let answer = answer.expect("the flush is answered");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}
