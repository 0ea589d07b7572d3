//! The crate's error, and through [`Error::kind`] what to do about it.

use schema::ErrorKind;

use crate::document::Invalid;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The document cannot be used.
    #[error(transparent)]
    Document(#[from] Invalid),
    /// What was asked for cannot be done as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The engine refused a statement or could not be reached.
    #[error("{message}")]
    Engine { kind: ErrorKind, message: String },
    #[error("{0}")]
    Internal(String),
}

impl Error {
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::Invalid(message.into())
    }

    pub fn internal(message: impl Into<String>) -> Error {
        Error::Internal(message.into())
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Document(_) | Error::Invalid(_) => ErrorKind::Invalid,
            Error::Engine { kind, .. } => *kind,
            Error::Internal(_) => ErrorKind::Internal,
        }
    }
}
