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
//! | [`answer`] | the engine as what experiments ask |
//! | [`api`] | the HTTP API of experiments and runs |
//! | [`alerts`] | alerts of others, taken in |
//! | [`error`] | what a caller is told |
//!
//! A change that somebody asked for is durable before it is answered; one that
//! was told, or that stops a run, holds at once and is written until it is.

pub mod alerts;
pub mod answer;
mod api;
mod error;
mod journal;
mod judging;
mod keeper;
pub mod runs;
mod told;

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use experiments::tap::Ear;
use query::Engine;
use schema::{Budget, Catalog, Clock, Sink};
use tokio_util::sync::CancellationToken;

use alerts::Alerts;
pub use error::Error;
use journal::Journal;
use keeper::Keeper;
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
}

/// Experiments of a running daemon.
pub struct Chaos {
    pub runs: Arc<Runs>,
    pub engine: Arc<Engine>,
    pub alerts: Arc<Alerts>,
    keeper: Keeper,
}

impl Chaos {
    pub fn new(components: Components) -> Chaos {
        let Components { engine, sink, catalog, budget, clock, node_id, ear } = components;
        let (runs, orders) = Runs::new(clock.clone());
        let journal = Journal { sink, catalog, budget, clock: clock.clone(), node_id };
        let alerts = Arc::new(Alerts::new(journal.clone()));
        let keeper = Keeper::new(runs.clone(), orders, ear, journal, engine.clone(), clock);
        Chaos { runs, engine, alerts, keeper }
    }

    /// The routes of experiments, to be merged into the HTTP door's.
    pub fn router(&self) -> Router {
        api::router(self.runs.clone(), self.engine.clone())
            .merge(alerts::router(self.alerts.clone()))
    }

    /// Keeps runs until it is cancelled.
    pub async fn run(self, cancel: CancellationToken) -> Result<()> {
        self.keeper.run(cancel).await
    }
}
