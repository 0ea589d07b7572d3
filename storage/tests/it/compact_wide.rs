//! What a join holds when rows are wide and their files are small.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use schema::{Catalog, TableDef};
use storage::DataFile;

use crate::compact_merge::{World, keys};
use crate::encode_rows::rows;

const MIB: usize = 1 << 20;
/// Batches of 16 MiB, a chunk of 16 MiB and what is left of its batches, each in
/// buffers with room to grow.
const MOST: usize = 64 * MIB;

/// Rows of logs with these services and bodies, and nothing else that is wide.
fn logs(table: &TableDef, seed: u64, of: &[(&str, String)]) -> RecordBatch {
    let batch = rows(table, of.len(), 1, seed);
    let mut columns = batch.columns().to_vec();
    for (column, field) in columns.iter_mut().zip(table.schema.fields()) {
        let texts = |text: fn(&(&str, String)) -> String| -> ArrayRef {
            Arc::new(of.iter().map(|row| Some(text(row))).collect::<StringArray>())
        };
        match field.name().as_str() {
            "service_name" => *column = texts(|(service, _)| (*service).to_owned()),
            "body" => *column = texts(|(_, body)| body.clone()),
            "date" | "time" => {}
            _ if field.is_nullable() => *column = new_null_array(field.data_type(), of.len()),
            _ => {}
        }
    }
    RecordBatch::try_new(table.schema.clone(), columns).unwrap()
}

/// How often there is each body.
fn bodies(batches: &[RecordBatch]) -> BTreeMap<(usize, u32), usize> {
    let mut bodies = BTreeMap::new();
    for batch in batches {
        for body in batch["body"].as_string::<i32>().iter().flatten() {
            *bodies.entry((body.len(), crc32fast::hash(body.as_bytes()))).or_default() += 1;
        }
    }
    bodies
}

/// Joins files of such rows; the most bytes that it held, and how many files.
async fn held(world: &World, files: &[Vec<(&'static str, String)>]) -> (usize, usize) {
    let catalog = Catalog::default();
    let table = catalog.get("logs").unwrap();
    let mut written: Vec<Arc<DataFile>> = Vec::new();
    for (at, of) in files.iter().enumerate() {
        let batch = logs(table, at as u64, of);
        written.push(world.file(table, at as u64 + 1, batch).await);
    }
    let joined = world.joined(table, &written, 1).await.unwrap();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for file in &joined.inputs {
        before.extend(world.read(file).await);
    }
    for file in &joined.files {
        after.extend(world.read(file).await);
    }
    assert!(keys(table, &after).is_sorted());
    assert_eq!(bodies(&after), bodies(&before));
    (joined.most_held, joined.inputs.len())
}

/// A body that compresses to nothing.
fn wide(n: usize, bytes: usize) -> String {
    format!("{n} {}", "stack frame ".repeat(bytes / 12))
}

/// Scenario: many small files of bodies of 512 KiB that compress to nothing, each
/// another.
/// Guarantees: K1, and a join holds some batches and a chunk of bounded bytes,
/// whatever the number of rows and files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_of_wide_rows_holds_few_of_them() {
    let file =
        |at: usize| (0..8).map(|n| ("shop", wide(at * 100 + n, MIB / 2))).collect::<Vec<_>>();
    let files: Vec<_> = (0..24).map(file).collect();
    let (held, joined) = held(&World::new(), &files).await;
    assert_eq!(joined, 24);
    assert!(held > 8 * MIB && held < MOST, "{} of 96 MiB", held / MIB);
}

/// Scenario: each file has hundreds of short bodies of some services, and some wide
/// ones of another, which lie together in all of them.
/// Guarantees: as above, though rows are short on average.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_of_files_with_some_wide_rows_holds_few_of_them() {
    let file = |at: usize| {
        let short = (0..500).map(|n| (["api", "web"][n % 2], format!("request {n} was served")));
        let long = (0..16).map(|n| ("batch", wide(at * 100 + n, MIB / 2)));
        short.chain(long).collect::<Vec<_>>()
    };
    let files: Vec<_> = (0..8).map(file).collect();
    let (held, joined) = held(&World::new(), &files).await;
    assert_eq!(joined, 8);
    assert!(held < MOST, "{} of 64 MiB", held / MIB);
}

/// Scenario: one wide text again and again in all files but one, whose texts are too
/// many for a dictionary.
/// Guarantees: as above; codes that become texts count as those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_of_wide_rows_by_codes_holds_few_of_them() {
    let same = |_| (0..200).map(|_| ("shop", wide(0, MIB / 4))).collect::<Vec<_>>();
    let mut files: Vec<_> = (0..4).map(same).collect();
    files.push((0..8).map(|n| ("shop", wide(n, MIB / 4))).collect());
    let (held, joined) = held(&World::new(), &files).await;
    assert_eq!(joined, 5);
    assert!(held < MOST, "{} of 200 MiB", held / MIB);
}

/// Scenario: files whose open row groups are more than a job may hold.
/// Guarantees: a job is of as many files as fit, and of two whatever they hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_is_of_as_many_files_as_may_be_open() {
    let file = |at: usize| (0..8).map(|n| ("shop", wide(at * 10 + n, MIB / 4))).collect();
    let files: Vec<Vec<_>> = (0..8).map(file).collect();
    let mut world = World::new();
    world.joiner.memory_bytes = 0;
    assert_eq!(held(&world, &files).await.1, 2);
    let mut world = World::new();
    world.joiner.memory_bytes = 2 * MIB as u64;
    let (_, joined) = held(&world, &files).await;
    assert!((3..8).contains(&joined), "{joined}");
}
