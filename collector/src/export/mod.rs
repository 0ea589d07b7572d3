//! The route of one request, in no protocol's words: admitted, decompressed,
//! decoded, appended, and an outcome that a door can name. Between the doors
//! and the [`Sink`](schema::Sink); holds B1 (what is in memory is paid for), B2
//! (what cannot be is refused before decoding) and D1 (an ack only after the
//! sink's).
//!
//! | file | what it does |
//! | --- | --- |
//! | [`exporter`] | the route |
//! | [`decoders`] | the threads that decode |
//! | [`failure`] | what a sender is told when its request is not stored |
//!
//! Deliberately not here: framing, codes, headers (the doors).

mod decoders;
mod exporter;
mod failure;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use schema::{Budget, Catalog, Clock, Door, Meter, Signal, Sink};
use tokio::time::Instant;

use self::decoders::Decoders;
pub(crate) use self::exporter::Exporter;
pub(crate) use self::failure::Failure;
use crate::admission::Permit;
use crate::compression::Compression;
use crate::decode::Encoding;

/// What a collector works with.
pub struct Components {
    /// Takes the batches.
    pub sink: Arc<dyn Sink>,
    pub catalog: Arc<Catalog>,
    /// Pays for bodies and rows; shared with whoever holds rows (B1).
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    /// Told of what was acked.
    pub meter: Meter,
    /// Written into every row.
    pub node_id: String,
}

/// A body that has arrived.
#[derive(Debug)]
pub(crate) struct Upload {
    pub signal: Signal,
    pub door: Door,
    pub encoding: Encoding,
    pub compression: Option<Compression>,
    pub body: Bytes,
    pub permit: Permit,
    /// When the sender stops waiting, if it told.
    pub until: Option<Instant>,
}

/// Everything that could be stored is; the rest is told as partial success.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub rejected: u64,
    /// Empty when all is well.
    pub message: String,
}
