//! Days that retention leaves alone whatever their age. Why rows must stay is
//! known outside of storage, and told as a whole, again and again.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::RwLock;
use schema::Tenant;

/// What is kept beyond its limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Names of tables; what is derived follows its base.
    pub tables: BTreeSet<String>,
    /// Days since 1970, by the event.
    pub days: BTreeMap<Tenant, BTreeSet<i32>>,
}

/// Told by whoever knows; while nothing is known, nothing is dropped.
#[derive(Debug)]
pub struct Pins(RwLock<Option<Kept>>);

impl Pins {
    /// `waits`: until it is told what is kept, everything is.
    pub fn new(waits: bool) -> Pins {
        Pins(RwLock::new((!waits).then(Kept::default)))
    }

    pub fn tell(&self, kept: Kept) {
        *self.0.write() = Some(kept);
    }

    /// What was told may not be all any more.
    pub fn forget(&self) {
        *self.0.write() = None;
    }

    pub fn holds(&self, tenant: &Tenant, table: &str, day: i32) -> bool {
        match &*self.0.read() {
            None => true,
            Some(kept) => {
                kept.tables.contains(table)
                    && kept.days.get(tenant).is_some_and(|days| days.contains(&day))
            }
        }
    }
}
