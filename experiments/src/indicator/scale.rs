//! How many pods are wanted, ready and allowed: points of gauges, as they came.

use super::answer::Rows;
use super::ask::Table;
use super::text::{Stretch, literal};
use crate::document::scope::Scaling;
use crate::verdict::evidence::Gap;
use crate::window::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Desired,
    Ready,
    Limit,
}

/// The names of the semantic conventions, and those before them.
const OF_MODEL: [(What, &[&str]); 2] = [
    (What::Desired, &["k8s.hpa.pod.desired", "k8s.hpa.desired_replicas"]),
    (What::Limit, &["k8s.hpa.pod.max", "k8s.hpa.max_replicas"]),
];
const READY: &[&str] = &[
    "k8s.deployment.pod.available",
    "k8s.deployment.available",
    "k8s.statefulset.pod.ready",
    "k8s.statefulset.ready_pods",
];
const DESIRED: &[&str] = &[
    "k8s.deployment.pod.desired",
    "k8s.deployment.desired",
    "k8s.statefulset.pod.desired",
    "k8s.statefulset.desired_pods",
];

/// One thing that was told, in pods, at a time in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub what: What,
    pub at: i64,
    pub value: f64,
}

impl What {
    const ALL: [(&'static str, What); 3] =
        [("desired", What::Desired), ("ready", What::Ready), ("limit", What::Limit)];
}

pub fn statement(scaling: &Scaling, span: Span, judged: i64) -> String {
    let listed =
        |names: &[&str]| names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
    let workload = super::resource::of_service(&scaling.workload);
    let mut kinds =
        vec![format!("WHEN {workload} AND metric_name IN ({}) THEN 'ready'", listed(READY))];
    match &scaling.model {
        None => kinds.push(format!("WHEN {workload} AND metric_name IN ({}) THEN 'desired'", listed(DESIRED))),
        Some(model) => kinds.extend(OF_MODEL.map(|(what, names)| {
            let what = if what == What::Limit { "limit" } else { "desired" };
            format!(
                "WHEN resource_attributes['k8s.hpa.name'] = {} AND metric_name IN ({}) THEN '{what}'",
                literal(model),
                listed(names)
            )
        })),
    }
    let all: Vec<&str> = [READY, DESIRED, OF_MODEL[0].1, OF_MODEL[1].1].concat();
    format!(
        "SELECT what, CAST(series_id AS VARCHAR) AS series, time_unix_nano, value FROM (SELECT DISTINCT series_id, time_unix_nano, value,\n\
         CASE {kinds} END AS what\n\
         FROM metrics WHERE {window}\nAND metric_name IN ({all})) WHERE what IS NOT NULL ORDER BY 3, 1",
        kinds = kinds.join("\n"),
        window = Stretch::new(span, judged).window(),
        all = listed(&all),
    )
}

/// Of each kind one series alone may answer.
pub fn points(table: &Table) -> Result<Vec<Point>, Gap> {
    let mut points = Vec::new();
    let mut answering: std::collections::BTreeMap<What, String> = Default::default();
    for row in Rows::of(table)?.iter() {
        let text = |column: &str| row.get(column).and_then(serde_json::Value::as_str);
        let what = What::ALL.iter().find(|(name, _)| text("what") == Some(*name));
        let Some((name, what)) = what else {
            return Err(Gap::Error("a row tells of nothing that was asked for".into()));
        };
        let series = text("series").unwrap_or_default();
        if answering.entry(*what).or_insert_with(|| series.to_owned()) != series {
            return Err(Gap::Error(format!(
                "several series tell how many pods are {name}, and one must"
            )));
        }
        points.push(Point {
            what: *what,
            at: row.whole("time_unix_nano")?,
            value: row.number("value")?,
        });
    }
    Ok(points)
}
