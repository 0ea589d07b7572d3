//! Wall clocks that jump, and rows from any time.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, MapBuilder, MapFieldNames, RecordBatch, StringBuilder};
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

/// The folder of a log that an earlier build wrote, by the format.
fn recorded(format: u32) -> std::path::PathBuf {
    let folder = format!("tests/it/recorded/wal-{format}");
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// The rows of a recorded log, of two starts and three tables, each in a segment
/// of its own. The first format's are all logs but the span.
const RECORDED: [(&str, &str); 5] = [
    ("first", "logs"),
    ("second", "metrics"),
    ("a span", "spans"),
    ("after a restart", "logs"),
    ("last", "metrics"),
];

/// What each row of formats from 4 on has.
const ATTRIBUTES: [(&str, Option<&str>); 3] = [("a", Some("1")), ("b.c", None), ("ü", Some(""))];

/// A row whose metric, if it is of one, is called as its service, and which has
/// attributes.
fn entry(world: &crate::wal_world::World, name: &str, table: &str) -> storage::wal::Entry {
    let mut entry = world.entry("default", table, &[name]);
    let rows = entry.rows.to_batch().unwrap();
    let mut columns = rows.columns().to_vec();
    if let Ok(column) = entry.table.schema.index_of("metric_name") {
        columns[column] = rows.column_by_name("service_name").unwrap().clone();
    }
    let (keys, values) = (StringBuilder::new(), StringBuilder::new());
    let names =
        MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), keys, values);
    for (key, value) in ATTRIBUTES {
        map.keys().append_value(key);
        map.values().append_option(value);
    }
    map.append(true).unwrap();
    columns[entry.table.schema.index_of("attributes").unwrap()] = Arc::new(map.finish());
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    entry.rows = schema::Rows::plain(&entry.table.layout, &rows).unwrap();
    entry
}

/// Scenario: logs that the first builds with each format wrote are opened by
/// today's. `CLOUDSAIL_RECORD=5` records that format's anew, after a change of it.
/// Guarantees: F43: an upgrade replays what its predecessor acked, each row
/// once with its columns where they are now, and goes on with the same id and
/// higher positions.
#[test]
fn fault_f43_a_log_of_an_earlier_build_is_replayed() {
    if let Ok(format) = std::env::var("CLOUDSAIL_RECORD") {
        let mut world = crate::wal_world::World::new(Sync::Always);
        world.settings.segment_bytes = 1;
        for part in [&RECORDED[..3], &RECORDED[3..]] {
            let mut log = world.open().log;
            for (name, table) in part {
                log.append(vec![entry(&world, name, table)]).unwrap();
            }
        }
        let folder = recorded(format.parse().unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        for (name, _) in world.files.list().unwrap() {
            std::fs::write(folder.join(&name), world.files.content(&name).unwrap()).unwrap();
        }
    }
    let names = RECORDED.map(|(name, _)| name);
    for format in 1..=5 {
        let world = crate::wal_world::World::new(Sync::Always);
        for file in std::fs::read_dir(recorded(format)).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            world.files.put(&name, &std::fs::read(file.path()).unwrap());
        }
        let opened = world.open();
        assert_eq!(replayed(&opened.log), names);
        assert_eq!((opened.boot, opened.torn_bytes), (3, 0));
        assert_eq!(accepted(&opened).values().sum::<u64>(), names.len() as u64);
        assert_eq!(lost(&opened.log).0, 0);
        let mut metrics = 0;
        let all = |_: &schema::Tenant, _: &str| schema::Position::ZERO;
        opened
            .log
            .replay(&all, &mut |one| {
                if one.table.name == "metrics" {
                    metrics += 1;
                    let rows = one.rows.select(&["metric_name", "service_name"])?;
                    assert_eq!(rows.column(0), rows.column(1));
                    assert_eq!(one.rows.held()[1].values.num_rows(), 1);
                }
                if format >= 4 {
                    let map = one.rows.column("attributes")?;
                    let map = map.as_map().value(0);
                    let texts = |column: usize| map.column(column).as_string::<i32>().iter();
                    let entries = texts(0).flatten().zip(texts(1)).collect::<Vec<_>>();
                    assert_eq!(entries, ATTRIBUTES);
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(metrics, if format == 1 { 0 } else { 2 });
        let (id, last, mut log) = (opened.wal_id, opened.last, opened.log);
        assert!(world.log(&mut log, &["new"]).unwrap() > last.0);
        drop(log);
        let opened = world.open();
        assert_eq!((opened.wal_id, replayed(&opened.log).len()), (id, names.len() + 1));
    }
}
