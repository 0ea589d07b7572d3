//! Counters of containers as what they grew by. Which series a point belongs to
//! is known, so that one that begins anew is counted from nothing, and what one
//! stood at before the stretch is no growth.

use super::red::named;
use super::resource::of_service;
use super::text::{Stretch, literal};
use crate::document::provider::{Indicator, Measure};

/// Of what is counted: throttled periods, restarts, kills. Of each only one may
/// answer: they are the same told by different receivers.
fn counted(indicator: Indicator) -> &'static [&'static str] {
    match indicator {
        Indicator::Throttling => &[
            "container.cpu.throttling_data.throttled_periods",
            "container_cpu_cfs_throttled_periods_total",
        ],
        Indicator::OomKills => &["container.memory.oom_kills", "container_oom_events_total"],
        _ => &["k8s.container.restarts", "k8s.container.restart_count"],
    }
}

/// Of how many: all periods; nothing for what is no share.
fn whole(indicator: Indicator) -> &'static [&'static str] {
    match indicator {
        Indicator::Throttling => {
            &["container.cpu.throttling_data.periods", "container_cpu_cfs_periods_total"]
        }
        _ => &[],
    }
}

pub(super) fn statement(measure: &Measure, stretch: &Stretch<'_>) -> String {
    let (service, _) = named(&measure.subject);
    let listed =
        |names: &[&str]| names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
    let (counted, whole) = (counted(measure.indicator), whole(measure.indicator));
    let all = [counted, whole].concat();
    let sum = |names: &str, what: &str| {
        format!(
            "CAST(round(sum(CASE WHEN metric_name IN ({names}) THEN grew ELSE 0 END)) AS BIGINT) AS {what}"
        )
    };
    let n = match whole.is_empty() {
        true => "count(*) AS n".to_owned(),
        false => sum(&listed(whole), "n"),
    };
    format!(
        "WITH points AS (SELECT DISTINCT metric_name, series_id, time_unix_nano, value, temporality\n\
         FROM metrics WHERE {near}\nAND {service} AND metric_name IN ({all})),\n\
         stood AS (SELECT metric_name, time_unix_nano, value, temporality,\n\
         lag(value) OVER (PARTITION BY series_id ORDER BY time_unix_nano) AS stood FROM points),\n\
         grown AS (SELECT metric_name, time_unix_nano, CASE WHEN temporality = 'DELTA' THEN value\n\
         WHEN stood IS NULL THEN 0 WHEN value >= stood THEN value - stood ELSE value END AS grew FROM stood)\n\
         SELECT {bucket}, {n}, {hits}, count(DISTINCT CASE WHEN metric_name IN ({names}) THEN metric_name END) AS series\n\
         FROM grown WHERE time_unix_nano >= {from} AND time_unix_nano < {to} GROUP BY 1 ORDER BY 1",
        near = stretch.near(),
        service = of_service(service),
        all = listed(&all),
        bucket = stretch.bucket("time_unix_nano"),
        hits = sum(&listed(counted), "hits"),
        names = listed(counted),
        from = stretch.span.from,
        to = stretch.span.to(),
    )
}
