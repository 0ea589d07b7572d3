//! Content types: how a body says what it is.

use http::HeaderValue;

use crate::decode::Encoding;

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

/// The encoding a content type names; parameters and case do not count (H10).
pub(crate) fn encoding(value: &HeaderValue) -> Option<Encoding> {
    match essence(value)?.as_str() {
        PROTOBUF => Some(Encoding::Protobuf),
        JSON => Some(Encoding::Json),
        _ => None,
    }
}

/// The type without its parameters, in lower case.
pub(crate) fn essence(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let essence = text.split_once(';').map_or(text, |(essence, _)| essence);
    Some(essence.trim().to_ascii_lowercase())
}

pub(crate) fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Json => JSON,
    }
}
