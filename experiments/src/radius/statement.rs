//! One statement per signal, for all services at once, and for any number of
//! stretches: what a fault is compared with is many pieces of fault-free time.

use crate::document::units::Period;
use crate::indicator::exclusive::covered;
use crate::indicator::text::{Stretch, cell};
use crate::window::Span;

/// How far outside of a stretch the other end of a call is looked for.
const MARGIN: Period = Period::secs(60);

/// Times at which a call site is told to repeat: once, twice, four and eight
/// times in a request. A loop that ends early still says everything once.
pub const REPEATS: [u64; 4] = [1, 2, 4, 8];

/// Exclusive time per service and trace, as cells: service, bucket, cell, n.
/// Buckets count from the first stretch.
pub fn exclusive(spans: &[Span], judged: i64) -> String {
    let whole = Stretch::new(hull(spans), judged);
    let (window, covered) = (any_of(spans, judged), covered(&around(spans, judged)));
    let (bucket, cell) = (whole.bucket("begun"), cell("own_ns"));
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
pub fn gaps(spans: &[Span], judged: i64) -> String {
    let whole = Stretch::new(hull(spans), judged);
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
        window = any_of(spans, judged),
        near = around(spans, judged),
        bucket = whole.bucket("time_unix_nano"),
        cell = cell("duration_ns - inner_ns"),
    )
}

/// Who calls whom: caller, callee.
pub fn calls(spans: &[Span], judged: i64) -> String {
    format!(
        "WITH own AS (SELECT DISTINCT trace_id, span_id, parent_span_id, service_name FROM spans WHERE {window})\n\
         SELECT DISTINCT p.service_name AS caller, c.service_name AS callee\n\
         FROM own p JOIN own c ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id\n\
         AND c.service_name <> p.service_name ORDER BY 1, 2",
        window = any_of(spans, judged),
    )
}

/// Call sites of logs by bucket, service and operation: in how many of the `n`
/// traces that asked for the operation a request said it once, twice, four and
/// eight times. By operation, because another mix of requests says other things
/// and is no fault; by trace, because requests of one are not independent. A
/// record belongs to the request during which its span began, at any depth.
pub fn sites(spans: &[Span], judged: i64) -> String {
    let near = around(spans, judged);
    let repeats = REPEATS.map(|least| {
        format!("sum(CASE WHEN h.times >= {least} THEN 1 ELSE 0 END) AS times_{least}")
    });
    let named = REPEATS.map(|least| format!("h.times_{least}"));
    format!(
        "WITH asked AS (SELECT DISTINCT trace_id, span_id, service_name, name AS operation,\n\
         time_unix_nano AS begins, time_unix_nano + duration_ns AS ends\n\
         FROM spans WHERE {window} AND kind IN ('SERVER', 'CONSUMER')),\n\
         units AS (SELECT trace_id, service_name, operation, {bucket} FROM asked GROUP BY 1, 2, 3),\n\
         counted AS (SELECT bucket, service_name, operation, count(*) AS n FROM units GROUP BY 1, 2, 3),\n\
         said AS (SELECT DISTINCT trace_id, span_id, service_name, time_unix_nano AS at, body\n\
         FROM logs WHERE {near} AND trace_id IS NOT NULL),\n\
         began AS (SELECT DISTINCT trace_id, span_id, time_unix_nano AS at FROM spans WHERE {near}),\n\
         placed AS (SELECT s.trace_id, s.service_name, coalesce(b.at, s.at) AS at, {SITE} AS site\n\
         FROM said s LEFT JOIN began b ON b.trace_id = s.trace_id AND b.span_id = s.span_id),\n\
         times AS (SELECT a.trace_id, a.service_name, a.operation, a.span_id, p.site, count(*) AS times\n\
         FROM asked a JOIN placed p ON p.trace_id = a.trace_id AND p.service_name = a.service_name\n\
         AND p.at >= a.begins AND p.at <= a.ends GROUP BY 1, 2, 3, 4, 5),\n\
         most AS (SELECT trace_id, service_name, operation, site, max(times) AS times FROM times GROUP BY 1, 2, 3, 4),\n\
         heard AS (SELECT u.bucket, h.service_name, h.operation, h.site, {repeats}\n\
         FROM most h JOIN units u ON u.trace_id = h.trace_id AND u.service_name = h.service_name AND u.operation = h.operation\n\
         GROUP BY 1, 2, 3, 4)\n\
         SELECT c.bucket, c.service_name AS service, c.operation, c.n, h.site, {named}\n\
         FROM counted c LEFT JOIN heard h ON h.bucket = c.bucket AND h.service_name = c.service_name\n\
         AND h.operation = c.operation ORDER BY 1, 2, 3, 5",
        window = any_of(spans, judged),
        bucket = Stretch::new(hull(spans), judged).bucket("min(begins)"),
        repeats = repeats.join(", "),
        named = named.join(", "),
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

/// Around the stretches: where the other ends of their calls are looked for.
fn around(spans: &[Span], judged: i64) -> String {
    let mut wide: Vec<Span> = Vec::new();
    for span in spans {
        let from = span.from.saturating_sub(MARGIN.nanos());
        let to = span.to().saturating_add(MARGIN.nanos());
        match wide.last_mut() {
            Some(last) if last.to() >= from => *last = Span::between(last.from, to),
            _ => wide.push(Span::between(from, to)),
        }
    }
    any_of(&wide, judged)
}

/// From the first stretch's begin to the last one's end. They are in order.
pub fn hull(spans: &[Span]) -> Span {
    match (spans.first(), spans.last()) {
        (Some(first), Some(last)) => Span::between(first.from, last.to()),
        _ => Span { from: 0, buckets: 0 },
    }
}

fn any_of(spans: &[Span], judged: i64) -> String {
    let each = spans.iter().map(|span| format!("({})", Stretch::new(*span, judged).window()));
    let each: Vec<String> = each.collect();
    if each.is_empty() { "false".to_owned() } else { format!("({})", each.join("\n OR ")) }
}

/// The words of a message: what changes from one to the next is cut off.
const SITE: &str = "regexp_replace(substr(s.body, 1, 240), '[0-9a-zA-Z_.@-]*[0-9][0-9a-zA-Z_.@:-]*|\"[^\"]*\"', '#', 'g')";

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
