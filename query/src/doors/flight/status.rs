//! Error kinds as gRPC codes: the only place that knows both.

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use datafusion::common::DataFusionError;
use schema::ErrorKind;
use tonic::{Code, Status};

use crate::Error;

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        // The same statement fails again: it has to ask for less.
        ErrorKind::TooLarge => Code::ResourceExhausted,
        // What clients repeat by themselves is UNAVAILABLE.
        ErrorKind::Throttled | ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The message is all that clients show, so place and hint are part of it.
impl From<Error> for Status {
    fn from(error: Error) -> Status {
        let mut message = error.to_string();
        if let Some(place) = error.position() {
            message.push_str(&format!(" (line {}, column {})", place.line, place.column));
        }
        if let Some(hint) = error.hint() {
            message.push_str(&format!("\nhint: {hint}"));
        }
        Status::new(code(error.kind()), message)
    }
}

/// What was built here and does not encode.
pub(super) fn unencoded(error: ArrowError) -> Status {
    Error::from(DataFusionError::from(error)).into()
}

/// What a client sent and does not decode; a stream's own end is passed on.
pub(super) fn undecoded(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Error::invalid(format!("the parameters cannot be read: {other}")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    /// Scenario: an error with a place and a hint.
    /// Guarantees: a client that shows the message shows what to do.
    #[test]
    fn the_message_has_place_and_hint() {
        let place = Place { line: 1, column: 8 };
        let error = Error::invalid("there is no column x").with_hint("did you mean y?");
        let status = Status::from(error.at(Some(place)));
        assert_eq!(status.code(), Code::InvalidArgument);
        let message = "there is no column x (line 1, column 8)\nhint: did you mean y?";
        assert_eq!(status.message(), message);
    }
}
