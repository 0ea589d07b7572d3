//! Replay: every record above what is staged or committed, once, in order (D4).

use arrow::buffer::Buffer;
use schema::{Position, Tenant};

use super::frame::{Frame, Kind, Seal};
use super::ledger::{Auditor, DAMAGED, Key, Missed, Tally, UNDECODABLE, UNKNOWN_TABLE};
use super::log::{Log, Segment};
use super::quarantine::Quarantine;
use super::rows::{self, Head, Schemas};
use super::scan::{Found, Scanner};
use super::segment::{self, Beginning};
use super::{Replayed, form, ledger};
use crate::Error;

type Wanted<'a> = &'a dyn Fn(&Tenant, &str) -> Position;
type Each<'a> = &'a mut dyn FnMut(Replayed) -> Result<(), Error>;

struct Replay<'a> {
    log: &'a Log,
    wanted: Wanted<'a>,
    each: Each<'a>,
    auditor: Auditor,
    schemas: Schemas,
    quarantine: Quarantine<'a>,
    missed: Vec<Missed>,
    /// A hole was passed and no frame since.
    in_hole: bool,
    /// Tables whose mapping was told already.
    told: Vec<(String, u64)>,
}

impl Log {
    /// Hands out, in position order, every record above what `wanted` says for
    /// its tenant and table. One record is in memory at a time.
    ///
    /// A record that cannot be read is counted in [`Log::losses`], copied to
    /// the quarantine and passed over (F19, F37); one at or below `wanted` is
    /// not looked at. An error of `each` ends the replay and is returned.
    pub fn replay(&self, wanted: Wanted<'_>, each: Each<'_>) -> Result<(), Error> {
        let segments = self.extents();
        let oldest = segments.first().map_or(self.last().next(), |segment| segment.first);
        let mut missed = self.identity.lock().missed.clone();
        // What this replay would find again is left for it to find.
        missed.retain(|one| one.last < oldest || one.last <= wanted(&one.key.0, &one.key.1));
        let mut replay = Replay {
            log: self,
            wanted,
            each,
            auditor: Auditor::new(),
            schemas: Schemas::of(&self.catalog)?,
            quarantine: Quarantine::of(&*self.files)?,
            missed,
            in_hole: false,
            told: Vec::new(),
        };
        for segment in &segments {
            replay.segment(segment)?;
        }
        let mut missed = replay.missed;
        ledger::fold(&mut missed, oldest);
        let mut identity = self.identity.lock();
        if identity.missed != missed {
            identity.missed = missed;
            if let Err(error) = identity.write(&*self.files) {
                // The next start finds the same damage.
                tracing::warn!(%error, "losses of the write-ahead log could not be written down");
            }
        }
        Ok(())
    }
}

impl Replay<'_> {
    fn segment(&mut self, extent: &Segment) -> Result<(), Error> {
        let (first, end) = (extent.first, extent.end);
        let name = segment::name(first);
        let file = self.log.files.open(&name).map_err(Error::disk(format!(
            "write-ahead log segment {name} could not be opened; check its owner and permissions"
        )))?;
        let start = match Beginning::read(&*file, end, first)? {
            Beginning::Intact(header, start) => {
                if std::mem::take(&mut self.in_hole) {
                    self.auditor.hole(first);
                }
                for (key, before) in &header.accepted.0 {
                    self.audit(key, *before, first);
                }
                self.auditor.start(&header.accepted, first);
                start
            }
            _ => 0,
        };
        let seal = Seal::of(self.log.identity.lock().wal_id, first);
        let mut scanner = Scanner::new(file, first, seal, start, end);
        while let Some(found) = scanner.next()? {
            match found {
                Found::Hole { from, to } => {
                    self.in_hole = true;
                    let bytes = || scanner.bytes(from, to);
                    self.quarantine.keep(first, (from, to - from), "no valid record", bytes);
                }
                Found::Frame(frame) => {
                    if std::mem::take(&mut self.in_hole) {
                        self.auditor.hole(frame.position);
                    }
                    self.frame(first, &mut scanner, frame)?;
                }
            }
        }
        Ok(())
    }

    fn frame(
        &mut self,
        segment: Position,
        scanner: &mut Scanner,
        frame: Frame,
    ) -> Result<(), Error> {
        if frame.kind == Kind::Schema {
            match scanner.payload(&frame)? {
                Some(payload) => self.schemas.learn(&payload),
                None => self.keep(segment, scanner, &frame, "a schema's checksum is wrong"),
            }
            return Ok(());
        }
        let Some(head) = Head::parse(&frame.head) else {
            self.in_hole = true;
            self.keep(segment, scanner, &frame, "a record without a readable head");
            return Ok(());
        };
        let (key, position) = (head.key.clone(), frame.position);
        self.audit(&key, head.before, position);
        if position <= (self.wanted)(&key.0, &key.1) {
            self.auditor.saw(&key, head.before, head.counts, position);
            return Ok(());
        }
        let Some(payload) = scanner.payload(&frame)? else {
            self.auditor.damaged(key, head.counts, position);
            self.keep(segment, scanner, &frame, "a record's checksum is wrong");
            return Ok(());
        };
        self.auditor.saw(&key, head.before, head.counts, position);
        match self.read(&head, position, &payload) {
            Ok(replayed) => (self.each)(replayed),
            Err((reason, why)) => {
                self.miss(&key, head.counts, position, reason);
                self.keep(segment, scanner, &frame, &why);
                Ok(())
            }
        }
    }

    fn read(
        &mut self,
        head: &Head,
        position: Position,
        payload: &Buffer,
    ) -> Result<Replayed, (&'static str, String)> {
        let (tenant, name) = &head.key;
        let table = self.log.catalog.get(name).cloned();
        let table = table.ok_or_else(|| (UNKNOWN_TABLE, format!("no table is called {name}")))?;
        let undecodable = |why: String| (UNDECODABLE, why);
        let schema = self.schemas.get(head.schema).cloned();
        let schema = schema.ok_or_else(|| undecodable("its schema is lost".into()))?;
        let rows = rows::decode(head, &schema, &table, payload).map_err(undecodable)?;
        let seen = (name.clone(), head.schema);
        if !self.told.contains(&seen) {
            let columns = form::changed(&schema, &table.layout);
            if !columns.is_empty() {
                tracing::warn!(
                    table = name,
                    ?columns,
                    "columns of logged rows are not of today's table: their values are dropped or cast"
                );
            }
            self.told.push(seen);
        }
        Ok(Replayed {
            position,
            tenant: tenant.clone(),
            table,
            counts: head.counts.counts(),
            rows,
            received_unix_nano: head.received_unix_nano,
        })
    }

    /// `before` rows were accepted before `here`; what of them was not seen
    /// and is still wanted is lost.
    fn audit(&mut self, key: &Key, before: Tally, here: Position) {
        for (rows, last) in self.auditor.expect(key, before, here) {
            self.miss(key, rows, last, DAMAGED);
        }
    }

    fn miss(&mut self, key: &Key, rows: Tally, last: Position, reason: &str) {
        if last > (self.wanted)(&key.0, &key.1) {
            let reason = reason.to_owned();
            self.missed.push(Missed { last, key: key.clone(), rows, reason });
        }
    }

    fn keep(&mut self, segment: Position, scanner: &Scanner, frame: &Frame, why: &str) {
        let (from, to) = (frame.offset, frame.end());
        self.quarantine.keep(segment, (from, to - from), why, || scanner.bytes(from, to));
    }
}
