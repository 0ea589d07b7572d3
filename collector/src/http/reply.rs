//! Answers as bytes: successes in the request's encoding, everything else a
//! `google.rpc.Status` (H2 to H7, H24).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use schema::Signal;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

use crate::connection::Rejection;
use crate::decode::Encoding;
use crate::export::Stored;
use crate::{media, partial};

/// An answer that is not a success.
#[derive(Debug)]
pub(super) struct Fault {
    pub status: StatusCode,
    pub code: Code,
    pub message: String,
    /// For the metric.
    pub reason: &'static str,
    pub retry_after: Option<Duration>,
    pub header: Option<(&'static str, &'static str)>,
}

impl Fault {
    pub(super) fn new(
        status: StatusCode,
        code: Code,
        message: impl Into<String>,
        reason: &'static str,
    ) -> Fault {
        let message = partial::cut(message.into());
        Fault { status, code, message, reason, retry_after: None, header: None }
    }

    pub(super) fn with(self, name: &'static str, value: &'static str) -> Fault {
        Fault { header: Some((name, value)), ..self }
    }
}

pub(super) fn stored(encoding: Encoding, signal: Signal, stored: Stored) -> Response<Full<Bytes>> {
    let body = partial::response(encoding, signal, stored);
    response(StatusCode::OK, media::name(encoding), body)
}

pub(super) fn fault(encoding: Encoding, fault: Fault) -> Response<Full<Bytes>> {
    let body = status(encoding, fault.code, &fault.message, fault.retry_after);
    let mut response = response(fault.status, media::name(encoding), body);
    let headers = response.headers_mut();
    if let Some(after) = fault.retry_after {
        // Whole seconds, never a date: older senders parse only those (H15).
        let seconds = after.as_secs_f64().ceil().clamp(1.0, 3.0) as u64;
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some((name, value)) = fault.header {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The answer to a browser's question; the origin's headers come after it.
pub(super) fn preflight(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    secure(&mut response);
    response
}

/// The bytes of the answer to a head that never became a request.
pub(crate) fn rejection(rejection: &Rejection) -> Vec<u8> {
    let code = match rejection.status {
        StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::ResourceExhausted,
        _ => Code::InvalidArgument,
    };
    let body = status(rejection.encoding, code, rejection.message, None);
    let length = body.len();
    let response = response(rejection.status, media::name(rejection.encoding), Vec::new());
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(format!("connection: close\r\ncontent-length: {length}\r\n\r\n").into_bytes());
    bytes.extend(body);
    bytes
}

/// A `google.rpc.Status`, with what the sender should change or when it should
/// come back.
fn status(encoding: Encoding, code: Code, message: &str, retry_after: Option<Duration>) -> Vec<u8> {
    let invalid = code == Code::InvalidArgument;
    match encoding {
        Encoding::Protobuf => {
            let mut details = ErrorDetails::new();
            if invalid {
                details.add_bad_request_violation("body", message);
            }
            if retry_after.is_some() {
                details.set_retry_info(retry_after);
            }
            tonic::Status::with_error_details(code, message, details).details().to_vec()
        }
        Encoding::Json => {
            let mut details = Vec::<Value>::new();
            if invalid {
                details.push(json!({
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": "body", "description": message}],
                }));
            }
            if let Some(after) = retry_after {
                details.push(json!({
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{:.3}s", after.as_secs_f64()),
                }));
            }
            let mut status = json!({"code": code as i32, "message": message});
            if !details.is_empty() {
                status["details"] = details.into();
            }
            status.to_string().into()
        }
    }
}

fn response(status: StatusCode, media: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    secure(&mut response);
    response
}

fn secure(response: &mut Response<Full<Bytes>>) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
