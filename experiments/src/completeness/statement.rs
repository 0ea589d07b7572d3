//! What is counted, one row per statement.

use crate::indicator::text::Stretch;
use crate::window::Span;

pub(super) const UNNAMED: &str =
    "service_name IS NULL OR service_name = '' OR service_name LIKE 'unknown_service%'";

pub fn rows(span: Span, judged: i64) -> String {
    format!(
        "SELECT count(*) AS spans,\n\
         sum(CASE WHEN parent_span_id IS NULL THEN 1 ELSE 0 END) AS roots,\n\
         sum(CASE WHEN duration_ns < 0 THEN 1 ELSE 0 END) AS negative,\n\
         sum(CASE WHEN duration_ns = 0 THEN 1 ELSE 0 END) AS instant,\n\
         sum(CASE WHEN coalesce(dropped_attributes_count, 0) + coalesce(dropped_events_count, 0) + coalesce(dropped_links_count, 0) > 0 THEN 1 ELSE 0 END) AS cut,\n\
         sum(CASE WHEN {UNNAMED} THEN 1 ELSE 0 END) AS unnamed\nFROM spans WHERE {}",
        Stretch::new(span, judged).window()
    )
}

/// Children beside their parents, which may lie outside of the stretch.
pub fn links(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    format!(
        "SELECT sum(CASE WHEN p.span_id IS NULL THEN 1 ELSE 0 END) AS orphans,\n\
         sum(CASE WHEN p.span_id IS NULL AND r.trace_id IS NOT NULL THEN 1 ELSE 0 END) AS lost,\n\
         sum(CASE WHEN c.begins < p.begins THEN 1 ELSE 0 END) AS early,\n\
         sum(CASE WHEN c.ends > p.ends THEN 1 ELSE 0 END) AS late\n\
         FROM (SELECT trace_id, parent_span_id, time_unix_nano AS begins, time_unix_nano + duration_ns AS ends\n\
         FROM spans WHERE {window} AND parent_span_id IS NOT NULL) c\n\
         LEFT JOIN (SELECT trace_id, span_id, min(time_unix_nano) AS begins, max(time_unix_nano + duration_ns) AS ends\n\
         FROM spans WHERE {near} GROUP BY 1, 2) p ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id\n\
         LEFT JOIN (SELECT DISTINCT trace_id FROM spans WHERE {near} AND parent_span_id IS NULL) r ON r.trace_id = c.trace_id",
        window = stretch.window(),
        near = stretch.near(),
    )
}

/// Traces by how many different roots they have, wherever these lie.
pub fn traces(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    format!(
        "SELECT count(*) AS traces, sum(CASE WHEN coalesce(r.n, 0) = 0 THEN 1 ELSE 0 END) AS rootless,\n\
         sum(CASE WHEN r.n > 1 THEN 1 ELSE 0 END) AS many_rooted\n\
         FROM (SELECT DISTINCT trace_id FROM spans WHERE {window}) t\n\
         LEFT JOIN (SELECT trace_id, count(DISTINCT span_id) AS n FROM spans WHERE {near} AND parent_span_id IS NULL\n\
         GROUP BY 1) r ON r.trace_id = t.trace_id",
        window = stretch.window(),
        near = stretch.near(),
    )
}

pub fn ids(span: Span, judged: i64) -> String {
    format!(
        "SELECT sum(n - 1) AS repeated, count(*) AS repeated_ids\n\
         FROM (SELECT trace_id, span_id, count(*) AS n FROM spans WHERE {} GROUP BY 1, 2) WHERE n > 1",
        Stretch::new(span, judged).window()
    )
}

/// How late spans come: 99 of 100 at most.
pub fn lateness(span: Span, judged: i64) -> String {
    format!(
        "SELECT CAST(greatest(quantile((CAST(ingest_time AS BIGINT) * 1000 - time_unix_nano - duration_ns) / 1e6, 0.99), 0) AS BIGINT) AS arrival_p99_ms\n\
         FROM spans WHERE {}",
        Stretch::new(span, judged).window()
    )
}

pub fn logs(span: Span, judged: i64) -> String {
    format!(
        "SELECT coalesce(sum(n), 0) AS records, coalesce(sum(n - 1), 0) AS repeated,\n\
         sum(CASE WHEN trace_id IS NULL THEN n ELSE 0 END) AS without_trace, sum(cut) AS cut,\n\
         sum(CASE WHEN {UNNAMED} THEN n ELSE 0 END) AS unnamed\n\
         FROM (SELECT service_name, time_unix_nano, trace_id, span_id, body, count(*) AS n,\n\
         sum(CASE WHEN coalesce(dropped_attributes_count, 0) > 0 THEN 1 ELSE 0 END) AS cut\n\
         FROM logs WHERE {} GROUP BY 1, 2, 3, 4, 5)",
        Stretch::new(span, judged).window()
    )
}
