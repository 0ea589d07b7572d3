//! The crate's error: what a user is told, and through [`Error::kind`] what to do.

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use schema::ErrorKind;
use storage::store::NotWhole;

use crate::redact;

/// A place in the statement, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

/// Why a statement was refused or failed. The message names no object path and
/// no credential (S23).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    position: Option<Place>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: None, position: None }
    }

    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message)
    }

    pub fn denied(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Denied, message)
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    pub fn at(mut self, position: Option<Place>) -> Error {
        self.position = self.position.or(position);
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, when that can be said.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Where in the statement, when that is known.
    pub fn position(&self) -> Option<Place> {
        self.position
    }

    /// The deadline of the statement has passed.
    pub(crate) fn deadline(limit: std::time::Duration) -> Error {
        let limit = limit.as_secs_f64();
        Error::new(ErrorKind::DeadlineExceeded, format!("the statement took longer than {limit} s"))
            .with_hint("narrow the time range, or raise query.timeout")
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> DataFusionError {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Error {
        let position = position_of(&error);
        classify(&error).at(position)
    }
}

fn position_of(error: &DataFusionError) -> Option<Place> {
    let span = error.diagnostic()?.span?;
    let known = span.start.line > 0;
    known.then_some(Place { line: span.start.line, column: span.start.column })
}

fn classify(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            classify(inner)
        }
        DataFusionError::Shared(inner) => classify(inner),
        DataFusionError::Collection(all) => match all.first() {
            Some(first) => classify(first),
            None => Error::new(ErrorKind::Internal, "the planner failed without a reason"),
        },
        DataFusionError::External(inner) => external(inner.as_ref(), error),
        DataFusionError::SQL(parser, _) => syntax(&parser.to_string()),
        DataFusionError::SchemaError(schema, _) => column(schema),
        DataFusionError::Plan(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::Execution(_) => with_suggestion(&text(error)),
        DataFusionError::NotImplemented(_) => {
            Error::invalid(format!("not supported: {}", text(error)))
        }
        DataFusionError::ResourcesExhausted(_) => exhausted(error),
        DataFusionError::ObjectStore(store) => store_failed(store),
        DataFusionError::ParquetError(parquet) => parquet_failed(parquet),
        DataFusionError::IoError(io) => io_failed(io),
        DataFusionError::ArrowError(arrow, _) => arrow_failed(arrow, error),
        DataFusionError::ExecutionJoin(join) => {
            // A panic's words are about our code and may hold others' values.
            tracing::error!(error = %join, "a part of a statement broke off");
            Error::new(ErrorKind::Internal, "the statement broke off inside the engine")
                .with_hint("the log has the cause")
        }
        _ => internal(error),
    }
}

fn text(error: &DataFusionError) -> String {
    let whole = error.message();
    let message = whole.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
    redact::paths(message.trim()).into_owned()
}

/// The planner writes its suggestion into a second line of the message.
fn with_suggestion(message: &str) -> Error {
    match message.split_once("\nDid you mean ") {
        Some((what, meant)) => Error::invalid(what).with_hint(format!("did you mean {meant}")),
        None => Error::invalid(message),
    }
}

fn internal(error: &DataFusionError) -> Error {
    // The optimizer reads patterns too, and does not say what kind of error it is.
    if let Some(error) = pattern(&text(error)) {
        return error;
    }
    tracing::error!(error = %error, "a statement failed inside the engine");
    Error::new(ErrorKind::Internal, format!("the engine failed: {}", text(error)))
}

/// Whoever compiles a regular expression draws where it went wrong.
fn pattern(text: &str) -> Option<Error> {
    let (_, drawn) = text.split_once("regex parse error:")?;
    let (_, why) = drawn.rsplit_once("error: ")?;
    let why = why.lines().next().unwrap_or_default();
    Some(Error::invalid(format!("a regular expression is not valid: {why}")))
}

/// Our own errors travel through the engine boxed; others hide one of its own.
fn external(inner: &(dyn std::error::Error + 'static), whole: &DataFusionError) -> Error {
    boxed(inner).unwrap_or_else(|| internal(whole))
}

/// What is in a box, if it is of a known kind.
fn boxed(inner: &(dyn std::error::Error + 'static)) -> Option<Error> {
    if let Some(own) = inner.downcast_ref::<Error>() {
        return Some(own.clone());
    }
    if let Some(nested) = inner.downcast_ref::<DataFusionError>() {
        return Some(classify(nested));
    }
    if let Some(arrow) = inner.downcast_ref::<ArrowError>() {
        return Some(arrow_failed(arrow, &DataFusionError::Execution(arrow.to_string())));
    }
    if let Some(parquet) = inner.downcast_ref::<parquet::errors::ParquetError>() {
        return Some(parquet_failed(parquet));
    }
    if let Some(store) = inner.downcast_ref::<object_store::Error>() {
        return Some(store_failed(store));
    }
    if let Some(io) = inner.downcast_ref::<std::io::Error>() {
        return Some(io_failed(io));
    }
    None
}

fn syntax(message: &str) -> Error {
    let plain = message
        .trim_start_matches("sql parser error: ")
        .trim_start_matches("SQL error: ")
        .to_owned();
    let (plain, position) = match plain.rfind(" at Line: ") {
        Some(at) => (plain[..at].to_owned(), line_and_column(&plain[at..])),
        None => (plain, None),
    };
    Error::invalid(format!("syntax: {}", redact::paths(&plain))).at(position)
}

/// Reads ` at Line: 1, Column: 8`, the parser's own way to say where.
fn line_and_column(text: &str) -> Option<Place> {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map_while(|part| part.parse().ok());
    Some(Place { line: numbers.next()?, column: numbers.next()? })
}

fn column(error: &SchemaError) -> Error {
    let SchemaError::FieldNotFound { field, valid_fields } = error else {
        return Error::invalid(error.to_string());
    };
    let missing = Error::invalid(format!("there is no column {}", field.quoted_flat_name()));
    let names = || valid_fields.iter().map(|valid| valid.name.as_str());
    // `http.route` without quotes reads as a column of a table `http`.
    let owner = field.relation.as_ref();
    let is_key = owner.is_some_and(|owner| {
        !valid_fields.iter().any(|valid| valid.relation.as_ref() == Some(owner))
    });
    if is_key && !valid_fields.is_empty() {
        let key = field.flat_name();
        return match names().find(|name| *name == key) {
            Some(name) => missing.with_hint(format!("did you mean {}?", quoted(name))),
            None => missing.with_hint(format!(
                "a key that is no column is attributes['{}']",
                key.replace('\'', "''")
            )),
        };
    }
    match crate::sandbox::nearest(&field.name, names()) {
        Some(near) => missing.with_hint(format!("did you mean {}?", quoted(near))),
        None if valid_fields.is_empty() => missing,
        None => missing.with_hint(
            "DESCRIBE <table> lists the columns; a key that is no column is attributes['key']",
        ),
    }
}

/// A name as it has to be written in SQL.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn exhausted(error: &DataFusionError) -> Error {
    let disk = text(error).to_lowercase().contains("disk");
    let (what, last) = if disk {
        ("the statement needs more spill space than it may use", "sort and join less at once")
    } else {
        ("the statement needs more memory than its share", "raise query.memory")
    };
    // Which operator, and how much: enough to see what to change.
    Error::new(ErrorKind::TooLarge, format!("{what}: {}", text(error))).with_hint(format!(
        "narrow the time range, select fewer columns, aggregate earlier, or {last}"
    ))
}

fn store_failed(error: &object_store::Error) -> Error {
    tracing::warn!(error = %error, "the object store failed a statement");
    match error {
        object_store::Error::NotFound { .. } => Error::new(
            ErrorKind::Unavailable,
            "a file of the table is gone: it was replaced or retired while the statement ran",
        )
        .with_hint("run the statement again"),
        object_store::Error::Generic { source, .. } if source.is::<NotWhole>() => {
            Error::new(ErrorKind::Unavailable, "the object store broke off in an answer")
                .with_hint("run the statement again")
        }
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => {
            Error::new(ErrorKind::Unavailable, "the object store refused this node's credentials")
                .with_hint("the node's operator has to renew them")
        }
        _ => Error::new(ErrorKind::Unavailable, "the object store did not answer")
            .with_hint("try again later"),
    }
}

fn parquet_failed(error: &parquet::errors::ParquetError) -> Error {
    // A filter that is evaluated while a file is read fails in here as well. An
    // I/O error is a decompressor's way to say that it cannot; a store has its own.
    if let parquet::errors::ParquetError::External(inner) = error
        && !inner.is::<std::io::Error>()
        && let Some(known) = boxed(inner.as_ref())
    {
        return known;
    }
    unreadable(error)
}

fn unreadable(error: &dyn std::fmt::Display) -> Error {
    tracing::error!(%error, "a file of a table cannot be read");
    Error::new(ErrorKind::Corrupt, "a file of the table cannot be read as parquet")
        .with_hint("`cloudsail verify` names it; the log has the cause")
}

fn io_failed(error: &std::io::Error) -> Error {
    if let Some(inner) = error.get_ref()
        && let Some(nested) = inner.downcast_ref::<DataFusionError>()
    {
        return classify(nested);
    }
    // DataFusion's words for its bound on spilled files.
    if error.to_string().contains("exceeded the allowable limit") {
        return Error::new(ErrorKind::TooLarge, "the statement needs more spill space than it may use")
            .with_hint(
                "narrow the time range, sort and join less at once, or have the node's operator free disk space or raise query.spill_max_bytes",
            );
    }
    tracing::error!(error = %error, "the disk failed a statement");
    Error::new(ErrorKind::Unavailable, "this node's disk failed while the statement ran")
        .with_hint("the log has the cause; check space and permissions of the spill directory")
}

fn arrow_failed(error: &ArrowError, whole: &DataFusionError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => external(inner.as_ref(), whole),
        ArrowError::IoError(_, io) => io_failed(io),
        ArrowError::MemoryError(_) | ArrowError::OffsetOverflowError(_) => exhausted(whole),
        ArrowError::CastError(message) => Error::invalid(redact::paths(message).into_owned())
            .with_hint("try_cast(x AS type) gives NULL for what does not fit"),
        ArrowError::DivideByZero => {
            Error::invalid("division by zero").with_hint("nullif(x, 0) makes it NULL")
        }
        // Pages that do not decode; what filters say of their own starts otherwise.
        ArrowError::ParquetError(why) if !why.starts_with("Arrow: ") => unreadable(why),
        ArrowError::ParquetError(_) | ArrowError::IpcError(_) => internal(whole),
        other => {
            let text = other.to_string();
            pattern(&text).unwrap_or_else(|| Error::invalid(redact::paths(&text).into_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an error from the object store and one from the planner carry
    /// the path of a file.
    /// Guarantees: S23, what the user reads does not.
    #[test]
    fn sec_s23_errors_name_no_paths() {
        let path = "default/spans/date=2026-11-23/a-1-2-3.parquet";
        let gone = object_store::Error::NotFound { path: path.into(), source: "secret".into() };
        let error = Error::from(DataFusionError::ObjectStore(Box::new(gone)));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.to_string().contains("date="), "{error}");
        let error = Error::from(DataFusionError::Execution(format!("cannot read s3://b/{path}")));
        assert!(!error.to_string().contains("parquet"), "{error}");
        assert!(!error.to_string().contains("s3:"), "{error}");
    }

    /// Scenario: the parser says where it stopped.
    /// Guarantees: the place becomes the error's position and leaves the message.
    #[test]
    fn a_syntax_error_has_its_place() {
        let error =
            syntax("sql parser error: Expected: an expression, found: FROM at Line: 2, Column: 8");
        assert_eq!(error.position(), Some(Place { line: 2, column: 8 }));
        assert_eq!(error.to_string(), "syntax: Expected: an expression, found: FROM");
    }
}
