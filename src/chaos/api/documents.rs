//! Documents: a new version with each change of what one says.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use experiments::Experiment;
use query::doors::http::Caller;
use schema::ErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, body, tenant};
use crate::chaos::Error;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Named {
    /// What runs call it; its title if not said.
    name: Option<String>,
}

pub(super) async fn declare(
    State(api): State<Api>,
    Query(named): Query<Named>,
    caller: Option<Extension<Caller>>,
    text: Bytes,
) -> Response {
    let tenant = tenant(caller);
    let declared = async {
        let experiment = body::document(&text)?;
        let notes = body::linted(&experiment)?;
        api.places.check(&experiment)?;
        let name = named.name.unwrap_or_else(|| experiment.title.clone());
        body::name(&name)?;
        api.runs.declare(&tenant, &name, experiment.clone()).await?;
        let mut shown = shown(&name, &experiment);
        shown["notes"] = json!(notes);
        Ok::<_, Error>((StatusCode::CREATED, Json(shown)))
    };
    declared.await.map_or_else(|error| error.response(), IntoResponse::into_response)
}

pub(super) async fn list(State(api): State<Api>, caller: Option<Extension<Caller>>) -> Response {
    let known = api.runs.documents(&tenant(caller));
    let shown: Vec<Value> = known.iter().map(|(name, one)| shown(name, one)).collect();
    Json(json!({ "experiments": shown })).into_response()
}

pub(super) async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let found = api.runs.document(&tenant(caller), &name).ok_or_else(|| {
        let hint = "GET /api/v1/experiments lists them";
        Error::new(ErrorKind::NotFound, format!("there is no experiment {name:?}"), hint)
    });
    let answer = found.and_then(|experiment| {
        let mut shown = shown(&name, &experiment);
        shown["yaml"] = experiment.to_yaml()?.into();
        Ok(Json(shown).into_response())
    });
    answer.unwrap_or_else(|error| error.response())
}

fn shown(name: &str, experiment: &Arc<Experiment>) -> Value {
    json!({
        "name": name,
        "version": experiment.version(),
        "title": experiment.title,
        "owner": experiment.owner,
        "tags": experiment.tags,
    })
}
