//! Answers as frames and trailers.

use std::future::ready;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use schema::{Refusal, Signal};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::codes::code;
use crate::compression::Compression;
use crate::decode::Encoding;
use crate::export::Stored;
use crate::partial;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// OK, with the response message.
pub(super) fn stored(signal: Signal, stored: Stored) -> Response<Body> {
    let message = partial::response(Encoding::Protobuf, signal, stored);
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    let ok = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(frame.freeze()).with_trailers(ready(Some(Ok(ok))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

/// What a refused sender can do is in the details: RetryInfo when coming back
/// helps, BadRequest when changing the request does (G7, G14).
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    let code = code(refusal.kind);
    let message = partial::cut(refusal.message);
    let mut details = ErrorDetails::new();
    if let Some(after) = refusal.retry_after {
        details.set_retry_info(Some(after));
    }
    if code == Code::InvalidArgument {
        details.add_bad_request_violation("body", message.as_str());
    }
    let details_needed = details.has_bad_request_violations() || details.retry_info().is_some();
    let status = match details_needed {
        true => Status::with_error_details(code, message, details),
        false => Status::new(code, message),
    };
    status.into_http()
}

pub(super) fn unimplemented(message: &str) -> Response<Body> {
    Status::unimplemented(message).into_http()
}

/// A compression we do not know, with those we do (G11).
pub(super) fn unknown_encoding() -> Response<Body> {
    let names = Compression::NAMES;
    let message = format!("the grpc-encoding is not one of {names}; use one of them, or none");
    let mut response = unimplemented(&message);
    let accepted = HeaderValue::from_static("identity,gzip,zstd,deflate");
    response.headers_mut().insert("grpc-accept-encoding", accepted);
    response
}

/// Something that is not a gRPC call (G13).
pub(super) fn not_grpc(status: StatusCode) -> Response<Body> {
    let hint = "this is OTLP/gRPC: send OTLP/HTTP to the OTLP/HTTP port (4318)\n";
    let mut response = Response::new(Body::new(Full::new(Bytes::from_static(hint.as_bytes()))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}
