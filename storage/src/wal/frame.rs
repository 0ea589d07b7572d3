//! A frame: the unit that is valid or not.

use crc32fast::Hasher;
use schema::{Position, WalId};

use super::wire::Bytes;
use crate::Error;

/// Bytes before the head.
pub(super) const FIXED: usize = 40;
/// Frames start at multiples of this, so that resync takes few steps.
pub(super) const ALIGN: u64 = 8;
/// A head holds two names and a few numbers; more is not one of ours.
const MAX_HEAD: usize = 4096;
const MAGIC: u32 = u32::from_le_bytes([0xC5, b'F', b'r', 0xA1]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 1,
    Schema = 2,
    Rows = 3,
}

/// What every header checksum of a segment starts from. Bytes of another log,
/// of another segment or at another offset (a recycled block, a frame inside
/// somebody's payload) never pass for a frame.
#[derive(Clone)]
pub(super) struct Seal(Hasher);

impl Seal {
    pub fn of(wal_id: WalId, segment: Position) -> Seal {
        let mut hasher = Hasher::new();
        hasher.update(&wal_id.0.to_le_bytes());
        hasher.update(&segment.0.to_le_bytes());
        Seal(hasher)
    }

    /// For the header frame, which is read before the log's id is known.
    pub fn none() -> Seal {
        Seal(Hasher::new())
    }

    fn checksum(&self, offset: u64, fixed: &[u8], head: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(&offset.to_le_bytes());
        hasher.update(fixed);
        hasher.update(head);
        hasher.finalize()
    }
}

/// A frame whose header is intact; nothing is known of its payload yet.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub kind: Kind,
    /// Of its first byte in the segment.
    pub offset: u64,
    pub position: Position,
    pub group: Position,
    pub head: Vec<u8>,
    pub payload_length: u32,
    pub payload_checksum: u32,
}

impl Frame {
    pub fn payload_at(&self) -> u64 {
        self.offset + (FIXED + self.head.len()) as u64
    }

    /// Where the next frame starts.
    pub fn end(&self) -> u64 {
        (self.payload_at() + u64::from(self.payload_length)).next_multiple_of(ALIGN)
    }

    pub fn holds(&self, payload: &[u8]) -> bool {
        crc32fast::hash(payload) == self.payload_checksum
    }

    /// The head's length, if `fixed` can be a frame's beginning at all.
    pub fn head_length(fixed: &[u8]) -> Option<usize> {
        let mut bytes = Bytes(fixed);
        let magic = bytes.u32()?;
        let length = bytes.u32()? as usize;
        (magic == MAGIC && length <= MAX_HEAD).then_some(length)
    }

    /// Reads the header at the start of `bytes`, which lie at `offset`.
    pub fn parse(bytes: &[u8], offset: u64, seal: &Seal) -> Option<Frame> {
        let length = Frame::head_length(bytes)?;
        let mut rest = Bytes(bytes);
        let fixed = rest.take(FIXED)?;
        let head = rest.take(length)?;
        let mut fields = Bytes(&fixed[8..]);
        let payload_length = fields.u32()?;
        let kind = match fields.u32()? {
            1 => Kind::Header,
            2 => Kind::Schema,
            3 => Kind::Rows,
            _ => return None,
        };
        let position = Position(fields.u64()?);
        let group = Position(fields.u64()?);
        let payload_checksum = fields.u32()?;
        let checksum = fields.u32()?;
        if checksum != seal.checksum(offset, &fixed[..FIXED - 4], head) {
            return None;
        }
        let head = head.to_vec();
        Some(Frame { kind, offset, position, group, head, payload_length, payload_checksum })
    }
}

/// A frame being written at the end of a buffer: head and payload are appended
/// in place, then the fixed part is filled in.
pub(super) struct Draft {
    start: usize,
    payload: usize,
}

impl Draft {
    pub fn begin(out: &mut Vec<u8>, head: impl FnOnce(&mut Vec<u8>)) -> Draft {
        let start = out.len();
        out.resize(start + FIXED, 0);
        head(out);
        Draft { start, payload: out.len() }
    }

    /// `base` is the offset in the segment of the buffer's first byte.
    pub fn finish(
        self,
        out: &mut Vec<u8>,
        base: u64,
        kind: Kind,
        (position, group): (Position, Position),
        seal: &Seal,
    ) -> Result<(), Error> {
        let payload = &out[self.payload..];
        let Ok(payload_length) = u32::try_from(payload.len()) else {
            return Err(Error::Internal(format!(
                "write-ahead log record of {} bytes is above 4 GiB; group fewer rows",
                payload.len()
            )));
        };
        let payload_checksum = crc32fast::hash(payload);
        let (fixed, rest) = out[self.start..].split_at_mut(FIXED);
        let head = &rest[..self.payload - self.start - FIXED];
        let mut fields = Vec::with_capacity(FIXED);
        fields.extend_from_slice(&MAGIC.to_le_bytes());
        fields.extend_from_slice(&(head.len() as u32).to_le_bytes());
        fields.extend_from_slice(&payload_length.to_le_bytes());
        fields.extend_from_slice(&(kind as u32).to_le_bytes());
        fields.extend_from_slice(&position.0.to_le_bytes());
        fields.extend_from_slice(&group.0.to_le_bytes());
        fields.extend_from_slice(&payload_checksum.to_le_bytes());
        let checksum = seal.checksum(base + self.start as u64, &fields, head);
        fields.extend_from_slice(&checksum.to_le_bytes());
        fixed.copy_from_slice(&fields);
        let padded = (base + out.len() as u64).next_multiple_of(ALIGN) - base;
        out.resize(padded as usize, 0);
        Ok(())
    }
}
