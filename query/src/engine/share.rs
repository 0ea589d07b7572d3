//! The memory of all statements, and one statement's share of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::{DataFusionError, resources_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use parking_lot::Mutex;

/// What statements may hold together. Each may always have the floor, an equal
/// part for as many as may run at once; while fewer run, they divide the rest,
/// but for one floor that the next to come finds free. Sums pass the whole
/// only by floors, and only until those who hold more than they now may have
/// spilled it.
#[derive(Debug, Clone)]
pub(crate) struct Memory(Arc<Whole>);

#[derive(Debug)]
struct Whole {
    bytes: usize,
    floor: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    statements: usize,
    bytes: usize,
}

impl Memory {
    pub fn new(bytes: usize, floor: usize) -> Memory {
        Memory(Arc::new(Whole { bytes, floor, used: Mutex::default() }))
    }
}

impl Whole {
    /// Bytes that one statement may hold now.
    fn limit(&self) -> usize {
        let statements = self.used.lock().statements.max(1);
        self.floor.max((self.bytes - self.floor) / statements)
    }

    /// Takes bytes for a statement that holds `held` already.
    fn take(&self, held: usize, bytes: usize) -> bool {
        let mut used = self.used.lock();
        let fits = held + bytes <= self.floor || used.bytes + bytes <= self.bytes;
        used.bytes += if fits { bytes } else { 0 };
        fits
    }
}

/// Operators that can spill divide a share evenly and spill past their part;
/// what cannot spill fails past the whole. As DataFusion's fair pool, but a
/// quarter is out of the spillers' reach: a sort that merges what it spilled
/// needs memory that it cannot spill, and among several sorters in a full pool
/// it would find none and fail.
#[derive(Debug, Clone)]
pub(crate) struct Share(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    memory: Memory,
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
    pub fn new(memory: &Memory) -> Share {
        memory.0.used.lock().statements += 1;
        let peak = AtomicUsize::new(0);
        Share(Arc::new(Pool { memory: memory.clone(), held: Mutex::default(), peak }))
    }

    pub fn pool(&self) -> Arc<dyn MemoryPool> {
        self.0.clone()
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.0.reserved()
    }

    /// Bytes held at most so far.
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }
}

impl Pool {
    fn add(&self, held: &mut Held, spills: bool, bytes: usize) {
        match spills {
            true => held.spillable += bytes,
            false => held.unspillable += bytes,
        }
        self.peak.fetch_max(held.spillable + held.unspillable, Ordering::Relaxed);
    }
}

/// Bytes that one spiller may hold of a share of `limit`.
fn part(held: &Held, limit: usize) -> usize {
    let apart = held.unspillable.max(limit / 4);
    limit.saturating_sub(apart) / held.spillers.max(1)
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
        self.memory.0.used.lock().bytes += bytes;
        self.add(&mut self.held.lock(), reservation.consumer().can_spill(), bytes);
    }

    fn shrink(&self, reservation: &MemoryReservation, bytes: usize) {
        self.memory.0.used.lock().bytes -= bytes;
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
        let limit = self.memory.0.limit();
        let mut held = self.held.lock();
        let spills = reservation.consumer().can_spill();
        let all = held.spillable + held.unspillable;
        let fits = match spills {
            true => reservation.size() + bytes <= part(&held, limit),
            false => all + bytes <= limit,
        };
        if !(fits && self.memory.0.take(all, bytes)) {
            let name = reservation.consumer().name();
            return resources_err!("{name} wants {bytes} bytes more of a share of {limit}");
        }
        self.add(&mut held, spills, bytes);
        Ok(())
    }

    fn reserved(&self) -> usize {
        let held = self.held.lock();
        held.spillable + held.unspillable
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.memory.0.limit())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.memory.0.used.lock().statements -= 1;
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "share({} bytes)", self.memory.0.limit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(name: &str, spills: bool, pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
        MemoryConsumer::new(name).with_can_spill(spills).register(pool)
    }

    /// Scenario: two spillers and one that cannot spill in one share.
    /// Guarantees: S22, spillers get even parts of three quarters, the last
    /// quarter is there for the other, and all of it is given back.
    #[test]
    fn sec_s22_a_quarter_is_kept_from_spillers() {
        let share = Share::new(&Memory::new(1_000, 1_000));
        let pool = share.pool();
        let (a, b) = (consumer("a", true, &pool), consumer("b", true, &pool));
        assert!(a.try_grow(375).is_ok() && b.try_grow(375).is_ok());
        assert!(a.try_grow(1).is_err());
        let rigid = consumer("c", false, &pool);
        assert!(rigid.try_grow(250).is_ok());
        assert!(rigid.try_grow(1).is_err());
        drop((a, b));
        assert!(rigid.try_grow(750).is_ok());
        assert_eq!((pool.reserved(), share.peak()), (1_000, 1_000));
        drop(rigid);
        assert_eq!(pool.reserved(), 0);
    }

    /// Scenario: one statement alone takes what there is; others come and go.
    /// Guarantees: S22, alone it may have all but a floor; each newcomer has its
    /// floor whatever others hold, and no more than its part.
    #[test]
    fn sec_s22_statements_divide_what_others_leave() {
        let memory = Memory::new(1_000, 250);
        let first = Share::new(&memory);
        let a = consumer("a", false, &first.pool());
        assert!(a.try_grow(750).is_ok());
        assert!(a.try_grow(1).is_err());
        let second = Share::new(&memory);
        let third = Share::new(&memory);
        let (b, c) = (consumer("b", false, &second.pool()), consumer("c", false, &third.pool()));
        assert!(b.try_grow(250).is_ok() && c.try_grow(250).is_ok());
        // A third of the rest is no more than the floor.
        assert!(b.try_grow(1).is_err());
        drop((a, first, c, third));
        assert!(b.try_grow(500).is_ok());
        drop((b, second));
        assert_eq!(memory.0.used.lock().bytes, 0);
        assert_eq!(memory.0.used.lock().statements, 0);
    }
}
