//! `service_graph`: who calls whom.

use std::sync::Arc;

use datafusion::catalog::{TableFunctionArgs, TableProvider};

use super::arguments::Arguments;
use super::{Form, view_of};
use crate::Error;
use crate::catalog::View;

/// How far outside of the range the other end of a call is looked for, in
/// microseconds: calls that began before, clocks that differ.
const MARGIN: i64 = 600_000_000;

/// Two kinds of edges:
///
/// - **seen**: a span that was asked for (SERVER or CONSUMER, or of another
///   service than its parent) and its parent. Counted, timed and judged by the
///   callee's span.
/// - **inferred**: a span that asks (CLIENT or PRODUCER) and has no such child,
///   nor another span that asks below it, which knows the peer better. The
///   peer's name is what its attributes say: `peer.service`, the database
///   (`db.system.name`, with `/db.namespace`), `messaging.destination.name`,
///   `server.address`, or an older name of these. One that says nothing makes
///   no edge.
///
/// All joins are by trace and span id, so they are hash joins.
pub(super) fn table(
    form: &'static Form,
    view: &Arc<View>,
    args: &TableFunctionArgs<'_, '_>,
) -> Result<Arc<dyn TableProvider>, Error> {
    let range = Arguments::of(form, args)?.range()?;
    let wide = [range.start.saturating_sub(MARGIN), range.end.saturating_add(MARGIN)];
    let any = |keys: &[&str]| {
        let all: Vec<String> = keys.iter().map(|key| format!("attributes['{key}']")).collect();
        format!("coalesce({})", all.join(", "))
    };
    let peer = format!(
        "coalesce({service}, {system} || coalesce('/' || {namespace}, ''), {queue}, {host})",
        service = any(&["peer.service"]),
        system = any(&["db.system.name", "db.system"]),
        namespace = any(&["db.namespace", "db.name"]),
        queue = any(&["messaging.destination.name", "messaging.destination"]),
        host = any(&["server.address", "net.peer.name", "rpc.service"]),
    );
    let near = "time >= $3 AND time < $4";
    let sql = format!(
        "SELECT caller, callee, operation, count(*) AS calls, \
         count(*) FILTER (WHERE is_error) AS errors, \
         p50(duration_ns / 1e6) AS p50_ms, p99(duration_ns / 1e6) AS p99_ms, inferred \
         FROM (\
         SELECT p.service_name AS caller, c.service_name AS callee, c.name AS operation, \
         c.is_error, c.duration_ns, false AS inferred \
         FROM (SELECT trace_id, parent_span_id, service_name, name, kind, is_error, duration_ns \
         FROM spans WHERE parent_span_id IS NOT NULL AND time >= $1 AND time < $2) c \
         JOIN (SELECT trace_id, span_id, service_name FROM spans WHERE {near}) p \
         ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id \
         WHERE c.kind IN ('SERVER', 'CONSUMER') OR c.service_name <> p.service_name \
         UNION ALL \
         SELECT p.service_name, p.peer, p.name, p.is_error, p.duration_ns, true \
         FROM (SELECT trace_id, span_id, service_name, name, is_error, duration_ns, {peer} AS peer \
         FROM spans WHERE kind IN ('CLIENT', 'PRODUCER') AND time >= $1 AND time < $2) p \
         LEFT ANTI JOIN (SELECT trace_id, parent_span_id, service_name, kind FROM spans \
         WHERE parent_span_id IS NOT NULL AND {near}) c \
         ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id \
         AND (c.kind <> 'INTERNAL' OR c.service_name <> p.service_name) \
         WHERE p.peer IS NOT NULL) \
         GROUP BY caller, callee, operation, inferred"
    );
    view_of(view, &sql, &[range.start, range.end, wide[0], wide[1]])
}
