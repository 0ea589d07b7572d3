//! What must hold of every node at every moment, whatever happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use object_store::{ObjectStore, ObjectStoreExt};
use schema::{Tenant, WalId};
use storage::{DataFile, Place, Snapshot, Source};

use super::node::{Life, Node};
use super::rows::{ID, SPANS, values, values_of};

pub const TABLES: [&str; 2] = ["spans", "logs"];
/// A query runs no longer; what it pinned may be removed afterwards.
const LONGEST_QUERY: Duration = Duration::from_secs(500);

/// Whose rows those of a node are that has left.
const NOBODY: usize = usize::MAX;

/// A row that was sent.
#[derive(Debug, Clone)]
struct Sent {
    node: usize,
    table: &'static str,
    acked: bool,
}

/// Everything that was sent, and what was seen of it.
#[derive(Default)]
pub struct Model {
    sent: BTreeMap<i64, Sent>,
    /// What each file holds, by its path: a name has one content (C4).
    files: HashMap<String, Arc<Vec<i64>>>,
    /// By node, life and table: the rows last seen.
    seen: HashMap<(usize, u64, &'static str), BTreeSet<i64>>,
    /// By node and table: the highest watermark seen.
    watermarks: HashMap<(usize, String), u64>,
    held: Vec<Held>,
    /// Nodes whose log's disk has failed: what it refused may have come back
    /// in one start and be lost in the next.
    pub failed_disks: BTreeSet<usize>,
}

/// A snapshot that a query has pinned.
struct Held {
    node: usize,
    snapshot: Snapshot,
    rows: Vec<i64>,
    since: tokio::time::Instant,
}

/// The rows of a view.
struct View {
    rows: BTreeSet<i64>,
    loaded: bool,
    complete: bool,
}

impl Model {
    /// Fresh ids for rows that are about to be sent.
    pub fn send(&mut self, node: usize, table: &'static str, rows: usize) -> Vec<i64> {
        let first = self.sent.last_key_value().map_or(1, |(id, _)| id + 1);
        let ids: Vec<i64> = (first..first + rows as i64).collect();
        self.sent.extend(ids.iter().map(|id| (*id, Sent { node, table, acked: false })));
        ids
    }

    pub fn acked(&mut self, ids: &[i64]) {
        for id in ids {
            self.sent.entry(*id).and_modify(|sent| sent.acked = true);
        }
    }

    pub fn acked_rows(&self) -> usize {
        self.sent.values().filter(|sent| sent.acked).count()
    }

    /// Of a node's rows: acked ones, and those of which nobody knows.
    fn of(&self, node: usize, table: Option<&str>) -> (BTreeSet<i64>, BTreeSet<i64>) {
        let own = self
            .sent
            .iter()
            .filter(|(_, sent)| sent.node == node && table.is_none_or(|table| table == sent.table));
        let (acked, open): (Vec<_>, Vec<_>) = own.partition(|(_, sent)| sent.acked);
        let ids = |rows: Vec<(&i64, &Sent)>| rows.into_iter().map(|(id, _)| *id).collect();
        (ids(acked), ids(open))
    }

    /// A node at this moment. `truth`: the rows that each table holds.
    pub fn check(
        &mut self,
        number: usize,
        node: &Node,
        base: &dyn ObjectStore,
        truth: &dyn Fn(&str) -> Result<BTreeSet<i64>, String>,
    ) -> Result<(), String> {
        let Some(life) = &node.life else { return Ok(()) };
        let _clock = life.runtime.enter();
        if let Some(why) = life.storage.failed().now_or_never() {
            return Err(why);
        }
        if let Err(why) = life.storage.ready()
            && why.contains("old copy")
        {
            return Err(format!("it takes its log for another one's copy: {why}"));
        }
        for table in TABLES {
            let view = self.view(life, node, base, table)?;
            let (acked, _) = self.of(number, Some(table));
            let mut missing: BTreeSet<i64> = acked.difference(&view.rows).copied().collect();
            if !missing.is_empty() && !view.loaded {
                let truth = truth(table)?;
                missing.retain(|id| !truth.contains(id));
            }
            if !missing.is_empty() {
                return Err(format!("acked and not visible in {table}: {missing:?}"));
            }
            let key = (number, node.lives, table);
            let before = self.seen.insert(key, view.rows.clone()).unwrap_or_default();
            let gone: Vec<&i64> = before.difference(&view.rows).collect();
            if !gone.is_empty() {
                return Err(format!("seen before in {table} and now gone: {gone:?}"));
            }
        }
        self.derived(life, node, base)?;
        self.books(number, life)?;
        self.watermarks(number, life)?;
        self.unchanged(number, node, base)
    }

    /// S1, G and D of one table's view.
    fn view(
        &mut self,
        life: &Life,
        node: &Node,
        base: &dyn ObjectStore,
        table: &str,
    ) -> Result<View, String> {
        let snapshot = snapshot(life, table)?;
        let all = self.content(node, base, &snapshot, ID)?;
        let mut rows = BTreeSet::new();
        for id in &all {
            if !rows.insert(*id) {
                return Err(format!("row {id} is there twice in {table}"));
            }
            match self.sent.get(id) {
                Some(sent) if sent.table == table => {}
                _ => return Err(format!("row {id} of {table} was never sent")),
            }
        }
        let loaded = snapshot.version.is_some();
        Ok(View { rows, loaded, complete: snapshot.incomplete.is_none() })
    }

    /// Whether a node sees every row of a table now.
    pub fn sees_all(
        &mut self,
        node: &Node,
        base: &dyn ObjectStore,
        table: &str,
        truth: &BTreeSet<i64>,
    ) -> Result<(), String> {
        let Some(life) = &node.life else { return Err("it does not run".into()) };
        let view = self.view(life, node, base, table)?;
        if !view.complete {
            return Err(format!("its view of {table} is still incomplete"));
        }
        let missing: Vec<&i64> = truth.difference(&view.rows).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(format!("stored and not visible in {table}: {missing:?}")),
        }
    }

    /// The derived table tells of every own span once, wherever it lies.
    fn derived(&mut self, life: &Life, node: &Node, base: &dyn ObjectStore) -> Result<(), String> {
        let (spans, parts) = (snapshot(life, "spans")?, snapshot(life, "trace_parts")?);
        if spans.version.is_none() || parts.version.is_none() {
            return Ok(());
        }
        // A file joined from several logs is no one's own.
        let shared = |file: &DataFile| file.origin.is_none_or(|origin| origin.is_mixed());
        let joined = |s: &Snapshot| s.committed.iter().any(|file| shared(file));
        if joined(&spans) || joined(&parts) {
            return Ok(());
        }
        let (spans, parts) = (own(spans, node.wal_id), own(parts, node.wal_id));
        let count = self.content(node, base, &spans, ID)?.len() as i64;
        let told: i64 = self.content(node, base, &parts, SPANS)?.iter().sum();
        match count == told {
            true => Ok(()),
            false => Err(format!("{count} spans, and trace_parts tells of {told}")),
        }
    }

    /// L1, against what was sent.
    fn books(&self, number: usize, life: &Life) -> Result<(), String> {
        let (acked, open) = self.of(number, None);
        let mut accepted = 0;
        let mut lost = 0;
        for line in life.storage.ledger() {
            let dropped: u64 = line.dropped.iter().map(|(_, rows)| rows).sum();
            if line.accepted != line.persisted + line.in_flight + dropped {
                return Err(format!("the ledger does not balance: {line:?}"));
            }
            accepted += line.accepted;
            lost += dropped;
        }
        let may_lose = if self.failed_disks.contains(&number) { open.len() as u64 } else { 0 };
        let most = (acked.len() + open.len()) as u64;
        if accepted < acked.len() as u64 || accepted > most || lost > may_lose {
            return Err(format!(
                "the ledger has {accepted} rows accepted and {lost} lost; {} were acked, {} may be there",
                acked.len(),
                open.len()
            ));
        }
        Ok(())
    }

    fn watermarks(&mut self, number: usize, life: &Life) -> Result<(), String> {
        for table in life.storage.status().tables {
            let Some(watermark) = table.watermark else { continue };
            let known = self.watermarks.entry((number, table.table.to_owned())).or_default();
            if watermark < *known {
                return Err(format!(
                    "the watermark of {} went back from {known} to {watermark}",
                    table.table
                ));
            }
            *known = watermark;
        }
        Ok(())
    }

    /// Pins a snapshot of every table.
    pub fn hold(
        &mut self,
        number: usize,
        node: &Node,
        base: &dyn ObjectStore,
    ) -> Result<(), String> {
        let Some(life) = &node.life else { return Ok(()) };
        let _clock = life.runtime.enter();
        for table in TABLES {
            let snapshot = snapshot(life, table)?;
            let rows = self.content(node, base, &snapshot, ID)?;
            let since = tokio::time::Instant::now();
            self.held.push(Held { node: number, snapshot, rows, since });
        }
        Ok(())
    }

    pub fn let_go(&mut self) {
        if !self.held.is_empty() {
            self.held.remove(0);
        }
    }

    /// A node is gone for good, and another has its number: its rows are nobody's any
    /// more, and the end judges them.
    pub fn left(&mut self, number: usize) {
        let own = self.sent.values_mut().filter(|sent| sent.node == number);
        own.for_each(|sent| sent.node = NOBODY);
        self.watermarks.retain(|(node, _), _| *node != number);
        self.failed_disks.remove(&number);
    }

    /// A process that died has no queries.
    pub fn died(&mut self, number: usize) {
        self.held.retain(|held| held.node != number);
    }

    /// S2 and S3: what a query has pinned is there and is the same.
    fn unchanged(
        &mut self,
        number: usize,
        node: &Node,
        base: &dyn ObjectStore,
    ) -> Result<(), String> {
        self.held.retain(|held| held.node != number || held.since.elapsed() < LONGEST_QUERY);
        for held in self.held.iter().filter(|held| held.node == number) {
            let rows = read(node, base, &held.snapshot, ID, &mut HashMap::new());
            let rows = rows.map_err(|why| format!("a pinned snapshot lost a file: {why}"))?;
            if rows != held.rows {
                return Err("a pinned snapshot changed".into());
            }
        }
        Ok(())
    }

    fn content(
        &mut self,
        node: &Node,
        base: &dyn ObjectStore,
        snapshot: &Snapshot,
        column: &str,
    ) -> Result<Vec<i64>, String> {
        read(node, base, snapshot, column, &mut self.files)
    }

    /// L, G and D of a table at rest.
    pub fn judge(&self, table: &str, stored: &[i64]) -> Result<BTreeSet<i64>, String> {
        let rows: BTreeSet<i64> = stored.iter().copied().collect();
        let here = |sent: &Sent| sent.table == table;
        let lost: Vec<_> = self
            .sent
            .iter()
            .filter(|(id, sent)| here(sent) && sent.acked && !rows.contains(id))
            .map(|(id, _)| id)
            .collect();
        let invented: Vec<_> =
            rows.iter().filter(|id| !self.sent.get(id).is_some_and(here)).collect();
        if !lost.is_empty() || !invented.is_empty() || rows.len() != stored.len() {
            return Err(format!(
                "{table}: acked and not stored {lost:?}, stored and never sent {invented:?}, {} rows too many",
                stored.len() - rows.len()
            ));
        }
        Ok(rows)
    }
}

fn snapshot(life: &Life, table: &str) -> Result<Snapshot, String> {
    life.storage.snapshot(&Tenant::default(), table).ok_or(format!("there is no table {table}"))
}

/// What of a snapshot a log has written.
fn own(mut snapshot: Snapshot, wal_id: WalId) -> Snapshot {
    let committed = snapshot.committed.iter().cloned();
    snapshot.committed =
        committed.filter(|file| file.origin.is_some_and(|o| o.wal_id == wal_id)).collect();
    snapshot
}

/// Every value of a column in a snapshot; files that are known are not read.
fn read(
    node: &Node,
    base: &dyn ObjectStore,
    snapshot: &Snapshot,
    column: &str,
    known: &mut HashMap<String, Arc<Vec<i64>>>,
) -> Result<Vec<i64>, String> {
    let mut all: Vec<i64> =
        snapshot.hot.iter().flat_map(|hot| values(&hot.rows.to_batch().unwrap(), column)).collect();
    for file in snapshot.committed.iter().chain(snapshot.staged.iter()) {
        if let Some(values) = known.get(&file.path) {
            all.extend(values.iter());
            continue;
        }
        let values = Arc::new(values_of(bytes(node, base, file)?, column)?);
        all.extend(values.iter());
        known.insert(file.path.clone(), values);
    }
    all.sort_unstable();
    Ok(all)
}

fn bytes(node: &Node, base: &dyn ObjectStore, file: &DataFile) -> Result<bytes::Bytes, String> {
    let missing = |why: &dyn std::fmt::Display| format!("{}: {why}", file.path);
    match file.place {
        Place::Stage => {
            let read = std::fs::read(node.stage_dir().join(&file.path));
            read.map(Into::into).map_err(|error| missing(&error))
        }
        Place::Store => {
            let path = file.location().map_err(|error| missing(&error))?;
            let read = async { base.get(&path).await?.bytes().await };
            futures::executor::block_on(read).map_err(|error| missing(&error))
        }
    }
}
