//! What a service's containers used, by the names of the semantic conventions.

use super::red::named;
use super::text::{Stretch, literal};
use crate::document::provider::{Indicator, Measure};

/// Gauges of one unit each: cores, bytes, restarts.
fn names(indicator: Indicator) -> &'static [&'static str] {
    match indicator {
        Indicator::Cpu => &["container.cpu.usage", "k8s.pod.cpu.usage"],
        Indicator::Memory => &["container.memory.usage", "k8s.pod.memory.usage"],
        _ => &["k8s.container.restarts", "k8s.container.restart_count"],
    }
}

/// Two metrics that answer are told as `series`, which is an error.
pub(super) fn statement(measure: &Measure, stretch: &Stretch) -> String {
    let (service, _) = named(&measure.subject);
    let names: Vec<String> = names(measure.indicator).iter().map(|name| literal(name)).collect();
    format!(
        "WITH own AS (SELECT DISTINCT metric_name, series_id, time_unix_nano, value\n\
         FROM metrics WHERE {window}\nAND service_name = {service} AND metric_name IN ({names}))\n\
         SELECT {bucket}, count(*) AS n, avg(value) AS value, count(DISTINCT metric_name) AS series\n\
         FROM own GROUP BY 1 ORDER BY 1",
        window = stretch.window(),
        service = literal(service),
        names = names.join(", "),
        bucket = stretch.bucket("time_unix_nano"),
    )
}
