//! The OTLP/HTTP door (contract B.2): `POST /v1/{traces,metrics,logs}` in
//! protobuf or JSON, over HTTP/1.1 and HTTP/2.
//!
//! Every answer that is not a success is a `google.rpc.Status` in the encoding
//! of the request (H7), also those of the [`connection`](crate::connection)
//! below, which come here to be worded.
//!
//! | file | what it does |
//! | --- | --- |
//! | here | the order of the checks |
//! | [`route`] | paths |
//! | [`headers`] | what the request's headers ask for |
//! | [`codes`] | the table of codes |
//! | [`reply`] | answers as bytes |
//! | [`cors`] | which pages may send (H23) |

mod codes;
mod cors;
mod headers;
mod reply;
mod route;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use schema::{Door, Signal};
use tonic::Code;

use self::cors::Policy;
use self::reply::Fault;
pub(crate) use self::reply::rejection;
use crate::Settings;
use crate::compression::Compression;
use crate::decode::Encoding;
use crate::export::{Exporter, Failure, Stored, Upload};
use crate::gate::Gate;
use crate::intake::{self, Intake};

const ALLOWED: &str = "POST, OPTIONS";

/// The door, shared by its connections.
pub(crate) struct HttpDoor {
    exporter: Arc<Exporter>,
    gate: Arc<Gate>,
    settings: Settings,
    cors: Policy,
}

/// What became of a request, for its metrics.
enum Answer {
    Stored(Encoding, Signal, Stored),
    Refused(Encoding, Fault),
    /// To a browser's question whether it may send.
    Preflight,
}

impl HttpDoor {
    pub(crate) fn new(
        settings: &Settings,
        exporter: Arc<Exporter>,
        gate: Arc<Gate>,
    ) -> Arc<HttpDoor> {
        let cors = Policy::new(&settings.cors);
        Arc::new(HttpDoor { exporter, gate, settings: settings.clone(), cors })
    }

    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let signal = route::signal(head.uri.path(), &self.settings.http_prefixes);
        let mut leaving = Unanswered { door: &self, signal, started, answered: false };
        let answer = self.respond(&head, body, signal).await;
        leaving.answered = true;
        let mut response = self.word(answer, signal, started);
        self.cors.mark(&head, response.headers_mut());
        response
    }

    async fn respond(&self, head: &Parts, body: Incoming, signal: Option<Signal>) -> Answer {
        let encoding = headers::encoding(&head.headers);
        // An answer needs an encoding before the request has proved to have one.
        let spoken = *encoding.as_ref().unwrap_or(&Encoding::Json);
        let refuse = |fault| Answer::Refused(spoken, fault);
        let Some(signal) = signal else {
            let message = "no such path: POST to /v1/traces, /v1/metrics or /v1/logs";
            return refuse(Fault::new(StatusCode::NOT_FOUND, Code::NotFound, message, "path"));
        };
        if head.method == Method::OPTIONS {
            return Answer::Preflight;
        }
        if head.method != Method::POST {
            let message = "only POST sends telemetry";
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let fault = Fault::new(status, Code::Unimplemented, message, "method");
            return refuse(fault.with("allow", ALLOWED));
        }
        let encoding = match encoding {
            Ok(encoding) => encoding,
            Err(fault) => return refuse(fault),
        };
        let compression = match headers::compression(&head.headers) {
            Ok(compression) => compression,
            Err(fault) => return refuse(fault),
        };
        match self.store(head, body, signal, encoding, compression).await {
            Ok(stored) => Answer::Stored(encoding, signal, stored),
            Err(failure) => refuse(codes::fault(failure)),
        }
    }

    async fn store(
        &self,
        head: &Parts,
        body: Incoming,
        signal: Signal,
        encoding: Encoding,
        compression: Option<Compression>,
    ) -> Result<Stored, Failure> {
        self.exporter.turn(&self.gate).await?;
        let declared = headers::length(&head.headers);
        let permit = self.exporter.admit(&self.gate, declared)?;
        let intake = Intake::new(permit, self.exporter.limit(), declared);
        let taking = intake::take(body, intake);
        let (body, permit) = intake::within(self.settings.body_timeout, taking)
            .await
            .map_err(|fault| self.exporter.not_taken(fault))?
            .finish();
        let door = Door::OtlpHttp;
        let until = None;
        let upload = Upload { signal, door, encoding, compression, body, permit, until };
        self.exporter.export(upload).await
    }

    fn word(
        &self,
        answer: Answer,
        signal: Option<Signal>,
        started: Instant,
    ) -> Response<Full<Bytes>> {
        let (outcome, response) = match answer {
            Answer::Preflight => return reply::preflight(ALLOWED),
            Answer::Stored(encoding, signal, stored) => {
                let outcome = if stored.rejected > 0 { "partial" } else { "ok" };
                (outcome, reply::stored(encoding, signal, stored))
            }
            Answer::Refused(encoding, fault) => {
                self.exporter.metrics.refused(signal, Door::OtlpHttp, fault.reason);
                ("refused", reply::fault(encoding, fault))
            }
        };
        self.exporter.metrics.request(signal, Door::OtlpHttp, outcome, started.elapsed());
        response
    }
}

/// Counts a request whose sender left before its answer (H19).
struct Unanswered<'a> {
    door: &'a HttpDoor,
    signal: Option<Signal>,
    started: Instant,
    answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let metrics = &self.door.exporter.metrics;
            metrics.request(self.signal, Door::OtlpHttp, "cancelled", self.started.elapsed());
        }
    }
}
