//! The live table against a model: whatever the order of pushes, seals,
//! stagings and commits, a snapshot holds every pushed row exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use schema::{Budget, Catalog, Door, Position, Rows, TableDef, Tenant, Version};

use super::Live;
use crate::stage::{Output, Sealed, Staged};
use crate::table::Committed;
use crate::{DataFile, Place, Snapshot};

fn rows(table: &TableDef, ids: &[i64]) -> Rows {
    let columns: Vec<ArrayRef> = table
        .schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "time_unix_nano" => Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef,
            _ => new_null_array(field.data_type(), ids.len()),
        })
        .collect();
    let batch = RecordBatch::try_new(table.schema.clone(), columns).unwrap();
    Rows::plain(&table.layout, &batch).unwrap()
}

fn ids(rows: &Rows) -> Vec<i64> {
    let column = rows.column("time_unix_nano").unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

/// A table, and what its imaginary files hold.
struct World {
    live: Live,
    budget: Budget,
    files: BTreeMap<String, Vec<i64>>,
    committed: Vec<Arc<DataFile>>,
    version: u64,
    position: Position,
    next_id: i64,
}

impl World {
    fn new() -> World {
        let table = Catalog::default().get("logs").unwrap().clone();
        World {
            live: Live::new(Tenant::default(), table, Vec::new(), Position::ZERO),
            budget: Budget::new(1 << 30),
            files: BTreeMap::new(),
            committed: Vec::new(),
            version: 0,
            position: Position::ZERO,
            next_id: 0,
        }
    }

    fn push(&mut self, count: i64) {
        let new: Vec<i64> = (self.next_id..self.next_id + count).collect();
        self.next_id += count;
        self.position = self.position.next();
        let batch = rows(&self.live.table, &new);
        let paid = self.budget.try_reserve(batch.bytes()).unwrap();
        let counts = [(Door::OtlpHttp, count as u64)];
        self.live.push(self.position, batch, &counts, 0, paid, &self.budget).unwrap();
    }

    fn stage(&mut self) {
        let Some(sealed) = self.live.next_sealed() else { return };
        let Sealed { tenant, first, last, counts, rows, .. } = sealed;
        let path = format!("{first}-{last}");
        let held: Vec<i64> = rows.iter().flat_map(ids).collect();
        let file = DataFile {
            place: Place::Store,
            path: path.clone(),
            size: 1,
            rows: held.len() as u64,
            date: 0,
            stats: Default::default(),
            origin: None,
        };
        self.files.insert(path, held);
        let _replaced = self.live.staged(Staged {
            tenant,
            table: "logs".into(),
            first,
            last,
            counts,
            received_unix_nano: 0,
            outputs: vec![Output { table: "logs".into(), files: vec![file] }],
            manifest: Default::default(),
            bytes: 1,
        });
    }

    fn commit(&mut self, most: usize) {
        let mut pending = self.live.uncommitted(0);
        pending.truncate(most);
        let Some(last) = pending.last().map(|staged| staged.last) else { return };
        let files = pending.iter().flat_map(|staged| &staged.outputs[0].files);
        self.committed.extend(files.cloned().map(Arc::new));
        self.version += 1;
        self.live.publish(
            0,
            Committed {
                version: Version(self.version),
                files: self.committed.clone().into(),
                watermark: last,
                removed: Default::default(),
                watermarks: Default::default(),
            },
        );
    }

    fn seen(&self, snapshot: &Snapshot) -> Vec<i64> {
        let files = snapshot.committed.iter().chain(snapshot.staged.iter());
        let mut seen: Vec<i64> = files.flat_map(|file| self.files[&file.path].clone()).collect();
        snapshot.hot.iter().for_each(|hot| seen.extend(ids(&hot.rows)));
        seen.sort_unstable();
        seen
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(i64),
    Seal,
    Stage,
    Commit(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..300i64).prop_map(Step::Push),
        2 => Just(Step::Seal),
        2 => Just(Step::Stage),
        2 => (1..4usize).prop_map(Step::Commit),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Scenario: any order of pushes, seals, stagings and commits, with a
    /// snapshot held from the middle.
    /// Guarantees: S1 every row once; S2 the held snapshot never changes; D3
    /// the log is kept from the first row that is not staged; B1 nothing stays
    /// paid for once it is staged and no snapshot holds it.
    #[test]
    fn inv_s1_each_row_is_in_exactly_one_place(steps in steps()) {
        let mut world = World::new();
        let half = steps.len() / 2;
        let mut held = None;
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(count) => world.push(count),
                Step::Seal => { world.live.seal(); }
                Step::Stage => world.stage(),
                Step::Commit(most) => world.commit(most),
            }
            let expected: Vec<i64> = (0..world.next_id).collect();
            prop_assert_eq!(world.seen(&world.live.snapshot(0)), expected.clone());
            let staged: BTreeSet<i64> = world.files.values().flatten().copied().collect();
            prop_assert_eq!(world.live.first_unstaged().is_none(), staged.len() as i64 == world.next_id);
            if index == half {
                held = Some((world.live.snapshot(0), expected));
            }
        }
        let (snapshot, expected) = held.unwrap();
        prop_assert_eq!(world.seen(&snapshot), expected);
        world.live.seal();
        while world.live.next_sealed().is_some() {
            world.stage();
        }
        drop(snapshot);
        prop_assert_eq!(world.budget.used(), 0);
        let flight: u64 = world.live.status().in_flight.iter().map(|(_, n)| n).sum();
        let committed: usize = world.committed.iter().map(|f| f.rows as usize).sum();
        prop_assert_eq!(flight + committed as u64, world.next_id as u64);
    }
}

/// Scenario: a thousand requests of one row each.
/// Guarantees: B1, the hot rows are few runs, so that their bookkeeping does
/// not grow with the number of requests.
#[test]
fn inv_b1_tiny_requests_are_joined() {
    let mut world = World::new();
    (0..1000).for_each(|_| world.push(1));
    let snapshot = world.live.snapshot(0);
    assert_eq!(snapshot.hot_rows(), 1000);
    assert!(snapshot.hot.len() <= 10, "{} runs", snapshot.hot.len());
    assert!(
        snapshot.hot.iter().all(|hot| hot
            .rows
            .own()
            .iter()
            .flatten()
            .all(|own| own.len() == hot.rows.num_rows()))
    );
}

/// Scenario: a table is read that an older answer of the store describes.
/// Guarantees: S1, a stale answer never takes a newer one's place.
#[test]
fn inv_s1_an_older_version_is_not_published() {
    let world = World::new();
    let at = |version, watermark| Committed {
        version: Version(version),
        files: Arc::new([]),
        watermark: Position(watermark),
        removed: Default::default(),
        watermarks: Default::default(),
    };
    world.live.publish(0, at(7, 3));
    world.live.publish(0, at(6, 2));
    assert_eq!(world.live.committed(0).unwrap().version, Version(7));
}
