//! The folder's identity: which log this is, how often it was opened, and what
//! must outlive the segments. Replaced whole, never changed in place.

use schema::{Position, WalId};

use super::Files;
use super::ledger::{Accepted, Missed, Tally, take_key};
use super::segment::{FORMAT, known};
use super::wire::{Bytes, put_text};
use crate::Error;

pub(super) const NAME: &str = "identity";
const DRAFT: &str = "identity.new";
const MAGIC: [u8; 8] = *b"CLSLWID\n";
/// An identity with thousands of losses is a few hundred KiB.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub wal_id: WalId,
    pub boot: u64,
    /// Every position ever given before this boot is below it.
    pub floor: Position,
    /// Rows accepted before this boot; segments know better, if they can be read.
    pub accepted: Accepted,
    pub missed: Vec<Missed>,
    /// Segments of this id are to be removed: a renewal is on its way.
    pub leftover: Option<WalId>,
}

/// What the file said.
pub(super) enum Found {
    Nothing,
    Intact(Box<Identity>),
    /// Written by a newer version.
    Newer(u32),
    Damaged,
}

impl Identity {
    pub fn read(files: &dyn Files) -> Result<Found, Error> {
        let failed = || Error::disk("write-ahead log identity could not be read; check the disk");
        let listed = files.list().map_err(failed())?;
        let Some((_, length)) = listed.into_iter().find(|(name, _)| name == NAME) else {
            return Ok(Found::Nothing);
        };
        if length > MAX_BYTES {
            return Ok(Found::Damaged);
        }
        let mut bytes = vec![0; length as usize];
        let file = files.open(NAME).map_err(failed())?;
        let read = file.read_at(0, &mut bytes).map_err(failed())?;
        Ok(Identity::parse(&bytes[..read]))
    }

    fn parse(bytes: &[u8]) -> Found {
        let mut rest = Bytes(bytes);
        let (magic, checksum) = (rest.take(8), rest.u32());
        if magic != Some(MAGIC.as_slice()) || checksum != Some(crc32fast::hash(rest.0)) {
            return Found::Damaged;
        }
        match rest.u32() {
            Some(version) if known(version) => match Identity::take(&mut rest) {
                Some(identity) => Found::Intact(Box::new(identity)),
                None => Found::Damaged,
            },
            Some(version) => Found::Newer(version),
            None => Found::Damaged,
        }
    }

    /// Replaces the file in one step; durable on return.
    pub fn write(&self, files: &dyn Files) -> Result<(), Error> {
        let failed = |what: &str| {
            Error::disk(format!(
                "write-ahead log identity: {what} failed; check the disk's space and health"
            ))
        };
        let mut body = FORMAT.to_le_bytes().to_vec();
        self.put(&mut body);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        let mut file = files.create(DRAFT).map_err(failed("creating"))?;
        file.write_at(0, &bytes).map_err(failed("writing"))?;
        file.sync().map_err(failed("syncing"))?;
        files.rename(DRAFT, NAME).map_err(failed("renaming"))?;
        files.sync_dir(NAME).map_err(failed("syncing its folder"))
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.wal_id.0.to_le_bytes());
        out.extend_from_slice(&self.boot.to_le_bytes());
        out.extend_from_slice(&self.floor.0.to_le_bytes());
        self.accepted.put(out);
        out.extend_from_slice(&(self.missed.len() as u32).to_le_bytes());
        for one in &self.missed {
            out.extend_from_slice(&one.last.0.to_le_bytes());
            put_text(out, one.key.0.as_str());
            put_text(out, &one.key.1);
            put_text(out, &one.reason);
            one.rows.put(out);
        }
        out.push(u8::from(self.leftover.is_some()));
        out.extend_from_slice(&self.leftover.map_or(0, |id| id.0).to_le_bytes());
    }

    fn take(bytes: &mut Bytes<'_>) -> Option<Identity> {
        let wal_id = WalId(bytes.u128()?);
        let boot = bytes.u64()?;
        let floor = Position(bytes.u64()?);
        let accepted = Accepted::take(bytes)?;
        let mut missed = Vec::new();
        for _ in 0..bytes.u32()? {
            missed.push(Missed {
                last: Position(bytes.u64()?),
                key: take_key(bytes)?,
                reason: bytes.text()?.to_owned(),
                rows: Tally::take(bytes)?,
            });
        }
        let (told, leftover) = (bytes.u8()?, WalId(bytes.u128()?));
        let leftover = (told != 0).then_some(leftover);
        Some(Identity { wal_id, boot, floor, accepted, missed, leftover })
    }
}
