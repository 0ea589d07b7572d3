//! The seam between the log and the disk: a flat folder of files, with exactly
//! the promises that durability is built on.

use std::io;

/// A folder of files that one log owns. A name is plain, or under the one
/// sub-folder [`QUARANTINE`].
///
/// 1. [`list`](Self::list) names every file that was created and not removed,
///    with its length.
/// 2. [`create`](Self::create) gives a new, empty file; an older one of that
///    name is gone afterwards.
/// 3. [`rename`](Self::rename) replaces in one step: after a power loss the
///    new name holds the old content or the new one, never neither.
/// 4. A create, rename or remove is durable once [`sync_dir`](Self::sync_dir)
///    has returned `Ok` for a name of the same folder; until then a power loss
///    may undo it, newest first.
pub trait Files: Send + Sync {
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the entries of the folder that holds `name` durable.
    fn sync_dir(&self, name: &str) -> io::Result<()>;
}

/// An open file.
///
/// 1. After a failed [`write_at`](Self::write_at) any part of the bytes may
///    have been written.
/// 2. What was written or truncated before an `Ok` of [`sync`](Self::sync)
///    survives a power loss; what was not may survive in any part.
/// 3. After a failed `sync` nothing is known of the unsynced bytes, and a
///    later `Ok` says nothing about them: the handle is to be dropped.
/// 4. [`read_at`](Self::read_at) gives fewer bytes than asked only at the end.
pub trait File: Send {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

/// The sub-folder for bytes that could not be read as records.
pub const QUARANTINE: &str = "quarantine";
