//! What the process says of itself on /metrics, read from /proc at each scrape.
//!
//! | name | kind | unit, labels |
//! | --- | --- | --- |
//! | `cloudsail_build` | info | `version` |
//! | `cloudsail_process_resident_memory_bytes` | gauge | bytes |
//! | `cloudsail_process_cpu_seconds` | counter | seconds, user and system |
//! | `cloudsail_process_open_fds` | gauge | |
//! | `cloudsail_uptime_seconds` | gauge | seconds |
//! | `cloudsail_log_lines` | counter | `level` |
//! | `cloudsail_ingest_memory_bytes`, `…_limit_bytes` | gauge | bytes reserved of the ingest budget, and the budget |

use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use schema::Budget;

use crate::logging;

/// Kernel ticks per second in /proc/self/stat: fixed for user space on Linux.
const TICKS: f64 = 100.0;

pub fn register(registry: &mut Registry, budget: Budget) {
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("cloudsail_build", "The build that runs", build);
    registry.register_collector(Box::new(Process { started: Instant::now(), budget }));
}

#[derive(Debug)]
struct Process {
    started: Instant,
    budget: Budget,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        if let Some(bytes) = query::resident_bytes() {
            let help = "Memory that the process has resident";
            gauge("cloudsail_process_resident_memory", help, Some(&Unit::Bytes), bytes as f64)?;
        }
        if let Some(open) = open_fds() {
            gauge("cloudsail_process_open_fds", "Open file descriptors", None, open as f64)?;
        }
        let uptime = self.started.elapsed().as_secs_f64();
        gauge("cloudsail_uptime", "Time since start", Some(&Unit::Seconds), uptime)?;
        let (used, limit) = (self.budget.used() as f64, self.budget.limit() as f64);
        gauge(
            "cloudsail_ingest_memory",
            "Bytes reserved for telemetry on its way in",
            Some(&Unit::Bytes),
            used,
        )?;
        gauge(
            "cloudsail_ingest_memory_limit",
            "Bytes there are for it",
            Some(&Unit::Bytes),
            limit,
        )?;
        if let Some(seconds) = cpu_seconds() {
            let help = "User and system CPU time";
            let metric = encoder.encode_descriptor(
                "cloudsail_process_cpu",
                help,
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        let help = "Log lines written";
        let mut family =
            encoder.encode_descriptor("cloudsail_log_lines", help, None, MetricType::Counter)?;
        for (level, count) in logging::lines() {
            ConstCounter::new(count).encode(family.encode_family(&[("level", level)])?)?;
        }
        Ok(())
    }
}

fn open_fds() -> Option<usize> {
    // The folder's own descriptor is one of them.
    std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1))
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in parentheses and may hold spaces.
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the metrics are scraped.
    /// Guarantees: valid OpenMetrics text with the process's own figures above zero.
    #[test]
    fn the_process_speaks_of_itself() {
        let mut registry = Registry::default();
        register(&mut registry, Budget::new(1000));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(name)).expect(name);
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!(value("cloudsail_process_resident_memory_bytes") > 1e6);
        assert!(value("cloudsail_process_open_fds") >= 1.0);
        assert!(value("cloudsail_process_cpu_seconds_total") >= 0.0);
        assert_eq!(value("cloudsail_ingest_memory_limit_bytes"), 1000.0);
        assert!(text.contains("cloudsail_build_info{version="));
        assert!(text.contains("cloudsail_log_lines_total{level=\"error\"}"));
        assert!(text.ends_with("# EOF\n"));
    }
}
