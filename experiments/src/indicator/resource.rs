//! What a service's containers used, by the names of the semantic conventions.

use super::growth;
use super::red::named;
use super::text::{Stretch, literal};
use crate::document::provider::{Indicator, Measure};

/// Gauges of one unit each: cores, bytes, pods that are ready.
fn names(indicator: Indicator) -> &'static [&'static str] {
    match indicator {
        Indicator::Cpu => &["container.cpu.usage", "k8s.pod.cpu.usage"],
        Indicator::Memory => &["container.memory.usage", "k8s.pod.memory.usage"],
        _ => &[
            "k8s.deployment.available",
            "k8s.deployment.pod.available",
            "k8s.statefulset.ready_pods",
            "k8s.statefulset.pod.ready",
        ],
    }
}

/// The rows of a service, or of the workload of its name: what a cluster tells of
/// a workload names no service.
pub(super) fn of_service(name: &str) -> String {
    let keys = ["k8s.deployment.name", "k8s.statefulset.name"];
    let named = keys.map(|key| format!(" OR resource_attributes['{key}'] = {}", literal(name)));
    format!("(service_name = {}{})", literal(name), named.concat())
}

/// Two that answer are told as `series`, which is an error: metrics of one thing
/// under two names, or two workloads of one name.
pub(super) fn statement(measure: &Measure, stretch: &Stretch<'_>) -> String {
    use Indicator::{OomKills, Replicas, Restarts, Throttling};
    if matches!(measure.indicator, Throttling | Restarts | OomKills) {
        return growth::statement(measure, stretch);
    }
    let (service, _) = named(&measure.subject);
    let names: Vec<String> = names(measure.indicator).iter().map(|name| literal(name)).collect();
    let one = if measure.indicator == Replicas { "series_id" } else { "metric_name" };
    format!(
        "WITH own AS (SELECT DISTINCT metric_name, series_id, time_unix_nano, value\n\
         FROM metrics WHERE {window}\nAND {service} AND metric_name IN ({names}))\n\
         SELECT {bucket}, count(*) AS n, avg(value) AS value, count(DISTINCT {one}) AS series\n\
         FROM own GROUP BY 1 ORDER BY 1",
        window = stretch.window(),
        service = of_service(service),
        names = names.join(", "),
        bucket = stretch.bucket("time_unix_nano"),
    )
}
