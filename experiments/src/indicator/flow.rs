//! What flowed at all, so that silence can be told from a blind pipeline, and
//! what the load was.

use super::sampling::THRESHOLD;
use super::text::{Stretch, instant, literal};
use crate::verdict::evidence::Source;
use crate::window::Span;

/// Rows per service and bucket.
pub fn rows(source: Source, span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    format!(
        "SELECT service_name, {bucket}, count(*) AS n\nFROM {table} WHERE {window} GROUP BY 1, 2 ORDER BY 1, 2",
        bucket = stretch.bucket("time_unix_nano"),
        table = source.table(),
        window = stretch.window(),
    )
}

/// What injectors told of a run in its own words, such as `Applied`, between two
/// times. What was only planned, and what guards did, is nobody's report.
pub fn reported(run: &str, event: &str, (from, to): (i64, i64), judged: i64) -> String {
    let event = literal(event);
    format!(
        "SELECT count(*) AS n FROM experiment_event_revisions WHERE run_id = {} AND (reason = {event} OR kind = {event})\n\
         AND source NOT IN ('plan', 'guard') AND accepted AND event_time >= {} AND event_time < {} AND time <= {}",
        literal(run),
        instant(from),
        instant(to),
        instant(judged),
    )
}

/// Rows of one service by bucket: where anything was recorded of it.
pub fn recorded(source: Source, service: &str, span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    format!(
        "SELECT {bucket}, count(*) AS n FROM {table} WHERE {window}\nAND service_name = {service} GROUP BY 1 ORDER BY 1",
        bucket = stretch.bucket("time_unix_nano"),
        table = source.table(),
        window = stretch.window(),
        service = literal(service),
    )
}

/// The latest event time of a source, from `from` on: what is older is not past it.
pub fn watermark(source: Source, from: i64, judged: i64) -> String {
    format!(
        "SELECT max(time_unix_nano) AS watermark FROM {} WHERE time >= {} AND time <= {judged} AND ingest_time <= {judged}",
        source.table(),
        instant(from),
        judged = instant(judged),
    )
}

/// Requests of users: roots by endpoint, the commonest.
pub fn load(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    format!(
        "SELECT endpoint, th, count(*) AS n FROM (SELECT DISTINCT trace_id, span_id, name AS endpoint, {THRESHOLD}\n\
         FROM spans WHERE {} AND parent_span_id IS NULL) GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 200",
        stretch.window()
    )
}
