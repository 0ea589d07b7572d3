//! Traces by their structure: the set of operations in them, each below which
//! other. What returns early, or takes another way, has another set; how often an
//! operation is called makes no other.

use super::red::named;
use super::sampling::THRESHOLD;
use super::text::{Stretch, counted, literal};
use crate::document::provider::Measure;

/// The share of the usual traces that makes a structure a usual one.
const USUAL: f64 = 0.01;

/// Of the traces that begin at a service, those with no usual structure. Usual is
/// what is common in [`Stretch::usual`], which is the baseline.
pub(super) fn statement(measure: &Measure, stretch: &Stretch<'_>) -> String {
    let (service, endpoint) = named(&measure.subject);
    let usual = Stretch { span: stretch.usual.unwrap_or(stretch.span), ..*stretch };
    let either = |now: String, before: String| {
        if now == before { now } else { format!("(({now}) OR ({before}))") }
    };
    let within = |column: &str, stretch: &Stretch<'_>| {
        let span = stretch.span;
        format!("{column} >= {} AND {column} < {}", span.from, span.to())
    };
    format!(
        "WITH roots AS (SELECT trace_id, min(time_unix_nano) AS begun, max(th) AS th\n\
         FROM (SELECT trace_id, time_unix_nano, {THRESHOLD}\nFROM spans WHERE {window}\n\
         AND service_name = {service} AND parent_span_id IS NULL{endpoint}) GROUP BY 1),\n\
         operations AS (SELECT DISTINCT trace_id, span_id, parent_span_id, concat_ws(' ', service_name, name) AS operation\n\
         FROM spans WHERE {near} AND trace_id IN (SELECT trace_id FROM roots)),\n\
         steps AS (SELECT DISTINCT c.trace_id, concat_ws(' > ', p.operation, c.operation) AS step\n\
         FROM operations c JOIN operations p ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id),\n\
         shapes AS (SELECT r.trace_id, r.begun, r.th, md5(coalesce(string_agg(s.step, ', ' ORDER BY s.step), '')) AS shape\n\
         FROM roots r LEFT JOIN steps s ON s.trace_id = r.trace_id GROUP BY 1, 2, 3),\n\
         told AS (SELECT begun, th, sum({in_usual}) OVER (PARTITION BY shape) AS known, sum({in_usual}) OVER () AS usual FROM shapes)\n\
         SELECT {bucket}, th, count(*) AS n, {hits}\nFROM told WHERE {now} GROUP BY 1, 2 ORDER BY 1, 2",
        window = either(stretch.window(), usual.window()),
        near = either(stretch.near(), usual.near()),
        service = literal(service),
        // Counted within one pass over the shapes: they are dear.
        in_usual = format!("CASE WHEN {} THEN 1 ELSE 0 END", within("begun", &usual)),
        now = within("begun", stretch),
        bucket = stretch.bucket("begun"),
        hits = counted(&format!("known = 0 OR known < {USUAL} * usual"), "hits"),
    )
}
