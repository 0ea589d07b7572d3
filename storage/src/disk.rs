//! Free space of the data volume, and the reserve that is kept of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Error;

/// How long a reading is good for: long enough to cost nothing, short enough
/// that a full disk is seen before the reserve is gone.
const FRESH: Duration = Duration::from_millis(100);

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

    /// Refuses while less than the reserve is free.
    pub fn check(&self) -> Result<(), Error> {
        let space = self.space()?;
        let reserve = (space.total as f64 * self.reserve) as u64;
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
