//! The outbox: all or nothing, and nothing unknown after a crash.

use std::path::Path;

use object_store::ObjectStoreExt;
use schema::{ErrorKind, Position, WalId};
use serde_json::{Value, json};
use storage::Place;
use storage::stage::{Staged, upload};

use crate::stage_world::{LOG, World, parquet_files};

fn manifest(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn names(staged: &Staged) -> Vec<String> {
    let files = staged.outputs.iter().flat_map(|output| &output.files);
    let mut names: Vec<String> = files.map(|file| file.path.clone()).collect();
    names.sort();
    names
}

/// Scenario: spans of two days are staged on a local store, and the node starts again.
/// Guarantees: D3, the range is found as it was written, with the derived
/// table's files, each at its final place under the name that C4 prescribes.
#[test]
fn inv_d3_a_staged_range_survives_a_restart() {
    let world = World::new(true);
    let stage = world.stage();
    let second = stage.write(&world.sealed("spans", 4, 9)).unwrap();
    let first = stage.write(&world.sealed("logs", 1, 3)).unwrap();
    assert_eq!(stage.bytes(), first.bytes + second.bytes);
    let outputs: Vec<(&str, usize)> =
        second.outputs.iter().map(|o| (o.table.as_str(), o.files.len())).collect();
    assert_eq!(outputs, [("spans", 2), ("trace_parts", 2)]);
    let rows: u64 = second.outputs[0].files.iter().map(|file| file.rows).sum();
    assert_eq!(rows, 60);
    let file = &second.outputs[0].files[0];
    assert_eq!(file.path, format!("default/spans/date=2026-11-23/{LOG}-1-4-9.parquet"));
    assert_eq!(file.place, Place::Store);
    let root = world.store.local_root().unwrap();
    let mut both = [names(&first), names(&second)].concat();
    both.sort();
    assert_eq!(parquet_files(root), both);

    drop(stage);
    let (stage, found) = world.open(LOG).unwrap();
    assert_eq!(found, [first.clone(), second.clone()]);
    assert_eq!(stage.bytes(), first.bytes + second.bytes);
    stage.release(&first).unwrap();
    stage.release(&first).unwrap();
    assert_eq!(stage.bytes(), second.bytes);
    assert_eq!(parquet_files(root), both, "what is committed is not touched");
    assert_eq!(world.open(LOG).unwrap().1, [second]);
}

/// Scenario: the process dies while it encodes: the plan lies there, one file
/// is whole, one is half written.
/// Guarantees: F4, the next start finds no range and removes both files and
/// the plan, and leaves the files of other ranges alone.
#[test]
fn fault_f4_a_crash_while_encoding_leaves_nothing() {
    let world = World::new(true);
    let kept = world.stage().write(&world.sealed("spans", 1, 3)).unwrap();
    let torn = world.stage().write(&world.sealed("spans", 4, 9)).unwrap();
    let root = world.store.local_root().unwrap();
    let mut plan = manifest(&torn.manifest);
    plan["state"] = json!({"planned": names(&torn)});
    std::fs::write(&torn.manifest, plan.to_string()).unwrap();
    let half = root.join(&torn.outputs[1].files[0].path);
    std::fs::rename(&half, format!("{}#12", half.display())).unwrap();
    std::fs::write(torn.manifest.with_extension("json#13"), "{").unwrap();

    assert_eq!(world.open(LOG).unwrap().1, std::slice::from_ref(&kept));
    assert_eq!(parquet_files(root), names(&kept));
    let manifests = kept.manifest.parent().unwrap();
    assert_eq!(std::fs::read_dir(manifests).unwrap().count(), 1);
}

/// Scenario: the disk refuses the derived table's file after the base table's
/// was written, as a full one would.
/// Guarantees: F13, nothing of the range stays behind, the error says to try
/// later, and trying later succeeds.
#[test]
fn fault_f13_a_failed_staging_is_undone() {
    let world = World::new(true);
    let root = world.store.local_root().unwrap();
    std::fs::create_dir_all(root.join("default")).unwrap();
    std::fs::write(root.join("default/trace_parts"), "in the way").unwrap();
    let stage = world.stage();
    let sealed = world.sealed("spans", 1, 3);
    let error = stage.write(&sealed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(parquet_files(root), [""; 0]);
    assert_eq!(stage.bytes(), 0);
    assert_eq!(world.open(LOG).unwrap().1, []);

    std::fs::remove_file(root.join("default/trace_parts")).unwrap();
    let staged = stage.write(&sealed).unwrap();
    assert_eq!(parquet_files(root), names(&staged));
}

/// Scenario: a stage folder is opened by a node with another log.
/// Guarantees: F20, it is refused with what to do, and not touched.
#[test]
fn fault_f20_another_logs_stage_is_refused() {
    let world = World::new(true);
    let staged = world.stage().write(&world.sealed("logs", 1, 3)).unwrap();
    let error = world.open(WalId(7)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("adopt"), "{error}");
    assert_eq!(world.open(LOG).unwrap().1, [staged]);
}

/// Scenario: a staged file is lost, or cut, while the node is down; or its
/// manifest is damaged.
/// Guarantees: the node does not start as if those rows had never been acked.
#[test]
fn a_range_that_is_not_whole_is_not_passed_over() {
    let world = World::new(true);
    let staged = world.stage().write(&world.sealed("logs", 1, 3)).unwrap();
    let path = world.store.local_root().unwrap().join(&staged.outputs[0].files[0].path);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[1..]).unwrap();
    assert_eq!(world.open(LOG).unwrap_err().kind(), ErrorKind::Corrupt);
    std::fs::remove_file(&path).unwrap();
    let error = world.open(LOG).unwrap_err();
    assert!(error.to_string().contains(&staged.outputs[0].files[0].path), "{error}");
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(world.open(LOG).unwrap().1, std::slice::from_ref(&staged));
    std::fs::write(&staged.manifest, "{").unwrap();
    assert_eq!(world.open(LOG).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Scenario: the same positions are staged by two starts of a node.
/// Guarantees: C4, the names differ, so that no name gets two contents.
#[test]
fn inv_c4_each_start_has_its_own_names() {
    let mut world = World::new(true);
    let before = world.stage().write(&world.sealed("logs", 1, 3)).unwrap();
    world.boot = 2;
    let after = world.stage().write(&world.sealed("logs", 1, 3)).unwrap();
    assert!(names(&before).iter().all(|name| !names(&after).contains(name)));
    let again = world.stage().write(&world.sealed("logs", 1, 3)).unwrap_err();
    assert!(again.to_string().contains("could not be written"), "{again}");
}

/// Scenario: a range is staged for a remote store and uploaded twice; an
/// object of that name with another size is in the way of a third.
/// Guarantees: uploading is idempotent and never replaces an object (C4); the
/// local copy outlives the release, and goes at the next start.
#[tokio::test]
async fn inv_c4_uploads_repeat_and_never_replace() {
    let world = World::new(false);
    let stage = world.stage();
    let staged = stage.write(&world.sealed("spans", 1, 3)).unwrap();
    assert!(staged.outputs.iter().flat_map(|o| &o.files).all(|file| file.place == Place::Stage));
    assert_eq!(parquet_files(&world.stage_dir()), names(&staged));
    upload(&stage, &world.store, &staged).await.unwrap();
    upload(&stage, &world.store, &staged).await.unwrap();
    for file in staged.outputs.iter().flat_map(|output| &output.files) {
        let found = world.store.objects().head(&file.location().unwrap()).await.unwrap();
        assert_eq!(found.size, file.size);
    }
    stage.release(&staged).unwrap();
    assert_eq!((stage.bytes(), parquet_files(&world.stage_dir())), (0, names(&staged)));
    let (stage, found) = world.open(LOG).unwrap();
    assert_eq!((found, parquet_files(&world.stage_dir())), (vec![], vec![]));

    let next = stage.write(&world.sealed("logs", 4, 5)).unwrap();
    let path = next.outputs[0].files[0].location().unwrap();
    world.store.objects().put(&path, "other".into()).await.unwrap();
    let error = upload(&stage, &world.store, &next).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

/// Scenario: spans none of which has a trace id.
/// Guarantees: the derived table gets no file, and the range still has its output.
#[test]
fn a_derived_table_without_rows_is_an_empty_output() {
    let world = World::new(true);
    let mut sealed = world.sealed("spans", 1, 2);
    let index = sealed.table.schema.index_of("trace_id").unwrap();
    for rows in &mut sealed.rows {
        let batch = rows.to_batch().unwrap();
        let mut columns = batch.columns().to_vec();
        columns[index] = arrow::array::new_null_array(columns[index].data_type(), rows.num_rows());
        let batch = arrow::array::RecordBatch::try_new(batch.schema(), columns).unwrap();
        *rows = schema::Rows::plain(rows.layout(), &batch).unwrap();
    }
    let staged = world.stage().write(&sealed).unwrap();
    assert_eq!((staged.last, staged.outputs[1].files.len()), (Position(2), 0));
}
