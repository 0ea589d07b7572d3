//! Many nodes commit to one table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schema::{Position, Tenant, WalId};
use storage::stage::{Stage, upload};
use storage::store::Store;
use storage::table::DeltaTable;
use storage::{DataFile, Place, StageSettings};
use tokio::task::JoinSet;

use crate::programs::{BUCKET, s3};
use crate::stage_world::{World, row_count};
use crate::store_away::Away;

/// What a race took.
struct Race {
    commits: usize,
    took: Duration,
    /// Puts of log entries.
    attempts: u64,
    /// Each commit with all its attempts, sorted.
    each: Vec<Duration>,
}

impl Race {
    fn told(&self) -> String {
        let share = |part: f64| self.each[((self.each.len() - 1) as f64 * part) as usize];
        format!(
            "{} commits in {:.1?}: {:.1} per second, {:.2} attempts per commit; a commit took {:.1?} \
             in the median, {:.1?} at the 99th percentile, {:.1?} at most",
            self.commits,
            self.took,
            self.commits as f64 / self.took.as_secs_f64(),
            self.attempts as f64 / self.commits as f64,
            share(0.5),
            share(0.99),
            share(1.0)
        )
    }
}

/// Stages beforehand, commits all at once, and checks what is there then. A
/// commit that finds no end in its time is driven anew, as a committer does.
async fn race(world: &Arc<World>, writers: u64, each: u64) -> Race {
    let away = Away::new(world.store.objects());
    let store = world.store.wrapped(|_| Arc::new(away.clone()));
    let mut ready = Vec::new();
    for writer in 1..=writers {
        let log = WalId(u128::from(writer) << 64 | 0x9e37_79b9);
        let dir = world.dir.path().join(format!("stage-{writer}"));
        let settings = StageSettings { dir, max_bytes: u64::MAX };
        let stage = Stage::open(&settings, &world.store, log, 1, &world.catalog).unwrap().0;
        let mut ranges = Vec::new();
        for at in 1..=each {
            let staged = stage.write(&world.sealed("logs", at, at)).unwrap();
            upload(&stage, &world.store, &staged).await.unwrap();
            let files = staged.outputs[0].files.iter().cloned();
            ranges.push(files.map(|f| DataFile { place: Place::Store, ..f }).collect::<Vec<_>>());
        }
        ready.push((log, ranges));
    }
    let table = world.table("logs");
    let open = async |store: &Store, log| {
        DeltaTable::open(store, &Tenant::default(), table.clone(), Some(log)).await.unwrap()
    };
    // The table is there before the race begins.
    open(&store, WalId(1)).await;
    let (before, started) = (away.entries(), Instant::now());
    let mut tasks = JoinSet::new();
    for (log, ranges) in ready {
        let mut table = open(&store, log).await;
        tasks.spawn(async move {
            let mut took = Vec::new();
            for (at, files) in (1..).zip(ranges) {
                let started = Instant::now();
                while let Err(late) = table.commit(files.clone(), Position(at)).await {
                    assert_eq!(late.kind(), schema::ErrorKind::DeadlineExceeded, "{late}");
                }
                took.push(started.elapsed());
            }
            took
        });
    }
    let mut took = Vec::new();
    while let Some(done) = tasks.join_next().await {
        took.extend(done.unwrap());
    }
    took.sort_unstable();
    let commits = (writers * each) as usize;
    let race =
        Race { commits, took: started.elapsed(), attempts: away.entries() - before, each: took };

    let loaded = world.delta("logs", None).await.current().unwrap();
    assert_eq!((loaded.version.0, row_count(&loaded)), (commits as u64, commits as u64 * 60));
    let mut ranges: BTreeMap<WalId, Vec<u64>> = BTreeMap::new();
    for origin in loaded.files.iter().filter_map(|file| file.origin) {
        ranges.entry(origin.wal_id).or_default().push(origin.last.0);
    }
    assert_eq!(ranges.len() as u64, writers);
    for found in ranges.values_mut() {
        found.sort_unstable();
        found.dedup();
        assert_eq!(*found, (1..=each).collect::<Vec<_>>());
    }
    race
}

/// Scenario: six writers commit ten ranges each, at once, on a local store.
/// Guarantees: F28, C2: every range is there exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f28_writers_at_once_lose_and_double_nothing() {
    race(&Arc::new(World::new(true)), 6, 10).await;
}

/// Scenario: the full form: sixteen writers, a thousand commits.
/// `cargo test --release -p cloudsail-storage --test it -- --ignored --nocapture f28`
/// Guarantees: F28: the same, and the attempts stay bounded by the pauses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute; it prints figures"]
async fn fault_f28_sixteen_writers_commit_a_thousand_times() {
    for local in [true, false] {
        let race = race(&Arc::new(World::new(local)), 16, 63).await;
        println!("{}: {}", if local { "file://" } else { "memory://" }, race.told());
        assert!(race.attempts < 20 * race.commits as u64, "{}", race.told());
    }
    let Some(server) = s3().await else { return };
    let options = server.s3_options().map(|(key, value)| (key.to_owned(), value)).into();
    let store = Store::open(&format!("s3://{BUCKET}/race"), &options).unwrap();
    let race = race(&Arc::new(World { store, ..World::new(false) }), 16, 63).await;
    println!("s3:// (moto): {}", race.told());
    assert!(race.attempts < 20 * race.commits as u64, "{}", race.told());
}
