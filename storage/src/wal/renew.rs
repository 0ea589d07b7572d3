//! A new id for a log whose positions can no longer be trusted.
//!
//! A watermark above the log's end says that this folder is an older copy:
//! under the same id, rows appended from here on would count as committed.
//! So the rows that are still wanted move to a new log in the same folder.
//!
//! ```text
//! identity {old, leftover new} → new segments, synced → identity {new, leftover old}
//!                               → old segments removed
//! ```
//! Each arrow is durable before the next. An open that finds segments of the
//! leftover id removes them, so a death in between leaves the old log or the
//! new one.

use std::sync::Arc;

use parking_lot::Mutex;
use schema::{Position, Tenant, WalId};

use super::identity::Identity;
use super::ledger::{self, Accepted, Tally};
use super::rows::Encoder;
use super::{Counted, Entry, Log, Opened, segment};
use crate::settings::Sync;
use crate::{Error, WalSettings};

impl Log {
    /// Moves every record above `wanted` to a log with the id `wal_id` and gives
    /// that log. Positions go on above the old ones; the books start anew with
    /// what was moved, with `kept`, the rows that wait elsewhere for a commit under
    /// the new id, and with what is lost. After an error, open the folder again.
    pub fn renew(
        self,
        wal_id: WalId,
        kept: &[Counted],
        wanted: &dyn Fn(&Tenant, &str) -> Position,
    ) -> Result<Opened, Error> {
        let mut accepted = Accepted::default();
        for (tenant, table, counts) in kept {
            accepted.add(&(tenant.clone(), table.clone()), Tally::of(counts));
        }
        let old = {
            let mut identity = self.identity.lock();
            // In memory too: a replay writes what it finds damaged beside it.
            identity.leftover = Some(wal_id);
            identity.write(&*self.files)?;
            identity.wal_id
        };
        // Losses are read out first: each record of the new log tells how many
        // rows were accepted before it, and those are among them.
        self.replay(wanted, &mut |_| Ok(()))?;
        let mut missed = self.identity.lock().missed.clone();
        missed.iter().for_each(|one| accepted.add(&one.key, one.rows));

        let settings = self.settings.clone();
        // Not the next position itself: the old log's empty segment has that name.
        let floor = self.next.next();
        ledger::fold(&mut missed, floor);
        let identity = Identity {
            wal_id,
            boot: 1,
            floor,
            accepted: accepted.clone(),
            missed,
            leftover: Some(old),
        };
        let mut log = Log {
            files: Arc::clone(&self.files),
            catalog: self.catalog.clone(),
            identity: Mutex::new(identity.clone()),
            // One sync at the end serves all; both logs fit for as long as it takes.
            settings: WalSettings { sync: Sync::Off, max_bytes: u64::MAX, ..settings.clone() },
            encoder: Encoder::new()?,
            buffer: Vec::new(),
            accepted,
            next: floor,
            closed: Vec::new(),
            end: None,
            active: None,
        };
        self.replay(wanted, &mut |one| {
            let entry = Entry {
                tenant: one.tenant,
                table: one.table,
                counts: one.counts,
                rows: one.rows,
                received_unix_nano: one.received_unix_nano,
            };
            log.append(vec![entry]).map(drop)
        })?;
        log.sync()?;
        identity.write(&*log.files)?;
        log.settings = settings;
        for old in self.extents() {
            remove(&log, old.first)?;
        }
        Ok(Opened {
            wal_id,
            boot: 1,
            last: log.last(),
            accepted: log.accepted.list(),
            losses: log.losses(),
            torn_bytes: 0,
            log,
        })
    }
}

fn remove(log: &Log, first: Position) -> Result<(), Error> {
    let name = segment::name(first);
    let context = format!("removing write-ahead log segment {name} failed; check the disk");
    log.files.remove(&name).map_err(Error::disk(&context))?;
    log.files.sync_dir(&name).map_err(Error::disk(&context))
}
