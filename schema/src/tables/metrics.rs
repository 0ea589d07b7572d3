//! `metrics`: one row per data point, all five kinds in one wide table.

use arrow::datatypes::DataType::{Boolean, Float64, Int32, Int64, Utf8};

use super::common::{list, signal_table, string_map, structure};
use crate::Signal;
use crate::table::{Column, ColumnType, Promotion, TableDef};

pub const NAME: &str = "metrics";

pub fn table(extra: &[Promotion]) -> TableDef {
    let quantile = structure(&[("quantile", Float64), ("value", Float64)]);
    let exemplar = structure(&[
        ("time_unix_nano", Int64),
        ("value", Float64),
        ("value_int", Int64),
        ("trace_id", Utf8),
        ("span_id", Utf8),
        ("filtered_attributes", string_map()),
    ]);
    let (c, h) = (Column::new, Column::of_head);
    let own = vec![
        h("metric_name", Utf8, "Name of the metric."),
        h("metric_kind", Utf8, "GAUGE, SUM, HISTOGRAM, EXPONENTIAL_HISTOGRAM or SUMMARY."),
        c(
            "series_id",
            Int64,
            "Stable 64-bit hash of name, kind, unit, temporality and the resource, scope and point attributes.",
        ),
        h("unit", Utf8, "Unit (UCUM), as sent."),
        h("description", Utf8, "Description, as sent."),
        h("temporality", Utf8, "UNSPECIFIED, DELTA or CUMULATIVE; NULL where the kind has none."),
        h("is_monotonic", Boolean, "Whether a SUM only grows."),
        c("start_time_unix_nano", Int64, "Start of the interval, nanoseconds since 1970."),
        c("value", Float64, "Value of a GAUGE or SUM point."),
        c("value_int", Int64, "The same value when it was sent as an integer."),
        c("count", Int64, "Observations in a histogram or summary."),
        c("sum", Float64, "Sum of the observations."),
        c("min", Float64, "Smallest observation."),
        c("max", Float64, "Largest observation."),
        c("bucket_counts", list(Int64), "HISTOGRAM: counts per bucket."),
        h("explicit_bounds", list(Float64), "HISTOGRAM: upper bounds, one fewer than the counts."),
        c("scale", Int32, "EXPONENTIAL_HISTOGRAM: resolution; base = 2^(2^-scale)."),
        c("zero_count", Int64, "EXPONENTIAL_HISTOGRAM: observations within the zero threshold."),
        c("zero_threshold", Float64, "EXPONENTIAL_HISTOGRAM: half-width of the zero bucket."),
        c("positive_offset", Int32, "EXPONENTIAL_HISTOGRAM: index of the first positive bucket."),
        c("positive_counts", list(Int64), "EXPONENTIAL_HISTOGRAM: counts of the positive buckets."),
        c("negative_offset", Int32, "EXPONENTIAL_HISTOGRAM: index of the first negative bucket."),
        c("negative_counts", list(Int64), "EXPONENTIAL_HISTOGRAM: counts of the negative buckets."),
        c("quantiles", list(quantile), "SUMMARY: quantiles and their values."),
        c("exemplars", list(exemplar), "Example measurements, with their traces."),
        h("metadata", string_map(), "Metadata of the metric, as text."),
        c("flags", Int64, "OTLP data point flags; bit 0 = no recorded value."),
    ];
    use ColumnType::{Int, Text};
    let record = [
        ("http.request.method", Text),
        ("http.response.status_code", Int),
        ("http.route", Text),
        ("rpc.service", Text),
        ("rpc.method", Text),
    ];
    let doc = "One row per metric data point, all kinds.";
    let mut table = signal_table(NAME, doc, own, &record, extra);
    table.signal = Some(Signal::Metrics);
    table.sort = &["metric_name", "service_name", "series_id", "time"];
    table
}
