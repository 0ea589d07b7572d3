//! Whose turn it is to run.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use schema::{ErrorKind, Tenant};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::Error;

/// Statements that may wait, in all and of one user.
const WAITING: usize = 1_024;
const WAITING_OF_ONE: usize = 64;

/// A tenant's user; all whom nobody knows are one.
pub(super) type Who = (Tenant, Option<String>);

/// Lets as many statements run as there is room for, of each known user no
/// more than a part. Among those that wait, one of the user with the fewest
/// running is next, and among a user's own the first that came.
#[derive(Debug, Clone)]
pub(super) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Statements that run at once.
    limit: usize,
    /// Of one known user.
    of_one: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: HashMap<Who, usize>,
    total: usize,
    waiting: VecDeque<Waiting>,
    /// The process has little memory left.
    pressed: bool,
}

#[derive(Debug)]
struct Waiting {
    who: Who,
    ready: oneshot::Sender<Permit>,
}

/// The right to run, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Admission,
    who: Who,
}

impl State {
    fn of(&self, who: &Who) -> usize {
        self.running.get(who).copied().unwrap_or(0)
    }
}

impl Admission {
    pub fn new(limit: usize, of_one: usize) -> Admission {
        Admission(Arc::new(Inner { limit, of_one, state: Mutex::default() }))
    }

    /// Waits for a turn until `patience` ends.
    pub async fn permit(&self, who: Who, patience: Instant) -> Result<Permit, Error> {
        let turn = {
            let mut state = self.0.state.lock();
            state.waiting.retain(|other| !other.ready.is_closed());
            let of_one = state.waiting.iter().filter(|other| other.who == who).count();
            if state.waiting.len() >= WAITING || of_one >= WAITING_OF_ONE {
                return Err(self.refusal(&state, &who));
            }
            let (ready, turn) = oneshot::channel();
            state.waiting.push_back(Waiting { who: who.clone(), ready });
            turn
        };
        self.grant();
        match timeout_at(patience, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            // Neither is lost while this holds the other end.
            Ok(Err(_)) => Err(Error::new(ErrorKind::Unavailable, "the engine is stopping")),
            Err(_) => Err(self.refusal(&self.0.state.lock(), &who)),
        }
    }

    /// Says whether the process is short of memory. While it is, only one
    /// statement runs that was not running before.
    pub fn press(&self, pressed: bool) {
        self.0.state.lock().pressed = pressed;
        self.grant();
    }

    /// Gives turns to those who are next.
    fn grant(&self) {
        loop {
            let next = {
                let mut state = self.0.state.lock();
                state.waiting.retain(|waiting| !waiting.ready.is_closed());
                let Some(index) = self.next(&state) else { return };
                let Some(next) = state.waiting.remove(index) else { return };
                state.total += 1;
                *state.running.entry(next.who.clone()).or_default() += 1;
                next
            };
            let permit = Permit { admission: self.clone(), who: next.who };
            // Whoever left in between drops the permit, and that comes here again.
            next.ready.send(permit).ok();
        }
    }

    fn next(&self, state: &State) -> Option<usize> {
        let room = match state.pressed {
            // Memory that no statement holds would otherwise keep all out.
            true => state.total == 0,
            false => state.total < self.0.limit,
        };
        if !room {
            return None;
        }
        let may = |who: &Who| who.1.is_none() || state.of(who) < self.0.of_one;
        let all = state.waiting.iter().enumerate().filter(|(_, waiting)| may(&waiting.who));
        all.min_by_key(|(index, waiting)| (state.of(&waiting.who), *index)).map(|(index, _)| index)
    }

    fn refusal(&self, state: &State, who: &Who) -> Error {
        let throttled = |message: String| Error::new(ErrorKind::Throttled, message);
        let (limit, of_one) = (self.0.limit, self.0.of_one);
        if who.1.is_some() && state.of(who) >= of_one {
            return throttled(format!("{of_one} statements of this user run already"))
                .with_hint("try again, or raise query.user_concurrency");
        }
        if state.pressed && state.total < limit {
            return throttled("the process is short of memory and lets no statement begin".into())
                .with_hint("try again, or raise limits.resident");
        }
        throttled(format!("{} statements run already", state.total.max(limit)))
            .with_hint("try again, or raise query.concurrency")
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut state = self.admission.0.state.lock();
            state.total -= 1;
            if let Some(running) = state.running.get_mut(&self.who) {
                *running -= 1;
                if *running == 0 {
                    state.running.remove(&self.who);
                }
            }
        }
        self.admission.grant();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn who(name: &str) -> Who {
        (Tenant::default(), Some(name.to_owned()))
    }

    async fn wait(admission: &Admission, who: Who) -> Result<Permit, Error> {
        admission.permit(who, Instant::now() + Duration::from_secs(60)).await
    }

    async fn refused(admission: &Admission, who: Who) -> Error {
        admission.permit(who, Instant::now()).await.map(drop).unwrap_err()
    }

    /// Scenario: one user fills what one may run, others come after its next.
    /// Guarantees: S22, that user waits for its own, and the others do not wait
    /// for that user; what is free goes to who has least.
    #[tokio::test]
    async fn sec_s22_one_user_cannot_keep_the_others_out() {
        let admission = Admission::new(3, 2);
        let mut eager = Vec::new();
        for _ in 0..2 {
            eager.push(wait(&admission, who("eager")).await.unwrap());
        }
        let error = refused(&admission, who("eager")).await;
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert!(error.to_string().contains("of this user"), "{error}");
        let mut third = Box::pin(wait(&admission, who("eager")));
        assert!(futures::poll!(&mut third).is_pending());
        let other = wait(&admission, who("other")).await.unwrap();
        assert!(refused(&admission, who("third")).await.to_string().starts_with("3 statements"));
        // Both wait; the one that runs less is first, though it came last.
        let mut late = Box::pin(wait(&admission, who("late")));
        assert!(futures::poll!(&mut late).is_pending());
        drop(eager.pop());
        let late = late.await.unwrap();
        assert!(futures::poll!(&mut third).is_pending());
        drop((late, other));
        drop(third.await.unwrap());
        drop(eager);
        assert_eq!(admission.0.state.lock().total, 0);
        assert!(admission.0.state.lock().running.is_empty());
    }

    /// Scenario: those who wait leave, the process runs short of memory, and
    /// nobody is known by name.
    /// Guarantees: S22, no turn is lost; under pressure one at a time begins
    /// once nothing runs; who has no name has no bound of its own.
    #[tokio::test]
    async fn sec_s22_pressure_lets_one_statement_begin() {
        let admission = Admission::new(2, 1);
        let nobody = || (Tenant::default(), None);
        let first = wait(&admission, nobody()).await.unwrap();
        let second = wait(&admission, nobody()).await.unwrap();
        for _ in 0..3 {
            refused(&admission, nobody()).await;
        }
        admission.press(true);
        drop(first);
        let error = refused(&admission, nobody()).await;
        assert!(error.to_string().contains("short of memory"), "{error}");
        drop(second);
        let only = wait(&admission, nobody()).await.unwrap();
        let mut next = Box::pin(wait(&admission, nobody()));
        assert!(futures::poll!(&mut next).is_pending());
        admission.press(false);
        drop(next.await.unwrap());
        drop(only);
        assert_eq!(admission.0.state.lock().total, 0);
    }
}
