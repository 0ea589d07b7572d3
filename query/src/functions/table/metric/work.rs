//! From points, by series and time, to a row per series and step.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Builder, Int64Array, Int64Builder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;

use super::super::operator::Work;
use super::super::typed;
use super::Asked;
use super::answer::{Answer, Metric, Step};
use super::identity::{Columns, Identity, Promoted};
use crate::series::{Point, Series, Temporality};

type Result<T> = std::result::Result<T, DataFusionError>;

/// What is read of every point.
pub(super) const COLUMNS: &[&str] = &[
    "service_name",
    "series_id",
    "time",
    "time_unix_nano",
    "start_time_unix_nano",
    "metric_kind",
    "temporality",
    "flags",
];

/// Bit 0 of the flags: the point says that there is no value.
const NO_VALUE: i64 = 1;

pub(super) struct Points<A: Answer> {
    asked: Arc<Asked>,
    promoted: Arc<Promoted>,
    answer: A,
    current: Option<Current<A>>,
    out: Out,
}

/// The series that passes by.
struct Current<A: Answer> {
    service: Option<String>,
    series_id: i64,
    identity: Identity,
    temporality: Temporality,
    series: Series<A::Value>,
    /// The step that its last point is in, by its start.
    step: Option<(i64, Step<A::Sum>)>,
}

impl<A: Answer> Points<A> {
    pub fn new(
        schema: SchemaRef,
        asked: Arc<Asked>,
        promoted: Arc<Promoted>,
        answer: A,
    ) -> Points<A> {
        Points { asked, promoted, answer, current: None, out: Out::new(schema) }
    }

    /// Writes the row of the step that is over.
    fn close(&mut self) -> Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let Some((start, step)) = current.step.take() else { return Ok(()) };
        let range = &self.asked.range;
        let end = start.saturating_add(self.asked.step).min(range.end);
        let width = (end - start.max(range.start)).saturating_mul(1_000);
        match self.answer.say(&step, current.temporality, width) {
            Some(value) => self.out.push(start, current, value),
            None => Ok(()),
        }
    }

    fn point(&mut self, rows: &RecordBatch, read: &Read<'_>, row: usize) -> Result<()> {
        let service = read.service.is_valid(row).then(|| read.service.value(row));
        let series_id = read.series_id.value(row);
        let same = self.current.as_ref().is_some_and(|current| {
            current.series_id == series_id && current.service.as_deref() == service
        });
        if !same {
            self.close()?;
            let temporality =
                match read.temporality.is_valid(row).then(|| read.temporality.value(row)) {
                    Some("DELTA") => Temporality::Delta,
                    _ => Temporality::Cumulative,
                };
            self.current = Some(Current {
                service: service.map(str::to_owned),
                series_id,
                identity: self.promoted.read(rows, row),
                temporality,
                series: Series::new(temporality, self.asked.reach.saturating_mul(1_000)),
                step: None,
            });
        }
        let empty = read.flags.is_valid(row) && read.flags.value(row) & NO_VALUE != 0;
        if empty || read.time.is_null(row) {
            return Ok(());
        }
        let kind = if read.kind.is_valid(row) { read.kind.value(row) } else { "" };
        let of = Metric { name: &self.asked.name, service: service.unwrap_or("(none)"), kind };
        let Some(value) = self.answer.read(rows, row, &of)? else { return Ok(()) };
        let at = read.time.value(row);
        let nanos = match read.nanos.is_valid(row) {
            true => read.nanos.value(row),
            false => at.saturating_mul(1_000),
        };
        let start = read.start.is_valid(row).then(|| read.start.value(row));
        let point = Point { start: start.filter(|start| *start > 0), time: nanos, value };
        let Some(current) = &mut self.current else { return Ok(()) };
        let Some(increase) = current.series.next(point) else { return Ok(()) };
        if at < self.asked.range.start {
            return Ok(());
        }
        let begins = at.div_euclid(self.asked.step) * self.asked.step;
        if current.step.as_ref().is_some_and(|(open, _)| *open != begins) {
            self.close()?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let (_, step) = current.step.get_or_insert_with(|| (begins, Step::default()));
        self.answer.add(step, increase)
    }
}

/// The columns of [`COLUMNS`] in one batch.
struct Read<'a> {
    service: &'a StringArray,
    series_id: &'a Int64Array,
    time: &'a TimestampMicrosecondArray,
    nanos: &'a Int64Array,
    start: &'a Int64Array,
    kind: &'a StringArray,
    temporality: &'a StringArray,
    flags: &'a Int64Array,
}

impl<A: Answer> Work for Points<A> {
    fn take(&mut self, rows: &RecordBatch) -> Result<Option<RecordBatch>> {
        let read = Read {
            service: typed(rows, "service_name")?,
            series_id: typed(rows, "series_id")?,
            time: typed(rows, "time")?,
            nanos: typed(rows, "time_unix_nano")?,
            start: typed(rows, "start_time_unix_nano")?,
            kind: typed(rows, "metric_kind")?,
            temporality: typed(rows, "temporality")?,
            flags: typed(rows, "flags")?,
        };
        for row in 0..rows.num_rows() {
            self.point(rows, &read, row)?;
        }
        self.out.finish()
    }

    fn rest(&mut self) -> Result<Option<RecordBatch>> {
        self.close()?;
        self.current = None;
        let rest = self.out.finish()?;
        Ok(rest.filter(|rows| rows.num_rows() > 0))
    }

    fn held(&self) -> usize {
        let Some(current) = &self.current else { return 0 };
        let sum = current.step.as_ref().map_or(0, |(_, step)| A::bytes(&step.sum));
        current.identity.bytes() + sum
    }
}

/// Rows in the making.
struct Out {
    schema: SchemaRef,
    time: TimestampMicrosecondBuilder,
    service: StringBuilder,
    series_id: Int64Builder,
    identity: Columns,
    value: Float64Builder,
}

impl Out {
    fn new(schema: SchemaRef) -> Out {
        Out {
            schema,
            time: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            service: StringBuilder::new(),
            series_id: Int64Builder::new(),
            identity: Columns::new(),
            value: Float64Builder::new(),
        }
    }

    fn push<A: Answer>(&mut self, time: i64, of: &Current<A>, value: Option<f64>) -> Result<()> {
        self.time.append_value(time);
        self.service.append_option(of.service.as_ref());
        self.series_id.append_value(of.series_id);
        self.identity.push(&of.identity)?;
        self.value.append_option(value);
        Ok(())
    }

    fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.time.finish()),
            Arc::new(self.service.finish()),
            Arc::new(self.series_id.finish()),
        ];
        columns.extend(self.identity.finish());
        columns.push(Arc::new(self.value.finish()));
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }
}
