//! Nodes whose disk fails, is slow, or takes no writes.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{StreamExt, poll};
use schema::{Budget, Catalog, Door, Sink, Tenant};
use storage::store::Store;
use storage::wal::memory::{Fault, Faults};
use storage::wal::{Files, Memory};
use storage::{Components, Settings, Source, Storage};

use crate::sim::node::FakeClock;
use crate::sim::plug::{Cord, Plug, Stall};
use crate::sim::rows::rows;
use crate::sim::step::Step;
use crate::sim::world::World;

/// A node on which every change of the log's disk fails for a while.
fn failing(seed: u64, faults: Faults) {
    let mut world = World::new(seed, 1);
    world.acks(0, 20);
    world.play(Step::Flush { node: 0 });
    world.acks(0, 20);
    let acked = world.model.acked_rows();
    world.nodes[0].disk.set_faults(faults);
    world.model.failed_disks.insert(0);
    for _ in 0..5 {
        world.play(Step::Append { node: 0, table: "logs", rows: 3 });
        world.play(Step::Wait { node: 0, time: Duration::from_secs(1) });
        assert_eq!(world.model.acked_rows(), acked, "nothing is acked");
        let red = world.life(0).storage.ready().unwrap_err();
        assert!(red.contains("write-ahead log"), "{red}");
        assert!(world.life(0).storage.snapshot(&Tenant::default(), "logs").is_some());
    }
    let refused = world.life(0).counted("cloudsail_wal_refused_groups_total");
    assert!(refused >= 5, "{refused} of five refusals are counted");
    world.nodes[0].sound();
    world.play(Step::Append { node: 0, table: "logs", rows: 1 });
    world.play(Step::Wait { node: 0, time: Duration::from_secs(1) });
    assert!(world.life(0).storage.ready().is_ok(), "green again by itself");
    world.acks(0, 5);
    world.play(Step::Crash { node: 0, power: Some(seed) });
    world.judged();
}

/// Scenario: every fsync of the log's disk fails with EIO for a while.
/// Guarantees: F15: acks stop at once and retryably, readiness is red, queries
/// are served; when the disk is back the node goes on without a restart.
#[test]
fn fault_f15_a_node_on_a_failing_disk_refuses_and_serves() {
    failing(15, Faults { syncs: Fault::ALWAYS, ..Faults::default() });
}

/// Scenario: the log's disk takes no change at all for a while, as after a
/// remount read-only; what it holds can be read.
/// Guarantees: F17: as F15.
#[test]
fn fault_f17_a_node_on_a_read_only_disk_refuses_and_serves() {
    failing(17, Faults { all: Fault::ALWAYS, ..Faults::default() });
}

struct Slow {
    storage: Arc<Storage>,
    disk: Memory,
    cord: Arc<Cord>,
    budget: Budget,
    catalog: Arc<Catalog>,
    _dir: tempfile::TempDir,
}

impl Slow {
    /// A node with this many bytes for rows.
    async fn start(memory: u64) -> Slow {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("wal")).unwrap();
        let catalog = Arc::new(Catalog::default());
        let budget = Budget::new(memory);
        let disk = Memory::new();
        let (plug, cord) = Plug::new(&disk);
        let files: Arc<dyn Files> = Arc::new(plug);
        let components = Components {
            settings: Settings { disk_reserve: 0.0, ..Settings::under(dir.path()) },
            catalog: catalog.clone(),
            store: Store::open("memory://", &Default::default()).unwrap(),
            budget: budget.clone(),
            clock: Arc::new(FakeClock(0.into())),
            meter: Default::default(),
            chance: storage::Chance::system(),
        };
        let storage = Storage::open_on(files, components, &mut Default::default()).await.unwrap();
        Slow { storage, disk, cord, budget, catalog, _dir: dir }
    }

    /// The request for a batch, or `None` when there is no memory for it.
    fn request(&self, first: i64, count: i64) -> Option<schema::Batch> {
        let table = self.catalog.get("logs").unwrap().clone();
        let rows = rows(&table, &(first..first + count).collect::<Vec<i64>>());
        let rows = schema::Rows::plain(&table.layout, &rows).unwrap();
        let reservation = self.budget.try_reserve(rows.bytes())?;
        let (tenant, door) = (Tenant::default(), Door::OtlpGrpc);
        Some(schema::Batch { tenant, table, door, rows, reservation })
    }

    async fn append(&self, first: i64, count: i64) {
        self.storage.append(self.request(first, count).unwrap()).await.unwrap();
    }

    /// Waits until the log's thread has nothing left to do.
    async fn settled(&self) {
        self.storage.sync().await.unwrap();
        self.storage.sync().await.unwrap();
    }

    fn visible(&self) -> i64 {
        let snapshot = self.storage.snapshot(&Tenant::default(), "logs").unwrap();
        let files = snapshot.committed.iter().chain(snapshot.staged.iter());
        snapshot.hot_rows() as i64 + files.map(|file| file.rows as i64).sum::<i64>()
    }
}

/// Scenario: an fsync of the log hangs while requests keep coming; then it
/// returns.
/// Guarantees: F16, B1, D1: nobody is acked before it, what waits is bounded
/// by the memory for rows and the rest finds none; queries are served; and
/// then all that waited share a few group commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f16_a_hanging_fsync_holds_acks_and_no_more() {
    let node = Slow::start(8 << 20).await;
    node.append(0, 10).await;
    node.cord.stall(Stall::Sync);
    let before = node.budget.used();
    let (mut waiting, mut sent, mut taken, mut last) = (FuturesUnordered::new(), 10, 0, 0);
    while let Some(batch) = node.request(sent, 100) {
        sent += 100;
        last = batch.reservation.bytes();
        taken += last;
        waiting.push(node.storage.append(batch));
        assert!(poll!(waiting.next()).is_pending(), "nobody is acked");
        assert!(sent < 1_000_000, "the budget has no bound");
    }
    node.cord.stalled().await;
    assert!(poll!(waiting.next()).is_pending(), "nobody is acked");
    assert_eq!(node.visible(), 10, "and nothing is visible that is not durable");
    let (used, limit) = (node.budget.used(), node.budget.limit());
    // The first ten may be staged meanwhile.
    assert!((taken..=before + taken).contains(&used), "{taken} wait, {used} are paid for");
    assert!(limit - used < 2 * last, "the memory for rows is what bounds it: {used} of {limit}");
    assert!(node.storage.ready().is_ok(), "slow is not broken");
    let before = node.cord.syncs();
    node.cord.resume();
    let requests = waiting.len();
    while let Some(acked) = waiting.next().await {
        acked.unwrap();
    }
    assert_eq!(node.visible(), sent);
    let syncs = node.cord.syncs() - before;
    assert!(syncs <= 3, "{requests} requests took {syncs} fsyncs");
    node.storage.flush().await.unwrap();
    assert_eq!(node.budget.used(), 0, "all is given back");
    node.append(sent, 1).await;
}

/// Scenario: the log's disk takes long to remove a released segment, and rows
/// that were acked meanwhile are already committed.
/// Guarantees: F16: the node does not take its own log for an older copy of one
/// that went on elsewhere, and goes on taking rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_f16_a_slow_release_does_not_fence_the_node() {
    let node = Slow::start(64 << 20).await;
    node.append(0, 1).await;
    // A segment that is still there at the next release.
    node.disk.set_faults(Faults { removes: Fault::ALWAYS, ..Faults::default() });
    node.storage.flush().await.unwrap();
    node.settled().await;
    node.cord.stall(Stall::Sync);
    let mut first = node.storage.append(node.request(1, 1).unwrap());
    assert!(poll!(&mut first).is_pending());
    node.cord.stalled().await;
    let mut second = node.storage.append(node.request(2, 1).unwrap());
    assert!(poll!(&mut second).is_pending());
    // Behind the second one in the log's queue: a release.
    node.storage.flush().await.unwrap();
    node.disk.set_faults(Faults::default());
    node.cord.instead(Stall::Remove);
    first.await.unwrap();
    second.await.unwrap();
    node.cord.stalled().await;
    node.storage.flush().await.unwrap();
    node.cord.resume();
    node.append(3, 1).await;
}
