//! Exclusive time: what a service spent in a trace itself, its spans less the
//! union of their children. Calls (CLIENT, PRODUCER) are left out: the time in
//! them is the network's and the callee's.

use super::red::named;
use super::sampling::THRESHOLD;
use super::text::{Stretch, cell, literal};
use crate::document::provider::Measure;

pub(super) fn statement(measure: &Measure, stretch: &Stretch<'_>) -> String {
    let (service, endpoint) = named(&measure.subject);
    let (window, covered, service) = (stretch.window(), covered(&stretch.near()), literal(service));
    let endpoint = match endpoint.is_empty() {
        true => String::new(),
        false => format!(
            "\nAND trace_id IN (SELECT trace_id FROM spans WHERE {window} AND service_name = {service} AND kind IN ('SERVER', 'CONSUMER'){endpoint})"
        ),
    };
    let (bucket, cell) = (stretch.bucket("begun"), cell("own_ns"));
    format!(
        "WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, {THRESHOLD}\n\
         FROM spans WHERE {window}\nAND service_name = {service} AND kind NOT IN ('CLIENT', 'PRODUCER'){endpoint}),\n\
         {covered},\n\
         spent AS (SELECT o.trace_id, min(o.time_unix_nano) AS begun,\n\
         sum(greatest(o.duration_ns - coalesce(c.ns, 0), 0)) AS own_ns, max(o.th) AS th\n\
         FROM own o LEFT JOIN covered c ON c.trace_id = o.trace_id AND c.span_id = o.span_id GROUP BY 1)\n\
         SELECT {bucket}, {cell}, th, count(*) AS n\nFROM spent GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
}

/// What the children of each span in `own` take of its time, as `covered`:
/// trace_id, span_id, ns. Where children overlap, their time counts once.
/// `near` is where children are looked for.
pub(crate) fn covered(near: &str) -> String {
    format!(
        "below AS (SELECT DISTINCT trace_id, parent_span_id, span_id, time_unix_nano, duration_ns\n\
         FROM spans WHERE {near} AND parent_span_id IS NOT NULL),\n\
         clipped AS (SELECT o.trace_id, o.span_id, greatest(b.time_unix_nano, o.time_unix_nano) AS begins,\n\
         least(b.time_unix_nano + b.duration_ns, o.time_unix_nano + o.duration_ns) AS ends\n\
         FROM own o JOIN below b ON b.trace_id = o.trace_id AND b.parent_span_id = o.span_id),\n\
         reached AS (SELECT trace_id, span_id, begins, ends, max(ends) OVER (PARTITION BY trace_id, span_id\n\
         ORDER BY begins, ends ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach\n\
         FROM clipped WHERE ends > begins),\n\
         covered AS (SELECT trace_id, span_id, sum(greatest(ends - greatest(begins, coalesce(reach, begins)), 0)) AS ns\n\
         FROM reached GROUP BY 1, 2)"
    )
}
