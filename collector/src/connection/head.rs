//! The grammar of an HTTP/1.1 request head, as strict as RFC 9112 allows: what
//! passes here means the same to us, to hyper and to any proxy in front.

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use crate::decode::Encoding;
use crate::media;

/// Header fields in one head; hyper's own bound.
const MOST_FIELDS: usize = 100;

/// How the body after a head is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Sized(u64),
    Chunked,
}

/// A head that is not answered by a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub status: StatusCode,
    pub message: &'static str,
    /// Of the request, as far as it was understood; JSON otherwise (H7).
    pub encoding: Encoding,
    /// For the metric.
    pub reason: &'static str,
}

impl Rejection {
    pub(super) fn malformed(message: &'static str) -> Rejection {
        Rejection {
            status: StatusCode::BAD_REQUEST,
            message,
            encoding: Encoding::Json,
            reason: "malformed_head",
        }
    }

    pub(super) fn too_large() -> Rejection {
        Rejection {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            message: "the request's headers are too large: send fewer or shorter ones",
            encoding: Encoding::Json,
            reason: "large_head",
        }
    }

    pub(super) fn slow() -> Rejection {
        Rejection {
            status: StatusCode::REQUEST_TIMEOUT,
            message: "the request's headers took too long to arrive: send them at once",
            encoding: Encoding::Json,
            reason: "slow_head",
        }
    }
}

/// Checks a head, from its first byte to the empty line.
pub(super) fn check(head: &[u8]) -> Result<Framing, Rejection> {
    let text = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines = Lines(Some(text));
    let http11 = request_line(lines.next().unwrap_or_default())
        .ok_or_else(|| Rejection::malformed("not an HTTP/1.1 request line"))?;
    let mut encoding = Encoding::Json;
    let framing = fields(lines, http11, &mut encoding);
    framing.map_err(|rejection| Rejection { encoding, ..rejection })
}

/// Whether it is HTTP/1.1; None when it is not a request line.
fn request_line(line: &[u8]) -> Option<bool> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    Method::from_bytes(method).ok()?;
    Uri::try_from(target).ok()?;
    match (version, parts.next()) {
        (b"HTTP/1.1", None) => Some(true),
        (b"HTTP/1.0", None) => Some(false),
        _ => None,
    }
}

fn fields(lines: Lines<'_>, http11: bool, encoding: &mut Encoding) -> Result<Framing, Rejection> {
    let mut length = None;
    let mut chunked = false;
    for (index, line) in lines.enumerate() {
        if index == MOST_FIELDS {
            return Err(Rejection::too_large());
        }
        let (name, value) =
            field(line).ok_or_else(|| Rejection::malformed("not an HTTP header field"))?;
        if name == header::CONTENT_TYPE {
            *encoding = media::encoding(&value).unwrap_or(Encoding::Json);
        } else if name == header::CONTENT_LENGTH {
            let digits = value.as_bytes();
            let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
            match parsed.filter(|_| digits.iter().all(u8::is_ascii_digit)) {
                Some(bytes) if length.is_none_or(|length| length == bytes) => length = Some(bytes),
                _ => return Err(Rejection::malformed("Content-Length is not one number")),
            }
        } else if name == header::TRANSFER_ENCODING {
            if chunked || !http11 || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                let message = "the only Transfer-Encoding understood is chunked, in HTTP/1.1";
                return Err(Rejection::malformed(message));
            }
            chunked = true;
        }
    }
    match (chunked, length) {
        // Two lengths: whoever reads the other one reads another request.
        (true, Some(_)) => {
            Err(Rejection::malformed("Content-Length and Transfer-Encoding exclude each other"))
        }
        (true, None) => Ok(Framing::Chunked),
        (false, length) => Ok(Framing::Sized(length.unwrap_or(0))),
    }
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
}

/// Lines ended by CR LF. A bare CR or LF stays in its line, where no grammar
/// accepts it.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.0?;
        match text.windows(2).position(|pair| pair == b"\r\n") {
            Some(end) => {
                self.0 = Some(&text[end + 2..]);
                Some(&text[..end])
            }
            None => self.0.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(fields: &str) -> Result<Framing, Rejection> {
        check(format!("POST /v1/logs HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes())
    }

    /// Scenario: heads with each kind of length, and each way to be ambiguous.
    /// Guarantees: H21, a request has one length or is refused.
    #[test]
    fn otlp_h21_a_request_has_one_length() {
        assert_eq!(framing("Host: a"), Ok(Framing::Sized(0)));
        assert_eq!(framing("content-length: 12"), Ok(Framing::Sized(12)));
        assert_eq!(framing("Content-Length: 5\r\nContent-Length: 5"), Ok(Framing::Sized(5)));
        assert_eq!(framing("Transfer-Encoding: Chunked"), Ok(Framing::Chunked));
        for ambiguous in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length:",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "Host: a\r\n Transfer-Encoding: chunked",
            "Host: a\nTransfer-Encoding: chunked",
        ] {
            let rejection = framing(ambiguous).unwrap_err();
            assert_eq!(rejection.status, StatusCode::BAD_REQUEST, "{ambiguous}");
        }
    }

    /// Scenario: request lines that are none, too many fields, a protobuf sender's fault.
    /// Guarantees: H7, each is told apart and answered in the request's encoding.
    #[test]
    fn otlp_h7_a_bad_head_is_answered_in_its_encoding() {
        for line in
            ["", "POST", "POST /v1/logs", "POST  / HTTP/1.1", "POST / HTTP/2.0", "P{} / HTTP/1.1"]
        {
            let rejection = check(format!("{line}\r\n\r\n").as_bytes()).unwrap_err();
            assert_eq!(rejection.message, "not an HTTP/1.1 request line", "{line}");
        }
        let many = "a: b\r\n".repeat(101);
        let many = framing(many.trim_end()).unwrap_err();
        assert_eq!(many.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let fault = framing("Content-Type: application/x-protobuf\r\nContent-Length: x");
        assert_eq!(fault.unwrap_err().encoding, Encoding::Protobuf);
    }
}
