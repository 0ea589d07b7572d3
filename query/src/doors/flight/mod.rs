//! Arrow Flight SQL: rows as Arrow batches over gRPC, for ADBC, JDBC and what
//! is built on them.
//!
//! A client asks for a statement's columns and a ticket (`GetFlightInfo`, which
//! plans and runs nothing) and redeems the ticket for the rows (`DoGet`, which
//! runs the statement over one moment of its tables, S2). A ticket is random,
//! serves the session it was made for and no other, and ends by itself (S8).
//!
//! | file | what |
//! | --- | --- |
//! | this | [`router`], and the bounds of the door |
//! | [`service`] | the calls of the protocol, each led to its answer |
//! | [`sessions`] | who calls: the handshake, [`Credentials`], [`Identify`] |
//! | [`handles`] | tickets and prepared statements, bounded in number, bytes and time |
//! | [`statements`] | planned, bound, run, cancelled |
//! | [`params`] | a row of parameters as the client sends it |
//! | [`tables`] | catalogs, schemas, tables, keys |
//! | [`info`] | what this SQL can do, and its types |
//! | [`batches`] | rows as messages of bounded size, in types that every client reads |
//! | [`status`] | error kinds as gRPC codes |
//!
//! Deliberately not here: updates, transactions, Substrait and DoExchange (this
//! SQL only reads), listening and TLS (the daemon's), compression of batches
//! (a client cannot say that it would read them).

mod batches;
mod handles;
mod info;
mod params;
mod service;
mod sessions;
mod statements;
mod status;
mod tables;

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;

use crate::Engine;
use handles::Handles;
use sessions::Sessions;
pub use sessions::{Credentials, Identify};

/// Largest message from a client: a statement of the greatest length, or a row
/// of parameters.
const MAX_REQUEST: usize = 2 << 20;

/// The door as a service of HTTP/2 requests, to be listened for by the daemon.
/// `identify` says who is behind a request's credentials.
pub fn router(engine: Arc<Engine>, identify: Identify) -> Router {
    let door = Door { engine, sessions: Sessions::new(identify), handles: Handles::default() };
    let service = FlightServiceServer::new(door).max_decoding_message_size(MAX_REQUEST);
    Router::new().fallback_service(service)
}

/// What all calls share.
struct Door {
    engine: Arc<Engine>,
    sessions: Sessions,
    handles: Handles,
}
