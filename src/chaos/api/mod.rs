//! `/api/v1/experiments`: documents, runs, their marks and their reports.
//!
//! | file | its part |
//! | --- | --- |
//! | [`documents`] | `POST` and `GET` of documents |
//! | [`runs`] | opening, marking, looking at runs |
//! | [`body`] | what requests say: times, documents, bounds |
//! | [`shown`] | a run as JSON |
//!
//! Guards and leases have routes of their own. Who may ask is the door's.

mod body;
mod documents;
mod runs;
mod shown;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Extension, Router};
use query::Engine;
use query::doors::http::Caller;
use schema::Tenant;

use super::Runs;
use super::answer::Local;
use super::publishing::Places;
pub(super) use shown::instant;

/// What the routes read.
#[derive(Clone)]
struct Api {
    runs: Arc<Runs>,
    engine: Arc<Engine>,
    places: Arc<Places>,
}

impl Api {
    fn local(&self, tenant: &Tenant) -> Local {
        Local { engine: self.engine.clone(), tenant: tenant.clone() }
    }
}

/// Without a word of the door the request is for the default tenant.
pub(super) fn tenant(caller: Option<Extension<Caller>>) -> Tenant {
    caller.map(|Extension(caller)| caller.tenant).unwrap_or_default()
}

pub fn router(runs: Arc<Runs>, engine: Arc<Engine>, places: Arc<Places>) -> Router {
    Router::new()
        .route("/api/v1/experiments", post(documents::declare).get(documents::list))
        .route("/api/v1/experiments/{name}", get(documents::show))
        .route("/api/v1/experiments/runs", post(runs::open).get(runs::list))
        .route("/api/v1/experiments/runs/{run}", get(runs::show))
        .route("/api/v1/experiments/runs/{run}/report", get(runs::report))
        .route("/api/v1/experiments/runs/{run}/judge", post(runs::judge))
        .route("/api/v1/experiments/runs/{run}/{mark}", post(runs::mark))
        .with_state(Api { runs, engine, places })
}
