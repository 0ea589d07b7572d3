//! Rows that the log has accepted, and by subtraction those it has lost.
//!
//! Every record and every segment says how many rows were accepted before it.
//! Where a reader has seen fewer, rows are missing, and it knows how many.

use std::collections::BTreeMap;

use schema::{Door, Position, Tenant};

use super::Loss;
use super::wire::{Bytes, put_text};

/// Rows per door.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally([u64; Door::ALL.len()]);

impl Tally {
    pub fn of(counts: &[(Door, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (door, rows) in counts {
            tally.0[*door as usize - 1] += rows;
        }
        tally
    }

    pub fn is_zero(self) -> bool {
        self == Tally::default()
    }

    pub fn plus(self, other: Tally) -> Tally {
        self.zip(other, u64::saturating_add)
    }

    /// What is in `self` and not in `other`.
    pub fn minus(self, other: Tally) -> Tally {
        self.zip(other, u64::saturating_sub)
    }

    pub fn max(self, other: Tally) -> Tally {
        self.zip(other, u64::max)
    }

    pub fn holds(self, part: Tally) -> bool {
        self.minus(part).plus(part) == self
    }

    pub fn counts(self) -> Vec<(Door, u64)> {
        let doors = Door::ALL.into_iter().map(|door| (door, self.0[door as usize - 1]));
        doors.filter(|(_, rows)| *rows > 0).collect()
    }

    fn zip(self, other: Tally, join: fn(u64, u64) -> u64) -> Tally {
        Tally(std::array::from_fn(|door| join(self.0[door], other.0[door])))
    }

    pub fn put(self, out: &mut Vec<u8>) {
        let counts = self.counts();
        out.push(counts.len() as u8);
        for (door, rows) in counts {
            out.push(door as u8);
            out.extend_from_slice(&rows.to_le_bytes());
        }
    }

    /// A door that this build does not know is left out: its rows are kept,
    /// only the books cannot name their door.
    pub fn take(bytes: &mut Bytes<'_>) -> Option<Tally> {
        let mut counts = Vec::new();
        for _ in 0..bytes.u8()? {
            let (code, rows) = (bytes.u8()?, bytes.u64()?);
            match Door::from_code(code) {
                Some(door) => counts.push((door, rows)),
                None => {
                    tracing::warn!(code, rows, "write-ahead log counts rows of an unknown door")
                }
            }
        }
        let mut tally = Tally::default();
        for count in counts {
            tally = tally.plus(Tally::of(&[count]));
        }
        Some(tally)
    }
}

pub(super) type Key = (Tenant, String);

/// Rows accepted per tenant and table since the log's id was minted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Accepted(pub BTreeMap<Key, Tally>);

impl Accepted {
    pub fn of(&self, key: &Key) -> Tally {
        self.0.get(key).copied().unwrap_or_default()
    }

    pub fn add(&mut self, key: &Key, rows: Tally) {
        self.set(key, self.of(key).plus(rows));
    }

    pub fn set(&mut self, key: &Key, rows: Tally) {
        match self.0.get_mut(key) {
            Some(tally) => *tally = rows,
            None => {
                self.0.insert(key.clone(), rows);
            }
        }
    }

    /// Takes over what the other knows more of; accepted rows only grow.
    pub fn raise(&mut self, other: &Accepted) {
        for (key, rows) in &other.0 {
            self.set(key, self.of(key).max(*rows));
        }
    }

    pub fn list(&self) -> Vec<(Tenant, String, Door, u64)> {
        let lines = self.0.iter().flat_map(|((tenant, table), rows)| {
            let counts = rows.counts().into_iter();
            counts.map(|(door, rows)| (tenant.clone(), table.clone(), door, rows))
        });
        lines.collect()
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.0.len() as u32).to_le_bytes());
        for ((tenant, table), rows) in &self.0 {
            put_text(out, tenant.as_str());
            put_text(out, table);
            rows.put(out);
        }
    }

    pub fn take(bytes: &mut Bytes<'_>) -> Option<Accepted> {
        let mut accepted = Accepted::default();
        for _ in 0..bytes.u32()? {
            let key = take_key(bytes)?;
            accepted.set(&key, Tally::take(bytes)?);
        }
        Some(accepted)
    }
}

pub(super) fn take_key(bytes: &mut Bytes<'_>) -> Option<Key> {
    let tenant = Tenant::new(bytes.text()?).ok()?;
    Some((tenant, bytes.text()?.to_owned()))
}

/// Lost rows. As long as their segment exists, every replay that wants them
/// finds the loss again; afterwards this line is all that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missed {
    /// The lost records lie at or below it.
    pub last: Position,
    pub key: Key,
    pub rows: Tally,
    pub reason: String,
}

pub(super) const DAMAGED: &str = "wal_damaged";
pub(super) const UNDECODABLE: &str = "wal_undecodable";
pub(super) const UNKNOWN_TABLE: &str = "wal_unknown_table";

/// One line per tenant, table and reason.
pub(super) fn losses(missed: &[Missed]) -> Vec<Loss> {
    let mut sums: BTreeMap<(Key, &str), Tally> = BTreeMap::new();
    for one in missed {
        let sum = sums.entry((one.key.clone(), &one.reason)).or_default();
        *sum = sum.plus(one.rows);
    }
    let line = |(((tenant, table), reason), rows): ((Key, &str), Tally)| Loss {
        tenant,
        table,
        counts: rows.counts(),
        reason: reason.into(),
    };
    sums.into_iter().map(line).collect()
}

/// Folds the losses below the oldest segment into one line each, so that the
/// list stays as short as the log.
pub(super) fn fold(missed: &mut Vec<Missed>, oldest: Position) {
    let mut kept: Vec<Missed> = Vec::new();
    for mut one in missed.drain(..) {
        if one.last >= oldest {
            kept.push(one);
            continue;
        }
        one.last = Position::ZERO;
        let same = |old: &&mut Missed| {
            old.last == one.last && old.key == one.key && old.reason == one.reason
        };
        match kept.iter_mut().find(same) {
            Some(old) => old.rows = old.rows.plus(one.rows),
            None => kept.push(one),
        }
    }
    *missed = kept;
}

/// Walks over records in order and finds what is missing between them.
pub(super) struct Auditor {
    seen: BTreeMap<Key, (Tally, Position)>,
    /// False until a segment's header has told where counting starts; before
    /// that a table's first record is taken as it is.
    started: bool,
    /// Records whose header is intact and whose payload is not.
    damaged: Vec<(Key, Tally, Position)>,
    /// The last hole lies below this record.
    hole_before: Option<Position>,
}

impl Auditor {
    pub fn new() -> Auditor {
        Auditor { seen: BTreeMap::new(), started: false, damaged: Vec::new(), hole_before: None }
    }

    /// A hole ended right before the record at `position`.
    pub fn hole(&mut self, position: Position) {
        self.hole_before = Some(position);
    }

    pub fn damaged(&mut self, key: Key, rows: Tally, position: Position) {
        self.damaged.push((key, rows, position));
    }

    /// `before` rows of this table were accepted before `here`. Returns what of
    /// it was never seen, and the last position that it can have.
    pub fn expect(&mut self, key: &Key, before: Tally, here: Position) -> Vec<(Tally, Position)> {
        let seen = self.seen.get(key).copied();
        let (rows, last) = match seen {
            None if !self.started => (before, Position::ZERO),
            None => (Tally::default(), Position::ZERO),
            Some(seen) => seen,
        };
        let mut missing = before.minus(rows);
        let mut found = Vec::new();
        // Of the damaged records, those that the counts confirm: one that was
        // never acked is not in them.
        self.damaged.retain(|(of, rows, position)| {
            if of != key || *position >= here {
                return true;
            }
            if !rows.is_zero() && missing.holds(*rows) {
                missing = missing.minus(*rows);
                found.push((*rows, *position));
            }
            false
        });
        if !missing.is_zero() {
            let hole = self.hole_before.filter(|hole| *hole > last && *hole < here).unwrap_or(here);
            found.push((missing, Position(hole.0.saturating_sub(1))));
        }
        if !found.is_empty() {
            self.seen.insert(key.clone(), (before, Position(here.0.saturating_sub(1))));
        }
        found
    }

    /// A record was seen; [`expect`](Self::expect) went before.
    pub fn saw(&mut self, key: &Key, before: Tally, rows: Tally, position: Position) {
        self.seen.insert(key.clone(), (before.plus(rows), position));
    }

    /// A segment's header was read: from here on every table's count is known.
    pub fn start(&mut self, accepted: &Accepted, first: Position) {
        if !self.started {
            self.started = true;
            let below = Position(first.0.saturating_sub(1));
            for (key, rows) in &accepted.0 {
                self.seen.entry(key.clone()).or_insert((*rows, below));
            }
        }
    }
}
