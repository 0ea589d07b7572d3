//! The PostgreSQL protocol, version 3: what psql, drivers and dashboards speak.
//!
//! Every connection has a session of its own; the engine knows nothing of it
//! but what each statement brings along (its zone, its time limit). Messages
//! are read with limits before anything is allocated, rows are written as fast
//! as the client reads, and a client that goes away or cancels ends what runs
//! for it. Nothing is ever written, so transactions are no more than what
//! clients are told of them.
//!
//! | file | what |
//! | --- | --- |
//! | this | [`serve`]: sockets, their number, their end |
//! | [`startup`] | from an open socket to a session or a cancel |
//! | [`auth`] | [`Authentication`]: how the caller becomes known |
//! | [`wire`] | frames in and out, with limits and the client's pace |
//! | [`frontend`] | what a client says, read from a message's body |
//! | [`session`] | a connection's state; one message after the other |
//! | [`simple`] | the simple protocol, and what a session does itself |
//! | [`extended`] | prepared statements, portals, row limits |
//! | [`command`] | transactions, settings, cursors and COPY told from queries |
//! | [`settings`] | SET and SHOW, kept to their connection |
//! | [`cursor`] | an answer that is read in pieces |
//! | [`copy`] | COPY TO STDOUT as text, CSV and binary |
//! | [`params`] | values of `$1`, `$2`, … |
//! | [`rows`] | cells as text and in binary |
//! | [`compat`] | catalog queries said so that they can be planned |
//! | [`cancel`] | keys that end what another connection does |
//! | [`status`] | errors as SQLSTATEs |
//!
//! Not here: what the catalogs and functions of PostgreSQL answer, which is the
//! engine's, on every door ([`crate::catalog`], [`crate::functions`]). There is
//! no TLS yet: a client that asks for it is told so before it says anything.

mod auth;
mod cancel;
mod command;
mod compat;
mod copy;
mod cursor;
mod extended;
mod frontend;
mod params;
mod rows;
mod session;
mod settings;
mod simple;
mod startup;
mod status;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use auth::Authentication;

use crate::Engine;
use cancel::Cancels;
use frontend::Message;
use session::{Flow, Session};
use settings::Settings;
use startup::Opened;
use status::Refusal;
use wire::{Broken, Reader, Writer};

const MAX_SESSIONS: usize = 256;
/// Sockets beyond those: to cancel, and to be told that there are too many.
const MAX_OPENING: usize = 64;
/// From the first byte to the first statement (S2, S15).
const STARTUP: Duration = Duration::from_secs(10);
/// A connection that is asked nothing for so long is closed. Pools keep theirs
/// for less, or open them again.
const IDLE: Duration = Duration::from_secs(3_600);

struct Door {
    engine: Arc<Engine>,
    authentication: Authentication,
    cancels: Arc<Cancels>,
    sessions: Semaphore,
    stopping: CancellationToken,
}

/// Answers connections until `cancel`; then idle ones are closed, and busy ones
/// when they have answered what they are at, or after `grace`. Returns how many
/// were still busy then.
///
/// # Errors
///
/// None at present: what a socket cannot do, its client is told or the log.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    authentication: Authentication,
    cancel: CancellationToken,
    grace: Duration,
) -> io::Result<usize> {
    let door = Arc::new(Door {
        engine,
        authentication,
        cancels: Arc::default(),
        sessions: Semaphore::new(MAX_SESSIONS),
        stopping: cancel.clone(),
    });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept(), if connections.len() < MAX_SESSIONS + MAX_OPENING => accepted,
        };
        match accepted {
            Ok((stream, _)) => _ = connections.spawn(door.clone().connection(stream)),
            Err(error) => {
                // Out of descriptors, say: it passes, and a busy loop would not help.
                tracing::warn!(%error, "the Postgres door could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let ending = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(grace, ending).await.is_ok() {
        return Ok(0);
    }
    let busy = connections.len();
    connections.shutdown().await;
    Ok(busy)
}

/// A panic is ours, but of one connection only (S18).
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "answering a Postgres connection panicked; please report it");
    }
}

impl Door {
    async fn connection(self: Arc<Door>, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY on a connection");
        }
        let (from, to) = stream.into_split();
        let (mut reader, mut writer) = (Reader::new(from), Writer::new(to));
        let opening = timeout(STARTUP, self.open(&mut reader, &mut writer));
        let settings = tokio::select! {
            opened = opening => opened.unwrap_or(Err(Broken::Gone)),
            () = self.stopping.cancelled() => return,
        };
        let broken = match settings {
            Ok(None) => return,
            Ok(Some((caller, settings))) => {
                let Ok(_counted) = self.sessions.try_acquire() else {
                    let refusal =
                        Refusal::fatal("53300", format!("{MAX_SESSIONS} clients are connected"));
                    return tell(&mut writer, refusal.with_hint("use a pool of connections")).await;
                };
                let key = self.cancels.enter();
                let mut session = Session::new(self.engine.clone(), caller, writer, settings, key);
                let broken = self.converse(&mut reader, &mut session).await;
                writer = session.into_writer();
                broken
            }
            Err(broken) => broken,
        };
        match broken {
            Broken::Gone => {}
            Broken::Refused(refusal) => tell(&mut writer, refusal).await,
            Broken::Io(error) => tracing::debug!(%error, "a Postgres connection ended early"),
        }
    }

    /// `None` when the client wanted no session, or has been told why it gets none.
    async fn open(
        &self,
        reader: &mut Reader,
        writer: &mut Writer,
    ) -> Result<Option<(crate::doors::Caller, Settings)>, Broken> {
        let wishes = match startup::open(reader, writer).await? {
            Opened::Session(wishes) => wishes,
            Opened::Cancel { pid, secret } => {
                self.cancels.cancel(pid, secret);
                return Ok(None);
            }
        };
        let caller = self.authentication.of(&wishes, reader, writer).await?;
        tracing::debug!(user = wishes.user.escape_debug().to_string(), "a Postgres session begins");
        let mut settings = Settings::default();
        for (name, value) in &wishes.settings {
            settings.begin(&self.engine, name, value).map_err(Broken::Refused)?;
        }
        Ok(Some((caller, settings)))
    }

    /// One message after the other, until the connection ends and why.
    async fn converse(&self, reader: &mut Reader, session: &mut Session) -> Broken {
        if let Err(broken) = session.welcome().await {
            return broken;
        }
        loop {
            let next = tokio::select! {
                next = reader.next(IDLE) => next,
                () = self.stopping.cancelled() => {
                    return Broken::Refused(Refusal::fatal("57P01", "the server is stopping"));
                }
            };
            let message = match next {
                Ok((kind, body)) => Message::read(kind, body),
                Err(broken) => return broken,
            };
            // What cannot be read leaves nothing to go on from.
            let message = match message {
                Ok(message) => message,
                Err(refusal) => return Broken::Refused(refusal),
            };
            let handled = tokio::select! {
                handled = session.handle(message) => handled,
                broken = reader.gone() => return broken,
            };
            match handled {
                Ok(Flow::On) => {}
                Ok(Flow::End) => return Broken::Gone,
                Err(broken) => return broken,
            }
        }
    }
}

/// The last word to a client that may be gone as well.
async fn tell(writer: &mut Writer, refusal: Refusal) {
    if writer.push(refusal.into_fatal().message()).is_ok()
        && let Err(broken) = writer.flush().await
    {
        tracing::debug!(?broken, "a client did not hear why its connection ends");
    }
}
