//! A segment's name and beginning.

use schema::{Position, WalId};

use super::frame::{Draft, FIXED, Frame, Kind, Seal};
use super::ledger::Accepted;
use super::wire::Bytes;
use super::{File, Files};
use crate::Error;

/// The version of everything in the folder, which is written. A reader refuses a
/// newer one. 2: rows name their origins. 3: points name their metric. 4: records
/// name their keys. 5: numbers are narrow.
pub(super) const FORMAT: u32 = 5;
/// Magic, version and their checksum: the part that never changes.
const PRELUDE: usize = 16;
const MAGIC: [u8; 8] = *b"CLSLWAL\n";
const SUFFIX: &str = ".wal";
/// A segment appears under its name whole or not at all.
pub(super) const DRAFT_SUFFIX: &str = ".wal.new";

/// Whether what was written with this version can be read.
pub(super) fn known(version: u32) -> bool {
    (1..=FORMAT).contains(&version)
}

/// Where a segment validly ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub segment: Position,
    /// Bytes from here on are of a failed group.
    pub offset: u64,
    /// Of its last record; 0 when it has none.
    pub position: Position,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub wal_id: WalId,
    pub boot: u64,
    pub first: Position,
    pub previous: Option<End>,
    /// Rows accepted before this segment.
    pub accepted: Accepted,
}

/// How a segment begins.
pub(super) enum Beginning {
    /// Frames follow at the offset.
    Intact(Box<Header>, u64),
    /// Damaged; its frames can still be found one by one.
    Lost,
    /// Not even the magic is ours, nor what a lost page leaves.
    Foreign,
    Newer(u32),
}

pub(super) fn name(first: Position) -> String {
    format!("{:016x}{SUFFIX}", first.0)
}

/// The first position of a segment with this name, if it is one.
pub(super) fn parse_name(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
    let first = Position(u64::from_str_radix(digits, 16).ok()?);
    (self::name(first) == name).then_some(first)
}

impl Header {
    /// Creates the segment, durable on return. Gives the offset of its first frame.
    pub fn create(&self, files: &dyn Files) -> Result<(Box<dyn File>, u64), Error> {
        let name = name(self.first);
        let draft = format!("{:016x}{DRAFT_SUFFIX}", self.first.0);
        let failed = |what: &str| {
            Error::disk(format!(
                "write-ahead log segment {name}: {what} failed; free space on its volume or check the disk"
            ))
        };
        let bytes = self.encode()?;
        let mut file = files.create(&draft).map_err(failed("creating"))?;
        file.write_at(0, &bytes).map_err(failed("writing its header"))?;
        file.sync().map_err(failed("syncing its header"))?;
        files.rename(&draft, &name).map_err(failed("renaming"))?;
        files.sync_dir(&name).map_err(failed("syncing its folder"))?;
        Ok((file, bytes.len() as u64))
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT.to_le_bytes());
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        let draft = Draft::begin(&mut out, |_| {});
        out.extend_from_slice(&self.wal_id.0.to_le_bytes());
        out.extend_from_slice(&self.boot.to_le_bytes());
        out.extend_from_slice(&self.first.0.to_le_bytes());
        match &self.previous {
            Some(end) => {
                out.push(1);
                out.extend_from_slice(&end.segment.0.to_le_bytes());
                out.extend_from_slice(&end.offset.to_le_bytes());
                out.extend_from_slice(&end.position.0.to_le_bytes());
            }
            None => out.push(0),
        }
        self.accepted.put(&mut out);
        draft.finish(&mut out, 0, Kind::Header, (self.first, self.first), &Seal::none())?;
        Ok(out)
    }

    fn take(bytes: &mut Bytes<'_>) -> Option<Header> {
        let wal_id = WalId(bytes.u128()?);
        let boot = bytes.u64()?;
        let first = Position(bytes.u64()?);
        let previous = match bytes.u8()? {
            0 => None,
            _ => Some(End {
                segment: Position(bytes.u64()?),
                offset: bytes.u64()?,
                position: Position(bytes.u64()?),
            }),
        };
        Some(Header { wal_id, boot, first, previous, accepted: Accepted::take(bytes)? })
    }
}

impl Beginning {
    /// Reads the beginning of a segment of `length` bytes.
    pub fn read(file: &dyn File, length: u64, first: Position) -> Result<Beginning, Error> {
        let failed = || {
            Error::disk(format!(
                "write-ahead log segment {} could not be read; check the disk",
                name(first)
            ))
        };
        let mut start = vec![0; (PRELUDE + FIXED).min(length as usize)];
        file.read_at(0, &mut start).map_err(failed())?;
        if let Some(prelude) = start.get(..PRELUDE) {
            let mut rest = Bytes(&prelude[8..]);
            let (version, checksum) = (rest.u32(), rest.u32());
            let sound = checksum == Some(crc32fast::hash(&prelude[..12]));
            match version {
                Some(version) if sound && prelude[..8] == MAGIC && !known(version) => {
                    return Ok(Beginning::Newer(version));
                }
                _ => {}
            }
        }
        let at = PRELUDE as u64;
        let frame = start.get(PRELUDE..).and_then(|b| Frame::parse(b, at, &Seal::none()));
        if let Some(frame) = frame
            && frame.kind == Kind::Header
            && frame.end() <= length
        {
            let mut payload = vec![0; frame.payload_length as usize];
            file.read_at(frame.payload_at(), &mut payload).map_err(failed())?;
            let header = Header::take(&mut Bytes(&payload));
            if let Some(header) = header.filter(|header| header.first == first)
                && frame.holds(&payload)
            {
                return Ok(Beginning::Intact(Box::new(header), frame.end()));
            }
        }
        let magic = start.get(..8).unwrap_or_default();
        let ours = magic == MAGIC || magic.iter().all(|byte| *byte == 0);
        Ok(if ours { Beginning::Lost } else { Beginning::Foreign })
    }
}
