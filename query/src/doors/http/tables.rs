//! What there is to ask about.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::{Caller, status};
use crate::Engine;

pub(super) async fn list(
    State(engine): State<Arc<Engine>>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let Caller { tenant, .. } = caller.map(|Extension(caller)| caller).unwrap_or_default();
    match engine.tables(&tenant) {
        Ok(tables) => Json(json!({"tables": tables})).into_response(),
        Err(error) => status::refusal(&error),
    }
}

pub(super) async fn show(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let Caller { tenant, .. } = caller.map(|Extension(caller)| caller).unwrap_or_default();
    match engine.table(&tenant, &name) {
        Ok(table) => Json(table).into_response(),
        Err(error) => status::refusal(&error),
    }
}
