//! Decompression that stops at a limit and pays as it goes (G10, H12, H13).

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

/// A step of output; also what a bomb may cost beyond the limit.
const CHUNK: usize = 64 << 10;

/// 8 MiB, what RFC 8878 asks every decoder to support and HTTP (RFC 9659) caps.
const ZSTD_WINDOW_LOG: u32 = 23;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
    /// Wrapped in zlib, as RFC 9110 defines the name and Python sends it.
    Deflate,
}

/// Why a body was not decompressed.
#[derive(Debug)]
pub(crate) enum Fault<E> {
    /// Not what the header says it is.
    Corrupt(io::Error),
    /// More than the limit came out.
    TooLarge,
    /// The payment failed.
    Unpaid(E),
}

impl Compression {
    /// The codings both doors name in their answers, in the order of preference.
    pub(crate) const NAMES: &str = "gzip, zstd, deflate";

    /// By its name in either protocol; `Some(None)` is identity.
    pub(crate) fn from_name(name: &str) -> Option<Option<Compression>> {
        let known = [
            ("identity", None),
            ("gzip", Some(Compression::Gzip)),
            ("x-gzip", Some(Compression::Gzip)),
            ("zstd", Some(Compression::Zstd)),
            ("deflate", Some(Compression::Deflate)),
        ];
        known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, it)| it)
    }

    fn as_str(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Deflate => "deflate",
        }
    }

    /// Decompresses all of `body`: every gzip member or zstd frame, and nothing
    /// may follow them. `pay` is told the total before each growth.
    pub(crate) fn inflate<E>(
        self,
        body: &[u8],
        limit: u64,
        pay: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Vec<u8>, Fault<E>> {
        if body.is_empty() {
            let empty = format!("an empty body is not {}", self.as_str());
            return Err(Fault::Corrupt(io::Error::new(io::ErrorKind::UnexpectedEof, empty)));
        }
        match self {
            Compression::Gzip => collect(flate2::bufread::MultiGzDecoder::new(body), limit, pay),
            Compression::Deflate => collect(Zlib::new(body), limit, pay),
            Compression::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(body).map_err(Fault::Corrupt)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(Fault::Corrupt)?;
                collect(decoder, limit, pay)
            }
        }
    }
}

fn collect<E>(
    mut reader: impl Read,
    limit: u64,
    mut pay: impl FnMut(u64) -> Result<(), E>,
) -> Result<Vec<u8>, Fault<E>> {
    let mut plain = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut chunk).map_err(Fault::Corrupt)?;
        if read == 0 {
            return Ok(plain);
        }
        let total = (plain.len() + read) as u64;
        if total > limit {
            return Err(Fault::TooLarge);
        }
        pay(total).map_err(Fault::Unpaid)?;
        plain.extend_from_slice(&chunk[..read]);
    }
}

/// A zlib stream that must end where its input ends. `flate2`'s reader ends
/// quietly on a truncated stream and leaves trailing bytes unread.
struct Zlib<'a> {
    input: &'a [u8],
    state: Decompress,
    ended: bool,
}

impl<'a> Zlib<'a> {
    fn new(input: &'a [u8]) -> Zlib<'a> {
        Zlib { input, state: Decompress::new(true), ended: false }
    }
}

impl Read for Zlib<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.ended {
            let (read, wrote) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(self.input, out, FlushDecompress::None)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            let read = (self.state.total_in() - read) as usize;
            let wrote = (self.state.total_out() - wrote) as usize;
            self.input = &self.input[read..];
            self.ended = status == Status::StreamEnd;
            if self.ended && !self.input.is_empty() {
                let trailing = "bytes follow the end of the zlib stream";
                return Err(io::Error::new(io::ErrorKind::InvalidData, trailing));
            }
            if wrote > 0 {
                return Ok(wrote);
            }
            if read == 0 && !self.ended {
                let cut = "the zlib stream is truncated";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn pack(codec: Compression, plain: &[u8]) -> Vec<u8> {
        match codec {
            Compression::Gzip => gzip(plain),
            Compression::Deflate => zlib(plain),
            Compression::Zstd => zstd::encode_all(plain, 1).unwrap(),
        }
    }

    fn inflate(codec: Compression, body: &[u8]) -> Result<Vec<u8>, Fault<()>> {
        codec.inflate(body, 1 << 20, |_| Ok(()))
    }

    const ALL: [Compression; 3] = [Compression::Gzip, Compression::Zstd, Compression::Deflate];

    /// Scenario: each coding whole, cut at every length, followed by a stray byte,
    /// and with its checksum flipped.
    /// Guarantees: H12, only the whole stream is accepted.
    #[test]
    fn otlp_h12_only_a_whole_stream_is_accepted() {
        let plain = b"cloudsail ".repeat(50);
        for codec in ALL {
            let body = pack(codec, &plain);
            assert_eq!(inflate(codec, &body).unwrap(), plain);
            for cut in 0..body.len() {
                let cut = inflate(codec, &body[..cut]);
                assert!(matches!(cut, Err(Fault::Corrupt(_))), "{codec:?}: {cut:?}");
            }
            let trailing = inflate(codec, &[&body[..], b"x"].concat());
            assert!(matches!(trailing, Err(Fault::Corrupt(_))), "{codec:?}: {trailing:?}");
            let other = inflate(codec, &plain);
            assert!(matches!(other, Err(Fault::Corrupt(_))), "{codec:?}: {other:?}");
        }
        let mut flipped = gzip(&plain);
        let crc = flipped.len() - 8;
        flipped[crc] ^= 1;
        assert!(matches!(inflate(Compression::Gzip, &flipped), Err(Fault::Corrupt(_))));
    }

    /// Scenario: two gzip members, two zstd frames, an empty plain text.
    /// Guarantees: H12, they are one body.
    #[test]
    fn otlp_h12_members_and_frames_are_joined() {
        for codec in [Compression::Gzip, Compression::Zstd] {
            let body = [pack(codec, b"one "), pack(codec, b"two")].concat();
            assert_eq!(inflate(codec, &body).unwrap(), b"one two");
        }
        for codec in ALL {
            assert_eq!(inflate(codec, &pack(codec, b"")).unwrap(), b"");
        }
    }

    /// Scenario: a zstd frame with a window of 16 MiB.
    /// Guarantees: H12, more than 8 MiB of window is refused.
    #[test]
    fn otlp_h12_a_large_zstd_window_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(b"small").unwrap();
        let body = encoder.finish().unwrap();
        assert!(matches!(inflate(Compression::Zstd, &body), Err(Fault::Corrupt(_))));
    }

    /// Scenario: 16 MiB of zeros in some kilobytes, with a limit of 1 MiB, and
    /// with a payment that fails at 256 KiB.
    /// Guarantees: G10 and F34, it stops within a chunk of the limit or of the budget.
    #[test]
    fn fault_f34_a_bomb_stops_at_the_limit() {
        let bomb = vec![0; 16 << 20];
        for codec in ALL {
            let body = pack(codec, &bomb);
            let mut paid = 0;
            let pay = |total| {
                paid = total;
                Ok::<(), ()>(())
            };
            assert!(matches!(codec.inflate(&body, 1 << 20, pay), Err(Fault::TooLarge)));
            assert!(paid <= 1 << 20);
            let pay = |total| if total > 256 << 10 { Err("full") } else { Ok(()) };
            assert!(matches!(codec.inflate(&body, 1 << 20, pay), Err(Fault::Unpaid("full"))));
        }
    }
}
