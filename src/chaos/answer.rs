//! The engine as what experiments ask: in this process, or the same document out
//! of a daemon's HTTP answer.

use std::sync::Arc;

use async_trait::async_trait;
use experiments::{Ask, Error, Table};
use futures::StreamExt as _;
use query::render::{Encoder, Format, Options};
use query::{Engine, Query};
use schema::{ErrorKind, Tenant};
use serde_json::Value;

/// Bytes of an answer: series are small, and what is larger is a mistake.
const MOST: usize = 64 << 20;

/// Statements of experiments are one user's among all others.
const PRINCIPAL: &str = "experiments";

/// Asks the engine of this process, as one tenant.
#[derive(Clone)]
pub struct Local {
    pub engine: Arc<Engine>,
    pub tenant: Tenant,
}

#[async_trait]
impl Ask for Local {
    async fn ask(&self, statement: &str) -> Result<Table, Error> {
        let query = Query {
            tenant: self.tenant.clone(),
            principal: Some(PRINCIPAL.to_owned()),
            ..Query::new(statement, PRINCIPAL)
        };
        let failed = |error: query::Error| Error::Engine {
            kind: of(error.kind()),
            message: error.to_string(),
        };
        let mut answer = self.engine.run(query).await.map_err(failed)?;
        let (format, options) = (Format::Json, Options::default());
        let mut encoder = Encoder::new(format, answer.schema.clone(), options).map_err(failed)?;
        let mut out = Vec::new();
        encoder.head(&mut out);
        while let Some(batch) = answer.rows.next().await {
            encoder.rows(&batch.map_err(failed)?, &mut out).map_err(failed)?;
            if out.len() > MOST {
                let message = format!("the answer is larger than {MOST} bytes");
                return Err(Error::Engine { kind: ErrorKind::TooLarge, message });
            }
        }
        encoder.tail(&answer.stats.summary(), &mut out).map_err(failed)?;
        table(&out)
    }
}

/// A turn that did not come is no answer, and none that never will.
fn of(kind: ErrorKind) -> ErrorKind {
    match kind {
        ErrorKind::Throttled | ErrorKind::Cancelled => ErrorKind::Unavailable,
        kind => kind,
    }
}

/// The API's document; one that broke off carries an `error`.
pub fn table(bytes: &[u8]) -> Result<Table, Error> {
    let internal =
        |message: &str| Error::Engine { kind: ErrorKind::Internal, message: message.to_owned() };
    let mut document: Value = serde_json::from_slice(bytes)
        .map_err(|_| internal("the daemon did not answer JSON; is it another version?"))?;
    if document.get("error").is_some() {
        return Err(internal(&crate::client::said(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            bytes,
        )));
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
    use serde_json::json;

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
