//! Logs whose bytes are not what was written, or not ours.

use std::sync::Arc;

use schema::{Position, Tenant, WalId};
use storage::Sync;
use storage::wal::memory::{Fault, Faults, Survives};
use storage::wal::{Disk, Files, Log};

use super::wal_world::{World, accepted, lost, replay_above, replayed, rows, sum};

/// A log of single-row records r1…r`records`, all in one closed segment, then
/// one more record in the next. Returns where each record's frame starts.
fn written(records: u64) -> (World, String, Vec<usize>) {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    let name = world.segments()[0].clone();
    let mut starts = Vec::new();
    for n in 1..=records {
        starts.push(log.bytes() as usize);
        world.log(&mut log, &[&format!("r{n}")]).unwrap();
    }
    log.rotate().unwrap();
    world.log(&mut log, &["last"]).unwrap();
    (world, name, starts)
}

fn without(records: u64, gone: &[u64]) -> Vec<String> {
    let kept = (1..=records).filter(|n| !gone.contains(n)).map(|n| format!("r{n}"));
    kept.chain(["last".into()]).collect()
}

/// Opens twice: the second time must tell the same.
fn check(world: &World, kept: &[String], missing: u64) {
    for _ in 0..2 {
        let opened = world.open();
        assert_eq!(replayed(&opened.log), kept);
        assert_eq!(lost(&opened.log).0, missing);
        let all = accepted(&opened).values().sum::<u64>();
        assert_eq!(all, kept.len() as u64 + missing, "accepted = replayed + lost");
    }
    let again = world.open();
    assert_eq!(again.losses.iter().map(|loss| sum(&loss.counts)).sum::<u64>(), missing);
}

/// Scenario: one bit flips, in each part of a record in the middle.
/// Guarantees: F19: that record is lost, counted and copied; the others come;
/// a second start tells the same.
#[test]
fn fault_f19_a_flipped_bit_costs_one_record() {
    for within in [0, 5, 9, 13, 20, 33, 38, 45, 70, 400, 1_500] {
        let (world, segment, starts) = written(6);
        world.files.tamper(&segment, |bytes| bytes[starts[3] + within] ^= 0x10);
        check(&world, &without(6, &[4]), 1);
        let listed = world.files.list().unwrap();
        let copies: Vec<_> =
            listed.iter().filter(|(name, _)| name.starts_with("quarantine/")).collect();
        assert_eq!(copies.len(), 1, "{copies:?}");
        let copy = world.files.content(&copies[0].0).unwrap();
        assert_eq!(copy.len(), starts[4] - starts[3]);
    }
}

/// Scenario: 4 KiB are zeroed over the middle of a segment.
/// Guarantees: F19: resync finds the next record, the lost ones are counted
/// exactly.
#[test]
fn fault_f19_a_zeroed_page_is_skipped() {
    let (world, segment, starts) = written(12);
    // Well inside the record before: its last bytes are zeros anyway.
    let from = starts[5] - 1_500;
    world.files.tamper(&segment, |bytes| bytes[from..from + 4096].fill(0));
    let gone: Vec<u64> = (1..=12u64)
        .filter(|n| {
            let start = starts[*n as usize - 1];
            let end = starts.get(*n as usize).copied().unwrap_or(usize::MAX);
            start < from + 4096 && end > from
        })
        .collect();
    assert!(gone.len() >= 2);
    check(&world, &without(12, &gone), gone.len() as u64);
}

/// Scenario: a segment's first page is zeroed: prelude, header and schema.
/// Guarantees: F19: its later records are found and read all the same, with
/// the schema of today's table; the log starts.
#[test]
fn fault_f19_a_lost_header_costs_only_its_page() {
    for first_page in [16, 200, 2_048, 4_096] {
        let (world, segment, starts) = written(12);
        world.files.tamper(&segment, |bytes| bytes[..first_page].fill(0));
        let opened = world.open();
        let gone: Vec<u64> = (1..=12).filter(|n| starts[*n as usize - 1] < first_page).collect();
        // The first start holds the schema too, before the record itself.
        let found = replayed(&opened.log);
        assert!(without(12, &gone).iter().all(|name| found.contains(name)), "{found:?}");
        assert_eq!(accepted(&opened).values().sum::<u64>(), 13);
    }
}

/// Scenario: the damaged record was staged long ago.
/// Guarantees: L1: what is elsewhere is not counted as lost.
#[test]
fn fault_f19_damage_below_the_stage_is_no_loss() {
    let (world, segment, starts) = written(6);
    world.files.tamper(&segment, |bytes| bytes[starts[3] + 400] ^= 1);
    world.files.tamper(&segment, |bytes| bytes[starts[1] + 4] ^= 1);
    let opened = world.open();
    let above = replay_above(&opened.log, &|_: &Tenant, _: &str| Position(4));
    assert_eq!(above.len(), 3);
    assert_eq!(lost(&opened.log), (0, vec![]));
}

/// Scenario: the last record of a table is damaged in the last segment, with
/// only other tables' groups after it; then one in the very last group.
/// Guarantees: F19, L1: what a later group proves acked is accepted and lost;
/// what may never have been acked is neither.
#[test]
fn fault_f19_a_later_group_proves_the_ack() {
    for (tables, missing) in [(["spans", "logs"], 1), (["logs", "spans"], 0)] {
        let world = World::new(Sync::Always);
        let mut log = world.open().log;
        let mut starts = Vec::new();
        for table in tables {
            starts.push(log.bytes() as usize);
            log.append(vec![world.entry("default", table, &["x"])]).unwrap();
        }
        let spans = tables.iter().position(|table| *table == "spans").unwrap();
        let end = starts.get(spans + 1).copied().unwrap_or(log.bytes() as usize);
        drop(log);
        world.files.tamper(&world.segments()[0], |bytes| bytes[end - 1_000] ^= 1);
        for _ in 0..2 {
            let opened = world.open();
            assert_eq!(replayed(&opened.log), ["x"]);
            assert_eq!(lost(&opened.log).0, missing, "{tables:?}");
            assert_eq!(accepted(&opened).values().sum::<u64>(), 1 + missing);
        }
    }
}

/// Scenario: a hole hides a staged record; its table's next record comes much
/// later and is not staged.
/// Guarantees: L1: the hole tells where the missing rows lie, below the stage.
#[test]
fn fault_f19_a_hole_below_the_stage_is_no_loss() {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    let mut starts = Vec::new();
    for table in ["logs", "logs", "spans", "spans", "logs"] {
        starts.push(log.bytes() as usize);
        log.append(vec![world.entry("default", table, &["x"])]).unwrap();
    }
    drop(log);
    world.files.tamper(&world.segments()[0], |bytes| bytes[starts[1]] ^= 1);
    for (staged, missing) in [(3, 0), (1, 1)] {
        let opened = world.open();
        let wanted = |_: &Tenant, table: &str| Position(if table == "logs" { staged } else { 0 });
        assert_eq!(replay_above(&opened.log, &wanted).len(), 3);
        assert_eq!(lost(&opened.log).0, missing);
    }
}

/// Scenario: a loss is found, the rest is staged, the segment is released, the
/// log is opened again.
/// Guarantees: F19, L1: the loss is told for as long as the log's id lives.
#[test]
fn fault_f19_a_loss_outlives_its_segment() {
    let (world, segment, starts) = written(6);
    world.files.tamper(&segment, |bytes| bytes[starts[3] + 2] ^= 1);
    let opened = world.open();
    let mut log = opened.log;
    assert_eq!(replayed(&log).len(), 6);
    log.release(Position(6)).unwrap();
    assert!(!world.segments().contains(&segment));
    drop(log);
    for staged in [0, 6, 100] {
        let opened = world.open();
        replay_above(&opened.log, &|_: &Tenant, _: &str| Position(staged));
        assert_eq!(lost(&opened.log), (1, vec!["wal_damaged".into()]));
    }
}

/// Scenario: the end of the last segment is cut at any byte, zero-filled, or
/// followed by garbage.
/// Guarantees: F18: it is cut at the last valid record and counted; the log
/// goes on with positions that were never given.
#[test]
fn fault_f18_a_torn_tail_is_cut() {
    for variant in 0..3 {
        for cut in (1..3_000).step_by(137) {
            let world = World::new(Sync::Always);
            let mut log = world.open().log;
            world.log(&mut log, &["a"]).unwrap();
            world.log(&mut log, &["b"]).unwrap();
            let valid = log.bytes() as usize;
            world.log(&mut log, &["torn"]).unwrap();
            let whole = log.bytes() as usize;
            drop(log);
            let segment = world.segments()[0].clone();
            // The record ends with zeros: one byte of what is torn says something.
            let content = world.files.content(&segment).unwrap();
            let last = content[..whole].iter().rposition(|byte| *byte != 0).unwrap();
            let at = valid + cut.min(last - valid);
            world.files.tamper(&segment, |bytes| match variant {
                0 => bytes.truncate(at),
                1 => bytes[at..].fill(0),
                _ => bytes[at..].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(7) ^ 0xA5),
            });
            let length = world.files.content(&segment).unwrap().len();
            let opened = world.open();
            assert_eq!(opened.torn_bytes, (length - valid) as u64);
            assert_eq!(world.files.content(&segment).unwrap().len(), valid);
            assert_eq!(replayed(&opened.log), ["a", "b"]);
            assert_eq!((lost(&opened.log).0, accepted(&opened).values().sum::<u64>()), (0, 2));
            let mut log = opened.log;
            let position = world.log(&mut log, &["c"]).unwrap();
            assert!(position > 3, "position 3 was given to what is torn");
            drop(log);
            let opened = world.open();
            assert_eq!((opened.torn_bytes, replayed(&opened.log).len()), (0, 3));
        }
    }
}

/// Scenario: of the last record only some of the zeros are missing that fill
/// it up to where a next one would start.
/// Guarantees: F18: a record that is whole stays, no more bytes are counted as
/// torn than the file has, and positions go on by a little.
#[test]
fn fault_f18_torn_padding_takes_nothing_with_it() {
    let mut kept = 0;
    for missing in 1..200 {
        let world = World::new(Sync::Always);
        let mut log = world.open().log;
        world.log(&mut log, &["a"]).unwrap();
        let valid = log.bytes();
        world.log(&mut log, &["last"]).unwrap();
        let cut = log.bytes() - missing;
        assert!(cut > valid);
        drop(log);
        let segment = world.segments()[0].clone();
        world.files.tamper(&segment, |bytes| bytes.truncate(cut as usize));
        let opened = world.open();
        let rows = replayed(&opened.log);
        let torn = if rows == ["a", "last"] { 0 } else { cut - valid };
        assert_eq!((rows[0].as_str(), opened.torn_bytes), ("a", torn), "{missing} are missing");
        kept += usize::from(torn == 0);
        let mut log = opened.log;
        let position = world.log(&mut log, &["new"]).unwrap();
        assert!((3..100).contains(&position), "{missing} are missing: {position}");
        let all = [rows, vec!["new".into()]].concat();
        drop(log);
        let opened = world.open();
        assert_eq!((opened.torn_bytes, replayed(&opened.log)), (0, all));
    }
    assert!((1..199).contains(&kept), "some cuts miss the record and some do not: {kept}");
}

/// Scenario: records of a table that this build does not know.
/// Guarantees: F37: they are counted as lost and copied, the others come, and
/// every later start does the same.
#[test]
fn fault_f37_an_unknown_table_does_not_stop_recovery() {
    let world = World::new(Sync::Always);
    let mut log = world.open().log;
    let mut ghost = world.entry("default", "logs", &["x", "y"]);
    let logs = &ghost.table;
    ghost.table = Arc::new(schema::TableDef {
        name: "ghosts",
        signal: None,
        doc: "",
        columns: logs.columns.clone(),
        schema: logs.schema.clone(),
        layout: logs.layout.clone(),
        sort: logs.sort,
        bloom: logs.bloom,
        promotions: Vec::new(),
        derived: None,
        latest: None,
    });
    ghost.rows = rows(&ghost.table, &["x", "y"]);
    log.append(vec![ghost, world.entry("default", "logs", &["kept"])]).unwrap();
    drop(log);
    for _ in 0..3 {
        let opened = world.open();
        assert_eq!(replayed(&opened.log), ["kept"]);
        assert_eq!(lost(&opened.log), (2, vec!["wal_unknown_table".into()]));
    }
}

/// Scenario: a folder is not quite ours: a newer version, a foreign file, a
/// segment of another log, an identity from the future.
/// Guarantees: F20: a refusal that says what to do; no file is touched.
#[test]
fn fault_f20_what_is_not_ours_is_refused_untouched() {
    let other = written(2);
    let newer = |bytes: &mut Vec<u8>| {
        bytes[8..12].copy_from_slice(&6u32.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    };
    let future = |bytes: &mut Vec<u8>| {
        bytes[12..16].copy_from_slice(&9u32.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    };
    type Case<'a> = (&'a str, Box<dyn Fn(&World, &str) + 'a>);
    let cases: [Case<'_>; 4] = [
        ("version 6", Box::new(|world, segment| assert!(world.files.tamper(segment, newer)))),
        ("version 9", Box::new(|world, _| assert!(world.files.tamper("identity", future)))),
        (
            "not a write-ahead log segment",
            Box::new(|world, _| {
                world.files.put("00000000000000ff.wal", b"%PDF-1.7 something else entirely here");
            }),
        ),
        (
            "belongs to log",
            Box::new(|world, _| {
                let bytes = other.0.files.content(&other.1).unwrap();
                world.files.put("0000000000000001.wal", &bytes);
            }),
        ),
    ];
    for (says, spoil) in cases {
        let (world, segment, _) = written(2);
        spoil(&world, &segment);
        let before = contents(&world);
        let error = world.try_open().err().expect(says);
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(contents(&world), before, "{says}: untouched");
    }
}

fn contents(world: &World) -> Vec<(String, Vec<u8>)> {
    let names = world.files.list().unwrap().into_iter().map(|(name, _)| name);
    names.map(|name| (name.clone(), world.files.content(&name).unwrap())).collect()
}

/// Scenario: the identity file is gone, or damaged, while segments are there;
/// then everything that could tell the id is damaged.
/// Guarantees: F19, F20: the segments tell the id; without any, a refusal, and
/// never a new id over old records.
#[test]
fn fault_f20_a_lost_identity_is_told_by_the_segments() {
    let (world, ..) = written(3);
    let id = world.open().wal_id;
    world.files.tamper("identity", |bytes| bytes[20] ^= 1);
    let opened = world.open();
    assert_eq!((opened.wal_id, opened.boot), (id, 3));
    assert_eq!(replayed(&opened.log), without(3, &[]));
    drop(opened);
    world.files.remove("identity").unwrap();
    let opened = world.open();
    assert_eq!((opened.wal_id, opened.boot), (id, 4));
    drop(opened);
    world.files.remove("identity").unwrap();
    for segment in world.segments() {
        world.files.tamper(&segment, |bytes| bytes[..100].fill(0));
    }
    let error = world.try_open().err().unwrap();
    assert!(error.to_string().contains("identity"), "{error}");
}

/// Scenario: two logs are opened on one folder of a real disk, then the first
/// one ends.
/// Guarantees: F21: the second is refused while the first lives. D4 on a disk.
#[test]
fn fault_f21_one_folder_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(Sync::Always);
    let open = || Disk::open(dir.path().join("wal"));
    let log = |disk: Disk| Log::open(Arc::new(disk), &world.settings, &world.catalog).unwrap().log;
    let mut first = log(open().unwrap());
    world.log(&mut first, &["a"]).unwrap();
    first.rotate().unwrap();
    world.log(&mut first, &["b"]).unwrap();
    let refused = open().unwrap_err();
    assert!(refused.to_string().contains("in use"), "{refused}");
    drop(first);
    let mut second = log(open().unwrap());
    assert_eq!(replayed(&second), ["a", "b"]);
    assert!(second.release(Position(1)).unwrap() > 0);
    assert_eq!(replayed(&second), ["b"]);
}

/// Scenario: a log with a damaged record is renewed, and the power dies at every
/// operation of that.
/// Guarantees: F19, F42 and L1: the next open finds the old log or the new one,
/// whole, and the lost row is counted under either id.
#[test]
fn fault_f19_a_renewed_log_still_tells_its_losses() {
    for operation in 0..300 {
        let (world, segment, starts) = written(3);
        world.files.tamper(&segment, |bytes| bytes[starts[1] + 70] ^= 0x10);
        let log = world.open().log;
        let fault = Fault { after: operation, times: u32::MAX };
        world.files.set_faults(Faults { all: fault, ..Faults::default() });
        let done = log.renew(WalId(9), &[], &|_, _| Position::ZERO).is_ok();
        world.files.crash(Survives::Chance(u64::from(operation)));
        check(&world, &without(3, &[2]), 1);
        if done {
            assert_eq!(world.open().wal_id, WalId(9));
            return;
        }
    }
    panic!("the renewal never ran to its end");
}
