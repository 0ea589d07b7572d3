//! Chance, given and never taken: what tells names of one start and one join from
//! those of another (C4), and the id of a log that parts from its copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's, or a row of numbers that a seed decides. Clones go on with the same
/// row.
#[derive(Debug, Clone)]
pub struct Chance(Option<Arc<AtomicU64>>);

impl Chance {
    pub fn system() -> Chance {
        Chance(None)
    }

    pub fn seeded(seed: u64) -> Chance {
        Chance(Some(Arc::new(AtomicU64::new(seed))))
    }

    /// The next number, any of them as likely.
    pub fn draw(&self) -> u64 {
        match &self.0 {
            Some(state) => splitmix(state),
            None => {
                // Each half has bits that are always the same, in other places.
                let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
                high ^ low.rotate_left(32)
            }
        }
    }

    /// Another row, so that who draws from one does not move the other.
    pub fn fork(&self) -> Chance {
        match self.0 {
            None => Chance(None),
            Some(_) => Chance::seeded(self.draw()),
        }
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn splitmix(state: &AtomicU64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let z = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Scenario: the system's chance, two of one seed, one of another, and forks.
    /// Guarantees: C4: the system repeats nothing; a seed repeats itself alone, and a
    /// fork goes its own way.
    #[test]
    fn a_seed_repeats_itself_and_the_system_nothing() {
        let row = |chance: &Chance| (0..64).map(|_| chance.draw()).collect::<Vec<u64>>();
        let (one, same, other) = (Chance::seeded(1), Chance::seeded(1), Chance::seeded(2));
        let (fork, same_fork) = (one.fork(), same.fork());
        assert_eq!(row(&fork), row(&same_fork));
        assert_eq!(row(&one), row(&same));
        let rows = [one, fork, other, Chance::system(), Chance::system()];
        let all: HashSet<u64> = rows.iter().flat_map(row).collect();
        assert_eq!(all.len(), 5 * 64);
    }
}
