//! The log on disks that are full, fail or lose power.

use schema::{ErrorKind, Position};
use storage::Sync;
use storage::wal::memory::{Fault, Faults, Survives};
use storage::wal::{Files, Log};

use super::wal_world::{Dice, World, accepted, lost, replayed};

const ONCE: Fault = Fault { after: 0, times: 1 };

/// Checks that the log goes on, then cuts the power and reads what is there.
fn goes_on_with(world: &World, mut log: Log, mut kept: Vec<String>, survives: Survives) {
    world.files.set_capacity(None);
    world.files.set_faults(Faults::default());
    let before = log.last();
    let position = world.log(&mut log, &["after"]).expect("the log goes on by itself");
    assert!(Position(position) > before, "positions are not given twice");
    kept.push("after".into());
    assert_eq!(replayed(&log), kept);
    world.files.crash(survives);
    drop(log);
    let opened = world.open();
    assert_eq!(replayed(&opened.log), kept);
    assert_eq!(accepted(&opened).values().sum::<u64>(), kept.len() as u64);
    assert_eq!(lost(&opened.log).0, 0);
}

/// Scenario: power is lost after any acked group, with any part of what was
/// not synced surviving; many logs, many outcomes.
/// Guarantees: F12, D1: acked survives; a record never comes twice.
#[test]
fn fault_f12_acked_survives_power_loss() {
    for seed in 0..120 {
        let world = World::new(Sync::Always);
        let mut dice = Dice(seed);
        let mut kept = Vec::new();
        for round in 0..3 {
            let mut log = world.open().log;
            for n in 0..dice.below(5) {
                let name = format!("{round}-{n}");
                world.log(&mut log, &[&name]).unwrap();
                kept.push(name);
                if dice.below(3) == 0 {
                    log.rotate().unwrap();
                }
            }
            world.files.crash(Survives::Chance(seed * 7 + round));
        }
        let opened = world.open();
        assert_eq!(replayed(&opened.log), kept, "seed {seed}");
        assert_eq!(accepted(&opened).values().sum::<u64>(), kept.len() as u64);
    }
}

/// Scenario: the process and the power die at every single disk operation of a
/// history of appends, rotations, releases and a restart.
/// Guarantees: F2, F3, F9, D3, D4: whatever the moment, what was acked and not
/// released is there once; the log opens.
#[test]
fn fault_f9_death_at_every_operation_leaves_old_or_new() {
    let mut completed = false;
    for after in 0..500 {
        for survives in [Survives::Nothing, Survives::Chance(u64::from(after))] {
            let world = World::new(Sync::Always);
            world
                .files
                .set_faults(Faults { all: Fault { after, times: u32::MAX }, ..Faults::default() });
            let (mut acked, mut tried, mut released) = (Vec::new(), Vec::new(), Position::ZERO);
            let ended = history(&world, &mut acked, &mut tried, &mut released);
            world.files.crash(survives);
            let opened = world.try_open().unwrap_or_else(|error| panic!("after {after}: {error}"));
            let found: Vec<(u64, Vec<String>)> = super::wal_world::replay(&opened.log)
                .into_iter()
                .map(|record| (record.0, record.3))
                .filter(|record| record.0 > released.0)
                .collect();
            let names: Vec<&String> = found.iter().flat_map(|record| &record.1).collect();
            for (position, name) in &acked {
                let there = names.iter().filter(|found| **found == name).count();
                assert_eq!(there, usize::from(*position > released.0), "after {after}: {name}");
            }
            for name in names {
                assert!(tried.contains(name), "after {after}: {name} was never sent");
            }
            completed |= ended;
        }
        if completed {
            return;
        }
    }
    panic!("the history never ran to its end");
}

fn history(
    world: &World,
    acked: &mut Vec<(u64, String)>,
    tried: &mut Vec<String>,
    released: &mut Position,
) -> bool {
    for round in 0..2 {
        let Ok(opened) = world.try_open() else { return false };
        let mut log = opened.log;
        for n in 0..4 {
            let name = format!("{round}-{n}");
            tried.push(name.clone());
            let Ok(position) = world.log(&mut log, &[&name]) else { return false };
            acked.push((position, name));
            if n % 2 == 1 && log.rotate().is_err() {
                return false;
            }
        }
        *released = Position(round * 4 + 3);
        if log.release(*released).is_err() {
            return false;
        }
    }
    true
}

/// Scenario: the disk fills up at every byte of a record, then has space again.
/// Guarantees: F13: refused retryably, nothing of the record is kept, the log
/// goes on by itself in order.
#[test]
fn fault_f13_full_disk_inside_a_record() {
    for room in (0..6_000).step_by(97) {
        let world = World::new(Sync::Always);
        let mut log = world.open().log;
        world.log(&mut log, &["before"]).unwrap();
        let used: u64 = world.files.list().unwrap().iter().map(|(_, bytes)| bytes).sum();
        world.files.set_capacity(Some(used + room));
        let Err(error) = world.log(&mut log, &["refused"]) else { return assert!(room > 1_000) };
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let survives = [Survives::Nothing, Survives::Chance(room)][(room % 2) as usize];
        goes_on_with(&world, log, vec!["before".into()], survives);
    }
    panic!("no room was enough");
}

/// Scenario: the disk is full when the next segment is to be begun.
/// Guarantees: F13: appends are refused until there is space, then go on.
#[test]
fn fault_f13_full_disk_at_rotation() {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    world.log(&mut log, &["before"]).unwrap();
    let used: u64 = world.files.list().unwrap().iter().map(|(_, bytes)| bytes).sum();
    world.files.set_capacity(Some(used + 20));
    assert!(log.rotate().is_err());
    assert!(world.log(&mut log, &["refused"]).is_err());
    assert!(log.sync().is_err());
    assert_eq!(replayed(&log), ["before"]);
    goes_on_with(&world, log, vec!["before".into()], Survives::Nothing);
}

/// Scenario: a write fails in the middle, and so does cutting off what it left.
/// Guarantees: F13, F15: the segment is abandoned and fenced by the next one.
#[test]
fn fault_f15_a_write_that_cannot_be_undone_is_fenced() {
    for (truncates, syncs) in [(ONCE, Fault::NONE), (Fault::NONE, ONCE)] {
        let world = World::new(Sync::Always);
        let mut log = world.open().log;
        world.log(&mut log, &["before"]).unwrap();
        let faults = Faults { writes: ONCE, truncates, syncs, ..Faults::default() };
        world.files.set_faults(faults);
        assert_eq!(world.log(&mut log, &["refused"]).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(log.segments().len(), 2);
        goes_on_with(&world, log, vec!["before".into()], Survives::Nothing);
    }
}

/// Scenario: an fsync fails with EIO, once; then power is lost, or not.
/// Guarantees: F15: the group is refused and never replayed though its bytes
/// may be on the disk; that file is not written to again.
#[test]
fn fault_f15_a_failed_fsync_ends_the_segment() {
    for survives in [Survives::Nothing, Survives::Chance(1), Survives::Chance(2)] {
        let world = World::new(Sync::Always);
        let mut log = world.open().log;
        world.log(&mut log, &["before"]).unwrap();
        world.files.set_faults(Faults { syncs: ONCE, ..Faults::default() });
        assert_eq!(world.log(&mut log, &["refused"]).unwrap_err().kind(), ErrorKind::Unavailable);
        let old = world.files.content(&world.segments()[0]).unwrap();
        assert_eq!(log.segments().len(), 2);
        world.log(&mut log, &["next"]).unwrap();
        assert_eq!(world.files.content(&world.segments()[0]).unwrap(), old);
        goes_on_with(&world, log, vec!["before".into(), "next".into()], survives);
    }
}

/// Scenario: the process is killed right after an append failed by its fsync.
/// Guarantees: F15: the fence was durable before the refusal was given.
#[test]
fn fault_f15_the_fence_comes_before_the_refusal() {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    world.log(&mut log, &["before"]).unwrap();
    world.files.set_faults(Faults { syncs: ONCE, ..Faults::default() });
    assert!(world.log(&mut log, &["refused"]).is_err());
    drop(log);
    assert_eq!(replayed(&world.open().log), ["before"]);
}

/// Scenario: every operation fails for a while, as on a detached volume.
/// Guarantees: F15, F17: refusals, no panic, then it goes on by itself.
#[test]
fn fault_f15_a_dead_disk_refuses_until_it_is_back() {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    world.log(&mut log, &["before"]).unwrap();
    world.files.set_faults(Faults { all: Fault::ALWAYS, ..Faults::default() });
    for _ in 0..5 {
        assert_eq!(world.log(&mut log, &["refused"]).unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(log.rotate().is_err() && log.sync().is_err());
        // The only segment: its end is still to be told to the next one.
        assert_eq!(log.release(Position(1)).unwrap(), 0);
    }
    goes_on_with(&world, log, vec!["before".into()], Survives::Nothing);
}

/// Scenario: under `interval`, the fsync that comes later fails.
/// Guarantees: F15: the caller hears of it; what was acked before is not given
/// up, because the process lives and the bytes may well be there.
#[test]
fn fault_f15_interval_keeps_what_it_acked() {
    let world = World::new(Sync::Interval(std::time::Duration::from_secs(1)));
    let mut log = world.open().log;
    world.log(&mut log, &["acked"]).unwrap();
    world.files.set_faults(Faults { syncs: ONCE, ..Faults::default() });
    assert!(log.sync().is_err());
    world.log(&mut log, &["after"]).unwrap();
    log.sync().unwrap();
    drop(log);
    assert_eq!(replayed(&world.open().log), ["acked", "after"]);
}

/// Scenario: removing a released segment fails, then works.
/// Guarantees: D3: the error is told, and the next release frees it.
#[test]
fn inv_d3_a_failed_release_is_repeated() {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    world.log(&mut log, &["a"]).unwrap();
    log.rotate().unwrap();
    world.log(&mut log, &["b"]).unwrap();
    world.files.set_faults(Faults { removes: ONCE, ..Faults::default() });
    assert!(log.release(Position(1)).is_err());
    assert_eq!(replayed(&log), ["a", "b"]);
    assert!(log.release(Position(1)).unwrap() > 0);
    assert_eq!(replayed(&log), ["b"]);
}

/// Scenario: a process dies with rows in the page cache only; they come back,
/// and then the power is lost.
/// Guarantees: F2: what one recovery has shown, the next one shows too.
#[test]
fn fault_f2_what_came_back_stays() {
    let world = World::new(Sync::Interval(std::time::Duration::from_secs(1)));
    let mut log = world.open().log;
    world.log(&mut log, &["cached"]).unwrap();
    drop(log);
    assert_eq!(replayed(&world.open().log), ["cached"]);
    world.files.crash(Survives::Nothing);
    assert_eq!(replayed(&world.open().log), ["cached"]);
}
