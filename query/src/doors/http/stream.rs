//! The body of an answer, encoded as fast as the client reads it.

use std::io;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::{StreamExt, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::render::{Encoder, Format, Options};
use crate::{Answer, Error, Rows, Stats};

/// Bytes of a JSON document that are held back before the status is sent, so
/// that most failures still have a status of their own.
const HEAD_JSON: usize = 4 << 20;

const QUERY_ID: HeaderName = HeaderName::from_static("x-query-id");
const COMPLETE: HeaderName = HeaderName::from_static("x-cloudsail-complete");

/// Starts the answer: everything up to its first rows can still fail with a
/// status; after that a failure is told in the body, or by breaking it off.
pub(super) async fn respond(
    answer: Answer,
    format: Format,
    options: Options,
) -> Result<Response, Error> {
    let Answer { id, schema, rows, stats } = answer;
    let mut writer = Writer { encoder: Encoder::new(format, schema, options)?, rows, stats };
    let mut head = Vec::new();
    writer.encoder.head(&mut head);
    let held_back = if format == Format::Json { HEAD_JSON } else { 1 };
    let start = head.len();
    let mut more = true;
    while more && head.len() < start + held_back {
        more = writer.chunk(&mut head).await?;
    }
    // Which snapshots were seen is settled by planning.
    let complete = writer.stats.summary().complete();
    let head = stream::iter([Ok(Bytes::from(head))]);
    let body = match more {
        true => Body::from_stream(head.chain(rest(writer))),
        false => Body::from_stream(head),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media(format)));
    headers.insert(QUERY_ID, HeaderValue::from(id));
    headers.insert(COMPLETE, HeaderValue::from_static(if complete { "true" } else { "false" }));
    Ok(response)
}

fn media(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
        Format::Csv => "text/csv; charset=utf-8",
        Format::Arrow => "application/vnd.apache.arrow.stream",
        Format::Table => "text/plain; charset=utf-8",
    }
}

struct Writer {
    encoder: Encoder,
    rows: Rows,
    stats: Stats,
}

impl Writer {
    /// Appends the next batch, or the end; false after the end.
    async fn chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        match self.rows.next().await {
            Some(batch) => {
                self.encoder.rows(&batch?, out)?;
                Ok(true)
            }
            None => {
                self.encoder.tail(&self.stats.summary(), out)?;
                Ok(false)
            }
        }
    }
}

/// Pulled by the connection: a client that does not read stops the scan, and
/// one that goes away drops this, and with it the statement.
fn rest(writer: Writer) -> impl futures::Stream<Item = Result<Bytes, io::Error>> {
    stream::unfold(Some(writer), |writer| async move {
        let mut writer = writer?;
        let mut out = Vec::new();
        match writer.chunk(&mut out).await {
            Ok(true) => Some((Ok(Bytes::from(out)), Some(writer))),
            Ok(false) => Some((Ok(Bytes::from(out)), None)),
            Err(error) => {
                let mut out = Vec::new();
                let told = writer.encoder.broken(&error, &mut out);
                let last = if told { Ok(Bytes::from(out)) } else { Err(io::Error::other(error)) };
                Some((last, None))
            }
        }
    })
}
