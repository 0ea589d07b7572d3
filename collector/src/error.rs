//! Why a collector cannot start or go on. What a single request is answered is
//! a [`Refusal`](schema::Refusal), never this.

use schema::{Door, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{key} cannot be used: {problem}")]
    Settings { key: &'static str, problem: String },
    #[error("the listener takes no connections any more, restart the daemon: {door}")]
    Accept {
        door: Door,
        #[source]
        source: std::io::Error,
    },
    #[error("the threads that decode do not start; raise the limit of threads or processes")]
    Threads(#[source] std::io::Error),
}

impl Error {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Settings { .. } => ErrorKind::Invalid,
            Error::Accept { .. } | Error::Threads(_) => ErrorKind::Internal,
        }
    }
}
