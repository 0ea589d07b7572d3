//! The telemetry of some seconds, and the requests that carry it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};

use super::detail::{self, BOUNDS};

/// Service and the version it runs.
pub type Instance = (&'static str, &'static str);

/// What an instance served: requests of one name, well or not.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    pub name: String,
    pub failed: bool,
}

/// By instance: each is a resource.
#[derive(Default)]
pub struct Window {
    shop: u64,
    spans: BTreeMap<Instance, Vec<Value>>,
    logs: BTreeMap<Instance, Vec<Value>>,
    metrics: BTreeMap<Instance, Vec<Value>>,
    /// How long it took, in seconds.
    served: BTreeMap<Instance, BTreeMap<Served, Vec<f64>>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub spans: usize,
    pub logs: usize,
    pub points: usize,
}

impl Counts {
    pub fn add(&mut self, window: &Window) {
        let points = |metric: &Value| {
            let kinds = ["gauge", "sum", "histogram"].iter();
            kinds
                .filter_map(|kind| Some(metric[kind]["dataPoints"].as_array()?.len()))
                .sum::<usize>()
        };
        self.spans += window.spans.values().map(Vec::len).sum::<usize>();
        self.logs += window.logs.values().map(Vec::len).sum::<usize>();
        self.points += window.metrics.values().flatten().map(points).sum::<usize>();
    }
}

impl Window {
    pub fn of(shop: u64) -> Window {
        Window { shop, ..Window::default() }
    }

    pub fn span(&mut self, of: Instance, span: Value) {
        self.spans.entry(of).or_default().push(span);
    }

    pub fn log(&mut self, of: Instance, record: Value) {
        self.logs.entry(of).or_default().push(record);
    }

    pub fn metric(&mut self, of: Instance, metric: Value) {
        self.metrics.entry(of).or_default().push(metric);
    }

    pub fn serve(&mut self, of: Instance, what: Served, seconds: f64) {
        self.served.entry(of).or_default().entry(what).or_default().push(seconds);
    }

    /// A histogram for each instance, with a point for each of what it served.
    pub fn measure_served(&mut self, time: Range<i64>) {
        for (of, served) in std::mem::take(&mut self.served) {
            let points: Vec<Value> =
                served.iter().map(|(what, seconds)| point(&time, what, seconds)).collect();
            self.metric(
                of,
                json!({
                    "name": "http.server.request.duration",
                    "unit": "s",
                    "description": "Duration of HTTP server requests.",
                    "histogram": { "aggregationTemporality": 1, "dataPoints": points },
                }),
            );
        }
    }

    /// Paths and bodies of the requests that carry this.
    pub fn requests(&self) -> Vec<(&'static str, Value)> {
        let wrap = |items: &BTreeMap<Instance, Vec<Value>>, scopes: &str, name: &str| -> Value {
            items
                .iter()
                .map(|(instance, items)| {
                    let scope = json!({ "scope": { "name": "shop" }, name: items });
                    json!({ "resource": detail::resource(*instance, self.shop), scopes: [scope] })
                })
                .collect()
        };
        let mut requests = vec![
            ("/v1/traces", json!({ "resourceSpans": wrap(&self.spans, "scopeSpans", "spans") })),
            (
                "/v1/metrics",
                json!({ "resourceMetrics": wrap(&self.metrics, "scopeMetrics", "metrics") }),
            ),
        ];
        if !self.logs.is_empty() {
            let logs = wrap(&self.logs, "scopeLogs", "logRecords");
            requests.push(("/v1/logs", json!({ "resourceLogs": logs })));
        }
        requests
    }
}

fn point(time: &Range<i64>, what: &Served, seconds: &[f64]) -> Value {
    let mut buckets = [0_u64; BOUNDS.len() + 1];
    for took in seconds {
        buckets[BOUNDS.partition_point(|bound| bound < took)] += 1;
    }
    json!({
        "startTimeUnixNano": time.start.to_string(),
        "timeUnixNano": time.end.to_string(),
        "count": seconds.len().to_string(),
        "sum": seconds.iter().sum::<f64>(),
        "min": seconds.iter().copied().fold(f64::INFINITY, f64::min),
        "max": seconds.iter().copied().fold(0.0, f64::max),
        "bucketCounts": buckets.map(|count| count.to_string()),
        "explicitBounds": BOUNDS,
        "attributes": detail::measured(&what.name, what.failed),
    })
}
