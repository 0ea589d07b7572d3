//! What requests say.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use experiments::document::Allowed;
use experiments::document::lint::{Traffic, lint};
use experiments::{Experiment, RunId};
use schema::ErrorKind;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::chaos::Error;

/// Bytes of a document: the whole vocabulary takes a few thousand.
const MOST_DOCUMENT: usize = 256 << 10;
const MOST_NAME: usize = 200;
/// Taken by routes of their own.
const RESERVED: [&str; 1] = ["runs"];

/// A JSON body; an empty one says nothing.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        Error::invalid(format!("the body is not what this takes: {error}"), "send a JSON object")
    })
}

/// A document as YAML, or as JSON, which is YAML too.
pub fn document(text: &[u8]) -> Result<Arc<Experiment>, Error> {
    if text.len() > MOST_DOCUMENT {
        let message =
            format!("the document has {} bytes, and may have {MOST_DOCUMENT}", text.len());
        return Err(Error::new(ErrorKind::TooLarge, message, "leave out what is not needed"));
    }
    let text = std::str::from_utf8(text)
        .map_err(|_| Error::invalid("the document is not UTF-8", "send YAML as UTF-8"))?;
    // The daemon's environment is not the sender's: whoever names variables fills
    // them in before.
    let experiment = Experiment::parse(text, &Allowed::new())
        .map_err(|invalid| Error::from(experiments::Error::from(invalid)))?;
    Ok(Arc::new(experiment))
}

/// Refuses what cannot work; otherwise what a reader should know.
pub fn linted(experiment: &Experiment) -> Result<Vec<String>, Error> {
    let found = lint(experiment, &Traffic::new());
    if found.errors.is_empty() {
        return Ok(found.notes);
    }
    let hint = "`cloudsail experiment lint` tells the same of a file";
    Err(Error::invalid(found.errors.join("\n"), hint))
}

/// Whether runs can call an experiment so.
pub fn name(name: &str) -> Result<&str, Error> {
    let fits = !name.is_empty() && name.len() <= MOST_NAME && !name.chars().any(char::is_control);
    if fits && !RESERVED.contains(&name) {
        return Ok(name);
    }
    let hint = format!("give 1 to {MOST_NAME} bytes without control characters");
    Err(Error::invalid(format!("{name:?} is no name of an experiment"), hint))
}

pub fn run_id(id: &str) -> Result<RunId, Error> {
    RunId::new(id).map_err(|error| Error::invalid(format!("{id:?} is {error}"), "choose another"))
}

/// A time as RFC 3339 in UTC, in nanoseconds since 1970.
pub fn instant(key: &str, text: &str) -> Result<i64, Error> {
    let since =
        humantime::parse_rfc3339(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let nanos = since.and_then(|since| i64::try_from(since.as_nanos()).ok());
    nanos.ok_or_else(|| {
        let hint = "write UTC like 2026-11-23T10:00:00Z";
        Error::invalid(format!("{key} is {text:?}, which is no time"), hint)
    })
}

/// What opens a run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// A stored experiment's name, or the name for the document that comes along.
    pub experiment: Option<String>,
    /// YAML as text, or the document itself.
    pub document: Option<Value>,
    pub run_id: Option<String>,
    pub at: Option<String>,
    pub inject: Option<String>,
    pub recover: Option<String>,
    pub end: Option<String>,
    pub uncertainty: Option<String>,
    /// `refuse` or `mark`, instead of what the document says.
    pub overlap: Option<String>,
    #[serde(default)]
    pub quick: bool,
    pub fault_type: Option<String>,
    pub injector: Option<String>,
    #[serde(default)]
    pub target: std::collections::BTreeMap<String, String>,
    /// `import` for what was read from a journal.
    pub source: Option<String>,
}

impl Start {
    /// Reads a request's body: what opens a run, or a document and nothing else.
    pub fn read(body: &[u8]) -> Result<(Start, Option<Arc<Experiment>>), Error> {
        let value: Option<Value> = serde_json::from_slice(body).ok();
        let bare = value.as_ref().is_none_or(|value| value.get("apiVersion").is_some());
        if bare {
            return Ok((Start::default(), Some(document(body)?)));
        }
        let start: Start = json(body)?;
        let document = match &start.document {
            Some(Value::String(text)) => Some(document(text.as_bytes())?),
            Some(value) => Some(document(value.to_string().as_bytes())?),
            None => None,
        };
        Ok((start, document))
    }
}

/// What comes with a mark.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marking {
    pub at: Option<String>,
    /// Why it is stopped.
    pub reason: Option<String>,
    /// Who stops it, if it is not somebody by hand.
    pub guard: Option<String>,
}
