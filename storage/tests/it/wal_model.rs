//! The log against a model: any history of appends, rotations, releases,
//! restarts, power losses, disk faults and damage.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schema::{Position, Tenant};
use storage::Sync;
use storage::wal::Log;
use storage::wal::memory::{Fault, Faults, Survives};

use super::wal_world::{World, accepted, lost, replay_above};

#[derive(Debug, Clone)]
enum Step {
    /// Rows per entry; the entry's index picks its table.
    Append(Vec<u8>),
    Rotate,
    /// Per cent of what is there.
    Release(u8),
    Restart,
    Crash(u64),
    Fault {
        which: u8,
        after: u32,
        times: u32,
    },
    Full(u16),
    /// Damage to a closed segment, at per mille of its length.
    Damage {
        segment: u8,
        at: u16,
        zeroed: bool,
    },
}

fn step(damage: bool) -> impl Strategy<Value = Step> {
    let harmless = prop_oneof![
        8 => prop::collection::vec(1u8..4, 1..4).prop_map(Step::Append),
        2 => Just(Step::Rotate),
        2 => (0u8..=100).prop_map(Step::Release),
        1 => Just(Step::Restart),
        2 => any::<u64>().prop_map(Step::Crash),
        2 => (0u8..6, 0u32..4, 1u32..4)
            .prop_map(|(which, after, times)| Step::Fault { which, after, times }),
        1 => (0u16..8_000).prop_map(Step::Full),
    ];
    let broken = (any::<u8>(), 0u16..1000, any::<bool>())
        .prop_map(|(segment, at, zeroed)| Step::Damage { segment, at, zeroed });
    prop_oneof![12 => harmless, u32::from(damage) => broken]
}

const TABLES: [&str; 3] = ["logs", "spans", "metrics"];

#[derive(Default)]
struct Model {
    /// Acked rows and their record.
    acked: BTreeMap<String, u64>,
    /// Rows of groups that were refused while the log could still fence them.
    refused: Vec<String>,
    /// Rows of groups whose refusal was followed by a death with no good
    /// operation between: they may be there.
    unknown: Vec<String>,
    /// Those that were there at some start. A failed fsync's bytes may be read
    /// back before a power loss and be gone after it: found, then lost.
    found: BTreeMap<String, u64>,
    just_refused: Vec<String>,
    staged: u64,
    rows: u64,
    damaged: bool,
    missing: BTreeMap<String, u64>,
}

impl Model {
    fn append(&mut self, world: &World, log: &mut Log, sizes: &[u8]) {
        let mut names = Vec::new();
        let mut group = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let rows: Vec<String> = (0..*size)
                .map(|_| {
                    self.rows += 1;
                    format!("row-{}", self.rows)
                })
                .collect();
            let plain: Vec<&str> = rows.iter().map(String::as_str).collect();
            group.push(world.entry("default", TABLES[index % 3], &plain));
            names.push(rows);
        }
        match log.append(group) {
            Ok(positions) => {
                self.refused.append(&mut self.just_refused);
                for (position, rows) in positions.iter().zip(names) {
                    self.acked.extend(rows.into_iter().map(|row| (row, position.0)));
                }
            }
            Err(_) => self.just_refused.extend(names.into_iter().flatten()),
        }
    }

    fn died(&mut self) {
        self.unknown.append(&mut self.just_refused);
    }

    fn check(&mut self, log: &Log, accepted: u64) {
        let above = replay_above(log, &|_: &Tenant, _: &str| Position(self.staged));
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        for (position, _, _, rows) in above {
            for row in rows {
                assert!(seen.insert(row.clone(), position).is_none(), "{row} came twice");
                assert!(!self.refused.contains(&row), "{row} was refused");
                match self.acked.get(&row) {
                    Some(acked) => assert_eq!(*acked, position, "{row} moved"),
                    None => {
                        assert!(self.unknown.contains(&row), "{row} was never appended");
                        self.found.insert(row, position);
                    }
                }
            }
        }
        for (row, position) in self.acked.iter().filter(|(_, p)| **p > self.staged) {
            if !seen.contains_key(row) {
                self.missing.insert(row.clone(), *position);
            }
        }
        let lost = lost(log).0;
        if self.damaged {
            assert!(self.missing.len() as u64 <= lost, "{:?} but lost {lost}", self.missing);
        } else {
            let vanished = self.found.keys().filter(|row| !seen.contains_key(*row)).count();
            assert_eq!((self.missing.len(), lost), (0, vanished as u64));
            let elsewhere = self.acked.values().filter(|p| **p <= self.staged).count();
            let known = (elsewhere + seen.len()) as u64 + lost;
            assert_eq!(accepted, known, "accepted = staged + replayed + lost");
        }
    }
}

fn run(steps: Vec<Step>) {
    let mut world = World::new(Sync::Always);
    world.settings.segment_bytes = 12_000;
    let mut model = Model::default();
    let mut log = world.open().log;
    for step in steps {
        match step {
            Step::Append(sizes) => model.append(&world, &mut log, &sizes),
            Step::Rotate => drop(log.rotate()),
            Step::Release(per_cent) => {
                let last = log.last().0;
                let up_to = model.staged + (last - model.staged) * u64::from(per_cent) / 100;
                // Refused rows that are later found again must lie above.
                if model.just_refused.is_empty() && model.unknown.is_empty() {
                    model.staged = up_to;
                    drop(log.release(Position(up_to)));
                }
            }
            Step::Fault { which, after, times } => {
                let mut faults = Faults::default();
                let fault = Fault { after, times };
                match which {
                    0 => faults.writes = fault,
                    1 => faults.syncs = fault,
                    2 => faults.renames = fault,
                    3 => faults.dir_syncs = fault,
                    4 => faults.creates = fault,
                    _ => faults.all = fault,
                }
                world.files.set_faults(faults);
            }
            Step::Full(room) => {
                let used: u64 = log.bytes();
                world.files.set_capacity(Some(used + u64::from(room)));
            }
            Step::Damage { segment, at, zeroed } => {
                let closed = log.segments().len().saturating_sub(1);
                if closed == 0 {
                    continue;
                }
                model.damaged = true;
                let name = log.segments()[usize::from(segment) % closed].name.clone();
                world.files.tamper(&name, |bytes| {
                    // Past the header: two faults at once are the fuzz's matter.
                    let from = 600 + (bytes.len() - 600.min(bytes.len())) * usize::from(at) / 1000;
                    let to = (from + if zeroed { 4096 } else { 1 }).min(bytes.len());
                    for byte in bytes.get_mut(from..to).unwrap_or_default() {
                        *byte = if zeroed { 0 } else { *byte ^ 4 };
                    }
                });
            }
            Step::Restart | Step::Crash(_) => {
                drop(log);
                model.died();
                if let Step::Crash(seed) = step {
                    world.files.crash(Survives::Chance(seed));
                }
                world.files.set_faults(Faults::default());
                world.files.set_capacity(None);
                let opened = world.open();
                log = opened.log;
                model.check(&log, sum(&opened.accepted));
            }
        }
    }
    drop(log);
    model.died();
    world.files.set_faults(Faults::default());
    world.files.set_capacity(None);
    world.files.crash(Survives::Nothing);
    let opened = world.open();
    let total = accepted(&opened).values().sum();
    model.check(&opened.log, total);
}

fn sum(accepted: &[(Tenant, String, schema::Door, u64)]) -> u64 {
    accepted.iter().map(|line| line.3).sum()
}

/// 120 histories, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default,
        None => ProptestConfig { cases: 120, ..default },
    }
}

proptest! {
    #![proptest_config(config())]

    /// Scenario: any history without damage to stored bytes.
    /// Guarantees: D3, D4, F12, F13, F15, L1: acked ⊆ replayed, nothing of a
    /// refused group, nothing twice, accepted = staged + replayed.
    #[test]
    fn inv_d4_any_history_keeps_what_was_acked(steps in prop::collection::vec(step(false), 1..40)) {
        run(steps);
    }

    /// Scenario: any history, with closed segments damaged on the way.
    /// Guarantees: F19, L1: it always starts; what is missing is counted; the
    /// rest as above.
    #[test]
    fn fault_f19_any_history_with_damage_counts_what_is_missing(
        steps in prop::collection::vec(step(true), 1..40)
    ) {
        run(steps);
    }
}
