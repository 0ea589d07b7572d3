//! `opentelemetry.proto.metrics.v1` as JSON.

use crate::decode::model::{
    Buckets, Exemplar, Exponential, Histogram, Kind, Metric, Number, Point, Quantile, Summary,
};
use crate::decode::{Error, Notes, Segment};

use super::attributes::key_values;
use super::reader::{Raw, Reader};

const METRIC: &[&str] = &[
    "name",
    "description",
    "unit",
    "metadata",
    "gauge",
    "sum",
    "histogram",
    "exponentialHistogram",
    "summary",
];

/// Reads what a metric says once; its points stay in the raw list, for
/// [`points`]. Past `limit` bytes its texts are passed over.
pub(crate) fn metric<'a>(
    item: Raw<'a>,
    notes: &mut Notes,
    limit: usize,
) -> Result<(Metric<'a>, Option<Raw<'a>>, usize), Error> {
    let mut metric = Metric::default();
    let (mut points, mut size) = (None, 0);
    item.reader().object(METRIC, |reader, name| {
        let kind = match name {
            "gauge" => Kind::Gauge,
            "sum" => Kind::Sum,
            "histogram" => Kind::Histogram,
            "exponentialHistogram" => Kind::ExponentialHistogram,
            "summary" => Kind::Summary,
            _ => {
                let raw = reader.raw()?;
                size += raw.len();
                return if size <= limit {
                    head(&mut raw.reader(), name, &mut metric, notes)
                } else {
                    Ok(())
                };
            }
        };
        if reader.null() {
            return Ok(());
        }
        if metric.kind.replace(kind).is_some() {
            return Err(reader.fault("a metric has data of two kinds"));
        }
        points = data(reader, kind, &mut metric, notes)?;
        Ok(())
    })?;
    Ok((metric, points, size))
}

fn head<'a>(
    reader: &mut Reader<'a>,
    name: &str,
    metric: &mut Metric<'a>,
    notes: &mut Notes,
) -> Result<(), Error> {
    match name {
        "name" => metric.name = reader.text()?,
        "description" => metric.description = reader.text()?,
        "unit" => metric.unit = reader.text()?,
        _ => key_values(reader, &mut metric.metadata, notes)?,
    }
    Ok(())
}

fn data<'a>(
    reader: &mut Reader<'a>,
    kind: Kind,
    metric: &mut Metric<'a>,
    notes: &mut Notes,
) -> Result<Option<Raw<'a>>, Error> {
    let names: &'static [&'static str] = match kind {
        Kind::Gauge | Kind::Summary => &["dataPoints"],
        Kind::Sum => &["dataPoints", "aggregationTemporality", "isMonotonic"],
        _ => &["dataPoints", "aggregationTemporality"],
    };
    let mut points = None;
    reader.object(names, |reader, name| {
        match name {
            "dataPoints" => points = Some(reader.raw()?),
            "isMonotonic" => metric.is_monotonic = reader.bool()?,
            _ => {
                let names = &["UNSPECIFIED", "DELTA", "CUMULATIVE"];
                let prefix = "AGGREGATION_TEMPORALITY_";
                metric.temporality = reader.enumeration(prefix, names, notes)?;
            }
        }
        Ok(())
    })?;
    Ok(points)
}

/// Calls `item` for each point of a metric.
pub(crate) fn points<'a>(
    points: Option<Raw<'a>>,
    mut item: impl FnMut(Raw<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(points) = points else { return Ok(()) };
    let walked = points.reader().array(|reader| item(reader.raw()?));
    walked.map_err(|error| error.within(Segment::Field("dataPoints".into())))
}

const NUMBER: &[&str] =
    &["attributes", "startTimeUnixNano", "timeUnixNano", "exemplars", "flags", "asDouble", "asInt"];

const HISTOGRAM: &[&str] = &[
    "attributes",
    "startTimeUnixNano",
    "timeUnixNano",
    "exemplars",
    "flags",
    "count",
    "sum",
    "min",
    "max",
    "bucketCounts",
    "explicitBounds",
];

const EXPONENTIAL: &[&str] = &[
    "attributes",
    "startTimeUnixNano",
    "timeUnixNano",
    "exemplars",
    "flags",
    "count",
    "sum",
    "min",
    "max",
    "scale",
    "zeroCount",
    "zeroThreshold",
    "positive",
    "negative",
];

const SUMMARY: &[&str] =
    &["attributes", "startTimeUnixNano", "timeUnixNano", "flags", "count", "sum", "quantileValues"];

/// Reads a point into one that was reset.
pub(crate) fn point<'a>(
    kind: Kind,
    item: Raw<'a>,
    into: &mut Point<'a>,
    notes: &mut Notes,
) -> Result<(), Error> {
    let names = match kind {
        Kind::Gauge | Kind::Sum => NUMBER,
        Kind::Histogram => HISTOGRAM,
        Kind::ExponentialHistogram => EXPONENTIAL,
        Kind::Summary => SUMMARY,
    };
    item.reader().object(names, |reader, name| match name {
        "attributes" => key_values(reader, &mut into.attributes, notes),
        "startTimeUnixNano" => set(&mut into.start_time_unix_nano, reader.u64()),
        "timeUnixNano" => set(&mut into.time_unix_nano, reader.u64()),
        "flags" => set(&mut into.flags, reader.u32()),
        "exemplars" => reader.array(|reader| {
            into.exemplars.push(exemplar(reader, notes)?);
            Ok(())
        }),
        _ => match kind {
            Kind::Gauge | Kind::Sum => number(reader, name, &mut into.number),
            Kind::Histogram => histogram(reader, name, &mut into.histogram),
            Kind::ExponentialHistogram => exponential(reader, name, &mut into.exponential),
            Kind::Summary => summary(reader, name, &mut into.summary),
        },
    })
}

fn set<T>(field: &mut T, read: Result<T, Error>) -> Result<(), Error> {
    *field = read?;
    Ok(())
}

/// `asInt` or `asDouble`, one of them (J10).
fn number(reader: &mut Reader<'_>, name: &str, into: &mut Option<Number>) -> Result<(), Error> {
    if reader.null() {
        return Ok(());
    }
    if into.is_some() {
        return Err(reader.fault("a value is given twice"));
    }
    *into = Some(match name {
        "asInt" => Number::Int(reader.i64()?),
        _ => Number::Double(reader.f64()?),
    });
    Ok(())
}

/// A double that may be absent, which `null` says.
fn optional(reader: &mut Reader<'_>, into: &mut Option<f64>) -> Result<(), Error> {
    *into = if reader.null() { None } else { Some(reader.f64()?) };
    Ok(())
}

fn histogram(reader: &mut Reader<'_>, name: &str, into: &mut Histogram<'_>) -> Result<(), Error> {
    match name {
        "count" => set(&mut into.count, reader.u64()),
        "sum" => optional(reader, &mut into.sum),
        "min" => optional(reader, &mut into.min),
        "max" => optional(reader, &mut into.max),
        "bucketCounts" => reader.u64s(|count| into.bucket_counts.push(count.to_le_bytes())),
        _ => reader.f64s(|bound| into.explicit_bounds.push(bound.to_le_bytes())),
    }
}

fn exponential(reader: &mut Reader<'_>, name: &str, into: &mut Exponential) -> Result<(), Error> {
    match name {
        "count" => set(&mut into.count, reader.u64()),
        "sum" => optional(reader, &mut into.sum),
        "min" => optional(reader, &mut into.min),
        "max" => optional(reader, &mut into.max),
        "scale" => set(&mut into.scale, reader.i32()),
        "zeroCount" => set(&mut into.zero_count, reader.u64()),
        "zeroThreshold" => set(&mut into.zero_threshold, reader.f64()),
        "positive" => buckets(reader, &mut into.positive),
        _ => buckets(reader, &mut into.negative),
    }
}

fn buckets(reader: &mut Reader<'_>, into: &mut Buckets) -> Result<(), Error> {
    if reader.null() {
        return Ok(());
    }
    into.given = true;
    reader.object(&["offset", "bucketCounts"], |reader, name| match name {
        "offset" => set(&mut into.offset, reader.i32()),
        _ => reader.u64s(|count| into.counts.push(count)),
    })
}

fn summary(reader: &mut Reader<'_>, name: &str, into: &mut Summary) -> Result<(), Error> {
    match name {
        "count" => set(&mut into.count, reader.u64()),
        "sum" => set(&mut into.sum, reader.f64()),
        _ => reader.array(|reader| {
            let mut quantile = Quantile::default();
            reader.object(&["quantile", "value"], |reader, name| match name {
                "quantile" => set(&mut quantile.quantile, reader.f64()),
                _ => set(&mut quantile.value, reader.f64()),
            })?;
            into.quantiles.push(quantile);
            Ok(())
        }),
    }
}

fn exemplar<'a>(reader: &mut Reader<'a>, notes: &mut Notes) -> Result<Exemplar<'a>, Error> {
    let mut exemplar = Exemplar::default();
    let names = &["filteredAttributes", "timeUnixNano", "asDouble", "asInt", "spanId", "traceId"];
    reader.object(names, |reader, name| match name {
        "filteredAttributes" => key_values(reader, &mut exemplar.filtered_attributes, notes),
        "timeUnixNano" => set(&mut exemplar.time_unix_nano, reader.u64()),
        "spanId" => set(&mut exemplar.span_id, reader.id()),
        "traceId" => set(&mut exemplar.trace_id, reader.id()),
        _ => number(reader, name, &mut exemplar.value),
    })?;
    Ok(exemplar)
}
