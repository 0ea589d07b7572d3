//! The cord between a node and the disk of its log.
//!
//! Pulled, nothing of the node reaches the disk any more, whatever its threads
//! still try: that is what makes a crash of a node a crash, and not a close.
//! Stalled, an operation of one kind does not return until it is told to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use storage::wal::{File, Files, Memory};
use tokio::sync::Notify;

/// A node's own way to its disk, for as long as it lives.
#[derive(Debug)]
pub struct Plug {
    disk: Memory,
    cord: Arc<Cord>,
}

#[derive(Debug)]
pub struct Cord {
    pulled: AtomicBool,
    syncs: AtomicU64,
    /// Changes that still reach the disk; then the cord goes by itself.
    left: AtomicU64,
    stall: Mutex<Option<Stall>>,
    resumed: Condvar,
    /// Somebody has come to where it stalls.
    arrived: Notify,
}

/// What does not return for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    Sync,
    Remove,
}

impl Cord {
    pub fn pull(&self) {
        self.pulled.store(true, Ordering::SeqCst);
    }

    /// Pulls itself once so many more changes have been made.
    pub fn pull_after(&self, changes: u64) {
        self.left.store(changes, Ordering::SeqCst);
    }

    /// How often the log was made durable.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }

    /// From now on such an operation waits.
    pub fn stall(&self, what: Stall) {
        *self.stall.lock() = Some(what);
    }

    /// What waits goes on, and from now on the other kind waits.
    pub fn instead(&self, what: Stall) {
        self.stall(what);
        self.resumed.notify_all();
    }

    pub fn resume(&self) {
        *self.stall.lock() = None;
        self.resumed.notify_all();
    }

    /// Returns once an operation waits.
    pub async fn stalled(&self) {
        self.arrived.notified().await;
    }

    fn passes(&self, what: Stall) {
        let mut stall = self.stall.lock();
        while *stall == Some(what) {
            self.arrived.notify_one();
            self.resumed.wait(&mut stall);
        }
    }

    fn holds(&self) -> io::Result<()> {
        match self.pulled.load(Ordering::SeqCst) {
            true => Err(io::Error::other("the node is dead")),
            false => Ok(()),
        }
    }

    fn changes(&self) -> io::Result<()> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            Some(if left == u64::MAX { left } else { left.saturating_sub(1) })
        });
        if left == Ok(0) {
            self.pull();
        }
        self.holds()
    }
}

impl Plug {
    pub fn new(disk: &Memory) -> (Plug, Arc<Cord>) {
        let cord = Arc::new(Cord {
            pulled: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            left: AtomicU64::new(u64::MAX),
            stall: Mutex::new(None),
            resumed: Condvar::new(),
            arrived: Notify::new(),
        });
        (Plug { disk: disk.clone(), cord: cord.clone() }, cord)
    }

    fn file(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(Handle { file, cord: self.cord.clone() })
    }
}

impl Files for Plug {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.cord.holds()?;
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.cord.changes()?;
        Ok(self.file(self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.cord.holds()?;
        Ok(self.file(self.disk.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.cord.changes()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.cord.passes(Stall::Remove);
        self.cord.changes()?;
        self.disk.remove(name)
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        self.cord.changes()?;
        self.disk.sync_dir(name)
    }
}

struct Handle {
    file: Box<dyn File>,
    cord: Arc<Cord>,
}

impl File for Handle {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.cord.holds()?;
        self.file.read_at(offset, into)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.cord.changes()?;
        self.file.write_at(offset, bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.cord.changes()?;
        self.file.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.cord.passes(Stall::Sync);
        self.cord.changes()?;
        self.cord.syncs.fetch_add(1, Ordering::SeqCst);
        self.file.sync()
    }
}
