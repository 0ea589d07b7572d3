//! What is kept, and what goes first.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::sums::Sums;
use crate::disk::{Class, Disk};
use crate::metrics::Metrics;
use crate::store::ranges::Room;
use crate::{CacheSettings, Error};

/// A folder of copies.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    max_bytes: u64,
    disk: Arc<Disk>,
    metrics: Metrics,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    copies: HashMap<String, Arc<Copy>>,
    /// Paths, oldest first; one that is not in `copies` any more means nothing.
    order: VecDeque<String>,
    bytes: u64,
}

/// One file's local copy.
#[derive(Debug)]
pub struct Copy {
    local: PathBuf,
    sums: Sums,
    pub since: DateTime<Utc>,
}

impl Copy {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.sums.size
    }

    /// What a range of it is read into.
    pub fn room(&self, range: &Range<u64>) -> io::Result<Room> {
        self.sums.room(range)
    }
}

impl Cache {
    /// Opens the folder and keeps of it what fits and can be trusted; the rest
    /// is removed. Blocking.
    pub fn open(
        settings: &CacheSettings,
        disk: Arc<Disk>,
        metrics: Metrics,
    ) -> Result<Cache, Error> {
        let root = settings.dir.clone();
        let failed = Error::disk(format!(
            "cache folder {} could not be opened; let this user write there, or set cache.max_bytes to 0",
            root.display()
        ));
        let mut found =
            fs::create_dir_all(&root).and_then(|()| scan(&root, &root)).map_err(failed)?;
        found.sort_by_key(|(_, copy)| copy.since);
        let kept = Mutex::default();
        let cache = Cache { root, max_bytes: settings.max_bytes, disk, metrics, kept };
        for (path, copy) in found {
            cache.insert(path, copy);
        }
        Ok(cache)
    }

    /// Takes a copy of a local file for the object `path`. Blocking; what
    /// cannot be kept is not.
    pub fn keep(&self, from: &Path, path: &str) {
        let local = self.root.join(path);
        match self.take(from, &local) {
            Ok(Some(copy)) => self.insert(path.to_owned(), copy),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(path, %error, "no local copy of a committed file is kept");
                remove(&local);
            }
        }
    }

    fn take(&self, from: &Path, local: &Path) -> io::Result<Option<Copy>> {
        let size = fs::metadata(from)?.len();
        if size > self.max_bytes || self.disk.room(Class::Cache) < size {
            return Ok(None);
        }
        if let Some(folder) = local.parent() {
            fs::create_dir_all(folder)?;
        }
        // What may lie there is not known to be the same.
        remove(local);
        match fs::hard_link(from, local) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                fs::copy(from, local)?;
            }
            linked => linked?,
        }
        let sums = Sums::take(local)?;
        sums.save(local)?;
        Ok(Some(Copy { local: local.to_owned(), sums, since: since(local)? }))
    }

    fn insert(&self, path: String, copy: Copy) {
        let mut kept = self.kept.lock();
        kept.bytes += copy.size();
        if let Some(before) = kept.copies.insert(path.clone(), Arc::new(copy)) {
            kept.bytes -= before.size();
        } else {
            kept.order.push_back(path);
        }
        self.shrink(&mut kept, self.max_bytes);
    }

    /// The copy of an object, if there is one.
    pub fn get(&self, path: &str) -> Option<Arc<Copy>> {
        self.kept.lock().copies.get(path).cloned()
    }

    /// Bytes of a copy; `None` if it is damaged or gone, and is not kept any
    /// more. Blocking.
    pub fn read(&self, path: &str, copy: &Copy, range: Range<u64>, room: Room) -> Option<Bytes> {
        let why = match copy.sums.read(&copy.local, range, room) {
            Ok(Some(bytes)) => {
                self.metrics.cache_hits.inc();
                return Some(bytes);
            }
            Ok(None) => "its bytes are not what they were".to_owned(),
            Err(error) => error.to_string(),
        };
        let mut kept = self.kept.lock();
        if kept.copies.get(path).is_some_and(|known| known.local == copy.local) {
            tracing::warn!(path, why, "a local copy cannot be read; the store is asked instead");
            self.metrics.cache_damaged.inc();
            self.forget(&mut kept, path);
        }
        None
    }

    /// Gives way when the volume runs short: oldest copies first (F13).
    pub fn shed(&self) {
        let short = self.disk.short(Class::Cache);
        if short > 0 {
            let mut kept = self.kept.lock();
            let rest = kept.bytes.saturating_sub(short);
            self.shrink(&mut kept, rest);
        }
    }

    /// Bytes of all copies.
    pub fn bytes(&self) -> u64 {
        self.kept.lock().bytes
    }

    fn shrink(&self, kept: &mut Kept, most: u64) {
        while kept.bytes > most
            && let Some(oldest) = kept.order.pop_front()
        {
            self.forget(kept, &oldest);
        }
        self.metrics.cache_bytes.set(kept.bytes as i64);
    }

    fn forget(&self, kept: &mut Kept, path: &str) {
        if let Some(copy) = kept.copies.remove(path) {
            kept.bytes -= copy.size();
            remove(&copy.local);
        }
    }
}

/// Every copy with sums that fit it, by object; everything else goes.
fn scan(root: &Path, folder: &Path) -> io::Result<Vec<(String, Copy)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(scan(root, &path)?);
            // Fails on what is not empty, which is the point.
            let _ = fs::remove_dir(&path);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "parquet") {
            // Sums whose file is gone; those of a kept one are asked for below.
            if !path.with_extension("").is_file() {
                remove_one(&path);
            }
            continue;
        }
        let size = fs::metadata(&path)?.len();
        let object = path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned);
        match (object, Sums::load(&path).filter(|sums| sums.size == size)) {
            (Some(object), Some(sums)) => {
                let since = since(&path)?;
                found.push((object, Copy { local: path, sums, since }));
            }
            _ => remove(&path),
        }
    }
    Ok(found)
}

/// When a file was written: its staging, and so its age.
fn since(path: &Path) -> io::Result<DateTime<Utc>> {
    let modified = fs::metadata(path)?.modified()?;
    let nanos = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Ok(DateTime::from_timestamp_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)))
}

/// A copy and its sums. One that stays is not trusted, or is found anew.
fn remove(local: &Path) {
    remove_one(&Sums::path(local));
    remove_one(local);
}

fn remove_one(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a file of the cache stays behind");
    }
}
