//! How many connections, in all and from one address (F36).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Debug)]
pub(super) struct Quota {
    most: usize,
    most_per_peer: usize,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
    gauge: Gauge,
}

/// One connection's place; left on drop.
#[derive(Debug)]
pub(super) struct Place {
    quota: Arc<Quota>,
    peer: IpAddr,
}

impl Quota {
    pub(super) fn new(most: usize, most_per_peer: usize, gauge: Gauge) -> Arc<Quota> {
        Arc::new(Quota { most, most_per_peer, open: Mutex::default(), gauge })
    }

    pub(super) fn enter(self: Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut open = self.open.lock();
        let (all, peers) = &mut *open;
        let from_peer = peers.get(&peer).copied().unwrap_or(0);
        if *all >= self.most || from_peer >= self.most_per_peer {
            return None;
        }
        *all += 1;
        peers.insert(peer, from_peer + 1);
        drop(open);
        self.gauge.inc();
        Some(Place { quota: self, peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.quota.open.lock();
        let (all, peers) = &mut *open;
        *all -= 1;
        if let Some(from_peer) = peers.get_mut(&self.peer) {
            *from_peer -= 1;
            if *from_peer == 0 {
                peers.remove(&self.peer);
            }
        }
        drop(open);
        self.quota.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two addresses open connections up to both bounds and leave.
    /// Guarantees: F36, no address takes more than its share, and places return.
    #[test]
    fn fault_f36_connections_are_bounded_in_all_and_per_address() {
        let quota = Quota::new(3, 2, Gauge::default());
        let enter = |last| quota.clone().enter(IpAddr::from([127, 0, 0, last]));
        let first = enter(1).unwrap();
        let second = enter(1).unwrap();
        assert!(enter(1).is_none());
        let third = enter(2).unwrap();
        assert!(enter(2).is_none());
        assert_eq!(quota.gauge.get(), 3);
        drop((first, second, third));
        assert_eq!(quota.gauge.get(), 0);
        assert!(quota.open.lock().1.is_empty());
        assert!(enter(2).is_some());
    }
}
