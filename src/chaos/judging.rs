//! Settled runs, judged: one after the other, by SQL within the engine's own
//! bounds, off the I/O threads. What is late is judged again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use experiments::judge::{HISTORY, Sample, judge_with_samples};
use experiments::run::row::WindowRow;
use experiments::run::{Judged, RunId};
use experiments::verdict::{Reason, Verdict};
use experiments::window::{Phases, Span};
use experiments::{Ask as _, Report, Run, Window};
use query::Engine;
use schema::tables::experiments::{SAMPLES, VERDICTS, WINDOWS};
use schema::{Clock, ErrorKind, Refusal, Tenant};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::answer::Local;
use super::journal::{Journal, objects};
use super::runs::Order;

const SECOND: i64 = 1_000_000_000;
const MICRO: i64 = 1_000;
/// After a judging that the engine could not answer, in nanoseconds; doubled each
/// time, up to the last of [`REVISED`].
const RETRY: i64 = 10 * SECOND;
/// After a verdict that waits for late telemetry.
const REVISED: [i64; 3] = [300 * SECOND, 1_800 * SECOND, 6 * 3_600 * SECOND];

type Key = (Tenant, RunId);

pub struct Judge {
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    waiting: VecDeque<Arc<Run>>,
    /// Waiting or running.
    queued: HashSet<Key>,
    running: JoinSet<(Key, Judging)>,
    cancel: CancellationToken,
    /// Times it was tried in vain, and when it is tried again.
    failed: HashMap<Key, (u32, i64)>,
    revised: HashMap<Key, usize>,
}

/// How a judging went.
pub struct Judging {
    window: Window,
    judged: i64,
    result: Result<(Report, Vec<Sample>), experiments::Error>,
}

impl Judge {
    pub fn new(engine: Arc<Engine>, clock: Arc<dyn Clock>) -> Judge {
        Judge {
            engine,
            clock,
            waiting: VecDeque::new(),
            queued: HashSet::new(),
            running: JoinSet::new(),
            cancel: CancellationToken::new(),
            failed: HashMap::new(),
            revised: HashMap::new(),
        }
    }

    /// Queues a run whose time has come.
    pub fn due(&mut self, run: &Arc<Run>, now: i64) {
        let late =
            |judged: Judged| matches!(judged.reason, Some(Reason::Late | Reason::PipelineGap));
        // Most runs were judged long ago.
        if run.experiment.is_none()
            || run.judged.is_some_and(|judged| !late(judged))
            || run.settled().is_none_or(|settled| settled > now)
        {
            return;
        }
        let key = (run.tenant.clone(), run.id.clone());
        let due = match run.judged {
            None => self.failed.get(&key).is_none_or(|(_, again)| *again <= now),
            Some(judged) => {
                let times = self.revised.get(&key).copied().unwrap_or(0);
                REVISED.get(times).is_some_and(|wait| judged.at.saturating_add(*wait) <= now)
            }
        };
        if due && self.queued.insert(key.clone()) {
            if run.judged.is_some() {
                *self.revised.entry(key).or_default() += 1;
            }
            self.waiting.push_back(run.clone());
        }
    }

    /// Queues a run because somebody asks for it.
    pub fn order(&mut self, run: &Arc<Run>) -> Result<(), Error> {
        if run.experiment.is_none() {
            let message =
                format!("run {} was only observed: no document says what to judge", run.id);
            return Err(Error::conflict(message, "declare an experiment of its name first"));
        }
        if !run.state.is_over() {
            let message = format!("run {} is {}", run.id, run.state.name());
            return Err(Error::conflict(message, "end it first"));
        }
        if self.queued.insert((run.tenant.clone(), run.id.clone())) {
            self.waiting.push_back(run.clone());
        }
        Ok(())
    }

    /// The store is back: what waited for it is due.
    pub fn again(&mut self) {
        self.failed.clear();
    }

    /// Starts the next one if none is running.
    pub fn begin(&mut self) {
        if !self.running.is_empty() {
            return;
        }
        let Some(run) = self.waiting.pop_front() else { return };
        let (engine, judged) = (self.engine.clone(), self.clock.now_unix_nano());
        let (cancel, handle) = (self.cancel.clone(), Handle::current());
        // Its statistics are seconds of work: they get a thread of their own.
        self.running.spawn_blocking(move || handle.block_on(judge(run, judged, engine, cancel)));
    }

    /// The next judging that ends; `None` when none is running.
    pub async fn next(&mut self) -> Option<Order> {
        let ended = self.running.join_next().await?;
        let ((tenant, id), judging) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "judging a run broke off; please report it");
                return None;
            }
        };
        let key = (tenant.clone(), id.clone());
        self.queued.remove(&key);
        match &judging.result {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                let (times, _) = self.failed.get(&key).copied().unwrap_or((0, 0));
                let wait = RETRY.saturating_mul(1 << times.min(12)).min(REVISED[2]);
                let again = self.clock.now_unix_nano().saturating_add(wait);
                self.failed.insert(key, (times.saturating_add(1), again));
                tracing::debug!(run = %id, %error, "a run could not be judged yet");
            }
            _ => drop(self.failed.remove(&key)),
        }
        Some(Order::Judged { tenant, id, judging: Box::new(judging) })
    }

    pub async fn stop(mut self) {
        self.cancel.cancel();
        while self.running.join_next().await.is_some() {}
    }
}

async fn judge(
    run: Arc<Run>,
    judged: i64,
    engine: Arc<Engine>,
    cancel: CancellationToken,
) -> (Key, Judging) {
    let local = Local { engine, tenant: run.tenant.clone() };
    let mut window = run.window(Vec::new());
    let judging = async {
        let Some(experiment) = &run.experiment else {
            return Err(experiments::Error::internal("there is no document to judge by"));
        };
        window.others = others(&run, judged, &local).await?;
        judge_with_samples(experiment, &window, judged, &local).await
    };
    let result = tokio::select! {
        () = cancel.cancelled() => Err(experiments::Error::Engine {
            kind: ErrorKind::Unavailable,
            message: "the daemon is stopping".to_owned(),
        }),
        result = judging => result,
    };
    window.others.clear();
    ((run.tenant.clone(), run.id.clone()), Judging { window, judged, result })
}

/// Windows of other runs, near enough to be in the way of this one or in the
/// history that its indicators are calibrated by.
pub async fn others(run: &Run, judged: i64, ask: &Local) -> Result<Vec<Span>, experiments::Error> {
    // A baseline of another week must be fault-free too.
    let baseline = run
        .experiment
        .as_ref()
        .map(|experiment| Phases::of(&run.window(Vec::new()), &experiment.window).baseline.from);
    let from =
        baseline.unwrap_or(run.baseline).min(run.baseline).saturating_sub(HISTORY.nanos()) / MICRO;
    let to = run.settled().unwrap_or(judged).min(judged) / MICRO;
    let open = judged / MICRO;
    let statement = format!(
        "SELECT CAST(t_inject AS BIGINT) AS since, CAST(coalesce(t_end, t_recover, t_abort, to_timestamp_micros({open})) AS BIGINT) AS until FROM {WINDOWS} WHERE run_id <> '{}' AND t_inject < to_timestamp_micros({to}) AND coalesce(t_end, t_recover, t_abort, to_timestamp_micros({open})) > to_timestamp_micros({from})",
        run.id
    );
    // Without them it cannot be told whether the run stood alone: it waits.
    let rows = objects(ask.ask(&statement).await?).map_err(|error| experiments::Error::Engine {
        kind: ErrorKind::Unavailable,
        message: format!("{error:#}"),
    })?;
    let whole = |value: Option<&Value>| Some(value?.as_i64()?.saturating_mul(MICRO));
    let span = |row: &serde_json::Map<String, Value>| {
        Some(Span::between(whole(row.get("since"))?, whole(row.get("until"))?))
    };
    Ok(rows.iter().filter_map(span).collect())
}

/// A judging's rows.
#[derive(Default)]
pub struct Findings {
    verdicts: Vec<VerdictRow>,
    samples: Vec<SampleRow>,
    pub report: Option<String>,
}

#[derive(Serialize)]
struct VerdictRow {
    time: i64,
    node_id: String,
    revision: i64,
    run_id: RunId,
    experiment: String,
    version: Option<String>,
    hypothesis: String,
    severity: String,
    phase: Option<String>,
    verdict: Verdict,
    reason: Option<Reason>,
    detail: String,
    estimate: Option<f64>,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    mde: Option<f64>,
    p_adj: Option<f64>,
    n: Option<u64>,
    evidence_sql: Vec<String>,
    snapshot_ids: BTreeMap<String, String>,
    judged: i64,
}

#[derive(Serialize)]
struct SampleRow {
    time: i64,
    node_id: String,
    revision: i64,
    run_id: RunId,
    indicator: String,
    subject: String,
    phase: &'static str,
    bucket: i64,
    value: Option<f64>,
    n: u64,
    n_effective: f64,
    quality: Vec<&'static str>,
}

impl Judging {
    /// The run with its verdict, and the rows that go with it. `None`: there is no
    /// verdict yet, or the run has changed under it.
    pub fn outcome(self, run: &Run, node_id: &str) -> Option<(Run, Findings)> {
        if run.window(Vec::new()) != self.window {
            return None;
        }
        let at = self.judged;
        let (judged, findings) = match self.result {
            Err(error) if error.kind() == ErrorKind::Unavailable => return None,
            Err(error) => {
                tracing::warn!(run = %run.id, %error, "a run cannot be judged");
                let (verdict, reason) = (Verdict::Inconclusive, Some(Reason::Error));
                let mut row = VerdictRow::of(run, node_id, at);
                (row.verdict, row.reason, row.detail) = (verdict, reason, error.to_string());
                let findings = Findings { verdicts: vec![row], ..Findings::default() };
                (Judged { verdict, reason, at }, findings)
            }
            Ok((report, samples)) => {
                let judged = Judged { verdict: report.verdict, reason: report.reason, at };
                (judged, Findings::of(run, node_id, at, &report, samples))
            }
        };
        let revision = run.revision.saturating_add(1);
        Some((Run { judged: Some(judged), revision, ..run.clone() }, findings))
    }
}

impl Findings {
    fn of(run: &Run, node_id: &str, at: i64, report: &Report, samples: Vec<Sample>) -> Findings {
        let snapshots: BTreeMap<String, String> = report
            .sources
            .iter()
            .filter_map(|(table, source)| Some((table.clone(), source.watermark.clone()?)))
            .collect();
        let verdicts = report.findings.iter().map(|entry| {
            let number = |path: &str| entry.numbers.as_ref()?.pointer(path)?.as_f64();
            let count = |path: &str| entry.numbers.as_ref()?.pointer(path)?.as_u64();
            VerdictRow {
                hypothesis: entry.hypothesis.clone(),
                severity: entry.severity.clone(),
                phase: entry.phase.clone(),
                verdict: entry.verdict,
                reason: entry.reason,
                detail: entry.detail.clone(),
                estimate: number("/value/estimate"),
                ci_low: number("/value/low"),
                ci_high: number("/value/high"),
                mde: number("/mde"),
                p_adj: number("/p_adjusted"),
                n: count("/n"),
                evidence_sql: entry.evidence_sql.clone(),
                snapshot_ids: snapshots.clone(),
                ..VerdictRow::of(run, node_id, at)
            }
        });
        let samples = samples.into_iter().map(|sample| {
            let mut quality = Vec::new();
            if sample.n == 0 {
                quality.push("no_data");
            }
            if sample.sampled {
                quality.push("sampled");
            }
            SampleRow {
                time: at / MICRO,
                node_id: node_id.to_owned(),
                revision: at / MICRO,
                run_id: run.id.clone(),
                indicator: sample.indicator,
                subject: sample.subject,
                phase: sample.phase.name(),
                bucket: sample.bucket / MICRO,
                value: sample.value,
                n: sample.n,
                // A bucket is the unit of analysis, however many requests it holds.
                n_effective: if sample.n > 0 { 1.0 } else { 0.0 },
                quality,
            }
        });
        let report = match report.to_json() {
            Ok(text) => Some(text),
            Err(error) => {
                tracing::error!(run = %run.id, %error, "a report cannot be kept");
                None
            }
        };
        Findings { verdicts: verdicts.collect(), samples: samples.collect(), report }
    }

    /// The run's own row last: it says that the others are there.
    pub async fn write(
        &self,
        journal: &Journal,
        tenant: &Tenant,
        window: &[WindowRow],
    ) -> Result<(), Refusal> {
        journal.write(tenant, VERDICTS, &self.verdicts).await?;
        journal.write(tenant, SAMPLES, &self.samples).await?;
        journal.write(tenant, WINDOWS, window).await
    }
}

impl VerdictRow {
    fn of(run: &Run, node_id: &str, at: i64) -> VerdictRow {
        VerdictRow {
            time: at / MICRO,
            node_id: node_id.to_owned(),
            revision: at / MICRO,
            run_id: run.id.clone(),
            experiment: run.name.clone(),
            version: run.version(),
            hypothesis: "judging".to_owned(),
            severity: "critical".to_owned(),
            phase: None,
            verdict: Verdict::Inconclusive,
            reason: None,
            detail: String::new(),
            estimate: None,
            ci_low: None,
            ci_high: None,
            mde: None,
            p_adj: None,
            n: None,
            evidence_sql: Vec::new(),
            snapshot_ids: BTreeMap::new(),
            judged: at / MICRO,
        }
    }
}
