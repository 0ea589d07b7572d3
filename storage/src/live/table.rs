//! One tenant's table, live: the route hot → sealed → staged → committed.

use std::sync::Arc;
use std::time::Duration;

use arrow::error::ArrowError;
use parking_lot::Mutex;
use schema::{Budget, Door, Position, Reservation, Rows, TableDef, Tenant};
use tokio::sync::watch;

use super::buffer::{Buffer, Counts, Run, add_counts};
use crate::snapshot::Snapshot;
use crate::stage::{Sealed, Staged};
use crate::table::Committed;
use crate::{DataFile, HotRows};

/// A table of a tenant. Its outputs are itself (0) and the table derived from
/// it (1), if there is one; each is committed with a watermark of its own.
#[derive(Debug)]
pub struct Live {
    pub tenant: Tenant,
    pub table: Arc<TableDef>,
    state: Mutex<State>,
    /// Up to where every output is committed.
    reached: watch::Sender<Position>,
}

#[derive(Debug)]
struct State {
    buffer: Buffer,
    /// Sealed and not staged yet, in position order; still hot to readers.
    sealed: Vec<Arc<SealedRows>>,
    /// Staged and not committed in every output, in position order.
    staged: Vec<Arc<Staged>>,
    /// Committed in every output, and not let go of by the stage yet.
    spent: Vec<Arc<Staged>>,
    outputs: Vec<Output>,
    /// Up to where rows are known to be persisted before the table is loaded.
    persisted: Position,
}

#[derive(Debug)]
struct Output {
    table: Arc<TableDef>,
    committed: Option<Committed>,
    /// Why `committed` may be behind.
    incomplete: Option<String>,
}

impl Output {
    fn watermark(&self) -> Position {
        self.committed.as_ref().map_or(Position::ZERO, |committed| committed.watermark)
    }
}

/// A closed stretch of hot rows.
#[derive(Debug)]
pub struct SealedRows {
    pub first: Position,
    pub last: Position,
    pub counts: Counts,
    pub received_unix_nano: i64,
    runs: Vec<Arc<Run>>,
}

/// Numbers for the flusher, the ledger and the metrics.
#[derive(Debug, Clone, Default)]
pub struct LiveStatus {
    pub hot_rows: u64,
    pub hot_bytes: u64,
    /// How long the oldest hot row has waited for its seal.
    pub age: Duration,
    pub sealed: usize,
    pub staged: usize,
    pub staged_bytes: u64,
    /// Rows hot, sealed or staged but not committed, per door.
    pub in_flight: Counts,
}

impl Live {
    /// `staged`: what recovery found, in position order. `persisted`: up to
    /// where an earlier run has booked its rows as persisted.
    pub fn new(
        tenant: Tenant,
        table: Arc<TableDef>,
        staged: Vec<Arc<Staged>>,
        persisted: Position,
    ) -> Live {
        let derived = table.derived.as_ref().map(|derived| derived.table.clone());
        let outputs = std::iter::once(table.clone()).chain(derived).map(|table| Output {
            table,
            committed: None,
            incomplete: Some("the table has not been loaded from the store yet".into()),
        });
        let state = State {
            buffer: Buffer::default(),
            sealed: Vec::new(),
            staged,
            spent: Vec::new(),
            outputs: outputs.collect(),
            persisted,
        };
        let (state, reached) = (Mutex::new(state), watch::Sender::new(Position::ZERO));
        Live { tenant, table, state, reached }
    }

    /// The tables this one is committed to.
    pub fn outputs(&self) -> Vec<Arc<TableDef>> {
        self.state.lock().outputs.iter().map(|output| output.table.clone()).collect()
    }

    /// Makes the rows of one durable record visible (D2).
    pub fn push(
        &self,
        position: Position,
        rows: Rows,
        counts: &[(Door, u64)],
        received_unix_nano: i64,
        paid: Reservation,
        budget: &Budget,
    ) -> Result<(), ArrowError> {
        let mut state = self.state.lock();
        state.buffer.push(position, rows, counts, received_unix_nano, paid, budget)
    }

    /// Bytes in memory of the rows since the last seal.
    pub fn hot_bytes(&self) -> u64 {
        self.state.lock().buffer.bytes
    }

    /// Closes the buffer and opens a fresh one. False when there was nothing.
    pub fn seal(&self) -> bool {
        let mut state = self.state.lock();
        let Some(first) = state.buffer.first else { return false };
        let buffer = std::mem::take(&mut state.buffer);
        state.buffer.last = buffer.last;
        state.sealed.push(Arc::new(SealedRows {
            first,
            last: buffer.last,
            counts: buffer.counts,
            received_unix_nano: buffer.received_unix_nano,
            runs: buffer.runs,
        }));
        true
    }

    /// Seals rows up to `start`, so that a range never holds rows from before
    /// and after it.
    pub fn part(&self, start: Position) {
        let begun = self.state.lock().buffer.first;
        if begun.is_some_and(|first| first <= start) {
            self.seal();
        }
    }

    /// The oldest sealed stretch, in the form that is staged.
    pub fn next_sealed(&self) -> Option<Sealed> {
        let sealed = self.state.lock().sealed.first()?.clone();
        Some(Sealed {
            tenant: self.tenant.clone(),
            table: self.table.clone(),
            first: sealed.first,
            last: sealed.last,
            counts: sealed.counts.clone(),
            rows: sealed.runs.iter().map(|run| run.hot.rows.clone()).collect(),
            received_unix_nano: sealed.received_unix_nano,
        })
    }

    /// Replaces the oldest sealed stretch by its staged form, in one step. The stretch
    /// is given back: freeing its rows takes longer than acks should wait for this lock.
    #[must_use = "whoever has time drops it"]
    pub fn staged(&self, staged: Staged) -> Arc<SealedRows> {
        let mut state = self.state.lock();
        debug_assert_eq!(state.sealed.first().map(|s| s.last), Some(staged.last));
        let replaced = state.sealed.remove(0);
        replaced.runs.iter().for_each(|run| run.hot.put_aside());
        state.staged.push(Arc::new(staged));
        replaced
    }

    /// Staged ranges that an output has not committed yet, in position order.
    pub fn uncommitted(&self, output: usize) -> Vec<Arc<Staged>> {
        let state = self.state.lock();
        let watermark = state.outputs[output].watermark();
        state.staged.iter().filter(|staged| staged.last > watermark).cloned().collect()
    }

    /// Moves an output to what its table now holds: committed files in, staged
    /// files out, in one step (S1). Ranges that no output needs are spent.
    pub fn publish(&self, output: usize, committed: Committed) {
        let mut state = self.state.lock();
        let slot = &mut state.outputs[output];
        let stale = slot.committed.as_ref().is_some_and(|known| known.version > committed.version);
        slot.incomplete = None;
        if !stale {
            slot.committed = Some(committed);
        }
        let low = state.outputs.iter().map(Output::watermark).min().unwrap_or(Position::ZERO);
        self.reached.send_replace(low);
        let State { staged, spent, .. } = &mut *state;
        spent.extend(staged.extract_if(.., |staged| staged.last <= low));
    }

    /// Spent ranges up to `booked`, for the stage to let go of.
    pub fn spent(&self, booked: Position) -> Vec<Arc<Staged>> {
        let state = self.state.lock();
        state.spent.iter().filter(|staged| staged.last <= booked).cloned().collect()
    }

    /// The stage has let go of a range.
    pub fn released(&self, range: &Staged) {
        self.state.lock().spent.retain(|staged| staged.manifest != range.manifest);
    }

    /// The first position whose range the stage holds. From there on the names
    /// of files tell the next start what is committed.
    pub fn first_held(&self) -> Option<Position> {
        let state = self.state.lock();
        state.spent.iter().chain(&state.staged).map(|staged| staged.first).min()
    }

    /// Resolves when every output has committed the rows up to `position`.
    pub async fn reaches(&self, position: Position) {
        let mut reached = self.reached.subscribe();
        // The sender lives as long as this does.
        let _ = reached.wait_for(|low| *low >= position).await;
    }

    /// An output's table does not exist on the store: nothing is missing.
    pub fn absent(&self, output: usize) {
        self.state.lock().outputs[output].incomplete = None;
    }

    /// An output's table could not be read or written: answers must say so.
    pub fn behind(&self, output: usize, reason: String) {
        self.state.lock().outputs[output].incomplete = Some(reason);
    }

    /// Why an output may be behind, if it may.
    pub fn incomplete(&self, output: usize) -> Option<String> {
        self.state.lock().outputs[output].incomplete.clone()
    }

    pub fn committed(&self, output: usize) -> Option<Committed> {
        self.state.lock().outputs[output].committed.clone()
    }

    /// The first position that the log must keep for this table (D3).
    pub fn first_unstaged(&self) -> Option<Position> {
        let state = self.state.lock();
        state.sealed.first().map(|sealed| sealed.first).or(state.buffer.first)
    }

    /// One moment of an output: committed ∪ staged above the watermark of that
    /// very snapshot ∪ hot.
    pub fn snapshot(&self, output: usize) -> Snapshot {
        let (runs, mut snapshot) = {
            let state = self.state.lock();
            let sealed = state.sealed.iter().flat_map(|sealed| &sealed.runs);
            let runs: Vec<Arc<Run>> = sealed.chain(&state.buffer.runs).cloned().collect();
            let out = &state.outputs[output];
            let watermark = out.watermark();
            let visible = state.staged.iter().filter(|staged| staged.last > watermark);
            let staged: Vec<Arc<DataFile>> = visible
                .flat_map(|staged| staged.outputs.iter().filter(|o| o.table == out.table.name))
                .flat_map(|output| output.files.iter().cloned().map(Arc::new))
                .collect();
            let snapshot = Snapshot {
                tenant: self.tenant.clone(),
                table: out.table.clone(),
                version: out.committed.as_ref().map(|committed| committed.version),
                incomplete: out.incomplete.clone(),
                committed: out
                    .committed
                    .as_ref()
                    .map_or_else(Default::default, |c| c.files.clone()),
                watermarks: out
                    .committed
                    .as_ref()
                    .map_or_else(Default::default, |c| c.watermarks.clone()),
                staged: staged.into(),
                hot: Default::default(),
            };
            (runs, snapshot)
        };
        let hot: Vec<Arc<HotRows>> = match output {
            0 => runs.iter().map(|run| run.hot.clone()).collect(),
            _ => runs.iter().filter_map(|run| run.derived(&self.table)).collect(),
        };
        snapshot.hot = hot.into();
        snapshot
    }

    pub fn status(&self) -> LiveStatus {
        let state = self.state.lock();
        let mut in_flight = state.buffer.counts.clone();
        state.sealed.iter().for_each(|sealed| add_counts(&mut in_flight, &sealed.counts));
        let watermark = state.outputs[0].watermark().max(state.persisted);
        let waiting = state.staged.iter().filter(|staged| staged.last > watermark);
        waiting.for_each(|staged| add_counts(&mut in_flight, &staged.counts));
        let buffer = &state.buffer;
        LiveStatus {
            hot_rows: buffer.rows,
            hot_bytes: buffer.bytes,
            age: buffer.since.map_or(Duration::ZERO, |since| since.elapsed()),
            sealed: state.sealed.len(),
            staged: state.staged.len(),
            staged_bytes: state.staged.iter().map(|staged| staged.bytes).sum(),
            in_flight,
        }
    }
}
