//! Connections of both doors, from the accept to the last byte: recognised,
//! bounded in number, time and header bytes, and ended so that nothing in
//! flight is lost (G13, G22 to G24, H20, H21, F35, F36).
//!
//! | file | what it does |
//! | --- | --- |
//! | here | the accept loop, and the drain after it |
//! | [`quota`] | how many connections, in all and from one address |
//! | [`preface`] | HTTP/2, HTTP/1, or TLS where plain text is expected |
//! | [`activity`] | what is in flight on a connection |
//! | [`lifetime`] | idleness, age, drain: when a connection is asked to leave |
//! | [`http1`] | an HTTP/1.1 connection, and its close that lets answers arrive |
//! | [`guard`] | heads checked before hyper sees them, so that errors have a body |
//! | [`head`], [`chunks`] | the grammar of a head and of chunked bodies |
//! | [`http2`] | an HTTP/2 connection |
//! | [`hints`] | log lines about clients, few however many clients |

mod activity;
mod chunks;
mod guard;
mod head;
mod hints;
mod http1;
mod http2;
mod lifetime;
mod preface;
mod quota;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use schema::Door;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::activity::{Activity, Held};
pub(crate) use self::head::Rejection;
use self::hints::Hints;
use self::lifetime::Lifetime;
use self::preface::Preface;
use self::quota::Quota;
use crate::export::Exporter;
use crate::gate::Gate;
use crate::{Error, Settings};

/// What may be spoken on a door.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocols {
    Http2,
    /// HTTP/1.1 too; the function words the answer to a head that is none.
    Any {
        reject: fn(&Rejection) -> Vec<u8>,
    },
}

/// Answers one request.
pub(crate) type Service<B> =
    Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<B>> + Send + Sync>;

pub(crate) fn service<B, F>(
    answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
) -> Service<B>
where
    F: Future<Output = Response<B>> + Send + 'static,
{
    Arc::new(move |request| answer(request).boxed())
}

/// One door's place: what all of its connections share.
pub(crate) struct Site {
    door: Door,
    protocols: Protocols,
    settings: Settings,
    gate: Arc<Gate>,
    exporter: Arc<Exporter>,
    quota: Arc<Quota>,
    hints: Hints,
    accepted: AtomicU64,
    /// Streams of HTTP/2 connections, which hyper runs as tasks of their own.
    streams: TaskTracker,
    /// Cancelled when connections shall leave.
    leaving: CancellationToken,
}

impl Site {
    pub(crate) fn new(
        door: Door,
        protocols: Protocols,
        settings: &Settings,
        gate: Arc<Gate>,
        exporter: Arc<Exporter>,
    ) -> Site {
        let gauge = exporter.metrics.connections(door);
        Site {
            door,
            protocols,
            settings: settings.clone(),
            gate,
            exporter,
            quota: Quota::new(settings.max_connections, settings.max_connections_per_peer, gauge),
            hints: Hints::default(),
            accepted: AtomicU64::new(0),
            streams: TaskTracker::new(),
            leaving: CancellationToken::new(),
        }
    }

    fn turn_away(&self, peer: SocketAddr, reason: &'static str, hint: &str) {
        self.exporter.metrics.turned_away(self.door, reason);
        if let Some(unsaid) = self.hints.turn(reason) {
            tracing::warn!(door = %self.door, %peer, reason, unsaid, "{hint}");
        }
    }
}

/// Accepts until `cancel`, then lets every connection finish what it has.
pub(crate) async fn serve<B>(
    site: Arc<Site>,
    listener: TcpListener,
    cancel: CancellationToken,
    service: Service<B>,
) -> Result<(), Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            Some(ended) = connections.join_next() => {
                note(site.door, ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match site.quota.clone().enter(peer.ip()) {
                Some(place) => {
                    let connection = connection(site.clone(), stream, peer, service.clone());
                    connections.spawn(connection.map(move |()| drop(place)));
                }
                None => site.turn_away(peer, "too_many", TOO_MANY),
            },
            Err(error) => accept_failed(site.door, error).await?,
        }
    }
    // New connections are refused by the system from here on; health says so
    // before connections are asked to leave (G24).
    drop(listener);
    site.gate.drain();
    site.leaving.cancel();
    while let Some(ended) = connections.join_next().await {
        note(site.door, ended);
    }
    site.streams.close();
    site.streams.wait().await;
    Ok(())
}

const TOO_MANY: &str = "closed a connection: too many are open, \
     let clients share connections, or raise limits.max_connections_per_peer or limits.max_connections";
const EXPECTED_HTTP2: &str = "closed a connection that speaks HTTP/1.1 to the OTLP/gRPC port: \
     did you mean the OTLP/HTTP port (4318)? With protocol grpc, write the endpoint as http://host:4317";
const UNEXPECTED_TLS: &str = "closed a connection that speaks TLS to a plaintext port: \
     write the endpoint with http:// instead of https://, or set `insecure: true`";
const SILENT: &str = "closed a connection that said nothing";

async fn accept_failed(door: Door, error: io::Error) -> Result<(), Error> {
    use io::ErrorKind as Kind;
    match error.kind() {
        // The peer's, not ours.
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted => {}
        Kind::InvalidInput | Kind::NotConnected => {
            return Err(Error::Accept { door, source: error });
        }
        // Out of descriptors or memory: connections that end give some back.
        _ => {
            tracing::error!(%door, %error, "cannot accept connections, trying again");
            sleep(Duration::from_millis(500)).await;
        }
    }
    Ok(())
}

/// A connection that panics ends alone; its sender sees a broken connection.
fn note(door: Door, ended: Result<(), JoinError>) {
    if let Err(panic) = ended {
        tracing::error!(%door, error = %panic, "a connection ended unexpectedly");
    }
}

async fn connection<B>(site: Arc<Site>, stream: TcpStream, peer: SocketAddr, service: Service<B>)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Answers are small and awaited; only the latency would be left to Nagle.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let reading = timeout(site.settings.header_timeout, preface::read(stream));
    let (stream, preface) = tokio::select! {
        read = reading => match read {
            Ok(Ok(read)) => read,
            Ok(Err(_closed)) => return,
            Err(_elapsed) => return site.turn_away(peer, "silent", SILENT),
        },
        () = site.leaving.cancelled() => return,
    };
    let nth = site.accepted.fetch_add(1, Ordering::Relaxed);
    let activity = Activity::new();
    let lifetime = Lifetime::new(&site.settings, site.door, nth, activity.clone());
    let answer = move |request| {
        let busy = activity.enter();
        let answer = service(request);
        async move { Ok::<_, Infallible>(answer.await.map(|body| Held::new(body, busy))) }.boxed()
    };
    let ended = match (site.protocols, preface) {
        (_, Preface::Tls) => return site.turn_away(peer, "tls", UNEXPECTED_TLS),
        (Protocols::Http2, Preface::Other) => {
            return site.turn_away(peer, "http1", EXPECTED_HTTP2);
        }
        (_, Preface::Http2) => http2::serve(&site, stream, answer, lifetime).await,
        (Protocols::Any { reject }, Preface::Other) => {
            http1::serve(&site, stream, answer, lifetime, reject).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, door = %site.door, %error, "a connection broke");
    }
}
