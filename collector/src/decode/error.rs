//! Why a body is not decodable.

use std::borrow::Cow;
use std::fmt;

use arrow::error::ArrowError;
use schema::ErrorKind;

use super::Encoding;

/// Nothing of the request becomes rows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Malformed(Box<Malformed>),
    #[error("the rows of this request exceed {limit} bytes: send fewer items per request")]
    TooLarge { limit: usize },
    #[error("cannot build the rows of this request, a fault of the server")]
    Build(#[from] ArrowError),
}

impl Error {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Malformed(_) => ErrorKind::Invalid,
            Error::TooLarge { .. } => ErrorKind::TooLarge,
            Error::Build(_) => ErrorKind::Internal,
        }
    }

    /// Says where the fault is, one step further out.
    #[cold]
    pub(crate) fn within(mut self, segment: Segment) -> Error {
        if let Error::Malformed(malformed) = &mut self {
            malformed.path.push(segment);
        }
        self
    }
}

/// Bytes that are not OTLP in the encoding they claim.
#[derive(Debug, thiserror::Error)]
pub struct Malformed {
    encoding: Encoding,
    /// Innermost first.
    path: Vec<Segment>,
    offset: usize,
    cause: Cow<'static, str>,
}

/// One step of the way from the request to a field.
#[derive(Debug, Clone)]
pub(crate) enum Segment {
    Field(Cow<'static, str>),
    Index(usize),
}

impl Malformed {
    #[cold]
    pub(crate) fn at(
        encoding: Encoding,
        offset: usize,
        cause: impl Into<Cow<'static, str>>,
    ) -> Error {
        Error::Malformed(Box::new(Malformed {
            encoding,
            path: Vec::new(),
            offset,
            cause: cause.into(),
        }))
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, remedy) = match self.encoding {
            Encoding::Protobuf => {
                ("protobuf", "send an OTLP request message of this signal, uncut")
            }
            Encoding::Json => ("JSON", "send an OTLP request object of this signal as JSON"),
        };
        write!(f, "invalid OTLP {name}: {}, at byte {}", self.cause, self.offset)?;
        for (index, segment) in self.path.iter().rev().enumerate() {
            f.write_str(if index == 0 { " in " } else { "" })?;
            match segment {
                Segment::Field(name) if index == 0 => write!(f, "{name}")?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Index(at) => write!(f, "[{at}]")?,
            }
        }
        write!(f, "; {remedy}")
    }
}
