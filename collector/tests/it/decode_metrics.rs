//! Data points to rows (B.4, D2 to D6, D12, D13) and the series they belong to.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use collector::decode::{Decoded, Reason, Warning};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, number_data_point, summary_data_point,
};
use schema::Signal;
use serde_json::{Value as Json, json};

use crate::decode_support::*;

fn number(value: Option<number_data_point::Value>) -> NumberDataPoint {
    NumberDataPoint { time_unix_nano: NOW as u64, value, ..NumberDataPoint::default() }
}

fn as_int(value: i64) -> NumberDataPoint {
    number(Some(number_data_point::Value::AsInt(value)))
}

fn as_double(value: f64) -> NumberDataPoint {
    number(Some(number_data_point::Value::AsDouble(value)))
}

fn gauge(data_points: Vec<NumberDataPoint>) -> Decoded {
    protobuf(Signal::Metrics, &metrics(vec![metric("m", Data::Gauge(Gauge { data_points }))]))
}

fn histogram(point: HistogramDataPoint) -> Decoded {
    let data = Histogram { data_points: vec![point], aggregation_temporality: 2 };
    protobuf(Signal::Metrics, &metrics(vec![metric("m", Data::Histogram(data))]))
}

fn buckets(bucket_counts: Vec<u64>, explicit_bounds: Vec<f64>) -> HistogramDataPoint {
    HistogramDataPoint {
        time_unix_nano: NOW as u64,
        count: bucket_counts.iter().fold(0, |sum, count| sum.wrapping_add(*count)),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    }
}

#[track_caller]
fn assert_row(row: &Json, expected: Json) {
    for (column, value) in expected.as_object().expect("fields") {
        assert_eq!(&row[column], value, "{column}");
    }
}

/// Scenario: one point of each of the five kinds with something in every field.
/// Guarantees: D12, all of it is in the rows, and a kind's columns are NULL on
/// the others.
#[test]
fn otlp_d12_points_of_all_kinds_keep_everything() {
    let t = NOW as u64;
    let exemplar = Exemplar {
        filtered_attributes: vec![text("user", "u1")],
        time_unix_nano: t - 1,
        span_id: vec![2; 8],
        trace_id: vec![1; 16],
        value: Some(exemplar::Value::AsInt(3)),
    };
    let sum = Sum {
        data_points: vec![NumberDataPoint {
            attributes: vec![text("http.route", "/"), int("shard", 3)],
            start_time_unix_nano: t - 60,
            exemplars: vec![exemplar.clone()],
            ..as_int(7)
        }],
        aggregation_temporality: 1,
        is_monotonic: true,
    };
    let point = HistogramDataPoint {
        sum: Some(4.5),
        min: Some(0.5),
        max: Some(3.0),
        exemplars: vec![exemplar],
        ..buckets(vec![1, 2], vec![1.0])
    };
    let exponential = ExponentialHistogramDataPoint {
        time_unix_nano: t,
        count: 6,
        sum: Some(9.0),
        scale: -2,
        zero_count: 1,
        zero_threshold: 0.25,
        positive: Some(Buckets { offset: -4, bucket_counts: vec![2, 3] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let quantile = summary_data_point::ValueAtQuantile { quantile: 0.99, value: 12.5 };
    let summary = SummaryDataPoint {
        time_unix_nano: t,
        count: 8,
        sum: 20.0,
        quantile_values: vec![quantile],
        ..SummaryDataPoint::default()
    };
    let with_head = Metric {
        description: "how many".into(),
        metadata: vec![text("source", "prometheus")],
        ..metric("requests", Data::Sum(sum))
    };
    let delta = 1;
    let request = metrics(vec![
        with_head,
        metric("temp", Data::Gauge(Gauge { data_points: vec![as_double(21.5)] })),
        metric(
            "latency",
            Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 2 }),
        ),
        metric(
            "size",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: delta,
            }),
        ),
        metric("rpc", Data::Summary(Summary { data_points: vec![summary] })),
    ]);
    let decoded = protobuf(Signal::Metrics, &request);
    assert_eq!(decoded.warnings, Default::default());
    let rows = rows(&decoded);
    assert_row(
        &rows[0],
        json!({
            "metric_name": "requests", "metric_kind": "SUM", "unit": "s",
            "description": "how many", "temporality": "DELTA", "is_monotonic": true,
            "start_time_unix_nano": NOW - 60, "time_unix_nano": NOW, "value": 7.0, "value_int": 7,
            "http.route": "/", "attributes": {"shard": "3"}, "attribute_types": "i",
            "metadata": {"source": "prometheus"}, "flags": 0, "count": null,
            "bucket_counts": null, "scale": null, "quantiles": null, "service_name": "shop",
            "exemplars": [{
                "time_unix_nano": NOW - 1, "value": 3.0, "value_int": 3,
                "trace_id": "01".repeat(16), "span_id": "02".repeat(8),
                "filtered_attributes": {"user": "u1"},
            }],
        }),
    );
    assert_row(
        &rows[1],
        json!({
            "metric_kind": "GAUGE", "temporality": null, "is_monotonic": null, "value": 21.5,
            "value_int": null, "exemplars": [], "description": null, "metadata": {},
        }),
    );
    assert_row(
        &rows[2],
        json!({
            "metric_kind": "HISTOGRAM", "temporality": "CUMULATIVE", "value": null, "count": 3,
            "sum": 4.5, "min": 0.5, "max": 3.0, "bucket_counts": [1, 2], "explicit_bounds": [1.0],
            "scale": null,
        }),
    );
    assert_eq!(rows[2]["exemplars"][0]["value_int"], 3);
    assert_row(
        &rows[3],
        json!({
            "metric_kind": "EXPONENTIAL_HISTOGRAM", "temporality": "DELTA", "count": 6, "sum": 9.0,
            "min": null, "scale": -2, "zero_count": 1, "zero_threshold": 0.25,
            "positive_offset": -4, "positive_counts": [2, 3], "negative_offset": null,
            "negative_counts": null, "bucket_counts": null,
        }),
    );
    assert_row(
        &rows[4],
        json!({
            "metric_kind": "SUMMARY", "temporality": null, "count": 8, "sum": 20.0,
            "quantiles": [{"quantile": 0.99, "value": 12.5}], "exemplars": [],
        }),
    );
}

/// Scenario: metrics in turn that are one series but for what each says beside it.
/// Guarantees: each point has the words of its own metric, and what is said again
/// right after stands once.
#[test]
fn metrics_of_one_series_keep_their_own_words() {
    let says = |description: &str, is_monotonic| {
        let data = Sum { data_points: vec![as_int(1)], is_monotonic, ..Sum::default() };
        Metric { description: description.into(), ..metric("m", Data::Sum(data)) }
    };
    let all = [("a", true), ("a", true), ("b", true), ("a", true), ("a", false), ("a", false)];
    let request = metrics(all.map(|(text, monotonic)| says(text, monotonic)).to_vec());
    let decoded = protobuf(Signal::Metrics, &request);
    let rows = rows(&decoded);
    for (row, (description, is_monotonic)) in rows.iter().zip(all) {
        assert_row(row, json!({ "description": description, "is_monotonic": is_monotonic }));
        assert_eq!(row["series_id"], rows[0]["series_id"]);
    }
    let held = decoded.rows.unwrap().held().iter().map(|held| held.values.num_rows()).max();
    assert_eq!((rows.len(), held), (6, Some(4)));
}

/// Scenario: a point without a time among good ones.
/// Guarantees: D2, it is rejected, they are not.
#[test]
fn otlp_d2_points_need_a_time() {
    let decoded = gauge(vec![as_int(1), NumberDataPoint { time_unix_nano: 0, ..as_int(2) }]);
    assert_eq!((decoded.accepted, decoded.rejected.get(Reason::MissingTime)), (1, 1));
}

/// Scenario: times and counts past 2^63, in every place that has them.
/// Guarantees: D3, rejected with a reason, never wrapped.
#[test]
fn otlp_d3_numbers_past_i64_are_rejected() {
    let big = i64::MAX as u64 + 1;
    let exemplar = Exemplar { time_unix_nano: big, ..Exemplar::default() };
    for bad in [
        NumberDataPoint { time_unix_nano: big, ..as_int(1) },
        NumberDataPoint { start_time_unix_nano: big, ..as_int(1) },
        NumberDataPoint { exemplars: vec![exemplar], ..as_int(1) },
    ] {
        assert_rejected(&gauge(vec![bad]), Reason::OutOfRange);
    }
    assert_rejected(&histogram(buckets(vec![big], vec![])), Reason::OutOfRange);
    let count = HistogramDataPoint { count: u64::MAX, ..buckets(vec![], vec![]) };
    assert_rejected(&histogram(count), Reason::OutOfRange);
}

/// Scenario: bucket counts and bounds that do not fit each other.
/// Guarantees: D4, such a point is rejected; no buckets at all is fine; a count
/// that is not their sum is only remarked.
#[test]
fn otlp_d4_histograms_are_consistent() {
    for (counts, bounds) in [
        (vec![1], vec![1.0]),
        (vec![1, 2], vec![]),
        (vec![], vec![1.0]),
        (vec![1, 2, 3], vec![1.0]),
        (vec![1, 2, 3], vec![2.0, 1.0]),
        (vec![1, 2, 3], vec![1.0, 1.0]),
        (vec![1, 2], vec![f64::NAN]),
        (vec![1, 2, 3], vec![1.0, f64::NAN]),
    ] {
        let decoded = histogram(buckets(counts.clone(), bounds.clone()));
        assert_eq!(decoded.rejected.get(Reason::InvalidBuckets), 1, "{counts:?} {bounds:?}");
    }
    for (counts, bounds) in
        [(vec![], vec![]), (vec![5], vec![]), (vec![0, 1, 2], vec![f64::NEG_INFINITY, 0.0])]
    {
        assert_eq!(histogram(buckets(counts, bounds)).accepted, 1);
    }
    let decoded = histogram(HistogramDataPoint { count: 9, ..buckets(vec![1, 2], vec![1.0]) });
    assert_eq!((decoded.accepted, decoded.warnings.get(Warning::CountMismatch)), (1, 1));
}

/// Scenario: exponential histograms with extreme scales, offsets and counts.
/// Guarantees: D4, no panic, and no memory by the offset.
#[test]
fn otlp_d4_exponential_extremes_are_harmless() {
    for (scale, offset) in [(i32::MIN, i32::MIN), (i32::MAX, i32::MAX), (20, -1), (-10, 0)] {
        let max = i64::MAX as u64;
        let point = ExponentialHistogramDataPoint {
            time_unix_nano: NOW as u64,
            count: max,
            scale,
            zero_count: max,
            positive: Some(Buckets { offset, bucket_counts: vec![max, max, max] }),
            negative: Some(Buckets { offset, bucket_counts: vec![] }),
            ..ExponentialHistogramDataPoint::default()
        };
        let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 0 };
        let decoded = protobuf(
            Signal::Metrics,
            &metrics(vec![metric("m", Data::ExponentialHistogram(data))]),
        );
        let row = row(&decoded);
        assert_eq!(row["positive_counts"], json!([max, max, max]));
        assert_eq!((&row["scale"], &row["negative_counts"]), (&json!(scale), &json!([])));
        assert_eq!(decoded.warnings.get(Warning::CountMismatch), 1);
    }
}

/// Scenario: number points without a number, with and without the flag.
/// Guarantees: D5, NULL when the flag says so, else rejected.
#[test]
fn otlp_d5_points_without_a_value_need_the_flag() {
    let decoded = gauge(vec![number(None), NumberDataPoint { flags: 1, ..number(None) }]);
    assert_eq!(decoded.rejected.get(Reason::MissingValue), 1);
    let row = row(&decoded);
    assert_eq!((&row["value"], &row["value_int"]), (&json!(null), &json!(null)));
    assert_eq!(row["flags"], 1);
}

/// Scenario: values that are no finite numbers.
/// Guarantees: D6, decode's half, they are stored bit by bit.
#[test]
fn otlp_d6_odd_doubles_are_stored() {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE];
    let decoded = gauge(odd.map(as_double).to_vec());
    let rows = decoded.rows.unwrap();
    let values = rows.column("value").unwrap();
    let values = values.as_primitive::<Float64Type>();
    assert_eq!(values.null_count(), 0);
    for (stored, sent) in values.values().iter().zip(odd) {
        assert_eq!(stored.to_bits(), sent.to_bits());
    }
}

/// Scenario: a metric without points, without data, with data of a kind that
/// does not exist, and points of no temporality.
/// Guarantees: D13, nothing is rejected for it; what cannot be known is counted.
#[test]
fn otlp_d13_metrics_without_points_are_ignored() {
    let request = metrics(vec![
        metric("empty", Data::Gauge(Gauge::default())),
        Metric { name: "none".into(), ..Metric::default() },
        metric("sum", Data::Sum(Sum { data_points: vec![as_int(1)], ..Sum::default() })),
    ]);
    let decoded = protobuf(Signal::Metrics, &request);
    assert_eq!((decoded.accepted, decoded.rejected.count()), (1, 0));
    assert_eq!(row(&decoded)["temporality"], "UNSPECIFIED");
    assert_eq!(decoded.warnings.get(Warning::EmptyMetric), 1);
    // Field 15 of Metric is no kind of data that this version knows.
    let body = [0x0a, 6, 0x12, 4, 0x12, 2, 0x7a, 0];
    let decoded = decode(Signal::Metrics, collector::decode::Encoding::Protobuf, &body).unwrap();
    assert_eq!(decoded.warnings.get(Warning::EmptyMetric), 1);
}

fn series(name: &str, unit: &str, attributes: Vec<KeyValue>) -> i64 {
    let points = vec![NumberDataPoint { attributes, ..as_int(1) }];
    let metric =
        Metric { unit: unit.into(), ..metric(name, Data::Gauge(Gauge { data_points: points })) };
    row(&protobuf(Signal::Metrics, &metrics(vec![metric])))["series_id"].as_i64().expect("a hash")
}

/// Scenario: the same series sent with its attributes in different orders, and
/// series that differ in one thing each.
/// Guarantees: order does not matter and everything else does; the hash is
/// the same in every version, or rates would break at every upgrade.
#[test]
fn series_ids_are_stable_and_distinct() {
    let base = series("m", "s", vec![text("a", "1"), text("b", "2")]);
    assert_eq!(base, series("m", "s", vec![text("b", "2"), text("a", "1")]));
    assert_eq!(base, series("m", "s", vec![text("b", "0"), text("b", "2"), text("a", "1")]));
    let others = [
        series("m2", "s", vec![text("a", "1"), text("b", "2")]),
        series("m", "ms", vec![text("a", "1"), text("b", "2")]),
        series("m", "s", vec![text("a", "1"), text("b", "3")]),
        series("m", "s", vec![text("a", "1")]),
        series("m", "s", vec![int("a", 1), text("b", "2")]),
        series("m", "s", vec![text("a", "1b"), text("", "2")]),
        // A promoted key counts like any other.
        series("m", "s", vec![text("http.route", "1"), text("b", "2")]),
    ];
    let mut all = others.to_vec();
    all.push(base);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), others.len() + 1);
    assert_eq!(base, GOLDEN_SERIES);
}

/// Scenario: the same metric of another service, library, kind, temporality.
/// Guarantees: each is a series of its own, or their rates would mix.
#[test]
fn series_ids_tell_origins_and_kinds_apart() {
    let points = || vec![as_int(1)];
    let sum = |aggregation_temporality| {
        Data::Sum(Sum { data_points: points(), aggregation_temporality, is_monotonic: true })
    };
    let gauge = || metrics(vec![metric("m", Data::Gauge(Gauge { data_points: points() }))]);
    let mut service = gauge();
    service.resource_metrics[0].resource = crate::decode_support::service("other");
    let mut library = gauge();
    let scope = library.resource_metrics[0].scope_metrics[0].scope.as_mut().unwrap();
    scope.name = "other".into();
    let mut unscoped = gauge();
    unscoped.resource_metrics[0].scope_metrics[0].scope = None;
    let requests = [
        gauge(),
        service,
        library,
        unscoped,
        metrics(vec![metric("m", sum(1))]),
        metrics(vec![metric("m", sum(2))]),
    ];
    let mut ids = requests
        .map(|request| row(&protobuf(Signal::Metrics, &request))["series_id"].as_i64().unwrap());
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
}

/// Held for ever: a change breaks every series across the upgrade.
const GOLDEN_SERIES: i64 = 5_559_307_095_822_437_480;
