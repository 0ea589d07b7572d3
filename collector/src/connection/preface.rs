//! What a connection speaks, told by its first bytes, which are then given back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The record type of a TLS handshake.
const TLS: u8 = 0x16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preface {
    Http2,
    Tls,
    /// HTTP/1.1, or nothing we know.
    Other,
}

/// Reads as little as decides. Ends with an error when the peer leaves before.
pub(super) async fn read<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Rewound<S>, Preface)> {
    let mut first = [0; HTTP2.len()];
    let mut len = 0;
    let preface = loop {
        match stream.read(&mut first[len..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => len += read,
        }
        if first[0] == TLS {
            break Preface::Tls;
        }
        if !HTTP2.starts_with(&first[..len]) {
            break Preface::Other;
        }
        if len == HTTP2.len() {
            break Preface::Http2;
        }
    };
    Ok((Rewound { first: Bytes::copy_from_slice(&first[..len]), stream }, preface))
}

/// A stream whose first bytes are read again.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    first: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let len = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..len]);
        self.first.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
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
    use super::*;

    async fn told(bytes: &[u8]) -> (Preface, Vec<u8>) {
        let (mut stream, preface) = read(bytes).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        (preface, all)
    }

    /// Scenario: the openings of HTTP/2, HTTP/1.1, TLS and of nonsense.
    /// Guarantees: G13 and H21; each is told apart and no byte is lost.
    #[tokio::test]
    async fn otlp_g13_openings_are_told_apart_and_kept() {
        let http2 = [HTTP2, b"rest"].concat();
        for (bytes, preface) in [
            (&http2[..], Preface::Http2),
            (b"POST /v1/traces HTTP/1.1\r\n", Preface::Other),
            (b"PRI * HTTP/1.1\r\n", Preface::Other),
            (b"\x16\x03\x01\x02\x00", Preface::Tls),
            (b"\x00", Preface::Other),
        ] {
            assert_eq!(told(bytes).await, (preface, bytes.to_vec()));
        }
        assert!(read(&b"PRI"[..]).await.is_err());
    }
}
