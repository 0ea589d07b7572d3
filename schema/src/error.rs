//! What went wrong, told as what the caller should do about it.

use std::fmt;
use std::time::Duration;

/// What the caller should do. Protocol codes exist only in the doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Change the request; the same one fails again.
    Invalid,
    /// Send less at once; the same request fails again.
    TooLarge,
    /// Ask for less per second, then repeat.
    Throttled,
    /// Repeat later; nothing is wrong with the request.
    Unavailable,
    /// It took too long; the outcome may be either.
    DeadlineExceeded,
    /// The caller itself went away.
    Cancelled,
    /// Say who you are.
    Unauthenticated,
    /// You may not do this.
    Denied,
    /// There is no such thing.
    NotFound,
    /// Stored bytes are not what was written; a human must look.
    Corrupt,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    /// The name used in the HTTP API's error body and in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "invalid",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::DeadlineExceeded => "deadline_exceeded",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Denied => "denied",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a [`Sink`](crate::Sink) did not take a batch. Nothing of it is stored,
/// except under [`ErrorKind::DeadlineExceeded`], where the outcome is unknown.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: ErrorKind,
    pub message: String,
    /// When to try again, if that can help.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub fn unavailable(message: impl Into<String>) -> Refusal {
        Refusal {
            kind: ErrorKind::Unavailable,
            message: message.into(),
            retry_after: Some(Duration::from_secs(1)),
        }
    }

    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Refusal {
        Refusal { kind, message: message.into(), retry_after: None }
    }
}
