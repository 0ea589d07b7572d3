//! Whose turn it is to run.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use schema::{ErrorKind, Tenant};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::Error;

/// Statements that may wait, in all and of one user.
const WAITING: usize = 1_024;
const WAITING_OF_ONE: usize = 64;

/// While the process is short of memory, the next statement begins when the one
/// before has ended or has gone on for this long: by then it is seen how much
/// that one takes.
const PACE: Duration = Duration::from_millis(250);

/// A tenant's user; all whom nobody knows are one.
pub(super) type Who = (Tenant, Option<String>);

/// Lets as many statements run as there is room for, of each known user no
/// more than a part. Among those that wait, one of the user with the fewest
/// running is next, and among a user's own the first that came.
#[derive(Debug, Clone)]
pub(super) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Statements that run at once; as many more may linger.
    limit: usize,
    /// Of one known user, with those that linger.
    of_one: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By user, with those that linger.
    running: HashMap<Who, usize>,
    /// Permits that hold a turn, and those that have given theirs on.
    turns: BTreeSet<u64>,
    lingering: BTreeSet<u64>,
    waiting: VecDeque<Waiting>,
    pressure: Pressure,
    /// Counts permits.
    next: u64,
    /// The last one that was given, and when.
    last: Option<(u64, Instant)>,
}

/// How short of memory the process is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Pressure {
    #[default]
    None,
    /// Statements begin one after another.
    Short,
    /// Memory is about to come back: until then nothing begins beside others.
    Settling,
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
    id: u64,
}

impl Permit {
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl State {
    fn of(&self, who: &Who) -> usize {
        self.running.get(who).copied().unwrap_or(0)
    }

    /// Whether the last one that began is known well enough for the next.
    fn paced(&self) -> bool {
        self.last.is_none_or(|(id, at)| !self.turns.contains(&id) || at.elapsed() >= PACE)
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

    /// Says how short of memory the process is. To be said again and again
    /// while it is: time passes for those who wait.
    pub fn press(&self, pressure: Pressure) {
        self.0.state.lock().pressure = pressure;
        self.grant();
    }

    /// Takes the turn of one that was told to stop and goes on, for the next.
    /// False when as many linger as may, and it keeps its turn.
    pub fn give_on(&self, permit: u64) -> bool {
        {
            let mut state = self.0.state.lock();
            if state.lingering.len() >= self.0.limit || !state.turns.remove(&permit) {
                return false;
            }
            state.lingering.insert(permit);
        }
        self.grant();
        true
    }

    /// Gives turns to those who are next.
    fn grant(&self) {
        loop {
            let (next, id) = {
                let mut state = self.0.state.lock();
                state.waiting.retain(|waiting| !waiting.ready.is_closed());
                let Some(index) = self.next(&state) else { return };
                let Some(next) = state.waiting.remove(index) else { return };
                let id = state.next;
                state.next += 1;
                state.turns.insert(id);
                state.last = Some((id, Instant::now()));
                *state.running.entry(next.who.clone()).or_default() += 1;
                (next, id)
            };
            let permit = Permit { admission: self.clone(), who: next.who, id };
            // Whoever left in between drops the permit, and that comes here again.
            next.ready.send(permit).ok();
        }
    }

    fn next(&self, state: &State) -> Option<usize> {
        let room = match state.pressure {
            Pressure::None => true,
            Pressure::Short => state.paced(),
            // Memory that no statement holds would otherwise keep all out.
            Pressure::Settling => state.turns.is_empty(),
        };
        if !room || state.turns.len() >= self.0.limit {
            return None;
        }
        let may = |who: &Who| who.1.is_none() || state.of(who) < self.0.of_one;
        let all = state.waiting.iter().enumerate().filter(|(_, waiting)| may(&waiting.who));
        all.min_by_key(|(index, waiting)| (state.of(&waiting.who), *index)).map(|(index, _)| index)
    }

    fn refusal(&self, state: &State, who: &Who) -> Error {
        let throttled = |message: String| Error::new(ErrorKind::Throttled, message);
        let of_one = self.0.of_one;
        if who.1.is_some() && state.of(who) >= of_one {
            return throttled(format!("{of_one} statements of this user run already"))
                .with_hint("try again, or raise query.user_concurrency");
        }
        if state.pressure != Pressure::None && state.turns.len() < self.0.limit {
            return throttled(
                "the process is short of memory, and statements begin one by one".into(),
            )
            .with_hint("try again, or raise limits.resident");
        }
        let running = state.turns.len() + state.lingering.len();
        throttled(format!("{running} statements run already"))
            .with_hint("try again, or raise query.concurrency")
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut state = self.admission.0.state.lock();
            if !state.turns.remove(&self.id) {
                state.lingering.remove(&self.id);
            }
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
        assert!(admission.0.state.lock().turns.is_empty());
        assert!(admission.0.state.lock().running.is_empty());
    }

    /// Scenario: the process runs short of memory while statements run and
    /// others wait; nobody is known by name.
    /// Guarantees: S22, under pressure statements begin one after another: the
    /// next when the last has ended or is known; while memory is about to come
    /// back only where nothing runs; who has no name has no bound of its own.
    #[tokio::test(start_paused = true)]
    async fn sec_s22_under_pressure_statements_begin_one_by_one() {
        let admission = Admission::new(4, 1);
        let nobody = || (Tenant::default(), None);
        let first = wait(&admission, nobody()).await.unwrap();
        admission.press(Pressure::Short);
        let error = refused(&admission, nobody()).await;
        assert!(error.to_string().contains("short of memory"), "{error}");
        let mut second = Box::pin(wait(&admission, nobody()));
        assert!(futures::poll!(&mut second).is_pending());
        tokio::time::advance(PACE).await;
        admission.press(Pressure::Short);
        let second = second.await.unwrap();
        refused(&admission, nobody()).await;
        // Room for the next, and it is the last that has gone.
        drop(second);
        let third = wait(&admission, nobody()).await.unwrap();
        tokio::time::advance(PACE).await;
        admission.press(Pressure::Settling);
        refused(&admission, nobody()).await;
        drop((first, third));
        let only = wait(&admission, nobody()).await.unwrap();
        let mut next = Box::pin(wait(&admission, nobody()));
        assert!(futures::poll!(&mut next).is_pending());
        admission.press(Pressure::None);
        drop((next.await.unwrap(), only));
        assert!(admission.0.state.lock().turns.is_empty());
    }

    /// Scenario: every statement that runs was told to stop and goes on, more
    /// than once over, under pressure.
    /// Guarantees: S22, others run in their place; no more linger than may run,
    /// and a user's own count for that user; all is forgotten when they end.
    #[tokio::test]
    async fn sec_s22_who_does_not_stop_keeps_nobody_out() {
        let admission = Admission::new(2, 2);
        admission.press(Pressure::Settling);
        let mut stuck = Vec::new();
        for _ in 0..2 {
            let permit = wait(&admission, who("stuck")).await.unwrap();
            assert!(admission.give_on(permit.id()));
            assert!(!admission.give_on(permit.id()), "it has none any more");
            stuck.push(permit);
        }
        assert!(refused(&admission, who("stuck")).await.to_string().contains("of this user"));
        admission.press(Pressure::None);
        let others = [wait(&admission, who("a")).await, wait(&admission, who("b")).await];
        let [a, b] = others.map(Result::unwrap);
        assert!(!admission.give_on(a.id()), "two linger already");
        assert!(refused(&admission, who("c")).await.to_string().starts_with("4 statements"));
        drop(stuck.pop());
        assert!(admission.give_on(a.id()));
        drop(wait(&admission, who("c")).await.unwrap());
        drop((a, b, stuck));
        let state = admission.0.state.lock();
        assert!(state.turns.is_empty() && state.lingering.is_empty() && state.running.is_empty());
    }
}
