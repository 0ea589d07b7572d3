//! An HTTP/2 connection, with the bounds of G22 and the pings of G23.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Site;
use super::lifetime::{Connection, Lifetime};
use super::preface::Rewound;

/// Flow-control windows: what one connection may have on the way to us before
/// it is admitted. One large body fills the link, many do not fill the memory.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;

pub(super) async fn serve<B, F>(
    site: &Site,
    stream: Rewound<TcpStream>,
    answer: F,
    lifetime: Lifetime,
) -> hyper::Result<()>
where
    F: Fn(Request<Incoming>) -> BoxFuture<'static, Result<Response<B>, Infallible>>,
    F: Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let settings = &site.settings;
    let connection = http2::Builder::new(Owned(site.streams.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_header_list_size(settings.max_header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    lifetime.watch(&mut Box::pin(connection), &site.leaving).await?;
    Ok(())
}

/// Runs streams as tasks that the site owns and joins.
#[derive(Clone)]
struct Owned(TaskTracker);

impl<F> Executor<F> for Owned
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

impl<S, B> Connection for Pin<Box<http2::Connection<TokioIo<Rewound<TcpStream>>, S, Owned>>>
where
    S: hyper::service::HttpService<Incoming, ResBody = B, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.as_mut().poll(cx)
    }

    fn leave(&mut self) {
        self.as_mut().graceful_shutdown();
    }
}
