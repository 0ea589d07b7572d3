//! Running and recent statements: what `system.queries` shows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use schema::{ErrorKind, Tenant};

use super::Query;
use super::stats::Stats;

/// Finished statements that are remembered.
const RECENT: usize = 256;
/// Bytes of a statement's text that are remembered.
const TEXT: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Queued,
    Planning,
    Running,
    Done,
    /// Cut at a row limit.
    Truncated,
    /// The client went away.
    Cancelled,
    Failed(ErrorKind),
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Planning => "planning",
            State::Running => "running",
            State::Done => "done",
            State::Truncated => "truncated",
            State::Cancelled => "cancelled",
            State::Failed(kind) => kind.as_str(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Activity {
    pub id: u64,
    pub door: &'static str,
    pub principal: Option<String>,
    pub tenant: Tenant,
    pub sql: String,
    pub started_unix_nano: i64,
    pub stats: Stats,
    state: Mutex<State>,
}

impl Activity {
    pub fn state(&self) -> State {
        *self.state.lock()
    }

    pub fn moved(&self, state: State) {
        *self.state.lock() = state;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Activities {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    running: BTreeMap<u64, Arc<Activity>>,
    recent: VecDeque<Arc<Activity>>,
}

impl Activities {
    pub fn begin(&self, query: &Query, now: i64) -> Arc<Activity> {
        let mut inner = self.inner.lock();
        inner.next += 1;
        let mut end = query.sql.len().min(TEXT);
        while !query.sql.is_char_boundary(end) {
            end -= 1;
        }
        let activity = Arc::new(Activity {
            id: inner.next,
            door: query.door,
            principal: query.principal.clone(),
            tenant: query.tenant.clone(),
            sql: query.sql[..end].to_owned(),
            started_unix_nano: now,
            stats: Stats::begin(),
            state: Mutex::new(State::Queued),
        });
        inner.running.insert(activity.id, activity.clone());
        activity
    }

    /// Files it under the recent ones; false when that was done before.
    pub fn end(&self, activity: &Activity, state: State) -> bool {
        let mut inner = self.inner.lock();
        let Some(ended) = inner.running.remove(&activity.id) else { return false };
        ended.moved(state);
        ended.stats.stop();
        if inner.recent.len() == RECENT {
            inner.recent.pop_front();
        }
        inner.recent.push_back(ended);
        true
    }

    pub fn running(&self) -> usize {
        self.inner.lock().running.len()
    }

    /// A tenant's statements, oldest first.
    pub fn of(&self, tenant: &Tenant) -> Vec<Arc<Activity>> {
        let inner = self.inner.lock();
        let all = inner.recent.iter().chain(inner.running.values());
        all.filter(|activity| activity.tenant == *tenant).cloned().collect()
    }
}
