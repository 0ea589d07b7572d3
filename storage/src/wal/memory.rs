//! [`Files`] in memory, with a power button and the faults of real disks.
//!
//! What was written is in `live`, what a power loss leaves is in `durable`.
//! Sectors and folder entries move from one to the other as obligations of
//! [`Files`] and [`File`] promise, and no sooner.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::files::{File, Files};

/// What a disk writes in one piece.
const SECTOR: usize = 512;

/// A folder in memory. Clones are the same folder.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

/// What is left of unsynced bytes and entries after a power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    Nothing,
    /// Each sector on its own, whole, torn or not at all; folder changes up to
    /// some point. The number seeds the choice.
    Chance(u64),
}

/// Fails `times` operations, once `after` of them went well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fault {
    pub after: u32,
    pub times: u32,
}

impl Fault {
    pub const NONE: Fault = Fault { after: 0, times: 0 };
    pub const ALWAYS: Fault = Fault { after: 0, times: u32::MAX };

    fn strikes(&mut self) -> io::Result<()> {
        if self.after > 0 {
            self.after -= 1;
        } else if self.times > 0 {
            self.times -= 1;
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        Ok(())
    }
}

/// Which operations fail with EIO.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Every operation that changes something, whatever else is said.
    pub all: Fault,
    pub writes: Fault,
    pub syncs: Fault,
    pub truncates: Fault,
    pub creates: Fault,
    pub renames: Fault,
    pub removes: Fault,
    pub dir_syncs: Fault,
}

impl Faults {
    fn strikes(&mut self, which: impl FnOnce(&mut Faults) -> &mut Fault) -> io::Result<()> {
        self.all.strikes()?;
        which(self).strikes()
    }
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    folders: BTreeMap<String, Folder>,
    /// Handles of an earlier power cycle are dead.
    cycle: u64,
    capacity: Option<u64>,
    faults: Faults,
}

type Names = BTreeMap<String, u64>;

/// `past` holds the durable state first, then one state per unsynced change.
#[derive(Debug, Default)]
struct Folder {
    live: Names,
    past: Vec<Names>,
}

#[derive(Debug, Default)]
struct Node {
    live: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Memory {
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Cuts the power: what was not synced is lost as `survives` says, and
    /// every open handle is dead.
    pub fn crash(&self, survives: Survives) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut chance = Chance::of(survives);
        state.cycle += 1;
        state.faults = Faults::default();
        for folder in state.folders.values_mut() {
            folder.past.push(std::mem::take(&mut folder.live));
            let kept = chance.below(folder.past.len());
            folder.live = folder.past.swap_remove(kept);
            folder.past = vec![folder.live.clone()];
        }
        let named: BTreeSet<u64> =
            state.folders.values().flat_map(|folder| folder.live.values().copied()).collect();
        state.nodes.retain(|id, _| named.contains(id));
        for node in state.nodes.values_mut() {
            node.lose_power(&mut chance);
        }
    }

    /// Bytes that fit in all files together; a write past it is cut short (F13).
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Changes a file's bytes behind everybody's back, as failing hardware does.
    /// Returns false if there is no such file.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.state.lock();
        let Some(id) = state.find(name) else { return false };
        let node = state.nodes.entry(id).or_default();
        change(&mut node.live);
        node.durable = node.live.clone();
        node.dirty.clear();
        true
    }

    /// A file's bytes as they are now.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.find(name).map(|id| state.nodes[&id].live.clone())
    }

    /// Puts a file there, durable at once.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.state.lock();
        let node = Node { live: content.into(), durable: content.into(), ..Node::default() };
        let id = state.add(node);
        let folder = state.folder(name);
        folder.live.insert(name.into(), id);
        folder.past = vec![folder.live.clone()];
    }
}

impl State {
    fn folder(&mut self, name: &str) -> &mut Folder {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.folders
            .entry(folder.into())
            .or_insert_with(|| Folder { live: Names::new(), past: vec![Names::new()] })
    }

    fn find(&self, name: &str) -> Option<u64> {
        self.folders.values().find_map(|folder| folder.live.get(name).copied())
    }

    fn add(&mut self, node: Node) -> u64 {
        self.next_node += 1;
        self.nodes.insert(self.next_node, node);
        self.next_node
    }

    fn used(&self) -> u64 {
        let named = self.folders.values().flat_map(|folder| folder.live.values());
        named.map(|id| self.nodes[id].live.len() as u64).sum()
    }
}

impl Folder {
    /// Applies a change that a power loss may undo until the next sync.
    fn change(&mut self, change: impl FnOnce(&mut Names)) {
        self.past.push(self.live.clone());
        if self.past.len() > 1 && self.past[0] == self.past[1] {
            self.past.remove(1);
        }
        change(&mut self.live);
    }
}

impl Node {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        let from = self.live.len().min(offset);
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(bytes);
        self.dirty.extend(from / SECTOR..end.div_ceil(SECTOR));
    }

    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.copy_sector(sector, SECTOR);
        }
    }

    fn copy_sector(&mut self, sector: usize, bytes: usize) {
        let from = sector * SECTOR;
        let end = (from + bytes).min(self.live.len()).min(self.durable.len());
        if from < end {
            self.durable[from..end].copy_from_slice(&self.live[from..end]);
        }
    }

    fn lose_power(&mut self, chance: &mut Chance) {
        let (low, high) = (self.durable.len(), self.live.len());
        let length = match chance.below(3) {
            0 => low,
            1 => low.min(high) + chance.below(low.abs_diff(high) + 1),
            _ => high,
        };
        self.durable.resize(length, 0);
        for sector in std::mem::take(&mut self.dirty) {
            match chance.below(3) {
                0 => {}
                1 => self.copy_sector(sector, chance.below(SECTOR)),
                _ => self.copy_sector(sector, SECTOR),
            }
        }
        self.live = self.durable.clone();
    }
}

/// A small seeded generator (SplitMix64); the choice 0 is always "as synced".
struct Chance(Option<u64>);

impl Chance {
    fn of(survives: Survives) -> Chance {
        Chance(match survives {
            Survives::Nothing => None,
            Survives::Chance(seed) => Some(seed),
        })
    }

    fn below(&mut self, bound: usize) -> usize {
        let Some(state) = &mut self.0 else { return 0 };
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}

impl Files for Memory {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.state.lock();
        let names = state.folders.values().flat_map(|folder| &folder.live);
        Ok(names.map(|(name, id)| (name.clone(), state.nodes[id].live.len() as u64)).collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut state = self.state.lock();
        state.faults.strikes(|faults| &mut faults.creates)?;
        let node = state.add(Node::default());
        state.folder(name).change(|names| {
            names.insert(name.into(), node);
        });
        Ok(Box::new(Handle { state: self.state.clone(), cycle: state.cycle, node }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let state = self.state.lock();
        let node = state.find(name).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(Handle { state: self.state.clone(), cycle: state.cycle, node }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.faults.strikes(|faults| &mut faults.renames)?;
        let node = state.find(from).ok_or(ErrorKind::NotFound)?;
        state.folder(from).change(|names| {
            names.remove(from);
            names.insert(to.into(), node);
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.faults.strikes(|faults| &mut faults.removes)?;
        state.find(name).ok_or(ErrorKind::NotFound)?;
        state.folder(name).change(|names| {
            names.remove(name);
        });
        Ok(())
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.faults.strikes(|faults| &mut faults.dir_syncs)?;
        let folder = state.folder(name);
        folder.past = vec![folder.live.clone()];
        Ok(())
    }
}

struct Handle {
    state: Arc<Mutex<State>>,
    cycle: u64,
    node: u64,
}

impl Handle {
    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.cycle != self.cycle {
            return Err(io::Error::other("the power was cut since this file was opened"));
        }
        act(&mut state, self.node)
    }
}

impl File for Handle {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.with(|state, node| {
            let live = &state.nodes[&node].live;
            let from = live.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
            let read = into.len().min(live.len() - from);
            into[..read].copy_from_slice(&live[from..from + read]);
            Ok(read)
        })
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|state, node| {
            let struck = state.faults.strikes(|faults| &mut faults.writes);
            let grows =
                (offset + bytes.len() as u64).saturating_sub(state.nodes[&node].live.len() as u64);
            let room = state.capacity.map_or(u64::MAX, |all| all.saturating_sub(state.used()));
            let fits = match &struck {
                Err(_) => bytes.len() / 2,
                Ok(()) => bytes.len() - grows.saturating_sub(room).min(bytes.len() as u64) as usize,
            };
            state.nodes.entry(node).or_default().write(offset as usize, &bytes[..fits]);
            struck?;
            if fits < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.with(|state, node| {
            state.faults.strikes(|faults| &mut faults.truncates)?;
            let node = state.nodes.entry(node).or_default();
            node.live.resize(length as usize, 0);
            node.dirty.retain(|sector| sector * SECTOR < length as usize);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|state, node| {
            let struck = state.faults.strikes(|faults| &mut faults.syncs);
            let node = state.nodes.entry(node).or_default();
            match struck {
                Ok(()) => node.sync(),
                // As Linux does: the pages count as clean, the next sync of
                // this file says Ok, and the bytes are not on the disk.
                Err(_) => node.dirty.clear(),
            }
            struck
        })
    }
}
