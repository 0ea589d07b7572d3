//! What guards and windows learn of rows on their way in: a [`Sink`] around the
//! real one. It reduces a batch before it is appended and hands that on once it
//! was, and never waits for whoever listens: what finds no room is counted as
//! missed, which the guards answer with "cannot tell".
//!
//! While nothing is watched a batch passes at the cost of one look at a lock, and
//! one over the keys of its attributes for what injectors tell ([`signal`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::RwLock;
use schema::{Ack, Batch, ErrorKind, Refusal, Sink, Tenant};
use tokio::sync::mpsc;

use crate::guard::reduce::{Heard, Plan, reduce};
use crate::signal::{self, Event};

/// Batches that may wait to be counted, and marks in them: 16 MiB at most.
const BATCHES: usize = 1_024;
const MARKS: usize = 1 << 19;
/// Batches with events of injectors that may wait.
const TOLD: usize = 256;

/// What injectors told in one batch.
pub type Told = (Tenant, Vec<Event>);

#[derive(Debug, Default)]
struct Shared {
    plan: RwLock<Arc<Plan>>,
    /// Marks on their way to the listener.
    waiting: AtomicUsize,
    missed: AtomicU64,
    refused: AtomicU64,
    untold: AtomicU64,
}

/// The sink that the collector is given.
pub struct Tap {
    inner: Arc<dyn Sink>,
    shared: Arc<Shared>,
    heard: mpsc::Sender<Heard>,
    told: Option<mpsc::Sender<Told>>,
}

/// The listener's end.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
    heard: mpsc::Receiver<Heard>,
}

/// The end of whoever keeps runs.
#[derive(Debug)]
pub struct Ear {
    shared: Arc<Shared>,
    told: mpsc::Receiver<Told>,
}

impl Ear {
    /// The next batch's events; `None` when the sink is gone. Giving up the wait
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// Batches whose events found no room, since the last time this was asked.
    pub fn lost(&self) -> u64 {
        self.shared.untold.swap(0, Ordering::Relaxed)
    }
}

/// What never reached the listener, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Batches that found no room, or whose outcome is unknown.
    pub missed: u64,
    /// Batches that storage did not take: their senders still hold them.
    pub refused: u64,
}

/// Puts a tap before a sink.
pub fn tap(inner: Arc<dyn Sink>) -> (Tap, Feed) {
    let (sender, receiver) = mpsc::channel(BATCHES);
    let shared = Arc::new(Shared::default());
    let tap = Tap { inner, shared: shared.clone(), heard: sender, told: None };
    (tap, Feed { shared, heard: receiver })
}

#[async_trait]
impl Sink for Tap {
    async fn append(&self, batch: Batch) -> Result<Ack, Refusal> {
        let told = self.told(&batch);
        let tenant = (!told.is_empty()).then(|| batch.tenant.clone());
        let outcome = self.watched(batch).await;
        // Whoever reads a row's run may look for the row: it is stored first.
        let stored = match &outcome {
            Ok(_) => true,
            Err(refusal) => refusal.kind == ErrorKind::DeadlineExceeded,
        };
        if let (Some(sender), Some(tenant), true) = (&self.told, tenant, stored) {
            // One that finds no room is counted; its row is there all the same.
            if sender.try_send((tenant, told)).is_err() {
                self.shared.untold.fetch_add(1, Ordering::Relaxed);
            }
        }
        outcome
    }
}

impl Tap {
    /// Has what injectors tell handed on, too.
    pub fn listen(&mut self) -> Ear {
        let (sender, told) = mpsc::channel(TOLD);
        self.told = Some(sender);
        Ear { shared: self.shared.clone(), told }
    }

    fn told(&self, batch: &Batch) -> Vec<Event> {
        if self.told.is_some() { signal::events(batch) } else { Vec::new() }
    }

    async fn watched(&self, batch: Batch) -> Result<Ack, Refusal> {
        let plan = self.shared.plan.read().clone();
        if !plan.tenants.contains(&batch.tenant) {
            return self.inner.append(batch).await;
        }
        let heard = reduce(&plan, &batch);
        let outcome = self.inner.append(batch).await;
        match &outcome {
            Ok(_) => self.hand_on(heard),
            // It may be stored all the same.
            Err(refusal) if refusal.kind == ErrorKind::DeadlineExceeded => {
                self.shared.missed.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        outcome
    }

    fn hand_on(&self, heard: Option<Heard>) {
        let Some(heard) = heard else { return };
        let marks = heard.marks();
        let room = self.shared.waiting.fetch_add(marks, Ordering::Relaxed) + marks <= MARKS;
        if !room || self.heard.try_send(heard).is_err() {
            self.shared.waiting.fetch_sub(marks, Ordering::Relaxed);
            self.shared.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Feed {
    /// What is looked for from now on.
    pub fn watch(&self, plan: Arc<Plan>) {
        *self.shared.plan.write() = plan;
    }

    pub fn losses(&self) -> Losses {
        Losses {
            missed: self.shared.missed.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }

    /// The next batch; `None` when the sink is gone. Giving up the wait loses nothing.
    pub async fn next(&mut self) -> Option<Heard> {
        let heard = self.heard.recv().await?;
        self.counted(&heard);
        Some(heard)
    }

    /// One that waits already.
    pub fn ready(&mut self) -> Option<Heard> {
        let heard = self.heard.try_recv().ok()?;
        self.counted(&heard);
        Some(heard)
    }

    fn counted(&self, heard: &Heard) {
        self.shared.waiting.fetch_sub(heard.marks(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
