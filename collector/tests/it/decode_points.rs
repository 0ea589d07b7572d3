//! Points one after another: what is kept of one for the next, and what points of a
//! metric hold once, show in no row.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Float64Type;
use collector::decode::{Decoded, Encoding, Error, Limits, Reason};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use schema::{Catalog, Signal};

use crate::decode_generate::Dice;
use crate::decode_support::{
    NOW, decode, decode_with, json, metric, metrics, protobuf, rows, text,
};

fn point(explicit_bounds: &[f64]) -> HistogramDataPoint {
    HistogramDataPoint {
        time_unix_nano: NOW as u64,
        bucket_counts: if explicit_bounds.is_empty() {
            Vec::new()
        } else {
            vec![0; explicit_bounds.len() + 1]
        },
        explicit_bounds: explicit_bounds.to_vec(),
        ..HistogramDataPoint::default()
    }
}

fn histogram(data_points: Vec<HistogramDataPoint>, metadata: Vec<KeyValue>) -> Metric {
    let data = Histogram { data_points, aggregation_temporality: 2 };
    Metric { metadata, ..metric("m", Data::Histogram(data)) }
}

/// The bits of the bounds in each row; `None` where they are NULL.
fn bounds(decoded: &Decoded) -> Vec<Option<Vec<u64>>> {
    let Some(rows) = &decoded.rows else { return Vec::new() };
    let column = rows.column("explicit_bounds").unwrap();
    let bits = |list: arrow::array::ArrayRef| {
        list.as_primitive::<Float64Type>().values().iter().map(|bound| bound.to_bits()).collect()
    };
    column.as_list::<i32>().iter().map(|list| list.map(bits)).collect()
}

fn bits(bounds: &[f64]) -> Option<Vec<u64>> {
    Some(bounds.iter().map(|bound| bound.to_bits()).collect())
}

/// The rows of the heads of metrics.
fn heads(decoded: &Decoded) -> usize {
    let rows = decoded.rows.as_ref().unwrap();
    let set = rows.layout().set(schema::table::Of::Head).unwrap();
    rows.held()[set].values.num_rows()
}

/// Bounds that differ in nothing but a bit, are as many, begin alike, are none, or
/// are no bounds.
const BOUNDS: [&[f64]; 10] = [
    &[],
    &[0.0],
    &[-0.0],
    &[0.0, 1.0],
    &[-0.0, 1.0],
    &[0.0, 1.0000000000000002],
    &[0.0, 1.0, f64::INFINITY],
    &[1.0],
    &[f64::NAN],
    &[1.0, 0.0],
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Scenario: histograms of one metric, and of others that say the same, with
    /// bounds that differ from point to point, in both encodings.
    /// Guarantees: each row has the bounds of its point, bit by bit; what is no bounds
    /// is rejected and changes nothing for the next; D4.
    #[test]
    fn otlp_d4_each_histogram_keeps_its_own_bounds(
        of in vec((vec(select(&BOUNDS[..]), 0..12), any::<bool>()), 1..4),
    ) {
        let metric = |(points, bare): &(Vec<&[f64]>, bool)| {
            let metadata = if *bare { vec![] } else { vec![text("source", "x")] };
            histogram(points.iter().map(|bounds| point(bounds)).collect(), metadata)
        };
        let request = metrics(of.iter().map(metric).collect());
        let sent = of.iter().flat_map(|(points, _)| points);
        let valid = |bounds: &&&[f64]| bounds.is_sorted_by(|a, b| a < b) && !bounds[..].iter().any(|b| b.is_nan());
        let expected: Vec<_> = sent.clone().filter(valid).map(|bounds| bits(bounds)).collect();
        let text = crate::decode_write::metrics(&mut Dice(1), &request);
        for decoded in [protobuf(Signal::Metrics, &request), json(Signal::Metrics, &text).unwrap()] {
            prop_assert_eq!(&bounds(&decoded), &expected);
            let rejected = sent.clone().count() - expected.len();
            prop_assert_eq!(decoded.rejected.get(Reason::InvalidBuckets), rejected as u64);
            // Metrics without metadata share heads; the others have one per change.
            if of.iter().all(|(_, bare)| *bare) && !expected.is_empty() {
                let mut distinct = expected.clone();
                distinct.sort();
                distinct.dedup();
                prop_assert_eq!(heads(&decoded), distinct.len());
            }
            let ids = decoded.rows.as_ref().map(|rows| rows.column("series_id").unwrap());
            if let Some(ids) = ids {
                let ids = ids.as_primitive::<arrow::datatypes::Int64Type>();
                prop_assert!(ids.values().iter().all(|id| *id == ids.value(0)));
            }
        }
    }

    /// Scenario: random requests, and each of their points in a request of its own.
    /// Guarantees: a point comes out as if it were the first, whatever came before it.
    #[test]
    fn points_come_out_as_if_each_were_the_first(seed: u64) {
        let request = Dice(seed).metrics();
        let together = protobuf(Signal::Metrics, &request);
        let alone: Vec<Decoded> =
            one_by_one(&request).iter().map(|one| protobuf(Signal::Metrics, one)).collect();
        let rejected: u64 = alone.iter().map(|one| one.rejected.count()).sum();
        prop_assert_eq!(together.rejected.count(), rejected);
        let batches: Vec<RecordBatch> =
            alone.iter().flat_map(|one| &one.rows).map(|rows| rows.to_batch().unwrap()).collect();
        let schema = &Catalog::default().of(Signal::Metrics).schema.clone();
        let alone = concat_batches(schema, &batches).unwrap();
        match together.rows {
            Some(rows) => prop_assert_eq!(rows.to_batch().unwrap(), alone),
            None => prop_assert_eq!(alone.num_rows(), 0),
        }
    }

    /// Scenario: counts and bounds in several packed chunks, one by one, empty, mixed
    /// with other fields, in points of one metric.
    /// Guarantees: G7, numbers are joined as protobuf joins them.
    #[test]
    fn otlp_g7_numbers_come_in_parts(
        points in vec(vec((select(&[6u32, 7][..]), 0..4usize, any::<bool>()), 0..8), 1..6),
    ) {
        let mut data = Vec::new();
        for parts in &points {
            let point = parted(parts);
            encode_key(1, WireType::LengthDelimited, &mut data);
            encode_varint(point.len() as u64, &mut data);
            data.extend(point);
        }
        let message = Histogram::decode(data.as_slice()).unwrap();
        let fits = |p: &&HistogramDataPoint| {
            let (counts, bounds) = (p.bucket_counts.len(), p.explicit_bounds.len());
            counts == bounds + 1 || (counts, bounds) == (0, 0)
        };
        let valid: Vec<&HistogramDataPoint> = message.data_points.iter().filter(fits).collect();
        let expected: Vec<_> = valid.iter().map(|p| bits(&p.explicit_bounds)).collect();

        let name = [0x0a, 1, b'm', 0x4a];
        let mut metric = name.to_vec();
        encode_varint(data.len() as u64, &mut metric);
        metric.extend(data);
        let body = [1u32, 2, 2].iter().rev().fold(metric, |inner, tag| {
            let mut outer = Vec::new();
            encode_key(*tag, WireType::LengthDelimited, &mut outer);
            encode_varint(inner.len() as u64, &mut outer);
            outer.extend(inner);
            outer
        });
        let decoded = decode(Signal::Metrics, Encoding::Protobuf, &body).unwrap();
        prop_assert_eq!(bounds(&decoded), expected);
        let counts: Vec<_> = rows(&decoded).iter().map(|row| row["bucket_counts"].clone()).collect();
        let sent: Vec<_> = valid.iter().map(|p| serde_json::json!(p.bucket_counts)).collect();
        prop_assert_eq!(counts, sent);
    }
}

/// Scenario: each point of a metric has other bounds than the one before, with metadata
/// or without.
/// Guarantees: D11, what is held of them is paid for.
#[test]
fn otlp_d11_bounds_that_always_differ_are_paid_for() {
    for metadata in [vec![], vec![text("source", "x")]] {
        let points = (0..1000).map(|n| point(&[f64::from(n), f64::from(n) + 0.5]));
        let request = metrics(vec![histogram(points.collect(), metadata)]);
        let decoded = protobuf(Signal::Metrics, &request);
        assert_eq!(heads(&decoded), 1000);
        let held = decoded.rows.unwrap().bytes() as usize;
        let limits = Limits { max_batch_bytes: held, ..Limits::default() };
        let body = request.encode_to_vec();
        let error = decode_with(Signal::Metrics, Encoding::Protobuf, &body, &limits).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
}

/// A point with these parts of its counts (6) and bounds (7), packed or one by one.
fn parted(parts: &[(u32, usize, bool)]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(3, WireType::SixtyFourBit, &mut out);
    out.extend((NOW as u64).to_le_bytes());
    let mut next = [0u32; 2];
    for &(tag, count, packed) in parts {
        let numbers: Vec<[u8; 8]> = (0..count)
            .map(|_| {
                let number = &mut next[tag as usize - 6];
                *number += 1;
                match tag {
                    6 => u64::from(*number).to_le_bytes(),
                    _ => f64::from(*number).to_le_bytes(),
                }
            })
            .collect();
        if packed {
            encode_key(tag, WireType::LengthDelimited, &mut out);
            encode_varint(8 * count as u64, &mut out);
            out.extend_from_slice(numbers.as_flattened());
        } else {
            for number in numbers {
                encode_key(tag, WireType::SixtyFourBit, &mut out);
                out.extend_from_slice(&number);
            }
        }
    }
    out
}

/// A request for each point of a request, in order.
fn one_by_one(request: &ExportMetricsServiceRequest) -> Vec<ExportMetricsServiceRequest> {
    let mut all = Vec::new();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                for point in (0..).map_while(|index| only(metric.data.as_ref()?, index)) {
                    let metrics = vec![Metric { data: Some(point), ..metric.clone() }];
                    let scope_metrics = vec![ScopeMetrics { metrics, ..scope.clone() }];
                    let resource_metrics =
                        vec![ResourceMetrics { scope_metrics, ..resource.clone() }];
                    all.push(ExportMetricsServiceRequest { resource_metrics });
                }
            }
        }
    }
    all
}

fn only(data: &Data, index: usize) -> Option<Data> {
    let mut data = data.clone();
    fn keep<T>(points: &mut Vec<T>, index: usize) -> Option<()> {
        let point = (index < points.len()).then(|| points.swap_remove(index))?;
        *points = vec![point];
        Some(())
    }
    match &mut data {
        Data::Gauge(data) => keep(&mut data.data_points, index),
        Data::Sum(data) => keep(&mut data.data_points, index),
        Data::Histogram(data) => keep(&mut data.data_points, index),
        Data::ExponentialHistogram(data) => keep(&mut data.data_points, index),
        Data::Summary(data) => keep(&mut data.data_points, index),
    }?;
    Some(data)
}
