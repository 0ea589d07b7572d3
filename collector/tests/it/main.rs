//! The receivers as senders meet them: over real sockets on loopback, in front
//! of a sink that records or refuses. One file per part of the OTLP contract;
//! every test carries the number of the line it holds.

#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

mod decode_examples;
mod decode_fuzz;
mod decode_generate;
mod decode_json;
mod decode_logs;
mod decode_metrics;
mod decode_points;
mod decode_requests;
mod decode_same;
mod decode_spans;
mod decode_support;
mod decode_values;
mod decode_write;
mod grpc_answers;
mod grpc_connections;
mod grpc_overload;
mod http_answers;
mod http_bodies;
mod http_connections;
mod http_cors;
mod http_overload;
