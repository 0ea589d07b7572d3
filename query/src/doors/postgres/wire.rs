//! Frames on a connection: read with limits before anything is allocated
//! (S14, S15), written as fast as the client reads.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use pgwire::messages::PgWireBackendMessage;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::status::Refusal;

/// Bytes of a message: a statement of the greatest length and its parameters.
const MAX_MESSAGE: usize = 1 << 20;
/// Bytes of what comes before anybody is known; PostgreSQL's own limit.
const MAX_STARTUP: usize = 10_000;
/// A message that has begun is there within this time.
const WHOLE_MESSAGE: Duration = Duration::from_secs(30);
/// A client that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// Bytes that are read ahead of the message being answered.
const AHEAD: usize = 64 << 10;
/// Bytes of answers that are collected before they are written.
const FULL: usize = 64 << 10;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Broken {
    /// The client went, without or with a word.
    Gone,
    /// It sent what is no message, or kept quiet for too long: it is told.
    Refused(Refusal),
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

fn garbled(message: impl Into<String>) -> Broken {
    Broken::Refused(Refusal::fatal("08P01", message))
}

pub(super) struct Reader {
    from: Box<dyn AsyncRead + Send + Unpin>,
    input: BytesMut,
}

impl Reader {
    pub fn new(from: impl AsyncRead + Send + Unpin + 'static) -> Reader {
        Reader { from: Box::new(from), input: BytesMut::new() }
    }

    async fn fill(&mut self) -> Result<(), Broken> {
        self.input.reserve(8 << 10);
        match self.from.read_buf(&mut self.input).await? {
            0 => Err(Broken::Gone),
            _ => Ok(()),
        }
    }

    async fn have(&mut self, bytes: usize) -> Result<(), Broken> {
        while self.input.len() < bytes {
            self.fill().await?;
        }
        Ok(())
    }

    /// The body of a message that has no type: length, then bytes.
    pub async fn startup(&mut self) -> Result<BytesMut, Broken> {
        self.have(4).await?;
        let length = (&self.input[..4]).get_u32() as usize;
        if !(8..=MAX_STARTUP).contains(&length) {
            return Err(garbled("this is not the PostgreSQL protocol"));
        }
        self.have(length).await?;
        let mut body = self.input.split_to(length);
        body.advance(4);
        Ok(body)
    }

    /// The next message's type and body. Waits `idle` for it to begin.
    pub async fn next(&mut self, idle: Duration) -> Result<(u8, BytesMut), Broken> {
        if self.input.is_empty() {
            match timeout(idle, self.fill()).await {
                Ok(filled) => filled?,
                Err(_) => {
                    let message = format!("nothing was asked for {} s", idle.as_secs());
                    return Err(Broken::Refused(Refusal::fatal("57P05", message)));
                }
            }
        }
        timeout(WHOLE_MESSAGE, self.whole())
            .await
            .unwrap_or_else(|_| Err(garbled("the rest of a message did not come")))
    }

    async fn whole(&mut self) -> Result<(u8, BytesMut), Broken> {
        self.have(5).await?;
        let (kind, length) = (self.input[0], (&self.input[1..5]).get_u32() as usize);
        if !(4..=MAX_MESSAGE).contains(&length) {
            return Err(garbled(format!(
                "a message says that it is {length} bytes long; {MAX_MESSAGE} are allowed"
            )));
        }
        self.have(1 + length).await?;
        let mut body = self.input.split_to(1 + length);
        body.advance(5);
        Ok((kind, body))
    }

    /// Resolves when the client is gone. What it sends meanwhile is kept, up to
    /// a bound past which this cannot tell any more.
    pub async fn gone(&mut self) -> Broken {
        while self.input.len() < AHEAD {
            if let Err(broken) = self.fill().await {
                return broken;
            }
        }
        std::future::pending().await
    }
}

pub(super) struct Writer {
    to: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    output: BytesMut,
}

impl Writer {
    pub fn new(to: impl AsyncWrite + Send + Sync + Unpin + 'static) -> Writer {
        Writer { to: Box::new(to), output: BytesMut::new() }
    }

    /// Appends a message; it is written by [`flush`](Self::flush).
    pub fn push(&mut self, message: PgWireBackendMessage) -> Result<(), Refusal> {
        message
            .encode(&mut self.output)
            .map_err(|error| Refusal::new("54000", format!("a message cannot be sent: {error}")))
    }

    /// Where rows are appended, each as a whole message.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Writes when enough has come together: the pace of the client.
    pub async fn relieve(&mut self) -> Result<(), Broken> {
        if self.output.len() < FULL { Ok(()) } else { self.flush().await }
    }

    /// Writes everything. Dropped half-way, what is left goes with the next one.
    pub async fn flush(&mut self) -> Result<(), Broken> {
        while !self.output.is_empty() {
            match timeout(STALLED, self.to.write_buf(&mut self.output)).await {
                Ok(Ok(0)) => return Err(Broken::Gone),
                Ok(written) => written?,
                Err(_) => return Err(Broken::Gone),
            };
        }
        self.to.flush().await?;
        Ok(())
    }
}
