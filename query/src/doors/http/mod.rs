//! The HTTP API's part about SQL (interfaces.md).
//!
//! | file | what |
//! | --- | --- |
//! | this | the router, [`Caller`] |
//! | [`sql`] | `POST /api/v1/sql`: what is asked, in which form it is answered |
//! | [`stream`] | the body: encoded as the client reads |
//! | [`tables`] | `GET /api/v1/tables`, `GET /api/v1/tables/{name}` |
//! | [`status`] | error kinds as status codes, the error document |
//!
//! Listening, TLS, who may ask, and the rest of the API are the daemon's.

mod sql;
mod status;
mod stream;
mod tables;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::Engine;

/// Who asks. The daemon puts it into the request's extensions once it knows;
/// without it the request is nobody's, for the default tenant.
pub use super::Caller;

/// The routes, to be merged into the daemon's.
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/api/v1/sql", post(sql::ask))
        .route("/api/v1/tables", get(tables::list))
        .route("/api/v1/tables/{name}", get(tables::show))
        .with_state(engine)
}
