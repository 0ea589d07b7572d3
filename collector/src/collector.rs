//! The receivers, wired: two doors over one route to the sink.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use prometheus_client::registry::Registry;
use schema::Door;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::connection::{self, Protocols, Service, Site};
use crate::export::{Components, Exporter};
use crate::gate::Gate;
use crate::grpc::GrpcDoor;
use crate::http::{self, HttpDoor};
use crate::metrics::Metrics;
use crate::{Error, Settings};

/// The OTLP receivers of a daemon.
pub struct Collector {
    settings: Settings,
    exporter: Arc<Exporter>,
    gate: Arc<Gate>,
}

impl Collector {
    /// Fails on settings that cannot work. Registers its metrics once, so one
    /// collector per registry.
    pub fn new(
        settings: Settings,
        components: Components,
        registry: &mut Registry,
    ) -> Result<Arc<Collector>, Error> {
        settings.validate()?;
        let exporter = Exporter::new(&settings, components, Metrics::new(registry));
        let exporter = Arc::new(exporter.map_err(Error::Threads)?);
        Ok(Arc::new(Collector { settings, exporter, gate: Arc::new(Gate::new()) }))
    }

    /// Opens or closes both doors for requests: until the first `true`, and
    /// after `false`, senders are told to come back and health is NOT_SERVING.
    pub fn set_ready(&self, ready: bool) {
        self.gate.set_ready(ready);
    }

    /// Closes both doors for good, though they stay open to say so: every later
    /// request is refused retryably, and health is NOT_SERVING.
    pub fn drain(&self) {
        self.gate.drain();
    }

    /// Requests turned away for want of memory since the start: their telemetry
    /// comes late, or never.
    pub fn shortages(&self) -> u64 {
        self.exporter.metrics.shortages()
    }

    /// Serves OTLP/gRPC and `grpc.health.v1` until `cancel`; returns when
    /// everything admitted is answered and stored. Cancelling one door puts the
    /// other out of service too: they end together.
    pub async fn serve_grpc(
        self: Arc<Self>,
        listener: TcpListener,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        let door = GrpcDoor::new(&self.settings, self.exporter.clone(), self.gate.clone());
        let service = connection::service(move |request| door.clone().answer(request));
        self.serve(Door::OtlpGrpc, Protocols::Http2, listener, cancel, service).await
    }

    /// Serves OTLP/HTTP, over HTTP/1.1 and HTTP/2 without TLS, until `cancel`;
    /// returns like [`serve_grpc`](Self::serve_grpc).
    pub async fn serve_http(
        self: Arc<Self>,
        listener: TcpListener,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        let door = HttpDoor::new(&self.settings, self.exporter.clone(), self.gate.clone());
        let service = connection::service(move |request| door.clone().answer(request));
        let protocols = Protocols::Any { reject: http::rejection };
        self.serve(Door::OtlpHttp, protocols, listener, cancel, service).await
    }

    async fn serve<B>(
        &self,
        door: Door,
        protocols: Protocols,
        listener: TcpListener,
        cancel: CancellationToken,
        service: Service<B>,
    ) -> Result<(), Error>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (gate, exporter) = (self.gate.clone(), self.exporter.clone());
        let site = Site::new(door, protocols, &self.settings, gate, exporter);
        connection::serve(Arc::new(site), listener, cancel, service).await?;
        self.exporter.drained().await;
        Ok(())
    }
}
