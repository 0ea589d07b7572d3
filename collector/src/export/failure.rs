//! What a sender is told when its request is not stored, and for how long it
//! should stay away.

use schema::{ErrorKind, Refusal};

use super::Exporter;
use crate::admission::Shortage;
use crate::{compression, decode, intake};

/// A request that was not stored.
#[derive(Debug)]
pub(crate) struct Failure {
    pub refusal: Refusal,
    /// For the metric; one of a fixed few.
    pub reason: &'static str,
}

impl Exporter {
    pub(super) fn undecodable(&self, error: &decode::Error) -> Failure {
        if error.kind() == ErrorKind::Internal {
            tracing::error!(error = error as &dyn std::error::Error, "a request was not decoded");
        }
        let reason = match error.kind() {
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Internal => "internal",
            _ => "undecodable",
        };
        self.fail(reason, error.kind(), error.to_string())
    }

    pub(super) fn not_inflated(&self, fault: compression::Fault<Shortage>) -> Failure {
        match fault {
            compression::Fault::Corrupt(error) => {
                let message = format!("the body is not what its encoding says: {error}");
                self.fail("corrupt", ErrorKind::Invalid, message)
            }
            compression::Fault::TooLarge => self.too_large(),
            compression::Fault::Unpaid(shortage) => self.short(shortage),
        }
    }

    /// What the sink refused. A fault of ours past decoding is never the
    /// sender's loss (G16, G21): it comes back.
    pub(super) fn not_stored(&self, refusal: Refusal) -> Failure {
        let kind = match refusal.kind {
            kind @ (ErrorKind::Invalid
            | ErrorKind::TooLarge
            | ErrorKind::Throttled
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Unauthenticated
            | ErrorKind::Denied) => kind,
            ErrorKind::Unavailable => ErrorKind::Unavailable,
            ErrorKind::Cancelled
            | ErrorKind::NotFound
            | ErrorKind::Corrupt
            | ErrorKind::Internal => {
                tracing::error!(kind = %refusal.kind, error = %refusal, "a batch was not stored");
                ErrorKind::Unavailable
            }
        };
        let reason = kind.as_str();
        let mut failure = self.fail(reason, kind, refusal.message);
        if failure.refusal.retry_after.is_some() {
            failure.refusal.retry_after = Some(self.admission.retry_after(refusal.retry_after));
        }
        failure
    }

    /// Why a body could not be taken in, but for its slowness, which each
    /// protocol names in its own way.
    pub(crate) fn not_taken(&self, fault: intake::Fault) -> Failure {
        match fault {
            intake::Fault::TooLarge => self.too_large(),
            intake::Fault::Unpaid(shortage) => self.short(shortage),
            intake::Fault::Broken(error) => {
                let message = format!("the body ended before its end: {error}");
                self.fail("broken_body", ErrorKind::Invalid, message)
            }
            intake::Fault::Slow => {
                let message = "the body took too long to arrive: send less at once, or faster";
                self.fail("slow_body", ErrorKind::DeadlineExceeded, message)
            }
        }
    }

    pub(crate) fn too_large(&self) -> Failure {
        let limit = self.limit();
        let key = match limit < self.max_request_bytes {
            true => "limits.memory",
            false => "limits.max_request_bytes",
        };
        let message = format!(
            "the body exceeds {limit} bytes, sent or decompressed: send smaller batches or raise {key}"
        );
        self.fail("too_large", ErrorKind::TooLarge, message)
    }

    pub(super) fn short(&self, shortage: Shortage) -> Failure {
        match shortage {
            Shortage::Now => {
                self.metrics.short();
                self.unavailable("memory", "the ingest memory is in use")
            }
            Shortage::Ever => self.too_large(),
        }
    }

    pub(super) fn unexpected(&self, panic: &tokio::task::JoinError) -> Failure {
        tracing::error!(error = %panic, "a request ended unexpectedly");
        self.unavailable("panic", "an unexpected error")
    }

    pub(super) fn cancelled(&self) -> Failure {
        self.fail("cancelled", ErrorKind::Cancelled, "the sender left")
    }

    pub(super) fn closing(&self) -> Failure {
        self.unavailable("draining", "shutting down")
    }

    pub(super) fn unavailable(&self, reason: &'static str, cause: &str) -> Failure {
        self.fail(reason, ErrorKind::Unavailable, format!("{cause}: retry shortly"))
    }

    /// A failure whose sender is told when to come back, if that can help.
    pub(crate) fn fail(
        &self,
        reason: &'static str,
        kind: ErrorKind,
        message: impl Into<String>,
    ) -> Failure {
        let mut refusal = Refusal::new(kind, message);
        let repeatable = [
            ErrorKind::Unavailable,
            ErrorKind::Throttled,
            ErrorKind::DeadlineExceeded,
            ErrorKind::Cancelled,
        ];
        if repeatable.contains(&kind) {
            refusal.retry_after = Some(self.admission.retry_after(None));
        }
        Failure { refusal, reason }
    }
}
