//! Log lines about clients: one a minute for each reason, however many clients
//! there are, with the number of those left out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Hints(Mutex<HashMap<&'static str, (Instant, u64)>>);

impl Hints {
    /// `Some(left out since the last)` when it is this reason's turn to be said.
    pub(super) fn turn(&self, reason: &'static str) -> Option<u64> {
        self.turn_at(reason, Instant::now())
    }

    fn turn_at(&self, reason: &'static str, now: Instant) -> Option<u64> {
        let mut said = self.0.lock();
        match said.get_mut(reason) {
            Some((last, unsaid)) if now.duration_since(*last) < PAUSE => {
                *unsaid += 1;
                None
            }
            _ => Some(said.insert(reason, (now, 0)).map_or(0, |(_, unsaid)| unsaid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: many misguided clients within a minute, one after it.
    /// Guarantees: G13, one line a minute, which tells how many it stands for.
    #[test]
    fn otlp_g13_hints_are_rate_limited_and_counted() {
        let hints = Hints::default();
        let start = Instant::now();
        assert_eq!(hints.turn_at("tls", start), Some(0));
        assert_eq!(hints.turn_at("http1", start), Some(0));
        for _ in 0..100 {
            assert_eq!(hints.turn_at("tls", start + PAUSE / 2), None);
        }
        assert_eq!(hints.turn_at("tls", start + PAUSE), Some(100));
    }
}
