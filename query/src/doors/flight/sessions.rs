//! Who calls. A handshake gives a token, and the token is a session; calls
//! without one belong to whom their credentials name, and together are that
//! caller's one session.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use parking_lot::Mutex;
use schema::ErrorKind;
use tokio::time::Instant;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use crate::Error;
use crate::doors::Caller;

/// Go's clients leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How long a token lives that is not used.
const IDLE: Duration = Duration::from_secs(3600);
/// Tokens at once; the one unused for longest makes room.
const MOST: usize = 4_096;

const AUTHORIZATION: &str = "authorization";

/// What a request says of who sent it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    None,
    Basic { user: &'a str, password: &'a str },
    Bearer(&'a str),
}

/// Passwords and tokens are not for logs (S29).
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::None => f.write_str("none"),
            Credentials::Basic { user, .. } => write!(f, "basic({user:?})"),
            Credentials::Bearer(_) => f.write_str("bearer"),
        }
    }
}

/// Says who is behind credentials, or refuses them. Asked for every call but
/// those that carry a token of the handshake.
pub type Identify = Arc<dyn Fn(Credentials<'_>) -> Result<Caller, Error> + Send + Sync>;

/// What tickets and prepared statements belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub caller: Caller,
    token: Option<Arc<str>>,
}

pub(super) struct Sessions {
    identify: Identify,
    open: Mutex<HashMap<Arc<str>, Open>>,
}

struct Open {
    caller: Caller,
    used: Instant,
}

impl Sessions {
    pub fn new(identify: Identify) -> Sessions {
        Sessions { identify, open: Mutex::default() }
    }

    /// The session of a call.
    pub fn of(&self, metadata: &MetadataMap, now: Instant) -> Result<Session, Error> {
        let header = metadata.get(AUTHORIZATION).map(text).transpose()?;
        if let Some(Scheme::Bearer(token)) = header.and_then(scheme)
            && let Some(session) = self.known(token, now)
        {
            return Ok(session);
        }
        Ok(Session { caller: self.identified(header)?, token: None })
    }

    /// A new session for whom the credentials name, and its token.
    pub fn open(&self, metadata: &MetadataMap, now: Instant) -> Result<Arc<str>, Error> {
        let header = metadata.get(AUTHORIZATION).map(text).transpose()?;
        let caller = self.identified(header)?;
        let token: Arc<str> = uuid::Uuid::new_v4().simple().to_string().into();
        let mut open = self.open.lock();
        open.retain(|_, session| session.used + IDLE > now);
        if open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(token, _)| token.clone()) {
                open.remove(&oldest);
            }
        }
        open.insert(token.clone(), Open { caller, used: now });
        Ok(token)
    }

    pub fn close(&self, session: &Session) {
        if let Some(token) = &session.token {
            self.open.lock().remove(token);
        }
    }

    fn known(&self, token: &str, now: Instant) -> Option<Session> {
        let mut open = self.open.lock();
        let token = open.get_key_value(token)?.0.clone();
        let session = open.get_mut(&token).filter(|session| session.used + IDLE > now)?;
        session.used = now;
        Some(Session { caller: session.caller.clone(), token: Some(token) })
    }

    fn identified(&self, header: Option<&str>) -> Result<Caller, Error> {
        match header.map(|header| scheme(header).ok_or_else(unknown_scheme)).transpose()? {
            None => (self.identify)(Credentials::None),
            Some(Scheme::Bearer(token)) => (self.identify)(Credentials::Bearer(token)),
            Some(Scheme::Basic(encoded)) => {
                let decoded = BASE64.decode(encoded).ok().and_then(|it| String::from_utf8(it).ok());
                let pair = decoded.as_deref().and_then(|decoded| decoded.split_once(':'));
                let (user, password) = pair.ok_or_else(unknown_scheme)?;
                (self.identify)(Credentials::Basic { user, password })
            }
        }
    }
}

/// `authorization: Bearer …`, as the handshake answers it.
pub(super) fn bearer(token: &str) -> Result<AsciiMetadataValue, Error> {
    format!("Bearer {token}")
        .parse()
        .map_err(|_| Error::new(ErrorKind::Internal, "a token does not fit a header"))
}

pub(super) fn put(metadata: &mut MetadataMap, value: AsciiMetadataValue) {
    metadata.insert(AUTHORIZATION, value);
}

enum Scheme<'a> {
    Basic(&'a str),
    Bearer(&'a str),
}

fn scheme(header: &str) -> Option<Scheme<'_>> {
    let (name, rest) = header.split_once(' ')?;
    match name {
        name if name.eq_ignore_ascii_case("basic") => Some(Scheme::Basic(rest.trim())),
        name if name.eq_ignore_ascii_case("bearer") => Some(Scheme::Bearer(rest.trim())),
        _ => None,
    }
}

fn text(value: &AsciiMetadataValue) -> Result<&str, Error> {
    value.to_str().map_err(|_| unknown_scheme())
}

fn unknown_scheme() -> Error {
    Error::new(ErrorKind::Unauthenticated, "the authorization header cannot be read")
        .with_hint("send Basic with user:password in base64, or Bearer with a token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> Sessions {
        Sessions::new(Arc::new(|credentials| match credentials {
            Credentials::Basic { user, password: "right" } => {
                Ok(Caller { principal: Some(user.into()), ..Caller::default() })
            }
            Credentials::Bearer("key") => {
                Ok(Caller { principal: Some("k".into()), ..Caller::default() })
            }
            _ => Err(Error::new(ErrorKind::Unauthenticated, "who are you?")),
        }))
    }

    fn with(header: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(AUTHORIZATION, header.parse().unwrap());
        metadata
    }

    /// Scenario: handshakes with a padded, an unpadded and a wrong password,
    /// calls with their tokens, with a foreign one, with nothing, after the end.
    /// Guarantees: S8, a token is one session of its caller; no other text is.
    #[test]
    fn sec_s8_a_token_is_one_session() {
        let (sessions, now) = (sessions(), Instant::now());
        // "ann:right" needs no padding, "bo:right" two signs of it.
        let ann = sessions.open(&with("Basic YW5uOnJpZ2h0"), now).unwrap();
        let again = sessions.open(&with("Basic YW5uOnJpZ2h0"), now).unwrap();
        for encoded in ["Ym86cmlnaHQ=", "Ym86cmlnaHQ"] {
            assert!(sessions.open(&with(&format!("basic {encoded}")), now).is_ok(), "{encoded}");
        }
        let of = |token: &str| sessions.of(&with(&format!("Bearer {token}")), now);
        let session = of(&ann).unwrap();
        assert_eq!(session.caller.principal.as_deref(), Some("ann"));
        assert_ne!(session, of(&again).unwrap());
        assert_eq!(of("key").unwrap().caller.principal.as_deref(), Some("k"));
        for bad in ["Bearer nobody", "Basic ???", "Basic YW5uOndyb25n", "Digest x", "x"] {
            let error = sessions.of(&with(bad), now).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{bad}");
        }
        assert!(sessions.of(&MetadataMap::new(), now).is_err());
        sessions.close(&session);
        assert!(of(&ann).is_err() && of(&again).is_ok());
    }

    /// Scenario: a session is not used for longer than a token lives, another is.
    /// Guarantees: S8, the first one ends by itself.
    #[test]
    fn sec_s8_an_idle_token_ends() {
        let (sessions, start) = (sessions(), Instant::now());
        let [idle, used] =
            [(); 2].map(|()| sessions.open(&with("Basic YW5uOnJpZ2h0"), start).unwrap());
        let known = |token: &str, now| sessions.of(&with(&format!("Bearer {token}")), now).is_ok();
        let later = start + IDLE * 3 / 4;
        assert!(known(&used, later));
        let later = later + IDLE / 2;
        assert!(known(&used, later) && !known(&idle, later));
    }

    /// Scenario: more handshakes than there may be tokens.
    /// Guarantees: S14, the number of sessions is bounded.
    #[test]
    fn sec_s14_tokens_are_bounded() {
        let sessions = sessions();
        for _ in 0..MOST + 10 {
            sessions.open(&with("Basic YW5uOnJpZ2h0"), Instant::now()).unwrap();
        }
        assert_eq!(sessions.open.lock().len(), MOST);
    }
}
