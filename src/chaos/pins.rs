//! The days of judged runs, which retention leaves alone: a verdict that cannot
//! be verified any more is hearsay. Told to storage as long as a run's row is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use experiments::document::Allowed;
use experiments::judge::HISTORY;
use experiments::{Ask as _, Experiment};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use query::{Engine, Sight};
use schema::tables::experiments::{EXPERIMENTS, WINDOWS};
use schema::{Clock, Tenant};
use serde_json::Value;
use storage::{Kept, Pins, Storage};
use tokio_util::sync::CancellationToken;

use super::answer::Local;
use super::journal::objects;

/// A run that was declared in between lies in days that are young.
const EVERY: Duration = Duration::from_secs(60);
/// Runs that are looked at, the latest.
const MOST: usize = 10_000;
/// What verdicts are made from.
const TABLES: [&str; 3] = ["spans", "logs", "metrics"];
const DAY: i64 = 86_400_000_000_000;

/// Keeps storage told.
pub struct Pinning {
    storage: Arc<Storage>,
    pins: Arc<Pins>,
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    /// Days at most, the latest; the disk is not theirs alone.
    most: usize,
    /// How long ago what a version's runs are compared with was, where that is
    /// another day.
    seasons: BTreeMap<String, i64>,
    pinned: Gauge,
    beyond: Gauge,
}

impl Pinning {
    pub fn new(
        storage: Arc<Storage>,
        engine: Arc<Engine>,
        clock: Arc<dyn Clock>,
        most: usize,
        registry: &mut Registry,
    ) -> Pinning {
        let (pinned, beyond) = (Gauge::default(), Gauge::default());
        registry.register(
            "cloudsail_chaos_pinned_days",
            "Days that retention leaves alone for the sake of judged runs",
            pinned.clone(),
        );
        registry.register(
            "cloudsail_chaos_unpinned_days",
            "Days of judged runs beyond experiments.pinned_days, which retention may drop",
            beyond.clone(),
        );
        let (pins, seasons) = (storage.pins().clone(), BTreeMap::new());
        Pinning { storage, pins, engine, clock, most, seasons, pinned, beyond }
    }

    pub async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        let mut failing = false;
        loop {
            match self.look().await {
                Ok(()) => failing = false,
                Err(error) => {
                    // Nothing is dropped in the meantime.
                    self.pins.forget();
                    if !failing {
                        tracing::debug!("the days of judged runs cannot be read yet: {error:#}");
                    }
                    failing = true;
                }
            }
            let wait = if failing { EVERY / 12 } else { EVERY };
            if cancel.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn look(&mut self) -> Result<()> {
        let mut windows = Vec::new();
        let tenants = if self.most > 0 { self.storage.tenants() } else { BTreeSet::new() };
        for tenant in tenants {
            let own = self.windows(&tenant).await?;
            windows.extend(own.into_iter().map(|window| (tenant.clone(), window)));
        }
        let (days, beyond) = latest(&windows, self.most);
        let pinned = days.values().map(BTreeSet::len).sum::<usize>();
        self.pinned.set(i64::try_from(pinned).unwrap_or(i64::MAX));
        self.beyond.set(i64::try_from(beyond).unwrap_or(i64::MAX));
        self.pins.tell(Kept { tables: TABLES.map(str::to_owned).into(), days });
        Ok(())
    }

    /// Runs with a document, from their baseline to their end, and the same so
    /// long ago where they are compared with another day.
    async fn windows(&mut self, tenant: &Tenant) -> Result<Vec<(i64, i64)>> {
        match self.engine.sees(tenant, &[EXPERIMENTS, WINDOWS]) {
            Sight::Rows => {}
            // Most nodes never run an experiment: they need not get ready for SQL.
            Sight::Nothing => return Ok(Vec::new()),
            Sight::NothingYet => bail!("the tables have not been read from the store yet"),
        }
        let local = Local { engine: self.engine.clone(), tenant: tenant.clone() };
        let documents =
            format!("SELECT version, yaml FROM {EXPERIMENTS} WHERE yaml LIKE '%like:%'");
        for row in objects(local.ask(&documents).await?)? {
            let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
            if self.seasons.contains_key(text("version")) {
                continue;
            }
            // One that cannot be read any more is told of where runs are taken up.
            let read = Experiment::parse(text("yaml"), &Allowed::new()).ok();
            let ago = read.and_then(|read| read.window.baseline.ago()).map_or(0, |ago| ago.nanos());
            self.seasons.insert(text("version").to_owned(), ago);
        }
        let now = self.clock.now_unix_nano() / 1_000;
        let statement = format!(
            "SELECT version, CAST(t_baseline AS BIGINT) AS since, CAST(coalesce(t_end, t_recover, t_abort, to_timestamp_micros({now})) AS BIGINT) AS until FROM {WINDOWS} WHERE version IS NOT NULL ORDER BY 3 DESC LIMIT {MOST}"
        );
        let rows = objects(local.ask(&statement).await?)?;
        let whole = |value: Option<&Value>| Some(value?.as_i64()?.saturating_mul(1_000));
        let mut windows = Vec::new();
        for row in &rows {
            let Some(since) = whole(row.get("since")) else { continue };
            let Some(until) = whole(row.get("until")) else { continue };
            windows.push((since, until));
            let version = row.get("version").and_then(Value::as_str).unwrap_or_default();
            if let Some(ago) = self.seasons.get(version).filter(|ago| **ago > 0) {
                windows.push((since.saturating_sub(*ago), until.saturating_sub(*ago)));
            }
        }
        Ok(windows)
    }
}

/// The days of windows and of the history that they are calibrated by: the
/// latest `most` of them all, and how many more there are.
fn latest(
    windows: &[(Tenant, (i64, i64))],
    most: usize,
) -> (BTreeMap<Tenant, BTreeSet<i32>>, usize) {
    let mut days = BTreeSet::new();
    for (tenant, (since, until)) in windows {
        let day = |nanos: i64| i32::try_from(nanos.div_euclid(DAY)).unwrap_or(i32::MAX);
        let first = day(since.saturating_sub(HISTORY.nanos()));
        let last = day(until.saturating_add(HISTORY.nanos()));
        // A window that is said to last for years is cut to its latest days.
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let kept = first.max(last.saturating_sub(most))..=last;
        days.extend(kept.map(|day| (day, tenant.clone())));
    }
    let beyond = days.len().saturating_sub(most);
    let mut kept: BTreeMap<Tenant, BTreeSet<i32>> = BTreeMap::new();
    for (day, tenant) in days.into_iter().skip(beyond) {
        kept.entry(tenant).or_default().insert(day);
    }
    (kept, beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(windows: &[(i64, i64)], most: usize) -> (BTreeSet<i32>, usize) {
        let mine: Vec<_> = windows.iter().map(|window| (Tenant::default(), *window)).collect();
        let (mut days, beyond) = latest(&mine, most);
        (days.remove(&Tenant::default()).unwrap_or_default(), beyond)
    }

    /// Scenario: two runs of one week, one of long ago, and one that is said to
    /// have lasted since 1970; a bound of ten days.
    /// Guarantees: a day on each side of a run is kept with it, days are counted
    /// once, and beyond the bound the oldest go, and are told.
    #[test]
    fn days_of_runs_are_kept_within_bounds() {
        let hour = DAY / 24;
        let at = |day: i64| (day * DAY + 10 * hour, day * DAY + 11 * hour);
        let (days, beyond) = of(&[at(20_000), at(20_001)], 10);
        assert_eq!((days, beyond), ((19_999..=20_002).collect(), 0));
        let (days, beyond) = of(&[at(20_000), at(19_000), at(20_010), at(20_014)], 10);
        assert_eq!(beyond, 2);
        assert_eq!(
            days,
            [19_999, 20_000, 20_001, 20_009, 20_010, 20_011, 20_013, 20_014, 20_015]
                .into_iter()
                .chain([19_001])
                .collect()
        );
        let (days, _) = of(&[(0, 20_000 * DAY)], 10);
        assert_eq!(days, (19_992..=20_001).collect());
        assert!(of(&[(i64::MIN, i64::MAX)], 10).0.len() <= 10);
    }

    /// Scenario: runs of two tenants on the same day, and a bound that has room
    /// for the later three of their days.
    /// Guarantees: the bound is for all tenants together, and each keeps its own.
    #[test]
    fn tenants_share_the_bound() {
        let hour = DAY / 24;
        let other = Tenant::new("other").unwrap();
        let window = (20_000 * DAY + 10 * hour, 20_000 * DAY + 11 * hour);
        let windows = [(Tenant::default(), window), (other.clone(), window)];
        let (days, beyond) = latest(&windows, 6);
        assert_eq!((days.len(), beyond), (2, 0));
        let (days, beyond) = latest(&windows, 3);
        assert_eq!(days.values().map(BTreeSet::len).sum::<usize>(), 3);
        assert_eq!((beyond, days[&other].contains(&20_001)), (3, true));
    }
}
