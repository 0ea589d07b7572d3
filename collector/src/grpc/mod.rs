//! The OTLP/gRPC door (contract B.1): the three unary `Export` calls and
//! `grpc.health.v1`.
//!
//! The unary framing is done here, over plain HTTP/2, and not by tonic's codec:
//! that answers an undecodable message with INTERNAL and one that is too large
//! with OUT_OF_RANGE, which senders repeat for ever (G7, G8), and it reserves
//! what five bytes declare before anything can refuse it (G9).
//!
//! | file | what it does |
//! | --- | --- |
//! | here | the order of the checks |
//! | [`message`] | one length-prefixed message, taken in |
//! | [`deadline`] | `grpc-timeout` |
//! | [`codes`] | the table of codes |
//! | [`reply`] | answers as frames and trailers |
//! | [`health`] | `grpc.health.v1` |

mod codes;
mod deadline;
mod health;
mod message;
mod reply;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use schema::{Door, Signal};
use tokio::time::Instant;
use tonic::body::Body;
use tonic_health::pb::health_server::HealthServer;
use tower::Service;

use self::health::Health;
use crate::Settings;
use crate::compression::Compression;
use crate::decode::Encoding;
use crate::export::{Exporter, Failure, Stored, Upload};
use crate::gate::Gate;
use crate::{intake, media};

const HEALTH: &str = "/grpc.health.v1.Health/";

/// The signal of a call; other methods are not implemented (G1).
fn signal(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        _ => None,
    }
}

/// The door, shared by its connections.
pub(crate) struct GrpcDoor {
    exporter: Arc<Exporter>,
    gate: Arc<Gate>,
    settings: Settings,
    health: HealthServer<Health>,
}

impl GrpcDoor {
    pub(crate) fn new(
        settings: &Settings,
        exporter: Arc<Exporter>,
        gate: Arc<Gate>,
    ) -> Arc<GrpcDoor> {
        let health = health::server(&gate);
        Arc::new(GrpcDoor { exporter, gate, settings: settings.clone(), health })
    }

    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        if !is_grpc(request.headers()) {
            return reply::not_grpc(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        if request.method() != Method::POST {
            return reply::not_grpc(StatusCode::METHOD_NOT_ALLOWED);
        }
        let path = request.uri().path();
        if path.starts_with(HEALTH) {
            let Ok(response) = self.health.clone().call(request).await;
            return response;
        }
        let Some(signal) = signal(path) else {
            self.exporter.metrics.refused(None, Door::OtlpGrpc, "method");
            return reply::unimplemented(
                "no such method: this is OTLP/gRPC for traces, metrics and logs",
            );
        };
        let mut leaving =
            Unanswered { door: &self, signal, started: Instant::now(), answered: false };
        let (head, body) = request.into_parts();
        let response = self.respond(signal, &head, body, leaving.started).await;
        leaving.answered = true;
        response
    }

    async fn respond(
        &self,
        signal: Signal,
        head: &Parts,
        body: Incoming,
        started: Instant,
    ) -> Response<Body> {
        let metrics = &self.exporter.metrics;
        let Some(compression) = compression(&head.headers) else {
            metrics.refused(Some(signal), Door::OtlpGrpc, "content_encoding");
            metrics.request(Some(signal), Door::OtlpGrpc, "refused", started.elapsed());
            return reply::unknown_encoding();
        };
        let (outcome, response) = match self.store(signal, head, body, compression, started).await {
            Ok(stored) => {
                let outcome = if stored.rejected > 0 { "partial" } else { "ok" };
                (outcome, reply::stored(signal, stored))
            }
            Err(failure) => {
                metrics.refused(Some(signal), Door::OtlpGrpc, failure.reason);
                ("refused", reply::refused(failure.refusal))
            }
        };
        metrics.request(Some(signal), Door::OtlpGrpc, outcome, started.elapsed());
        response
    }

    async fn store(
        &self,
        signal: Signal,
        head: &Parts,
        body: Incoming,
        compression: Option<Compression>,
        started: Instant,
    ) -> Result<Stored, Failure> {
        self.exporter.turn(&self.gate).await?;
        // Ready at all? Nothing is read for a refusal that is already certain.
        drop(self.exporter.admit(&self.gate, None)?);
        let reading = async {
            let prefix = message::prefix(body, compression.is_some()).await?;
            let permit = prefix.admit(&self.exporter, &self.gate)?;
            prefix.rest(permit, self.exporter.limit()).await
        };
        let message = match tokio::time::timeout(self.settings.body_timeout, reading).await {
            Ok(message) => message.map_err(|fault| fault.into_failure(&self.exporter))?,
            Err(_elapsed) => return Err(self.exporter.not_taken(intake::Fault::Slow)),
        };
        let upload = Upload {
            signal,
            door: Door::OtlpGrpc,
            encoding: Encoding::Protobuf,
            compression: compression.filter(|_| message.compressed),
            body: message.bytes,
            permit: message.permit,
            until: deadline::of(&head.headers).map(|timeout| started + timeout),
        };
        self.exporter.export(upload).await
    }
}

/// `application/grpc`, with `+proto` or parameters.
fn is_grpc(headers: &HeaderMap) -> bool {
    let essence = headers.get(header::CONTENT_TYPE).and_then(media::essence);
    essence
        .is_some_and(|essence| essence == "application/grpc" || essence == "application/grpc+proto")
}

/// The compression of the call; None when it is one we do not know.
fn compression(headers: &HeaderMap) -> Option<Option<Compression>> {
    match headers.get("grpc-encoding") {
        None => Some(None),
        Some(name) => Compression::from_name(name.to_str().ok()?),
    }
}

/// Counts a call whose sender left before its answer (G18).
struct Unanswered<'a> {
    door: &'a GrpcDoor,
    signal: Signal,
    started: Instant,
    answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let (metrics, took) = (&self.door.exporter.metrics, self.started.elapsed());
            metrics.request(Some(self.signal), Door::OtlpGrpc, "cancelled", took);
        }
    }
}
