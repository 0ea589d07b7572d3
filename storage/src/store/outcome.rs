//! What a store's error asks for. The only place that tells one from another:
//! commits, uploads, [`Error::kind`](crate::Error::kind) and `doctor` follow it.
//!
//! `object_store` keeps the server's status and words, but not as types. They
//! are read from the text of the error; the tests below make real clients
//! produce it, so that another wording of theirs is noticed.

use object_store::Error;
use schema::ErrorKind;

use super::words::chain;

/// What became of a request, and so what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An object has the name: another's, or our own of an attempt whose
    /// answer was lost. Read it to know.
    Taken,
    /// There is no such object.
    Absent,
    /// Two requests for one name met and neither was done. Repeat it.
    Collided,
    /// The server asks for less haste; not done. Repeat it after a pause.
    Busy,
    /// It may have been done, now or soon. Read, then repeat what is missing.
    Unknown,
    /// Not done, and not to be before a human has done something.
    Refused(Refused),
}

/// Why a store turns requests away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are no credentials, or they are not known, or not right.
    Credentials,
    /// The credentials were right once.
    Expired,
    /// The signature is of another time than the server's.
    Clock,
    /// They are right and may not do this.
    Permission,
    /// The bucket or container does not exist.
    Bucket,
    /// The bucket is elsewhere.
    Region,
    /// The store cannot do what is asked.
    Unable,
}

use Refused::*;

/// What servers call it, in `<Code>` of S3, Google's XML API and Azure.
const CODES: &[(&str, Outcome)] = &[
    ("ConditionalRequestConflict", Outcome::Collided),
    ("OperationAborted", Outcome::Collided),
    ("BlobAlreadyExists", Outcome::Taken),
    ("PreconditionFailed", Outcome::Taken),
    ("ConditionNotMet", Outcome::Taken),
    ("SlowDown", Outcome::Busy),
    ("ServerBusy", Outcome::Busy),
    ("ServiceUnavailable", Outcome::Busy),
    ("TooManyRequests", Outcome::Busy),
    ("RequestLimitExceeded", Outcome::Busy),
    ("Throttling", Outcome::Busy),
    ("InternalError", Outcome::Unknown),
    ("OperationTimedOut", Outcome::Unknown),
    ("RequestTimeout", Outcome::Unknown),
    // A repeated completion, or one after an abort: the object tells.
    ("NoSuchUpload", Outcome::Unknown),
    ("NoSuchKey", Outcome::Absent),
    ("BlobNotFound", Outcome::Absent),
    ("NoSuchBucket", Outcome::Refused(Bucket)),
    ("ContainerNotFound", Outcome::Refused(Bucket)),
    ("ContainerBeingDeleted", Outcome::Refused(Bucket)),
    ("AccountIsDisabled", Outcome::Refused(Bucket)),
    ("PermanentRedirect", Outcome::Refused(Region)),
    ("TemporaryRedirect", Outcome::Refused(Region)),
    ("AuthorizationHeaderMalformed", Outcome::Refused(Region)),
    ("IllegalLocationConstraintException", Outcome::Refused(Region)),
    ("RequestTimeTooSkewed", Outcome::Refused(Clock)),
    ("RequestExpired", Outcome::Refused(Clock)),
    ("ExpiredToken", Outcome::Refused(Expired)),
    ("ExpiredTokenException", Outcome::Refused(Expired)),
    ("TokenRefreshRequired", Outcome::Refused(Expired)),
    ("InvalidAccessKeyId", Outcome::Refused(Credentials)),
    ("InvalidToken", Outcome::Refused(Credentials)),
    ("InvalidIdentityToken", Outcome::Refused(Credentials)),
    ("InvalidClientTokenId", Outcome::Refused(Credentials)),
    ("SignatureDoesNotMatch", Outcome::Refused(Credentials)),
    ("AuthenticationFailed", Outcome::Refused(Credentials)),
    ("InvalidAuthenticationInfo", Outcome::Refused(Credentials)),
    ("NoAuthenticationInformation", Outcome::Refused(Credentials)),
    ("AccessDenied", Outcome::Refused(Permission)),
    ("AuthorizationFailure", Outcome::Refused(Permission)),
    ("AuthorizationPermissionMismatch", Outcome::Refused(Permission)),
    ("InsufficientAccountPermissions", Outcome::Refused(Permission)),
    ("NotImplemented", Outcome::Refused(Unable)),
    ("MethodNotAllowed", Outcome::Refused(Unable)),
];

/// Where credentials are asked for when none were given, and how Google says
/// no to the ones it exchanges.
const IDENTITY: [&str; 4] =
    ["169.254.169.254", "169.254.170.2", "metadata.google.internal", "invalid_grant"];

/// What an error asks for.
pub fn outcome(error: &Error) -> Outcome {
    let text = chain(error);
    if let Some(outcome) = by_code(&text) {
        return outcome;
    }
    match error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } => Outcome::Taken,
        Error::NotFound { .. } => Outcome::Absent,
        Error::PermissionDenied { .. } => Outcome::Refused(Permission),
        Error::Unauthenticated { .. } => Outcome::Refused(Credentials),
        Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::InvalidPath { .. }
        | Error::UnknownConfigurationKey { .. } => Outcome::Refused(Unable),
        _ => by_status(&text),
    }
}

/// The same for an error of which only the words were kept.
pub fn outcome_in_words(text: &str) -> Outcome {
    by_code(text).unwrap_or_else(|| by_status(text))
}

/// The server's own word is more exact than the status it came with: 409 is a
/// taken name in Azure and a collision in S3, 403 is half a dozen things.
fn by_code(text: &str) -> Option<Outcome> {
    let said = said(text)?;
    CODES.iter().find(|(code, _)| *code == said).map(|(_, outcome)| *outcome)
}

fn by_status(text: &str) -> Outcome {
    if IDENTITY.iter().any(|place| text.contains(place)) {
        return Outcome::Refused(Credentials);
    }
    if text.contains("redirect without LOCATION") {
        return Outcome::Refused(Region);
    }
    match status(text) {
        Some(301 | 307 | 308) => Outcome::Refused(Region),
        Some(401) => Outcome::Refused(Credentials),
        Some(403) => Outcome::Refused(Permission),
        // Objects that are not there have an error of their own: this is what
        // holds them.
        Some(404) => Outcome::Refused(Bucket),
        Some(405 | 501) => Outcome::Refused(Unable),
        Some(429 | 503) => Outcome::Busy,
        // Timeouts, resets, other failures of the server, 200 with an error inside.
        _ => Outcome::Unknown,
    }
}

/// The server's word for it.
fn said(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("<Code>")?;
    after.split_once("</Code>").map(|(code, _)| code)
}

fn status(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

impl Outcome {
    /// What whoever waits for it should do.
    pub fn kind(self) -> ErrorKind {
        match self {
            Outcome::Absent => ErrorKind::NotFound,
            Outcome::Refused(Permission) => ErrorKind::Denied,
            Outcome::Refused(Credentials | Expired | Clock) => ErrorKind::Unauthenticated,
            _ => ErrorKind::Unavailable,
        }
    }

    /// What a human can do about it, as the end of a message; nothing where
    /// trying again will do.
    pub fn remedy(self) -> &'static str {
        match self {
            Outcome::Refused(refused) => refused.remedy(),
            _ => "",
        }
    }
}

impl Refused {
    fn remedy(self) -> &'static str {
        match self {
            Credentials => {
                "; credentials are missing or not known to it: check those in the environment or in store.options"
            }
            Expired => {
                "; the credentials have expired: renew them, and restart this node if they were given to it"
            }
            Clock => "; this machine's clock and the store's differ too much: start NTP",
            Permission => {
                "; the credentials may not do this: grant it, `cloudsail doctor` says what is needed"
            }
            Bucket => "; the bucket does not exist: create it, or correct store.url",
            Region => {
                "; the bucket is in another region: set store.options.aws_region, or the endpoint"
            }
            Unable => "; the store cannot do this: use one that can",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Source = Box<dyn std::error::Error + Send + Sync>;

    fn xml(code: &str) -> Source {
        format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>").into()
    }

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.into() }
    }

    /// Scenario: an error of every kind that `object_store` has, by hand.
    /// Guarantees: each has one outcome, and refusals alone a remedy.
    #[test]
    fn every_kind_of_error_has_an_outcome() {
        let path = || "a/b".to_owned();
        let source = || -> Source { "why".into() };
        for (error, is) in [
            (Error::AlreadyExists { path: path(), source: source() }, Outcome::Taken),
            (Error::Precondition { path: path(), source: source() }, Outcome::Taken),
            (Error::NotFound { path: path(), source: source() }, Outcome::Absent),
            (
                Error::PermissionDenied { path: path(), source: source() },
                Outcome::Refused(Permission),
            ),
            (
                Error::Unauthenticated { path: path(), source: source() },
                Outcome::Refused(Credentials),
            ),
            (Error::NotSupported { source: source() }, Outcome::Refused(Unable)),
            (Error::NotModified { path: path(), source: source() }, Outcome::Unknown),
            (
                Error::NotImplemented { operation: path(), implementer: path() },
                Outcome::Refused(Unable),
            ),
            (generic("connection reset"), Outcome::Unknown),
            (generic("non-2xx status code: 500 Internal Server Error: "), Outcome::Unknown),
            (generic("non-2xx status code: 503 Service Unavailable: "), Outcome::Busy),
            (generic("non-2xx status code: 404 Not Found: "), Outcome::Refused(Bucket)),
            (generic("PUT http://169.254.169.254/latest/api/token"), Outcome::Refused(Credentials)),
        ] {
            assert_eq!(outcome(&error), is, "{error}");
            assert_eq!(is.remedy().is_empty(), !matches!(is, Outcome::Refused(_)), "{is:?}");
        }
    }

    /// Scenario: throttling, denials, expired credentials and a skewed clock, as
    /// S3 and Azure word them, under whatever status.
    /// Guarantees: F24, less haste for the first; for the others each its own
    /// remedy, which names what to change.
    #[test]
    fn fault_f24_each_refusal_says_what_to_do() {
        let denied = |code| Error::PermissionDenied { path: "a".into(), source: xml(code) };
        for (error, is, remedy) in [
            (generic("status code: 429 Too Many Requests: "), Outcome::Busy, ""),
            (denied("SlowDown"), Outcome::Busy, ""),
            (denied("AccessDenied"), Outcome::Refused(Permission), "grant"),
            (denied("ExpiredToken"), Outcome::Refused(Expired), "renew"),
            (denied("RequestTimeTooSkewed"), Outcome::Refused(Clock), "NTP"),
            (denied("SignatureDoesNotMatch"), Outcome::Refused(Credentials), "environment"),
            (denied("AuthenticationFailed"), Outcome::Refused(Credentials), "environment"),
            (
                generic("status code: 400 Bad Request: <Error><Code>ExpiredToken</Code></Error>"),
                Outcome::Refused(Expired),
                "renew",
            ),
        ] {
            assert_eq!(outcome(&error), is, "{error:?}");
            assert!(is.remedy().contains(remedy), "{}", is.remedy());
        }
    }

    /// Scenario: 409 and 412 in the meanings that they have at S3 and Azure, and
    /// an error inside of a 200.
    /// Guarantees: F26: a collision is repeated, a taken name is read, and an
    /// error is no success.
    #[test]
    fn fault_f26_conflicts_are_told_apart() {
        let exists = |source| Error::AlreadyExists { path: "a".into(), source };
        assert_eq!(outcome(&exists(xml("ConditionalRequestConflict"))), Outcome::Collided);
        assert_eq!(outcome(&exists(xml("BlobAlreadyExists"))), Outcome::Taken);
        assert_eq!(outcome(&exists("412".into())), Outcome::Taken);
        let inside = "Server returned error response: <Error><Code>InternalError</Code></Error>";
        assert_eq!(outcome(&generic(inside)), Outcome::Unknown);
    }
}
