//! The data volumes: free space, the reserve that is kept of it, and who gives
//! way first when it runs short.
//!
//! Log, stage, cache and spill mostly share one volume and one budget, its free
//! space less the reserve. Each class may write while so many reserves are free:
//! the read cache is let go below two, statements stop spilling below one and a
//! half, and at the reserve itself ingest is refused (faults.md F13, F14). A class
//! whose folder lies on a volume of its own goes by that one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{Error, Settings};

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

/// Watches the volumes under the folders of each class.
#[derive(Debug)]
pub struct Disk {
    /// The first one is that of the log.
    folders: Vec<Folder>,
    reserve: f64,
}

#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    classes: Vec<Class>,
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
    /// One folder for all.
    pub fn new(dir: impl Into<PathBuf>, reserve: f64) -> Disk {
        let folder = Folder::new(dir.into(), vec![Class::Cache, Class::Spill, Class::Ingest]);
        Disk { folders: vec![folder], reserve }
    }

    /// The folders of a node. `store`: that of a `file://` store, which staged files
    /// are written to at once.
    pub fn of(settings: &Settings, store: Option<&Path>) -> Disk {
        let stage = store.unwrap_or(&settings.stage.dir);
        let folders = vec![
            Folder::new(settings.wal.dir.clone(), vec![Class::Ingest]),
            Folder::new(stage.to_owned(), vec![Class::Ingest]),
            Folder::new(settings.cache.dir.clone(), vec![Class::Cache]),
            Folder::new(settings.spill_dir.clone(), vec![Class::Spill]),
        ];
        Disk { folders, reserve: settings.disk_reserve }
    }

    /// The log's volume, at most [`FRESH`] old.
    pub fn space(&self) -> Result<Space, Error> {
        self.folders[0].space()
    }

    /// Bytes that a class may still write; nothing when a volume cannot be looked
    /// at.
    pub fn room(&self, class: Class) -> u64 {
        let room = |folder: &Folder| {
            let space = folder.space();
            space.map_or(0, |space| space.free.saturating_sub(self.kept_from(class, space)))
        };
        self.used_by(class).map(room).min().unwrap_or(0)
    }

    /// Bytes that may still be staged, where `staged` of at most `most` are.
    pub fn outbox(&self, most: u64, staged: u64) -> u64 {
        most.saturating_sub(staged).min(self.room(Class::Ingest))
    }

    /// Bytes that a class must give back.
    pub fn short(&self, class: Class) -> u64 {
        let short = |folder: &Folder| {
            let space = folder.space();
            space.map_or(0, |space| self.kept_from(class, space).saturating_sub(space.free))
        };
        self.used_by(class).map(short).max().unwrap_or(0)
    }

    /// Refuses while less than the reserve is free where rows are written.
    pub fn check(&self) -> Result<(), Error> {
        for folder in self.used_by(Class::Ingest) {
            let space = folder.space()?;
            let reserve = self.kept_from(Class::Ingest, space);
            if space.free < reserve {
                return Err(Error::Busy(format!(
                    "{} has {} bytes free, disk.reserve keeps {reserve}: free space there or lower disk.reserve",
                    folder.dir.display(),
                    space.free
                )));
            }
        }
        Ok(())
    }

    fn used_by(&self, class: Class) -> impl Iterator<Item = &Folder> {
        self.folders.iter().filter(move |folder| folder.classes.contains(&class))
    }

    fn kept_from(&self, class: Class, space: Space) -> u64 {
        (space.total as f64 * self.reserve * class.reserves()) as u64
    }
}

impl Folder {
    fn new(dir: PathBuf, classes: Vec<Class>) -> Folder {
        Folder { dir, classes, seen: Mutex::new(None) }
    }

    fn space(&self) -> Result<Space, Error> {
        let mut seen = self.seen.lock();
        if let Some((at, space)) = *seen
            && at.elapsed() < FRESH
        {
            return Ok(space);
        }
        // What is not made yet will lie where its parent does.
        let there = self.dir.ancestors().find(|dir| dir.exists()).unwrap_or(&self.dir);
        let stat = rustix::fs::statvfs(there).map_err(std::io::Error::from).map_err(
            Error::disk(format!("free space of {} could not be read", self.dir.display())),
        )?;
        let space = Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
        };
        *seen = Some((Instant::now(), space));
        Ok(space)
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

    /// Scenario: stages that may hold less, and more, than the volume has room for.
    /// Guarantees: F13, F22: what the outbox may still take is the lesser of both.
    #[test]
    fn fault_f13_the_outbox_ends_where_the_volume_does() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path(), 0.0);
        assert_eq!((disk.outbox(100, 40), disk.outbox(100, 140)), (60, 0));
        assert!(disk.outbox(u64::MAX, 0) <= disk.space().unwrap().total);
        assert_eq!(Disk::new(dir.path(), 1.1).outbox(u64::MAX, 0), 0);
    }

    /// Scenario: log and stage, the cache and the spill folder of a node lie on
    /// different volumes; the one of the log, then another, has too little room.
    /// Guarantees: F13, F14: each class goes by the volume it writes to, and rows by
    /// that of the log and that of the stage.
    #[test]
    fn fault_f13_each_class_goes_by_its_own_volume() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::under(dir.path());
        // The kernel's tables: a volume without a byte of room, whatever the reserve.
        let full = Path::new("/proc");
        let tight =
            |disk: &Disk| [Class::Cache, Class::Spill, Class::Ingest].map(|c| disk.room(c) == 0);
        settings.disk_reserve = 0.0;
        assert_eq!(tight(&Disk::of(&settings, None)), [false; 3]);
        settings.cache.dir = full.join("cache");
        assert_eq!(tight(&Disk::of(&settings, None)), [true, false, false]);
        settings.spill_dir = full.join("spill");
        assert_eq!(tight(&Disk::of(&settings, None)), [true, true, false]);
        assert_eq!(tight(&Disk::of(&settings, Some(full))), [true, true, true]);
        settings.stage.dir = full.join("stage");
        assert_eq!(tight(&Disk::of(&settings, None)), [true, true, true]);
        assert_eq!(tight(&Disk::of(&settings, Some(dir.path()))), [true, true, false]);
    }
}
