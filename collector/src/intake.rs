//! A body, taken in within its limit, its payment and its time. Nothing is
//! allocated for a length that was only declared.

use std::future::Future;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::admission::{Permit, Shortage};

/// Why a body did not arrive.
#[derive(Debug)]
pub(crate) enum Fault {
    TooLarge,
    Unpaid(Shortage),
    /// The sender left, or broke its framing, before the end.
    Broken(String),
    /// Not complete within the time given.
    Slow,
}

/// Bytes so far, and the permit that pays for them.
#[derive(Debug)]
pub(crate) struct Intake {
    bytes: Vec<u8>,
    permit: Permit,
    limit: u64,
    /// What the sender said would come; bounds the last allocation.
    declared: Option<u64>,
}

impl Intake {
    pub(crate) fn new(permit: Permit, limit: u64, declared: Option<u64>) -> Intake {
        Intake { bytes: Vec::new(), permit, limit, declared }
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn push(&mut self, mut chunk: impl Buf) -> Result<(), Fault> {
        let total = self.bytes.len() + chunk.remaining();
        if total as u64 > self.limit {
            return Err(Fault::TooLarge);
        }
        self.permit.cover(total as u64).map_err(Fault::Unpaid)?;
        if total > self.bytes.capacity() {
            // Doubling, but never past the declared end: a body takes its own
            // size once it is whole.
            let doubled = (self.bytes.capacity() * 2).max(total);
            let declared = self.declared.and_then(|bytes| usize::try_from(bytes).ok());
            let capacity = doubled.min(declared.unwrap_or(doubled)).max(total);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        while chunk.has_remaining() {
            let piece = chunk.chunk();
            let len = piece.len();
            self.bytes.extend_from_slice(piece);
            chunk.advance(len);
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> (Bytes, Permit) {
        (Bytes::from(self.bytes), self.permit)
    }
}

/// Takes the next data of a body; `None` at its end. Trailers are passed over.
pub(crate) async fn next_data<B>(body: &mut B) -> Result<Option<Bytes>, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::Broken(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Takes a whole body.
pub(crate) async fn take<B>(mut body: B, mut intake: Intake) -> Result<Intake, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    while let Some(data) = next_data(&mut body).await? {
        intake.push(data)?;
    }
    Ok(intake)
}

/// Gives a body its time.
pub(crate) async fn within<T>(
    time: Duration,
    taking: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(time, taking).await.unwrap_or(Err(Fault::Slow))
}

#[cfg(test)]
mod tests {
    use schema::Budget;

    use super::*;
    use crate::admission::Admission;

    /// Scenario: a body of three chunks, one byte too much, and a budget too small.
    /// Guarantees: H13 and B1; bytes are kept only after limit and payment agree.
    #[test]
    fn otlp_h13_bytes_are_kept_only_within_limit_and_budget() {
        let admission = Admission::new(Budget::new(1 << 20), 2);
        let open = || admission.open(None).unwrap();
        let mut intake = Intake::new(open(), 10, Some(8));
        intake.push(&b"abc"[..]).unwrap();
        intake.push(&b"defgh"[..]).unwrap();
        assert_eq!(intake.bytes.capacity(), 8);
        assert!(matches!(intake.push(&b"ijk"[..]), Err(Fault::TooLarge)));
        assert_eq!(intake.finish().0, "abcdefgh");

        let mut intake = Intake::new(open(), 1 << 20, None);
        let chunk = vec![0; 300 << 10];
        intake.push(&chunk[..]).unwrap();
        assert!(matches!(intake.push(&chunk[..]), Err(Fault::Unpaid(Shortage::Ever))));
        let mut other = Intake::new(open(), 1 << 20, None);
        assert!(matches!(other.push(&chunk[..]), Err(Fault::Unpaid(Shortage::Now))));
    }
}
