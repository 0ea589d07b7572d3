//! An error in words for logs, reports and answers: what failed and why, and of
//! what a store has said only its code and its message. The rest of such a document
//! can name keys, tokens, signatures and requests, and a URL can carry them (S29).

use std::error::Error;

use serde_json::Value;

use super::address::shown;

/// An error and what caused it, each said once, fit to be shown.
pub fn told(error: &dyn Error) -> String {
    shortened(&chain(error))
}

/// The same with every word of the store, for what reads codes and statuses.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

/// A text without what a store's documents and URLs in it should not show.
pub fn shortened(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut left = text;
    while let Some((at, document)) = next_document(left) {
        short.push_str(left[..at].trim_end_matches('\u{feff}'));
        short.push_str(&document.said);
        left = &left[at + document.length..];
    }
    short.push_str(left);
    without_queries(&short)
}

struct Document {
    said: String,
    /// Bytes of the text that it takes; all the rest if it has no end.
    length: usize,
}

/// The first document in a text, and where it starts.
fn next_document(text: &str) -> Option<(usize, Document)> {
    let xml = ["<?xml", "<Error>"].iter().filter_map(|start| text.find(start)).min();
    let json = text.match_indices('{').find_map(|(at, _)| Some((at, json(&text[at..])?)));
    match (xml, json) {
        (Some(at), Some((before, document))) if before < at => Some((before, document)),
        (Some(at), _) => Some((at, self::xml(&text[at..]))),
        (None, json) => json,
    }
}

/// As S3, Azure and Google's XML API say it.
fn xml(text: &str) -> Document {
    const END: &str = "</Error>";
    let length = text.find(END).map_or(text.len(), |end| end + END.len());
    let of = |tag: &str| {
        let (_, rest) = text[..length].split_once(&format!("<{tag}>"))?;
        Some(message(rest.split_once(&format!("</{tag}>"))?.0))
    };
    let said: Vec<&str> = ["Code", "Message"].into_iter().filter_map(of).collect();
    Document { said: said.join(": "), length }
}

/// As Google's JSON API and the servers of tokens say it.
fn json(text: &str) -> Option<Document> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let error = value.get("error")?;
    let of = |value: &Value| Some(message(value.as_str()?).to_owned());
    let parts = match error {
        Value::Object(_) => [error.get("status"), error.get("message")],
        _ => [Some(error), value.get("error_description")],
    };
    let said: Vec<String> = parts.into_iter().flatten().filter_map(of).collect();
    Some(Document { said: said.join(": "), length: values.byte_offset() })
}

/// Azure ends its messages with the request's id and time, on lines of their own.
fn message(text: &str) -> &str {
    let end = text.find("RequestId:").unwrap_or(text.len());
    text[..end].trim()
}

/// Every URL without its query and its user.
fn without_queries(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut left = text;
    while let Some(colon) = left.find("://") {
        let scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let start = left[..colon].rfind(|c| !scheme(c)).map_or(0, |at| at + 1);
        let url = &left[start..];
        let end = url.find(|c: char| c.is_whitespace() || "\"'<>()`,;".contains(c));
        let end = end.unwrap_or(url.len());
        short.push_str(&left[..start]);
        short.push_str(&shown(&url[..end]));
        left = &url[end..];
    }
    short.push_str(left);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: errors as the four providers word them, whole and cut short, with
    /// keys, tokens, signatures and ids of requests in them; and texts without any.
    /// Guarantees: S29: what failed, code and message are told, and nothing else.
    #[test]
    fn sec_s29_a_servers_document_is_not_passed_on() {
        for (text, is) in [
            (
                "status code: 400: <?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code>\
                 <Message>The token has expired</Message><Token-0>secret</Token-0></Error>",
                "status code: 400: ExpiredToken: The token has expired",
            ),
            (
                "a: <Error><Code>SlowDown</Code><HostId>secret</HostId></Error>: tried 3 times",
                "a: SlowDown: tried 3 times",
            ),
            ("cut: <Error><Code>AccessDenied</Code><AWSAccessKeyId>sec", "cut: AccessDenied"),
            (
                "403: \u{feff}<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>\
                 Server failed to authenticate the request.\nRequestId:secret\nTime:2026</Message>\
                 <AuthenticationErrorDetail>secret</AuthenticationErrorDetail></Error>",
                "403: AuthenticationFailed: Server failed to authenticate the request.",
            ),
            (
                "401: {\"error\": {\"code\": 401, \"status\": \"UNAUTHENTICATED\", \"message\": \"no\", \
                 \"details\": [\"secret\"]}} after 1 try",
                "401: UNAUTHENTICATED: no after 1 try",
            ),
            (
                "{\"error\":\"invalid_grant\",\"error_description\":\"expired\",\"trace_id\":\"secret\"}",
                "invalid_grant: expired",
            ),
            (
                "sending (https://user:secret@host/b/k?X-Amz-Signature=secret), 5s",
                "sending (https://<redacted>@host/b/k?<redacted>), 5s",
            ),
            ("connection reset", "connection reset"),
            ("not JSON: {x} and {\"a\": 1}", "not JSON: {x} and {\"a\": 1}"),
            ("s3://bucket/prefix is away", "s3://bucket/prefix is away"),
        ] {
            assert_eq!(shortened(text), is);
        }
    }
}
