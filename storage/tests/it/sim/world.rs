//! One history: the nodes, the store they share, and its end.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use schema::{Catalog, Tenant};
use storage::store::Store;
use storage::table::{DeltaTable, verify};
use storage::wal::memory::{Fault, Faults, Survives};
use tempfile::TempDir;

use super::model::{Model, TABLES};
use super::node::{Life, Node};
use super::rows::{ID, SPANS, values_of};
use super::step::{Step, unsettle};
use crate::faulty::{Op, Rule};

/// What a history came to.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct Outcome {
    pub sent: usize,
    pub acked: usize,
    /// Faults that the stores have shown.
    pub faults: u64,
}

pub struct Failure {
    /// The step after which it was seen; the end, if it is past the last.
    pub step: usize,
    pub why: String,
}

pub struct World {
    /// The store, without any fault.
    pub base: Store,
    pub nodes: Vec<Node>,
    pub model: Model,
    outcome: Outcome,
    truths: Truths,
    /// Under a store of files.
    _dir: TempDir,
}

/// The rows of each table, and how many entries its log had.
type Truths = RefCell<HashMap<String, (usize, BTreeSet<i64>)>>;

/// Runs a history.
pub fn run(seed: u64, nodes: usize, steps: &[Step]) -> Result<Outcome, Failure> {
    traced(seed, nodes, steps).map(|(outcome, _)| outcome)
}

/// Runs a history, and says which staged files were put on the stores.
pub fn traced(
    seed: u64,
    nodes: usize,
    steps: &[Step],
) -> Result<(Outcome, BTreeSet<String>), Failure> {
    let mut world = World::new(seed, nodes);
    for (at, step) in steps.iter().enumerate() {
        let done = world.step(step).and_then(|()| world.check());
        done.map_err(|why| Failure { step: at, why })?;
    }
    world.end().map_err(|why| Failure { step: steps.len(), why })?;
    world.outcome.acked = world.model.acked_rows();
    world.outcome.faults =
        world.nodes.iter().flat_map(|node| node.store.counts().into_values()).sum();
    let asked = world.nodes.iter().flat_map(|node| node.store.asked());
    let written = asked.filter(|(op, at)| *op == Op::Put && is_staged(at)).map(|(_, at)| at);
    Ok((world.outcome, written.collect()))
}

/// Whether a path is that of a staged file; that of a joined one has a part more.
fn is_staged(at: &str) -> bool {
    at.ends_with(".parquet")
        && at.rsplit('/').next().is_some_and(|name| name.split('-').count() == 4)
}

impl World {
    /// Nodes that were never started. Of three seeds one has its store in a
    /// folder, the others in memory.
    pub fn new(seed: u64, nodes: usize) -> World {
        let dir = tempfile::tempdir().unwrap();
        let url = match seed % 3 {
            0 => format!("file://{}/store", dir.path().display()),
            _ => "memory://".into(),
        };
        let base = Store::open(&url, &Default::default()).unwrap();
        let nodes = (0..nodes).map(|number| Node::new(number, seed, &base)).collect();
        World {
            base,
            nodes,
            model: Model::default(),
            outcome: Outcome::default(),
            truths: Truths::default(),
            _dir: dir,
        }
    }

    /// A step that a test takes, and the check after it.
    #[track_caller]
    pub fn play(&mut self, step: Step) {
        if let Err(why) = self.step(&step).and_then(|()| self.check()) {
            panic!("after {step:?}: {why}");
        }
    }

    /// Rows that must be acked.
    #[track_caller]
    pub fn acks(&mut self, node: usize, rows: usize) {
        for table in TABLES {
            let before = self.model.acked_rows();
            self.play(Step::Append { node, table, rows });
            assert_eq!(self.model.acked_rows(), before + rows, "{table}: all are acked");
        }
    }

    /// The process of a node, which runs.
    #[track_caller]
    pub fn life(&self, node: usize) -> &Life {
        self.nodes[node].life.as_ref().unwrap()
    }

    /// Everything heals and is judged.
    #[track_caller]
    pub fn judged(mut self) {
        if let Err(why) = self.end() {
            panic!("at the end: {why}");
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Append { node, table, rows } => self.append(node, table, rows)?,
            Step::Dies { node, table, rows, after } => {
                self.node(node)?;
                if let Some(life) = &self.nodes[node].life {
                    life.cord.pull_after(after);
                }
                self.append(node, table, rows)?;
                if let Some(life) = &self.nodes[node].life {
                    // What was begun beside the log ends; how far it came would be
                    // a matter of threads.
                    life.cord.pull();
                    life.idle();
                }
                self.kill(node);
            }
            Step::Flush { node } => {
                // An error is fine as long as nothing is lost by it.
                if let Some(life) = &self.node(node)?.life {
                    life.flush().ok();
                }
            }
            Step::Wait { node, time } => {
                if let Some(life) = &self.node(node)?.life {
                    life.wait(time);
                }
            }
            Step::Crash { node, power } => {
                self.kill(node);
                if let Some(seed) = power {
                    self.nodes[node].sound();
                    self.nodes[node].disk.crash(Survives::Chance(seed));
                }
            }
            Step::Stop { node } => {
                self.nodes[node].stop();
                self.model.died(node);
            }
            Step::Leaves { node } => {
                let drained = self.node(node)?.life.as_ref().is_some_and(|life| life.drained());
                self.nodes[node].stop();
                self.model.died(node);
                if drained {
                    self.nodes[node].replace();
                    self.model.left(node);
                }
            }
            Step::Away { node, fault } => {
                self.nodes[node].store.heal();
                self.nodes[node].store.rule(Rule::new(fault));
            }
            Step::Flaky { node, seed } => {
                self.nodes[node].store.heal();
                unsettle(&self.nodes[node].store, seed);
            }
            Step::Back { node } => self.nodes[node].store.heal(),
            Step::Hold { node } => {
                let base = self.base.objects();
                self.model.hold(node, &self.nodes[node], base.as_ref())?;
            }
            Step::LetGo => self.model.let_go(),
            Step::Disk { node, kind, times } => {
                self.model.failed_disks.insert(node);
                self.node(node)?.disk.set_faults(faults(kind, times));
            }
            Step::Full { node, room } => {
                self.model.failed_disks.insert(node);
                let node = self.node(node)?;
                let used = node.life.as_ref().map_or(0, |life| life.storage.status().wal_bytes);
                node.disk.set_capacity(Some(used + room));
            }
            Step::Sound { node } => self.nodes[node].sound(),
            Step::Clock { node, to } => self.nodes[node].clock.0.store(to, Ordering::SeqCst),
        }
        Ok(())
    }

    /// A node that runs.
    fn node(&mut self, number: usize) -> Result<&mut Node, String> {
        let node = &mut self.nodes[number];
        node.start().map_err(|why| format!("node {number}: {why}"))?;
        Ok(node)
    }

    fn append(&mut self, number: usize, table: &'static str, rows: usize) -> Result<(), String> {
        self.node(number)?;
        let ids = self.model.send(number, table, rows);
        self.outcome.sent += rows;
        let Some(life) = &self.nodes[number].life else { return Ok(()) };
        if life.append(table, &ids).is_ok() {
            self.model.acked(&ids);
        }
        Ok(())
    }

    fn kill(&mut self, number: usize) {
        self.nodes[number].kill();
        self.model.died(number);
    }

    fn check(&mut self) -> Result<(), String> {
        let (base, objects) = (self.base.clone(), self.base.objects());
        // Read anew only when the log has grown: reading takes longest of all.
        let truth = |table: &str| {
            let entries = asleep(log_of(&base, table))?.len();
            let mut truths = self.truths.borrow_mut();
            if let Some((_, rows)) = truths.get(table).filter(|(known, _)| *known == entries) {
                return Ok(rows.clone());
            }
            let rows: BTreeSet<i64> = stored(&base, table, ID)?.into_iter().collect();
            truths.insert(table.into(), (entries, rows.clone()));
            Ok(rows)
        };
        for (number, node) in self.nodes.iter().enumerate() {
            if let Some(life) = &node.life {
                life.settle();
            }
            let checked = self.model.check(number, node, objects.as_ref(), &truth);
            checked.map_err(|why| format!("node {number}: {why}"))?;
        }
        Ok(())
    }

    /// Everything heals; everything that was acked is committed, once, and
    /// everybody sees it.
    fn end(&mut self) -> Result<(), String> {
        for number in 0..self.nodes.len() {
            let node = self.node(number)?;
            node.store.heal();
            node.sound();
            let Some(life) = &node.life else { continue };
            // The longest pause of a committer, and what is on its way.
            life.wait(Duration::from_secs(60));
            let flushed = life.flush().or_else(|_| {
                // Until it gives up on what was never answered.
                life.wait(Duration::from_secs(660));
                life.flush()
            });
            flushed.map_err(|why| format!("node {number} does not catch up: {why}"))?;
            life.storage.ready().map_err(|why| format!("node {number} is not ready: {why}"))?;
        }
        let objects = self.base.objects();
        for table in TABLES {
            let truth = self.model.judge(table, &stored(&self.base, table, ID)?)?;
            for (number, node) in self.nodes.iter().enumerate() {
                if let Some(life) = &node.life {
                    life.wait(Duration::from_secs(15));
                }
                let seen = self.model.sees_all(node, objects.as_ref(), table, &truth);
                seen.map_err(|why| format!("node {number}: {why}"))?;
            }
        }
        self.check()?;
        let (spans, told) =
            (stored(&self.base, "spans", ID)?, stored(&self.base, "trace_parts", SPANS)?);
        if spans.len() as i64 != told.iter().sum::<i64>() {
            return Err(format!("{} spans, and trace_parts tells of {told:?}", spans.len()));
        }
        for number in 0..self.nodes.len() {
            let late = self.nodes[number].stop();
            if !late.is_empty() {
                return Err(format!("node {number} ends late: {late:?}"));
            }
        }
        sound(&self.base)
    }
}

fn faults(kind: u8, times: u32) -> Faults {
    let fault = Fault { after: 0, times };
    let mut faults = Faults::default();
    match kind {
        0 => faults.writes = fault,
        1 => faults.syncs = fault,
        2 => faults.removes = fault,
        3 => faults.dir_syncs = fault,
        4 => faults.creates = fault,
        _ => faults.all = fault,
    }
    faults
}

fn asleep<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.unwrap().block_on(work)
}

/// Every value of a column in a table, straight from the store.
fn stored(base: &Store, table: &str, column: &str) -> Result<Vec<i64>, String> {
    asleep(async {
        let table = Catalog::default().get(table).cloned().ok_or("no table")?;
        let table = DeltaTable::open(base, &Tenant::default(), table, None).await;
        let table = table.map_err(|error| format!("the store cannot be read: {error}"))?;
        let mut all = Vec::new();
        for file in table.current().iter().flat_map(|committed| committed.files.iter()) {
            let path = file.location().map_err(|error| error.to_string())?;
            let read = async { base.objects().get(&path).await?.bytes().await };
            let bytes = read.await.map_err(|error| format!("{path}: {error}"))?;
            all.extend(values_of(bytes, column)?);
        }
        Ok(all)
    })
}

/// The versions whose entries are there, in order.
async fn log_of(base: &Store, table: &str) -> Result<Vec<u64>, String> {
    let prefix = format!("default/{table}/_delta_log").into();
    let listed = base.objects().list(Some(&prefix)).try_collect::<Vec<_>>().await;
    let listed = listed.map_err(|error| error.to_string())?;
    let version = |name: &str| name.strip_suffix(".json").and_then(|version| version.parse().ok());
    let mut versions: Vec<u64> =
        listed.iter().filter_map(|object| version(object.location.filename()?)).collect();
    versions.sort_unstable();
    Ok(versions)
}

/// T: every log is whole and every file is what its entry says.
fn sound(base: &Store) -> Result<(), String> {
    asleep(async {
        let catalog = Catalog::default();
        for table in catalog.tables() {
            let findings = verify(base, &Tenant::default(), table).await;
            let findings = findings.map_err(|error| error.to_string())?;
            if !findings.is_empty() {
                return Err(format!("{}: {findings:?}", table.name));
            }
            let versions = log_of(base, table.name).await?;
            let first = versions.first().copied().unwrap_or(0);
            if versions.iter().enumerate().any(|(at, version)| *version != first + at as u64) {
                return Err(format!("{}: its log has gaps: {versions:?}", table.name));
            }
        }
        Ok(())
    })
}
