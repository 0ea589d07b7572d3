//! Who is asked: a daemon over HTTP, or an engine in this process that reads a
//! store.

use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use arrow::ipc::reader::StreamReader;
use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Response, StatusCode};
use prometheus_client::registry::Registry;
use query::{Engine, Query, render};
use schema::Tenant;
use storage::Reader;
use tokio::sync::mpsc;

use super::output::{Copy, Output, Unread, Wish};
use super::progress::Progress;
use crate::cli::{Format, Usage};
use crate::client::{Client, accepted, said};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::wiring;

const ARROW: &str = "application/vnd.apache.arrow.stream";
const COMPLETE: &str = "x-cloudsail-complete";

/// The end of a JSON answer whose rows broke off after the status was sent.
/// Rows cannot hold it: line breaks inside of values are escaped.
const BROKEN: &[u8] = b"],\n\"error\":";

pub enum Target {
    Server(Box<Client>),
    Store { engine: Arc<Engine>, tenant: Tenant, _spill: Spill },
}

/// How a question ended, if not in an error.
pub enum Asked {
    /// With this many rows, where they were counted.
    Answered(Option<u64>),
    Cancelled,
    Unread,
}

impl Target {
    /// `flag` is named when `url` cannot be a server's.
    pub fn server(url: &str, flag: &str) -> Result<Target, Usage> {
        Ok(Target::Server(Box::new(Client::new(url, flag)?)))
    }

    pub async fn open(config: &Config, tenant: &str) -> Result<Target> {
        let tenant = Tenant::new(tenant).map_err(|error| Usage(format!("--tenant: {error}")))?;
        let store = wiring::open_existing(config).await?;
        let reader = Reader::open(store, Arc::new(config.catalog()), tenant.clone()).await?;
        let spill = Spill::new();
        let settings = query::Settings::under(&spill.0);
        let mut registry = Registry::default();
        let (source, clock) = (Arc::new(reader), Arc::new(SystemClock));
        let engine = Engine::new(source, settings, clock, Default::default(), &mut registry)?;
        Ok(Target::Store { engine, tenant, _spill: spill })
    }

    /// Asks and prints the answer. Ctrl-C cancels the question, here and there.
    pub async fn ask(&self, sql: &str, wish: &Wish) -> Result<Asked> {
        let progress = Progress::new();
        let asked = match self {
            Target::Server(client) => ask_server(client, sql, wish, &progress).await,
            Target::Store { engine, tenant, .. } => {
                tokio::select! {
                    answered = ask_engine(engine, tenant, sql, wish, &progress) => answered,
                    interrupted = tokio::signal::ctrl_c() => {
                        interrupted.map(|()| Asked::Cancelled).map_err(Into::into)
                    }
                }
            }
        };
        progress.over();
        match asked {
            Err(error) if error.is::<Unread>() => Ok(Asked::Unread),
            other => other,
        }
    }

    /// The tables as `GET /api/v1/tables` shows them.
    pub async fn tables(&self) -> Result<serde_json::Value> {
        match self {
            Target::Server(client) => {
                client.json(Method::GET, "/api/v1/tables", Bytes::new()).await
            }
            Target::Store { engine, tenant, .. } => {
                let tables = engine.tables(tenant).map_err(in_words)?;
                Ok(serde_json::json!({ "tables": tables }))
            }
        }
    }

    /// The first column of a statement's rows, as text.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let document = match self {
            Target::Server(client) => {
                let body = Bytes::from(serde_json::json!({ "query": sql }).to_string());
                client.json(Method::POST, "/api/v1/sql", body).await?
            }
            Target::Store { engine, tenant, .. } => {
                let query = Query { tenant: tenant.clone(), ..Query::new(sql, "cli") };
                let answer = engine.run(query).await.map_err(in_words)?;
                let (mut out, options) = (Vec::new(), render::Options::default());
                let written = render::write(answer, render::Format::Json, options, &mut out).await;
                written.map_err(in_words)?;
                serde_json::from_slice(&out).context("the answer is not JSON")?
            }
        };
        let rows = document.get("rows").and_then(|rows| rows.as_array());
        let first = |row: &serde_json::Value| Some(row.get(0)?.as_str()?.to_owned());
        Ok(rows.into_iter().flatten().filter_map(first).collect())
    }

    pub fn name(&self) -> String {
        match self {
            Target::Server(client) => client.base().to_owned(),
            Target::Store { tenant, .. } => format!("a store's committed rows, tenant {tenant}"),
        }
    }
}

/// An engine's error, as the HTTP door would tell it.
fn in_words(error: query::Error) -> anyhow::Error {
    let document = render::error_document(&error).to_string();
    anyhow!(said(StatusCode::INTERNAL_SERVER_ERROR, document.as_bytes()))
}

async fn ask_engine(
    engine: &Engine,
    tenant: &Tenant,
    sql: &str,
    wish: &Wish,
    progress: &Progress,
) -> Result<Asked> {
    let query = Query { tenant: tenant.clone(), ..Query::new(sql, "cli") };
    let mut answer = engine.run(query).await.map_err(in_words)?;
    let mut output = Output::new(wish, answer.schema.clone(), Instant::now(), progress)?;
    let stats = answer.stats.clone();
    let mut showing = pin!(progress.of(&stats));
    loop {
        let batch = tokio::select! {
            batch = answer.rows.next() => batch,
            never = &mut showing => match never {},
        };
        let Some(batch) = batch else { break };
        output.rows(&batch.map_err(in_words)?)?;
    }
    Ok(Asked::Answered(Some(output.finish(Some(stats.summary()), true)?)))
}

async fn ask_server(client: &Client, sql: &str, wish: &Wish, progress: &Progress) -> Result<Asked> {
    let mut showing = pin!(progress.at(client, sql));
    let started = Instant::now();
    let body = Bytes::from(serde_json::json!({ "query": sql }).to_string());
    // JSON carries the engine's statistics; the other forms are made here.
    let accept = if wish.format == Format::Json { "application/json" } else { ARROW };
    let headers = [(CONTENT_TYPE, "application/json"), (ACCEPT, accept)];
    let sent = client.send(Method::POST, "/api/v1/sql", &headers, body);
    let answer = tokio::select! {
        answer = sent => accepted(answer?).await?,
        never = &mut showing => match never {},
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            return Ok(Asked::Cancelled);
        }
    };
    let complete = answer.headers().get(COMPLETE).is_none_or(|value| value != "false");
    let (chunks, received) = mpsc::channel(4);
    let (asked, line) = (wish.clone(), progress.clone());
    let printing = tokio::task::spawn_blocking(move || match asked.format {
        Format::Json => pass_on(received, Copy::new(&asked, &line)?).map(|()| None),
        _ => decode(Received::new(received), &asked, started, complete, &line).map(Some),
    });
    let cancelled = tokio::select! {
        () = forward(answer, chunks) => false,
        never = &mut showing => match never {},
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            true
        }
    };
    // With the sender gone the printer ends, at the latest with its next read.
    let printed = printing.await.context("printing the answer broke off")?;
    if cancelled {
        return Ok(Asked::Cancelled);
    }
    printed.map(Asked::Answered)
}

type Chunk = io::Result<Bytes>;

/// The body's bytes, as fast as they are printed. Dropping the body tells the
/// server that nobody waits any more.
async fn forward(mut answer: Response<Incoming>, chunks: mpsc::Sender<Chunk>) {
    while let Some(frame) = answer.body_mut().frame().await {
        let chunk = match frame {
            Ok(frame) => match frame.into_data() {
                Ok(bytes) => Ok(bytes),
                Err(_) => continue,
            },
            Err(error) => Err(io::Error::other(error)),
        };
        if chunks.send(chunk).await.is_err() {
            return;
        }
    }
}

fn broke_off() -> anyhow::Error {
    anyhow!("the answer broke off; the daemon's log and system.queries say why")
}

fn pass_on(mut received: mpsc::Receiver<Chunk>, mut out: Copy) -> Result<()> {
    let mut end: Vec<u8> = Vec::new();
    while let Some(chunk) = received.blocking_recv() {
        let chunk = chunk.map_err(|_| broke_off())?;
        out.bytes(&chunk)?;
        end.extend_from_slice(&chunk);
        let surplus = end.len().saturating_sub(16 << 10);
        end.drain(..surplus);
    }
    if end.windows(BROKEN.len()).any(|window| window == BROKEN) {
        return Err(broke_off());
    }
    Ok(())
}

fn decode(
    received: Received,
    wish: &Wish,
    started: Instant,
    complete: bool,
    progress: &Progress,
) -> Result<u64> {
    let reader =
        StreamReader::try_new(received, None).context("the server did not answer Arrow")?;
    let mut output = Output::new(wish, reader.schema(), started, progress)?;
    for batch in reader {
        output.rows(&batch.map_err(|_| broke_off())?)?;
    }
    output.finish(None, complete)
}

/// Chunks as a reader, for a thread that may block.
struct Received {
    chunks: mpsc::Receiver<Chunk>,
    current: Bytes,
}

impl Received {
    fn new(chunks: mpsc::Receiver<Chunk>) -> Received {
        Received { chunks, current: Bytes::new() }
    }
}

impl Read for Received {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(out.len());
        self.current.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

/// A folder of this process for what does not fit into memory; made by the
/// engine, removed here.
pub struct Spill(PathBuf);

impl Spill {
    fn new() -> Spill {
        Spill(std::env::temp_dir().join(format!("cloudsail-sql-{}", std::process::id())))
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, dir = %self.0.display(), "could not remove the spill folder");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(chunks: Vec<Chunk>) -> mpsc::Receiver<Chunk> {
        let (sender, receiver) = mpsc::channel(chunks.len().max(1));
        chunks.into_iter().for_each(|chunk| sender.try_send(chunk).unwrap());
        receiver
    }

    /// Scenario: bytes come in chunks of any size, then the connection breaks.
    /// Guarantees: they are read in order, and the break is an error, not an end.
    #[test]
    fn a_broken_connection_is_not_the_end() {
        let chunks = vec![Ok("ab".into()), Ok(Bytes::new()), Ok("cde".into())];
        let mut text = String::new();
        Received::new(received(chunks)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcde");
        let chunks = vec![Ok("ab".into()), Err(io::Error::other("reset"))];
        assert!(Received::new(received(chunks)).read_to_string(&mut text).is_err());
    }
}
