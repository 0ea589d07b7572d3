//! Attributes that spans had and have no more, and those of which there are far more
//! values than there were. It is those that errors, endpoints, calls and users are told
//! by: `system.attributes` counts all of them.

use crate::indicator::text::{Stretch, literal};
use crate::window::Span;

/// Names of one attribute: conventions change, and so do senders with them.
type Names = &'static [&'static str];

/// By these a failed request is known where its status says nothing: without them
/// requests that fail look well.
const ERRORS: [Names; 2] = [
    &["http.response.status_code", "http.status_code"],
    &["rpc.response.status_code", "rpc.grpc.status_code"],
];
const OTHERS: [Names; 7] = [
    &["http.route"],
    &["url.path", "http.target"],
    &["server.address", "net.peer.name", "peer.service"],
    &["db.system.name", "db.system"],
    &["messaging.destination.name", "messaging.destination"],
    &["user.id", "enduser.id"],
    &["tenant.id"],
];

/// Spans of a service and kind in either stretch that say what is usual.
const LEAST: u64 = 50;
/// Values from which on ten times as many as usual are too many.
const MANY: u64 = 1_000;

/// One row, of spans that did not fail: `keys` that nine in ten spans of a service and
/// kind had in `usual`; those of them that less than one in ten have now (`gone`), and
/// of these the ones that tell of errors (`blind`).
pub fn statement(span: Span, usual: Span, judged: i64) -> String {
    let count = |at: usize| {
        format!(
            "count(CASE WHEN after = 0 THEN k{at} END) AS b{at}, count(CASE WHEN after = 1 THEN k{at} END) AS n{at}"
        )
    };
    let each = |at: usize| {
        let errors = i32::from(at < ERRORS.len());
        format!("SELECT {errors} AS errors, before, now, b{at} AS b, n{at} AS n FROM counted")
    };
    format!(
        "WITH {told},\n\
         counted AS (SELECT service_name, kind, sum(1 - after) AS before, sum(after) AS now,\n{counts}\nFROM told GROUP BY 1, 2),\n\
         keys AS (SELECT errors, CASE WHEN before >= {LEAST} AND now >= {LEAST} AND b >= 0.9 * before THEN 1 ELSE 0 END AS usual,\n\
         CASE WHEN n < 0.1 * now THEN 1 ELSE 0 END AS gone FROM (\n{each}))\n\
         SELECT sum(usual) AS keys, sum(usual * gone) AS gone, sum(usual * gone * errors) AS blind FROM keys",
        told = told(span, usual, judged),
        counts = all(count).join(",\n"),
        each = all(each).join("\nUNION ALL "),
    )
}

/// One row: keys with far more values than before, the names of spans among them
/// (`grown`), about. That counts more than a grade needs: it only makes spans torn.
pub fn values(span: Span, usual: Span, judged: i64) -> String {
    let count = |at: usize| {
        format!(
            "approx_distinct(CASE WHEN after = 0 THEN k{at} END) AS u{at}, approx_distinct(CASE WHEN after = 1 THEN k{at} END) AS d{at}"
        )
    };
    let each = |at: usize| format!("SELECT u{at} AS u, d{at} AS d FROM counted");
    format!(
        "WITH {told},\n\
         counted AS (SELECT service_name, kind,\n{counts}\nFROM told GROUP BY 1, 2)\n\
         SELECT sum(CASE WHEN d > {MANY} AND d > 10 * u THEN 1 ELSE 0 END) AS grown FROM (\n{each})",
        told = told(span, usual, judged),
        counts = all(count).join(",\n"),
        each = all(each).join("\nUNION ALL "),
    )
}

/// Something of each key, by its number; the last is the name of a span.
fn all(of: impl Fn(usize) -> String) -> Vec<String> {
    (0..=ERRORS.len() + OTHERS.len()).map(of).collect()
}

/// Spans that did not fail of either stretch, and their keys as columns.
fn told(span: Span, usual: Span, judged: i64) -> String {
    let keys = ERRORS.into_iter().chain(OTHERS).enumerate();
    let columns = keys.map(|(at, names)| {
        let each = names.iter().map(|name| format!("attributes[{}]", literal(name)));
        format!("coalesce({}) AS k{at}", each.collect::<Vec<String>>().join(", "))
    });
    let columns: Vec<String> = columns.collect();
    format!(
        "told AS (SELECT service_name, coalesce(kind, '') AS kind, CASE WHEN time_unix_nano >= {from} AND time_unix_nano < {to} THEN 1 ELSE 0 END AS after,\n\
         {columns}, name AS k{name}\nFROM spans WHERE (({window}) OR ({usual})) AND NOT is_error)",
        from = span.from,
        to = span.to(),
        columns = columns.join(", "),
        name = columns.len(),
        window = Stretch::new(span, judged).window(),
        usual = Stretch::new(usual, judged).window(),
    )
}
