//! [`Files`] in a real folder: 0700, its files 0600, symbolic links not followed.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};

use super::files::{File, Files, QUARANTINE};
use super::{identity, segment};
use crate::Error;

/// Held for as long as the folder is in use; its content says nothing.
const LOCK: &str = "LOCK";

/// The log's folder on a disk.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    /// The exclusive lock is the open file description's; it ends with it.
    _lock: fs::File,
}

impl Disk {
    /// Opens or creates the folder and locks it. A folder that is in use is
    /// refused (F21).
    pub fn open(dir: impl Into<PathBuf>) -> Result<Disk, Error> {
        let dir = dir.into();
        let failed = |what: &str| {
            Error::disk(format!(
                "write-ahead log folder {}: {what} failed; check that wal.dir is on a writable volume and owned by this user",
                dir.display()
            ))
        };
        private_dir(&dir).map_err(failed("creating it"))?;
        private_dir(&dir.join(QUARANTINE)).map_err(failed("creating its quarantine"))?;
        let lock = options().write(true).create(true).open(dir.join(LOCK));
        let lock = lock.map_err(failed("opening its lock file"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Disk { dir, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse(format!(
                "write-ahead log folder {} is in use by another cloudsail; stop that one or give this one its own wal.dir",
                dir.display()
            ))),
            Err(errno) => Err(failed("locking it")(errno.into())),
        }
    }

    /// Whether a folder holds a log. Changes nothing.
    pub fn holds_log(dir: &Path) -> bool {
        let ours = |name: &str| name == identity::NAME || segment::parse_name(name).is_some();
        let listed = fs::read_dir(dir).into_iter().flatten().flatten();
        listed.map(|entry| entry.file_name()).any(|name| name.to_str().is_some_and(ours))
    }

    fn handle(file: fs::File) -> Box<dyn File> {
        Box::new(Handle { file, length_changed: true })
    }
}

impl Files for Disk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for (folder, prefix) in [(self.dir.clone(), ""), (self.dir.join(QUARANTINE), QUARANTINE)] {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                let name = entry.file_name();
                // Only names of ours matter, and those are plain ASCII.
                let Some(name) = name.to_str().filter(|_| metadata.is_file()) else { continue };
                if prefix.is_empty() && name == LOCK {
                    continue;
                }
                let name = if prefix.is_empty() { name.into() } else { format!("{prefix}/{name}") };
                found.push((name, metadata.size()));
            }
        }
        Ok(found)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let path = self.dir.join(name);
        let open = || options().read(true).write(true).create_new(true).open(&path);
        let file = match open() {
            // Removed rather than truncated: a link in its place is not followed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path)?;
                open()?
            }
            other => other?,
        };
        Ok(Disk::handle(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Disk::handle(options().read(true).write(true).open(self.dir.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        let path = self.dir.join(name);
        sync_folder(path.parent().unwrap_or(&self.dir))
    }
}

struct Handle {
    file: fs::File,
    /// A new or cut file needs its metadata synced as well.
    length_changed: bool,
}

impl File for Handle {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.file.read_at(&mut into[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.length_changed = true;
        self.file.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.length_changed {
            self.file.sync_all()?;
            self.length_changed = false;
            return Ok(());
        }
        // fdatasync also writes a length that grew.
        self.file.sync_data()
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    options
}

/// Creates a folder and those above it, durably.
fn private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    private_dir(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        // Two processes may start at once; the lock tells them apart.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(parent),
    }
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}
