//! Signals, and the order in which a daemon ends. Each stage has a deadline;
//! together they stay below the 30 seconds that a container is given.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ingest answers what it holds.
pub const INGEST: Duration = Duration::from_secs(10);
/// Storage seals, stages, and commits if time allows.
pub const STORAGE: Duration = Duration::from_secs(12);
/// Running queries finish.
pub const QUERIES: Duration = Duration::from_secs(5);

/// SIGTERM and SIGINT, from the moment this exists.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal, by name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// Runs one stage; past its deadline it is given up and named in the log.
pub async fn stage<T>(name: &str, deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
    match tokio::time::timeout(deadline, work).await {
        Ok(done) => Some(done),
        Err(_) => {
            tracing::warn!(
                stage = name,
                seconds = deadline.as_secs(),
                "late at shutdown, given up"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one stage ends in time and one does not.
    /// Guarantees: F43, no stage holds up the next beyond its deadline, and all fit in 30 s.
    #[tokio::test]
    async fn fault_f43_a_late_stage_is_given_up() {
        let soon = Duration::from_millis(20);
        assert_eq!(stage("quick", soon, async { 1 }).await, Some(1));
        assert_eq!(stage("stuck", soon, std::future::pending::<()>()).await, None);
        assert!(INGEST + STORAGE + QUERIES < Duration::from_secs(30));
    }
}
