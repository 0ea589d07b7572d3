//! A daemon's HTTP API as what experiments ask.

use async_trait::async_trait;
use bytes::Bytes;
use experiments::document::lint::Traffic;
use experiments::{Ask, Error, Table};
use http_body_util::BodyExt as _;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};
use schema::ErrorKind;
use serde_json::{Value, json};

use crate::chaos::answer::table;
use crate::cli::Usage;
use crate::client::{Client, error_body, said};

pub struct Engine(Client);

impl Engine {
    pub fn new(server: &str) -> Result<Engine, Usage> {
        Client::new(server, "--server").map(Engine)
    }

    /// Requests per second of each service over the last `seconds`.
    pub async fn traffic(&self, now: i64, seconds: i64) -> Result<Traffic, Error> {
        let from = now.saturating_sub(seconds.saturating_mul(1_000_000_000));
        let sql = format!(
            "SELECT service_name, count(*) AS n FROM spans WHERE time_unix_nano >= {from} AND time_unix_nano < {now} AND kind IN ('SERVER', 'CONSUMER') AND time >= to_timestamp_micros({}) GROUP BY 1",
            from / 1_000
        );
        let table = self.ask(&sql).await?;
        let rate = |row: Vec<Value>| {
            let n = row.get(1)?.as_f64()?;
            Some((row.first()?.as_str()?.to_owned(), n / seconds as f64))
        };
        Ok(table.rows.into_iter().filter_map(rate).collect())
    }
}

#[async_trait]
impl Ask for Engine {
    async fn ask(&self, statement: &str) -> Result<Table, Error> {
        let away = |error: String| Error::Engine { kind: ErrorKind::Unavailable, message: error };
        let body = Bytes::from(json!({ "query": statement }).to_string());
        let headers = [(CONTENT_TYPE, "application/json")];
        let sent = self.0.send(Method::POST, "/api/v1/sql", &headers, body).await;
        let answer = sent.map_err(|error| away(format!("{error:#}")))?;
        let status = answer.status();
        if !status.is_success() {
            let message = said(status, &error_body(answer).await);
            return Err(Error::Engine { kind: kind(status), message });
        }
        let broken = || away("the daemon's answer broke off".to_owned());
        let bytes = answer.into_body().collect().await.map_err(|_| broken())?.to_bytes();
        table(&bytes)
    }
}

/// What a status says that the caller should do: what cannot be answered now is
/// no verdict, what cannot be answered at all is a gap in the evidence.
fn kind(status: StatusCode) -> ErrorKind {
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => ErrorKind::Unavailable,
        StatusCode::UNAUTHORIZED => ErrorKind::Unauthenticated,
        StatusCode::FORBIDDEN => ErrorKind::Denied,
        StatusCode::REQUEST_TIMEOUT => ErrorKind::DeadlineExceeded,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
        status if status.is_client_error() => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    }
}
