//! Rate, errors and duration of what a service was asked: its SERVER and
//! CONSUMER spans. `slo` is the same errors in units of what is allowed.

use super::sampling::THRESHOLD;
use super::text::{Stretch, cell, counted, literal};
use crate::document::provider::{Indicator, Measure, Subject};

pub(super) fn statement(measure: &Measure, stretch: &Stretch<'_>) -> String {
    let own = own(measure, stretch);
    let bucket = stretch.bucket("time_unix_nano");
    if let Indicator::Quantile(_) = measure.indicator {
        let cell = cell("duration_ns");
        return format!(
            "WITH own AS ({own})\nSELECT {bucket}, {cell}, th, count(*) AS n\nFROM own GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        );
    }
    let hits = match measure.indicator {
        Indicator::Rate => "count(*) AS hits".to_owned(),
        _ => counted("is_error", "hits"),
    };
    format!(
        "WITH own AS ({own})\nSELECT {bucket}, th, count(*) AS n, {hits}\nFROM own GROUP BY 1, 2 ORDER BY 1, 2"
    )
}

fn own(measure: &Measure, stretch: &Stretch<'_>) -> String {
    let (service, endpoint) = named(&measure.subject);
    let window = stretch.window();
    format!(
        "SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, {THRESHOLD}\nFROM spans WHERE {window}\nAND service_name = {} AND kind IN ('SERVER', 'CONSUMER'){endpoint}",
        literal(service)
    )
}

/// A service, and a predicate for its endpoint.
pub(super) fn named(subject: &Subject) -> (&str, String) {
    match subject {
        Subject::Service { service, endpoint } => {
            let endpoint = endpoint.as_ref().map(|name| format!(" AND name = {}", literal(name)));
            (service, endpoint.unwrap_or_default())
        }
        Subject::Edge { edge, .. } => (&edge.to, String::new()),
    }
}
