//! What telemetry costs: rows and bytes by tenant, signal and service, counted
//! where they arise and written to [`usage_parts`](crate::tables::usage_parts)
//! from time to time.
//!
//! This is metering, not the ledger (L1): what was counted since the last
//! writing is lost with the process, and nothing is ever counted twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use parking_lot::Mutex;

use crate::{Rows, Signal, Tenant};

/// Keys held between two writings. Names of services come from outside: those
/// beyond this many are counted together, under no name.
const MOST_KEYS: usize = 10_000;

/// Counts since they were last taken; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Counts>>);

/// What was counted, by whom it concerns.
pub type Counts = BTreeMap<Key, Usage>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub tenant: Tenant,
    pub signal: Signal,
    /// `None`: rows without a service, or bytes that no one service caused.
    pub service: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Rows written to files: from the log if need be, so a crash before costs none.
    pub rows: u64,
    /// Bytes of the requests they came in, decompressed.
    pub bytes_in: u64,
    /// Bytes of the Parquet files they were first written to, with the rows
    /// derived from them.
    pub bytes_stored: u64,
    /// Bytes that statements read from files.
    pub bytes_scanned: u64,
}

impl Usage {
    fn add(&mut self, more: Usage) {
        self.rows += more.rows;
        self.bytes_in += more.bytes_in;
        self.bytes_stored += more.bytes_stored;
        self.bytes_scanned += more.bytes_scanned;
    }
}

/// How rows fall to services. Bytes that belong to all of them are shared out
/// in proportion.
#[derive(Debug, Default)]
pub struct Shares(BTreeMap<Option<String>, u64>);

impl Shares {
    /// Rows of tables whose origins have no `service_name` are no service's.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Rows>) -> Shares {
        let mut shares = Shares::default();
        for rows in rows {
            let mut counts = vec![0; rows.origins().num_rows()];
            rows.origin_of().iter().for_each(|origin| counts[*origin as usize] += 1);
            let column = rows.origins().column_by_name("service_name");
            let names = column.and_then(|column| column.as_string_opt::<i32>());
            for (origin, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                let name = names.filter(|names| names.is_valid(origin));
                shares.add(name.map(|names| names.value(origin)), count);
            }
        }
        shares
    }

    fn add(&mut self, service: Option<&str>, rows: u64) {
        *self.0.entry(service.map(str::to_owned)).or_default() += rows;
    }

    /// Each service with its rows and its part of `bytes`; the parts add up.
    fn split(&self, bytes: u64) -> impl Iterator<Item = (&Option<String>, u64, u64)> {
        let total = u128::from(self.0.values().sum::<u64>().max(1));
        let (mut rows_so_far, mut given) = (0, 0);
        self.0.iter().map(move |(service, rows)| {
            rows_so_far += rows;
            let upto = u128::from(bytes) * u128::from(rows_so_far) / total;
            let upto = u64::try_from(upto).unwrap_or(bytes);
            let part = upto - given;
            given = upto;
            (service, *rows, part)
        })
    }
}

impl Meter {
    /// Rows were acked, out of a request of so many decompressed bytes. They are
    /// counted when they are [stored](Self::stored).
    pub fn received(&self, tenant: &Tenant, signal: Signal, shares: &Shares, bytes: u64) {
        self.share_out(tenant, signal, shares, bytes, |_, bytes_in| Usage {
            bytes_in,
            ..Usage::default()
        });
    }

    /// Rows were written to files of so many bytes.
    pub fn stored(&self, tenant: &Tenant, signal: Signal, shares: &Shares, bytes: u64) {
        self.share_out(tenant, signal, shares, bytes, |rows, bytes_stored| Usage {
            rows,
            bytes_stored,
            ..Usage::default()
        });
    }

    /// A statement read so many bytes of a signal's files.
    pub fn scanned(&self, tenant: &Tenant, signal: Signal, bytes_scanned: u64) {
        let key = Key { tenant: tenant.clone(), signal, service: None };
        add(&mut self.0.lock(), key, Usage { bytes_scanned, ..Usage::default() });
    }

    fn share_out(
        &self,
        tenant: &Tenant,
        signal: Signal,
        shares: &Shares,
        bytes: u64,
        usage: impl Fn(u64, u64) -> Usage,
    ) {
        let mut counts = self.0.lock();
        for (service, rows, part) in shares.split(bytes) {
            let key = Key { tenant: tenant.clone(), signal, service: service.clone() };
            add(&mut counts, key, usage(rows, part));
        }
    }

    /// Takes what was counted; counting starts again from nothing.
    pub fn take(&self) -> Counts {
        std::mem::take(&mut self.0.lock())
    }

    /// Gives back what was taken and could not be written.
    pub fn put_back(&self, taken: Counts) {
        let mut counts = self.0.lock();
        for (key, usage) in taken {
            add(&mut counts, key, usage);
        }
    }
}

fn add(counts: &mut Counts, mut key: Key, usage: Usage) {
    if usage == Usage::default() {
        return;
    }
    if counts.len() >= MOST_KEYS && !counts.contains_key(&key) {
        key.service = None;
    }
    counts.entry(key).or_default().add(usage);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};

    use super::*;
    use crate::Catalog;

    fn batch(names: &[Option<&str>]) -> Rows {
        let catalog = Catalog::default();
        let logs = catalog.of(Signal::Logs);
        let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
        let column = |field: &Arc<arrow::datatypes::Field>| match field.name().as_str() {
            "service_name" => names.clone(),
            _ => new_null_array(field.data_type(), names.len()),
        };
        let columns = logs.schema.fields().iter().map(column).collect();
        Rows::plain(&logs.layout, &RecordBatch::try_new(logs.schema.clone(), columns).unwrap())
            .unwrap()
    }

    fn of(counts: &Counts, name: Option<&str>) -> Usage {
        let found = counts.iter().find(|(key, _)| key.service.as_deref() == name);
        found.map(|(_, usage)| *usage).unwrap_or_default()
    }

    /// Scenario: a request of three services, one of them in two runs and one
    /// without a name, whose bytes do not divide evenly.
    /// Guarantees: every row and every byte is somebody's, once.
    #[test]
    fn rows_and_bytes_are_shared_out_whole() {
        let (meter, tenant) = (Meter::default(), Tenant::default());
        let rows = batch(&[Some("a"), Some("a"), Some("b"), None, Some("a"), None, None]);
        let shares = Shares::of([&rows]);
        meter.received(&tenant, Signal::Traces, &shares, 100);
        meter.stored(&tenant, Signal::Traces, &shares, 10);
        meter.scanned(&tenant, Signal::Traces, 5);
        let counts = meter.take();
        assert_eq!((of(&counts, Some("a")).rows, of(&counts, Some("b")).rows), (3, 1));
        assert_eq!((of(&counts, None).rows, of(&counts, None).bytes_scanned), (3, 5));
        assert_eq!(counts.values().map(|usage| usage.bytes_in).sum::<u64>(), 100);
        assert_eq!(counts.values().map(|usage| usage.bytes_stored).sum::<u64>(), 10);
        assert!(of(&counts, Some("a")).bytes_in.abs_diff(100 * 3 / 7) <= 1);
        assert!(meter.take().is_empty());
    }

    /// Scenario: counts are taken, more is counted, the taken come back; then
    /// more services than are kept apart.
    /// Guarantees: nothing is lost, and outside names cannot fill the memory.
    #[test]
    fn counts_come_back_and_stay_bounded() {
        let (meter, tenant) = (Meter::default(), Tenant::default());
        let one = Shares::of([&batch(&[Some("a")])]);
        meter.stored(&tenant, Signal::Logs, &one, 7);
        let taken = meter.take();
        meter.stored(&tenant, Signal::Logs, &one, 7);
        meter.put_back(taken);
        assert_eq!(
            of(&meter.take(), Some("a")),
            Usage { rows: 2, bytes_stored: 14, ..Usage::default() }
        );

        let names: Vec<String> = (0..MOST_KEYS + 500).map(|n| format!("s{n}")).collect();
        let names: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
        meter.stored(&tenant, Signal::Logs, &Shares::of([&batch(&names)]), 0);
        let counts = meter.take();
        assert_eq!(counts.len(), MOST_KEYS + 1);
        assert_eq!(of(&counts, None).rows, 500);
    }
}
