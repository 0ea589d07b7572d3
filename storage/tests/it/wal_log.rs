//! The log without faults: append, restart, replay, release.

use schema::{Catalog, ColumnType, Door, Position, Promotion, Scope, WalId};
use storage::Sync;
use storage::wal::memory::{Fault, Faults, Survives};

use super::wal_world::{World, accepted, lost, names, replay, replay_above, replayed};

/// The id that a renewed log gets.
const NEW: WalId = WalId(0xabc);

/// Scenario: groups over tenants and tables, a restart, and a replay above
/// what is said to be staged per table.
/// Guarantees: D4, exactly the records above it come back, in position order.
#[test]
fn inv_d4_replay_is_exactly_what_is_above() {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    let group = vec![
        world.entry("default", "logs", &["l1", "l2"]),
        world.entry("default", "spans", &["s1"]),
        world.entry("other", "logs", &["o1"]),
    ];
    let positions = log.append(group).unwrap();
    assert_eq!(positions, [Position(1), Position(2), Position(3)]);
    assert_eq!(world.log(&mut log, &["l3"]).unwrap(), 4);
    assert_eq!(log.last(), Position(4));
    drop(log);

    let opened = world.open();
    assert_eq!((opened.boot, opened.last, opened.torn_bytes), (2, Position(4), 0));
    let all = replay(&opened.log);
    let expected = [
        (1, "default", "logs", vec!["l1", "l2"]),
        (2, "default", "spans", vec!["s1"]),
        (3, "other", "logs", vec!["o1"]),
        (4, "default", "logs", vec!["l3"]),
    ];
    let expected = expected.map(|(position, tenant, table, rows)| {
        (position, tenant.into(), table.into(), rows.into_iter().map(String::from).collect())
    });
    assert_eq!(all, expected);
    let staged = |tenant: &schema::Tenant, table: &str| match (tenant.as_str(), table) {
        ("default", "logs") => Position(1),
        ("default", "spans") => Position(2),
        _ => Position::ZERO,
    };
    let above: Vec<u64> = replay_above(&opened.log, &staged).into_iter().map(|r| r.0).collect();
    assert_eq!(above, [3, 4]);
}

/// Scenario: segments fill up, and are released up to a position again and again.
/// Guarantees: D3, a segment goes only when all its records may go; what is
/// above stays and is replayed.
#[test]
fn inv_d3_release_keeps_every_segment_that_is_needed() {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    for n in 1..=6 {
        assert_eq!(world.log(&mut log, &[&format!("r{n}")]).unwrap(), n);
        if n % 2 == 0 {
            log.rotate().unwrap();
        }
    }
    assert_eq!(log.segments().len(), 4);
    assert_eq!(log.release(Position(1)).unwrap(), 0);
    let before = log.bytes();
    let freed = log.release(Position(5)).unwrap();
    assert!(freed > 0 && log.bytes() == before - freed);
    assert_eq!(replayed(&log), ["r5", "r6"]);
    drop(log);
    let opened = world.open();
    assert_eq!(replayed(&opened.log), ["r5", "r6"]);
    assert_eq!(opened.last, Position(6));
}

/// Scenario: everything is released, also the active segment, and the log is
/// opened again, twice.
/// Guarantees: D3, L1: positions go on, the boot grows, accepted rows are still
/// counted since the id was minted.
#[test]
fn inv_d3_an_empty_log_still_knows_its_past() {
    let world = World::new(Sync::Always);
    let opened = world.open();
    let (wal_id, mut log) = (opened.wal_id, opened.log);
    world.log(&mut log, &["a", "b"]).unwrap();
    world.log(&mut log, &["c"]).unwrap();
    assert!(log.release(Position(2)).unwrap() > 0);
    assert_eq!((log.segments().len(), world.segments().len()), (1, 1));
    assert_eq!(log.segments()[0].last, None);
    drop(log);
    for boot in 2..4 {
        let opened = world.open();
        assert_eq!((opened.wal_id, opened.boot, opened.last), (wal_id, boot, Position(2)));
        assert_eq!(opened.accepted.len(), 1);
        assert_eq!((opened.accepted[0].2, opened.accepted[0].3), (Door::OtlpGrpc, 3));
        assert_eq!(replayed(&opened.log).len(), 0);
        assert_eq!(lost(&opened.log).0, 0);
    }
    let mut log = world.open().log;
    assert_eq!(world.log(&mut log, &["d"]).unwrap(), 3);
}

/// Scenario: rows are written under a configuration with one more promoted
/// column, and read under one without it, and the other way round.
/// Guarantees: F43, columns are mapped by name: missing is NULL, unknown is dropped.
#[test]
fn replay_maps_columns_by_name() {
    let mut world = World::new(Sync::Always);
    let wide = Catalog::new(&[Promotion {
        scope: Scope::Record,
        key: "shop.id".into(),
        kind: ColumnType::Int,
        column: "shop.id".into(),
    }]);
    let narrow = std::mem::replace(&mut world.catalog, wide.clone());
    let mut log = world.open().log;
    world.log(&mut log, &["wide"]).unwrap();
    drop(log);
    world.catalog = narrow;
    let mut log = world.open().log;
    assert_eq!(replayed(&log), ["wide"]);
    world.log(&mut log, &["narrow"]).unwrap();
    drop(log);
    world.catalog = wide;
    let opened = world.open();
    assert_eq!(replayed(&opened.log), ["wide", "narrow"]);
    let none = |_: &schema::Tenant, _: &str| Position(1);
    let mut nulls = 0;
    opened
        .log
        .replay(&none, &mut |one| {
            assert_eq!(names(&one.rows), ["narrow"]);
            nulls = one.rows.column("shop.id").unwrap().null_count();
            Ok(())
        })
        .unwrap();
    assert_eq!(nulls, 1);
}

/// Scenario: a group larger than what is kept plain, with doors mixed.
/// Guarantees: compressed payloads come back as they went in, counts per door.
#[test]
fn a_large_batch_is_compressed_and_comes_back() {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    let long: Vec<String> = (0..20_000).map(|n| format!("service-{n}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let mut entry = world.entry("default", "metrics", &long);
    let plain = entry.rows.bytes();
    entry.counts = vec![(Door::OtlpGrpc, 15_000), (Door::Internal, 5_000)];
    log.append(vec![entry]).unwrap();
    assert!(log.bytes() < plain / 3, "{} of {plain}", log.bytes());
    drop(log);
    let opened = world.open();
    assert_eq!(replayed(&opened.log), long);
    let doors: Vec<_> = opened.accepted.iter().map(|line| (line.2, line.3)).collect();
    assert_eq!(doors, [(Door::OtlpGrpc, 15_000), (Door::Internal, 5_000)]);
}

/// Scenario: the log reaches its bound, then part of it is released.
/// Guarantees: F13, F22: at the bound an append is refused and nothing of it is
/// kept; space makes the log go on by itself.
#[test]
fn fault_f13_the_bound_refuses_and_release_reopens() {
    let mut world = World::new(Sync::Always);
    world.settings.max_bytes = 60_000;
    let mut log = world.open().log;
    let mut kept = Vec::new();
    let refused = loop {
        let name = format!("r{}", kept.len());
        match world.log(&mut log, &[&name]) {
            Ok(_) => kept.push(name),
            Err(error) => break error,
        }
        if kept.len() % 5 == 0 {
            log.rotate().unwrap();
        }
    };
    assert_eq!(refused.kind(), schema::ErrorKind::Unavailable);
    assert!(refused.to_string().contains("wal.max_bytes"), "{refused}");
    assert!(log.bytes() <= 60_000);
    assert_eq!(replayed(&log), kept);
    let next = kept.len() as u64 + 1;
    log.release(Position(6)).unwrap();
    assert_eq!(world.log(&mut log, &["after"]).unwrap(), next);
}

/// Scenario: under `interval`, power is lost before and after `sync`.
/// Guarantees: D1 at the level that was promised: synced records survive.
#[test]
fn inv_d1_interval_keeps_what_was_synced() {
    let world = World::new(Sync::Interval(std::time::Duration::from_secs(1)));
    let mut log = world.open().log;
    world.log(&mut log, &["synced"]).unwrap();
    log.sync().unwrap();
    world.log(&mut log, &["not"]).unwrap();
    world.files.crash(Survives::Nothing);
    let opened = world.open();
    assert_eq!(replayed(&opened.log), ["synced"]);
    assert_eq!(accepted(&opened).values().sum::<u64>(), 1);
}

/// Scenario: the folder is an older copy of a log whose later positions were
/// committed: it is renewed above what is staged, and opened again.
/// Guarantees: the new id has exactly the wanted rows, above all old positions;
/// nothing of the old id is left.
#[test]
fn inv_d4_a_renewed_log_holds_what_was_wanted() {
    let world = World::new(Sync::Always);
    let opened = world.open();
    let (old, mut log) = (opened.wal_id, opened.log);
    for n in 1..=4 {
        world.log(&mut log, &[&format!("r{n}"), "twin"]).unwrap();
    }
    drop(log);
    let renewed = world.open().log.renew(NEW, &[], &|_, _| Position(2)).unwrap();
    assert_ne!(renewed.wal_id, old);
    assert_eq!(accepted(&renewed).values().sum::<u64>(), 4);
    let mut log = renewed.log;
    assert_eq!(replayed(&log), ["r3", "twin", "r4", "twin"]);
    assert!(replay(&log).iter().all(|record| record.0 > 5));
    world.log(&mut log, &["new"]).unwrap();
    drop(log);
    let opened = world.open();
    assert_eq!((opened.wal_id, opened.boot), (renewed.wal_id, 2));
    assert_eq!(replayed(&opened.log), ["r3", "twin", "r4", "twin", "new"]);
}

/// Scenario: the process and the power die at every operation of a renewal.
/// Guarantees: D4: the next open finds the old log or the new one, whole.
#[test]
fn inv_d4_a_renewal_is_all_or_nothing() {
    let (mut before, mut after) = (0, 0);
    for operation in 0..200 {
        let world = World::new(Sync::Always);
        let opened = world.open();
        let (old, mut log) = (opened.wal_id, opened.log);
        world.log(&mut log, &["a"]).unwrap();
        world.log(&mut log, &["b"]).unwrap();
        let fault = Fault { after: operation, times: u32::MAX };
        world.files.set_faults(Faults { all: fault, ..Faults::default() });
        let done = log.renew(NEW, &[], &|_, _| Position::ZERO).is_ok();
        world.files.crash(Survives::Chance(u64::from(operation)));
        let opened = world.open();
        assert_eq!(replayed(&opened.log), ["a", "b"], "operation {operation}");
        *if opened.wal_id == old { &mut before } else { &mut after } += 1;
        drop(opened);
        assert_eq!(replayed(&world.open().log), ["a", "b"]);
        if done {
            assert!(before > 3 && after > 1, "{before} {after}");
            return;
        }
    }
    panic!("the renewal never ran to its end");
}
