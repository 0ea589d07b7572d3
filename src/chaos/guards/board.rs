//! The last decision of each run, for whoever asks. A run without one is told
//! of as what it is, and never as healthy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use experiments::guard::{Decision, Verdict};
use experiments::run::State;
use experiments::{Run, RunId};
use parking_lot::RwLock;
use schema::{Clock, Tenant};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::chaos::Runs;
use crate::chaos::runs::Reading;

/// A decision older than this is none any more.
const STALE: Duration = Duration::from_secs(5);

/// The longest wait for a change without a look.
const MOMENT: Duration = Duration::from_millis(250);

pub type Key = (Tenant, RunId);

pub struct Board {
    runs: Arc<Runs>,
    clock: Arc<dyn Clock>,
    pub node_id: String,
    /// Each with when it was made, by no clock that can be set: one put back must
    /// not make an old decision new.
    posted: RwLock<BTreeMap<Key, watch::Sender<(Decision, Instant)>>>,
    /// Moves with every change of what is watched.
    anything: watch::Sender<()>,
    closed: CancellationToken,
}

/// A decision as it holds when it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub decision: Decision,
    pub staleness_ms: u64,
}

impl Board {
    pub fn new(runs: Arc<Runs>, clock: Arc<dyn Clock>, node_id: String) -> Arc<Board> {
        let (posted, anything) = (RwLock::default(), watch::Sender::new(()));
        let closed = CancellationToken::new();
        Arc::new(Board { runs, clock, node_id, posted, anything, closed })
    }

    /// Whoever waits is answered: the daemon stops.
    pub fn close(&self) {
        self.closed.cancel();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub fn now(&self) -> i64 {
        self.clock.now_unix_nano()
    }

    pub fn post(&self, key: &Key, decision: Decision) {
        let decision = (decision, Instant::now());
        let posted = self.posted.read();
        if let Some(sender) = posted.get(key) {
            sender.send_replace(decision);
            return;
        }
        drop(posted);
        self.posted.write().insert(key.clone(), watch::Sender::new(decision));
        self.anything.send_replace(());
    }

    /// Its guards are not evaluated any more; who waits looks again.
    pub fn remove(&self, key: &Key) {
        self.posted.write().remove(key);
        self.anything.send_replace(());
    }

    /// `None`: there is no such run.
    pub fn seen(&self, key: &Key) -> Option<Seen> {
        let now = self.now();
        let posted = self.posted.read().get(key).map(|sender| sender.borrow().clone());
        let Some(run) = self.runs.get(&key.0, &key.1) else {
            let why = match (self.runs.elsewhere(&key.0, &key.1), self.runs.reading()) {
                (Some((run, node)), _) => match latched(&run, now) {
                    Some(latched) => return Some(fresh(latched)),
                    None => format!("the run is kept by node {node}, whose guards must be asked"),
                },
                (None, Reading::Whole) => return None,
                (None, Reading::Begun) => {
                    "the runs of the last process are still being read".into()
                }
                (None, Reading::Local) => {
                    "the object store is away, and whether there is such a run cannot be told"
                        .into()
                }
            };
            return Some(fresh(Decision::cannot_tell("pipeline_gap", why, now)));
        };
        if let Some(latched) = latched(&run, now) {
            return Some(fresh(latched));
        }
        let Some((decision, made)) = posted else {
            let why = match run.experiment {
                _ if run.retrospective => "the run was opened after the fact",
                None => "no document says what its guards are",
                Some(_) => "its guards were not evaluated yet",
            };
            return Some(fresh(Decision::cannot_tell("pipeline_gap", why, now)));
        };
        let age = made.elapsed();
        let staleness_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        // What stopped it holds however old it is.
        if age > STALE && decision.verdict != Verdict::Stop {
            let why = format!("its guards were last evaluated {:.0} s ago", age.as_secs_f64());
            let old = Decision::cannot_tell("pipeline_gap", why, decision.evaluated_at);
            return Some(Seen { decision: old, staleness_ms });
        }
        Some(Seen { decision, staleness_ms })
    }

    /// Waits until something may be different for this run, for a moment at most:
    /// a decision grows stale without anybody saying so.
    pub async fn changed(&self, key: &Key) {
        let moved = tokio::time::timeout(MOMENT, self.moved(key));
        tokio::select! {
            () = self.closed.cancelled() => {}
            _ = moved => {}
        }
    }

    async fn moved(&self, key: &Key) {
        let follower = self.posted.read().get(key).map(watch::Sender::subscribe);
        let mut anything = self.anything.subscribe();
        match follower {
            Some(mut follower) => {
                let verdict = follower.borrow_and_update().0.verdict;
                let moved = follower.wait_for(|(decision, _)| decision.verdict != verdict);
                tokio::select! {
                    // An error is a sender that is gone: what holds now is another question.
                    _ = moved => {}
                    _ = anything.changed() => {}
                }
            }
            None => drop(anything.changed().await),
        }
    }
}

fn fresh(decision: Decision) -> Seen {
    Seen { decision, staleness_ms: 0 }
}

/// What a run that is over answers for good.
fn latched(run: &Run, now: i64) -> Option<Decision> {
    match (run.state, &run.marks.abort) {
        (State::Aborted, Some(abort)) => {
            Some(Decision::stop(&abort.guard, "aborted", abort.reason.clone(), now))
        }
        (State::Aborted, None) => Some(Decision::stop("", "aborted", "it was stopped", now)),
        (State::Ended, _) => {
            let why = "the run has ended, and its guards are not evaluated any more";
            Some(Decision::cannot_tell("ended", why, now))
        }
        _ => None,
    }
}
