//! `grpc.health.v1`, told by the [`Gate`] (G25). Served without credentials:
//! it says nothing but whether to come.

use std::pin::Pin;

use futures::stream::{self, Stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::gate::{Gate, State};

/// The daemon as a whole, and each service by name.
const SERVICES: [&str; 4] = [
    "",
    "opentelemetry.proto.collector.trace.v1.TraceService",
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "opentelemetry.proto.collector.logs.v1.LogsService",
];

/// A health request names one service.
const MOST_BYTES: usize = 4 << 10;

pub(super) struct Health {
    state: watch::Receiver<State>,
}

pub(super) fn server(gate: &Gate) -> HealthServer<Health> {
    HealthServer::new(Health { state: gate.subscribe() }).max_decoding_message_size(MOST_BYTES)
}

fn response(state: State) -> HealthCheckResponse {
    let status = match state {
        State::Serving => ServingStatus::Serving,
        State::Starting | State::Draining => ServingStatus::NotServing,
    };
    HealthCheckResponse { status: status.into() }
}

type Updates = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            // What the health protocol asks for; no Export ever answers so (G20).
            return Err(Status::not_found("no such service"));
        }
        Ok(Response::new(response(*self.state.borrow())))
    }

    type WatchStream = Updates;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Updates>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            let status = ServingStatus::ServiceUnknown.into();
            let unknown = stream::once(async move { Ok(HealthCheckResponse { status }) });
            return Ok(Response::new(Box::pin(unknown)));
        }
        let mut state = self.state.clone();
        state.mark_changed();
        // Ends after the drain is told, so that a watcher does not hold it up.
        let updates = stream::unfold(Some(state), |state| async {
            let mut state = state?;
            state.changed().await.ok()?;
            let now = *state.borrow_and_update();
            let rest = (now != State::Draining).then_some(state);
            Some((Ok(response(now)), rest))
        });
        Ok(Response::new(Box::pin(updates)))
    }
}
