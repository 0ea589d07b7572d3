//! OTLP requests, the three ways to send one, and what each answer means to a
//! sender that follows the specification.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use prost::Message;

use crate::client::{Answer, Client};
use crate::daemon::{Daemon, Ports};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

    pub fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }

    pub fn table(self) -> &'static str {
        match self {
            Signal::Traces => "spans",
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Signal::Traces => "trace.v1.TraceService",
            Signal::Logs => "logs.v1.LogsService",
            Signal::Metrics => "metrics.v1.MetricsService",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    HttpProtobuf,
    HttpJson,
    Grpc,
}

impl Encoding {
    pub const ALL: [Encoding; 3] = [Encoding::HttpProtobuf, Encoding::HttpJson, Encoding::Grpc];

    /// The name of its door in `system.ledger`.
    pub fn door(self) -> &'static str {
        match self {
            Encoding::Grpc => "otlp_grpc",
            Encoding::HttpProtobuf | Encoding::HttpJson => "otlp_http",
        }
    }
}

/// One export request as its two encodings.
#[derive(Debug, Clone)]
pub struct Request {
    pub signal: Signal,
    pub protobuf: Vec<u8>,
    pub json: String,
}

impl Request {
    /// From JSON text, which is sent as it stands; the protobuf form is what
    /// the specification's own types make of it.
    pub fn from_json(signal: Signal, json: &str) -> Request {
        let parse = "the request is OTLP/JSON";
        let protobuf = match signal {
            Signal::Traces => serde_json::from_str::<ExportTraceServiceRequest>(json)
                .expect(parse)
                .encode_to_vec(),
            Signal::Logs => {
                serde_json::from_str::<ExportLogsServiceRequest>(json).expect(parse).encode_to_vec()
            }
            Signal::Metrics => metrics(json).encode_to_vec(),
        };
        Request { signal, protobuf, json: json.into() }
    }
}

/// The specification's types read no `"NaN"` and no `"-Infinity"`, so each
/// passes through them as a number that no fixture has otherwise.
fn metrics(json: &str) -> ExportMetricsServiceRequest {
    let special = [("NaN", 1e301, f64::NAN), ("-Infinity", 2e301, f64::NEG_INFINITY)];
    let mut json = json.to_owned();
    for (text, number, _) in special {
        json = json
            .replace(&format!("\"asDouble\": \"{text}\""), &format!("\"asDouble\": {number:e}"));
    }
    let request = serde_json::from_str::<ExportMetricsServiceRequest>(&json);
    let mut request = request.expect("the request is OTLP/JSON");
    let scopes = request.resource_metrics.iter_mut().flat_map(|of| &mut of.scope_metrics);
    for metric in scopes.flat_map(|of| &mut of.metrics) {
        let Some(metric::Data::Gauge(gauge)) = &mut metric.data else { continue };
        for point in &mut gauge.data_points {
            let Some(Value::AsDouble(value)) = &mut point.value else { continue };
            if let Some((_, _, meant)) = special.iter().find(|(_, number, _)| number == value) {
                *value = *meant;
            }
        }
    }
    request
}

/// What an answer means to the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Durable and visible, all of it.
    Acked,
    /// Not taken; the sender tries again, after the pause that was asked for.
    Refused { status: u16, retry_after: Option<Duration> },
    /// Not taken and never sent again: a loss, if the request was sound.
    Rejected(String),
    /// Either: the connection broke or nothing came in time.
    Unknown(String),
}

/// Sends one request uncompressed.
pub async fn send(
    client: &Client,
    ports: &Ports,
    encoding: Encoding,
    request: &Request,
) -> Outcome {
    let path = request.signal.name();
    let http = format!("http://{}/v1/{path}", ports.otlp_http);
    let answer = match encoding {
        Encoding::HttpProtobuf => {
            let kind = [("content-type", "application/x-protobuf")];
            client.post(&http, &kind, request.protobuf.clone()).await
        }
        Encoding::HttpJson => {
            let kind = [("content-type", "application/json")];
            client.post(&http, &kind, request.json.clone()).await
        }
        Encoding::Grpc => {
            let service = request.signal.method();
            let path = format!("opentelemetry.proto.collector.{service}/Export");
            client.grpc(&format!("http://{}/{path}", ports.otlp_grpc), &request.protobuf).await
        }
    };
    match answer {
        Err(e) => Outcome::Unknown(format!("{e:#}")),
        Ok(answer) if encoding == Encoding::Grpc => grpc_outcome(&answer),
        Ok(answer) => http_outcome(&answer, encoding),
    }
}

fn http_outcome(answer: &Answer, encoding: Encoding) -> Outcome {
    let empty: &[u8] = if encoding == Encoding::HttpJson { b"{}" } else { b"" };
    match answer.status {
        200 if &answer.body[..] == empty => Outcome::Acked,
        status @ (429 | 502 | 503 | 504) => {
            let after = answer.header("retry-after").and_then(|text| text.parse().ok());
            Outcome::Refused { status, retry_after: after.map(Duration::from_secs) }
        }
        status => Outcome::Rejected(format!("{status}: {}", answer.text())),
    }
}

fn grpc_outcome(answer: &Answer) -> Outcome {
    // cancelled, deadline exceeded, aborted, out of range, unavailable, data loss
    match answer.grpc_status() {
        Some(0) if answer.body[..] == [0; 5] => Outcome::Acked,
        Some(status @ (1 | 4 | 10 | 11 | 14 | 15)) => {
            let told = answer.trailers.contains_key("grpc-status-details-bin")
                || answer.headers.contains_key("grpc-status-details-bin");
            Outcome::Refused { status, retry_after: told.then_some(Duration::from_secs(1)) }
        }
        Some(status) => Outcome::Rejected(format!("grpc-status {status}: {:?}", answer.trailers)),
        None => Outcome::Unknown(format!("{}: no grpc-status", answer.status)),
    }
}

impl Daemon {
    /// Sends and insists on the ack.
    pub async fn ack(&self, encoding: Encoding, request: &Request) {
        let outcome = send(&self.client, &self.ports, encoding, request).await;
        assert_eq!(outcome, Outcome::Acked, "{encoding:?} {:?}", request.signal);
    }
}
