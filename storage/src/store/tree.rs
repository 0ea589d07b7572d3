//! A folder whose files appear whole or not at all, also after a power loss.
//!
//! A file is written under a temporary name, fsynced, given its final name by
//! one atomic call, and the folder that now lists it is fsynced, as is every
//! folder above it that this process has not fsynced before (faults.md F12).

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// What to do when the final name exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Fail with `AlreadyExists` and leave it alone.
    Create,
    /// Replace it.
    Overwrite,
}

/// A root folder and what is known to be durable in it.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    /// Folders whose own entry is on disk. A folder that another thread has
    /// just made is not trusted until its parent was fsynced here.
    durable: Mutex<HashSet<PathBuf>>,
}

/// Numbers the temporary names of this process.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Tree {
    /// Makes the root, and what is missing above it.
    pub fn open(root: &Path) -> io::Result<Arc<Tree>> {
        create_durable(root)?;
        let root = root.canonicalize()?;
        Ok(Arc::new(Tree { root, durable: Mutex::default() }))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A new file that is to become `dest`, which must lie under the root. Its
    /// name ends in `#` and digits, which `object_store` leaves out of listings.
    pub fn temp(&self, dest: &Path) -> io::Result<Temp> {
        loop {
            match self.ensure_parent(dest) {
                // A folder was durable once and has been removed since.
                Err(error) if error.kind() == ErrorKind::NotFound && self.forget(dest) => continue,
                made => made?,
            }
            let mut name = dest.as_os_str().to_owned();
            name.push(format!("#{}", NEXT.fetch_add(1, Ordering::Relaxed)));
            let path = PathBuf::from(name);
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Temp {
                        file,
                        path,
                        dest: dest.to_owned(),
                        published: AtomicBool::new(false),
                    });
                }
                // Left by a crashed process that had the same number.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::NotFound && self.forget(dest) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes a whole file in place of an older one.
    pub fn replace(&self, dest: &Path, bytes: &[u8]) -> io::Result<()> {
        let temp = self.temp(dest)?;
        io::Write::write_all(&mut temp.file(), bytes)?;
        temp.publish(Publish::Overwrite)
    }

    /// Gives `from` the name `dest`; both under the root, the content durable.
    pub fn rename(&self, from: &Path, dest: &Path, how: Publish) -> io::Result<()> {
        self.ensure_parent(dest)?;
        match how {
            Publish::Create => {
                std::fs::hard_link(from, dest)?;
                std::fs::remove_file(from)?;
            }
            Publish::Overwrite => std::fs::rename(from, dest)?,
        }
        sync_parent(dest)?;
        if from.parent() == dest.parent() { Ok(()) } else { sync_parent(from) }
    }

    /// Makes a folder below the root, durably.
    pub fn folder(&self, name: &str) -> io::Result<()> {
        self.ensure(&self.root.join(name))
    }

    /// Temporary files below a folder: of whoever is writing now, and of processes
    /// that died. Nothing else lists them.
    pub fn temps(&self, below: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.join(below)];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true => folders.push(entry.path()),
                    false if is_temp(&entry.path()) => found.push(entry.path()),
                    false => {}
                }
            }
        }
        Ok(found)
    }

    fn ensure_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if parent.starts_with(&self.root) => self.ensure(parent),
            _ => Err(io::Error::new(
                ErrorKind::InvalidInput,
                format!("{} lies outside {}", path.display(), self.root.display()),
            )),
        }
    }

    fn ensure(&self, dir: &Path) -> io::Result<()> {
        if dir == self.root || self.durable.lock().contains(dir) {
            return Ok(());
        }
        self.ensure_parent(dir)?;
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {}
            made => made?,
        }
        sync_parent(dir)?;
        self.durable.lock().insert(dir.to_owned());
        Ok(())
    }

    /// Drops the belief in the folders above `path`; false if there was none.
    fn forget(&self, path: &Path) -> bool {
        let mut durable = self.durable.lock();
        path.ancestors().skip(1).filter(|dir| durable.remove(*dir)).count() > 0
    }
}

/// A file on its way; removed on drop unless it was published.
#[derive(Debug)]
pub struct Temp {
    file: File,
    path: PathBuf,
    dest: PathBuf,
    published: AtomicBool,
}

impl Temp {
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the content durable under its final name. After an error other
    /// than `AlreadyExists` the name may or may not exist.
    pub fn publish(&self, how: Publish) -> io::Result<()> {
        self.file.sync_all()?;
        match how {
            Publish::Create => std::fs::hard_link(&self.path, &self.dest)?,
            Publish::Overwrite => {
                std::fs::rename(&self.path, &self.dest)?;
                self.published.store(true, Ordering::Relaxed);
            }
        }
        sync_parent(&self.dest)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !*self.published.get_mut()
            && let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file stays behind");
        }
    }
}

/// Whether a file has a name that [`Tree::temp`] gives until it is published.
pub fn is_temp(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let suffix = name.and_then(|name| name.rsplit_once('#')).map(|(_, suffix)| suffix);
    suffix.is_some_and(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()))
}

/// Removes a file; one that is not there is fine. Durable on return.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Fsyncs the folder that lists `path`.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// `create_dir_all`, with every new folder fsynced into its parent.
fn create_durable(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_durable(parent)?;
    }
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(dir),
    }
}
