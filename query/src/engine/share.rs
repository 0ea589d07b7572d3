//! One statement's share of the memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, resources_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use parking_lot::Mutex;

/// Operators that can spill divide what is left evenly and spill past their
/// part; what cannot spill fails past the whole. As DataFusion's fair pool,
/// but a quarter is out of the spillers' reach: a sort that merges what it
/// spilled needs memory that it cannot spill, and among several sorters in a
/// full pool it would find none and fail.
#[derive(Debug, Clone)]
pub(crate) struct Share(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    bytes: usize,
    held: Mutex<Held>,
    peak: AtomicUsize,
}

#[derive(Debug, Default)]
struct Held {
    spillers: usize,
    spillable: usize,
    unspillable: usize,
}

impl Share {
    pub fn new(bytes: usize) -> Share {
        Share(Arc::new(Pool { bytes, held: Mutex::default(), peak: AtomicUsize::new(0) }))
    }

    pub fn pool(&self) -> Arc<dyn MemoryPool> {
        self.0.clone()
    }

    /// Bytes held at most so far.
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }
}

impl Pool {
    fn take(&self, held: &mut Held, spills: bool, bytes: usize) {
        match spills {
            true => held.spillable += bytes,
            false => held.unspillable += bytes,
        }
        self.peak.fetch_max(held.spillable + held.unspillable, Ordering::Relaxed);
    }

    /// Bytes that one spiller may hold.
    fn part(&self, held: &Held) -> usize {
        let apart = held.unspillable.max(self.bytes / 4);
        self.bytes.saturating_sub(apart) / held.spillers.max(1)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.held.lock().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.held.lock().spillers -= usize::from(consumer.can_spill());
    }

    fn grow(&self, reservation: &MemoryReservation, bytes: usize) {
        let mut held = self.held.lock();
        self.take(&mut held, reservation.consumer().can_spill(), bytes);
    }

    fn shrink(&self, reservation: &MemoryReservation, bytes: usize) {
        let mut held = self.held.lock();
        match reservation.consumer().can_spill() {
            true => held.spillable -= bytes,
            false => held.unspillable -= bytes,
        }
    }

    fn try_grow(
        &self,
        reservation: &MemoryReservation,
        bytes: usize,
    ) -> Result<(), DataFusionError> {
        let mut held = self.held.lock();
        let spills = reservation.consumer().can_spill();
        let fits = match spills {
            true => reservation.size() + bytes <= self.part(&held),
            false => held.spillable + held.unspillable + bytes <= self.bytes,
        };
        if !fits {
            let name = reservation.consumer().name();
            return resources_err!("{name} wants {bytes} bytes more of a share of {}", self.bytes);
        }
        self.take(&mut held, spills, bytes);
        Ok(())
    }

    fn reserved(&self) -> usize {
        let held = self.held.lock();
        held.spillable + held.unspillable
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "share({} bytes)", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two spillers and one that cannot spill in one share.
    /// Guarantees: S22, spillers get even parts of three quarters, the last
    /// quarter is there for the other, and all of it is given back.
    #[test]
    fn sec_s22_a_quarter_is_kept_from_spillers() {
        let share = Share::new(1_000);
        let pool = share.pool();
        let spiller = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (a, b) = (spiller("a"), spiller("b"));
        assert!(a.try_grow(375).is_ok() && b.try_grow(375).is_ok());
        assert!(a.try_grow(1).is_err());
        let rigid = MemoryConsumer::new("c").register(&pool);
        assert!(rigid.try_grow(250).is_ok());
        assert!(rigid.try_grow(1).is_err());
        drop((a, b));
        assert!(rigid.try_grow(750).is_ok());
        assert_eq!((pool.reserved(), share.peak()), (1_000, 1_000));
        drop(rigid);
        assert_eq!(pool.reserved(), 0);
    }
}
