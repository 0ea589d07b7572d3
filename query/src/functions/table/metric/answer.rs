//! What is read of a point, and what a step says.

use arrow::array::{
    Array, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch,
};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::DataFusionError;
use schema::ErrorKind;

use super::super::typed;
use crate::Error;
use crate::series::exponential::Exponential;
use crate::series::histogram::{Explicit, Histogram};
use crate::series::number::Number;
use crate::series::quantile::Mixture;
use crate::series::{Increase, Measure, Temporality};

type Result<T> = std::result::Result<T, DataFusionError>;

/// A step of one series.
#[derive(Debug, Default)]
pub(super) struct Step<S> {
    pub sum: S,
    /// Nanoseconds that the increases of the step took.
    pub over: i64,
}

pub(super) trait Answer: Clone + Send + Sync + 'static {
    /// The columns that a point is read from.
    const COLUMNS: &'static [&'static str];
    type Value: Measure + Send;
    type Sum: Default + Send;

    /// The value of a point of that kind; `None` when it holds none.
    fn read(&self, rows: &RecordBatch, row: usize, of: &Metric<'_>) -> Result<Option<Self::Value>>;

    fn add(&self, step: &mut Step<Self::Sum>, increase: Increase<Self::Value>) -> Result<()>;

    /// `None`: no row. `width` is the nanoseconds of the step that were asked for.
    fn say(
        &self,
        step: &Step<Self::Sum>,
        temporality: Temporality,
        width: i64,
    ) -> Option<Option<f64>>;

    /// Bytes held, about.
    fn bytes(sum: &Self::Sum) -> usize;
}

/// Whose point it is, for errors.
pub(super) struct Metric<'a> {
    pub name: &'a str,
    pub service: &'a str,
    pub kind: &'a str,
}

impl Metric<'_> {
    fn refused(&self, why: &str, hint: &str) -> DataFusionError {
        let Metric { name, service, kind } = self;
        let kind = kind.to_lowercase().replace('_', " ");
        Error::new(ErrorKind::Invalid, format!("{name} of service {service} is a {kind} {why}"))
            .with_hint(hint)
            .into()
    }
}

/// What a counter gains per second.
#[derive(Debug, Clone)]
pub(super) struct Rate;

impl Answer for Rate {
    const COLUMNS: &'static [&'static str] = &["is_monotonic", "value", "value_int", "count"];
    type Value = Number;
    type Sum = Option<Number>;

    fn read(&self, rows: &RecordBatch, row: usize, of: &Metric<'_>) -> Result<Option<Number>> {
        let int = |name: &str| -> Result<Option<Number>> {
            let values: &Int64Array = typed(rows, name)?;
            Ok(values.is_valid(row).then(|| Number::Int(i128::from(values.value(row)))))
        };
        match of.kind {
            "GAUGE" => Err(of.refused(
                "and has no rate",
                "a gauge goes up and down: take avg(value) or max(value) FROM metrics",
            )),
            "SUM" => {
                let monotonic: &BooleanArray = typed(rows, "is_monotonic")?;
                if !(monotonic.is_valid(row) && monotonic.value(row)) {
                    return Err(of.refused(
                        "that also falls, and has no rate",
                        "only a monotonic sum counts: take avg(value) or max(value) FROM metrics",
                    ));
                }
                if let Some(exact) = int("value_int")? {
                    return Ok(Some(exact));
                }
                let values: &Float64Array = typed(rows, "value")?;
                let value = values.is_valid(row).then(|| values.value(row));
                Ok(value.filter(|value| value.is_finite()).map(Number::Double))
            }
            // Observations per second.
            _ => int("count"),
        }
    }

    fn add(&self, step: &mut Step<Self::Sum>, increase: Increase<Number>) -> Result<()> {
        let sum = step.sum.map_or(increase.value, |sum| sum.plus(increase.value));
        step.sum = Some(sum);
        step.over = step.over.saturating_add(increase.over);
        Ok(())
    }

    /// A cumulative counter is reported whether or not it moved, so that what
    /// lies between its points is known. Senders leave a delta out when there
    /// was nothing to tell: it is spread over the step, or over its intervals
    /// if they are longer.
    fn say(
        &self,
        step: &Step<Self::Sum>,
        temporality: Temporality,
        width: i64,
    ) -> Option<Option<f64>> {
        let nanos = match temporality {
            Temporality::Cumulative => step.over,
            Temporality::Delta => step.over.max(width),
        };
        (nanos > 0).then(|| step.sum.map(|sum| sum.double() * 1e9 / nanos as f64))
    }

    fn bytes(_: &Self::Sum) -> usize {
        0
    }
}

/// The value that a part of a histogram's observations does not exceed.
#[derive(Debug, Clone)]
pub(super) struct Quantile {
    pub q: f64,
}

impl Answer for Quantile {
    const COLUMNS: &'static [&'static str] = &[
        "bucket_counts",
        "explicit_bounds",
        "scale",
        "zero_count",
        "zero_threshold",
        "positive_offset",
        "positive_counts",
        "negative_offset",
        "negative_counts",
    ];
    type Value = Histogram;
    type Sum = Mixture;

    fn read(&self, rows: &RecordBatch, row: usize, of: &Metric<'_>) -> Result<Option<Histogram>> {
        match of.kind {
            "HISTOGRAM" => {
                let (counts, bounds) = (ints(rows, "bucket_counts", row)?, doubles(rows, row)?);
                Ok(Explicit::new(bounds, counts).map(Histogram::Explicit))
            }
            "EXPONENTIAL_HISTOGRAM" => {
                let small = |name: &str| -> Result<i32> {
                    let values: &Int32Array = typed(rows, name)?;
                    Ok(if values.is_valid(row) { values.value(row) } else { 0 })
                };
                let zeros: &Int64Array = typed(rows, "zero_count")?;
                let thresholds: &Float64Array = typed(rows, "zero_threshold")?;
                let zero = if zeros.is_valid(row) { zeros.value(row) } else { 0 };
                let threshold = if thresholds.is_valid(row) { thresholds.value(row) } else { 0.0 };
                let positive = ints(rows, "positive_counts", row)?;
                let negative = ints(rows, "negative_counts", row)?;
                let new = Exponential::new(
                    small("scale")?,
                    (zero, threshold),
                    (small("positive_offset")?, &positive),
                    (small("negative_offset")?, &negative),
                );
                Ok(new.map(Histogram::Exponential))
            }
            "SUMMARY" => Err(of.refused(
                "that came without buckets",
                "its sender computed quantiles: they are in metrics.quantiles",
            )),
            _ => Err(of.refused(
                "and has no distribution",
                "only histograms have; p99(value) FROM metrics is a quantile over points",
            )),
        }
    }

    fn add(&self, step: &mut Step<Mixture>, increase: Increase<Histogram>) -> Result<()> {
        step.over = step.over.saturating_add(increase.over);
        match step.sum.add(increase.value) {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::TooLarge,
                "a series has too many sets of histogram bounds within one step",
            )
            .with_hint("take a shorter step, or have the sender keep to one set of bounds")
            .into()),
        }
    }

    fn say(&self, step: &Step<Mixture>, _: Temporality, _: i64) -> Option<Option<f64>> {
        Some(step.sum.quantile(self.q))
    }

    fn bytes(sum: &Mixture) -> usize {
        sum.bytes()
    }
}

fn ints(rows: &RecordBatch, name: &str, row: usize) -> Result<Vec<i64>> {
    let lists: &arrow::array::ListArray = typed(rows, name)?;
    if lists.is_null(row) {
        return Ok(Vec::new());
    }
    let held = lists.value(row);
    let held = held.as_primitive::<Int64Type>();
    Ok(held.iter().map(Option::unwrap_or_default).collect())
}

fn doubles(rows: &RecordBatch, row: usize) -> Result<Vec<f64>> {
    let lists: &arrow::array::ListArray = typed(rows, "explicit_bounds")?;
    if lists.is_null(row) {
        return Ok(Vec::new());
    }
    let held = lists.value(row);
    let held = held.as_primitive::<Float64Type>();
    // A bound that is missing makes the histogram one that is not read.
    Ok(held.iter().map(|bound| bound.unwrap_or(f64::NAN)).collect())
}
