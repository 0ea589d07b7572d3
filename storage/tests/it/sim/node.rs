//! A node of the simulation: a real storage on a disk in memory, in a runtime
//! of its own whose time stands still unless it is waited for.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use schema::{Batch, Budget, Catalog, Clock, Door, Sink, Tenant, WalId};
use storage::still::still;
use storage::store::Store;
use storage::wal::memory::Faults;
use storage::wal::{Files, Memory};
use storage::{Chance, Components, Settings, Storage};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::plug::{Cord, Plug};
use super::{rows, step};
use crate::faulty::Faulty;

/// How long a flush is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub struct FakeClock(pub AtomicI64);

impl Clock for FakeClock {
    fn now_unix_nano(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub struct Node {
    pub wal_id: WalId,
    pub disk: Memory,
    pub dir: TempDir,
    pub store: Faulty,
    pub clock: Arc<FakeClock>,
    pub life: Option<Life>,
    /// How often it was started.
    pub lives: u64,
    catalog: Arc<Catalog>,
    through: Store,
    /// Of all its lives.
    chance: Chance,
}

/// One run of the process.
pub struct Life {
    pub runtime: Runtime,
    pub storage: Arc<Storage>,
    pub cord: Arc<Cord>,
    registry: Registry,
    budget: Budget,
    plug: Weak<Plug>,
}

impl Node {
    pub fn new(number: usize, seed: u64, base: &Store) -> Node {
        let wal_id = WalId((u128::from(seed) << 8) | (number as u128 + 1));
        let disk = Memory::new();
        disk.put("identity", &identity(wal_id));
        let store = Faulty::new(base.objects(), seed ^ ((number as u64) << 32));
        let through = base.wrapped(|_| Arc::new(store.clone()));
        let dir = tempfile::tempdir().unwrap();
        // The reserve is looked up there, though the log is elsewhere.
        std::fs::create_dir(dir.path().join("wal")).unwrap();
        Node {
            wal_id,
            disk,
            dir,
            store,
            clock: Arc::new(FakeClock(AtomicI64::new(step::FIRST))),
            life: None,
            lives: 0,
            catalog: Arc::new(Catalog::default()),
            through,
            chance: Chance::seeded(wal_id.0 as u64),
        }
    }

    /// Starts the process on a disk that works; nothing if it runs.
    pub fn start(&mut self) -> Result<(), String> {
        if self.life.is_some() {
            return Ok(());
        }
        self.sound();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let budget = Budget::new(64 << 20);
        let mut settings = Settings::under(self.dir.path());
        settings.disk_reserve = 0.0;
        let (plug, cord) = Plug::new(&self.disk);
        let files: Arc<Plug> = Arc::new(plug);
        let plug = Arc::downgrade(&files);
        let components = Components {
            settings,
            catalog: self.catalog.clone(),
            store: self.through.clone(),
            budget: budget.clone(),
            clock: self.clock.clone(),
            meter: Default::default(),
            chance: self.chance.clone(),
        };
        let files: Arc<dyn Files> = files;
        let mut registry = Registry::default();
        let opened = runtime.block_on(Storage::open_on(files, components, &mut registry));
        let storage = opened.map_err(|error| format!("it does not start: {error}"))?;
        let life = Life { runtime, storage, cord, registry, budget, plug };
        life.idle();
        self.life = Some(life);
        self.lives += 1;
        Ok(())
    }

    /// SIGKILL: no task is polled again, nothing reaches the log's disk. What
    /// another thread is writing to the stage at this moment is still written,
    /// as if the process had lived a moment longer; then it is gone for good.
    pub fn kill(&mut self) {
        let Some(life) = self.life.take() else { return };
        life.cord.pull();
        drop(life.storage);
        drop(life.runtime);
        while life.plug.strong_count() > 0 {
            std::thread::yield_now();
        }
    }

    /// SIGTERM. Who was late. A join is at once: it works on a thread of its own,
    /// which paused time does not wait for.
    pub fn stop(&mut self) -> Vec<String> {
        let Some(life) = &self.life else { return Vec::new() };
        let mut late = life.runtime.block_on(life.storage.shutdown(PATIENCE));
        self.kill();
        late.retain(|who| !who.starts_with("joins and upkeep"));
        late
    }

    /// Another node, of another log, on a new disk and with the same store.
    pub fn replace(&mut self) {
        self.wal_id = WalId(self.wal_id.0 + (1 << 64));
        self.disk = Memory::new();
        self.disk.put("identity", &identity(self.wal_id));
        self.dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(self.dir.path().join("wal")).unwrap();
    }

    /// Takes every fault off the log's disk.
    pub fn sound(&self) {
        self.disk.set_faults(Faults::default());
        self.disk.set_capacity(None);
    }

    /// The staged files' folder.
    pub fn stage_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("stage")
    }
}

impl Life {
    /// Whether the rows were acked; if not, why.
    pub fn append(&self, table: &str, ids: &[i64]) -> Result<(), String> {
        let table = self.storage_table(table);
        let rows = schema::Rows::plain(&table.layout, &rows::rows(&table, ids)).unwrap();
        let reservation = self.budget.try_reserve(rows.bytes()).ok_or("no memory left")?;
        let batch =
            Batch { tenant: Tenant::default(), table, door: Door::OtlpGrpc, rows, reservation };
        let acked = self.runtime.block_on(still(self.storage.append(batch)));
        acked.map(drop).map_err(|refusal| refusal.message)
    }

    fn storage_table(&self, name: &str) -> Arc<schema::TableDef> {
        use storage::Source;
        self.storage.catalog().get(name).unwrap().clone()
    }

    /// What a scrape says of a counter, over all its labels; zero of one without any.
    pub fn counted(&self, name: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let of = |line: &&str| line.split(['{', ' ']).next() == Some(name);
        let number = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        text.lines().filter(of).map(number).sum()
    }

    pub fn flush(&self) -> Result<(), String> {
        let flush = async { tokio::time::timeout(PATIENCE, self.storage.flush()).await };
        match self.runtime.block_on(flush) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no end within {PATIENCE:?}")),
        }
    }

    /// Whether it says in time that log and stage hold nothing any more.
    pub fn drained(&self) -> bool {
        let drained = async {
            while !self.storage.drain().await.is_ok_and(|left| left.is_empty()) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let drained = async { tokio::time::timeout(PATIENCE, drained).await };
        self.runtime.block_on(drained).is_ok()
    }

    pub fn wait(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Waits until the log's thread has done all that it was asked to, and every task
    /// waits for time: what the next step meets is not a matter of how fast threads are.
    pub fn settle(&self) {
        let twice = async {
            // The first answer may come before the orders that came with it
            // are done with; the second one comes after.
            for _ in 0..2 {
                self.storage.sync().await.ok();
            }
        };
        self.runtime.block_on(still(twice));
        self.idle();
    }

    /// Waits until every task waits for time: it goes on when there is nothing else to
    /// do.
    pub fn idle(&self) {
        self.wait(Duration::from_millis(1));
    }
}

/// The identity file of a log that was never opened: ids are random, and
/// jitter hangs on them.
fn identity(wal_id: WalId) -> Vec<u8> {
    let mut body = 1u32.to_le_bytes().to_vec();
    body.extend_from_slice(&wal_id.0.to_le_bytes());
    body.extend_from_slice(&0u64.to_le_bytes());
    body.extend_from_slice(&1u64.to_le_bytes());
    // Nothing accepted, nothing missed, no leftover.
    body.extend_from_slice(&[0; 4 + 4 + 1 + 16]);
    let mut file = b"CLSLWID\n".to_vec();
    file.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    file.extend_from_slice(&body);
    file
}
