//! The table of OTLP/gRPC codes: what a sender should do, as a code that makes
//! every SDK do it (G14 to G20).

use schema::ErrorKind;
use tonic::Code;

/// UNAVAILABLE is what every SDK repeats. RESOURCE_EXHAUSTED without RetryInfo
/// is final, and so are the four below it; NOT_FOUND is never emitted (G20).
pub(super) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Throttled
        | ErrorKind::Unavailable
        | ErrorKind::Cancelled
        | ErrorKind::Corrupt => Code::Unavailable,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::TooLarge => Code::ResourceExhausted,
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Internal => Code::Internal,
        ErrorKind::NotFound => Code::Unimplemented,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every kind of error.
    /// Guarantees: G20 and G21; no forbidden code, no retryable code for what is
    /// final, and no final code for what may pass.
    #[test]
    fn otlp_g20_codes_mean_what_senders_do() {
        use ErrorKind::*;
        for kind in [Throttled, Unavailable, Cancelled, Corrupt, DeadlineExceeded] {
            assert!([Code::Unavailable, Code::DeadlineExceeded].contains(&code(kind)), "{kind}");
        }
        let last = [
            Code::ResourceExhausted,
            Code::InvalidArgument,
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Internal,
            Code::Unimplemented,
        ];
        for kind in [TooLarge, Invalid, Unauthenticated, Denied, Internal, NotFound] {
            assert!(last.contains(&code(kind)), "{kind}");
        }
        assert_eq!(code(Internal), Code::Internal);
    }
}
