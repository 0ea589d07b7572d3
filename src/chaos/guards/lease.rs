//! Dead-man leases: an injector that cannot renew its own must roll back, and a
//! run whose injector does not renew any more is stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::board::Key;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub holder: String,
    pub ttl: Duration,
    /// By no clock that can be set: one put back must not keep a dead injector's.
    pub expires: Instant,
}

/// The leases of live runs.
#[derive(Debug, Default)]
pub struct Leases(Mutex<BTreeMap<Key, Lease>>);

impl Leases {
    /// True when it is a new one, which must be written down before it counts.
    pub fn renew(&self, key: &Key, holder: &str, ttl: Duration, now: Instant) -> bool {
        let lease = Lease { holder: holder.into(), ttl, expires: now + ttl };
        let before = self.0.lock().insert(key.clone(), lease);
        before.is_none_or(|before| before.holder != holder || before.ttl != ttl)
    }

    /// One of the last process, unless it was renewed since.
    pub fn restore(&self, key: &Key, holder: &str, ttl: Duration, now: Instant) {
        let expires = now + ttl;
        let lease = || Lease { holder: holder.into(), ttl, expires };
        self.0.lock().entry(key.clone()).or_insert_with(lease);
    }

    /// Given back, or not needed any more.
    pub fn release(&self, key: &Key) -> Option<Lease> {
        self.0.lock().remove(key)
    }

    /// Those that were not renewed in time. Each is told once.
    pub fn lapsed(&self, now: Instant) -> Vec<(Key, Lease)> {
        let mut leases = self.0.lock();
        let lapsed = leases.iter().filter(|(_, lease)| lease.expires < now);
        let lapsed: Vec<(Key, Lease)> =
            lapsed.map(|(key, lease)| (key.clone(), lease.clone())).collect();
        lapsed.iter().for_each(|(key, _)| drop(leases.remove(key)));
        lapsed
    }
}

#[cfg(test)]
mod tests {
    use experiments::RunId;
    use schema::Tenant;

    use super::*;

    /// Scenario: a lease is taken, renewed, taken by another, and left alone.
    /// Guarantees: only what is new is to be written; it lapses once, after its time.
    #[test]
    fn a_lease_lapses_once() {
        let leases = Leases::default();
        let key = (Tenant::default(), RunId::new("r").unwrap());
        let (start, ttl) = (Instant::now(), Duration::from_secs(10));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(leases.renew(&key, "a", ttl, at(0)));
        assert!(!leases.renew(&key, "a", ttl, at(5)));
        assert!(leases.lapsed(at(15)).is_empty());
        assert!(leases.renew(&key, "b", ttl, at(15)));
        assert_eq!(leases.lapsed(at(26)).len(), 1);
        assert!(leases.lapsed(at(100)).is_empty());
        leases.renew(&key, "a", ttl, at(100));
        assert!(leases.release(&key).is_some() && leases.lapsed(at(200)).is_empty());
    }
}
