//! What keeps a node's log and stage from being empty.
//!
//! Draining needs no work of its own: appends are refused from then on, the
//! sealer takes every row for due, committers go on as always. What is here
//! only tells how far that has come.

use serde::{Deserialize, Serialize};

use crate::append::LogStatus;
use crate::live::LiveSet;
use crate::stage::Stage;

/// What log and stage still hold; nothing, once they are drained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Acked and not committed.
    pub rows: u64,
    /// Bytes of log segments that hold records.
    pub log_bytes: u64,
    /// Bytes staged and not released.
    pub stage_bytes: u64,
    /// What a table waits for, as far as it is known.
    pub waiting_for: Option<String>,
}

impl Left {
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && self.log_bytes == 0 && self.stage_bytes == 0
    }

    pub(crate) fn of(live: &LiveSet, stage: &Stage, log: &LogStatus) -> Left {
        let mut left = Left { stage_bytes: stage.bytes(), ..Left::default() };
        let held = log.segments.iter().filter(|segment| segment.last.is_some());
        left.log_bytes = held.map(|segment| segment.bytes).sum();
        for table in live.all() {
            let in_flight = table.status().in_flight;
            left.rows += in_flight.iter().map(|(_, rows)| rows).sum::<u64>();
            let waits = (0..table.outputs().len()).find_map(|output| table.incomplete(output));
            left.waiting_for = left.waiting_for.or(waits);
        }
        if left.is_empty() {
            left.waiting_for = None;
        }
        left
    }
}
