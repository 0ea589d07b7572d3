//! Where a chunked body ends (RFC 9112, 7.1): only that, so that the guard
//! knows where the next head begins. hyper decodes the chunks.

/// A chunk-size line with extensions, or a trailer field.
const MOST_LINE: usize = 4 << 10;
/// All trailers of one body.
const MOST_TRAILERS: usize = 16 << 10;

/// The place in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a size line, with its value, its digits and all its bytes so far.
    Size {
        value: u64,
        digits: usize,
        extension: bool,
        len: usize,
    },
    /// After the CR of a size line.
    SizeEnd {
        value: u64,
    },
    Data {
        left: u64,
    },
    /// Before the CR (0) or the LF (1) after a chunk's data.
    DataEnd {
        seen: usize,
    },
    /// In the trailers: bytes of all of them and of this line.
    Trailer {
        all: usize,
        line: usize,
    },
    /// After the CR of a trailer line.
    TrailerEnd {
        all: usize,
        last: bool,
    },
    Done,
}

/// Not a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

const START: Chunks = Chunks::Size { value: 0, digits: 0, extension: false, len: 0 };

impl Chunks {
    pub(super) fn new() -> Chunks {
        START
    }

    /// Goes over `bytes` and tells how many belong to this body.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && *self != Chunks::Done {
            if let Chunks::Data { left } = self {
                let step = (bytes.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= step as u64;
                at += step;
                if *left == 0 {
                    *self = Chunks::DataEnd { seen: 0 };
                }
                continue;
            }
            *self = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(self, byte: u8) -> Result<Chunks, Malformed> {
        Ok(match (self, byte) {
            (Chunks::Size { value, digits, .. }, b'\r') if digits > 0 => Chunks::SizeEnd { value },
            (Chunks::Size { len, .. }, _) if len == MOST_LINE => return Err(Malformed),
            (Chunks::Size { value, digits, extension: false, len }, _)
                if byte.is_ascii_hexdigit() && digits < 15 =>
            {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                let value = value << 4 | u64::from(digit);
                Chunks::Size { value, digits: digits + 1, extension: false, len: len + 1 }
            }
            (Chunks::Size { value, digits, extension, len }, _)
                if digits > 0 && byte != b'\n' && (extension || b";\t ".contains(&byte)) =>
            {
                Chunks::Size { value, digits, extension: true, len: len + 1 }
            }
            (Chunks::SizeEnd { value: 0 }, b'\n') => Chunks::Trailer { all: 0, line: 0 },
            (Chunks::SizeEnd { value }, b'\n') => Chunks::Data { left: value },
            (Chunks::DataEnd { seen: 0 }, b'\r') => Chunks::DataEnd { seen: 1 },
            (Chunks::DataEnd { seen: 1 }, b'\n') => START,
            (Chunks::Trailer { all, line }, b'\r') => Chunks::TrailerEnd { all, last: line == 0 },
            (Chunks::Trailer { all, line }, _)
                if byte != b'\n' && all < MOST_TRAILERS && line < MOST_LINE =>
            {
                Chunks::Trailer { all: all + 1, line: line + 1 }
            }
            (Chunks::TrailerEnd { last: true, .. }, b'\n') => Chunks::Done,
            (Chunks::TrailerEnd { all, last: false }, b'\n') => Chunks::Trailer { all, line: 0 },
            _ => return Err(Malformed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(body: &[u8], step: usize) -> Result<Option<usize>, Malformed> {
        let mut chunks = Chunks::new();
        let mut all = 0;
        for piece in body.chunks(step) {
            all += chunks.advance(piece)?;
        }
        Ok((chunks == Chunks::Done).then_some(all))
    }

    /// Scenario: chunked bodies whole and in single bytes, with extensions and
    /// trailers, followed by the next request.
    /// Guarantees: H21, their end is found where it is.
    #[test]
    fn otlp_h21_the_end_of_a_chunked_body_is_found() {
        for body in
            ["0\r\n\r\n", "3\r\nabc\r\n00\r\n\r\n", "A;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"]
        {
            let followed = format!("{body}POST / HTTP/1.1\r\n");
            for step in [1, 2, 1000] {
                assert_eq!(end(followed.as_bytes(), step), Ok(Some(body.len())), "{body}");
            }
            assert_eq!(end(&body.as_bytes()[..body.len() - 1], 3), Ok(None));
        }
        for bad in [
            "\r\n",
            "x\r\n",
            "3\nabc",
            "3\r\nabcd\r\n",
            "1000000000000000\r\n",
            "-1\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(end(bad.as_bytes(), 1), Err(Malformed), "{bad:?}");
        }
        let long = format!("1;{}", "x".repeat(5000));
        assert_eq!(end(long.as_bytes(), 100), Err(Malformed));
    }
}
