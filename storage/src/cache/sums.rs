//! The sums of a copy, block by block.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::store::ranges::{Room, room};

/// Bytes that one sum covers: little to read too much for a column chunk's
/// page, few enough sums to hold all of them in memory.
const BLOCK: u64 = 64 << 10;
const MAGIC: &[u8; 8] = b"CLSLSUM\n";

/// CRC-32 of every block of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    pub size: u64,
    blocks: Vec<u32>,
}

impl Sums {
    /// Reads the whole file.
    pub fn take(path: &Path) -> io::Result<Sums> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut block = vec![0; BLOCK as usize];
        let mut blocks = Vec::with_capacity(size.div_ceil(BLOCK) as usize);
        for start in (0..size).step_by(BLOCK as usize) {
            let part = &mut block[..BLOCK.min(size - start) as usize];
            file.read_exact_at(part, start)?;
            blocks.push(crc32fast::hash(part));
        }
        Ok(Sums { size, blocks })
    }

    /// Room for the blocks that a range lies in.
    pub fn room(&self, range: &Range<u64>) -> io::Result<Room> {
        let end = range.end.next_multiple_of(BLOCK).min(self.size);
        room(&(range.start / BLOCK * BLOCK..end))
    }

    /// Bytes of a file, checked; `None` if they are not what they were. Blocking.
    pub fn read(&self, path: &Path, range: Range<u64>, room: Room) -> io::Result<Option<Bytes>> {
        if range.is_empty() {
            return Ok(Some(Bytes::new()));
        }
        let bytes = room.fill(&File::open(path)?)?.bytes();
        let (first, last) = (range.start / BLOCK, (range.end - 1) / BLOCK);
        let sums = &self.blocks[first as usize..=last as usize];
        let sound =
            bytes.chunks(BLOCK as usize).zip(sums).all(|(b, sum)| crc32fast::hash(b) == *sum);
        let before = first * BLOCK;
        let part = (range.start - before) as usize..(range.end - before) as usize;
        Ok(sound.then(|| bytes.slice(part)))
    }

    /// Beside the copy.
    pub fn path(copy: &Path) -> PathBuf {
        let mut name = copy.as_os_str().to_owned();
        name.push(".sums");
        name.into()
    }

    pub fn save(&self, copy: &Path) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.size.to_le_bytes());
        self.blocks.iter().for_each(|sum| bytes.extend_from_slice(&sum.to_le_bytes()));
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        // Not synced: torn or lost, it is only a copy that is not kept.
        std::fs::write(Sums::path(copy), bytes)
    }

    /// `None` if there are none, or none that can be trusted.
    pub fn load(copy: &Path) -> Option<Sums> {
        let bytes = std::fs::read(Sums::path(copy)).ok()?;
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        let rest = body.strip_prefix(MAGIC)?;
        let (size, sums) = rest.split_first_chunk::<8>()?;
        let size = u64::from_le_bytes(*size);
        let (sums, left) = sums.as_chunks::<4>();
        let whole = left.is_empty() && sums.len() as u64 == size.div_ceil(BLOCK);
        let sound = crc32fast::hash(body) == u32::from_le_bytes(*sum);
        let blocks = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        (whole && sound).then_some(Sums { size, blocks })
    }
}
