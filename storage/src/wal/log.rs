//! The log itself: append, sync, rotate, release.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use schema::{Catalog, Position, WalId};

use super::frame::{Draft, Kind, Seal};
use super::identity::Identity;
use super::ledger::{self, Accepted, Key, Tally};
use super::open::{self, Recovered};
use super::rows::{Encoder, Head};
use super::segment::{self, End, Header};
use super::{Entry, File, Files, Loss, Opened};
use crate::settings::Sync;
use crate::{Error, SegmentInfo, WalSettings, failpoint};

/// Capacity that an encoding buffer keeps between groups.
pub(super) const KEPT_BUFFER: usize = 16 << 20;

/// An open log. Every method blocks; one thread owns it.
///
/// After an error of [`append`](Self::append) or [`sync`](Self::sync) the log
/// is whole and its next use tries again, on a fresh segment if the old one can
/// no longer be trusted. Positions of a failed group are not given again.
pub struct Log {
    pub(super) files: Arc<dyn Files>,
    pub(super) catalog: Catalog,
    pub(super) identity: Mutex<Identity>,
    pub(super) settings: WalSettings,
    pub(super) encoder: Encoder,
    pub(super) buffer: Vec<u8>,
    pub(super) accepted: Accepted,
    pub(super) next: Position,
    /// Oldest first; `end` is the last one's.
    pub(super) closed: Vec<Segment>,
    pub(super) end: Option<End>,
    /// None while no segment could be begun: the disk is full or broken.
    pub(super) active: Option<Active>,
}

/// A closed segment.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub first: Position,
    /// Of its valid part; `bytes` is what it takes on the disk.
    pub end: u64,
    pub bytes: u64,
    /// None: it holds no record.
    pub last: Option<Position>,
    pub oldest: Option<i64>,
}

/// The segment that is written to.
pub(super) struct Active {
    file: Box<dyn File>,
    seal: Seal,
    /// `end` is the end of the last group that was acked.
    segment: Segment,
    /// Fingerprints of the schemas it holds.
    schemas: BTreeSet<u64>,
    unsynced: bool,
}

/// A group in the buffer.
struct Encoded {
    positions: Vec<Position>,
    schemas: BTreeSet<u64>,
    accepted: BTreeMap<Key, Tally>,
}

impl Segment {
    pub fn end_of(&self) -> End {
        let position = self.last.unwrap_or(Position::ZERO);
        End { segment: self.first, offset: self.end, position }
    }

    fn info(&self) -> SegmentInfo {
        SegmentInfo {
            name: segment::name(self.first),
            bytes: self.bytes,
            first: self.last.map(|_| self.first),
            last: self.last,
            oldest_unix_nano: self.oldest,
        }
    }
}

impl Log {
    /// Opens the log in a folder, or starts one in an empty folder: checks
    /// that everything is of this log and version (F20, the only refusals),
    /// finds its end, cuts a torn tail (F18), begins a new segment.
    pub fn open(
        files: Arc<dyn Files>,
        settings: &WalSettings,
        catalog: &Catalog,
    ) -> Result<Opened, Error> {
        let recovered = open::recover(&*files)?;
        let Recovered { identity, segments, end, accepted, next, torn_bytes } = recovered;
        let mut opened = Opened {
            wal_id: identity.wal_id,
            boot: identity.boot,
            last: Position(next.0 - 1),
            accepted: accepted.list(),
            losses: ledger::losses(&identity.missed),
            torn_bytes,
            log: Log {
                files,
                catalog: catalog.clone(),
                identity: Mutex::new(identity),
                settings: settings.clone(),
                encoder: Encoder::new()?,
                buffer: Vec::new(),
                accepted,
                next,
                closed: segments,
                end,
                active: None,
            },
        };
        opened.log.begin()?;
        Ok(opened)
    }

    /// Writes one record per entry: one write, and under `Sync::Always` one
    /// fsync, for the whole group. Positions are in the order of the entries.
    ///
    /// On an error nothing of the group is ever replayed, unless the process
    /// dies before the disk takes either the cut or the next segment's fence.
    pub fn append(&mut self, group: Vec<Entry>) -> Result<Vec<Position>, Error> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        if self.active.as_ref().is_none_or(|a| a.segment.end >= self.settings.segment_bytes) {
            self.rotate()?;
        }
        let mut active = self.active.take().ok_or_else(|| {
            Error::Internal("the write-ahead log has no segment after a rotation".into())
        })?;
        let encoded = match self.encode(&active, &group) {
            Ok(encoded) => encoded,
            Err(error) => {
                self.active = Some(active);
                return Err(error);
            }
        };
        let bytes = self.buffer.len() as u64;
        self.next = encoded.positions.last().map_or(self.next, |last| last.next());

        failpoint::hit("wal_before_write");
        if let Err(error) = active.file.write_at(active.segment.end, &self.buffer) {
            let context = failed(&active, "writing a group");
            self.cut(active);
            return Err(context(error));
        }
        active.unsynced = true;
        if self.settings.sync == Sync::Always
            && let Err(error) = active.sync()
        {
            // The segment is closed where the group starts: that is the fence.
            let context = failed(&active, "syncing a group");
            self.close(active);
            self.begin_or_later();
            return Err(context(error));
        }

        let segment = &mut active.segment;
        segment.end += bytes;
        segment.bytes = segment.end;
        segment.last = encoded.positions.last().copied();
        segment.oldest = segment.oldest.or(group.first().map(|entry| entry.received_unix_nano));
        active.schemas.extend(encoded.schemas);
        self.active = Some(active);
        for (key, rows) in encoded.accepted {
            self.accepted.set(&key, rows);
        }
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        Ok(encoded.positions)
    }

    /// Makes everything appended durable, whatever the policy; begins a segment
    /// if there is none. Nothing may be staged before: a position that a power
    /// loss takes back is given again.
    ///
    /// After an error what was appended since the last `Ok` may be lost in a
    /// power loss, though not in a crash of this process.
    pub fn sync(&mut self) -> Result<(), Error> {
        let Some(mut active) = self.active.take() else { return self.begin() };
        if !active.unsynced {
            self.active = Some(active);
            return Ok(());
        }
        match active.sync() {
            Ok(()) => {
                self.active = Some(active);
                Ok(())
            }
            Err(error) => {
                let context = failed(&active, "syncing");
                self.close(active);
                self.begin_or_later();
                Err(context(error))
            }
        }
    }

    /// Begins a segment if a failure has left none; does nothing else.
    pub fn mend(&mut self) -> Result<(), Error> {
        if self.active.is_some() { Ok(()) } else { self.begin() }
    }

    /// Closes the active segment and begins the next. Does nothing to one that
    /// holds no record.
    pub fn rotate(&mut self) -> Result<(), Error> {
        let Some(mut active) = self.active.take() else { return self.begin() };
        if active.segment.last.is_none() {
            self.active = Some(active);
            return Ok(());
        }
        let synced = if active.unsynced { active.sync() } else { Ok(()) };
        let context = failed(&active, "syncing before its end");
        self.close(active);
        self.begin()?;
        synced.map_err(context)
    }

    /// Deletes the segments whose records all lie at or below `up_to`, oldest
    /// first (D3). The caller vouches that those are durable elsewhere, for
    /// every table. Returns the bytes freed.
    pub fn release(&mut self, up_to: Position) -> Result<u64, Error> {
        let whole = |segment: &Segment| segment.last.is_none_or(|last| last <= up_to);
        let spent = |active: &Active| active.segment.last.is_some_and(|last| last <= up_to);
        if self.active.as_ref().is_some_and(spent) && self.closed.iter().all(whole) {
            self.rotate()?;
        }
        let mut freed = 0;
        while let Some(segment) = self.closed.first().filter(|segment| whole(segment)) {
            if self.active.is_none() && self.closed.len() == 1 {
                // Its end is still to be told to the next segment.
                break;
            }
            let name = segment::name(segment.first);
            let context = format!("removing write-ahead log segment {name} failed; check the disk");
            failpoint::hit("wal_before_release");
            self.files.remove(&name).map_err(Error::disk(&context))?;
            // One by one, so that no power loss leaves a gap in the middle.
            self.files.sync_dir(&name).map_err(Error::disk(&context))?;
            freed += segment.bytes;
            self.closed.remove(0);
        }
        Ok(freed)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, |active| active.segment.bytes);
        active + self.closed.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    /// The segments, oldest first; the last one is written to.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.extents().iter().map(Segment::info).collect()
    }

    /// The last position that may ever have been given.
    pub fn last(&self) -> Position {
        Position(self.next.0 - 1)
    }

    /// The log's folder. Who holds it keeps the folder locked.
    pub fn files(&self) -> Arc<dyn Files> {
        self.files.clone()
    }

    pub fn wal_id(&self) -> WalId {
        self.identity.lock().wal_id
    }

    /// Acked rows that cannot be read any more, since the id was minted, as
    /// far as a replay has found.
    pub fn losses(&self) -> Vec<Loss> {
        ledger::losses(&self.identity.lock().missed)
    }

    pub(super) fn extents(&self) -> Vec<Segment> {
        let active = self.active.as_ref().map(|active| &active.segment);
        self.closed.iter().chain(active).cloned().collect()
    }

    fn encode(&mut self, active: &Active, group: &[Entry]) -> Result<Encoded, Error> {
        self.buffer.clear();
        let base = active.segment.end;
        let first = self.next;
        let mut position = first;
        let mut encoded = Encoded {
            positions: Vec::with_capacity(group.len()),
            schemas: BTreeSet::new(),
            accepted: BTreeMap::new(),
        };
        for entry in group {
            let schema = self.encoder.schema(entry.table.name, entry.rows.layout());
            let fingerprint = schema.fingerprint;
            if !active.schemas.contains(&fingerprint) && encoded.schemas.insert(fingerprint) {
                let draft = Draft::begin(&mut self.buffer, |_| {});
                self.buffer.extend_from_slice(&schema.bytes);
                let place = (position, first);
                draft.finish(&mut self.buffer, base, Kind::Schema, place, &active.seal)?;
            }
            let key = (entry.tenant.clone(), entry.table.name.to_owned());
            let before = encoded.accepted.get(&key).copied();
            let before = before.unwrap_or_else(|| self.accepted.of(&key));
            let head = Head {
                received_unix_nano: entry.received_unix_nano,
                schema: fingerprint,
                rows: u32::try_from(entry.rows.num_rows()).map_err(|_| {
                    Error::Internal("a batch of over 2^32 rows reached the log".into())
                })?,
                counts: Tally::of(&entry.counts),
                before,
                key,
            };
            let draft = Draft::begin(&mut self.buffer, |out| head.put(out));
            self.encoder.rows(&entry.rows, &schema, &mut self.buffer)?;
            draft.finish(&mut self.buffer, base, Kind::Rows, (position, first), &active.seal)?;
            encoded.accepted.insert(head.key, before.plus(head.counts));
            encoded.positions.push(position);
            position = position.next();
        }
        let (used, limit) = (self.bytes_with(active), self.settings.max_bytes);
        if used + self.buffer.len() as u64 > limit {
            return Err(Error::Busy(format!(
                "write-ahead log holds {used} of wal.max_bytes {limit}; it empties as rows are staged, raise the limit if it stays full"
            )));
        }
        Ok(encoded)
    }

    fn bytes_with(&self, active: &Active) -> u64 {
        self.bytes() + active.segment.bytes
    }

    /// After a failed write: cuts what it left. If even that fails the segment
    /// is closed before it, and the next one fences it off.
    fn cut(&mut self, mut active: Active) {
        let end = active.segment.end;
        match active.file.truncate(end).and_then(|()| active.file.sync()) {
            Ok(()) => {
                active.unsynced = false;
                self.active = Some(active);
            }
            Err(_) => {
                // The write's own error is the one that is reported.
                self.close(active);
                self.begin_or_later();
            }
        }
    }

    fn close(&mut self, active: Active) {
        self.end = Some(active.segment.end_of());
        self.closed.push(active.segment);
    }

    /// Begins the next segment. Its name is the next position: no other one
    /// ever has it, but for one that was begun and never written to.
    fn begin(&mut self) -> Result<(), Error> {
        let identity = self.identity.lock();
        let header = Header {
            wal_id: identity.wal_id,
            boot: identity.boot,
            first: self.next,
            previous: self.end,
            accepted: self.accepted.clone(),
        };
        drop(identity);
        let (file, end) = header.create(&*self.files)?;
        self.active = Some(Active {
            file,
            seal: Seal::of(header.wal_id, header.first),
            segment: Segment { first: header.first, end, bytes: end, last: None, oldest: None },
            schemas: BTreeSet::new(),
            unsynced: false,
        });
        Ok(())
    }

    /// Begins the next segment now if the disk lets it: the sooner the fence
    /// is durable, the better. Otherwise the next append does.
    fn begin_or_later(&mut self) {
        if let Err(error) = self.begin() {
            tracing::warn!(%error, "no new write-ahead log segment yet; the next append tries again");
        }
    }
}

impl Active {
    fn sync(&mut self) -> std::io::Result<()> {
        failpoint::hit("wal_before_fsync");
        self.file.sync()?;
        failpoint::hit("wal_after_fsync");
        self.unsynced = false;
        Ok(())
    }
}

fn failed(active: &Active, what: &str) -> impl FnOnce(std::io::Error) -> Error + use<> {
    Error::disk(format!(
        "write-ahead log segment {}: {what} failed; free space on its volume or check the disk",
        segment::name(active.segment.first)
    ))
}
