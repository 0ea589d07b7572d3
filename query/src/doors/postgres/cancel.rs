//! Who may cancel what: each session has a number and a secret, and a second
//! connection that knows both ends what the session is doing.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Cancels(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    last: i32,
    live: HashMap<i32, (u32, Arc<Notify>)>,
}

/// A session's entry; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Key {
    pub pid: i32,
    pub secret: u32,
    /// Wakes whoever waits at the moment of a cancel, and nobody later: an idle
    /// session's next statement is not the one that was meant.
    pub asked: Arc<Notify>,
    of: Arc<Cancels>,
}

impl Cancels {
    pub fn enter(self: &Arc<Self>) -> Key {
        // The lower half of a version 4 UUID is chance but for its first two bits.
        let secret = uuid::Uuid::new_v4().as_u128() as u32;
        let asked = Arc::new(Notify::new());
        let mut sessions = self.0.lock();
        let mut pid = sessions.last;
        loop {
            pid = pid.checked_add(1).unwrap_or(1);
            if !sessions.live.contains_key(&pid) {
                break;
            }
        }
        sessions.last = pid;
        sessions.live.insert(pid, (secret, asked.clone()));
        Key { pid, secret, asked, of: self.clone() }
    }

    /// Nothing is said about whether it was right.
    pub fn cancel(&self, pid: i32, secret: u32) {
        let sessions = self.0.lock();
        if let Some((expected, asked)) = sessions.live.get(&pid)
            && *expected == secret
        {
            asked.notify_waiters();
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.of.0.lock().live.remove(&self.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a wrong secret, the right one while nobody waits, and the
    /// right one in time.
    /// Guarantees: S7, only the last one is heard; nothing is left when sessions go.
    #[tokio::test]
    async fn sec_s7_a_cancel_needs_its_secret_and_its_moment() {
        let cancels = Arc::new(Cancels::default());
        let (key, other) = (cancels.enter(), cancels.enter());
        assert_ne!((key.pid, key.secret), (other.pid, other.secret));
        cancels.cancel(key.pid, key.secret);
        let asked = key.asked.clone();
        let mut heard = std::pin::pin!(asked.notified());
        cancels.cancel(key.pid, key.secret ^ 1);
        cancels.cancel(other.pid, other.secret);
        assert!(futures::poll!(&mut heard).is_pending());
        cancels.cancel(key.pid, key.secret);
        heard.await;
        drop((key, other));
        assert!(cancels.0.lock().live.is_empty());
    }
}
