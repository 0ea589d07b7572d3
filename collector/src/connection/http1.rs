//! An HTTP/1.1 connection, and a close that lets the last answer arrive.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::guard::Guard;
use super::lifetime::{Connection, End, Lifetime};
use super::preface::Rewound;
use super::{Rejection, Site};

/// How long a refused sender is read after the answer, unheard. Closing with
/// bytes unread resets the connection, and the answer with it.
const LINGER: Duration = Duration::from_secs(2);

pub(super) async fn serve<B, F>(
    site: &Site,
    stream: Rewound<TcpStream>,
    answer: F,
    lifetime: Lifetime,
    reject: fn(&Rejection) -> Vec<u8>,
) -> hyper::Result<()>
where
    F: Fn(Request<Incoming>) -> BoxFuture<'static, Result<Response<B>, Infallible>>,
    F: Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let settings = &site.settings;
    let guard = Guard::new(stream, settings.max_header_bytes as usize, settings.header_timeout);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The guard's: it tells an idle connection from a slow head.
        .header_read_timeout(None)
        // A sender may close its half and still wait for the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(guard), service_fn(answer));
    if lifetime.watch(&mut connection, &site.leaving).await? == End::Abandoned {
        return Ok(());
    }
    let mut guard = connection.into_parts().io.into_inner();
    let rejection = guard.rejection();
    let stream = guard.stream();
    let closing = async {
        if let Some(rejection) = rejection {
            site.exporter.metrics.refused(None, site.door, rejection.reason);
            stream.write_all(&reject(&rejection)).await?;
        }
        stream.shutdown().await?;
        let mut unheard = [0; 8 << 10];
        while stream.read(&mut unheard).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    match timeout(LINGER, closing).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection broke while closing"),
    }
    Ok(())
}

impl<S, B> Connection for http1::Connection<TokioIo<Guard<Rewound<TcpStream>>>, S>
where
    S: HttpService<Incoming, ResBody = B, Error = Infallible> + Unpin,
    S::Future: Unpin,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.poll_without_shutdown(cx)
    }

    fn leave(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}
