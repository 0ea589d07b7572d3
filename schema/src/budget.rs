//! The bytes that may be in memory on the way in (B1).
//!
//! One [`Budget`] covers a row from the arrival of its bytes to the moment its
//! staged file is durable and no query pins it any more. Whoever holds rows holds the
//! [`Reservation`] that pays for them; dropping it gives the bytes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A fixed number of bytes, shared by cloning.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    limit: u64,
    used: AtomicU64,
    /// Of these, put [aside](Reservation::put_aside).
    aside: AtomicU64,
}

impl Budget {
    pub fn new(limit: u64) -> Budget {
        Budget(Arc::new(Counter { limit, used: AtomicU64::new(0), aside: AtomicU64::new(0) }))
    }

    /// Bytes in all.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Bytes reserved now. Above [`limit`](Self::limit) only while a
    /// reservation has [settled](Reservation::settle) at more than was guessed.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Whether so much is in work that whoever brings more waits, and whoever has
    /// other work leaves the processors to what frees memory. Rows on their way never
    /// need more than an eighth; the rest is for large requests, for readers, and for
    /// what cannot be put off.
    pub fn is_pressed(&self) -> bool {
        let aside = self.0.aside.load(Ordering::Relaxed);
        self.used().saturating_sub(aside) > self.limit() / 8
    }

    /// Takes `bytes`, or nothing when they do not fit.
    pub fn try_reserve(&self, bytes: u64) -> Option<Reservation> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.0.limit);
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Reservation { budget: self.clone(), bytes, aside: AtomicBool::new(false) })
    }

    /// Takes `bytes` whatever the limit says. Only for rows that are already
    /// durable and must be held (recovery), never for new ones.
    pub fn reserve_regardless(&self, bytes: u64) -> Reservation {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        Reservation { budget: self.clone(), bytes, aside: AtomicBool::new(false) }
    }
}

/// Bytes taken from a [`Budget`]; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: u64,
    aside: AtomicBool,
}

impl Reservation {
    /// No work of this node frees these bytes: a sender has yet to send the rest, or
    /// readers hold them. They count against the limit, and nobody waits for them.
    pub fn put_aside(&self) {
        if !self.aside.swap(true, Ordering::Relaxed) {
            self.budget.0.aside.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }

    /// They are in work (again).
    pub fn take_up(&self) {
        if self.aside.swap(false, Ordering::Relaxed) {
            self.budget.0.aside.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes `more` bytes on top, or leaves everything as it was.
    pub fn try_grow(&mut self, more: u64) -> bool {
        match self.budget.try_reserve(more) {
            Some(extra) => {
                self.absorb(extra);
                true
            }
            None => false,
        }
    }

    /// Moves to what the rows really take, now that they are decoded, and takes them
    /// up. Growing here never fails: the guess was admitted and the rows exist.
    pub fn settle(&mut self, bytes: u64) {
        self.take_up();
        if bytes >= self.bytes {
            self.budget.0.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.0.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Joins another reservation of the same budget to this one.
    pub fn absorb(&mut self, mut other: Reservation) {
        debug_assert!(Arc::ptr_eq(&self.budget.0, &other.budget.0));
        match *self.aside.get_mut() {
            true => other.put_aside(),
            false => other.take_up(),
        }
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.take_up();
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: reservations are taken, grown, settled, joined and dropped.
    /// Guarantees: B1, the budget's count is the sum of what is held.
    #[test]
    fn inv_b1_reservations_add_up() {
        let budget = Budget::new(100);
        let mut a = budget.try_reserve(60).unwrap();
        assert!(budget.try_reserve(41).is_none());
        assert!(budget.try_reserve(u64::MAX).is_none());
        let b = budget.try_reserve(40).unwrap();
        assert!(!a.try_grow(1));
        a.settle(10);
        a.absorb(b);
        assert_eq!((a.bytes(), budget.used()), (50, 50));
        a.settle(120);
        assert_eq!(budget.used(), 120);
        drop(a);
        assert_eq!(budget.used(), 0);
    }

    /// Scenario: a request arrives and grows, more than an eighth of the budget; its
    /// rows are in work; a reader holds them when they are done with, and lets go.
    /// Guarantees: B1, they count against the limit all the while, and press only as
    /// long as they are in work.
    #[test]
    fn inv_b1_what_this_node_cannot_free_presses_nobody() {
        let budget = Budget::new(100);
        let mut rows = budget.try_reserve(10).unwrap();
        rows.put_aside();
        assert!(rows.try_grow(50));
        assert!(!budget.is_pressed());
        rows.settle(60);
        assert!(budget.is_pressed());
        rows.put_aside();
        rows.put_aside();
        assert!(!budget.is_pressed());
        assert!(budget.try_reserve(41).is_none());
        let mut more = budget.try_reserve(26).unwrap();
        assert!(budget.is_pressed());
        more.absorb(rows);
        assert_eq!((more.bytes(), budget.used()), (86, 86));
        more.put_aside();
        assert!(!budget.is_pressed());
        drop(more);
        let _again = budget.try_reserve(13).unwrap();
        assert!(budget.used() == 13 && budget.is_pressed());
    }
}
