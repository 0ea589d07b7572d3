//! One table under many writers, broken checkpoints and broken bytes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Type};
use parquet::file::reader::{FileReader, SerializedFileReader};
use schema::{ErrorKind, Position, Tenant, WalId};
use storage::store::Store;
use storage::table::{DeltaTable, verify};
use storage::{DataFile, Origin, Place};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::faulty::{Answer, Fault, Faulty, Op, Rule};
use crate::stage_world::{LOG, World, row_count};

const WRITERS: u128 = 16;
const COMMITS: u64 = 63;

/// A file of the table with the fewest columns: ten rows that a log's `at`-th
/// range became, put as any bytes, for a commit looks at its size only.
async fn file(store: &Store, log: WalId, at: u64) -> DataFile {
    let path = format!("default/trace_parts/date=2026-11-23/{log}-1-{at}-{at}.parquet");
    let origin = Origin { wal_id: log, first: Position(at), last: Position(at) };
    let file = DataFile {
        place: Place::Store,
        path,
        size: 3,
        rows: 10,
        date: 20_780,
        stats: Default::default(),
        origin: Some(origin),
    };
    store.objects().put(&file.location().unwrap(), "any".into()).await.unwrap();
    file
}

/// Scenario: sixteen nodes commit 63 ranges each to one table, over stores on
/// which a request takes 20 to 80 ms and some answers are lost.
/// Guarantees: F28: all 1,008 are there once, in each node's order (C2); an
/// attempt that runs out of time is made again; attempts and time are bounded.
#[tokio::test(start_paused = true)]
async fn fault_f28_sixteen_writers_commit_a_thousand_times() {
    let world = Arc::new(World::new(false));
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 1..=WRITERS {
        let world = world.clone();
        writers.spawn(async move {
            let faulty = Faulty::new(world.store.objects(), writer as u64);
            let lost = Fault::After(Answer::Internal500);
            faulty.rule(Rule::new(lost).on(&[Op::Put]).chance(0.02));
            for step in [20, 40] {
                let slow = Rule::new(Fault::Slow(Duration::from_millis(step)));
                faulty.rule(if step == 20 { slow } else { slow.chance(0.5) });
            }
            let store = world.store.wrapped(|_| Arc::new(faulty.clone()));
            let log = WalId(writer);
            let parts = world.table("trace_parts");
            let opened = DeltaTable::open(&store, &Tenant::default(), parts, Some(log)).await;
            let mut table = opened.unwrap();
            let (mut times, mut late) = (Vec::new(), 0);
            for at in 1..=COMMITS {
                let file = file(&world.store, log, at).await;
                let began = Instant::now();
                loop {
                    match table.commit(vec![file.clone()], Position(at)).await {
                        Ok(committed) => break assert_eq!(committed.watermark, Position(at)),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
                            late += 1;
                        }
                    }
                }
                times.push(began.elapsed());
            }
            (times, late, faulty.requests(&[Op::Put]))
        });
    }
    let (mut times, mut late, mut puts) = (Vec::new(), 0, 0);
    for (each, missed, put) in writers.join_all().await {
        times.extend(each);
        late += missed;
        puts += put;
    }
    times.sort_unstable();
    let commits = times.len();
    let p99 = times[commits * 99 / 100];
    let took = begun.elapsed();
    println!(
        "{commits} commits of {WRITERS} writers: {:.1}/s, {:.1} attempts each, p50 {:?}, p99 {p99:?}, {late} late",
        commits as f64 / took.as_secs_f64(),
        puts as f64 / commits as f64,
        times[commits / 2]
    );
    assert_eq!(commits as u64, WRITERS as u64 * COMMITS);
    // Were every other writer to win first, each commit would take sixteen.
    assert!(puts < commits * 12, "{puts} attempts");
    assert!(late == 0 && p99 < Duration::from_secs(30), "{late} late, {p99:?}");

    let loaded = world.delta("trace_parts", None).await.current().unwrap();
    assert_eq!((loaded.files.len(), row_count(&loaded)), (commits, commits as u64 * 10));
    for writer in 1..=WRITERS {
        let own = world.delta("trace_parts", Some(WalId(writer))).await.current().unwrap();
        assert_eq!(own.watermark, Position(COMMITS));
    }
}

/// Scenario: a checkpoint breaks off at each of its requests, before it is done
/// or after, or its parts are lied about; then the table is loaded and written.
/// Guarantees: F10: whatever is left, the table is what it was, and the next
/// checkpoint goes well.
#[tokio::test]
async fn fault_f10_a_checkpoint_that_breaks_off_harms_nobody() {
    let faults = [Fault::Before(Answer::Reset), Fault::After(Answer::Reset), Fault::Lies];
    for fault in faults {
        let mut struck = true;
        for nth in 1.. {
            if !struck {
                assert!(nth > 2, "{fault:?} met a request");
                break;
            }
            let world = World::new(false);
            let faulty = Faulty::new(world.store.objects(), nth);
            let store = world.store.wrapped(|_| Arc::new(faulty.clone()));
            let parts = || world.table("trace_parts");
            let tenant = Tenant::default();
            let mut table = DeltaTable::open(&store, &tenant, parts(), Some(LOG)).await.unwrap();
            for at in 1..=3 {
                let file = file(&world.store, LOG, at).await;
                table.commit(vec![file], Position(at)).await.unwrap();
            }
            let before = table.current().unwrap();
            faulty.rule(Rule::new(fault).on(Op::WRITES).nth(nth));
            let outcome =
                storage::table::checkpoint(&store, &tenant, &parts(), before.version).await;
            struck = faulty.did(fault.name()) > 0;
            assert!(struck || outcome.is_ok(), "{outcome:?}");
            faulty.heal();
            // Entries are cleaned away because it is there.
            if let Some(version) =
                storage::table::newest_checkpoint(&store, &tenant, &parts()).await.unwrap()
            {
                let name =
                    format!("default/trace_parts/_delta_log/{version:020}.checkpoint.parquet");
                assert!(store.objects().head(&name.into()).await.is_ok(), "{fault:?} {nth}");
            }
            let loaded = world.delta("trace_parts", Some(LOG)).await.current().unwrap();
            assert_eq!((loaded.version, &loaded.files), (before.version, &before.files));
            assert_eq!(loaded.watermark, Position(3));
            let file = file(&world.store, LOG, 4).await;
            let after = table.commit(vec![file], Position(4)).await.unwrap();
            storage::table::checkpoint(&store, &tenant, &parts(), after.version).await.unwrap();
            let loaded = world.delta("trace_parts", Some(LOG)).await.current().unwrap();
            assert_eq!((loaded.version, loaded.files), (after.version, after.files));
        }
    }
}

/// Scenario: the body of an entry ends right after its first line, unsaid.
/// Guarantees: F25: half an entry is not taken for the entry; when it comes
/// whole, all of it counts.
#[tokio::test]
async fn fault_f25_half_an_entry_is_no_entry() {
    let world = World::new(false);
    let mut table = world.delta("logs", Some(LOG)).await;
    let faulty = Faulty::new(world.store.objects(), 25);
    let store = world.store.wrapped(|_| Arc::new(faulty.clone()));
    let logs = world.table("logs");
    let mut reader = DeltaTable::open(&store, &Tenant::default(), logs, None).await.unwrap();
    let add = |name: &str| {
        format!(
            r#"{{"add":{{"path":"date=2026-11-23/{name}.parquet","partitionValues":{{"date":"2026-11-23"}},"size":3,"modificationTime":0,"dataChange":true,"stats":"{{\"numRecords\":1}}"}}}}"#
        )
    };
    let entry = format!("{}\n{}\n", add("a"), add("b"));
    let path = "default/logs/_delta_log/00000000000000000001.json".into();
    world.store.objects().put(&path, entry.into()).await.unwrap();
    faulty.rule(Rule::new(Fault::Short).on(&[Op::Get]).at("*1.json").times(1));
    let half = reader.refresh().await.unwrap_err();
    assert_eq!((half.kind(), faulty.did("short")), (ErrorKind::Unavailable, 1), "{half}");
    assert_eq!(reader.refresh().await.unwrap().unwrap().files.len(), 2);
    assert_eq!(table.refresh().await.unwrap().unwrap().files.len(), 2);
}

/// Every value of a file as text, or that it cannot be read: the library says
/// so by a panic in places.
fn content(bytes: &Bytes) -> Result<Vec<String>, String> {
    std::panic::catch_unwind(|| decoded(bytes.clone())).unwrap_or(Err("a panic".into()))
}

fn decoded(bytes: Bytes) -> Result<Vec<String>, String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| e.to_string())?;
    let mut rows = Vec::new();
    for batch in reader.build().map_err(|e| e.to_string())? {
        let batch: RecordBatch = batch.map_err(|e| e.to_string())?;
        let options = arrow::util::display::FormatOptions::new();
        for column in batch.columns() {
            let text = arrow::util::display::ArrayFormatter::try_new(column, &options);
            let text = text.map_err(|e| e.to_string())?;
            rows.extend((0..batch.num_rows()).map(|row| text.value(row).to_string()));
        }
    }
    Ok(rows)
}

/// Scenario: one bit of a committed file is another, at each of many places.
/// Guarantees: F25: verify ends, and tells of every flip that a reader would
/// stumble over, and of every one in a compressed page of text, which has a checksum,
/// that changes a value. What decodes to other values within the bounds elsewhere is
/// not told; the store's own checksums are to catch that.
#[tokio::test]
async fn fault_f25_verify_tells_of_flipped_bits() {
    let world = World::new(false);
    let stage = world.stage();
    let mut table = world.delta("logs", Some(LOG)).await;
    let files = world.staged(&stage, "logs", 1, 2).await;
    table.commit(files.clone(), Position(2)).await.unwrap();
    let path = files[0].location().unwrap();
    let objects = world.store.objects();
    let whole = objects.get(&path).await.unwrap().bytes().await.unwrap();
    let right = content(&whole).unwrap();
    let text = compressed_text(&whole);
    let (mut told, mut harmless, mut silent, mut in_text) = (0, 0, 0, 0);
    let places = 160;
    for place in 0..places {
        let mut bytes = whole.to_vec();
        let at = place * (bytes.len() - 1) / (places - 1);
        bytes[at] ^= 1 << (place % 8);
        let bytes = Bytes::from(bytes);
        objects.put(&path, bytes.clone().into()).await.unwrap();
        let findings = verify(&world.store, &Tenant::default(), &world.table("logs")).await;
        let findings = findings.unwrap();
        let is_text = text.iter().any(|chunk| chunk.contains(&(at as u64)));
        in_text += u64::from(is_text);
        match content(&bytes) {
            Err(_) => assert!(!findings.is_empty(), "byte {at}: unreadable and not found"),
            Ok(read) if read == right => {
                harmless += 1;
                continue;
            }
            Ok(_) if findings.is_empty() => {
                assert!(!is_text, "byte {at}: another text and not found");
                silent += 1;
            }
            Ok(_) => {}
        }
        told += usize::from(!findings.is_empty());
    }
    println!("of {places} flips {told} are told, {harmless} change nothing, {silent} are silent");
    assert!(in_text > 40 && told > 5 * silent, "{in_text} in text, {told} told, {silent} silent");
}

/// Where the compressed pages of texts lie.
fn compressed_text(whole: &Bytes) -> Vec<std::ops::Range<u64>> {
    let reader = SerializedFileReader::new(whole.clone()).unwrap();
    let chunks = reader.metadata().row_groups().iter().flat_map(|group| group.columns());
    let text = chunks.filter(|chunk| {
        chunk.column_type() == Type::BYTE_ARRAY && chunk.compression() != Compression::UNCOMPRESSED
    });
    text.map(|chunk| chunk.byte_range()).map(|(at, length)| at..at + length).collect()
}

/// Scenario: rows of the first and the last nanosecond that can be told, of
/// 1970, of one nanosecond, of 2262, over as many days as a request can have.
/// Guarantees: F39: no time wraps, each row is stored as it came, a commit has
/// one file for each day, and the bounds hold.
#[tokio::test]
async fn fault_f39_rows_of_any_time_stay_what_they_are() {
    const DAYS: i32 = 32;
    let nanos = [i64::MIN, -1, 0, 1, 1_790_000_000_000_000_000, i64::MAX - 1, i64::MAX];
    let world = World::new(false);
    let stage = world.stage();
    let mut sealed = world.sealed("logs", 1, 2);
    let logs = sealed.table.clone();
    let mut sent = Vec::new();
    let mut batches = vec![crate::encode_rows::rows(&logs, 400, DAYS, 39)];
    for rows in &mut batches {
        let count = rows.num_rows();
        let mut columns = rows.columns().to_vec();
        let of = |name: &str| logs.schema.index_of(name).unwrap();
        let odd: Vec<i64> = (0..count).map(|row| nanos[row % nanos.len()]).collect();
        let micros = odd.iter().map(|nano| nano.div_euclid(1000));
        let micros = TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC");
        columns[of("time")] = Arc::new(micros);
        columns[of("time_unix_nano")] = Arc::new(Int64Array::from(odd.clone()));
        sent.extend(odd);
        *rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    }
    sealed.rows = crate::encode_rows::shared(&logs, &batches);
    let staged = stage.write(&sealed).unwrap();
    storage::stage::upload(&stage, &world.store, &staged).await.unwrap();
    let files = staged.outputs[0].files.clone();
    let mut days: Vec<i32> = files.iter().map(|file| file.date).collect();
    days.sort_unstable();
    let dates = batches[0]["date"].as_primitive::<Date32Type>().values();
    let sent_on: BTreeSet<i32> = dates.iter().copied().collect();
    assert_eq!(sent_on.len(), DAYS as usize, "rows of every day");
    assert_eq!(days, sent_on.into_iter().collect::<Vec<i32>>(), "one file for each day");
    let mut table = world.delta("logs", Some(LOG)).await;
    let committed = table.commit(files, Position(2)).await.unwrap();
    let mut stored = Vec::new();
    for file in committed.files.iter() {
        let read = world.store.objects().get(&file.location().unwrap()).await.unwrap();
        let bytes = read.bytes().await.unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let nano = batch["time_unix_nano"].as_primitive::<Int64Type>();
            let micro = batch["time"].as_primitive::<TimestampMicrosecondType>();
            for (nano, micro) in nano.values().iter().zip(micro.values()) {
                assert_eq!(nano.div_euclid(1000), *micro);
                stored.push(*nano);
            }
        }
    }
    sent.sort_unstable();
    stored.sort_unstable();
    assert_eq!(stored, sent);
    assert_eq!(verify(&world.store, &Tenant::default(), &logs).await.unwrap(), []);
}
