//! The views over stored tables: what was written in parts, in one piece, and
//! what changed.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use schema::tables::common::{list, timestamp};
use schema::tables::{trace_parts, usage_parts};

use super::View;

/// A view that the daemon has from the start.
pub(super) struct Merged {
    pub name: &'static str,
    pub doc: &'static str,
    /// The table whose rows it merges; `None` for one with `docs` of its own.
    parts: Option<&'static str>,
    pub sql: &'static str,
    columns: fn() -> Vec<(&'static str, DataType)>,
    /// What the documentation of a part calls itself, and what a merged row is.
    words: &'static [(&'static str, &'static str)],
    docs: &'static [(&'static str, &'static str)],
}

const MERGED: [Merged; 3] = [
    // The root's fields come from one part: the earliest that has a root.
    Merged {
        name: "traces",
        doc: "One row per trace, merged from `trace_parts`.",
        parts: Some(trace_parts::NAME),
        sql: "\
SELECT trace_id, min(min_time) AS min_time, max(max_time) AS max_time, \
 first_value(root_service ORDER BY min_time, root_name, root_service) FILTER (WHERE root_duration_ns IS NOT NULL) AS root_service, \
 first_value(root_name ORDER BY min_time, root_name, root_service) FILTER (WHERE root_duration_ns IS NOT NULL) AS root_name, \
 first_value(root_duration_ns ORDER BY min_time, root_name, root_service) FILTER (WHERE root_duration_ns IS NOT NULL) AS root_duration_ns, \
 sum(span_count) AS span_count, sum(error_count) AS error_count, \
 array_sort(array_distinct(flatten(array_agg(services)))) AS services \
FROM trace_parts GROUP BY trace_id",
        columns: || {
            vec![
                ("trace_id", DataType::Utf8),
                ("min_time", timestamp()),
                ("max_time", timestamp()),
                ("root_service", DataType::Utf8),
                ("root_name", DataType::Utf8),
                ("root_duration_ns", DataType::Int64),
                ("span_count", DataType::Int64),
                ("error_count", DataType::Int64),
                ("services", list(DataType::Utf8)),
            ]
        },
        words: &[(" in this part", ""), ("this part", "the trace")],
        docs: &[],
    },
    Merged {
        name: "usage",
        doc: "What each service costs by day, added up from `usage_parts`, which is written every minute and at a flush.",
        parts: Some(usage_parts::NAME),
        sql: "\
SELECT date, tenant, service_name, signal, sum(rows) AS rows, sum(bytes_in) AS bytes_in, \
 sum(bytes_stored) AS bytes_stored, sum(bytes_scanned) AS bytes_scanned \
FROM usage_parts GROUP BY date, tenant, service_name, signal",
        columns: || {
            vec![
                ("date", DataType::Date32),
                ("tenant", DataType::Utf8),
                ("service_name", DataType::Utf8),
                ("signal", DataType::Utf8),
                ("rows", DataType::Int64),
                ("bytes_in", DataType::Int64),
                ("bytes_stored", DataType::Int64),
                ("bytes_scanned", DataType::Int64),
            ]
        },
        words: &[],
        docs: &[],
    },
    // Each table is read once: three sights out of one row by `unnest`.
    Merged {
        name: "changes",
        doc: "When each service, version and environment was first seen in what is kept, and `deployment.*` and `cicd.*` events.",
        parts: None,
        sql: "\
SELECT min(time) AS time, change, service_name, value, CAST(NULL AS VARCHAR) AS body \
FROM (SELECT time, service_name, unnest(make_array('service', 'version', 'environment')) AS change, \
 unnest(make_array(service_name, service_version, deployment_environment)) AS value FROM (\
 SELECT service_name, service_version, deployment_environment, min(time) AS time FROM spans GROUP BY 1, 2, 3 \
 UNION ALL \
 SELECT service_name, service_version, deployment_environment, min(time) AS time FROM logs GROUP BY 1, 2, 3 \
 UNION ALL \
 SELECT service_name, service_version, deployment_environment, min(time) AS time FROM metrics GROUP BY 1, 2, 3)) \
WHERE value IS NOT NULL GROUP BY change, service_name, value \
UNION ALL \
SELECT time, 'event' AS change, service_name, event_name AS value, body FROM logs \
WHERE event_name LIKE 'deployment.%' OR event_name LIKE 'cicd.%'",
        columns: || {
            vec![
                ("time", timestamp()),
                ("change", DataType::Utf8),
                ("service_name", DataType::Utf8),
                ("value", DataType::Utf8),
                ("body", DataType::Utf8),
            ]
        },
        words: &[],
        docs: &[
            ("time", "When it happened, or was first seen (UTC, microseconds)."),
            ("change", "`service`, `version` or `environment`, at first sight; `event`."),
            ("service_name", "The service that changed, or that told of the event."),
            ("value", "What is new: the service, its version, its environment; the event's name."),
            ("body", "What the event says; NULL for a first sight."),
        ],
    },
];

/// The view of that name.
pub(super) fn merged(name: &str) -> Option<&'static Merged> {
    MERGED.iter().find(|view| view.name == name)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MERGED.iter().map(|view| view.name)
}

impl Merged {
    pub fn schema(&self) -> SchemaRef {
        let fields = (self.columns)().into_iter().map(|(name, of)| Field::new(name, of, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// What `/api/v1/tables` says of a column: what the parts' table says.
    pub fn column_doc(&self, view: &View, column: &str) -> String {
        if let Some((_, doc)) = self.docs.iter().find(|(name, _)| *name == column) {
            return (*doc).to_owned();
        }
        let parts = self.parts.and_then(|parts| view.pins.def(parts));
        let known = parts.iter().flat_map(|def| &def.columns).find(|c| c.name == column);
        let doc = known.map(|column| column.doc.clone()).unwrap_or_default();
        self.words.iter().fold(doc, |doc, (from, to)| doc.replace(from, to))
    }
}
