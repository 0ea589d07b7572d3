//! Payloads that made the decoder panic (G21, F37): the same bytes are refused
//! at once next time. Kept in memory, because a sender's retries are what must
//! be stopped, and after a restart one more panic is isolated like the first.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use schema::Signal;
use twox_hash::XxHash64;

use crate::decode::Encoding;

/// Fingerprints kept; the oldest leaves first.
const CAPACITY: usize = 1024;

/// Two 64-bit hashes of the plain body: what is refused by mistake must be rarer
/// than a broken disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u64, u64);

impl Fingerprint {
    pub(crate) fn of(signal: Signal, encoding: &Encoding, body: &[u8]) -> Fingerprint {
        let form = match encoding {
            Encoding::Protobuf => 0,
            Encoding::Json => 1,
        };
        let seed = (signal as u64) << 8 | form;
        Fingerprint(XxHash64::oneshot(seed, body), XxHash64::oneshot(!seed, body))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    held: Mutex<(HashSet<Fingerprint>, VecDeque<Fingerprint>)>,
    len: AtomicUsize,
}

impl Quarantine {
    /// Whether nothing needs a fingerprint; the usual case costs one load.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.held.lock().0.contains(&fingerprint)
    }

    pub(crate) fn insert(&self, fingerprint: Fingerprint) {
        let mut held = self.held.lock();
        if held.0.insert(fingerprint) {
            held.1.push_back(fingerprint);
            if held.1.len() > CAPACITY
                && let Some(oldest) = held.1.pop_front()
            {
                held.0.remove(&oldest);
            }
        }
        self.len.store(held.1.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: more payloads are quarantined than fit.
    /// Guarantees: F37, the set is bounded, keeps the newest, and tells bodies,
    /// signals and encodings apart.
    #[test]
    fn fault_f37_the_quarantine_is_bounded_and_exact() {
        let quarantine = Quarantine::default();
        assert!(quarantine.is_empty());
        let of = |n: usize| Fingerprint::of(Signal::Logs, &Encoding::Json, &n.to_le_bytes());
        for n in 0..CAPACITY + 10 {
            quarantine.insert(of(n));
            quarantine.insert(of(n));
        }
        assert!(!quarantine.is_empty());
        assert!(!quarantine.contains(of(9)));
        assert!((10..CAPACITY + 10).all(|n| quarantine.contains(of(n))));
        let body = 20_usize.to_le_bytes();
        assert!(!quarantine.contains(Fingerprint::of(Signal::Traces, &Encoding::Json, &body)));
        assert!(!quarantine.contains(Fingerprint::of(Signal::Logs, &Encoding::Protobuf, &body)));
    }
}
