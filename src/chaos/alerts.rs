//! Alerts of others as rows of `alert_events`: what is delivered to
//! `POST /api/v1/alerts/{alertmanager,grafana}`, and what log events tell on
//! their way in ([`Overhearing`]). A transition is durable before its sender is
//! answered, and one that is told again changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use experiments::alert::seen::Seen;
use experiments::alert::{AlertEvent, Delivery, alertmanager, grafana, otlp};
use parking_lot::Mutex;
use query::doors::http::Caller;
use schema::tables::experiments::ALERTS;
use schema::{Ack, Batch, Budget, Catalog, Clock, Refusal, Sink, Tenant};
use serde::Serialize;
use serde_json::json;

use super::Error;
use super::api::tenant;
use super::journal::Journal;

const MICRO: i64 = 1_000;
/// Bytes of a delivery: as many alerts as one may hold, with room for their labels.
const MOST_BYTES: usize = 4 << 20;
/// Refusals that a sender is told of.
const MOST_TOLD: usize = 20;

/// Takes alerts in.
pub struct Alerts {
    journal: Journal,
    seen: Mutex<Seen>,
}

/// How many transitions were new, and how many were known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub accepted: usize,
    pub repeated: usize,
}

/// The columns of the table; times in microseconds since 1970.
#[derive(Serialize)]
struct AlertRow<'a> {
    time: i64,
    node_id: &'a str,
    revision: i64,
    event_id: String,
    rule: &'a str,
    fingerprint: &'a str,
    state: &'static str,
    at: i64,
    received_at: i64,
    source: &'static str,
    labels: &'a BTreeMap<String, String>,
}

impl Alerts {
    pub fn new(
        sink: Arc<dyn Sink>,
        catalog: Arc<Catalog>,
        budget: Budget,
        clock: Arc<dyn Clock>,
        node_id: String,
    ) -> Alerts {
        let journal = Journal { sink, catalog, budget, clock, node_id };
        Alerts { journal, seen: Mutex::default() }
    }

    /// Writes what was not told before.
    pub async fn take(
        &self,
        tenant: &Tenant,
        source: &'static str,
        events: &[AlertEvent],
    ) -> Result<Taken, Refusal> {
        let now = self.journal.clock.now_unix_nano() / MICRO;
        let mut told = Seen::default();
        let mut rows = Vec::new();
        let mut new = Vec::new();
        for event in events {
            let known = self.seen.lock().knows(tenant.as_str(), event);
            if known || told.knows(tenant.as_str(), event) {
                continue;
            }
            told.remember(tenant.as_str(), event);
            new.push(event);
            rows.push(AlertRow {
                time: now,
                node_id: &self.journal.node_id,
                revision: now,
                event_id: id(event),
                rule: &event.rule,
                fingerprint: &event.fingerprint,
                state: event.state.name(),
                at: event.at / MICRO,
                received_at: now,
                source,
                labels: &event.labels,
            });
        }
        self.journal.write(tenant, ALERTS, &rows).await?;
        let mut seen = self.seen.lock();
        new.iter().for_each(|event| seen.remember(tenant.as_str(), event));
        Ok(Taken { accepted: new.len(), repeated: events.len() - new.len() })
    }
}

/// A sink that hears of alerts in the logs that pass.
pub struct Overhearing {
    pub inner: Arc<dyn Sink>,
    pub alerts: Arc<Alerts>,
}

#[async_trait]
impl Sink for Overhearing {
    /// Alerts first: a batch that is refused then is sent again, and tells them
    /// again, which changes nothing; none is lost between its log and its row.
    async fn append(&self, batch: Batch) -> Result<Ack, Refusal> {
        let events = otlp::events(&batch);
        if !events.is_empty() {
            self.alerts.take(&batch.tenant, "otlp", &events).await?;
        }
        self.inner.append(batch).await
    }
}

fn id(event: &AlertEvent) -> String {
    let AlertEvent { rule, fingerprint, state, at, .. } = event;
    format!("{rule}/{fingerprint}/{}/{}", state.name(), at / MICRO)
}

pub fn router(alerts: Arc<Alerts>) -> Router {
    Router::new()
        .route("/api/v1/alerts/alertmanager", post(of_alertmanager))
        .route("/api/v1/alerts/grafana", post(of_grafana))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(alerts)
}

async fn of_alertmanager(
    State(alerts): State<Arc<Alerts>>,
    caller: Option<Extension<Caller>>,
    body: Bytes,
) -> Response {
    let delivery = alertmanager::read(&body, alerts.journal.clock.now_unix_nano());
    answer(&alerts, &tenant(caller), "alertmanager", delivery).await
}

async fn of_grafana(
    State(alerts): State<Arc<Alerts>>,
    caller: Option<Extension<Caller>>,
    body: Bytes,
) -> Response {
    let delivery = grafana::read(&body, alerts.journal.clock.now_unix_nano());
    answer(&alerts, &tenant(caller), "grafana", delivery).await
}

/// What is understood is taken, even beside what is not: senders do not repeat
/// what was refused.
async fn answer(
    alerts: &Alerts,
    tenant: &Tenant,
    source: &'static str,
    delivery: Result<Delivery, String>,
) -> Response {
    let hint = "send webhook deliveries of Alertmanager (version 4) or Grafana as they are";
    let mut delivery = match delivery {
        Ok(delivery) => delivery,
        Err(why) => return Error::invalid(why, hint).response(),
    };
    if !delivery.refused.is_empty() {
        tracing::warn!(source, refused = delivery.refused.len(), why = %delivery.refused[0], "alerts were not understood");
    }
    if delivery.events.is_empty() && !delivery.refused.is_empty() {
        return Error::invalid(delivery.refused.swap_remove(0), hint).response();
    }
    match alerts.take(tenant, source, &delivery.events).await {
        Err(refusal) => Error::from(refusal).response(),
        Ok(Taken { accepted, repeated }) => {
            delivery.refused.truncate(MOST_TOLD);
            let refused = delivery.refused;
            Json(json!({"accepted": accepted, "repeated": repeated, "refused": refused}))
                .into_response()
        }
    }
}
