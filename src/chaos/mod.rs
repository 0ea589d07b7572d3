//! Experiments in the daemon: the runs it knows, who told of them, their rows,
//! and their judging once they are over.
//!
//! ```text
//! HTTP, tap, guards ─► Runs ─► Keeper ─► Journal ─► sink
//!                       │        └─ settled ─► judge (SQL) ─► Journal
//!                       └─► whoever follows the changes
//! ```
//!
//! | file | its part |
//! | --- | --- |
//! | [`runs`] | [`Runs`]: what is known, and the only way to change it |
//! | [`keeper`] | the one task that changes runs, in order, rows first |
//! | [`judging`] | settled runs judged by SQL, one after the other |
//! | [`journal`] | rows written through the sink, read back by SQL |
//! | [`told`] | what was said of runs, as rows |
//! | [`pins`] | the days of judged runs, kept beyond their retention |
//! | [`publishing`] | reports where documents want them |
//! | [`answer`] | the engine as what experiments ask |
//! | [`api`] | the HTTP API of experiments and runs |
//! | [`alerts`] | alerts of others, taken in |
//! | [`guards`] | what stops runs while they go on: decisions, leases, webhooks |
//! | [`error`] | what a caller is told |
//!
//! A change that somebody asked for is durable before it is answered; one that
//! was told, or that stops a run, holds at once and is written until it is.

pub mod alerts;
pub mod answer;
mod api;
mod error;
pub mod guards;
mod journal;
mod judging;
mod keeper;
mod pins;
pub mod publishing;
pub mod runs;
mod told;

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use experiments::tap::{Ear, Feed};
use prometheus_client::registry::Registry;
use query::Engine;
use schema::{Budget, Catalog, Clock, Sink};
use storage::Storage;
use tokio_util::sync::CancellationToken;

use alerts::Alerts;
pub use error::Error;
use guards::Hub;
use guards::webhook::Webhooks;
use journal::Journal;
use keeper::Keeper;
use pins::Pinning;
use publishing::{Places, Publisher};
pub use runs::Runs;

/// What experiments take.
pub struct Components {
    pub engine: Arc<Engine>,
    pub sink: Arc<dyn Sink>,
    pub catalog: Arc<Catalog>,
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    pub node_id: String,
    /// What injectors tell in rows on their way in.
    pub ear: Ear,
    pub alerts: Arc<Alerts>,
    /// What is heard of rows on their way in.
    pub feed: Feed,
    pub webhooks: Webhooks,
    /// Requests that were turned away for want of memory, since the start.
    pub shortages: Box<dyn Fn() -> u64 + Send + Sync>,
    /// It is told which days judged runs keep, so many of them at most.
    pub storage: Arc<Storage>,
    pub pinned_days: u32,
    /// Where documents may have their reports.
    pub places: Places,
}

/// Experiments of a running daemon.
pub struct Chaos {
    pub runs: Arc<Runs>,
    pub engine: Arc<Engine>,
    alerts: Arc<Alerts>,
    keeper: Keeper,
    hub: Hub,
    pinning: Pinning,
    places: Arc<Places>,
}

impl Chaos {
    pub fn new(components: Components, registry: &mut Registry) -> Chaos {
        let Components { engine, sink, catalog, budget, clock, node_id, .. } = components;
        let Components { ear, feed, webhooks, shortages, alerts, .. } = components;
        let Components { storage, pinned_days, places, .. } = components;
        let places = Arc::new(places);
        let (runs, orders) = Runs::new(clock.clone());
        let (name, node_id) = (node_id.clone(), node_id);
        let journal = Journal { sink, catalog, budget, clock: clock.clone(), node_id };
        let guards = guards::Components {
            runs: runs.clone(),
            feed,
            engine: engine.clone(),
            clock: clock.clone(),
            journal: Arc::new(journal.clone()),
            webhooks,
            shortages,
            node_id: name,
        };
        let hub = Hub::new(guards, registry);
        let most = usize::try_from(pinned_days).unwrap_or(usize::MAX);
        let pinning = Pinning::new(storage.clone(), engine.clone(), clock, most, registry);
        let publisher = Publisher::new(places.clone(), journal.clone(), engine.clone());
        let keeper =
            Keeper::new(runs.clone(), orders, ear, journal, engine.clone(), storage, publisher);
        Chaos { runs, engine, alerts, keeper, hub, pinning, places }
    }

    /// The routes of experiments, to be merged into the HTTP door's.
    pub fn router(&self) -> Router {
        api::router(self.runs.clone(), self.engine.clone(), self.places.clone())
            .merge(alerts::router(self.alerts.clone()))
            .merge(guards::router(&self.hub))
    }

    /// Keeps runs and guards them until it is cancelled. Guards end first: what
    /// stops a run is kept still.
    pub async fn run(self, cancel: CancellationToken) -> Result<()> {
        let (keeper, hub, kept) = (self.keeper, self.hub, CancellationToken::new());
        let pinning = self.pinning.run(kept.clone());
        let guarding = async {
            // Ended or failed, there is nothing to keep for it any more.
            let _kept = kept.clone().drop_guard();
            hub.run(cancel).await
        };
        tokio::try_join!(keeper.run(kept.clone()), pinning, guarding).map(|_| ())
    }
}
