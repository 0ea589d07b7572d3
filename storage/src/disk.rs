//! The data volume: free space, the reserve that is kept of it, and who gives
//! way first when it runs short.
//!
//! Log, stage, cache and spill share one volume and one budget, its free space
//! less the reserve. Each class may write while so many reserves are free: the
//! read cache is let go below two, statements stop spilling below one and a
//! half, and at the reserve itself ingest is refused (faults.md F13, F14).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Error;

/// How long a reading is good for: long enough to cost nothing, short enough
/// that a full disk is seen before the reserve is gone.
const FRESH: Duration = Duration::from_millis(100);

/// What fills the volume, in the order in which it gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Copies of what the store has as well.
    Cache,
    /// What a statement could not hold in memory; without it that one fails.
    Spill,
    /// Log and stage: rows that exist nowhere else.
    Ingest,
}

impl Class {
    /// Reserves that must be free.
    fn reserves(self) -> f64 {
        match self {
            Class::Cache => 2.0,
            Class::Spill => 1.5,
            Class::Ingest => 1.0,
        }
    }
}

/// Watches the volume under a folder.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    reserve: f64,
    seen: Mutex<Option<(Instant, Space)>>,
}

/// Bytes of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Space {
    pub total: u64,
    /// What an ordinary user may still write.
    pub free: u64,
}

impl Disk {
    pub fn new(dir: impl Into<PathBuf>, reserve: f64) -> Disk {
        Disk { dir: dir.into(), reserve, seen: Mutex::new(None) }
    }

    /// The volume's size and free bytes, at most [`FRESH`] old.
    pub fn space(&self) -> Result<Space, Error> {
        let mut seen = self.seen.lock();
        if let Some((at, space)) = *seen
            && at.elapsed() < FRESH
        {
            return Ok(space);
        }
        let stat = rustix::fs::statvfs(&self.dir).map_err(std::io::Error::from).map_err(
            Error::disk(format!("free space of {} could not be read", self.dir.display())),
        )?;
        let space = Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        };
        *seen = Some((Instant::now(), space));
        Ok(space)
    }

    /// Bytes that a class may still write; nothing when the volume cannot be
    /// looked at.
    pub fn room(&self, class: Class) -> u64 {
        self.space().map_or(0, |space| space.free.saturating_sub(self.kept_from(class, space)))
    }

    /// Bytes that a class must give back.
    pub fn short(&self, class: Class) -> u64 {
        self.space().map_or(0, |space| self.kept_from(class, space).saturating_sub(space.free))
    }

    fn kept_from(&self, class: Class, space: Space) -> u64 {
        (space.total as f64 * self.reserve * class.reserves()) as u64
    }

    /// Refuses while less than the reserve is free.
    pub fn check(&self) -> Result<(), Error> {
        let space = self.space()?;
        let reserve = self.kept_from(Class::Ingest, space);
        if space.free < reserve {
            return Err(Error::Busy(format!(
                "{} has {} bytes free, disk.reserve keeps {reserve}: free space there or lower disk.reserve",
                self.dir.display(),
                space.free
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: reserves from nothing to the whole of a volume.
    /// Guarantees: F13, F14: as space runs short the cache gives way first, then
    /// spilling, then ingest, and none before its time.
    #[test]
    fn fault_f14_cache_and_spill_give_way_before_ingest() {
        let dir = tempfile::tempdir().unwrap();
        let space = Disk::new(dir.path(), 0.0).space().unwrap();
        let free = space.free as f64 / space.total as f64;
        let room = |reserve: f64| {
            let disk = Disk::new(dir.path(), reserve);
            [Class::Cache, Class::Spill, Class::Ingest].map(|class| disk.room(class) > 0)
        };
        assert_eq!(room(0.0), [true, true, true]);
        assert_eq!(room(free / 1.75), [false, true, true]);
        assert_eq!(room(free / 1.25), [false, false, true]);
        assert_eq!(room(free / 0.75), [false, false, false]);
        let disk = Disk::new(dir.path(), free / 1.25);
        assert!(disk.short(Class::Cache) > disk.short(Class::Spill));
        assert!(disk.short(Class::Spill) > 0 && disk.short(Class::Ingest) == 0);
    }

    /// Scenario: the reserve is nothing, then the whole volume.
    /// Guarantees: the first lets through, the second refuses as "try later".
    #[test]
    fn fault_f13_the_reserve_refuses_before_the_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Disk::new(dir.path(), 0.0).check().is_ok());
        let refused = Disk::new(dir.path(), 1.1).check().unwrap_err();
        assert_eq!(refused.kind(), schema::ErrorKind::Unavailable);
        assert!(refused.to_string().contains("disk.reserve"), "{refused}");
    }
}
