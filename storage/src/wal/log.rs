//! The log itself: append, sync, rotate, release.

use std::sync::Arc;

use schema::{Catalog, Position, Tenant};

use super::{Entry, Files, Loss, Opened, Replayed};
use crate::{Error, SegmentInfo, WalSettings};

/// An open log.
pub struct Log {
    _files: Arc<dyn Files>,
}

impl Log {
    /// Opens the folder's log: checks, cuts a torn tail, begins a new segment.
    pub fn open(files: Arc<dyn Files>, settings: &WalSettings, catalog: &Catalog) -> Result<Opened, Error> {
        let _ = (files, settings, catalog);
        Err(Error::Internal("being written".into()))
    }

    /// Hands out, in position order, every record above what `wanted` says.
    pub fn replay(
        &self,
        wanted: &dyn Fn(&Tenant, &str) -> Position,
        each: &mut dyn FnMut(Replayed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _ = (wanted, each);
        Ok(())
    }

    /// Acked rows that cannot be read any more, since the id was minted.
    pub fn losses(&self) -> Vec<Loss> {
        Vec::new()
    }

    /// Writes one record per entry with one write and, under `Sync::Always`,
    /// one fsync.
    pub fn append(&mut self, group: Vec<Entry>) -> Result<Vec<Position>, Error> {
        let _ = group;
        Err(Error::Internal("being written".into()))
    }

    /// Makes everything appended durable.
    pub fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Closes the active segment and begins the next.
    pub fn rotate(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Deletes segments whose records are all at or below `up_to` (D3).
    /// Returns the bytes freed.
    pub fn release(&mut self, up_to: Position) -> Result<u64, Error> {
        let _ = up_to;
        Ok(0)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        0
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        Vec::new()
    }

    /// The last position that was given.
    pub fn last(&self) -> Position {
        Position::ZERO
    }
}
