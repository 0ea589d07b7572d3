//! What a client says, read from the body of a message. Bodies come from
//! anyone: nothing here trusts a count or a length.

use bytes::{Buf, Bytes, BytesMut};

use super::status::Refusal;

#[derive(Debug)]
pub(super) enum Message {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        rows: usize,
    },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    /// Rows of a COPY FROM, which is never accepted: they are let pass.
    Copy,
}

#[derive(Debug)]
pub(super) enum Target {
    Statement(String),
    Portal(String),
}

#[derive(Debug)]
pub(super) struct Bind {
    pub portal: String,
    pub statement: String,
    pub formats: Formats,
    pub values: Vec<Option<Bytes>>,
    pub results: Formats,
}

/// Text or binary per value: none said is text, one said is for all.
#[derive(Debug, Clone, Default)]
pub(super) struct Formats(Vec<bool>);

impl Formats {
    pub fn binary() -> Formats {
        Formats(vec![true])
    }

    pub fn is_binary(&self, index: usize) -> bool {
        match self.0.as_slice() {
            [] => false,
            [all] => *all,
            each => each.get(index).copied().unwrap_or(false),
        }
    }
}

type Read<T> = Result<T, Refusal>;

fn garbled() -> Refusal {
    Refusal::fatal("08P01", "a message does not say what it should")
}

/// The parts of a body, in their order.
pub(super) struct Body(Bytes);

impl Body {
    pub fn new(bytes: BytesMut) -> Body {
        Body(bytes.freeze())
    }

    fn byte(&mut self) -> Read<u8> {
        self.0.try_get_u8().map_err(|_| garbled())
    }

    fn count(&mut self) -> Read<usize> {
        self.0.try_get_u16().map(usize::from).map_err(|_| garbled())
    }

    pub fn int(&mut self) -> Read<i32> {
        self.0.try_get_i32().map_err(|_| garbled())
    }

    /// Bytes up to a zero.
    pub fn text(&mut self) -> Read<String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(garbled)?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        let invalid = |_| Refusal::new("22021", "a text is not UTF-8");
        std::str::from_utf8(&text).map(str::to_owned).map_err(invalid)
    }

    fn formats(&mut self) -> Read<Formats> {
        let count = self.count()?;
        let codes = (0..count).map(|_| match self.count()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(garbled()),
        });
        Ok(Formats(codes.collect::<Read<_>>()?))
    }

    fn value(&mut self) -> Read<Option<Bytes>> {
        let Ok(length) = usize::try_from(self.int()?) else { return Ok(None) };
        match length <= self.0.len() {
            true => Ok(Some(self.0.split_to(length))),
            false => Err(garbled()),
        }
    }

    fn target(&mut self) -> Read<Target> {
        match self.byte()? {
            b'S' => Ok(Target::Statement(self.text()?)),
            b'P' => Ok(Target::Portal(self.text()?)),
            _ => Err(garbled()),
        }
    }
}

impl Message {
    pub fn read(kind: u8, body: BytesMut) -> Read<Message> {
        let mut body = Body::new(body);
        let message = match kind {
            b'Q' => Message::Query(body.text()?),
            b'P' => {
                let (name, sql, count) = (body.text()?, body.text()?, body.count()?);
                let types = (0..count).map(|_| body.int().map(i32::cast_unsigned));
                Message::Parse { name, sql, types: types.collect::<Read<_>>()? }
            }
            b'B' => {
                let (portal, statement, formats) = (body.text()?, body.text()?, body.formats()?);
                let count = body.count()?;
                let values = (0..count).map(|_| body.value()).collect::<Read<_>>()?;
                Message::Bind(Bind { portal, statement, formats, values, results: body.formats()? })
            }
            b'D' => Message::Describe(body.target()?),
            b'E' => {
                let portal = body.text()?;
                // Zero and below: all of them.
                let rows = usize::try_from(body.int()?).ok().filter(|rows| *rows > 0);
                Message::Execute { portal, rows: rows.unwrap_or(usize::MAX) }
            }
            b'C' => Message::Close(body.target()?),
            b'H' => Message::Flush,
            b'S' => Message::Sync,
            b'X' => Message::Terminate,
            b'd' | b'c' | b'f' => return Ok(Message::Copy),
            _ => {
                return Err(Refusal::fatal("08P01", format!("there is no message of type {kind}")));
            }
        };
        if body.0.is_empty() { Ok(message) } else { Err(garbled()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every kind of message with no body, with counts and lengths
    /// that go past it, and cut anywhere.
    /// Guarantees: S18, each is an error and none reads beyond its end.
    #[test]
    fn sec_s18_garbage_is_an_error() {
        let bind = b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x02hi\xff\xff\xff\xff\0\0";
        let whole = Message::read(b'B', BytesMut::from(&bind[..])).unwrap();
        let Message::Bind(Bind { statement, values, formats, .. }) = whole else { panic!() };
        assert_eq!((statement.as_str(), formats.is_binary(7)), ("s", true));
        assert_eq!(values, [Some(Bytes::from_static(b"hi")), None]);
        for end in 0..bind.len() {
            assert!(Message::read(b'B', BytesMut::from(&bind[..end])).is_err(), "{end}");
        }
        for kind in b"QPBDEC" {
            for body in [&b""[..], b"\xff", b"\xff\xff\xff\xff\xff", b"a\0b\0\xff\xff\xff"] {
                assert!(Message::read(*kind, BytesMut::from(body)).is_err());
            }
        }
        assert!(Message::read(0, BytesMut::new()).is_err());
        assert!(
            Message::read(b'B', BytesMut::from(&b"\0\0\0\0\0\x01\x7f\xff\xff\xff"[..])).is_err()
        );
    }
}
