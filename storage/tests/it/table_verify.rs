//! Everything that can be wrong with a table is found, with what to do.

use object_store::ObjectStoreExt;
use object_store::path::Path;
use schema::{Position, Tenant, Version};
use storage::table::{self, Finding, Why, verify};

use crate::stage_world::{LOG, World};

async fn findings(world: &World) -> Vec<Finding> {
    verify(&world.store, &Tenant::default(), &world.table("logs")).await.unwrap()
}

fn entry(version: u64) -> Path {
    Path::from(format!("default/logs/_delta_log/{version:020}.json"))
}

/// Four commits; nothing to find.
async fn whole() -> World {
    let world = World::new(true);
    let stage = world.stage();
    let mut table = world.delta("logs", Some(LOG)).await;
    for at in 1..=4 {
        let files = world.staged(&stage, "logs", at, at).await;
        table.commit(files, Position(at)).await.unwrap();
    }
    assert_eq!(findings(&world).await, []);
    world
}

/// One finding that says this, and a remedy with it.
#[track_caller]
fn says(found: &[Finding], path: &str, problem: &str) {
    let hit = found.iter().find(|f| f.path.contains(path) && f.problem.contains(problem));
    assert!(hit.is_some_and(|f| f.remedy.len() > 10), "no {problem:?} of {path}: {found:#?}");
}

/// Scenario: an entry of the log is gone, then broken, then so is a checkpoint,
/// then the pointer to it leads nowhere.
/// Guarantees: F31, each is found by its name, with a remedy that is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f31_a_broken_log_is_found() {
    let world = whole().await;
    let objects = world.store.objects();
    objects.delete(&entry(2)).await.unwrap();
    says(&findings(&world).await, "00000000000000000002.json", "missing");

    let world = whole().await;
    world.store.objects().put(&entry(2), "{broken".into()).await.unwrap();
    says(&findings(&world).await, "00000000000000000002.json", "no log entry");

    let world = whole().await;
    let (tenant, logs) = (Tenant::default(), world.table("logs"));
    table::checkpoint(&world.store, &tenant, &logs, Version(3)).await.unwrap();
    assert_eq!(findings(&world).await, []);
    let checkpoint = "default/logs/_delta_log/00000000000000000003.checkpoint.parquet";
    world.store.objects().put(&checkpoint.into(), "PAR1".into()).await.unwrap();
    let found = findings(&world).await;
    says(&found, "3.checkpoint.parquet", "cannot be read");
    assert!(found[0].remedy.contains("entries up to it are all there"), "{found:?}");
    world.store.objects().delete(&checkpoint.into()).await.unwrap();
    says(&findings(&world).await, "_last_checkpoint", "not there");
}

/// Scenario: a file is gone, cut, and another is there instead; a file is added
/// twice, and one lies above the watermark of its log.
/// Guarantees: F31 and C1, each is found at the file, with a remedy.
#[tokio::test]
async fn fault_f31_files_that_do_not_fit_the_log_are_found() {
    let world = whole().await;
    let objects = world.store.objects();
    let files = world.delta("logs", None).await.current().unwrap().files.to_vec();
    objects.delete(&files[0].location().unwrap()).await.unwrap();
    objects.put(&files[1].location().unwrap(), "cut".into()).await.unwrap();
    let other = objects.get(&files[3].location().unwrap()).await.unwrap().bytes().await.unwrap();
    let path = files[2].location().unwrap();
    objects.put(&path, other.clone().into()).await.unwrap();
    let found = findings(&world).await;
    says(&found, &files[0].path, "does not exist");
    says(&found, &files[1].path, "bytes");
    assert!(found.iter().all(|finding| finding.remedy.len() > 10));

    let world = whole().await;
    let first = world.store.objects().get(&entry(1)).await.unwrap().bytes().await.unwrap();
    let adds: Vec<&str> =
        std::str::from_utf8(&first).unwrap().lines().filter(|l| l.contains("\"add\"")).collect();
    let again = format!("{}\n", adds[0]);
    world.store.objects().put(&entry(5), again.into()).await.unwrap();
    says(&findings(&world).await, "date=", "added by entry 5, and by 1 before");

    let world = whole().await;
    let stage = world.stage();
    let ahead = world.staged(&stage, "logs", 7, 9).await;
    let mut table = world.delta("logs", Some(LOG)).await;
    table.rewrite(&[], ahead, Why::Join).await.unwrap().unwrap();
    says(&findings(&world).await, "-7-9.parquet", "above the watermark");
}
