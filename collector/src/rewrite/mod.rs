//! Recorded requests, looked into and moved in time without decoding them: for
//! `cloudsail replay`, which must not know OTLP itself.
//!
//! | file | what it knows |
//! | --- | --- |
//! | [`protobuf`] | where the timestamps lie in the messages; they have a fixed width, so they are patched in place |
//! | [`json`] | the same for OTLP/JSON, as text, so that nothing else changes |
//!
//! A timestamp of zero means "not known" and stays zero.

pub mod json;
pub mod protobuf;

use schema::Signal;

/// How a recorded request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Protobuf,
    Json,
}

/// What a request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peek {
    /// Spans, log records or data points.
    pub items: u64,
    /// The earliest and the latest item, nanoseconds since 1970; a span counts
    /// by its end, because that is when it is exported.
    pub first_time: Option<u64>,
    pub last_time: Option<u64>,
}

impl Peek {
    fn item(&mut self, time: u64) {
        self.items += 1;
        if time != 0 {
            self.first_time = Some(self.first_time.map_or(time, |first| first.min(time)));
            self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
        }
    }
}

/// A recorded request, or an answer to one, that is not OTLP.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not an OTLP {signal} request: {cause}")]
    Request { signal: Signal, cause: String },
    #[error("not an OTLP answer: {0}")]
    Answer(String),
}

impl Error {
    fn new(signal: Signal, cause: impl ToString) -> Error {
        Error::Request { signal, cause: cause.to_string() }
    }
}

/// Counts a request's items and finds their extent in time.
pub fn peek(signal: Signal, encoding: Encoding, body: &[u8]) -> Result<Peek, Error> {
    match encoding {
        Encoding::Protobuf => protobuf::peek(signal, body),
        Encoding::Json => json::peek(signal, body),
    }
}

/// Moves every timestamp of a request by `delta_ns`, within what 64 bits hold.
pub fn shift(
    signal: Signal,
    encoding: Encoding,
    body: Vec<u8>,
    delta_ns: i64,
) -> Result<Vec<u8>, Error> {
    match encoding {
        Encoding::Protobuf => protobuf::shift(signal, body, delta_ns),
        Encoding::Json => Ok(json::shift(&body, delta_ns)),
    }
}

/// Items rejected, and why, as an answer's `partial_success` says; `None` when
/// everything was taken.
pub fn partial_success(encoding: Encoding, body: &[u8]) -> Result<Option<(u64, String)>, Error> {
    match encoding {
        Encoding::Protobuf => protobuf::partial_success(body),
        Encoding::Json => json::partial_success(body),
    }
}

fn moved(time: u64, delta_ns: i64) -> u64 {
    if time == 0 { 0 } else { time.saturating_add_signed(delta_ns) }
}

#[cfg(test)]
mod tests;
