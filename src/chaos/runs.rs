//! What is known of runs, for whoever asks; changes go to the one who keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use experiments::document::scope::Overlap;
use experiments::run::{Mark, Moment, Source, Told};
use experiments::{Experiment, Run, RunId};
use parking_lot::RwLock;
use schema::{Clock, ErrorKind, Tenant};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::Error;

/// Orders that wait; who orders waits with them.
const QUEUE: usize = 256;
/// Changes that a slow follower may be behind by; then it is told that it missed some.
const BEHIND: usize = 1_024;
/// How long a caller waits for the last process' runs to be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much is known of what earlier processes and other nodes left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The tables take a moment to load.
    Begun,
    /// The store is away: what the local log has is known, and nothing else.
    Local,
    Whole,
}

/// The runs of this node. Cheap to read; a change goes through its keeper.
pub struct Runs {
    known: RwLock<Known>,
    orders: mpsc::Sender<Order>,
    changes: broadcast::Sender<Arc<Run>>,
    /// Moves with everything that is read.
    reading: watch::Sender<Reading>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    pub runs: BTreeMap<(Tenant, RunId), Arc<Run>>,
    /// The latest version of each document, by name.
    pub documents: BTreeMap<(Tenant, String), Arc<Experiment>>,
    /// Runs that another node keeps, and which.
    pub elsewhere: BTreeMap<(Tenant, RunId), (Arc<Run>, String)>,
}

impl Known {
    /// Lets go of the runs that were over first, beyond so many.
    pub fn forget(&mut self, most: usize) {
        while self.runs.len() > most {
            let over = self.runs.iter().filter(|(_, run)| run.state.is_over());
            let oldest = over.min_by_key(|(_, run)| run.opened.at).map(|(key, _)| key.clone());
            match oldest {
                Some(key) => drop(self.runs.remove(&key)),
                None => return,
            }
        }
    }
}

/// What opens a run by somebody's word.
#[derive(Debug, Clone)]
pub struct Start {
    pub tenant: Tenant,
    /// Made up when it is not given.
    pub id: Option<RunId>,
    /// Of a stored document, or of the one that comes along.
    pub name: String,
    pub experiment: Option<Arc<Experiment>>,
    pub source: Source,
    pub told: Told,
    /// When it was or will be opened; now if not said. Nanoseconds since 1970.
    pub at: Option<i64>,
    /// What happened already.
    pub marks: Vec<(Mark, i64)>,
    pub uncertainty_ms: u64,
    /// Instead of what the document says.
    pub overlap: Option<Overlap>,
}

type Reply<T> = oneshot::Sender<Result<T, Error>>;

pub(super) enum Order {
    Declare {
        tenant: Tenant,
        name: String,
        experiment: Arc<Experiment>,
        reply: Reply<()>,
    },
    Open {
        start: Box<Start>,
        reply: Reply<(Arc<Run>, bool)>,
    },
    Mark {
        tenant: Tenant,
        id: RunId,
        mark: Mark,
        moment: Moment,
        reply: Reply<Arc<Run>>,
    },
    /// Takes a run over from the node that kept it.
    Take {
        tenant: Tenant,
        id: RunId,
        reply: Reply<Arc<Run>>,
    },
    /// Judges a run again.
    Judge {
        tenant: Tenant,
        id: RunId,
        reply: Reply<()>,
    },
    Judged {
        tenant: Tenant,
        id: RunId,
        judging: Box<super::judging::Judging>,
    },
}

impl Runs {
    pub(super) fn new(clock: Arc<dyn Clock>) -> (Arc<Runs>, mpsc::Receiver<Order>) {
        let (orders, incoming) = mpsc::channel(QUEUE);
        let (changes, _) = broadcast::channel(BEHIND);
        let (known, reading) = (RwLock::default(), watch::Sender::new(Reading::Begun));
        (Arc::new(Runs { known, orders, changes, reading, clock }), incoming)
    }

    /// How much is known; until it is all, a run that is not found may exist.
    pub fn reading(&self) -> Reading {
        *self.reading.borrow()
    }

    /// Told of everything that is read.
    pub fn readings(&self) -> watch::Receiver<Reading> {
        self.reading.subscribe()
    }

    /// Waits until something is known, as long as a caller may be kept waiting.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut reading = self.reading.subscribe();
        let begun = reading.wait_for(|reading| *reading != Reading::Begun);
        if matches!(tokio::time::timeout(PATIENCE, begun).await, Ok(Ok(_))) {
            return Ok(());
        }
        let message = "the runs of the last process are still being read";
        Err(Error::new(ErrorKind::Unavailable, message, "try again in a moment"))
    }

    /// What is said of a run that this node does not keep.
    pub fn unknown(&self, tenant: &Tenant, id: &RunId) -> Error {
        let known = self.known.read();
        match known.elsewhere.get(&(tenant.clone(), id.clone())) {
            Some((_, node)) => Error::elsewhere(id.as_str(), node),
            None if self.reading() != Reading::Whole => Error::unchecked(id.as_str()),
            None => Error::unknown_run(id.as_str()),
        }
    }

    /// A run that another node keeps, and which.
    pub fn elsewhere(&self, tenant: &Tenant, id: &RunId) -> Option<(Arc<Run>, String)> {
        self.known.read().elsewhere.get(&(tenant.clone(), id.clone())).cloned()
    }

    /// A run that is live or was lately.
    pub fn get(&self, tenant: &Tenant, id: &RunId) -> Option<Arc<Run>> {
        self.known.read().runs.get(&(tenant.clone(), id.clone())).cloned()
    }

    /// Every tenant's runs that are not over.
    pub fn live(&self) -> Vec<Arc<Run>> {
        let known = self.known.read();
        known.runs.values().filter(|run| !run.state.is_over()).cloned().collect()
    }

    /// Each run as it is after each change, from now on.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Run>> {
        self.changes.subscribe()
    }

    /// The latest version of a document.
    pub fn document(&self, tenant: &Tenant, name: &str) -> Option<Arc<Experiment>> {
        self.known.read().documents.get(&(tenant.clone(), name.to_owned())).cloned()
    }

    /// Every document of a tenant at its latest version, by name.
    pub fn documents(&self, tenant: &Tenant) -> Vec<(String, Arc<Experiment>)> {
        let known = self.known.read();
        let mine = known.documents.iter().filter(|((owner, _), _)| owner == tenant);
        mine.map(|((_, name), one)| (name.clone(), one.clone())).collect()
    }

    /// Keeps a version of a document; it is durable when this returns.
    pub async fn declare(
        &self,
        tenant: &Tenant,
        name: &str,
        experiment: Arc<Experiment>,
    ) -> Result<(), Error> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        self.order(|reply| Order::Declare { tenant, name, experiment, reply }).await
    }

    /// Opens a run, durably; `false` when the same one was opened before.
    pub async fn open(&self, start: Start) -> Result<(Arc<Run>, bool), Error> {
        self.order(|reply| Order::Open { start: Box::new(start), reply }).await
    }

    /// Marks a run. What says nothing new changes nothing and is no error. A stop
    /// holds at once and every other mark once it is durable. `at` is now if it is
    /// not said.
    pub async fn mark(
        &self,
        tenant: &Tenant,
        id: &RunId,
        mark: Mark,
        at: Option<i64>,
        source: Source,
    ) -> Result<Arc<Run>, Error> {
        let now = self.clock.now_unix_nano();
        let moment = Moment::new(at.unwrap_or(now), now, source);
        let (tenant, id) = (tenant.clone(), id.clone());
        self.order(|reply| Order::Mark { tenant, id, mark, moment, reply }).await
    }

    /// Has this node keep a run whose own node is gone.
    pub async fn take(&self, tenant: &Tenant, id: &RunId) -> Result<Arc<Run>, Error> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.order(|reply| Order::Take { tenant, id, reply }).await
    }

    /// Has a run that is over judged again, as a new revision.
    pub async fn judge(&self, tenant: &Tenant, id: &RunId) -> Result<(), Error> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.order(|reply| Order::Judge { tenant, id, reply }).await
    }

    async fn order<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, Error> {
        self.ready().await?;
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| Error::stopping())?;
        answer.await.map_err(|_| Error::stopping())?
    }

    pub(super) fn all(&self) -> Vec<Arc<Run>> {
        self.known.read().runs.values().cloned().collect()
    }

    /// Those of other nodes.
    pub(super) fn theirs(&self) -> Vec<Arc<Run>> {
        self.known.read().elsewhere.values().map(|(run, _)| run.clone()).collect()
    }

    pub(super) fn read(&self, reading: Reading) {
        self.reading.send_replace(reading);
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write());
    }

    pub(super) fn publish(&self, run: Run) -> Arc<Run> {
        let run = Arc::new(run);
        let key = (run.tenant.clone(), run.id.clone());
        self.known.write().runs.insert(key, run.clone());
        // Without a follower there is nobody to tell.
        let _ = self.changes.send(run.clone());
        run
    }
}
