//! Tables that change under a node: columns, checkpoints, other hands.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use schema::{Catalog, ColumnType, ErrorKind, Position, Promotion, Scope, Tenant, Version, WalId};
use storage::table::{DeltaTable, verify};

use crate::stage_world::{LOG, World, row_count};

fn log_path(table: &str, name: &str) -> Path {
    Path::from(format!("default/{table}/_delta_log/{name}"))
}

async fn log_names(objects: &dyn ObjectStore, table: &str) -> Vec<String> {
    let listed = objects.list(Some(&log_path(table, "")));
    let mut names: Vec<String> =
        listed.map_ok(|o| o.location.filename().unwrap().to_owned()).try_collect().await.unwrap();
    names.sort();
    names
}

/// Scenario: a reader asks for a table that is not there, and later for one
/// that has been created in the meantime.
/// Guarantees: absence is not an error, and a refresh sees the table.
#[tokio::test]
async fn a_reader_waits_for_its_table() {
    let world = World::new(true);
    let mut reader = world.delta("logs", None).await;
    assert!(reader.current().is_none() && reader.refresh().await.unwrap().is_none());
    assert_eq!(verify(&world.store, &Tenant::default(), &world.table("logs")).await.unwrap(), []);
    let stage = world.stage();
    let mut writer = world.delta("logs", Some(LOG)).await;
    writer.commit(world.staged(&stage, "logs", 1, 2).await, Position(2)).await.unwrap();
    let seen = reader.refresh().await.unwrap().unwrap();
    assert_eq!((seen.version, row_count(&seen), seen.watermark), (Version(1), 60, Position::ZERO));
    writer.commit(world.staged(&stage, "logs", 3, 4).await, Position(4)).await.unwrap();
    assert_eq!(reader.refresh().await.unwrap().unwrap().version, Version(2));
    assert_eq!(reader.commit(vec![], Position(9)).await.unwrap_err().kind(), ErrorKind::Internal);
}

/// Scenario: two nodes come back with a key newly promoted and meet the table
/// at once, while a third still runs with the old schema.
/// Guarantees: F29, the column is added once, and old and new keep committing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f29_columns_are_added_once_while_others_append() {
    let mut world = World::new(true);
    let stage = world.stage();
    let mut old = world.delta("logs", Some(LOG)).await;
    old.commit(world.staged(&stage, "logs", 1, 2).await, Position(2)).await.unwrap();
    let tier = Promotion {
        scope: Scope::Record,
        key: "app.tier".into(),
        kind: ColumnType::Text,
        column: "app.tier".into(),
    };
    world.catalog = Catalog::new(&[tier]);
    let opened = futures::future::join(
        world.delta("logs", Some(WalId(1))),
        world.delta("logs", Some(WalId(2))),
    );
    let (mut one, two) = opened.await;
    assert_eq!(two.current().unwrap().version, Version(2));
    let settings =
        storage::StageSettings { dir: world.dir.path().join("one"), max_bytes: u64::MAX };
    let own = storage::stage::Stage::open(&settings, &world.store, WalId(1), 1, &world.catalog);
    one.commit(world.staged(&own.unwrap().0, "logs", 1, 1).await, Position(1)).await.unwrap();
    world.catalog = Catalog::default();
    let seen = old.commit(world.staged(&stage, "logs", 3, 4).await, Position(4)).await.unwrap();
    assert_eq!((seen.version, row_count(&seen)), (Version(4), 180));
    let all = world.delta("logs", None).await.current().unwrap();
    assert!(all.files.iter().any(|file| file.stats.get("time").is_some()));
    assert_eq!(verify(&world.store, &Tenant::default(), &world.table("logs")).await.unwrap(), []);
}

/// Scenario: a checkpoint is written; then the entries before it go, and a
/// torn checkpoint of a crashed node and a temporary file lie about.
/// Guarantees: F10, the table loads with the same files, statistics and
/// watermark, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f10_a_checkpoint_stands_in_for_the_entries() {
    for local in [true, false] {
        let world = World::new(local);
        let stage = world.stage();
        let mut table = world.delta("metrics", Some(LOG)).await;
        for at in 1..=4 {
            table
                .commit(world.staged(&stage, "metrics", at, at).await, Position(at))
                .await
                .unwrap();
        }
        let before = table.current().unwrap();
        let (tenant, metrics) = (Tenant::default(), world.table("metrics"));
        storage::table::checkpoint(&world.store, &tenant, &metrics, Version(4)).await.unwrap();
        let objects = world.store.objects();
        for version in 0..4 {
            objects.delete(&log_path("metrics", &format!("{version:020}.json"))).await.unwrap();
        }
        if let Some(root) = world.store.local_root() {
            let torn =
                root.join("default/metrics/_delta_log/00000000000000000009.checkpoint.parquet#3");
            std::fs::write(torn, "PAR1").unwrap();
        }
        let names = log_names(&objects, "metrics").await;
        assert_eq!(names.len(), 3, "{names:?}");
        let mut loaded = world.delta("metrics", Some(LOG)).await;
        let after = loaded.current().unwrap();
        assert_eq!((after.version, after.watermark), (before.version, before.watermark));
        assert_eq!(after.files, before.files);
        loaded.commit(world.staged(&stage, "metrics", 5, 5).await, Position(5)).await.unwrap();
        assert_eq!(table.refresh().await.unwrap().unwrap().watermark, Position(5));
        assert_eq!(
            verify(&world.store, &Tenant::default(), &world.table("metrics")).await.unwrap(),
            []
        );
    }
}

/// Scenario: the table's folder is emptied while a node has it open, and later
/// another table is made in its place.
/// Guarantees: F31, the node commits nothing into the void, says so, and does
/// not mistake the new table for its own.
#[tokio::test]
async fn fault_f31_a_table_that_went_is_not_written_to() {
    let world = World::new(true);
    let stage = world.stage();
    let mut table = world.delta("logs", Some(LOG)).await;
    let files = world.staged(&stage, "logs", 1, 2).await;
    table.commit(files, Position(2)).await.unwrap();
    let log = world.store.local_root().unwrap().join("default/logs/_delta_log");
    std::fs::remove_dir_all(&log).unwrap();
    let gone = table.refresh().await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Corrupt, "{gone}");
    let next = world.staged(&stage, "logs", 3, 4).await;
    assert_eq!(
        table.commit(next.clone(), Position(4)).await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert!(!log.join("00000000000000000002.json").exists());
    world.delta("logs", Some(WalId(5))).await;
    let replaced = table.commit(next, Position(4)).await.unwrap_err();
    assert!(replaced.to_string().contains("replaced"), "{replaced}");
}

/// Scenario: another tool raises the protocol, changes a column's type, or
/// adds a file with deleted rows.
/// Guarantees: F31, the node stops committing, and does not read wrong rows.
#[tokio::test]
async fn fault_f31_a_table_beyond_us_is_refused() {
    let entries = [
        (
            r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#,
            "deletionVectors",
        ),
        (r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":4}}"#, "writer version 4"),
        (
            r#"{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"body\",\"type\":\"binary\",\"nullable\":true,\"metadata\":{}}]}","partitionColumns":["date"],"configuration":{}}}"#,
            "body is",
        ),
        (
            r#"{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{}","partitionColumns":["date"],"configuration":{"cloudsail.schema":"99"}}}"#,
            "upgrade this node",
        ),
        (
            r#"{"add":{"path":"date=2026-11-23/x.parquet","partitionValues":{"date":"2026-11-23"},"size":1,"modificationTime":0,"dataChange":true,"deletionVector":{"storageType":"u"}}}"#,
            "deletion vector",
        ),
        (
            r#"{"add":{"path":"s3://other/x.parquet","partitionValues":{},"size":1,"modificationTime":0,"dataChange":true}}"#,
            "inside the table",
        ),
        ("not json", "broken"),
    ];
    for (line, words) in entries {
        let world = World::new(true);
        let stage = world.stage();
        let mut table = world.delta("logs", Some(LOG)).await;
        let path = log_path("logs", "00000000000000000001.json");
        world.store.objects().put(&path, line.into()).await.unwrap();
        let files = world.staged(&stage, "logs", 1, 2).await;
        let error = table.commit(files, Position(2)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Corrupt), "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert_eq!(log_names(&world.store.objects(), "logs").await.len(), 2);
    }
}

/// Scenario: other tools remove one of our files and add one of their own, with
/// an escaped path and an action we do not know.
/// Guarantees: F30, both are followed, and foreign files have no origin.
#[tokio::test]
async fn fault_f30_other_writers_are_followed() {
    let world = World::new(true);
    let stage = world.stage();
    let mut table = world.delta("logs", Some(LOG)).await;
    let files = world.staged(&stage, "logs", 1, 2).await;
    let ours = files[0].path.strip_prefix("default/logs/").unwrap().to_owned();
    table.commit(files, Position(2)).await.unwrap();
    let lines = format!(
        r#"{{"remove":{{"path":"{ours}","dataChange":true}}}}
{{"cdc":{{"path":"x"}}}}
{{"add":{{"path":"date=2026-11-23/part%20one.parquet","partitionValues":{{"date":"2026-11-23"}},"size":7,"modificationTime":0,"dataChange":true,"stats":"{{\"numRecords\":2}}"}}}}"#
    );
    let path = log_path("logs", "00000000000000000002.json");
    world.store.objects().put(&path, lines.into()).await.unwrap();
    let seen = table.refresh().await.unwrap().unwrap();
    assert_eq!(seen.files.len(), 2);
    assert!(seen.files.iter().all(|file| !file.path.ends_with(&ours)));
    let foreign = seen.files.iter().find(|file| file.origin.is_none()).unwrap();
    assert_eq!(
        (foreign.path.as_str(), foreign.rows),
        ("default/logs/date=2026-11-23/part one.parquet", 2)
    );
    let loaded = world.delta("logs", Some(LOG)).await.current().unwrap();
    assert_eq!(loaded.files, seen.files);
    let findings = verify(&world.store, &Tenant::default(), &world.table("logs")).await.unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (findings[0].path.as_str(), findings[0].problem.as_str()),
        (foreign.path.as_str(), "does not exist")
    );
}

/// Scenario: a file of the table is cut, another replaced by one with other
/// rows, after they were committed.
/// Guarantees: verify names each, and what is wrong with it.
#[tokio::test]
async fn verify_names_what_is_wrong() {
    let world = World::new(true);
    let stage = world.stage();
    let mut table = world.delta("logs", Some(LOG)).await;
    let files = world.staged(&stage, "logs", 1, 2).await;
    let other = world.staged(&stage, "logs", 3, 4).await;
    let committed = table.commit(files.clone(), Position(2)).await.unwrap();
    let root = world.store.local_root().unwrap();
    let bytes = std::fs::read(root.join(&files[0].path)).unwrap();
    std::fs::write(root.join(&files[0].path), &bytes[..bytes.len() - 1]).unwrap();
    let mut garbled = std::fs::read(root.join(&files[1].path)).unwrap();
    let end = garbled.len() - 8;
    garbled[4..end].fill(0xaa);
    std::fs::write(root.join(&files[1].path), garbled).unwrap();
    let findings = verify(&world.store, &Tenant::default(), &world.table("logs")).await.unwrap();
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].problem.contains("bytes, the log says"), "{findings:?}");
    assert!(findings[1].problem.contains("cannot be read"), "{findings:?}");

    // The log's word against a whole file: other rows under a committed name.
    let swapped = std::fs::read(root.join(&other[0].path)).unwrap();
    let lie = format!(
        r#"{{"add":{{"path":"{}","partitionValues":{{"date":"2026-11-23"}},"size":{},"modificationTime":0,"dataChange":true,"stats":"{{\"numRecords\":1,\"minValues\":{{\"severity_number\":2147483647}},\"nullCount\":{{\"body\":9999}}}}"}}}}"#,
        committed.files[0].path.strip_prefix("default/logs/").unwrap(),
        swapped.len()
    );
    std::fs::write(root.join(&files[0].path), swapped).unwrap();
    std::fs::write(root.join("default/logs/_delta_log/00000000000000000002.json"), lie).unwrap();
    let findings = verify(&world.store, &Tenant::default(), &world.table("logs")).await.unwrap();
    let problems: Vec<&str> =
        findings.iter().filter(|f| f.path == files[0].path).map(|f| f.problem.as_str()).collect();
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(problems.iter().any(|p| p.contains("by 1 before")));
    assert!(problems.iter().any(|p| p.contains("rows, the log says 1")));
    assert!(problems.iter().any(|p| p.contains("severity_number") && p.contains("bounds")));
    assert!(problems.iter().any(|p| p.contains("body") && p.contains("nulls")));
}

/// Scenario: a metric table whose values hold NaN and both infinities.
/// Guarantees: the entry is valid JSON, the values have no bounds, and the
/// file verifies.
#[tokio::test]
async fn doubles_without_a_json_form_commit_and_load() {
    let world = World::new(true);
    let stage = world.stage();
    let mut sealed = world.sealed("metrics", 1, 2);
    let index = sealed.table.schema.index_of("value").unwrap();
    for rows in &mut sealed.rows {
        let batch = rows.to_batch().unwrap();
        let mut columns = batch.columns().to_vec();
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1.5];
        let values = (0..rows.num_rows()).map(|n| odd[n % odd.len()]);
        columns[index] = Arc::new(arrow::array::Float64Array::from_iter_values(values));
        let batch = arrow::array::RecordBatch::try_new(batch.schema(), columns).unwrap();
        *rows = schema::Rows::plain(rows.layout(), &batch).unwrap();
    }
    let staged = stage.write(&sealed).unwrap();
    let mut table = world.delta("metrics", Some(LOG)).await;
    table.commit(staged.outputs[0].files.clone(), Position(2)).await.unwrap();
    let loaded = world.delta("metrics", Some(LOG)).await.current().unwrap();
    for file in loaded.files.iter() {
        let value = &file.stats["value"];
        assert_eq!((&value.min, &value.max, value.null_count), (&None, &None, Some(0)));
    }
    assert_eq!(
        verify(&world.store, &Tenant::default(), &world.table("metrics")).await.unwrap(),
        []
    );
    let other = Tenant::new("other").unwrap();
    let absent = DeltaTable::open(&world.store, &other, world.table("metrics"), None);
    assert!(absent.await.unwrap().current().is_none());
}

/// Scenario: a tenant whose name has every kind of character that is legal.
/// Guarantees: its rows are staged, committed, loaded and verified like any other's.
#[tokio::test]
async fn a_tenants_name_survives_paths_and_urls() {
    for local in [true, false] {
        let world = World::new(local);
        let stage = world.stage();
        let tenant = Tenant::new("Az09!-_.*'()").unwrap();
        let mut sealed = world.sealed("logs", 1, 2);
        sealed.tenant = tenant.clone();
        let staged = stage.write(&sealed).unwrap();
        storage::stage::upload(&stage, &world.store, &staged).await.unwrap();
        let open = |log| DeltaTable::open(&world.store, &tenant, world.table("logs"), log);
        let mut table = open(Some(LOG)).await.unwrap();
        table.commit(staged.outputs[0].files.clone(), Position(2)).await.unwrap();
        let loaded = open(None).await.unwrap().current().unwrap();
        assert_eq!(row_count(&loaded), 60);
        assert_eq!(verify(&world.store, &tenant, &world.table("logs")).await.unwrap(), []);
    }
}
