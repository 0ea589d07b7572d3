//! One statement per signal, for all services at once.

use crate::indicator::exclusive::covered;
use crate::indicator::text::{Stretch, cell};
use crate::window::Span;

/// Exclusive time per service and trace, as cells: service, bucket, cell, n.
pub fn exclusive(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    let (window, covered) = (stretch.window(), covered(&stretch));
    let (bucket, cell) = (stretch.bucket("begun"), cell("own_ns"));
    format!(
        "WITH own AS (SELECT DISTINCT trace_id, span_id, service_name, time_unix_nano, duration_ns\n\
         FROM spans WHERE {window} AND kind NOT IN ('CLIENT', 'PRODUCER')),\n\
         {covered},\n\
         spent AS (SELECT o.trace_id, o.service_name, min(o.time_unix_nano) AS begun,\n\
         sum(greatest(o.duration_ns - coalesce(c.ns, 0), 0)) AS own_ns\n\
         FROM own o LEFT JOIN covered c ON c.trace_id = o.trace_id AND c.span_id = o.span_id GROUP BY 1, 2)\n\
         SELECT service_name AS service, {bucket}, {cell}, count(*) AS n\nFROM spent GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
}

/// Gaps per edge, as cells: caller, callee, bucket, cell, n.
pub fn gaps(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    format!(
        "WITH pairs AS (SELECT c.service_name AS caller, a.service_name AS callee, c.trace_id, c.span_id,\n\
         c.time_unix_nano, c.duration_ns, count(*) AS answers, min(a.duration_ns) AS inner_ns\n\
         FROM (SELECT DISTINCT trace_id, span_id, service_name, time_unix_nano, duration_ns FROM spans WHERE {window}) c\n\
         JOIN (SELECT DISTINCT trace_id, span_id, parent_span_id, service_name, duration_ns FROM spans\n\
         WHERE {near} AND parent_span_id IS NOT NULL) a\n\
         ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id AND a.service_name <> c.service_name\n\
         GROUP BY 1, 2, 3, 4, 5, 6)\n\
         SELECT caller, callee, {bucket}, {cell}, count(*) AS n\n\
         FROM pairs WHERE answers = 1 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        window = stretch.window(),
        near = stretch.near(),
        bucket = stretch.bucket("time_unix_nano"),
        cell = cell("duration_ns - inner_ns"),
    )
}

/// In how many of a caller's traces it called whom: caller, callee, n, hits.
pub fn calls(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    format!(
        "WITH own AS (SELECT DISTINCT trace_id, span_id, parent_span_id, service_name FROM spans WHERE {near}),\n\
         here AS (SELECT DISTINCT trace_id, service_name FROM spans WHERE {window}),\n\
         seen AS (SELECT service_name AS caller, count(*) AS n FROM here GROUP BY 1),\n\
         edges AS (SELECT DISTINCT p.trace_id, p.service_name AS caller, c.service_name AS callee\n\
         FROM own p JOIN own c ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id\n\
         AND c.service_name <> p.service_name\n\
         WHERE EXISTS (SELECT 1 FROM here h WHERE h.trace_id = p.trace_id AND h.service_name = p.service_name))\n\
         SELECT e.caller, e.callee, s.n, count(*) AS hits FROM edges e JOIN seen s ON s.caller = e.caller\n\
         GROUP BY 1, 2, 3 ORDER BY 1, 2",
        window = stretch.window(),
        near = stretch.near(),
    )
}

/// Call sites of logs, by the traces they appear in: service, site, n, hits.
/// `n` are the service's traces with any log, so that a service that is merely
/// asked less often has the same sites.
pub fn sites(spans: &[Span], judged: i64) -> String {
    let window = any_of(spans, judged);
    format!(
        "WITH own AS (SELECT DISTINCT trace_id, service_name, {SITE} AS site\n\
         FROM logs WHERE {window} AND trace_id IS NOT NULL),\n\
         all_of AS (SELECT service_name AS service, count(DISTINCT trace_id) AS n FROM own GROUP BY 1)\n\
         SELECT a.service, o.site, a.n, count(*) AS hits FROM own o JOIN all_of a ON a.service = o.service_name\n\
         GROUP BY 1, 2, 3 ORDER BY 1, 2"
    )
}

/// Spans of everybody by bucket: where anything was recorded.
pub fn recorded(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    format!(
        "SELECT {bucket}, count(*) AS n FROM spans WHERE {window} GROUP BY 1 ORDER BY 1",
        bucket = stretch.bucket("time_unix_nano"),
        window = stretch.window(),
    )
}

fn any_of(spans: &[Span], judged: i64) -> String {
    let each = spans.iter().map(|span| format!("({})", Stretch::new(*span, judged).window()));
    let each: Vec<String> = each.collect();
    if each.is_empty() { "false".to_owned() } else { format!("({})", each.join("\n OR ")) }
}

/// The words of a message: what changes from one to the next is cut off.
const SITE: &str = "regexp_replace(substr(body, 1, 240), '[0-9a-zA-Z_.@-]*[0-9][0-9a-zA-Z_.@:-]*|\"[^\"]*\"', '#', 'g')";

/// CPU by service: service, bucket, value.
pub fn cpu(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    format!(
        "WITH own AS (SELECT DISTINCT service_name, metric_name, series_id, time_unix_nano, value FROM metrics\n\
         WHERE {window} AND metric_name IN ('container.cpu.usage', 'k8s.pod.cpu.usage'))\n\
         SELECT service_name AS service, {bucket}, avg(value) AS value FROM own GROUP BY 1, 2 ORDER BY 1, 2",
        window = stretch.window(),
        bucket = stretch.bucket("time_unix_nano"),
    )
}
