//! Requests as JSON, each field in one of the forms that senders use.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::*;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::json;

use crate::decode_generate::{Dice, hex};

/// A field's name and its text; no text is an absent field.
type Field = (&'static str, Option<String>);

/// Fields in any order, absent ones left out or `null`, with unknown ones and
/// white space between.
fn object(dice: &mut Dice, fields: Vec<Field>) -> String {
    let mut written = Vec::new();
    for (name, text) in fields {
        match text {
            Some(text) => written.push(format!("\"{name}\":{}{text}", space(dice))),
            None if dice.one_in(3) => written.push(format!("\"{name}\": null")),
            None => {}
        }
    }
    if dice.one_in(6) {
        written.push(r#""unknown_thing":{"a":[1,{"b":null}]}"#.into());
    }
    for at in (1..written.len()).rev() {
        written.swap(at, dice.below(at + 1));
    }
    format!("{{{}{}}}", written.join(&format!(",{}", space(dice))), space(dice))
}

fn space(dice: &mut Dice) -> &'static str {
    dice.pick(&["", "", "", " ", "\n\t", "\r\n"])
}

/// A list, which may be left out when it is empty.
fn list<T>(
    dice: &mut Dice,
    items: &[T],
    mut write: impl FnMut(&mut Dice, &T) -> String,
) -> Option<String> {
    if items.is_empty() && dice.one_in(2) {
        return None;
    }
    let written: Vec<String> = items.iter().map(|item| write(dice, item)).collect();
    Some(format!("[{}{}]", space(dice), written.join(",")))
}

fn text(dice: &mut Dice, text: &str) -> Option<String> {
    if text.is_empty() && dice.one_in(2) {
        return None;
    }
    if dice.one_in(2) {
        return Some(json!(text).to_string());
    }
    // Every character as escapes, astral ones as surrogate pairs.
    let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    Some(format!("\"{escaped}\""))
}

/// An integer of any width as a number or string, plain or with a point or an
/// exponent.
fn int(dice: &mut Dice, value: i128) -> Option<String> {
    if value == 0 && dice.one_in(2) {
        return None;
    }
    Some(required_int(dice, value))
}

fn required_int(dice: &mut Dice, value: i128) -> String {
    let plain = value.to_string();
    let form = match dice.below(8) {
        0 => format!("{plain}.0"),
        1 => format!("{plain}e0"),
        2 if value != 0 => format!("{plain}00E-2"),
        3 if value % 1000 == 0 => format!("{}e+3", value / 1000),
        _ => plain,
    };
    if dice.one_in(2) { format!("\"{form}\"") } else { form }
}

fn double(dice: &mut Dice, value: f64) -> String {
    let plain = if value.is_nan() {
        return "\"NaN\"".into();
    } else if value == f64::INFINITY {
        return "\"Infinity\"".into();
    } else if value == f64::NEG_INFINITY {
        return "\"-Infinity\"".into();
    } else if dice.one_in(2) {
        format!("{value:e}")
    } else {
        format!("{value}")
    };
    if dice.one_in(3) { format!("\"{plain}\"") } else { plain }
}

fn id(dice: &mut Dice, bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() && dice.one_in(2) {
        return None;
    }
    Some(format!("\"{}\"", hex(dice, bytes)))
}

fn value(dice: &mut Dice, value: &AnyValue) -> String {
    let Some(value) = &value.value else { return object(dice, vec![]) };
    let (name, text) = match value {
        Value::StringValue(text) => ("stringValue", json!(text).to_string()),
        Value::BoolValue(value) => ("boolValue", value.to_string()),
        Value::IntValue(value) => ("intValue", required_int(dice, i128::from(*value))),
        Value::DoubleValue(value) => ("doubleValue", double(dice, *value)),
        Value::BytesValue(bytes) => {
            let engine = dice.pick(&[STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]);
            ("bytesValue", format!("\"{}\"", engine.encode(bytes)))
        }
        Value::ArrayValue(array) => {
            let values = list(dice, &array.values, self::value);
            ("arrayValue", object(dice, vec![("values", values)]))
        }
        Value::KvlistValue(map) => {
            let values = list(dice, &map.values, pair);
            ("kvlistValue", object(dice, vec![("values", values)]))
        }
        Value::StringValueStrindex(index) => ("stringValueStrindex", index.to_string()),
    };
    object(dice, vec![(name, Some(text))])
}

fn pair(dice: &mut Dice, pair: &KeyValue) -> String {
    let value = pair.value.as_ref().map(|value| self::value(dice, value));
    let key = text(dice, &pair.key);
    object(dice, vec![("key", key), ("value", value)])
}

fn resource(dice: &mut Dice, resource: &Option<Resource>) -> Option<String> {
    let resource = resource.as_ref()?;
    let attributes = list(dice, &resource.attributes, pair);
    let dropped = int(dice, i128::from(resource.dropped_attributes_count));
    Some(object(dice, vec![("attributes", attributes), ("droppedAttributesCount", dropped)]))
}

fn scope(dice: &mut Dice, scope: &Option<InstrumentationScope>) -> Option<String> {
    let scope = scope.as_ref()?;
    let fields = vec![
        ("name", text(dice, &scope.name)),
        ("version", text(dice, &scope.version)),
        ("attributes", list(dice, &scope.attributes, pair)),
        ("droppedAttributesCount", int(dice, i128::from(scope.dropped_attributes_count))),
    ];
    Some(object(dice, fields))
}

/// The envelopes of a signal, which differ in their names only.
macro_rules! envelopes {
    ($dice:expr, $request:expr, $resources:ident $scopes:ident $items:ident, $names:expr, $item:expr) => {{
        let [resources, scopes, items] = $names;
        let written = list($dice, &$request.$resources, |dice, one| {
            let inner = list(dice, &one.$scopes, |dice, one| {
                let fields = vec![
                    ("scope", scope(dice, &one.scope)),
                    (items, list(dice, &one.$items, $item)),
                    ("schemaUrl", text(dice, &one.schema_url)),
                ];
                object(dice, fields)
            });
            let url = text(dice, &one.schema_url);
            let resource = resource(dice, &one.resource);
            object(dice, vec![("resource", resource), (scopes, inner), ("schemaUrl", url)])
        });
        object($dice, vec![(resources, written)])
    }};
}

pub fn traces(dice: &mut Dice, request: &ExportTraceServiceRequest) -> String {
    let names = ["resourceSpans", "scopeSpans", "spans"];
    envelopes!(dice, request, resource_spans scope_spans spans, names, |dice: &mut Dice, span| {
        let events = list(dice, &span.events, |dice, event| {
            let fields = vec![
                ("timeUnixNano", int(dice, i128::from(event.time_unix_nano))),
                ("name", text(dice, &event.name)),
                ("attributes", list(dice, &event.attributes, pair)),
                ("droppedAttributesCount", int(dice, i128::from(event.dropped_attributes_count))),
            ];
            object(dice, fields)
        });
        let links = list(dice, &span.links, |dice, link| {
            let fields = vec![
                ("traceId", id(dice, &link.trace_id)),
                ("spanId", id(dice, &link.span_id)),
                ("traceState", text(dice, &link.trace_state)),
                ("attributes", list(dice, &link.attributes, pair)),
                ("droppedAttributesCount", int(dice, i128::from(link.dropped_attributes_count))),
                ("flags", int(dice, i128::from(link.flags))),
            ];
            object(dice, fields)
        });
        let status = span.status.as_ref().map(|status| {
            let fields = vec![
                ("message", text(dice, &status.message)),
                ("code", int(dice, i128::from(status.code))),
            ];
            object(dice, fields)
        });
        let fields = vec![
            ("traceId", id(dice, &span.trace_id)),
            ("spanId", id(dice, &span.span_id)),
            ("parentSpanId", id(dice, &span.parent_span_id)),
            ("traceState", text(dice, &span.trace_state)),
            ("flags", int(dice, i128::from(span.flags))),
            ("name", text(dice, &span.name)),
            ("kind", int(dice, i128::from(span.kind))),
            ("startTimeUnixNano", int(dice, i128::from(span.start_time_unix_nano))),
            ("endTimeUnixNano", int(dice, i128::from(span.end_time_unix_nano))),
            ("attributes", list(dice, &span.attributes, pair)),
            ("droppedAttributesCount", int(dice, i128::from(span.dropped_attributes_count))),
            ("events", events),
            ("droppedEventsCount", int(dice, i128::from(span.dropped_events_count))),
            ("links", links),
            ("droppedLinksCount", int(dice, i128::from(span.dropped_links_count))),
            ("status", status),
        ];
        object(dice, fields)
    })
}

pub fn logs(dice: &mut Dice, request: &ExportLogsServiceRequest) -> String {
    let names = ["resourceLogs", "scopeLogs", "logRecords"];
    envelopes!(dice, request, resource_logs scope_logs log_records, names, |dice: &mut Dice, log| {
        let fields = vec![
            ("timeUnixNano", int(dice, i128::from(log.time_unix_nano))),
            ("observedTimeUnixNano", int(dice, i128::from(log.observed_time_unix_nano))),
            ("severityNumber", int(dice, i128::from(log.severity_number))),
            ("severityText", text(dice, &log.severity_text)),
            ("body", log.body.as_ref().map(|body| value(dice, body))),
            ("attributes", list(dice, &log.attributes, pair)),
            ("droppedAttributesCount", int(dice, i128::from(log.dropped_attributes_count))),
            ("flags", int(dice, i128::from(log.flags))),
            ("traceId", id(dice, &log.trace_id)),
            ("spanId", id(dice, &log.span_id)),
            ("eventName", text(dice, &log.event_name)),
        ];
        object(dice, fields)
    })
}

pub fn metrics(dice: &mut Dice, request: &ExportMetricsServiceRequest) -> String {
    let names = ["resourceMetrics", "scopeMetrics", "metrics"];
    envelopes!(dice, request, resource_metrics scope_metrics metrics, names, metric)
}

fn metric(dice: &mut Dice, metric: &Metric) -> String {
    let temporality =
        |dice: &mut Dice, value: i32| ("aggregationTemporality", int(dice, i128::from(value)));
    let data = match &metric.data {
        None => None,
        Some(Data::Gauge(data)) => {
            let points = list(dice, &data.data_points, number);
            Some(("gauge", vec![("dataPoints", points)]))
        }
        Some(Data::Sum(data)) => {
            let points = list(dice, &data.data_points, number);
            let monotonic = data.is_monotonic.then(|| "true".into());
            let temporality = temporality(dice, data.aggregation_temporality);
            Some(("sum", vec![("dataPoints", points), ("isMonotonic", monotonic), temporality]))
        }
        Some(Data::Histogram(data)) => {
            let points = list(dice, &data.data_points, histogram);
            let temporality = temporality(dice, data.aggregation_temporality);
            Some(("histogram", vec![("dataPoints", points), temporality]))
        }
        Some(Data::ExponentialHistogram(data)) => {
            let points = list(dice, &data.data_points, exponential);
            let temporality = temporality(dice, data.aggregation_temporality);
            Some(("exponentialHistogram", vec![("dataPoints", points), temporality]))
        }
        Some(Data::Summary(data)) => {
            let points = list(dice, &data.data_points, summary);
            Some(("summary", vec![("dataPoints", points)]))
        }
    };
    let mut fields = vec![
        ("name", text(dice, &metric.name)),
        ("description", text(dice, &metric.description)),
        ("unit", text(dice, &metric.unit)),
        ("metadata", list(dice, &metric.metadata, pair)),
    ];
    if let Some((name, data)) = data {
        fields.push((name, Some(object(dice, data))));
    }
    object(dice, fields)
}

fn point(
    dice: &mut Dice,
    attributes: &[KeyValue],
    [start, time]: [u64; 2],
    flags: u32,
    exemplars: &[Exemplar],
) -> Vec<Field> {
    let exemplars = list(dice, exemplars, |dice, exemplar| {
        let fields = vec![
            ("filteredAttributes", list(dice, &exemplar.filtered_attributes, pair)),
            ("timeUnixNano", int(dice, i128::from(exemplar.time_unix_nano))),
            ("traceId", id(dice, &exemplar.trace_id)),
            ("spanId", id(dice, &exemplar.span_id)),
            match exemplar.value {
                None => ("asInt", None),
                Some(exemplar::Value::AsInt(value)) => {
                    ("asInt", Some(required_int(dice, i128::from(value))))
                }
                Some(exemplar::Value::AsDouble(value)) => ("asDouble", Some(double(dice, value))),
            },
        ];
        object(dice, fields)
    });
    vec![
        ("attributes", list(dice, attributes, pair)),
        ("startTimeUnixNano", int(dice, i128::from(start))),
        ("timeUnixNano", int(dice, i128::from(time))),
        ("flags", int(dice, i128::from(flags))),
        ("exemplars", exemplars),
    ]
}

fn number(dice: &mut Dice, p: &NumberDataPoint) -> String {
    let times = [p.start_time_unix_nano, p.time_unix_nano];
    let mut fields = point(dice, &p.attributes, times, p.flags, &p.exemplars);
    fields.push(match p.value {
        None => ("asDouble", None),
        Some(number_data_point::Value::AsInt(value)) => {
            ("asInt", Some(required_int(dice, i128::from(value))))
        }
        Some(number_data_point::Value::AsDouble(value)) => ("asDouble", Some(double(dice, value))),
    });
    object(dice, fields)
}

fn histogram(dice: &mut Dice, p: &HistogramDataPoint) -> String {
    let times = [p.start_time_unix_nano, p.time_unix_nano];
    let mut fields = point(dice, &p.attributes, times, p.flags, &p.exemplars);
    let count = |dice: &mut Dice, count: &u64| required_int(dice, i128::from(*count));
    fields.push(("count", int(dice, i128::from(p.count))));
    fields.push(("sum", p.sum.map(|value| double(dice, value))));
    fields.push(("min", p.min.map(|value| double(dice, value))));
    fields.push(("max", p.max.map(|value| double(dice, value))));
    fields.push(("bucketCounts", list(dice, &p.bucket_counts, count)));
    fields.push(("explicitBounds", list(dice, &p.explicit_bounds, |dice, v| double(dice, *v))));
    object(dice, fields)
}

fn exponential(dice: &mut Dice, p: &ExponentialHistogramDataPoint) -> String {
    let times = [p.start_time_unix_nano, p.time_unix_nano];
    let mut fields = point(dice, &p.attributes, times, p.flags, &p.exemplars);
    for (name, buckets) in [("positive", &p.positive), ("negative", &p.negative)] {
        let text = buckets.as_ref().map(|buckets| {
            let counts = list(dice, &buckets.bucket_counts, |dice, count| {
                required_int(dice, i128::from(*count))
            });
            let offset = int(dice, i128::from(buckets.offset));
            object(dice, vec![("offset", offset), ("bucketCounts", counts)])
        });
        fields.push((name, text));
    }
    fields.push(("count", int(dice, i128::from(p.count))));
    fields.push(("sum", p.sum.map(|value| double(dice, value))));
    fields.push(("min", p.min.map(|value| double(dice, value))));
    fields.push(("max", p.max.map(|value| double(dice, value))));
    fields.push(("scale", int(dice, i128::from(p.scale))));
    fields.push(("zeroCount", int(dice, i128::from(p.zero_count))));
    fields.push(("zeroThreshold", Some(double(dice, p.zero_threshold))));
    object(dice, fields)
}

fn summary(dice: &mut Dice, p: &SummaryDataPoint) -> String {
    let times = [p.start_time_unix_nano, p.time_unix_nano];
    let mut fields = point(dice, &p.attributes, times, p.flags, &[]);
    fields.push(("count", int(dice, i128::from(p.count))));
    fields.push(("sum", Some(double(dice, p.sum))));
    let quantiles = list(dice, &p.quantile_values, |dice, one| {
        let fields = vec![
            ("quantile", Some(double(dice, one.quantile))),
            ("value", Some(double(dice, one.value))),
        ];
        object(dice, fields)
    });
    fields.push(("quantileValues", quantiles));
    object(dice, fields)
}
