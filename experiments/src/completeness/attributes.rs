//! Attributes that spans had and have no more, and those of which there are far more
//! values than there were. It is those that errors, endpoints, calls and users are told
//! by: `system.attributes` counts all of them.

use crate::indicator::text::{Stretch, literal};
use crate::window::Span;

/// By these a failed request is known where its status says nothing: without them
/// requests that fail look well.
const ERRORS: [&str; 4] = [
    "http.response.status_code",
    "http.status_code",
    "rpc.grpc.status_code",
    "rpc.response.status_code",
];
const OTHERS: [&str; 10] = [
    "http.route",
    "url.path",
    "peer.service",
    "server.address",
    "db.system.name",
    "db.system",
    "messaging.destination.name",
    "user.id",
    "enduser.id",
    "tenant.id",
];

/// Spans of a service and kind in either stretch that say what is usual.
const LEAST: u64 = 50;
/// Values from which on ten times as many as usual are too many.
const MANY: u64 = 1_000;

/// One row, of spans that did not fail: `keys` that nine in ten spans of a service and
/// kind had in `usual`; those of them that less than one in ten have now (`gone`), and
/// of these the ones that tell of errors (`blind`); keys with far more values (`grown`),
/// the names of spans among them.
pub fn statement(span: Span, usual: Span, judged: i64) -> String {
    let keys: Vec<&str> = ERRORS.into_iter().chain(OTHERS).collect();
    let columns: String = keys
        .iter()
        .enumerate()
        .map(|(at, key)| format!(", attributes[{}] AS k{at}", literal(key)))
        .collect();
    let columns = format!("{columns}, name AS k{}", keys.len());
    let all = 0..=keys.len();
    let counts: String = all
        .clone()
        .map(|at| {
            format!(
                ",\ncount(CASE WHEN after = 0 THEN k{at} END) AS b{at}, count(CASE WHEN after = 1 THEN k{at} END) AS n{at},\n\
                 approx_distinct(CASE WHEN after = 0 THEN k{at} END) AS u{at}, approx_distinct(CASE WHEN after = 1 THEN k{at} END) AS d{at}"
            )
        })
        .collect();
    let each: Vec<String> = all
        .map(|at| {
            let errors = i32::from(at < ERRORS.len());
            format!(
                "SELECT {errors} AS errors, before, now, b{at} AS b, n{at} AS n, u{at} AS u, d{at} AS d FROM counted"
            )
        })
        .collect();
    format!(
        "WITH told AS (SELECT service_name, coalesce(kind, '') AS kind, CASE WHEN time_unix_nano >= {from} AND time_unix_nano < {to} THEN 1 ELSE 0 END AS after{columns}\n\
         FROM spans WHERE (({window}) OR ({usual})) AND NOT is_error),\n\
         counted AS (SELECT service_name, kind, sum(1 - after) AS before, sum(after) AS now{counts}\nFROM told GROUP BY 1, 2),\n\
         keys AS (SELECT errors, u, d, CASE WHEN before >= {LEAST} AND now >= {LEAST} AND b >= 0.9 * before THEN 1 ELSE 0 END AS usual,\n\
         CASE WHEN n < 0.1 * now THEN 1 ELSE 0 END AS gone FROM (\n{each}))\n\
         SELECT sum(usual) AS keys, sum(usual * gone) AS gone, sum(usual * gone * errors) AS blind,\n\
         sum(CASE WHEN d > {MANY} AND d > 10 * u THEN 1 ELSE 0 END) AS grown FROM keys",
        from = span.from,
        to = span.to(),
        window = Stretch::new(span, judged).window(),
        usual = Stretch::new(usual, judged).window(),
        each = each.join("\nUNION ALL "),
    )
}
