//! A subject's recent rows, a cell per second of arrival, and all since the
//! injection. What arrived before the guards listened, or was missed, is asked
//! for by SQL and takes the place of those seconds.

use std::collections::{HashSet, VecDeque};

use super::tally::{Mark, Tally};

pub const SECOND: i64 = 1_000_000_000;

/// Rows of a subject that are told apart. Beyond so many within one window a row
/// that was sent twice counts twice.
pub const DISTINCT: usize = 1 << 18;

#[derive(Debug, Default)]
struct Cell {
    second: i64,
    tally: Tally,
    ids: Vec<u64>,
}

#[derive(Debug)]
pub struct Ring {
    /// Whole seconds that are kept.
    span: i64,
    /// How old what a row tells of may be when it arrives, in nanoseconds: older
    /// ones say nothing of now.
    late: i64,
    cells: VecDeque<Cell>,
    ids: HashSet<u64>,
    /// Since when all is counted, once that is known.
    since: Option<i64>,
    /// All since then: by SQL, streamed before [`Ring::whole`], and after it.
    total: [Tally; 3],
    /// The first second that was streamed whole; earlier ones are SQL's to tell.
    whole: i64,
    restored: bool,
}

const ASKED: usize = 0;
const BEFORE: usize = 1;
const AFTER: usize = 2;

impl Ring {
    /// Listens from the second after `now` on.
    pub fn new(span: i64, late: i64, now: i64) -> Ring {
        Ring {
            span,
            late,
            cells: VecDeque::new(),
            ids: HashSet::new(),
            since: None,
            total: Default::default(),
            whole: now.div_euclid(SECOND) + 1,
            restored: false,
        }
    }

    /// Whole seconds that are kept.
    pub fn span(&self) -> i64 {
        self.span
    }

    pub fn counts_since(&self) -> Option<i64> {
        self.since
    }

    /// Counts everything from `at` on as well.
    pub fn since(&mut self, at: i64) {
        if self.since != Some(at) {
            self.since = Some(at);
            self.total = Default::default();
        }
    }

    /// Rows were missed up to now: what was counted is too little until it is
    /// asked for again.
    pub fn lost(&mut self, now: i64) {
        self.whole = now.div_euclid(SECOND) + 1;
        self.restored = false;
        let after = std::mem::take(&mut self.total[AFTER]);
        self.total[BEFORE].add(&after);
    }

    /// The end of what must be asked for, until it was.
    pub fn wanted(&self) -> Option<i64> {
        (!self.restored).then_some(self.whole * SECOND)
    }

    /// What was asked for: seconds before `whole`, and all since the injection
    /// up to then. An answer to an older question is passed over.
    pub fn restore(&mut self, whole: i64, seconds: Vec<(i64, Tally)>, total: Tally) {
        if whole != self.whole * SECOND {
            return;
        }
        self.cells.retain(|cell| cell.second >= self.whole);
        for (second, tally) in seconds.into_iter().rev().filter(|(s, _)| *s < self.whole) {
            self.cells.push_front(Cell { second, tally, ids: Vec::new() });
        }
        self.cells.make_contiguous().sort_by_key(|cell| cell.second);
        self.total[ASKED] = total;
        self.total[BEFORE] = Tally::default();
        self.restored = true;
    }

    /// Whether all that arrived since this second is counted.
    pub fn knows(&self, from: i64) -> bool {
        self.restored || from >= self.whole
    }

    /// Rows that arrived in one second.
    pub fn take(&mut self, second: i64, marks: &[Mark]) {
        // Told by SQL already, or older than anybody asks for.
        let newest = self.cells.back().map_or(second, |cell| cell.second.max(second));
        if (self.restored && second < self.whole) || second <= newest - self.span {
            return;
        }
        self.forget(newest);
        let at = self.cells.partition_point(|cell| cell.second < second);
        if self.cells.get(at).is_none_or(|cell| cell.second != second) {
            self.cells.insert(at, Cell { second, ..Cell::default() });
        }
        let cell = &mut self.cells[at];
        let part = if second < self.whole { BEFORE } else { AFTER };
        for mark in marks {
            if mark.ended < second * SECOND - self.late {
                continue;
            }
            if self.ids.len() < DISTINCT {
                if !self.ids.insert(mark.id) {
                    continue;
                }
                cell.ids.push(mark.id);
            }
            cell.tally.count(mark);
            if self.since.is_some_and(|since| mark.ended >= since && (second + 1) * SECOND > since)
            {
                self.total[part].count(mark);
            }
        }
    }

    /// Lets go of what is older than the span.
    pub fn forget(&mut self, newest: i64) {
        while self.cells.front().is_some_and(|cell| cell.second <= newest - self.span) {
            for id in self.cells.pop_front().into_iter().flat_map(|cell| cell.ids) {
                self.ids.remove(&id);
            }
        }
    }

    /// The last `seconds` of them, the one under way included.
    pub fn window(&self, now: i64, seconds: i64) -> Tally {
        let last = now.div_euclid(SECOND);
        let mut sum = Tally::default();
        let within = |cell: &&Cell| cell.second > last - seconds && cell.second <= last;
        self.cells.iter().filter(within).for_each(|cell| sum.add(&cell.tally));
        sum
    }

    /// Rows that are told apart now.
    pub fn distinct(&self) -> usize {
        self.ids.len()
    }

    /// All since the injection; nothing before it is known.
    pub fn total(&self) -> Tally {
        let mut sum = Tally::default();
        self.total.iter().for_each(|part| sum.add(part));
        sum
    }
}
