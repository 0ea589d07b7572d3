//! The Postgres door over loopback, with the client of the Rust world and with
//! bytes by hand.
//!
//! | file | what is held |
//! | --- | --- |
//! | this | the door, connections |
//! | [`simple`] | several statements, transactions, settings |
//! | [`extended`] | values in both forms, parameters, portals, errors |
//! | [`cursors`] | cursors, COPY |
//! | [`cancel`] | what ends a statement: a cancel, a client that goes, time |
//! | [`catalogs`] | what clients ask of the catalogs |
//! | [`hostile`] | what is no protocol, or not all of it |

mod cancel;
mod catalogs;
mod cursors;
mod extended;
mod hostile;
mod simple;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use query::Settings;
use query::doors::postgres::{self, Authentication};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use super::ask::{Asker, asker_with};
use super::source::{TestSource, origin, span};

pub struct Door {
    pub address: SocketAddr,
    pub asker: Asker,
    pub stop: CancellationToken,
    pub server: JoinSet<usize>,
    connections: Mutex<JoinSet<()>>,
}

pub async fn door(source: &Arc<TestSource>) -> Door {
    door_with(source, |_| {}).await
}

pub async fn door_with(source: &Arc<TestSource>, change: impl FnOnce(&mut Settings)) -> Door {
    let asker = asker_with(source, change);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (engine, stop) = (asker.engine.clone(), CancellationToken::new());
    let serving = postgres::serve(
        listener,
        engine,
        Authentication::Trust,
        stop.clone(),
        Duration::from_millis(500),
    );
    let mut server = JoinSet::new();
    server.spawn(async move { serving.await.unwrap() });
    Door { address, asker, stop, server, connections: Mutex::default() }
}

impl Door {
    pub async fn connect(&self) -> Client {
        self.connect_with("").await.unwrap()
    }

    pub async fn connect_with(&self, more: &str) -> Result<Client, tokio_postgres::Error> {
        let (host, port) = (self.address.ip(), self.address.port());
        let config = format!("host={host} port={port} user=me dbname=cloudsail {more}");
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        self.connections.lock().spawn(async move { drop(connection.await) });
        Ok(client)
    }
}

/// Two spans, one of them in a file.
pub async fn two_spans() -> Arc<TestSource> {
    let source = TestSource::new();
    let one = json!({"span_id": "a", "is_error": true, "attributes": {"k": "v\"\n", "ä": "ö"}});
    source.commit("spans", origin(1, 1), &[span(0, one)]).await;
    source.hot("spans", &[span(1, json!({"span_id": "b", "duration_ns": 1_500_000}))]);
    source
}

/// The rows of a simple query, cells joined by `|`; NULL is `~`.
pub async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let messages =
        client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let cells = (0..row.len()).map(|index| row.get(index).unwrap_or("~"));
            Some(cells.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    rows.collect()
}

/// The SQLSTATE and the message of what a simple query fails with.
pub async fn refusal(client: &Client, sql: &str) -> (String, String) {
    match client.simple_query(sql).await {
        Ok(_) => panic!("{sql} was answered"),
        Err(error) => told(&error),
    }
}

pub fn told(error: &tokio_postgres::Error) -> (String, String) {
    let db = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
    (db.code().code().to_owned(), db.message().to_owned())
}
