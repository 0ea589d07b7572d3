//! Kind and status by name, and what counts as an error.

use std::borrow::Cow;

use super::super::model::{KeyValue, Span, Value};

const SERVER: i32 = 2;
const UNSET: i32 = 0;
const ERROR: i32 = 2;

/// An unknown number is kept as its digits (D9).
pub(super) fn kind(kind: i32) -> Cow<'static, str> {
    let name = match kind {
        0 => "UNSPECIFIED",
        1 => "INTERNAL",
        SERVER => "SERVER",
        3 => "CLIENT",
        4 => "PRODUCER",
        5 => "CONSUMER",
        unknown => return unknown.to_string().into(),
    };
    name.into()
}

pub(super) fn code(code: i32) -> Cow<'static, str> {
    let name = match code {
        UNSET => "UNSET",
        1 => "OK",
        ERROR => "ERROR",
        unknown => return unknown.to_string().into(),
    };
    name.into()
}

/// Whether a span failed: its status says so; or its status says nothing and
/// its attributes do, by an HTTP status of 500 to 599 or a gRPC code that means
/// failure. To a server only the codes that the semantic conventions blame on
/// it are failures (2 unknown, 4 deadline exceeded, 12 unimplemented,
/// 13 internal, 14 unavailable, 15 data loss); to everyone else all but 0 are.
/// A status OK was set by a human or a convention and overrules attributes.
pub(super) fn is_error(span: &Span<'_>) -> bool {
    if span.status_code != UNSET {
        return span.status_code == ERROR;
    }
    let http = number(&span.attributes, "http.response.status_code")
        .or_else(|| number(&span.attributes, "http.status_code"));
    if http.is_some_and(|code| (500..600).contains(&code)) {
        return true;
    }
    match number(&span.attributes, "rpc.grpc.status_code") {
        None | Some(0) => false,
        Some(code) if span.kind == SERVER => matches!(code, 2 | 4 | 12..=15),
        Some(_) => true,
    }
}

/// The last value of a key as an integer; old instrumentation sends digits.
fn number(attributes: &[KeyValue<'_>], key: &str) -> Option<i64> {
    let pair = attributes.iter().rev().find(|pair| pair.key == key)?;
    match &pair.value {
        Value::Int(number) => Some(*number),
        Value::Text(digits) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(
        status: i32,
        kind: i32,
        attributes: &[(&'static str, Value<'static>)],
    ) -> Span<'static> {
        let pair = |(key, value): &(&'static str, Value<'static>)| KeyValue {
            key: (*key).into(),
            value: value.clone(),
        };
        let attributes = attributes.iter().map(pair).collect();
        Span { status_code: status, kind, attributes, ..Span::default() }
    }

    /// Scenario: spans with every mixture of status and telling attributes.
    /// Guarantees: `is_error` follows its documented rule.
    #[test]
    fn errors_are_told_by_status_then_by_attributes() {
        let http = |code| [("http.response.status_code", Value::Int(code))];
        let grpc = |code| [("rpc.grpc.status_code", Value::Int(code))];
        assert!(is_error(&span(2, 3, &[])));
        assert!(!is_error(&span(0, 3, &[])));
        assert!(!is_error(&span(7, 3, &http(500))));
        assert!(!is_error(&span(1, 2, &http(503))));
        for (code, expected) in [(200, false), (404, false), (500, true), (599, true), (600, false)]
        {
            assert_eq!(is_error(&span(0, 2, &http(code))), expected, "{code}");
        }
        let old = ("http.status_code", Value::Text("502".into()));
        assert!(is_error(&span(0, 2, std::slice::from_ref(&old))));
        assert!(!is_error(&span(0, 2, &[old, http(200)[0].clone()])));
        for code in 0..=16 {
            let to_server = matches!(code, 2 | 4 | 12 | 13 | 14 | 15);
            assert_eq!(is_error(&span(0, 2, &grpc(code))), to_server, "server {code}");
            assert_eq!(is_error(&span(0, 3, &grpc(code))), code != 0, "client {code}");
        }
    }
}
