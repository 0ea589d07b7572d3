//! What a service logged.

use super::red::named;
use super::text::{Stretch, counted, literal};
use crate::document::provider::{Indicator, Measure};

pub(super) fn statement(measure: &Measure, stretch: &Stretch<'_>) -> String {
    let (service, _) = named(&measure.subject);
    let hits = match measure.indicator {
        // Asked by a statement of its own, for all services at once.
        Indicator::CallsiteShift | Indicator::TraceIdRatio => {
            counted("trace_id IS NOT NULL", "hits")
        }
        _ => counted("severity IN ('ERROR', 'FATAL')", "hits"),
    };
    format!(
        "WITH own AS (SELECT DISTINCT time_unix_nano, trace_id, span_id, severity, body\n\
         FROM logs WHERE {window}\nAND service_name = {service})\n\
         SELECT {bucket}, count(*) AS n, {hits}\nFROM own GROUP BY 1 ORDER BY 1",
        window = stretch.window(),
        service = literal(service),
        bucket = stretch.bucket("time_unix_nano"),
    )
}
