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

/// The API's document; one that broke off carries an `error`.
fn table(bytes: &[u8]) -> Result<Table, Error> {
    let internal =
        |message: &str| Error::Engine { kind: ErrorKind::Internal, message: message.to_owned() };
    let mut document: Value = serde_json::from_slice(bytes)
        .map_err(|_| internal("the daemon did not answer JSON; is it another version?"))?;
    if document.get("error").is_some() {
        return Err(internal(&said(StatusCode::INTERNAL_SERVER_ERROR, bytes)));
    }
    let list = |value: Option<&mut Value>| match value.map(Value::take) {
        Some(Value::Array(items)) => Some(items),
        _ => None,
    };
    let unlike = || internal("the daemon answered something else; is it another version?");
    let columns = list(document.get_mut("columns")).ok_or_else(unlike)?;
    let name = |column: Value| Some(column.get("name")?.as_str()?.to_owned());
    let columns = columns.into_iter().map(name).collect::<Option<_>>().ok_or_else(unlike)?;
    let rows = list(document.get_mut("rows")).ok_or_else(unlike)?;
    let row = |row: Value| match row {
        Value::Array(values) => Some(values),
        _ => None,
    };
    let rows = rows.into_iter().map(row).collect::<Option<_>>().ok_or_else(unlike)?;
    let mut incomplete = Vec::new();
    if document.get("complete") != Some(&Value::Bool(true)) {
        let told = document.get("incomplete").filter(|told| !told.is_null());
        incomplete.push(
            told.map_or("the answer says that it is not complete".to_owned(), |told| {
                format!("not every row could be seen: {told}")
            }),
        );
    }
    let truncated = document.get("truncated") != Some(&Value::Bool(false));
    Ok(Table { columns, rows, incomplete, truncated })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: answers whole, cut, incomplete, broken off, and of something else.
    /// Guarantees: J2: only the first two shapes are rows, and what is missing is said.
    #[test]
    fn inv_j2_an_answer_says_what_it_lacks() {
        let whole = br#"{"columns":[{"name":"n","type":"Int64"}],"rows":[[1]],"truncated":false,"complete":true,"incomplete":[]}"#;
        let read = table(whole).unwrap();
        assert_eq!((read.columns, read.rows), (vec!["n".to_owned()], vec![vec![json!(1)]]));
        assert!(read.incomplete.is_empty() && !read.truncated);
        let text = String::from_utf8_lossy(whole);
        let cut = text.replace("\"truncated\":false", "\"truncated\":true");
        assert!(table(cut.as_bytes()).unwrap().truncated);
        let partial = text.replace("\"complete\":true", "\"complete\":false");
        assert!(!table(partial.as_bytes()).unwrap().incomplete.is_empty());
        let broken = text.replace("\"truncated\":false", "\"error\":{\"message\":\"no memory\"}");
        assert!(table(broken.as_bytes()).unwrap_err().to_string().contains("no memory"));
        for other in ["", "[]", "{}", "{\"columns\":[1],\"rows\":[]}"] {
            assert!(table(other.as_bytes()).is_err(), "{other}");
        }
    }
}
