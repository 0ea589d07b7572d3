//! What a caller is told: what is wrong, what to do, and what kind it is of.

use axum::http::StatusCode;
use axum::response::Response;
use experiments::run::Refused;
use schema::{ErrorKind, Refusal};

use crate::{admin, door};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    /// It is against what a run or a name stands for already: 409.
    pub conflict: bool,
    pub message: String,
    pub hint: String,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error { kind, conflict: false, message: message.into(), hint: hint.into() }
    }

    pub fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message, hint)
    }

    pub fn conflict(message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error { conflict: true, ..Error::invalid(message, hint) }
    }

    pub fn unknown_run(id: &str) -> Error {
        let message = format!("there is no run {id}");
        Error::new(ErrorKind::NotFound, message, "GET /api/v1/experiments/runs lists them")
    }

    /// Another node keeps it.
    pub fn elsewhere(id: &str, node: &str) -> Error {
        let hint = format!(
            "ask that node; if it is gone for good, POST /api/v1/experiments/runs/{id}/take has this one keep it"
        );
        Error::conflict(format!("run {id} is kept by node {node}"), hint)
    }

    /// The store is away, and the local log does not have it.
    pub fn unchecked(id: &str) -> Error {
        let message = format!(
            "the object store does not answer, and whether there is a run {id} cannot be told without it"
        );
        let hint = "try again when the store is back; a new run needs none if it is opened without a run id";
        Error::new(ErrorKind::Unavailable, message, hint)
    }

    pub fn stopping() -> Error {
        let message = "the daemon is stopping";
        Error::new(ErrorKind::Unavailable, message, "try again when /readyz answers 200")
    }

    pub fn response(&self) -> Response {
        let status = match self.conflict {
            true => StatusCode::CONFLICT,
            false => admin::status_of(self.kind),
        };
        door::error(status, self.kind, &self.message, &self.hint)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        Error::conflict(refused.message, refused.remedy)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let hint = match refusal.kind {
            ErrorKind::DeadlineExceeded => {
                "it may have been written: ask again, which repeats nothing"
            }
            _ => "nothing was changed; try again when the cause is gone",
        };
        Error::new(refusal.kind, format!("it could not be written: {}", refusal.message), hint)
    }
}

impl From<experiments::Error> for Error {
    fn from(error: experiments::Error) -> Error {
        let hint = match error.kind() {
            ErrorKind::Invalid => "`cloudsail experiment lint` tells the same of a file",
            _ => "try again; the log says more",
        };
        Error::new(error.kind(), error.to_string(), hint)
    }
}
