//! What a folder holds when a log is opened: whose it is, where it ends, which
//! rows it accepted. Nothing is changed before everything was found in order.

use schema::{Position, WalId};

use super::Files;
use super::frame::{FIXED, Frame, Kind, Seal};
use super::identity::{self, Identity};
use super::ledger::{self, Accepted, Key, Tally};
use super::log::Segment;
use super::rows::Head;
use super::scan::{Found, Scanner};
use super::segment::{self, Beginning, DRAFT_SUFFIX, End, Header};
use crate::Error;

/// The state in which the next segment is begun.
pub(super) struct Recovered {
    /// Already written, with this boot.
    pub identity: Identity,
    pub segments: Vec<Segment>,
    pub end: Option<End>,
    pub accepted: Accepted,
    pub next: Position,
    pub torn_bytes: u64,
}

struct Seen {
    first: Position,
    length: u64,
    header: Option<Header>,
    /// Where frames start; 0 under a lost header.
    start: u64,
    foreign: bool,
}

pub(super) fn recover(files: &dyn Files) -> Result<Recovered, Error> {
    let listed = files
        .list()
        .map_err(Error::disk("write-ahead log folder could not be listed; check the disk"))?;
    let known = match Identity::read(files)? {
        identity::Found::Newer(version) => return Err(newer(identity::NAME, version)),
        identity::Found::Intact(identity) => Some(*identity),
        identity::Found::Damaged => {
            tracing::error!("write-ahead log identity is damaged; its segments are asked instead");
            None
        }
        identity::Found::Nothing => None,
    };
    let mut seen = Vec::new();
    for (name, length) in &listed {
        if let Some(first) = segment::parse_name(name) {
            seen.push(look(files, first, *length)?);
        }
    }
    seen.sort_by_key(|segment| segment.first);
    let leftover = known.as_ref().and_then(|known| known.leftover);
    let of_leftover = |segment: &Seen| {
        leftover.is_some_and(|id| segment.header.as_ref().is_some_and(|header| header.wal_id == id))
    };
    let (leftovers, seen): (Vec<Seen>, Vec<Seen>) = seen.into_iter().partition(of_leftover);
    let untold = listed.iter().any(|(name, _)| name == identity::NAME) || !seen.is_empty();
    let wal_id = whose(known.as_ref(), &seen, untold)?;
    for segment in seen.iter().filter(|segment| segment.foreign) {
        if scanner(files, segment, wal_id, segment.length)?.frames()? == 0 {
            return Err(Error::Settings(format!(
                "{} is not a write-ahead log segment of cloudsail; move it out of wal.dir",
                segment::name(segment.first)
            )));
        }
    }

    let (mut segments, mut books, tail) = survey(files, wal_id, &seen, known.as_ref())?;
    if let Some(known) = &known {
        books.accepted.raise(&known.accepted);
    }
    let torn_bytes = seen.last().map_or(0, |last| last.length - tail.end);
    let floor = known.as_ref().map_or(Position(1), |known| known.floor);
    let mut next = floor.max(books.highest.next()).max(Position(1));
    if let Some(last) = seen.last() {
        next = next.max(last.first);
    }
    if torn_bytes > 0 {
        // What is cut may have been acked and committed before it rotted; a
        // position in it must not be given again. No record is smaller.
        next.0 += torn_bytes / FIXED as u64 + 1;
    }

    let boots = seen.iter().filter_map(|segment| segment.header.as_ref()).map(|header| header.boot);
    let boot = boots.chain(known.as_ref().map(|known| known.boot)).max().unwrap_or(0) + 1;
    let mut missed = known.map_or_else(Vec::new, |known| known.missed);
    ledger::fold(&mut missed, seen.first().map_or(next, |oldest| oldest.first));
    let identity = Identity {
        wal_id,
        boot,
        floor: next,
        accepted: books.accepted.clone(),
        missed,
        leftover: None,
    };
    // Gone for good before nobody knows any more that they are to go.
    for segment in &leftovers {
        remove(files, &segment::name(segment.first))?;
    }
    identity.write(files)?;

    // Only now: the floor that replaces the positions in the tail is durable.
    let end = finish(files, &seen, &mut segments, &tail, next);
    for (name, _) in listed.iter().filter(|(name, _)| name.ends_with(DRAFT_SUFFIX)) {
        if let Err(error) = files.remove(name) {
            tracing::warn!(name, %error, "a leftover of the write-ahead log could not be removed");
        }
    }
    Ok(Recovered { identity, segments, end, accepted: books.accepted, next, torn_bytes })
}

fn remove(files: &dyn Files, name: &str) -> Result<(), Error> {
    let context = format!("removing {name}, left over by a renewal, failed; check the disk");
    files.remove(name).map_err(Error::disk(&context))?;
    files.sync_dir(name).map_err(Error::disk(&context))
}

fn newer(name: &str, version: u32) -> Error {
    Error::Settings(format!(
        "write-ahead log {name} has format version {version}, this cloudsail knows {}; start the version that wrote it, or let that one drain before going back",
        segment::FORMAT
    ))
}

fn look(files: &dyn Files, first: Position, length: u64) -> Result<Seen, Error> {
    let name = segment::name(first);
    let file = files.open(&name).map_err(Error::disk(format!(
        "write-ahead log segment {name} could not be opened; check its owner and permissions"
    )))?;
    let (header, start, foreign) = match Beginning::read(&*file, length, first)? {
        Beginning::Newer(version) => return Err(newer(&name, version)),
        Beginning::Intact(header, start) => (Some(*header), start, false),
        Beginning::Lost => (None, 0, false),
        Beginning::Foreign => (None, 0, true),
    };
    Ok(Seen { first, length, header, start, foreign })
}

/// The log's id: the identity's, else the one all segments agree on, else new.
fn whose(known: Option<&Identity>, seen: &[Seen], untold: bool) -> Result<WalId, Error> {
    let mut headers = seen.iter().filter_map(|segment| segment.header.as_ref());
    let told = known.map(|known| known.wal_id).or(headers.clone().next().map(|h| h.wal_id));
    let Some(wal_id) = told else {
        if untold {
            return Err(Error::Settings(
                "write-ahead log identity cannot be read and no segment tells whose log this is; restore wal.dir from a copy, or move it away to start anew".into(),
            ));
        }
        return Ok(WalId(uuid::Uuid::new_v4().as_u128()));
    };
    match headers.find(|header| header.wal_id != wal_id) {
        Some(other) => Err(Error::Settings(format!(
            "write-ahead log segment {} belongs to log {}, this folder is of log {wal_id}; move it back to its own folder",
            segment::name(other.first),
            other.wal_id
        ))),
        None => Ok(wal_id),
    }
}

fn scanner(files: &dyn Files, seen: &Seen, wal_id: WalId, end: u64) -> Result<Scanner, Error> {
    let name = segment::name(seen.first);
    let file = files.open(&name).map_err(Error::disk(format!(
        "write-ahead log segment {name} could not be opened; check its owner and permissions"
    )))?;
    Ok(Scanner::new(file, seen.first, Seal::of(wal_id, seen.first), seen.start, end))
}

/// Rows accepted up to the end of the log.
struct Count {
    accepted: Accepted,
    /// Records with a broken payload, until it is known if they were acked.
    damaged: Vec<(Key, Tally, Frame)>,
    highest: Position,
}

/// Where the last segment's valid part ends.
#[derive(Default)]
struct Tail {
    end: u64,
    last: Option<Position>,
    oldest: Option<i64>,
}

fn survey(
    files: &dyn Files,
    wal_id: WalId,
    seen: &[Seen],
    known: Option<&Identity>,
) -> Result<(Vec<Segment>, Count, Tail), Error> {
    // Counting starts at the newest intact header; before it only the times
    // of the first records are of interest.
    let base = seen.iter().rposition(|segment| segment.header.is_some());
    let accepted = match base.and_then(|base| seen[base].header.as_ref()) {
        Some(header) => header.accepted.clone(),
        None => known.map(|known| known.accepted.clone()).unwrap_or_default(),
    };
    let mut count = Count { accepted, damaged: Vec::new(), highest: Position::ZERO };
    let mut tail = Tail::default();
    let mut segments = Vec::new();
    for (index, one) in seen.iter().enumerate() {
        let next = seen.get(index + 1);
        let told = next.and_then(|next| next.header.as_ref()?.previous);
        let told = told.filter(|end| end.segment == one.first);
        let end = told.map_or(one.length, |end| end.offset.min(one.length));
        let mut scanner = scanner(files, one, wal_id, end)?;
        let (last, oldest) = if index >= base.unwrap_or(0) {
            tail = count.walk(&mut scanner, one.start)?;
            (tail.last, tail.oldest)
        } else {
            let bound = next.map(|next| Position(next.first.0.saturating_sub(1)));
            let last = told.map_or(bound, |end| Some(end.position).filter(|p| p.0 > 0));
            (last, scanner.oldest()?)
        };
        segments.push(Segment { first: one.first, end, bytes: one.length, last, oldest });
    }
    Ok((segments, count, tail))
}

impl Count {
    fn walk(&mut self, scanner: &mut Scanner, start: u64) -> Result<Tail, Error> {
        let mut tail = Tail { end: start, ..Tail::default() };
        while let Some(found) = scanner.next()? {
            let Found::Frame(frame) = found else { continue };
            let sound = scanner.payload(&frame)?.is_some();
            let head =
                Some(&frame).filter(|f| f.kind == Kind::Rows).and_then(|f| Head::parse(&f.head));
            if frame.kind == Kind::Rows {
                self.highest = self.highest.max(frame.position);
            }
            if sound {
                // Of the last frame the padding alone may be torn.
                tail.end = frame.end().min(scanner.end());
                self.confirm(frame.group);
            }
            let Some(head) = head else { continue };
            if !sound {
                self.damaged.push((head.key, head.counts, frame));
                continue;
            }
            tail.last = Some(frame.position);
            tail.oldest = tail.oldest.or(Some(head.received_unix_nano));
            // The count before this record has settled older ones of its table.
            self.damaged.retain(|(key, _, _)| *key != head.key);
            let before = self.accepted.of(&head.key).max(head.before);
            self.accepted.set(&head.key, before.plus(head.counts));
        }
        Ok(tail)
    }

    /// A later group was written, so the groups before it were acked.
    fn confirm(&mut self, group: Position) {
        let accepted = &mut self.accepted;
        self.damaged.retain(|(key, rows, frame)| {
            if frame.group < group {
                accepted.add(key, *rows);
            }
            frame.group >= group
        });
    }
}

impl Scanner {
    /// When the first record was received.
    fn oldest(&mut self) -> Result<Option<i64>, Error> {
        while let Some(found) = self.next()? {
            if let Found::Frame(frame) = found
                && let Some(head) = Head::parse(&frame.head).filter(|_| frame.kind == Kind::Rows)
            {
                return Ok(Some(head.received_unix_nano));
            }
        }
        Ok(None)
    }

    fn frames(mut self) -> Result<u64, Error> {
        let mut frames = 0;
        while let Some(found) = self.next()? {
            frames += u64::from(matches!(found, Found::Frame(_)));
        }
        Ok(frames)
    }
}

/// Cuts the torn tail, makes the rest durable and tells where the newest kept
/// segment ends.
fn finish(
    files: &dyn Files,
    seen: &[Seen],
    segments: &mut Vec<Segment>,
    tail: &Tail,
    next: Position,
) -> Option<End> {
    let last = seen.last()?;
    let newest = segments.last_mut()?;
    newest.end = tail.end;
    let name = segment::name(last.first);
    let settled = files.open(&name).and_then(|mut file| {
        if tail.end > 0 {
            file.truncate(tail.end)?;
            newest.bytes = tail.end;
        }
        // What a dead process wrote may be in the page cache only; rows that
        // come back must not go with the next power loss.
        file.sync()
    });
    if let Err(error) = settled {
        // The next segment's header fences the tail all the same.
        tracing::warn!(segment = name, %error, "the last segment could not be cut and synced");
    }
    if last.first == next {
        // It holds nothing, and the next segment takes its name and its place.
        segments.pop();
        let before = segments.last().map(Segment::end_of);
        return last.header.as_ref().map_or(before, |header| header.previous);
    }
    Some(newest.end_of())
}
