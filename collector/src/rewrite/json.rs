//! Timestamps in OTLP/JSON requests.

use schema::Signal;
use serde::Deserialize;
use serde_json::Value;

use super::{Error, Peek, moved};

/// Keys whose values are nanoseconds since 1970. Attribute names never are
/// keys in OTLP/JSON (they are values of `key`), so these mean what they say.
const TIMES: [&[u8]; 4] =
    [b"timeUnixNano", b"startTimeUnixNano", b"endTimeUnixNano", b"observedTimeUnixNano"];

/// Which signal a request is of, by its one top-level key.
pub fn signal(body: &[u8]) -> Option<Signal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Top {
        resource_spans: Option<serde::de::IgnoredAny>,
        resource_logs: Option<serde::de::IgnoredAny>,
        resource_metrics: Option<serde::de::IgnoredAny>,
    }
    let top: Top = serde_json::from_slice(body).ok()?;
    let found = [
        (top.resource_spans, Signal::Traces),
        (top.resource_logs, Signal::Logs),
        (top.resource_metrics, Signal::Metrics),
    ];
    found.into_iter().find_map(|(there, signal)| there.map(|_| signal))
}

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "resourceSpans", alias = "resourceLogs", alias = "resourceMetrics")]
    resources: Option<Vec<Resource>>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(alias = "scopeSpans", alias = "scopeLogs", alias = "scopeMetrics")]
    scopes: Option<Vec<Scope>>,
}

#[derive(Deserialize)]
struct Scope {
    #[serde(alias = "spans", alias = "logRecords")]
    items: Option<Vec<Item>>,
    metrics: Option<Vec<Metric>>,
}

#[derive(Deserialize)]
struct Metric {
    #[serde(
        alias = "gauge",
        alias = "sum",
        alias = "histogram",
        alias = "exponentialHistogram",
        alias = "summary"
    )]
    data: Option<Points>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Points {
    data_points: Option<Vec<Item>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    end_time_unix_nano: Option<Value>,
    time_unix_nano: Option<Value>,
    start_time_unix_nano: Option<Value>,
    observed_time_unix_nano: Option<Value>,
}

impl Item {
    fn time(&self) -> u64 {
        [
            &self.end_time_unix_nano,
            &self.time_unix_nano,
            &self.start_time_unix_nano,
            &self.observed_time_unix_nano,
        ]
        .into_iter()
        .flatten()
        .filter_map(|value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        })
        .find(|time| *time != 0)
        .unwrap_or(0)
    }
}

pub fn peek(signal: Signal, body: &[u8]) -> Result<Peek, Error> {
    let request: Request =
        serde_json::from_slice(body).map_err(|error| Error::new(signal, error))?;
    let mut peek = Peek::default();
    let resources = request.resources.into_iter().flatten();
    for scope in resources.flat_map(|resource| resource.scopes.unwrap_or_default()) {
        let points = scope.metrics.into_iter().flatten().filter_map(|metric| metric.data);
        let points = points.flat_map(|points| points.data_points.unwrap_or_default());
        for item in scope.items.into_iter().flatten().chain(points) {
            peek.item(item.time());
        }
    }
    Ok(peek)
}

pub fn partial_success(body: &[u8]) -> Result<Option<(u64, String)>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        partial_success: Option<Partial>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Partial {
        #[serde(
            alias = "rejectedSpans",
            alias = "rejectedLogRecords",
            alias = "rejectedDataPoints"
        )]
        rejected: Option<Value>,
        error_message: Option<String>,
    }
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| Error::Answer(error.to_string()))?;
    let told = |partial: Partial| {
        let rejected = match partial.rejected {
            Some(Value::String(text)) => text.parse().unwrap_or(0),
            Some(other) => other.as_u64().unwrap_or(0),
            None => 0,
        };
        (rejected, partial.error_message.unwrap_or_default())
    };
    Ok(answer.partial_success.map(told))
}

/// Rewrites the digits after each time key and copies everything else, so that
/// no number elsewhere passes through a float.
pub fn shift(body: &[u8], delta_ns: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut at = 0;
    while let Some(opening) = body.get(at..).and_then(|rest| rest.iter().position(|b| *b == b'"')) {
        let begin = at + opening + 1;
        let end = closing_quote(body, begin);
        let name = body.get(begin..end).unwrap_or_default();
        let after = (end + 1).min(body.len());
        out.extend_from_slice(&body[at..after]);
        at = after;
        if TIMES.contains(&name) {
            at += shift_value(&body[at..], delta_ns, &mut out);
        }
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    out
}

/// The end of the string that begins at `from`.
fn closing_quote(body: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    body.len()
}

/// Copies `: "123` or `: 123` with the number moved; returns the bytes read.
/// Anything else (a string value that looks like the key, say) is left alone.
fn shift_value(rest: &[u8], delta_ns: i64, out: &mut Vec<u8>) -> usize {
    let blank = |from: usize| {
        let count = rest.get(from..).unwrap_or_default().iter();
        from + count.take_while(|byte| byte.is_ascii_whitespace()).count()
    };
    let colon = blank(0);
    if rest.get(colon) != Some(&b':') {
        return 0;
    }
    let mut digits = blank(colon + 1);
    let quoted = rest.get(digits) == Some(&b'"');
    digits += usize::from(quoted);
    let count = rest.get(digits..).unwrap_or_default().iter();
    let end = digits + count.take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&rest[digits..end]).ok().and_then(|text| text.parse().ok());
    let Some(time) = number else { return 0 };
    out.extend_from_slice(&rest[..digits]);
    out.extend_from_slice(moved(time, delta_ns).to_string().as_bytes());
    if quoted && rest.get(end) == Some(&b'"') {
        // Read here, or it would be taken for the beginning of the next string.
        out.push(b'"');
        return end + 1;
    }
    end
}
