//! `POST /api/v1/sql`.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Query as Parameters, State};
use axum::response::Response;
use http::{HeaderMap, header};
use serde::Deserialize;

use super::stream;
use super::{Caller, status};
use crate::render::{Format, Options};
use crate::{Engine, Error, Params, Query};

/// Bytes of a request: a statement of the greatest length and its parameters.
const MAX_BODY: usize = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    query: String,
    #[serde(default)]
    params: Vec<serde_json::Value>,
    limit: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wishes {
    /// `string`: 64-bit integers as JSON strings.
    int64: Option<String>,
}

pub(super) async fn ask(
    State(engine): State<Arc<Engine>>,
    Parameters(wishes): Parameters<Wishes>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Caller { tenant, principal } = caller.map(|Extension(caller)| caller).unwrap_or_default();
    let asked = match read(&headers, body).await {
        Ok(asked) => asked,
        Err(error) => return status::refusal(&error),
    };
    let options = match wishes.int64.as_deref() {
        None | Some("number") => Options::default(),
        Some("string") => Options { int64_as_text: true, ..Options::default() },
        Some(_) => return status::refusal(&Error::invalid("int64 is neither string nor number")),
    };
    let params = match Params::from_json(&asked.params) {
        Ok(params) => params,
        Err(error) => return status::refusal(&error),
    };
    let query = Query {
        sql: asked.query,
        params,
        limit: asked.limit,
        tenant,
        principal,
        door: "http",
        deadline: None,
        zone: None,
        connection: None,
    };
    let answered = match engine.run(query).await {
        Ok(answer) => stream::respond(answer, format(&headers), options).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(|error| status::refusal(&error))
}

/// JSON if it says so or looks so (no statement begins with a brace), else
/// the statement itself, whatever `curl -d` calls it.
async fn read(headers: &HeaderMap, body: Body) -> Result<Asked, Error> {
    let bytes = to_bytes(body, MAX_BODY).await.map_err(|error| {
        Error::invalid(format!("the request body cannot be read: {error}"))
            .with_hint("a statement may have 64 KiB, with its parameters 1 MiB")
    })?;
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    let braced = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if json || braced {
        return serde_json::from_slice(&bytes).map_err(|error| {
            Error::invalid(format!("the request is not {{\"query\": …}}: {error}"))
                .with_hint("send {\"query\": \"SELECT …\", \"params\": [], \"limit\": 100}, or the plain statement")
        });
    }
    let query = std::str::from_utf8(&bytes)
        .map_err(|_| Error::invalid("the statement is not UTF-8"))?
        .to_owned();
    Ok(Asked { query, params: Vec::new(), limit: None })
}

/// The first form in `Accept` that is spoken; JSON when none is.
fn format(headers: &HeaderMap) -> Format {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut media = accepted
        .flat_map(|value| value.split(','))
        .map(|item| item.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let spoken = media.find_map(|media| match media.as_str() {
        "application/json" | "application/*" | "*/*" => Some(Format::Json),
        "application/x-ndjson" | "application/jsonl" => Some(Format::Ndjson),
        "text/csv" => Some(Format::Csv),
        "application/vnd.apache.arrow.stream" => Some(Format::Arrow),
        _ => None,
    });
    spoken.unwrap_or(Format::Json)
}
