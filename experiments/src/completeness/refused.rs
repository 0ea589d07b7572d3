//! What never came, by the word of those who sent or refused it: the counters of SDKs,
//! of Collectors and of this daemon, where they are sent as metrics.

use crate::indicator::text::Stretch;
use crate::window::Span;

/// Items that were given up. What a receiver refused its sender may send again, and is
/// counted only once that gives up.
const LOST: &str = "(metric_name LIKE 'otelcol_exporter_send_failed_%' OR metric_name LIKE 'otelcol_exporter_enqueue_failed_%'\n\
     OR metric_name LIKE 'otelcol_processor_dropped_%' OR metric_name LIKE 'cloudsail_otlp_rejected_items%'\n\
     OR ((metric_name LIKE 'otel.sdk.exporter.%.exported' OR metric_name LIKE 'otel.sdk.processor.%.processed') AND attributes['error.type'] IS NOT NULL))";

/// One row: by how much these grew in a stretch, of spans, logs and metrics.
pub fn statement(span: Span, judged: i64) -> String {
    let stretch = Stretch::new(span, judged);
    let of = |what: &str, name: &str| {
        format!(
            "sum(CASE WHEN metric_name LIKE '%{what}%' OR told = '{name}' THEN grown ELSE 0 END)"
        )
    };
    let whole = |sum: String, name: &str| format!("CAST(coalesce({sum}, 0) AS BIGINT) AS {name}");
    format!(
        "WITH points AS (SELECT series_id, metric_name, coalesce(attributes['signal'], '') AS told, temporality, time_unix_nano AS at,\n\
         coalesce(start_time_unix_nano, 0) AS began, max(value) AS c FROM metrics WHERE {near} AND time_unix_nano < {to} AND {LOST} GROUP BY 1, 2, 3, 4, 5, 6),\n\
         steps AS (SELECT points.*, lag(c) OVER w AS stood FROM points WINDOW w AS (PARTITION BY series_id ORDER BY at)),\n\
         grown AS (SELECT metric_name, told, CASE WHEN temporality = 'DELTA' THEN c WHEN stood IS NULL THEN CASE WHEN began >= {from} THEN c ELSE 0 END\n\
         WHEN c >= stood THEN c - stood ELSE c END AS grown FROM steps WHERE at >= {from})\n\
         SELECT {spans}, {logs}, {metrics} FROM grown",
        near = stretch.near(),
        from = span.from,
        to = span.to(),
        spans = whole(of("span", "traces"), "spans"),
        logs = whole(of("log", "logs"), "logs"),
        metrics = whole(of("metric", "metrics"), "metrics"),
    )
}
