//! A running daemon: storage, collector and engine joined, their doors served
//! by tasks that are owned here. A task that ends unasked ends the daemon.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use axum::Router;
use collector::Collector;
use experiments::tap::tap;
use prometheus_client::registry::Registry;
use query::Engine;
#[cfg(feature = "postgres")]
use query::doors::postgres;
#[cfg(feature = "flight")]
use query::doors::{Caller, flight};
use schema::{Budget, Clock, Meter};
use storage::Storage;
use storage::store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, Phase};
use crate::bind::{Addresses, Listeners};
use crate::chaos::alerts::{Alerts, Overhearing};
use crate::chaos::publishing::Places;
use crate::chaos::{self, Chaos};
use crate::cli::{self, Usage};
use crate::config::Config;
use crate::{door, metrics, shutdown, usage};

/// What a stage may take beyond the deadline that its work keeps itself.
const SLACK: Duration = Duration::from_millis(500);

/// A task's name and how it ended.
type Ended = (&'static str, Result<()>);

/// Why a daemon cannot go on as it is.
#[derive(Debug)]
pub enum Ending {
    Failed(anyhow::Error),
    /// Its log needs a new id: stopped and started again, it has one.
    StartOver,
}

pub struct Daemon {
    addresses: Addresses,
    phase: Arc<Phase>,
    storage: Arc<Storage>,
    collector: Arc<Collector>,
    engine: Arc<Engine>,
    /// The OTLP doors.
    ingest: JoinSet<Ended>,
    ingest_cancel: CancellationToken,
    /// The doors that answer: HTTP, Flight SQL, Postgres; those that are turned on.
    queries: JoinSet<Ended>,
    queries_cancel: CancellationToken,
    usage: usage::Writer,
}

impl Daemon {
    /// Binds, recovers, serves; returns when it is ready. Probes are answered
    /// from the moment the ports are bound.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Daemon> {
        let started = Instant::now();
        let listeners = Listeners::bind(config).await?;
        let addresses = listeners.addresses()?;
        let phase = Arc::new(Phase::default());
        let (queries_cancel, ingest_cancel) = (CancellationToken::new(), CancellationToken::new());
        let (routes, routers) = watch::channel(admin::starting());
        let mut queries = JoinSet::new();
        if let Some(listener) = listeners.http {
            let cancel = queries_cancel.clone();
            let serving = answer(listener, routers, door::Protocol::Http1, cancel);
            queries.spawn(named("the HTTP door", serving));
        }

        let mut registry = Registry::default();
        let catalog = Arc::new(config.catalog());
        let budget = Budget::new(config.ingest_memory());
        metrics::register(&mut registry, budget.clone());
        let meter = Meter::default();
        create_folders(config)?;
        let settings = config.storage();
        let storage =
            open_folder(config, settings, &catalog, &budget, &clock, &meter, &mut registry).await?;
        let usage = usage::Writer {
            meter: meter.clone(),
            sink: storage.clone(),
            catalog: catalog.clone(),
            budget: budget.clone(),
            clock: clock.clone(),
            node_id: config.node.id.clone(),
        };
        let (mut tap, feed) = tap(storage.clone());
        let ear = tap.listen();
        let alerts = Arc::new(Alerts::new(
            storage.clone(),
            catalog.clone(),
            budget.clone(),
            clock.clone(),
            config.node.id.clone(),
        ));
        let components = collector::Components {
            sink: Arc::new(Overhearing { inner: Arc::new(tap), alerts: alerts.clone() }),
            catalog: catalog.clone(),
            budget: budget.clone(),
            clock: clock.clone(),
            meter: meter.clone(),
            node_id: config.node.id.clone(),
        };
        let collector = Collector::new(config.collector(), components, &mut registry)?;
        let engine =
            Engine::new(storage.clone(), config.query(), clock.clone(), meter, &mut registry)?;
        let refusing = collector.clone();
        let components = chaos::Components {
            engine: engine.clone(),
            sink: storage.clone(),
            catalog,
            budget,
            clock,
            node_id: config.node.id.clone(),
            ear,
            alerts,
            feed,
            webhooks: config.experiments.webhooks(&cli::environment()).map_err(Usage)?,
            shortages: Box::new(move || refusing.shortages()),
            storage: storage.clone(),
            pinned_days: config.experiments.pinned_days,
            places: Places::open(
                &config.experiments.publish,
                &config.store.options.texts(),
                &cli::environment(),
            )?,
        };
        let chaos = Chaos::new(components, &mut registry);

        #[cfg(feature = "flight")]
        if let Some(listener) = listeners.flight {
            // Nobody is asked who they are yet.
            let anybody = Arc::new(|_: flight::Credentials<'_>| Ok(Caller::default()));
            let (_, router) = watch::channel(flight::router(engine.clone(), anybody));
            let serving = answer(listener, router, door::Protocol::Http2, queries_cancel.clone());
            queries.spawn(named("Flight SQL", serving));
        }

        let mut ingest = JoinSet::new();
        if let Some(listener) = listeners.otlp_grpc {
            let serving = collector.clone().serve_grpc(listener, ingest_cancel.clone());
            ingest.spawn(named("OTLP/gRPC", async { Ok(serving.await?) }));
        }
        if let Some(listener) = listeners.otlp_http {
            let serving = collector.clone().serve_http(listener, ingest_cancel.clone());
            ingest.spawn(named("OTLP/HTTP", async { Ok(serving.await?) }));
        }
        // Bound since the start, and not answered before there is an engine: a
        // client waits in the meantime.
        #[cfg(feature = "postgres")]
        if let Some(listener) = listeners.postgres {
            let serving = serve_postgres(listener, engine.clone(), queries_cancel.clone());
            queries.spawn(named("the Postgres door", serving));
        }
        ingest.spawn(named("usage", usage.clone().run(ingest_cancel.clone())));
        let experiments = chaos.router();
        ingest.spawn(named("experiments", chaos.run(ingest_cancel.clone())));
        let admin = Admin {
            storage: storage.clone(),
            usage: usage.clone(),
            collector: collector.clone(),
            engine: engine.clone(),
            registry: Arc::new(registry),
            phase: phase.clone(),
            addresses: addresses.clone(),
            node_id: config.node.id.clone(),
            started,
        };
        routes.send_modify(|router| *router = admin::router(admin, experiments));
        collector.set_ready(true);
        phase.serving();
        Ok(Daemon {
            addresses,
            phase,
            storage,
            collector,
            engine,
            ingest,
            ingest_cancel,
            queries,
            queries_cancel,
            usage,
        })
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Resolves when something that must run does not any more.
    pub async fn ended(&mut self) -> Ending {
        let failure = tokio::select! {
            () = self.storage.parted() => return Ending::StartOver,
            Some(ended) = self.ingest.join_next() => unasked(ended),
            Some(ended) = self.queries.join_next() => unasked(ended),
            why = self.storage.failed() => anyhow!("storage: {why}"),
        };
        Ending::Failed(failure)
    }

    /// Ends in stages. What is late is given up and named; nothing acked is
    /// lost by that, it waits in the log or the stage for the next start.
    pub async fn stop(mut self) {
        self.phase.draining();
        self.collector.set_ready(false);
        self.ingest_cancel.cancel();
        let ended = shutdown::stage("ingest", shutdown::INGEST, drain(&mut self.ingest)).await;
        if ended.is_none() {
            self.ingest.shutdown().await;
        }
        // Storage keeps the deadline itself; the second one is for what it awaits after.
        let ending = async {
            // What staging costs is known only now, and written like the rest.
            let metered = async {
                self.storage.stage().await?;
                self.usage.write().await;
                Ok::<_, storage::Error>(())
            };
            match tokio::time::timeout(shutdown::STORAGE / 2, metered).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the last usage was not written"),
                Err(_) => tracing::warn!("staging is late; the last usage was not written"),
            }
            self.storage.shutdown(shutdown::STORAGE / 2).await
        };
        let late = shutdown::stage("storage", shutdown::STORAGE + SLACK, ending).await;
        for late in late.into_iter().flatten() {
            tracing::warn!(late, "storage could not finish at shutdown");
        }
        self.queries_cancel.cancel();
        let running = self.engine.running();
        if running > 0 {
            tracing::info!(running, "waiting for running queries");
        }
        let grace = shutdown::QUERIES + SLACK;
        if shutdown::stage("queries", grace, drain(&mut self.queries)).await.is_none() {
            self.queries.shutdown().await;
        }
    }
}

/// Before the store, which may lie in the same folder, is opened.
fn create_folders(config: &Config) -> Result<()> {
    let settings = config.storage();
    let spill = config.query().spill_dir;
    for dir in [&settings.wal.dir, &settings.stage.dir, &settings.cache.dir, &spill] {
        create_private(dir)?;
    }
    Ok(())
}

/// Opens a data folder on the configured store: the daemon's own, or one whose
/// node is gone.
pub async fn open_folder(
    config: &Config,
    settings: storage::Settings,
    catalog: &Arc<schema::Catalog>,
    budget: &Budget,
    clock: &Arc<dyn Clock>,
    meter: &Meter,
    registry: &mut Registry,
) -> Result<Arc<Storage>> {
    let components = storage::Components {
        settings,
        catalog: catalog.clone(),
        store: open_store(config)?,
        budget: budget.clone(),
        clock: clock.clone(),
        meter: meter.clone(),
        chance: storage::Chance::system(),
    };
    Storage::open(components, registry).await.context("cannot open the data folder")
}

/// Whether an error says that another process has the data folder open.
pub fn in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<storage::Error>(), Some(storage::Error::InUse(_)))
}

/// The store of a configuration, with what the environment says of credentials.
pub fn open_store(config: &Config) -> Result<Store> {
    let options = config.store.options.texts();
    Ok(Store::open_in(&config.store.url, &options, &cli::environment())?)
}

/// The URL of a store that a command line names by URL or by folder.
pub fn store_url(given: &str) -> Result<String> {
    let path = Path::new(given);
    if given.contains("://") {
        return Ok(given.to_owned());
    }
    if !path.is_dir() {
        let message =
            format!("{given:?} is neither a store's URL nor a folder; write file:///path");
        return Err(Usage(message).into());
    }
    let absolute = path.canonicalize().with_context(|| format!("cannot open {given}"))?;
    let url = url::Url::from_file_path(absolute);
    Ok(url.map_err(|()| anyhow!("{given} is not a usable path"))?.to_string())
}

/// Opens a configuration's store to read it. One that is not there is an error,
/// where the daemon would create it.
pub async fn open_existing(config: &Config) -> Result<Store> {
    let url = url::Url::parse(&config.store.url).context("store.url is not a URL")?;
    if url.scheme() == "file" {
        let folder = url.to_file_path().unwrap_or_default();
        if !folder.is_dir() {
            return Err(anyhow!("there is no store at {}; check the path", folder.display()));
        }
        return open_store(config);
    }
    let store = open_store(config)?;
    if store.is_empty().await? {
        return Err(anyhow!("there is nothing at {url}; check bucket and prefix"));
    }
    Ok(store)
}

/// Creates a folder that only its owner may read (S26).
fn create_private(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).with_context(|| {
        format!(
            "cannot create {}; check its permissions, or set wal.dir, stage.dir, cache.dir and query.spill_dir",
            dir.display()
        )
    })
}

async fn answer(
    listener: TcpListener,
    routers: watch::Receiver<Router>,
    protocol: door::Protocol,
    cancel: CancellationToken,
) -> Result<()> {
    let busy = door::serve(listener, routers, protocol, cancel, shutdown::QUERIES).await?;
    if busy > 0 {
        tracing::warn!(busy, ?protocol, "answers were still running at shutdown, given up");
    }
    Ok(())
}

#[cfg(feature = "postgres")]
async fn serve_postgres(
    listener: TcpListener,
    engine: Arc<Engine>,
    cancel: CancellationToken,
) -> Result<()> {
    // Bound to loopback, or the operator said that anybody may (S1).
    let authentication = postgres::Authentication::Trust;
    let busy = postgres::serve(listener, engine, authentication, cancel, shutdown::QUERIES).await?;
    if busy > 0 {
        tracing::warn!(busy, "Postgres connections were still busy at shutdown, given up");
    }
    Ok(())
}

async fn named(name: &'static str, work: impl Future<Output = Result<()>>) -> Ended {
    (name, work.await)
}

/// Waits for tasks that were told to end.
async fn drain(tasks: &mut JoinSet<Ended>) {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((name, Err(error))) => {
                tracing::error!("{name} ended with an error: {}", storage::store::told(&*error));
            }
            Err(error) => tracing::error!(%error, "a door's task broke off"),
        }
    }
}

fn unasked(ended: Result<Ended, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok((name, Ok(()))) => anyhow!("{name} ended though nobody asked it to"),
        Ok((name, Err(error))) => error.context(format!("{name} failed")),
        Err(error) => anyhow!("a door's task broke off: {error}"),
    }
}
