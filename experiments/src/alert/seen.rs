//! Senders repeat themselves: Alertmanager by `repeat_interval` and once per
//! replica. A transition is its rule, fingerprint, state and time.

use std::collections::{HashSet, VecDeque};
use std::hash::Hasher as _;

use super::AlertEvent;

/// Transitions that are remembered. What is older, or was told to another node,
/// is stored twice, and counted once by the statement that reads it.
const REMEMBERED: usize = 16_384;

/// The latest transitions, by hash.
#[derive(Debug, Default)]
pub struct Seen {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Seen {
    /// Whether a transition was told before. It is not remembered by that: only
    /// what was stored is.
    pub fn knows(&self, tenant: &str, event: &AlertEvent) -> bool {
        self.known.contains(&key(tenant, event))
    }

    pub fn remember(&mut self, tenant: &str, event: &AlertEvent) {
        let key = key(tenant, event);
        if !self.known.insert(key) {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

fn key(tenant: &str, event: &AlertEvent) -> u64 {
    let mut hasher = twox_hash::XxHash64::with_seed(0);
    for text in [tenant, &event.rule, &event.fingerprint] {
        hasher.write(text.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.write(event.state.name().as_bytes());
    hasher.write_i64(event.at);
    hasher.finish()
}
