//! One unary message off the wire: a flag, four bytes of length, the message.
//! The length is judged before the message is taken in, and believed only as
//! far as bytes follow (G8, G9, G12).

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use schema::ErrorKind;

use crate::admission::Permit;
use crate::export::{Exporter, Failure};
use crate::gate::Gate;
use crate::intake::{self, Intake};

const PREFIX: usize = 5;

/// A message that has arrived.
pub(super) struct Message {
    pub compressed: bool,
    pub bytes: Bytes,
    pub permit: Permit,
}

/// Why there is no message.
pub(super) enum Fault {
    Intake(intake::Fault),
    Refused(Failure),
    /// What the sender did against gRPC's framing.
    Framing(ErrorKind, &'static str),
}

impl Fault {
    pub(super) fn into_failure(self, exporter: &Exporter) -> Failure {
        match self {
            Fault::Intake(fault) => exporter.not_taken(fault),
            Fault::Refused(failure) => failure,
            Fault::Framing(kind, message) => exporter.fail("framing", kind, message),
        }
    }
}

impl From<intake::Fault> for Fault {
    fn from(fault: intake::Fault) -> Fault {
        Fault::Intake(fault)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        Fault::Refused(failure)
    }
}

/// A message of which only the prefix, and what came with it, is read.
pub(super) struct Prefix<B> {
    compressed: bool,
    declared: u64,
    /// Came in the same frames as the prefix.
    first: BytesMut,
    body: B,
}

/// Reads the prefix. `encoding` tells whether the call names a compression.
pub(super) async fn prefix<B>(mut body: B, encoding: bool) -> Result<Prefix<B>, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut first = BytesMut::new();
    while first.len() < PREFIX {
        match intake::next_data(&mut body).await? {
            Some(data) => first.extend_from_slice(&data),
            None => return Err(Fault::Framing(ErrorKind::Invalid, "the call has no message")),
        }
    }
    let compressed = match (first.get_u8(), encoding) {
        (0, _) => false,
        (1, true) => true,
        // A fault of the gRPC layer and named so by its specification.
        (1, false) => {
            let message = "a message is marked compressed, but grpc-encoding names no compression";
            return Err(Fault::Framing(ErrorKind::Internal, message));
        }
        _ => {
            let message = "a message's compression flag is neither 0 nor 1";
            return Err(Fault::Framing(ErrorKind::Internal, message));
        }
    };
    let declared = u64::from(first.get_u32());
    Ok(Prefix { compressed, declared, first, body })
}

impl<B> Prefix<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    pub(super) fn admit(&self, exporter: &Exporter, gate: &Gate) -> Result<Permit, Fault> {
        Ok(exporter.admit(gate, Some(self.declared))?)
    }

    pub(super) async fn rest(self, permit: Permit, limit: u64) -> Result<Message, Fault> {
        let Prefix { compressed, declared, first, mut body } = self;
        let surplus = Fault::Framing(ErrorKind::Invalid, "the call has more than one message");
        let mut intake = Intake::new(permit, limit, Some(declared));
        let mut data = first.freeze();
        loop {
            if intake.len() + data.len() as u64 > declared {
                return Err(surplus);
            }
            intake.push(data)?;
            data = match intake::next_data(&mut body).await? {
                Some(data) => data,
                None => break,
            };
        }
        if intake.len() < declared {
            let message = "the call ended within its message";
            return Err(Fault::Framing(ErrorKind::Invalid, message));
        }
        let (bytes, permit) = intake.finish();
        Ok(Message { compressed, bytes, permit })
    }
}
