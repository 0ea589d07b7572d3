//! Error kinds as status codes: the only place that knows both.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schema::ErrorKind;

use crate::{Error, render};

fn code(kind: ErrorKind) -> StatusCode {
    match kind {
        // The same statement fails again: it has to ask for less.
        ErrorKind::Invalid | ErrorKind::TooLarge => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::DeadlineExceeded | ErrorKind::Cancelled => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(super) fn refusal(error: &Error) -> Response {
    let mut response = (code(error.kind()), Json(render::error_document(error))).into_response();
    if matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
