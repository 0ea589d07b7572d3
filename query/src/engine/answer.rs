//! Rows on their way to a door.

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::Stream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::stats::Stats;
use super::stop::Stop;
use crate::Error;
use schema::ErrorKind;

/// An answer: its columns at once, its rows as they come.
#[derive(Debug)]
pub struct Answer {
    pub id: u64,
    pub schema: SchemaRef,
    /// Ends after the last row or the first error. Dropping it cancels
    /// everything that still runs for the statement.
    pub rows: Rows,
    /// Final once `rows` has ended.
    pub stats: Stats,
}

pub(super) enum Message {
    Rows(RecordBatch),
    /// Always the last one. A stream that closes without it was torn down by
    /// a panic, and must not look like a short answer.
    End(Result<(), Error>),
}

/// The rows of an answer, produced one batch ahead of the reader.
#[derive(Debug)]
pub struct Rows {
    incoming: mpsc::Receiver<Message>,
    ended: bool,
    /// Ends the statement's task when the reader goes.
    _task: AbortOnDrop,
}

#[derive(Debug)]
pub(super) struct AbortOnDrop {
    pub task: AbortHandle,
    /// Reaches what the task is in the middle of.
    pub stop: Stop,
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.stop.leave();
        self.task.abort();
    }
}

impl Rows {
    pub(super) fn new(incoming: mpsc::Receiver<Message>, task: AbortOnDrop) -> Rows {
        Rows { incoming, ended: false, _task: task }
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let message = std::task::ready!(self.incoming.poll_recv(cx));
        Poll::Ready(match message {
            Some(Message::Rows(batch)) => Some(Ok(batch)),
            Some(Message::End(result)) => {
                self.ended = true;
                result.err().map(Err)
            }
            None => {
                self.ended = true;
                Some(Err(Error::new(
                    ErrorKind::Internal,
                    "the statement broke off inside the engine",
                )
                .with_hint("the log has the cause")))
            }
        })
    }
}
