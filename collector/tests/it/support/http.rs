//! HTTP clients: one with manners, and bytes on a socket.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub const JSON: (&str, &str) = ("content-type", "application/json");

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `google.rpc.Status` of the body, as its code and message.
    pub fn fault(&self) -> (i64, String) {
        match self.header("content-type") {
            "application/json" => {
                let json = self.json();
                (json["code"].as_i64().unwrap(), json["message"].as_str().unwrap().into())
            }
            "application/x-protobuf" => {
                let status = tonic_types::Status::decode(&self.body[..]).unwrap();
                (status.code.into(), status.message)
            }
            other => panic!("not an encoding of OTLP: {other:?}"),
        }
    }
}

/// Posts once, on a connection of its own.
pub async fn post(
    addr: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    request(addr, "POST", path, headers, body).await
}

pub async fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = build(method, path, headers, body.into());
    reply(sender.send_request(request).await.unwrap()).await
}

/// Posts once over HTTP/2 without TLS.
pub async fn post_http2(
    addr: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = build("POST", &format!("http://collector{path}"), headers, body.into());
    reply(sender.send_request(request).await.unwrap()).await
}

fn build(method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body)).unwrap()
}

async fn reply(response: Response<Incoming>) -> Reply {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply { status: head.status, headers: head.headers, body }
}

/// Sends bytes and reads until the server closes.
pub async fn raw(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    rest(&mut socket).await
}

/// Reads until the server closes.
pub async fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    timeout(Duration::from_secs(20), reading).await.expect("the server closes").unwrap();
    answer
}

/// Reads one response with a Content-Length.
pub async fn one(socket: &mut TcpStream) -> Reply {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = timeout(Duration::from_secs(20), socket.read_u8()).await;
        head.push(read.expect("an answer").expect("an answer"));
    }
    let mut reply = parse(&head);
    let length = reply.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.unwrap();
    reply.body = body.into();
    reply
}

/// Takes a response apart.
pub fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.parse().unwrap(), value.trim().parse().unwrap()))
        .collect();
    Reply { status, headers, body: Bytes::copy_from_slice(&bytes[end..]) }
}
