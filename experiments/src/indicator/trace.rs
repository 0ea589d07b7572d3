//! Whole traces that begin at a service.

use super::red::named;
use super::sampling::THRESHOLD;
use super::shape;
use super::text::{Stretch, counted, literal};
use crate::document::provider::{Indicator, Measure};

pub(super) fn statement(measure: &Measure, stretch: &Stretch<'_>) -> String {
    let (service, endpoint) = named(&measure.subject);
    if measure.indicator == Indicator::StructureDivergence {
        return shape::statement(measure, stretch);
    }
    let bucket = stretch.bucket("time_unix_nano");
    let roots = format!(
        "WITH roots AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, is_error, {THRESHOLD}\n\
         FROM spans WHERE {}\nAND service_name = {} AND parent_span_id IS NULL{endpoint})",
        stretch.window(),
        literal(service)
    );
    if measure.indicator == Indicator::RootSuccess {
        let hits = counted("NOT is_error", "hits");
        return format!(
            "{roots}\nSELECT {bucket}, th, count(*) AS n, {hits}\nFROM roots GROUP BY 1, 2 ORDER BY 1, 2"
        );
    }
    // A span whose parent never came makes its trace incomplete.
    format!(
        "{roots},\nwhole AS (SELECT DISTINCT trace_id, span_id, parent_span_id FROM spans WHERE {near}),\n\
         torn AS (SELECT DISTINCT c.trace_id AS t FROM whole c LEFT JOIN whole p\n\
         ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id\n\
         WHERE c.parent_span_id IS NOT NULL AND p.span_id IS NULL)\n\
         SELECT {bucket}, th, count(*) AS n, {hits}\nFROM roots LEFT JOIN torn ON t = trace_id GROUP BY 1, 2 ORDER BY 1, 2",
        near = stretch.near(),
        hits = counted("t IS NULL", "hits"),
    )
}
