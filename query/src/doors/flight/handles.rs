//! Tickets and prepared statements by their handles: random, each its session's
//! own, and bounded in number, bytes and time (S8, S14).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parking_lot::Mutex;
use schema::ErrorKind;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sessions::Session;
use crate::{Error, Params};

/// Handles of one session. Its next to end makes room for a new one.
const PER_SESSION: usize = 4_096;
/// Bytes of all statements together.
const MOST_BYTES: usize = 64 << 20;

/// How long a handle lives that is not used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Life {
    /// Redeemed at once, or again after an answer that says to come back.
    Ticket,
    Prepared,
}

impl Life {
    fn span(self) -> Duration {
        match self {
            Life::Ticket => Duration::from_secs(300),
            Life::Prepared => Duration::from_secs(3600),
        }
    }
}

/// A statement that can be run.
#[derive(Debug)]
pub(super) struct Statement {
    pub sql: Arc<str>,
    pub params: Params,
    /// The columns that the client was told.
    pub schema: SchemaRef,
    /// Of the parameters, about.
    pub params_bytes: usize,
}

impl Statement {
    /// About the memory that it holds.
    fn bytes(&self) -> usize {
        self.sql.len() + self.params_bytes + 256 * (1 + self.schema.fields().len())
    }
}

type Handle = [u8; 16];

#[derive(Debug, Default)]
pub(super) struct Handles(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    of: HashMap<Session, HashMap<Handle, Held>>,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    statement: Arc<Statement>,
    life: Life,
    until: Instant,
    cancelled: CancellationToken,
}

impl Handles {
    /// Keeps a statement and gives its handle.
    pub fn issue(
        &self,
        session: &Session,
        statement: Arc<Statement>,
        life: Life,
        now: Instant,
    ) -> Result<Bytes, Error> {
        let mut all = self.0.lock();
        all.make_room(session, statement.bytes(), now)?;
        all.bytes += statement.bytes();
        let handle = uuid::Uuid::new_v4().into_bytes();
        let until = now + life.span();
        let cancelled = CancellationToken::new();
        let held = Held { statement, life, until, cancelled };
        all.of.entry(session.clone()).or_default().insert(handle, held);
        Ok(Bytes::copy_from_slice(&handle))
    }

    /// The statement behind a handle of this session, and what is cancelled
    /// when somebody asks for that.
    pub fn find(
        &self,
        session: &Session,
        handle: &[u8],
        now: Instant,
    ) -> Result<(Arc<Statement>, CancellationToken), Error> {
        let mut all = self.0.lock();
        let held = all.held(session, handle).filter(|held| held.until > now).ok_or_else(unknown)?;
        held.until = now + held.life.span();
        Ok((held.statement.clone(), held.cancelled.clone()))
    }

    /// Puts another statement in the place of one: with values for its parameters.
    pub fn replace(
        &self,
        session: &Session,
        handle: &[u8],
        statement: Arc<Statement>,
    ) -> Result<(), Error> {
        let mut all = self.0.lock();
        let (before, after) = match all.held(session, handle) {
            Some(held) => (held.statement.bytes(), statement.bytes()),
            None => return Err(unknown()),
        };
        if all.bytes - before + after > MOST_BYTES {
            return Err(full());
        }
        all.bytes = all.bytes - before + after;
        if let Some(held) = all.held(session, handle) {
            held.statement = statement;
        }
        Ok(())
    }

    /// Forgets a handle; what runs under it is cancelled. False if there is none.
    pub fn cancel(&self, session: &Session, handle: &[u8]) -> bool {
        match self.0.lock().remove(session, handle) {
            Some(held) => {
                held.cancelled.cancel();
                true
            }
            None => false,
        }
    }

    /// Forgets a handle, and lets what runs under it finish.
    pub fn forget(&self, session: &Session, handle: &[u8]) {
        self.0.lock().remove(session, handle);
    }

    /// Forgets all that a session has.
    pub fn forget_all(&self, session: &Session) {
        let mut all = self.0.lock();
        let gone = all.of.remove(session).unwrap_or_default();
        all.bytes -= gone.values().map(|held| held.statement.bytes()).sum::<usize>();
    }
}

impl All {
    fn held(&mut self, session: &Session, handle: &[u8]) -> Option<&mut Held> {
        let handle: Handle = handle.try_into().ok()?;
        self.of.get_mut(session)?.get_mut(&handle)
    }

    fn remove(&mut self, session: &Session, handle: &[u8]) -> Option<Held> {
        let handle: Handle = handle.try_into().ok()?;
        let own = self.of.get_mut(session)?;
        let held = own.remove(&handle)?;
        if own.is_empty() {
            self.of.remove(session);
        }
        self.bytes -= held.statement.bytes();
        Some(held)
    }

    fn make_room(&mut self, session: &Session, bytes: usize, now: Instant) -> Result<(), Error> {
        let own = self.of.get(session);
        if own.is_some_and(|own| own.len() >= PER_SESSION) {
            let next = own.and_then(|own| own.iter().min_by_key(|(_, held)| held.until));
            if let Some(next) = next.map(|(handle, _)| *handle) {
                self.remove(session, &next);
            }
        }
        if self.bytes + bytes > MOST_BYTES {
            self.expire(now);
        }
        if self.bytes + bytes > MOST_BYTES { Err(full()) } else { Ok(()) }
    }

    /// Forgets everything whose time is over.
    fn expire(&mut self, now: Instant) {
        for own in self.of.values_mut() {
            own.retain(|_, held| held.until > now);
        }
        self.of.retain(|_, own| !own.is_empty());
        let held = self.of.values().flat_map(HashMap::values);
        self.bytes = held.map(|held| held.statement.bytes()).sum();
    }
}

fn unknown() -> Error {
    Error::new(ErrorKind::NotFound, "this session has no such ticket or prepared statement")
        .with_hint("it may have ended after a while without use; prepare or execute it again")
}

fn full() -> Error {
    Error::new(ErrorKind::Throttled, "clients hold too many prepared statements")
        .with_hint("close those that are not needed, or try again in some minutes")
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use tonic::metadata::MetadataMap;

    use super::super::sessions::Sessions;
    use super::*;
    use crate::doors::Caller;

    fn statement(bytes: usize) -> Arc<Statement> {
        let (sql, schema) = ("x".into(), Arc::new(Schema::empty()));
        Arc::new(Statement { sql, params: Params::default(), schema, params_bytes: bytes })
    }

    /// Two sessions of nobody.
    fn two() -> [Session; 2] {
        let sessions = Sessions::new(Arc::new(|_| Ok(Caller::default())));
        [(); 2].map(|()| {
            let token = sessions.open(&MetadataMap::new(), Instant::now()).unwrap();
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
            sessions.of(&metadata, Instant::now()).unwrap()
        })
    }

    /// Scenario: two sessions, each with the other's ticket, and with one that
    /// nobody has.
    /// Guarantees: S8, a ticket serves its own session, and cannot be cancelled
    /// or replaced by another.
    #[test]
    fn sec_s8_a_ticket_serves_its_session() {
        let now = Instant::now();
        let [own, other] = two();
        let handles = Handles::default();
        let ticket = handles.issue(&own, statement(1), Life::Ticket, now).unwrap();
        assert!(handles.find(&own, &ticket, now).is_ok());
        for (session, handle) in [(&other, &ticket[..]), (&own, &[0; 16]), (&own, b"short")] {
            assert_eq!(handles.find(session, handle, now).unwrap_err().kind(), ErrorKind::NotFound);
            assert!(!handles.cancel(session, handle));
            assert!(handles.replace(session, handle, statement(1)).is_err());
        }
        let (_, cancelled) = handles.find(&own, &ticket, now).unwrap();
        assert!(handles.cancel(&own, &ticket) && cancelled.is_cancelled());
        assert!(handles.find(&own, &ticket, now).is_err());
        assert_eq!(handles.0.lock().bytes, 0);
    }

    /// Scenario: a ticket and a prepared statement that nobody uses, and one
    /// that is used.
    /// Guarantees: S8, each ends after its time without use.
    #[test]
    fn sec_s8_handles_end_by_themselves() {
        let start = Instant::now();
        let [own, _] = two();
        let handles = Handles::default();
        let issue = |life| handles.issue(&own, statement(1), life, start).unwrap();
        let (ticket, used, prepared) =
            (issue(Life::Ticket), issue(Life::Ticket), issue(Life::Prepared));
        let later = start + Life::Ticket.span() * 3 / 4;
        assert!(handles.find(&own, &used, later).is_ok());
        let later = later + Life::Ticket.span() / 2;
        let alive =
            [&ticket, &used, &prepared].map(|handle| handles.find(&own, handle, later).is_ok());
        assert_eq!(alive, [false, true, true]);
        let later = later + Life::Prepared.span();
        assert!(handles.find(&own, &prepared, later).is_err());
    }

    /// Scenario: one session asks for more tickets than it may have; several
    /// fill the memory there is.
    /// Guarantees: S14, number and bytes are bounded, the first at the cost of
    /// that session alone, and what has ended makes room.
    #[test]
    fn sec_s14_handles_are_bounded() {
        let start = Instant::now();
        let [own, other] = two();
        let handles = Handles::default();
        let issue = |session: &Session, bytes, now| {
            handles.issue(session, statement(bytes), Life::Ticket, now)
        };
        let kept = issue(&other, 1, start).unwrap();
        let first = issue(&own, 1, start).unwrap();
        let now = start + Duration::from_secs(1);
        for _ in 0..PER_SESSION {
            issue(&own, 1, now).unwrap();
        }
        let found = |session, handle: &[u8]| handles.find(session, handle, now).is_ok();
        assert!(!found(&own, &first) && found(&other, &kept));
        handles.forget_all(&own);
        for _ in 0..7 {
            issue(&own, 9 << 20, now).unwrap();
        }
        let error = issue(&other, 9 << 20, now).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert!(handles.replace(&other, &kept, statement(9 << 20)).is_err());
        assert!(issue(&other, 9 << 20, now + Life::Ticket.span()).is_ok());
    }
}
