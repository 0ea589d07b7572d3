//! The table of OTLP/HTTP codes: what a sender should do, as a status that
//! makes every SDK do it (H15 to H17).

use std::time::Duration;

use http::StatusCode;
use schema::ErrorKind;
use tonic::Code;

use super::reply::Fault;
use crate::export::Failure;

/// 503 is the one status that every SDK repeats: Python does not repeat 429,
/// and 500 loses the data of all others.
fn code(kind: ErrorKind) -> (StatusCode, Code) {
    match kind {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
        ErrorKind::Throttled
        | ErrorKind::Unavailable
        | ErrorKind::Cancelled
        | ErrorKind::Corrupt => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        ErrorKind::DeadlineExceeded => (StatusCode::SERVICE_UNAVAILABLE, Code::DeadlineExceeded),
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
        ErrorKind::Denied => (StatusCode::FORBIDDEN, Code::PermissionDenied),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, Code::NotFound),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
    }
}

pub(super) fn fault(failure: Failure) -> Fault {
    let refusal = failure.refusal;
    if failure.reason == "slow_body" {
        let (status, code) = (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded);
        return Fault::new(status, code, refusal.message, failure.reason);
    }
    let (status, code) = code(refusal.kind);
    let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE)
        .then(|| refusal.retry_after.unwrap_or(Duration::from_secs(1)));
    Fault { retry_after, ..Fault::new(status, code, refusal.message, failure.reason) }
}
