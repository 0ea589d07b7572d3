//! What happens between two services. A call is a span of the caller with
//! spans of the callee below it.

use super::attempt;
use super::sampling::THRESHOLD;
use super::text::{Stretch, cell, counted, literal};
use crate::document::provider::{Edge, Indicator, Measure, Subject};

pub(super) fn statement(measure: &Measure, stretch: &Stretch<'_>) -> String {
    let (edge, operation) = match &measure.subject {
        Subject::Edge { edge, operation } => (edge.clone(), operation.as_deref()),
        // The document's reader gives an edge its ends; a service alone has none.
        Subject::Service { service, .. } => {
            (Edge { from: service.clone(), to: service.clone() }, None)
        }
    };
    if matches!(measure.indicator, Indicator::RetryRatio | Indicator::TimeoutRatio) {
        return attempt::statement(&edge, operation, measure.indicator, stretch);
    }
    let with = with(&edge, operation, stretch);
    let bucket = stretch.bucket("time_unix_nano");
    match measure.indicator {
        // The time of a call that is not in its one answer: network, queues, proxies.
        Indicator::Gap(_) => {
            let cell = cell("duration_ns - inner_ns");
            format!(
                "{with}\nSELECT {bucket}, {cell}, th, count(*) AS n\nFROM pairs WHERE answers = 1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            )
        }
        // `n` is what the caller did at all, so that no call is told from no caller.
        Indicator::Calls => format!(
            "{with}\nSELECT {bucket}, c.th AS th, count(*) AS n, sum(coalesce(p.answers, 0)) AS hits\n\
             FROM callers c LEFT JOIN (SELECT trace_id AS t, span_id AS s, answers FROM pairs) p\n\
             ON p.t = c.trace_id AND p.s = c.span_id GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        Indicator::CallRatio => format!(
            "{with},\ntraces_of AS (SELECT trace_id, min(time_unix_nano) AS begun, max(th) AS th FROM callers GROUP BY 1),\n\
             called AS (SELECT DISTINCT trace_id AS t FROM pairs)\n\
             SELECT {bucket}, th, count(*) AS n, {hits}\n\
             FROM traces_of LEFT JOIN called ON t = trace_id GROUP BY 1, 2 ORDER BY 1, 2",
            bucket = stretch.bucket("begun"),
            hits = counted("t IS NOT NULL", "hits"),
        ),
        // Of the traces in which a call failed, those whose root did not.
        Indicator::MaskRatio => format!(
            "{with},\nfailing AS (SELECT trace_id, min(time_unix_nano) AS begun, max(th) AS th FROM pairs WHERE failed = 1 GROUP BY 1),\n\
             roots AS (SELECT trace_id AS t, max(CASE WHEN is_error THEN 1 ELSE 0 END) AS broken\n\
             FROM spans WHERE {near} AND parent_span_id IS NULL GROUP BY 1)\n\
             SELECT {bucket}, th, count(*) AS n, {hits}\n\
             FROM failing JOIN roots ON t = trace_id GROUP BY 1, 2 ORDER BY 1, 2",
            near = stretch.near(),
            bucket = stretch.bucket("begun"),
            hits = counted("broken = 0", "hits"),
        ),
        _ => format!(
            "{with}\nSELECT {bucket}, th, count(*) AS n, {hits}\nFROM pairs GROUP BY 1, 2 ORDER BY 1, 2",
            hits = counted("failed = 1", "hits"),
        ),
    }
}

fn with(edge: &Edge, operation: Option<&str>, stretch: &Stretch<'_>) -> String {
    let operation = operation.map(|name| format!(" AND name = {}", literal(name)));
    format!(
        "WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, {THRESHOLD}\n\
         FROM spans WHERE {window}\nAND service_name = {from}),\n\
         answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error\n\
         FROM spans WHERE {near}\nAND service_name = {to} AND parent_span_id IS NOT NULL{operation}),\n\
         pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th, count(*) AS answers,\n\
         min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed\n\
         FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id\n\
         GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th)",
        window = stretch.window(),
        near = stretch.near(),
        from = literal(&edge.from),
        to = literal(&edge.to),
        operation = operation.unwrap_or_default(),
    )
}
