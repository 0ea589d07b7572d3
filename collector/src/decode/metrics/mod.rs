//! `metrics`: one row per data point of all five kinds.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`check`] | what makes a point unacceptable (D2 to D5) |
//! | [`heads`] | what a metric says of all its points |
//! | [`values`] | the columns that hold what a point measured |
//! | [`exemplars`] | example measurements |

mod check;
mod exemplars;
mod heads;
mod values;

use std::borrow::Cow;
use std::mem;

use arrow::datatypes::Int64Type;

use super::attributes::{RecordAttributes, Sorted};
use super::columns::{Filled, Finished};
use super::model::{Kind, Metric, Point};
use super::origin::{Origin, Rows};
use super::outcome::{Decoded, Notes, Warning};
use super::text::quoted;
use super::wire::Chunk;
use super::{Context, Encoding, Error, protobuf};
use crate::json;
use exemplars::Exemplars;
use heads::Heads;
use values::Values;

pub(super) fn decode<'a>(
    encoding: Encoding,
    body: &'a [u8],
    cx: &Context<'a>,
) -> Result<Decoded, Error> {
    let mut rows = MetricRows::new(cx);
    match encoding {
        Encoding::Protobuf => protobuf::walk(body, &mut rows, MetricRows::protobuf)?,
        Encoding::Json => json::walk(body, &json::METRICS, &mut rows, MetricRows::json)?,
    }
    rows.finish(cx)
}

struct MetricRows<'a> {
    origin: Origin<'a>,
    attributes: RecordAttributes<'a>,
    /// The data of the metric at hand and its point; kept for their allocations.
    data: Vec<Chunk<'a>>,
    point: Point<'a>,
    metadata: Sorted,
    heads: Heads<'a>,
    buffer: String,
    values: Values,
    exemplars: Exemplars,
    columns: Columns,
}

#[derive(Default)]
struct Columns {
    series_id: Filled<i64>,
    start_time_unix_nano: Filled<i64>,
    flags: Filled<i64>,
}

/// What all points of a metric share.
struct Head<'m, 'a> {
    metric: &'m Metric<'a>,
    kind: Kind,
    temporality: Option<Cow<'static, str>>,
    digest: u64,
    /// Encoded bytes, which each of its rows repeats.
    size: usize,
}

impl<'a> Rows<'a> for MetricRows<'a> {
    fn origin(&mut self) -> &mut Origin<'a> {
        &mut self.origin
    }
}

impl<'a> MetricRows<'a> {
    fn new(cx: &Context<'a>) -> MetricRows<'a> {
        MetricRows {
            origin: Origin::new(cx),
            attributes: RecordAttributes::new(cx.table),
            data: Vec::new(),
            point: Point::default(),
            metadata: Sorted::default(),
            heads: Heads::default(),
            buffer: String::new(),
            values: Values::default(),
            exemplars: Exemplars::default(),
            columns: Columns::default(),
        }
    }

    fn protobuf(&mut self, chunk: Chunk<'a>) -> Result<(), Error> {
        self.origin.enter_item();
        let limit = self.origin.limits().max_record_bytes;
        let mut data = mem::take(&mut self.data);
        data.clear();
        let notes = &mut self.origin.notes;
        let (metric, size) = protobuf::metrics::metric(chunk, &mut data, notes, limit)?;
        if let Some(head) = self.head(&metric, size) {
            protobuf::metrics::points(&data, |chunk| {
                self.point(&head, chunk.bytes.len(), |point, notes| {
                    protobuf::metrics::point(head.kind, chunk, point, notes)
                })
            })?;
        }
        self.data = data;
        Ok(())
    }

    fn json(&mut self, item: json::Raw<'a>) -> Result<(), Error> {
        self.origin.enter_item();
        let limit = self.origin.limits().max_record_bytes;
        let (metric, data, size) = json::metrics::metric(item, &mut self.origin.notes, limit)?;
        let Some(head) = self.head(&metric, size) else { return Ok(()) };
        json::metrics::points(data, |item| {
            self.point(&head, item.len(), |point, notes| {
                json::metrics::point(head.kind, item, point, notes)
            })
        })
    }

    /// What the points of a metric need; None if it can have none.
    fn head<'m>(&mut self, metric: &'m Metric<'a>, size: usize) -> Option<Head<'m, 'a>> {
        let MetricRows { origin, metadata, heads, .. } = self;
        heads.next();
        let Some(kind) = metric.kind else {
            origin.notes.warnings.add(Warning::EmptyMetric);
            return None;
        };
        metadata.sort(&metric.metadata, None, origin.limits(), &mut origin.notes.warnings);
        let temporality = match kind {
            Kind::Gauge | Kind::Summary => None,
            _ => Some(temporality(metric.temporality)),
        };
        let digest = origin.digest.start();
        digest.text(&metric.name).text(name_of(kind)).text(&metric.unit);
        let digest = digest.text(temporality.as_deref().unwrap_or_default()).finish();
        Some(Head { metric, kind, temporality, digest, size })
    }

    /// Reads one point and appends its row, or rejects it.
    fn point(
        &mut self,
        head: &Head<'_, 'a>,
        size: usize,
        read: impl FnOnce(&mut Point<'a>, &mut Notes<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.origin.admits("data point of metric", size.max(head.size)) {
            return Ok(());
        }
        self.point.reset(head.kind);
        read(&mut self.point, &mut self.origin.notes)?;
        if !self.origin.admits_depth("data point of metric") {
            return Ok(());
        }
        match check::point(&self.point, head.kind, &mut self.origin.notes.warnings) {
            Ok(time) => self.append(head, time, size),
            Err((reason, why)) => {
                self.origin.reject(reason, "data point of metric", |_| {
                    format!("{} {why}", quoted(&head.metric.name))
                });
                Ok(())
            }
        }
    }

    /// Appends the point at hand.
    fn append(&mut self, head: &Head<'_, 'a>, time: i64, size: usize) -> Result<(), Error> {
        let MetricRows { origin, attributes, point, metadata, heads, .. } = self;
        let (values, exemplars, c) = (&mut self.values, &mut self.exemplars, &mut self.columns);
        let row = origin.row();
        attributes.sort(&point.attributes, origin.limits(), &mut origin.notes.warnings);
        origin.charge(size + head.size + attributes.sorted.bytes + metadata.bytes)?;
        origin.charge(values::bytes(head.kind, point))?;
        let (resource, scope) = origin.digests();
        let digest = origin.digest.start().number(resource).number(scope).number(head.digest);
        attributes.append(&point.attributes, row, |attribute| digest.attribute(attribute));
        c.series_id.push(digest.finish() as i64);
        values.append(row, head.kind, point);
        exemplars.append(row, &point.exemplars, origin, &mut self.buffer)?;
        c.start_time_unix_nano.push(point.start_time_unix_nano as i64);
        let bounds = &point.histogram.explicit_bounds;
        heads.accept(head, (head.kind == Kind::Histogram).then_some(bounds), metadata);
        c.flags.push(i64::from(point.flags));
        origin.accept(time)
    }

    fn finish(self, cx: &Context<'_>) -> Result<Decoded, Error> {
        let MetricRows { origin, attributes, heads, values, exemplars, columns: c, .. } = self;
        let schema = &cx.table.schema;
        origin.finish(|finished: &mut Finished<'_>, rows| {
            let shapes = attributes.finish(finished, cx.table, rows)?;
            values.finish(finished, schema, rows)?;
            let list = schema.field_with_name("exemplars")?.data_type();
            finished.add("exemplars", exemplars.finish(list, rows)?);
            finished.add("series_id", c.series_id.column::<Int64Type>());
            finished.add("start_time_unix_nano", c.start_time_unix_nano.column::<Int64Type>());
            finished.add("flags", c.flags.column::<Int64Type>());
            Ok(vec![heads.finish(cx.table)?, shapes])
        })
    }
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "GAUGE",
        Kind::Sum => "SUM",
        Kind::Histogram => "HISTOGRAM",
        Kind::ExponentialHistogram => "EXPONENTIAL_HISTOGRAM",
        Kind::Summary => "SUMMARY",
    }
}

/// An unknown number is kept as its digits (D9, D13).
fn temporality(temporality: i32) -> Cow<'static, str> {
    match temporality {
        0 => "UNSPECIFIED".into(),
        1 => "DELTA".into(),
        2 => "CUMULATIVE".into(),
        unknown => unknown.to_string().into(),
    }
}
