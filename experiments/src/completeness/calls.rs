//! Calls beside the spans that answer them: by which clocks, and whether the other
//! end still tells of itself.

use crate::indicator::text::Stretch;
use crate::window::{BUCKET, Span};

/// One row. Pairs of services of which one calls the other (`pairs`), those of them in
/// which more than 1 % of the children begin before their parents (`skewed`), and a
/// whole bucket before (`apart`: their rows lie in another part of the run); calls to a
/// service that tells of itself, now or in `usual`, and did not fail (`calls`), and those
/// of them of which it told nothing (`unanswered`): it is there and is not seen.
pub fn statement(span: Span, usual: Option<Span>, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    let usual = usual.map(|usual| format!("\n OR ({})", Stretch::new(usual, judged).window()));
    format!(
        "WITH own AS (SELECT trace_id, span_id, service_name, time_unix_nano, is_error, attributes['peer.service'] AS peer, kind FROM spans WHERE {near}),\n\
         children AS (SELECT trace_id, parent_span_id, service_name, time_unix_nano FROM spans WHERE {near} AND parent_span_id IS NOT NULL),\n\
         linked AS (SELECT p.service_name AS caller, c.service_name AS callee, c.trace_id, c.parent_span_id, c.time_unix_nano AS at, p.time_unix_nano AS began\n\
         FROM children c JOIN own p ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id AND p.service_name <> c.service_name),\n\
         pairs AS (SELECT caller, callee, count(*) AS n, sum(CASE WHEN at < began THEN 1 ELSE 0 END) AS early,\n\
         sum(CASE WHEN at <= began - {bucket} THEN 1 ELSE 0 END) AS far FROM linked WHERE at >= {from} AND at < {to} GROUP BY 1, 2),\n\
         heard AS (SELECT DISTINCT service_name AS name FROM spans WHERE ({near}){usual}),\n\
         answers AS (SELECT DISTINCT trace_id, parent_span_id FROM linked),\n\
         called AS (SELECT count(*) AS calls, sum(CASE WHEN a.trace_id IS NULL THEN 1 ELSE 0 END) AS unanswered\n\
         FROM (SELECT DISTINCT trace_id, span_id, peer FROM own WHERE kind = 'CLIENT' AND NOT is_error\n\
         AND time_unix_nano >= {from} AND time_unix_nano < {to}) o JOIN heard h ON h.name = o.peer\n\
         LEFT JOIN answers a ON a.trace_id = o.trace_id AND a.parent_span_id = o.span_id)\n\
         SELECT pairs, skewed, apart, calls, unanswered FROM called CROSS JOIN (SELECT count(*) AS pairs,\n\
         sum(CASE WHEN early > 0.01 * n THEN 1 ELSE 0 END) AS skewed, sum(CASE WHEN far > 0.01 * n THEN 1 ELSE 0 END) AS apart FROM pairs)",
        near = stretch.near(),
        usual = usual.unwrap_or_default(),
        bucket = BUCKET.nanos(),
        from = span.from,
        to = span.to(),
    )
}
