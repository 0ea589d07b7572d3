//! Stands between the socket and hyper's HTTP/1.1 parser and lets a head
//! through only when it is whole and sound. hyper drops a Content-Length beside
//! a Transfer-Encoding, and answers its own parse errors without a body; here
//! they become [`Rejection`]s that the connection answers like any other (H7,
//! H20, H21).
//!
//! To hyper a rejected head looks like the end of input between two requests,
//! so that answers to earlier, pipelined requests still go out first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::chunks::Chunks;
use super::head::{Framing, Rejection, check};

const READ: usize = 16 << 10;
const HEAD_END: &[u8] = b"\r\n\r\n";

#[derive(Debug)]
enum Stage {
    /// Before or in a head; this much of it was searched for its end.
    Head {
        searched: usize,
    },
    Sized {
        left: u64,
    },
    Chunked(Chunks),
    /// Nothing more is read.
    Ended,
}

#[derive(Debug)]
pub(super) struct Guard<S> {
    stream: S,
    /// Read but not handed on.
    held: BytesMut,
    /// How much of `held` may be handed on.
    cleared: usize,
    stage: Stage,
    rejection: Option<Rejection>,
    most_head: usize,
    head_time: Duration,
    /// Runs while a head is incomplete.
    head_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Guard<S> {
    pub(super) fn new(stream: S, most_head: usize, head_time: Duration) -> Guard<S> {
        Guard {
            stream,
            held: BytesMut::new(),
            cleared: 0,
            stage: Stage::Head { searched: 0 },
            rejection: None,
            most_head,
            head_time,
            head_timer: None,
        }
    }

    /// The head that was not let through, once.
    pub(super) fn rejection(&mut self) -> Option<Rejection> {
        self.rejection.take()
    }

    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    fn reject(&mut self, rejection: Rejection) {
        self.rejection = Some(rejection);
        self.stage = Stage::Ended;
    }

    /// Clears as much of `held` as is known to be sound.
    fn clear(&mut self) {
        while self.cleared < self.held.len() {
            let fresh = &self.held[self.cleared..];
            match &mut self.stage {
                // Empty lines before a request are to be ignored (RFC 9112, 2.2),
                // once what is before them is handed on.
                Stage::Head { .. } if fresh[0] == b'\r' && self.cleared > 0 => return,
                Stage::Head { .. } if fresh == b"\r" => return,
                Stage::Head { .. } if fresh.starts_with(b"\r\n") => self.held.advance(2),
                Stage::Head { searched } => {
                    let from = searched.saturating_sub(HEAD_END.len() - 1);
                    let end = fresh[from..].windows(HEAD_END.len()).position(|w| w == HEAD_END);
                    let len = end.map_or(fresh.len(), |end| from + end + HEAD_END.len());
                    if len > self.most_head {
                        return self.reject(Rejection::too_large());
                    }
                    if end.is_none() {
                        *searched = len;
                        return;
                    }
                    match check(&fresh[..len]) {
                        Ok(Framing::Sized(left)) => self.stage = Stage::Sized { left },
                        Ok(Framing::Chunked) => self.stage = Stage::Chunked(Chunks::new()),
                        Err(rejection) => return self.reject(rejection),
                    }
                    self.head_timer = None;
                    self.cleared += len;
                }
                Stage::Sized { left } => {
                    let len = fresh.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= len as u64;
                    self.cleared += len;
                }
                Stage::Chunked(chunks) => match chunks.advance(fresh) {
                    Ok(len) => self.cleared += len,
                    // hyper sees the body end early and the door answers that.
                    Err(_malformed) => self.stage = Stage::Ended,
                },
                Stage::Ended => return,
            }
            if matches!(self.stage, Stage::Sized { left: 0 } | Stage::Chunked(Chunks::Done)) {
                self.stage = Stage::Head { searched: 0 };
            }
        }
    }

    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let len = self.cleared.min(buf.remaining());
        buf.put_slice(&self.held[..len]);
        self.held.advance(len);
        self.cleared -= len;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            this.clear();
            if this.cleared > 0 {
                this.hand_on(buf);
                return Poll::Ready(Ok(()));
            }
            match &mut this.stage {
                Stage::Ended => return Poll::Ready(Ok(())),
                // The bulk of a body goes straight through.
                Stage::Sized { left } if this.held.is_empty() => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.remaining());
                    let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
                    ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
                    let len = part.filled().len();
                    *left -= len as u64;
                    buf.advance(len);
                    if *left == 0 {
                        this.stage = Stage::Head { searched: 0 };
                    }
                    return Poll::Ready(Ok(()));
                }
                Stage::Head { .. } if !this.held.is_empty() => {
                    let time = this.head_time;
                    let timer = this.head_timer.get_or_insert_with(|| Box::pin(sleep(time)));
                    if timer.as_mut().poll(cx).is_ready() {
                        this.reject(Rejection::slow());
                        continue;
                    }
                }
                Stage::Head { .. } | Stage::Sized { .. } | Stage::Chunked(_) => {}
            }
            let mut chunk = [0; READ];
            let mut part = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                this.stage = Stage::Ended;
                return Poll::Ready(Ok(()));
            }
            this.held.extend_from_slice(part.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    const TIME: Duration = Duration::from_secs(5);

    async fn through(input: &[u8], step: usize) -> (Vec<u8>, Option<Rejection>) {
        let (mut client, server) = tokio::io::duplex(step);
        let mut guard = Guard::new(server, 1024, TIME);
        let mut out = Vec::new();
        let writing = async {
            // The guard may stop reading; what it never reads fails to be written.
            let _closed = tokio::io::AsyncWriteExt::write_all(&mut client, input).await;
            drop(client);
        };
        let reading = async {
            guard.read_to_end(&mut out).await.unwrap();
            let rejection = guard.rejection();
            drop(guard);
            rejection
        };
        let ((), rejection) = tokio::join!(writing, reading);
        (out, rejection)
    }

    /// Scenario: three pipelined requests, sized, chunked and bare, then one
    /// whose lengths contradict, in pieces of every size.
    /// Guarantees: H21, the sound ones pass untouched and the other never does.
    #[tokio::test]
    async fn otlp_h21_only_sound_requests_pass() {
        let sound = "POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n\r\n\
             POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
             GET /c HTTP/1.1\r\nHost: x\r\n\r\n";
        let bad = "POST /d HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let all = [sound, bad, "GET /e HTTP/1.1\r\n\r\n"].concat();
        for step in [1, 7, 64, 4096] {
            let (out, rejection) = through(all.as_bytes(), step).await;
            assert_eq!(String::from_utf8(out).unwrap(), sound, "in pieces of {step}");
            assert_eq!(rejection.unwrap().reason, "malformed_head");
        }
    }

    /// Scenario: a head without end, one that is too large, leading empty lines.
    /// Guarantees: H20 and S14; a head is bounded, and nothing of it passes early.
    #[tokio::test]
    async fn otlp_h20_a_head_is_bounded() {
        let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2000));
        let (out, rejection) = through(large.as_bytes(), 4096).await;
        assert_eq!((out.len(), rejection.unwrap().reason), (0, "large_head"));
        let (out, rejection) = through(b"GET / HTTP/1.1\r\nHost:", 4096).await;
        assert_eq!((out.len(), rejection), (0, None));
        let (out, _) = through(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", 4096).await;
        assert_eq!(out, b"GET / HTTP/1.1\r\n\r\n");
    }

    /// Scenario: a client that sends half a head and waits.
    /// Guarantees: H20, its time runs out; before the first byte none runs.
    #[tokio::test]
    async fn otlp_h20_a_slow_head_runs_out_of_time() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut guard = Guard::new(server, 1024, Duration::from_millis(50));
        let mut out = [0; 64];
        let idle = tokio::time::timeout(Duration::from_millis(100), guard.read(&mut out)).await;
        assert!(idle.is_err(), "an idle connection is not a slow head");
        tokio::io::AsyncWriteExt::write_all(&mut client, b"POST /v1").await.unwrap();
        assert_eq!(guard.read(&mut out).await.unwrap(), 0);
        assert_eq!(guard.rejection().unwrap().reason, "slow_head");
    }
}
