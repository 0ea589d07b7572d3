//! A small world around a log: its folder, its settings, rows with names.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use schema::{Catalog, Door, Position, Rows, TableDef, Tenant};
use storage::wal::{Entry, Files, Log, Memory, Opened};
use storage::{Error, Sync, WalSettings};

pub use crate::faulty::Dice;

pub struct World {
    pub files: Memory,
    pub settings: WalSettings,
    pub catalog: Catalog,
}

/// A replayed record: position, tenant, table, row names.
pub type Record = (u64, String, String, Vec<String>);

impl World {
    pub fn new(sync: Sync) -> World {
        let settings = WalSettings {
            dir: "unused".into(),
            sync,
            segment_bytes: 64 << 10,
            max_bytes: 64 << 20,
        };
        World { files: Memory::new(), settings, catalog: Catalog::default() }
    }

    pub fn open(&self) -> Opened {
        self.try_open().unwrap()
    }

    pub fn try_open(&self) -> Result<Opened, Error> {
        Log::open(Arc::new(self.files.clone()), &self.settings, &self.catalog)
    }

    pub fn entry(&self, tenant: &str, table: &str, names: &[&str]) -> Entry {
        let table = self.catalog.get(table).unwrap().clone();
        Entry {
            tenant: Tenant::new(tenant).unwrap(),
            rows: rows(&table, names),
            table,
            counts: vec![(Door::OtlpGrpc, names.len() as u64)],
            received_unix_nano: 1_000,
        }
    }

    /// Appends one record of the default tenant's logs.
    pub fn log(&self, log: &mut Log, names: &[&str]) -> Result<u64, Error> {
        let positions = log.append(vec![self.entry("default", "logs", names)])?;
        Ok(positions[0].0)
    }

    /// The segments' names, oldest first.
    pub fn segments(&self) -> Vec<String> {
        let names = self.files.list().unwrap().into_iter().map(|(name, _)| name);
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".wal")).collect();
        names.sort();
        names
    }
}

/// Rows of which only `service_name` is set.
pub fn rows(table: &TableDef, names: &[&str]) -> Rows {
    let column = |field: &arrow::datatypes::FieldRef| -> ArrayRef {
        match field.name().as_str() {
            "service_name" => Arc::new(StringArray::from(names.to_vec())),
            _ => new_null_array(field.data_type(), names.len()),
        }
    };
    let columns = table.schema.fields().iter().map(column).collect();
    let batch = RecordBatch::try_new(table.schema.clone(), columns).unwrap();
    Rows::plain(&table.layout, &batch).unwrap()
}

pub fn names(rows: &Rows) -> Vec<String> {
    let column = rows.column("service_name").unwrap();
    let column = column.as_any().downcast_ref::<StringArray>().unwrap();
    (0..column.len()).map(|row| column.value(row).to_owned()).collect()
}

/// Everything above `wanted`.
pub fn replay_above(log: &Log, wanted: &dyn Fn(&Tenant, &str) -> Position) -> Vec<Record> {
    let mut records = Vec::new();
    log.replay(wanted, &mut |one| {
        assert_eq!(one.rows.layout(), &one.table.layout);
        assert_eq!(sum(&one.counts), one.rows.num_rows() as u64);
        let tenant = one.tenant.to_string();
        records.push((one.position.0, tenant, one.table.name.into(), names(&one.rows)));
        Ok(())
    })
    .unwrap();
    assert!(records.is_sorted_by_key(|record| record.0), "in position order");
    records
}

pub fn replay(log: &Log) -> Vec<Record> {
    replay_above(log, &|_, _| Position::ZERO)
}

/// The names of all replayed rows, in order.
pub fn replayed(log: &Log) -> Vec<String> {
    replay(log).into_iter().flat_map(|record| record.3).collect()
}

pub fn sum(counts: &[(Door, u64)]) -> u64 {
    counts.iter().map(|(_, rows)| rows).sum()
}

pub fn accepted(opened: &Opened) -> BTreeMap<(String, String), u64> {
    let mut sums = BTreeMap::new();
    for (tenant, table, _, rows) in &opened.accepted {
        *sums.entry((tenant.to_string(), table.clone())).or_default() += rows;
    }
    sums
}

/// Lost rows over all tables, and their reasons.
pub fn lost(log: &Log) -> (u64, Vec<String>) {
    let losses = log.losses();
    let mut reasons: Vec<String> = losses.iter().map(|loss| loss.reason.clone()).collect();
    reasons.sort();
    reasons.dedup();
    (losses.iter().map(|loss| sum(&loss.counts)).sum(), reasons)
}
