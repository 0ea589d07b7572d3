//! Wall clocks that jump, and rows from any time.

use std::time::Duration;

use storage::Sync;
use storage::wal::Files;

use crate::sim::step::Step;
use crate::sim::world::World;
use crate::wal_world::{accepted, lost, replayed};

const HOUR: i64 = 3_600_000_000_000;
const YEAR: i64 = 31_557_600_000_000_000;

/// Scenario: between requests the wall clock goes back an hour, on ten years,
/// to 1970, to the end of what nanoseconds can tell, and back; nodes crash and
/// start under each, and nobody asks for a flush.
/// Guarantees: F32: rows are sealed and committed by their age on the process's
/// own clock, order is by position, nothing is lost, expired or there twice.
#[test]
fn fault_f32_no_clock_can_lose_or_reorder_rows() {
    let now = crate::sim::step::FIRST;
    let mut world = World::new(32, 2);
    for to in [now - HOUR, now + HOUR, now + 10 * YEAR, 0, -YEAR, i64::MAX, i64::MIN, now] {
        for node in 0..2 {
            world.acks(node, 10);
            world.play(Step::Clock { node, to });
            world.acks(node, 10);
            // A minute is the age at which rows are sealed.
            world.play(Step::Wait { node, time: Duration::from_secs(75) });
            let tables = world.life(node).storage.status().tables;
            assert!(tables.iter().all(|table| table.hot_rows == 0), "sealed by age: {tables:?}");
            let spans = tables.iter().find(|table| table.table == "spans").unwrap();
            assert!(spans.watermark.is_some_and(|w| w > 0) && spans.staged_ranges == 0);
            world.acks(node, 10);
            world.play(Step::Crash { node, power: Some(to as u64) });
        }
    }
    world.judged();
}

/// The folder of a log that an earlier build wrote.
fn recorded() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/recorded/wal-1")
}

/// The rows of the recorded log, of two starts and two tables, each in a
/// segment of its own.
const RECORDED: [&str; 5] = ["first", "second", "a span", "after a restart", "last"];

/// Scenario: a log that the first build with this format wrote is opened by
/// today's. `CLOUDSAIL_RECORD=1` records one anew, after a change of format.
/// Guarantees: F43: an upgrade replays what its predecessor acked, each row
/// once, and goes on with the same id and higher positions.
#[test]
fn fault_f43_a_log_of_an_earlier_build_is_replayed() {
    let mut world = crate::wal_world::World::new(Sync::Always);
    world.settings.segment_bytes = 1;
    if std::env::var_os("CLOUDSAIL_RECORD").is_some() {
        for part in [&RECORDED[..3], &RECORDED[3..]] {
            let mut log = world.open().log;
            for name in part {
                let table = if *name == "a span" { "spans" } else { "logs" };
                log.append(vec![world.entry("default", table, &[name])]).unwrap();
            }
        }
        std::fs::create_dir_all(recorded()).unwrap();
        for (name, _) in world.files.list().unwrap() {
            std::fs::write(recorded().join(&name), world.files.content(&name).unwrap()).unwrap();
        }
    }
    let world = crate::wal_world::World::new(Sync::Always);
    for file in std::fs::read_dir(recorded()).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        world.files.put(&name, &std::fs::read(file.path()).unwrap());
    }
    let opened = world.open();
    assert_eq!(replayed(&opened.log), RECORDED);
    assert_eq!((opened.boot, opened.torn_bytes), (3, 0));
    assert_eq!(accepted(&opened).values().sum::<u64>(), RECORDED.len() as u64);
    assert_eq!(lost(&opened.log).0, 0);
    let (id, last, mut log) = (opened.wal_id, opened.last, opened.log);
    assert!(world.log(&mut log, &["new"]).unwrap() > last.0);
    drop(log);
    let opened = world.open();
    assert_eq!((opened.wal_id, replayed(&opened.log).len()), (id, RECORDED.len() + 1));
}
