//! Rows on their way in, and who takes them.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Door, Position, Refusal, Reservation, Rows, TableDef, Tenant};

/// Decoded rows of one table and tenant. Their layout is the table's; there is
/// at least one row.
#[derive(Debug)]
pub struct Batch {
    pub tenant: Tenant,
    pub table: Arc<TableDef>,
    pub door: Door,
    pub rows: Rows,
    /// Pays for `rows`; travels with them until they are staged (B1).
    pub reservation: Reservation,
}

/// The promise given for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The log record that holds the batch.
    pub position: Position,
}

/// Takes batches for good.
///
/// 1. `Ok` means durable at the configured level (D1) and visible to every
///    query that starts afterwards (D2).
/// 2. `Err` means not stored and never will be, unless its kind is
///    `DeadlineExceeded`.
/// 3. A batch is stored whole or not at all, also when the caller stops waiting.
#[async_trait]
pub trait Sink: Send + Sync {
    async fn append(&self, batch: Batch) -> Result<Ack, Refusal>;
}
