//! What follows from a guard that fires, and from a run's turns: the run is
//! stopped, webhooks are called, and each of it is written down. Everything
//! happens at once and in tasks of its own.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use experiments::document::Addressee;
use experiments::guard::Decision;
use experiments::run::{Mark, Source};
use experiments::{Ask as _, Run};
use schema::{Clock, ErrorKind};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::board::Key;
use super::lease::Leases;
use super::metrics::Metrics;
use super::webhook::{Delivery, Webhooks};
use crate::chaos::answer::Local;
use crate::chaos::journal::{Journal, seen};
use crate::chaos::{Runs, told};

/// Deliveries under way at the same time.
const AT_ONCE: usize = 64;
/// What was told of runs is remembered so long, so that it is told once: as long as
/// runs that are over are kept at hand and judged again. Beyond so many the oldest go.
const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);
const MOST_REMEMBERED: usize = 65_536;
/// From one try to write something down to the next.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the last deliveries may take when the daemon stops.
const LAST: Duration = Duration::from_secs(2);

/// A run that is to be stopped.
pub struct Stop {
    pub run: Arc<Run>,
    pub guard: String,
    pub reason: String,
    pub detail: String,
    pub value: Option<f64>,
    pub n: u64,
    /// Of the configuration, by name.
    pub webhooks: Vec<String>,
}

/// What was told, the oldest first.
#[derive(Default)]
struct Memory {
    known: HashSet<(Key, &'static str)>,
    order: VecDeque<((Key, &'static str), Instant)>,
}

impl Memory {
    /// True the first time.
    fn first(&mut self, told: (Key, &'static str), now: Instant) -> bool {
        let gone = |(_, at): &(_, Instant)| now.duration_since(*at) > REMEMBERED;
        while self.order.front().is_some_and(gone) || self.order.len() > MOST_REMEMBERED {
            if let Some((oldest, _)) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        let new = self.known.insert(told.clone());
        if new {
            self.order.push_back((told, now));
        }
        new
    }
}

pub struct Deeds {
    runs: Arc<Runs>,
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    webhooks: Arc<Webhooks>,
    metrics: Metrics,
    room: Arc<Semaphore>,
    told: Memory,
    tasks: JoinSet<()>,
}

impl Deeds {
    pub fn new(
        runs: Arc<Runs>,
        journal: Arc<Journal>,
        clock: Arc<dyn Clock>,
        webhooks: Arc<Webhooks>,
        metrics: Metrics,
    ) -> Deeds {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let (told, tasks) = (Memory::default(), JoinSet::new());
        Deeds { runs, journal, clock, webhooks, metrics, room, told, tasks }
    }

    /// The next that is done; none while there is nothing to do.
    pub async fn next(&mut self) -> Option<Result<(), tokio::task::JoinError>> {
        self.tasks.join_next().await
    }

    pub fn done(&self, done: Result<(), tokio::task::JoinError>) {
        if let Err(error) = done {
            tracing::error!(%error, "what followed from a guard broke off");
        }
    }

    pub async fn stop(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(LAST, all).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "webhooks were given up at shutdown");
        }
        self.tasks.shutdown().await;
    }

    pub fn fired(
        &mut self,
        run: &Arc<Run>,
        guard: &str,
        decision: &Decision,
        action: &[String],
        shadow: bool,
    ) {
        let reason = decision.reason.clone().unwrap_or_default();
        if shadow {
            let now = self.clock.now_unix_nano();
            let message = format!("would have stopped the run: {}", decision.detail);
            self.write(run, told::note(run, "guard-shadow", now, guard, &message));
            return;
        }
        let webhooks = action.iter().filter_map(|one| one.strip_prefix("webhook:"));
        self.stop_run(Stop {
            run: run.clone(),
            guard: guard.to_owned(),
            reason,
            detail: decision.detail.clone(),
            value: decision.value,
            n: decision.n,
            webhooks: webhooks.map(str::to_owned).collect(),
        });
    }

    /// Stops a run and tells everybody, all at the same time.
    pub fn stop_run(&mut self, stop: Stop) {
        let Stop { run, guard, reason, detail, value, n, webhooks } = stop;
        let more = json!({
            "guard": guard, "reason": reason, "detail": detail, "value": value, "n": n,
        });
        for name in webhooks {
            let key = format!("{}/{}/{guard}/{name}", run.id, run.opened.at);
            let body = self.body(&run, "aborted", &more);
            self.deliver(&run, self.webhooks.named(&name, key, body));
        }
        self.tell(&run, "aborted", &more);
        let runs = self.runs.clone();
        self.tasks.spawn(async move {
            let mark = Mark::Abort { guard, reason: format!("{reason}: {detail}") };
            loop {
                let (tenant, id) = (&run.tenant, &run.id);
                match runs.mark(tenant, id, mark.clone(), None, Source::Guard).await {
                    Ok(_) => return,
                    Err(error) if error.kind == ErrorKind::Unavailable => sleep(AGAIN).await,
                    Err(error) => {
                        tracing::warn!(run = %id, %error, "a run could not be stopped");
                        return;
                    }
                }
            }
        });
    }

    /// Tells of the turns that a run has just taken, each once.
    pub fn told(&mut self, run: &Arc<Run>) {
        if run.retrospective {
            return;
        }
        if run.revision == 1 {
            self.tell(run, "started", &json!({}));
        }
        if let Some(abort) = &run.marks.abort {
            let more = json!({"guard": abort.guard, "detail": abort.reason});
            self.tell(run, "aborted", &more);
        }
        if run.marks.end.is_some() {
            self.tell(run, "finished", &json!({}));
        }
    }

    fn tell(&mut self, run: &Arc<Run>, event: &'static str, more: &Value) {
        let key: Key = (run.tenant.clone(), run.id.clone());
        if !self.told.first((key, event), Instant::now()) {
            return;
        }
        let Some(experiment) = run.experiment.clone() else { return };
        for (at, control) in experiment.controls.iter().enumerate() {
            let Addressee::Webhook(control) = control else { continue };
            if control.on.iter().any(|on| on == event) {
                let key = format!("{}/{}/{event}/{at}", run.id, run.opened.at);
                let body = self.body(run, event, more);
                self.deliver(run, self.webhooks.control(control, key, body));
            }
        }
    }

    fn body(&self, run: &Run, event: &str, more: &Value) -> Value {
        let mut body = json!({
            "event": event,
            "run": run.id,
            "experiment": run.name,
            "state": run.state.name(),
            "at_unix_nano": self.clock.now_unix_nano(),
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    }

    fn deliver(&mut self, run: &Arc<Run>, delivery: Delivery) {
        let (webhooks, room, run) = (self.webhooks.clone(), self.room.clone(), run.clone());
        let (journal, clock, metrics) =
            (self.journal.clone(), self.clock.clone(), self.metrics.clone());
        self.tasks.spawn(async move {
            // Never closed while deliveries are made.
            let _room = room.acquire().await;
            let at = clock.now_unix_nano();
            let outcome = webhooks.deliver(&delivery, at / 1_000_000_000).await;
            metrics.webhook(outcome.word);
            if outcome.word != "delivered" {
                tracing::warn!(run = %run.id, to = delivery.shown, why = outcome.detail, "a webhook was not delivered");
            }
            let message = format!(
                "{} after {} tries: {} ({})",
                outcome.word, outcome.tries, outcome.detail, delivery.key
            );
            let mut row = told::note(&run, "webhook", at, &delivery.shown, &message);
            row.accept(outcome.word == "delivered");
            written(&journal, &run, row).await;
        });
    }

    fn write(&mut self, run: &Arc<Run>, row: told::EventRow) {
        let (journal, run) = (self.journal.clone(), run.clone());
        self.tasks.spawn(async move { written(&journal, &run, row).await });
    }

    /// The leases of the last process: their holders have a whole term to renew.
    pub fn restore_leases(&mut self, local: Local, leases: Arc<Leases>) {
        let runs = self.runs.clone();
        self.tasks.spawn(async move {
            if runs.live().is_empty() {
                return;
            }
            let sql = format!(
                "SELECT run_id, kind, reason, message FROM {} WHERE kind IN ('lease', 'lease-over') ORDER BY received_time",
                told::EVENTS
            );
            // What the local log has counts at once; the rest when it can be seen.
            let rows = loop {
                match local.ask(&sql).await.map_err(anyhow::Error::from).and_then(seen) {
                    Ok((rows, _)) => break rows,
                    Err(error) => tracing::debug!("leases cannot be read yet: {error:#}"),
                }
                sleep(AGAIN).await;
            };
            for run in runs.live().into_iter().filter(|run| run.tenant == local.tenant) {
                let mine = |row: &&serde_json::Map<String, Value>| {
                    row.get("run_id").and_then(Value::as_str) == Some(run.id.as_str())
                };
                let Some(last) = rows.iter().rfind(mine) else { continue };
                let text = |key: &str| last.get(key).and_then(Value::as_str).unwrap_or_default();
                let ttl = text("message").parse::<experiments::document::units::Period>();
                if let (Ok(ttl), "lease") = (ttl, text("kind")) {
                    let key = (run.tenant.clone(), run.id.clone());
                    leases.restore(&key, text("reason"), ttl.0, Instant::now());
                }
            }
        });
    }
}

/// Until it is; the daemon's end gives it up.
pub async fn written(journal: &Journal, run: &Run, row: told::EventRow) {
    while let Err(refusal) = journal.write(&run.tenant, told::EVENTS, &[&row]).await {
        if refusal.kind == ErrorKind::Invalid || refusal.kind == ErrorKind::Internal {
            tracing::error!(run = %run.id, %refusal, "an event could not be written down");
            return;
        }
        sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use experiments::RunId;
    use schema::Tenant;

    use super::*;

    /// Scenario: turns of runs are told, again, and again after a week; and more of
    /// them than are remembered.
    /// Guarantees: each is told once while its run is at hand; what is let go of is
    /// the oldest, whatever its run is called.
    #[test]
    fn what_was_told_is_forgotten_by_age() {
        let mut memory = Memory::default();
        let key = |name: &str| (Tenant::default(), RunId::new(name).unwrap());
        let start = Instant::now();
        let day = |days: u64| start + Duration::from_secs(days * 86_400);
        assert!(memory.first((key("a"), "aborted"), day(0)));
        assert!(memory.first((key("a"), "finished"), day(6)));
        assert!(!memory.first((key("a"), "aborted"), day(7)));
        assert!(memory.first((key("a"), "aborted"), day(8)));
        assert!(!memory.first((key("a"), "finished"), day(8)));
        for at in 0..MOST_REMEMBERED {
            assert!(memory.first((key(&format!("b{at}")), "started"), day(8)));
        }
        assert!(memory.order.len() <= MOST_REMEMBERED + 1);
        assert!(!memory.first((key("b7"), "started"), day(8)));
    }
}
