//! The days of judged runs, which retention leaves alone: a verdict that cannot
//! be verified any more is hearsay. Told to storage as long as a run's row is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use experiments::Ask as _;
use experiments::judge::HISTORY;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use query::Engine;
use schema::tables::experiments::WINDOWS;
use schema::{Clock, Tenant};
use serde_json::Value;
use storage::{Kept, Pins};
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
    pins: Arc<Pins>,
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    /// Days at most, the latest; the disk is not theirs alone.
    most: usize,
    pinned: Gauge,
    beyond: Gauge,
}

impl Pinning {
    pub fn new(
        pins: Arc<Pins>,
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
        Pinning { pins, engine, clock, most, pinned, beyond }
    }

    pub async fn run(self, cancel: CancellationToken) -> Result<()> {
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

    async fn look(&self) -> Result<()> {
        let tenant = Tenant::default();
        let (days, beyond) = match self.most {
            0 => Default::default(),
            most => latest(&self.windows(&tenant).await?, most),
        };
        self.pinned.set(i64::try_from(days.len()).unwrap_or(i64::MAX));
        self.beyond.set(i64::try_from(beyond).unwrap_or(i64::MAX));
        self.pins.tell(Kept {
            tables: TABLES.map(str::to_owned).into(),
            days: BTreeMap::from([(tenant, days)]),
        });
        Ok(())
    }

    /// Runs with a document, from their baseline to their end.
    async fn windows(&self, tenant: &Tenant) -> Result<Vec<(i64, i64)>> {
        let local = Local { engine: self.engine.clone(), tenant: tenant.clone() };
        let now = self.clock.now_unix_nano() / 1_000;
        let statement = format!(
            "SELECT CAST(t_baseline AS BIGINT) AS since, CAST(coalesce(t_end, t_recover, t_abort, to_timestamp_micros({now})) AS BIGINT) AS until FROM {WINDOWS} WHERE version IS NOT NULL ORDER BY 2 DESC LIMIT {MOST}"
        );
        let rows = objects(local.ask(&statement).await?)?;
        let whole = |value: Option<&Value>| Some(value?.as_i64()?.saturating_mul(1_000));
        let window = |row: &serde_json::Map<String, Value>| {
            Some((whole(row.get("since"))?, whole(row.get("until"))?))
        };
        Ok(rows.iter().filter_map(window).collect())
    }
}

/// The days of windows and of the history that they are calibrated by: the
/// latest `most` of them, and how many more there are.
fn latest(windows: &[(i64, i64)], most: usize) -> (BTreeSet<i32>, usize) {
    let mut days = BTreeSet::new();
    for (since, until) in windows {
        let day = |nanos: i64| i32::try_from(nanos.div_euclid(DAY)).unwrap_or(i32::MAX);
        let first = day(since.saturating_sub(HISTORY.nanos()));
        let last = day(until.saturating_add(HISTORY.nanos()));
        // A window that is said to last for years is cut to its latest days.
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        days.extend(first.max(last.saturating_sub(most))..=last);
    }
    let beyond = days.len().saturating_sub(most);
    (days.into_iter().skip(beyond).collect(), beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two runs of one week, one of long ago, and one that is said to
    /// have lasted since 1970; a bound of ten days.
    /// Guarantees: a day on each side of a run is kept with it, days are counted
    /// once, and beyond the bound the oldest go, and are told.
    #[test]
    fn days_of_runs_are_kept_within_bounds() {
        let hour = DAY / 24;
        let at = |day: i64| (day * DAY + 10 * hour, day * DAY + 11 * hour);
        let (days, beyond) = latest(&[at(20_000), at(20_001)], 10);
        assert_eq!((days, beyond), ((19_999..=20_002).collect(), 0));
        let (days, beyond) = latest(&[at(20_000), at(19_000), at(20_010), at(20_014)], 10);
        assert_eq!(beyond, 2);
        assert_eq!(
            days,
            [19_999, 20_000, 20_001, 20_009, 20_010, 20_011, 20_013, 20_014, 20_015]
                .into_iter()
                .chain([19_001])
                .collect()
        );
        let (days, _) = latest(&[(0, 20_000 * DAY)], 10);
        assert_eq!(days, (19_992..=20_001).collect());
        assert!(latest(&[(i64::MIN, i64::MAX)], 10).0.len() <= 10);
    }
}
