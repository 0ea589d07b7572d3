//! The crate's error: what failed, and through [`Error::kind`] what to do.

use schema::{ErrorKind, Refusal};

use crate::store::{Outcome, outcome, told};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The local disk failed; the path and what was tried are in `context`.
    #[error("{context}")]
    Disk {
        context: String,
        #[source]
        source: std::io::Error,
    },
    /// The object store failed or answered something unexpected.
    #[error("object store: {context}{}", outcome(source).remedy())]
    Store {
        context: String,
        #[source]
        source: object_store::Error,
    },
    /// The table's log could not be read or written.
    #[error("table {table}: {message}")]
    Table { table: String, message: String, kind: ErrorKind },
    /// Stored bytes are not what was written.
    #[error("{0}")]
    Corrupt(String),
    /// A setting, path or URL that cannot work.
    #[error("{0}")]
    Settings(String),
    /// Another process works in this folder.
    #[error("{0}")]
    InUse(String),
    /// A bound is reached or the node is stopping; try again later.
    #[error("{0}")]
    Busy(String),
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("{0}")]
    Internal(String),
}

impl Error {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Disk { .. } | Error::Busy(_) => ErrorKind::Unavailable,
            Error::Store { source, .. } => outcome(source).kind(),
            Error::Table { kind, .. } => *kind,
            Error::Corrupt(_) => ErrorKind::Corrupt,
            Error::Settings(_) | Error::InUse(_) => ErrorKind::Invalid,
            Error::Arrow(_) | Error::Parquet(_) | Error::Internal(_) => ErrorKind::Internal,
        }
    }

    /// What failed and why, for logs, reports and answers; of what a store wrote
    /// into its error only code and message (S29).
    pub fn told(&self) -> String {
        told(self)
    }

    /// For `map_err` on file operations.
    pub(crate) fn disk(context: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let context = context.into();
        move |source| Error::Disk { context, source }
    }

    pub(crate) fn store(context: impl Into<String>) -> impl FnOnce(object_store::Error) -> Error {
        let context = context.into();
        move |source| Error::Store { context, source }
    }
}

/// Whether a human must act before this can go well: trying again at once only
/// adds to it.
pub fn refused(error: &Error) -> bool {
    match error {
        Error::Store { source, .. } => matches!(outcome(source), Outcome::Refused(_)),
        other => {
            let kind = other.kind();
            matches!(kind, ErrorKind::Denied | ErrorKind::Unauthenticated | ErrorKind::Internal)
        }
    }
}

/// A failed append tells the sender to come back: what failed is this node.
impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::unavailable(error.told())
    }
}
