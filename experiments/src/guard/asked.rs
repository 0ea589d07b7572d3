//! What guards ask by SQL: the cells that they did not hear, what was usual
//! before, and indicators that no row alone can tell.

use serde_json::Value;

use super::ring::SECOND;
use super::subject::{Stream, Subject};
use super::tally::Tally;
use crate::document::provider::{Indicator, Measure, Nature, Outcome, Provider};
use crate::indicator::sampling::THRESHOLD;
use crate::indicator::text::{cell, counted, instant, literal};
use crate::indicator::{Series, Table, answer, query, statement};
use crate::statistics::bootstrap;
use crate::verdict::compare;
use crate::verdict::evidence::Gap;
use crate::window::{BUCKET, Span};

/// Rows of a subject that were received in `[from, to)`, by second and by the
/// cell of their duration; of all seconds together when only those that ended
/// at `since` or later count.
pub fn cells(subject: &Subject, from: i64, to: i64, late: i64, since: Option<i64>) -> String {
    let named = subject.endpoint.as_ref().map(|name| format!(" AND name = {}", literal(name)));
    let (distinct, counts, extra) = match subject.stream {
        Stream::Served => (SPAN, SPAN_COUNTS, " AND kind IN ('SERVER', 'CONSUMER')"),
        Stream::Roots => (SPAN, SPAN_COUNTS, " AND parent_span_id IS NULL"),
        Stream::Logs => (LOG, LOG_COUNTS, ""),
    };
    let (ended, duration) = match subject.stream {
        Stream::Logs => ("time_unix_nano", "0"),
        _ => ("time_unix_nano + greatest(duration_ns, 0)", "duration_ns"),
    };
    let second = "CAST(received AS BIGINT) / 1000000";
    let [errors, traced] = counts.map(|(condition, name)| counted(condition, name));
    let (threshold, by) = match subject.stream {
        Stream::Logs => (String::new(), "1, 2"),
        _ => (format!(", {THRESHOLD}"), "1, 2, 3"),
    };
    format!(
        "WITH own AS (SELECT {distinct}, min(ingest_time) AS received\n\
         FROM {table} WHERE ingest_time >= {from} AND ingest_time < {to}\n\
         AND service_name = {service}{extra}{named} GROUP BY {distinct})\n\
         SELECT {shown} AS second, {cell}{threshold}, count(*) AS n, {errors}, {traced}\n\
         FROM own WHERE {ended} >= {second} * {SECOND} - {late}{since} GROUP BY {by} ORDER BY {by}",
        table = subject.stream.source().table(),
        from = instant(from),
        to = instant(to),
        service = literal(&subject.service),
        named = named.unwrap_or_default(),
        shown = if since.is_some() { "CAST(0 AS BIGINT)" } else { second },
        cell = cell(duration),
        since = since.map(|since| format!(" AND {ended} >= {since}")).unwrap_or_default(),
    )
}

const SPAN: &str = "trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state";
const LOG: &str = "time_unix_nano, trace_id, span_id, severity, body";
const SPAN_COUNTS: [(&str, &str); 2] = [("is_error", "errors"), ("trace_id IS NOT NULL", "traced")];
const LOG_COUNTS: [(&str, &str); 2] =
    [("severity IN ('ERROR', 'FATAL')", "errors"), ("trace_id IS NOT NULL", "traced")];

/// The answer of [`cells`].
pub fn tallies(table: &Table) -> Result<Vec<(i64, Tally)>, Gap> {
    let mut seconds: Vec<(i64, Tally)> = Vec::new();
    for row in answer::Rows::of(table)?.iter() {
        let second = row.whole("second")?;
        let (cell, n) = (row.whole("cell")?, row.count("n")?);
        let weight = row.weight();
        let unknown = if weight.is_none() { n } else { 0 };
        let of = |count: u64| count as f64 * weight.unwrap_or(1.0);
        let tally = Tally {
            n,
            unknown,
            all: of(n),
            errors: of(row.count("errors")?),
            traced: of(row.count("traced")?),
            cells: [(u16::try_from(cell).unwrap_or(u16::MAX), of(n))].into(),
        };
        match seconds.last_mut() {
            Some((last, sum)) if *last == second => sum.add(&tally),
            _ => seconds.push((second, tally)),
        }
    }
    Ok(seconds)
}

/// The stretch of whole buckets that ends now.
pub fn stretch(now: i64, window: i64) -> Span {
    let buckets = (window + BUCKET.nanos() - 1) / BUCKET.nanos();
    let from = now.saturating_sub(buckets.saturating_mul(BUCKET.nanos()));
    Span { from, buckets: u32::try_from(buckets).unwrap_or(u32::MAX) }
}

pub fn question(provider: &Provider, span: Span, now: i64) -> String {
    match provider {
        Provider::Measure(measure) => statement(measure, span, now),
        Provider::Sql { query, .. } => query::statement(query, span, now),
    }
}

/// A number, and of how many rows it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    pub value: Option<f64>,
    pub n: u64,
    /// All of at least so many values are the same.
    pub frozen: bool,
}

/// The same values as often as the judge wants them before it calls them frozen.
const ALIKE: u64 = 20;
const ALIKE_POINTS: usize = 4;

pub fn reading(provider: &Provider, span: Span, table: &Table) -> Result<Reading, Gap> {
    match provider {
        Provider::Measure(measure) => {
            let series = answer::series(measure, span, table)?;
            Ok(Reading {
                value: value(measure, &series, span),
                n: series.worth() as u64,
                frozen: frozen(measure, &series),
            })
        }
        Provider::Sql { result, .. } => {
            let value = answer::value(*result, table)?;
            let number = value.as_f64().filter(|number| number.is_finite());
            match (number, result) {
                (Some(number), Outcome::Rows | Outcome::Scalar) => {
                    Ok(Reading { value: Some(number), n: 1, frozen: false })
                }
                _ => Err(Gap::Error(format!("{value} is no number"))),
            }
        }
    }
}

fn value(measure: &Measure, series: &Series, span: Span) -> Option<f64> {
    let share = series.share();
    match measure.indicator.nature() {
        Nature::Gauge => {
            let mut values = series.gauges();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        }
        _ if series.n() == 0.0 => None,
        Nature::Duration => {
            let level = match measure.indicator {
                Indicator::Quantile(level) | Indicator::Gap(level) => level,
                _ => return None,
            };
            let whole = series.merged(series.buckets.len());
            whole.first().map(|bucket| bootstrap::quantile(&bucket.cells, level.share()))
        }
        Nature::Ratio => Some(share.ratio() * compare::per_unit(measure, series.buckets.len())),
        Nature::Count if measure.indicator.is_total() => Some(share.hits),
        Nature::Count => Some(share.hits / span.seconds().max(1e-3)),
    }
}

fn frozen(measure: &Measure, series: &Series) -> bool {
    match measure.indicator.nature() {
        Nature::Duration => series.worth() >= ALIKE as f64 && series.distinct_values() == 1,
        Nature::Gauge if !measure.indicator.may_stand_still() => {
            series.gauges().len() >= ALIKE_POINTS && series.distinct_values() == 1
        }
        _ => false,
    }
}

/// The same of streamed durations.
pub fn frozen_tally(measure: &Measure, tally: &Tally) -> bool {
    measure.indicator.nature() == Nature::Duration && tally.n >= ALIKE && tally.cells.len() == 1
}

/// Rows per second of everybody but each service, in a stretch.
pub fn densities(table: &Table, span: Span) -> Result<Vec<(String, f64)>, Gap> {
    let mut rows: std::collections::BTreeMap<String, u64> = Default::default();
    for row in answer::Rows::of(table)?.iter() {
        let service = row.get("service_name").and_then(Value::as_str).unwrap_or_default();
        *rows.entry(service.to_owned()).or_default() += row.count("n")?;
    }
    let seconds = span.seconds().max(1.0);
    Ok(rows.into_iter().map(|(service, n)| (service, n as f64 / seconds)).collect())
}
