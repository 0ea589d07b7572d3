//! The ledger (L1): accepted = persisted + in flight + dropped{reason}.
//!
//! `accepted` is counted from log records, `persisted` from own commits,
//! `dropped` from losses with a reason; `in flight` is not counted but looked
//! up in the live tables when asked, so that the equation can fail if rows do.
//! A row's move and its count happen under one shared lock that a reading
//! takes exclusively: every reading is one moment.

use std::collections::BTreeMap;

use parking_lot::{Mutex, RwLock};
use schema::{Door, Signal, TableDef, Tenant};

use crate::LedgerRow;
use crate::live::LiveSet;

type Key = (Tenant, Signal, Door);

#[derive(Debug, Default)]
struct Line {
    accepted: u64,
    persisted: u64,
    dropped: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub struct Books {
    /// Held shared while rows move, exclusively while the books are read.
    moving: RwLock<()>,
    lines: Mutex<BTreeMap<Key, Line>>,
}

impl Books {
    /// Counts rows as accepted while `enter` makes them visible.
    pub fn accept<E>(
        &self,
        tenant: &Tenant,
        table: &TableDef,
        counts: &[(Door, u64)],
        enter: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let _moving = self.moving.read();
        enter()?;
        self.add(tenant, table, counts, |line, rows| line.accepted += rows);
        Ok(())
    }

    /// Counts rows as persisted while `publish` takes them out of flight.
    pub fn persist<T>(
        &self,
        tenant: &Tenant,
        table: &TableDef,
        counts: &[(Door, u64)],
        publish: impl FnOnce() -> T,
    ) -> T {
        let _moving = self.moving.read();
        let out = publish();
        self.add(tenant, table, counts, |line, rows| line.persisted += rows);
        out
    }

    /// Recovery: rows that the log has accepted since its id was minted.
    pub fn restore_accepted(&self, tenant: &Tenant, table: &TableDef, counts: &[(Door, u64)]) {
        self.add(tenant, table, counts, |line, rows| line.accepted += rows);
    }

    /// Recovery: rows of earlier own commits.
    pub fn restore_persisted(&self, tenant: &Tenant, table: &TableDef, counts: &[(Door, u64)]) {
        self.add(tenant, table, counts, |line, rows| line.persisted += rows);
    }

    /// Rows that are gone, and why.
    pub fn drop_rows(
        &self,
        tenant: &Tenant,
        table: &TableDef,
        counts: &[(Door, u64)],
        reason: &str,
    ) {
        self.add(tenant, table, counts, |line, rows| {
            *line.dropped.entry(reason.into()).or_default() += rows;
        });
    }

    fn add(
        &self,
        tenant: &Tenant,
        table: &TableDef,
        counts: &[(Door, u64)],
        apply: impl Fn(&mut Line, u64),
    ) {
        let Some(signal) = table.signal else { return };
        let mut lines = self.lines.lock();
        for (door, rows) in counts {
            apply(lines.entry((tenant.clone(), signal, *door)).or_default(), *rows);
        }
    }

    /// The ledger at one moment.
    pub fn read(&self, live: &LiveSet) -> Vec<LedgerRow> {
        let _still = self.moving.write();
        let mut in_flight: BTreeMap<Key, u64> = BTreeMap::new();
        for table in live.all() {
            let Some(signal) = table.table.signal else { continue };
            for (door, rows) in table.status().in_flight {
                *in_flight.entry((table.tenant.clone(), signal, door)).or_default() += rows;
            }
        }
        let lines = self.lines.lock();
        let mut keys: Vec<&Key> = lines.keys().chain(in_flight.keys()).collect();
        keys.sort();
        keys.dedup();
        let none = Line::default();
        let row = |key: &Key| {
            let line = lines.get(key).unwrap_or(&none);
            LedgerRow {
                tenant: key.0.clone(),
                signal: key.1,
                door: key.2,
                accepted: line.accepted,
                persisted: line.persisted,
                in_flight: in_flight.get(key).copied().unwrap_or(0),
                dropped: line.dropped.iter().map(|(why, rows)| (why.clone(), *rows)).collect(),
            }
        };
        keys.into_iter().map(row).collect()
    }
}
