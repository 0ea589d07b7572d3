//! The hot rows of a table since its last seal.

use std::sync::{Arc, OnceLock};

use arrow::error::ArrowError;
use schema::{Budget, Door, Position, Reservation, Rows, TableDef};
use tokio::time::Instant;

use crate::snapshot::HotRows;

/// Rows per door.
pub type Counts = Vec<(Door, u64)>;

/// Adds the rows of `more` to `counts`, door by door.
pub fn add_counts(counts: &mut Counts, more: &[(Door, u64)]) {
    for (door, rows) in more {
        match counts.iter_mut().find(|(known, _)| known == door) {
            Some((_, sum)) => *sum += rows,
            None => counts.push((*door, *rows)),
        }
    }
}

/// Runs this long are left alone: scans are efficient from here on, and requests
/// of the usual size are not copied.
pub const FULL_RUN_ROWS: usize = 512;

/// A run of hot rows and, once asked for, the rows derived from it.
#[derive(Debug)]
pub struct Run {
    pub hot: Arc<HotRows>,
    derived: OnceLock<Arc<HotRows>>,
}

impl Run {
    fn new(rows: Rows, paid: Reservation) -> Run {
        Run { hot: Arc::new(HotRows { rows, paid: Some(paid) }), derived: OnceLock::new() }
    }

    /// The derived table's rows for this run; `None` when there is none or the
    /// rows do not fit their own table, which a schema test rules out.
    pub fn derived(&self, table: &TableDef) -> Option<Arc<HotRows>> {
        let derived = table.derived.as_ref()?;
        if let Some(known) = self.derived.get() {
            return Some(known.clone());
        }
        let inputs = self.hot.rows.select(derived.inputs);
        let rows = inputs.and_then(|rows| (derived.derive)(&rows, &derived.table.schema));
        match rows.and_then(|rows| Rows::plain(&derived.table.layout, &rows)) {
            Ok(rows) => {
                Some(self.derived.get_or_init(|| Arc::new(HotRows { rows, paid: None })).clone())
            }
            Err(error) => {
                tracing::error!(table = table.name, %error, "rows could not be derived");
                None
            }
        }
    }
}

/// Hot rows in few runs: a small run is joined to its smaller neighbours, so
/// that a thousand tiny requests cost neither a thousand scans nor the
/// bookkeeping of a thousand batches. Each row is copied O(log n) times.
#[derive(Debug, Default)]
pub struct Buffer {
    pub runs: Vec<Arc<Run>>,
    pub first: Option<Position>,
    pub last: Position,
    pub counts: Counts,
    pub rows: u64,
    /// Bytes in memory.
    pub bytes: u64,
    /// When the oldest row was received, nanoseconds since 1970.
    pub received_unix_nano: i64,
    /// The same on this process's own clock, for its age.
    pub since: Option<Instant>,
}

impl Buffer {
    /// Takes the rows of one log record. Positions only grow.
    pub fn push(
        &mut self,
        position: Position,
        rows: Rows,
        counts: &[(Door, u64)],
        received_unix_nano: i64,
        paid: Reservation,
        budget: &Budget,
    ) -> Result<(), ArrowError> {
        debug_assert!(position > self.last);
        self.rows += rows.num_rows() as u64;
        self.runs.push(Arc::new(Run::new(rows, paid)));
        while let [.., older, newer] = self.runs.as_slice() {
            let (a, b) = (&older.hot.rows, &newer.hot.rows);
            if a.num_rows() > b.num_rows() || a.num_rows() + b.num_rows() > FULL_RUN_ROWS {
                break;
            }
            let joined = Rows::concat(vec![a.clone(), b.clone()])?;
            let paid = budget.reserve_regardless(joined.bytes());
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(Arc::new(Run::new(joined, paid)));
        }
        self.bytes = self.runs.iter().map(|run| run.hot.bytes()).sum();
        self.first.get_or_insert(position);
        if self.counts.is_empty() {
            self.received_unix_nano = received_unix_nano;
            self.since = Some(Instant::now());
        }
        self.last = position;
        add_counts(&mut self.counts, counts);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}
