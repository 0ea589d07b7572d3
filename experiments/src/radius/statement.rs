//! One statement per signal, for all services at once, and for any number of
//! stretches: what a fault is compared with is many pieces of fault-free time.

use std::collections::BTreeMap;

use crate::document::units::Period;
use crate::indicator::exclusive::covered;
use crate::indicator::text::{Stretch, cell, literal};
use crate::window::Span;

/// How far outside of a stretch the other end of a call is looked for.
const MARGIN: Period = Period::secs(60);

/// Times at which a call site is told to repeat: once, twice, four and eight
/// times in a request. A loop that ends early still says everything once.
pub const REPEATS: [u64; 4] = [1, 2, 4, 8];

/// Pairs of caller and callee that are told of those who tell nothing themselves.
const WAITS: usize = 50;

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

/// What callers wait for those who never tell of a call, by names that the calls
/// give: caller, callee, bucket, cell, n. Those of most calls, as hosts are many.
pub fn waits(spans: &[Span], judged: i64) -> String {
    let whole = Stretch::new(hull(spans), judged);
    format!(
        "WITH asked AS (SELECT DISTINCT trace_id, span_id, service_name, time_unix_nano, duration_ns, {PEER} AS peer\n\
         FROM spans WHERE {window} AND kind IN ('CLIENT', 'PRODUCER') AND {PEER} IS NOT NULL),\n\
         answers AS (SELECT DISTINCT trace_id, parent_span_id FROM spans WHERE {near} AND parent_span_id IS NOT NULL),\n\
         calls AS (SELECT a.service_name AS caller, a.peer AS callee, {bucket}, {cell},\n\
         count(*) AS n, count(b.parent_span_id) AS answered FROM asked a\n\
         LEFT JOIN answers b ON b.trace_id = a.trace_id AND b.parent_span_id = a.span_id GROUP BY 1, 2, 3, 4),\n\
         lone AS (SELECT *, sum(answered) OVER (PARTITION BY caller, callee) AS told,\n\
         sum(n) OVER (PARTITION BY caller, callee) AS weight FROM calls),\n\
         ranked AS (SELECT *, dense_rank() OVER (ORDER BY weight DESC, caller, callee) AS place FROM lone WHERE told = 0)\n\
         SELECT caller, callee, bucket, cell, n FROM ranked WHERE place <= {WAITS} ORDER BY 1, 2, 3, 4",
        window = any_of(spans, judged),
        near = around(spans, judged),
        bucket = whole.bucket("time_unix_nano"),
        cell = cell("duration_ns"),
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

/// Requests of each service (`asked`), the traces that asked for each of its operations
/// (`units`), and how many these are by bucket (`counted`).
fn asked(spans: &[Span], judged: i64) -> String {
    format!(
        "asked AS (SELECT DISTINCT trace_id, span_id, service_name, name AS operation,\n\
         time_unix_nano AS begins, time_unix_nano + duration_ns AS ends\n\
         FROM spans WHERE {window} AND kind IN ('SERVER', 'CONSUMER')),\n\
         units AS (SELECT trace_id, service_name, operation, {bucket} FROM asked GROUP BY 1, 2, 3),\n\
         counted AS (SELECT bucket, service_name, operation, count(*) AS n FROM units GROUP BY 1, 2, 3)",
        window = any_of(spans, judged),
        bucket = Stretch::new(hull(spans), judged).bucket("min(begins)"),
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
        "WITH {asked},\n\
         said AS (SELECT DISTINCT trace_id, span_id, service_name, time_unix_nano AS at, {HEAD} AS head,\n\
         character_length(body) AS letters FROM logs WHERE {near} AND trace_id IS NOT NULL),\n\
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
        asked = asked(spans, judged),
        repeats = repeats.join(", "),
        named = named.join(", "),
    )
}

/// What requests came to, by bucket, service and operation: of the `n` traces
/// that asked for the operation, in how many (`hits`) a request
///
/// - `failed`: a span of it failed, and none below that did,
/// - `carried`: a span of it failed as one below that did,
/// - `unanswered`: a call to `whom` failed, and nothing is known below it,
/// - `called`: `whom` was called; databases and queues too, by their names.
///
/// Hosts are no names to compare calls by: addresses come and go with pods.
pub fn requests(spans: &[Span], judged: i64) -> String {
    let near = around(spans, judged);
    format!(
        "WITH {asked},\n\
         failing AS (SELECT trace_id, span_id, service_name, time_unix_nano AS at,\n\
         CASE WHEN kind IN ('CLIENT', 'PRODUCER') THEN {PEER} END AS peer FROM spans WHERE {near} AND is_error),\n\
         below AS (SELECT trace_id, parent_span_id, max(CASE WHEN is_error THEN 1 ELSE 0 END) AS failed\n\
         FROM spans WHERE {near} AND parent_span_id IS NOT NULL GROUP BY 1, 2),\n\
         done AS (SELECT f.trace_id, f.service_name, f.at, CASE WHEN b.failed = 1 THEN 'carried'\n\
         WHEN b.failed IS NULL AND f.peer IS NOT NULL THEN 'unanswered' ELSE 'failed' END AS what,\n\
         CASE WHEN b.failed IS NULL THEN coalesce(f.peer, '') ELSE '' END AS whom\n\
         FROM failing f LEFT JOIN below b ON b.trace_id = f.trace_id AND b.parent_span_id = f.span_id\n\
         UNION ALL SELECT p.trace_id, p.service_name, p.at, 'called', c.service_name\n\
         FROM (SELECT trace_id, span_id, service_name, time_unix_nano AS at FROM spans WHERE {near}) p\n\
         JOIN (SELECT trace_id, parent_span_id, service_name FROM spans WHERE {near} AND parent_span_id IS NOT NULL) c\n\
         ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id AND c.service_name <> p.service_name\n\
         UNION ALL SELECT trace_id, service_name, time_unix_nano, 'called', {NAMED}\n\
         FROM spans WHERE {near} AND kind IN ('CLIENT', 'PRODUCER') AND {NAMED} IS NOT NULL),\n\
         placed AS (SELECT DISTINCT a.trace_id, a.service_name, a.operation, d.what, d.whom\n\
         FROM asked a JOIN done d ON d.trace_id = a.trace_id AND d.service_name = a.service_name\n\
         AND d.at >= a.begins AND d.at <= a.ends),\n\
         came AS (SELECT u.bucket, p.service_name, p.operation, p.what, p.whom, count(*) AS hits\n\
         FROM placed p JOIN units u ON u.trace_id = p.trace_id AND u.service_name = p.service_name AND u.operation = p.operation\n\
         GROUP BY 1, 2, 3, 4, 5)\n\
         SELECT c.bucket, c.service_name AS service, c.operation, c.n, d.what, d.whom, d.hits\n\
         FROM counted c LEFT JOIN came d ON d.bucket = c.bucket AND d.service_name = c.service_name\n\
         AND d.operation = c.operation ORDER BY 1, 2, 3, 5, 6",
        asked = asked(spans, judged),
    )
}

/// The requests of each endpoint by how they ended and how long they took: service,
/// operation, root (1 where nobody called), failed (0 or 1), bucket, cell, n. The
/// unit is a trace.
pub fn endpoints(spans: &[Span], judged: i64) -> String {
    format!(
        "WITH own AS (SELECT DISTINCT trace_id, span_id, parent_span_id, service_name, name, is_error, time_unix_nano, duration_ns\n\
         FROM spans WHERE {window} AND (kind IN ('SERVER', 'CONSUMER') OR parent_span_id IS NULL)),\n\
         units AS (SELECT trace_id, service_name, name AS operation,\n\
         max(CASE WHEN parent_span_id IS NULL THEN 1 ELSE 0 END) AS root,\n\
         max(CASE WHEN is_error THEN 1 ELSE 0 END) AS failed, min(time_unix_nano) AS begun, max(duration_ns) AS took\n\
         FROM own GROUP BY 1, 2, 3)\n\
         SELECT service_name AS service, operation, root, failed, {bucket}, {cell}, count(*) AS n\n\
         FROM units GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6",
        window = any_of(spans, judged),
        bucket = Stretch::new(hull(spans), judged).bucket("begun"),
        cell = cell("took"),
    )
}

/// What services run on and keep things in: service, kind (`node` or `database`),
/// name. Nodes are told by whatever a service sends.
pub fn resources(spans: &[Span], judged: i64) -> String {
    let window = any_of(spans, judged);
    let nodes = ["spans", "logs", "metrics"].map(|table| {
        format!(
            "SELECT service_name AS service, 'node' AS kind, {NODE} AS name FROM {table} WHERE {window} AND {NODE} IS NOT NULL"
        )
    });
    format!(
        "SELECT DISTINCT service, kind, name FROM (\n{}\n\
         UNION ALL SELECT service_name, 'database', {DATABASE} FROM spans\n\
         WHERE {window} AND kind = 'CLIENT' AND {DATABASE} IS NOT NULL)\nORDER BY 1, 2, 3",
        nodes.join("\nUNION ALL "),
    )
}

/// The services of which something that they send has all these resource attributes.
pub fn holders(resource: &BTreeMap<String, String>, spans: &[Span], judged: i64) -> String {
    let is = resource.iter().map(|(key, value)| {
        let column = RESOURCE_COLUMNS.iter().find(|(name, _)| name == key);
        let column = match column {
            Some((_, column)) => (*column).to_owned(),
            None => format!("resource_attributes[{}]", literal(key)),
        };
        format!(" AND {column} = {}", literal(value))
    });
    let (is, window) = (is.collect::<String>(), any_of(spans, judged));
    let each = ["spans", "logs", "metrics"].map(|table| {
        format!("SELECT service_name AS service FROM {table} WHERE {window}{is} AND service_name IS NOT NULL")
    });
    format!("SELECT DISTINCT service FROM (\n{}) ORDER BY 1", each.join("\nUNION ALL "))
}

/// Resource attributes that have a column in place of an entry of the map.
const RESOURCE_COLUMNS: [(&str, &str); 6] = [
    ("service.name", "service_name"),
    ("service.namespace", "service_namespace"),
    ("service.instance.id", "service_instance_id"),
    ("service.version", "service_version"),
    ("deployment.environment.name", "deployment_environment"),
    ("deployment.environment", "deployment_environment"),
];

/// Of the traces with a root in a stretch: how many; how many failed or took
/// longer than `slow` allows their endpoint (service, operation, nanoseconds);
/// and of how many users and tenants they are, where spans tell, about.
pub fn reach(span: Span, slow: &[(String, String, i64)], judged: i64) -> String {
    let near = around(&[span], judged);
    let rows = slow.iter().map(|(service, operation, nanos)| {
        format!("({}, {}, {nanos})", literal(service), literal(operation))
    });
    // No endpoint has an empty name of its service: the row makes the list one.
    let rows: Vec<String> = rows.chain(["('', '', 0)".to_owned()]).collect();
    format!(
        "WITH usual AS (SELECT column1 AS service, column2 AS operation, column3 AS most FROM (VALUES {rows}) AS listed),\n\
         roots AS (SELECT s.trace_id, max(CASE WHEN s.is_error OR s.duration_ns > u.most THEN 1 ELSE 0 END) AS felt\n\
         FROM (SELECT * FROM spans WHERE {window} AND parent_span_id IS NULL) s\n\
         LEFT JOIN usual u ON u.service = s.service_name AND u.operation = s.name GROUP BY 1),\n\
         who AS (SELECT trace_id, max({USER}) AS person, max({TENANT}) AS tenant FROM spans WHERE {near} GROUP BY 1)\n\
         SELECT count(*) AS traces, sum(felt) AS felt, approx_distinct(person) AS users,\n\
         approx_distinct(CASE WHEN felt = 1 THEN person END) AS users_felt, approx_distinct(tenant) AS tenants,\n\
         approx_distinct(CASE WHEN felt = 1 THEN tenant END) AS tenants_felt\n\
         FROM roots r LEFT JOIN who w ON w.trace_id = r.trace_id",
        rows = rows.join(", "),
        window = any_of(&[span], judged),
    )
}

/// By service, the traces in which a span of it failed and none below did, and
/// those of them whose root is known and fine: service, traces, masked.
pub fn masked(span: Span, judged: i64) -> String {
    format!(
        "WITH ends AS (SELECT trace_id, id, max(service) AS service, max(own) AS own, max(below) AS below FROM (\n\
         SELECT trace_id, span_id AS id, service_name AS service, 1 AS own, 0 AS below FROM spans WHERE {window} AND is_error\n\
         UNION ALL SELECT trace_id, parent_span_id, NULL, 0, 1 FROM spans WHERE {near} AND is_error AND parent_span_id IS NOT NULL)\n\
         GROUP BY 1, 2),\n\
         deepest AS (SELECT trace_id, service FROM ends WHERE own = 1 AND below = 0 GROUP BY 1, 2),\n\
         roots AS (SELECT trace_id, 1 - max(CASE WHEN is_error THEN 1 ELSE 0 END) AS fine\n\
         FROM spans WHERE {near} AND parent_span_id IS NULL GROUP BY 1)\n\
         SELECT service, count(*) AS traces, coalesce(sum(fine), 0) AS masked\n\
         FROM deepest d LEFT JOIN roots r ON r.trace_id = d.trace_id GROUP BY 1 ORDER BY 1",
        window = any_of(&[span], judged),
        near = around(&[span], judged),
    )
}

/// What a call says of whom it is for: a name, not a host.
const NAMED: &str = "coalesce(attributes['peer.service'],\n\
     coalesce(attributes['db.system.name'], attributes['db.system']) || coalesce('/' || coalesce(attributes['db.namespace'], attributes['db.name']), ''),\n\
     coalesce(attributes['messaging.destination.name'], attributes['messaging.destination']))";

/// The same, or else the host.
const PEER: &str = "coalesce(attributes['peer.service'],\n\
     coalesce(attributes['db.system.name'], attributes['db.system']) || coalesce('/' || coalesce(attributes['db.namespace'], attributes['db.name']), ''),\n\
     coalesce(attributes['messaging.destination.name'], attributes['messaging.destination']),\n\
     attributes['server.address'], attributes['net.peer.name'])";

/// A database is its system, where it is, and the part of it.
const DATABASE: &str = "coalesce(attributes['db.system.name'], attributes['db.system'])\n\
     || coalesce(' at ' || coalesce(attributes['server.address'], attributes['net.peer.name']), '')\n\
     || coalesce(' ' || coalesce(attributes['db.namespace'], attributes['db.name']), '')";

const NODE: &str = "resource_attributes['k8s.node.name']";
const USER: &str = "coalesce(attr('enduser.id'), attr('user.id'))";
const TENANT: &str = "coalesce(attr('tenant.id'), attr('tenant'))";

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

/// What of a message is kept to tell repeated rows: bodies may be long, and many.
const HEAD: &str = "substr(body, 1, 240)";

/// The words of a message: what changes from one to the next is cut off.
const SITE: &str =
    "regexp_replace(s.head, '[0-9a-zA-Z_.@-]*[0-9][0-9a-zA-Z_.@:-]*|\"[^\"]*\"', '#', 'g')";

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
