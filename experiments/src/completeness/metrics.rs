//! The metrics of a stretch. Each series has a cadence of its own: what is missing
//! is missing by that.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statement::UNNAMED;
use super::{Grade, count, graded, share};
use crate::Error;
use crate::indicator::Table;
use crate::indicator::text::Stretch;
use crate::window::Span;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    pub points: u64,
    pub series: u64,
    /// Services that tell any.
    pub services: u64,
    /// Points that did not come, by the usual pause of their series, at its end too. What
    /// is told as differences need not come.
    pub missing: u64,
    /// Counters that fell and did not begin anew.
    pub resets: u64,
    /// Points whose attributes were given up (`otel.metric.overflow`).
    pub overflowed: u64,
    pub repeated: u64,
    pub unnamed: u64,
    /// Names of a service, and those of them in several units or of several kinds.
    pub names: u64,
    pub drifted: u64,
    /// Series that moved before and stand still.
    pub frozen: u64,
    /// Points that were given up, by those who sent them.
    #[serde(default)]
    pub refused: u64,
}

impl Metrics {
    pub fn grade(&self) -> Grade {
        let whole = self.points + self.missing;
        let lost = [
            share(self.missing, whole),
            share(self.resets + self.overflowed + self.unnamed, self.points),
            share(self.drifted, self.names),
            share(self.refused, self.points + self.refused),
        ];
        let odd = share(self.repeated, self.points).max(share(self.frozen, self.series));
        graded(lost.into_iter().fold(0.0, f64::max)).max(graded(odd).min(Grade::Torn))
    }

    /// The same beside what is usual: services that fell silent since then, and
    /// attributes that make series without end.
    pub fn beside(&self, usual: &Metrics) -> Grade {
        let silent = share(usual.services.saturating_sub(self.services), usual.services);
        let grown = usual.series > 0 && self.series > usual.series * GROWN;
        let grown = if grown { Grade::Torn } else { Grade::Whole };
        self.grade().max(graded(silent)).max(grown)
    }

    pub(super) fn read(table: &Table, refused: &Table) -> Result<Metrics, Error> {
        let of = |column: &str| count(table, column);
        Ok(Metrics {
            points: of("points")?,
            series: of("series")?,
            services: of("services")?,
            missing: of("missing")?,
            resets: of("resets")?,
            overflowed: of("overflowed")?,
            repeated: of("repeated")?,
            unnamed: of("unnamed")?,
            names: of("names")?,
            drifted: of("drifted")?,
            frozen: of("frozen")?,
            refused: count(refused, "metrics")?,
        })
    }
}

/// Times as many series as usual that are too many.
const GROWN: u64 = 2;

/// One row. Looks back to know the pauses that series usually make.
pub fn statement(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    let (from, to) = (span.from, span.to());
    format!(
        "WITH points AS (SELECT series_id, service_name, metric_name, unit, metric_kind, temporality, is_monotonic,\n\
         time_unix_nano AS at, coalesce(start_time_unix_nano, 0) AS began, max(coalesce(CAST(count AS DOUBLE), value)) AS c,\n\
         max(CASE WHEN attributes['otel.metric.overflow'] = 'true' THEN 1 ELSE 0 END) AS overflow, count(*) AS told\n\
         FROM metrics WHERE {near} AND time_unix_nano < {to} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9),\n\
         steps AS (SELECT points.*, at - lag(at) OVER w AS pause, lag(c) OVER w AS stood, lag(began) OVER w AS began_before, lead(at) OVER w AS next\n\
         FROM points WINDOW w AS (PARTITION BY series_id ORDER BY at)),\n\
         cadence AS (SELECT series_id AS s, median(pause) AS usual FROM steps WHERE pause > 0 AND coalesce(temporality, '') <> 'DELTA' GROUP BY 1),\n\
         counted AS (SELECT count(*) AS points, count(DISTINCT series_id) AS series, count(DISTINCT service_name) AS services,\n\
         CAST(sum(CASE WHEN pause > 0 AND usual > 0 THEN greatest(round(pause / usual) - 1, 0) ELSE 0 END\n\
         + CASE WHEN next IS NULL AND usual > 0 THEN greatest(floor(({to} - at) / usual) - 1, 0) ELSE 0 END) AS BIGINT) AS missing,\n\
         sum(CASE WHEN temporality = 'CUMULATIVE' AND coalesce(is_monotonic, true) AND c < stood AND began = began_before THEN 1 ELSE 0 END) AS resets,\n\
         sum(overflow) AS overflowed, sum(told - 1) AS repeated, sum(CASE WHEN {UNNAMED} THEN 1 ELSE 0 END) AS unnamed\n\
         FROM steps LEFT JOIN cadence ON s = series_id WHERE at >= {from}\n\
         OR (next IS NULL AND coalesce(temporality, '') <> 'DELTA' AND at < {from} AND at >= {from} - 3 * usual)),\n\
         named AS (SELECT count(*) AS names, sum(CASE WHEN kinds > 1 THEN 1 ELSE 0 END) AS drifted FROM (SELECT service_name, metric_name,\n\
         count(DISTINCT concat_ws(' ', coalesce(unit, ''), metric_kind)) AS kinds FROM points GROUP BY 1, 2)),\n\
         still AS (SELECT count(*) AS frozen FROM (SELECT series_id FROM points WHERE coalesce(temporality, '') <> 'DELTA' GROUP BY 1\n\
         HAVING sum(CASE WHEN at >= {from} THEN 1 ELSE 0 END) >= 4 AND min(c) < max(c)\n\
         AND min(CASE WHEN at >= {from} THEN c END) = max(CASE WHEN at >= {from} THEN c END)))\n\
         SELECT * FROM counted CROSS JOIN named CROSS JOIN still",
        near = stretch.near(),
    )
}
