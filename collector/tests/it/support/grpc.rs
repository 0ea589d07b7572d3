//! A gRPC client that sends what it is told, right or wrong.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

pub const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
pub const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

pub struct Client {
    sender: SendRequest<Body>,
    /// Ends with the connection.
    pub connection: JoinSet<hyper::Result<()>>,
}

/// An answer, with its status wherever it was.
#[derive(Debug)]
pub struct Reply {
    pub http: u16,
    pub headers: HeaderMap,
    pub data: Bytes,
    pub status: Option<Status>,
}

impl Reply {
    pub fn code(&self) -> Code {
        self.status.as_ref().expect("a gRPC status").code()
    }

    pub fn message(&self) -> &str {
        self.status.as_ref().expect("a gRPC status").message()
    }

    pub fn retry(&self) -> Option<Duration> {
        let details = self.status.as_ref().expect("a gRPC status").get_error_details();
        details.retry_info().and_then(|info| info.retry_delay)
    }

    pub fn bad_request(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.get_error_details().bad_request().is_some())
    }
}

/// A message with its prefix.
pub fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut set = JoinSet::new();
        set.spawn(connection);
        Client { sender, connection: set }
    }

    /// Exports a message.
    pub async fn export(&mut self, path: &str, message: &[u8]) -> Reply {
        self.send(path, &[], frame(0, message)).await
    }

    /// Exports a compressed message.
    pub async fn compressed(&mut self, path: &str, coding: &str, message: &[u8]) -> Reply {
        self.send(path, &[("grpc-encoding", coding)], frame(1, message)).await
    }

    pub async fn send(&mut self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        self.pieces(path, headers, vec![body], Duration::ZERO).await
    }

    /// Sends a body in pieces, with a pause before each but the first.
    pub async fn pieces(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        pieces: Vec<Vec<u8>>,
        pause: Duration,
    ) -> Reply {
        let response = self.start(path, headers, pieces, pause).await.unwrap();
        reply(response).await.unwrap()
    }

    /// Starts a call; dropping the future resets its stream.
    pub fn start(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        pieces: Vec<Vec<u8>>,
        pause: Duration,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        let mut request = Request::post(format!("http://collector{path}"));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let pieces = futures::stream::iter(pieces.into_iter().enumerate()).then(
            move |(nth, piece)| async move {
                if nth > 0 {
                    tokio::time::sleep(pause).await;
                }
                Ok(Frame::data(Bytes::from(piece)))
            },
        );
        let body = StreamBody::new(pieces).boxed_unsync();
        self.sender.send_request(request.body(body).unwrap())
    }
}

pub async fn reply(response: Response<Incoming>) -> hyper::Result<Reply> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&trailers).or(Status::from_header_map(&head.headers));
    let (http, headers) = (head.status.as_u16(), head.headers);
    Ok(Reply { http, headers, data: body.to_bytes(), status })
}
