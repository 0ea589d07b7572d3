//! Calls as their caller made them: those that were tried again, and those that
//! took too long. A call that nobody answered is one all the same, if its caller
//! says whom it called.

use super::sampling::THRESHOLD;
use super::text::{Stretch, counted, literal};
use crate::document::provider::{Edge, Indicator};

/// The attributes of a call that was sent again (HTTP's semantic conventions).
const RESENT: &str = "coalesce(attributes['http.request.resend_count'], attributes['http.resend_count'], '0') <> '0'";
/// Of one that ran out of time: HTTP 408 and 504, gRPC 4, or what its error is called.
const LATE: &str = "attributes['http.response.status_code'] IN ('408', '504')\n\
     OR attributes['rpc.grpc.status_code'] = '4'\n\
     OR regexp_like(concat_ws(' ', attributes['error.type'], status_message), '(?i)time[d _-]*out|deadline')";

pub(super) fn statement(
    edge: &Edge,
    operation: Option<&str>,
    indicator: Indicator,
    stretch: &Stretch<'_>,
) -> String {
    // Which operation a call without an answer was about is not known.
    let unanswered = match operation {
        Some(_) => String::new(),
        None => {
            let peer = "coalesce(attributes['peer.service'], attributes['server.address'])";
            let (name, below) = (literal(&edge.to), literal(&format!("{}.", edge.to)));
            format!(
                " OR (kind IN ('CLIENT', 'PRODUCER') AND ({peer} = {name} OR starts_with({peer}, {below})))"
            )
        }
    };
    let operation = operation.map(|name| format!(" AND name = {}", literal(name)));
    let flag =
        |condition: &str, name: &str| format!("CASE WHEN {condition} THEN 1 ELSE 0 END AS {name}");
    let hits = match indicator {
        // After one that failed, of the same kind, below the same span.
        Indicator::RetryRatio => counted("resent = 1 OR failed_before = 1", "hits"),
        // The caller's own word, or it had gone when the answer came.
        _ => {
            counted("late = 1 OR (failed = 1 AND answered > time_unix_nano + duration_ns)", "hits")
        }
    };
    format!(
        "WITH answers AS (SELECT trace_id AS t, parent_span_id AS s, max(time_unix_nano + duration_ns) AS answered,\n\
         max({failing}) AS broken\n\
         FROM spans WHERE {near}\nAND service_name = {to} AND parent_span_id IS NOT NULL{operation} GROUP BY 1, 2),\n\
         calls AS (SELECT DISTINCT trace_id, span_id, parent_span_id, name, time_unix_nano, duration_ns, answered, {resent}, {late},\n\
         {failed}, {THRESHOLD}\n\
         FROM spans LEFT JOIN answers ON t = trace_id AND s = span_id\n\
         WHERE {window}\nAND service_name = {from} AND (t IS NOT NULL{unanswered})),\n\
         tried AS (SELECT time_unix_nano, duration_ns, answered, resent, late, failed, th, max(failed) OVER (PARTITION BY trace_id, parent_span_id, name\n\
         ORDER BY time_unix_nano, span_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS failed_before FROM calls)\n\
         SELECT {bucket}, th, count(*) AS n, {hits}\nFROM tried GROUP BY 1, 2 ORDER BY 1, 2",
        failing = "CASE WHEN is_error THEN 1 ELSE 0 END",
        near = stretch.near(),
        to = literal(&edge.to),
        from = literal(&edge.from),
        operation = operation.unwrap_or_default(),
        resent = flag(RESENT, "resent"),
        late = flag(LATE, "late"),
        failed = flag("is_error OR broken = 1", "failed"),
        window = stretch.window(),
        bucket = stretch.bucket("time_unix_nano"),
    )
}
