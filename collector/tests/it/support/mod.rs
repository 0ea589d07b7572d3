//! A collector on loopback, a sink that does as told, clients without manners,
//! and telemetry to send.

pub mod grpc;
pub mod http;
pub mod payload;
pub mod sink;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use collector::{Collector, Components, Settings};
use prometheus_client::registry::Registry;
use schema::{Budget, Catalog, Clock};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::sink::Recorder;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now_unix_nano(&self) -> i64 {
        payload::NOW as i64
    }
}

/// Both doors of one collector; gone with its owner.
pub struct Server {
    pub collector: Arc<Collector>,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub sink: Arc<Recorder>,
    pub budget: Budget,
    pub cancel: CancellationToken,
    registry: Registry,
    doors: JoinSet<Result<(), collector::Error>>,
}

impl Server {
    pub async fn start() -> Server {
        Server::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Server {
        Server::within(1 << 30, change).await
    }

    /// A ready server with a budget.
    pub async fn within(budget: u64, change: impl FnOnce(&mut Settings)) -> Server {
        let server = Server::starting(budget, change).await;
        server.collector.set_ready(true);
        server
    }

    /// A server that is not ready yet.
    pub async fn starting(budget: u64, change: impl FnOnce(&mut Settings)) -> Server {
        let mut settings = Settings::default();
        change(&mut settings);
        let sink = Arc::new(Recorder::default());
        let budget = Budget::new(budget);
        let components = Components {
            sink: sink.clone(),
            catalog: Arc::new(Catalog::default()),
            budget: budget.clone(),
            clock: Arc::new(Still),
            meter: Default::default(),
            node_id: "node".into(),
        };
        let mut registry = Registry::default();
        let collector = Collector::new(settings, components, &mut registry).unwrap();
        let (grpc, http) = (listen().await, listen().await);
        let cancel = CancellationToken::new();
        let mut server = Server {
            grpc: grpc.local_addr().unwrap(),
            http: http.local_addr().unwrap(),
            collector: collector.clone(),
            sink,
            budget,
            cancel: cancel.clone(),
            registry,
            doors: JoinSet::new(),
        };
        server.doors.spawn(collector.clone().serve_grpc(grpc, cancel.clone()));
        server.doors.spawn(collector.serve_http(http, cancel));
        server
    }

    /// Cancels both doors and waits until they are drained.
    pub async fn drain(&mut self) {
        self.cancel.cancel();
        while let Some(door) = self.doors.join_next().await {
            door.unwrap().unwrap();
        }
    }

    /// The metrics as text.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Waits until something that happens elsewhere has happened.
pub async fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !happened() {
        assert!(Instant::now() < until, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
