//! The columns that hold what a point measured. A kind fills its own and leaves
//! the others behind as NULL.

use arrow::datatypes::{Int64Type, Schema};
use arrow::error::ArrowError;

use super::super::columns::{
    Doubles, Finished, Numbers, SomeDoubles, SomeIntegers, SomeLongs, Structs,
};
use super::super::model::{Exponential, Histogram, Kind, Number, Point, Summary};

/// Bytes of the lists of a point: packed varints are up to 8 times smaller.
pub(super) fn bytes(kind: Kind, point: &Point<'_>) -> usize {
    let numbers = match kind {
        Kind::Gauge | Kind::Sum => 0,
        Kind::Histogram => {
            point.histogram.bucket_counts.len() + point.histogram.explicit_bounds.len()
        }
        Kind::ExponentialHistogram => {
            point.exponential.sides().map(|buckets| buckets.counts.len()).sum()
        }
        Kind::Summary => 2 * point.summary.quantiles.len(),
    };
    8 * numbers
}

#[derive(Debug, Default)]
pub(super) struct Values {
    value: SomeDoubles,
    value_int: SomeLongs,
    count: SomeLongs,
    sum: SomeDoubles,
    min: SomeDoubles,
    max: SomeDoubles,
    bucket_counts: Numbers<Int64Type>,
    scale: SomeIntegers,
    zero_count: SomeLongs,
    zero_threshold: SomeDoubles,
    positive: Side,
    negative: Side,
    quantiles: Structs<true>,
    quantile: Doubles,
    quantile_value: Doubles,
}

/// The positive or the negative buckets of an exponential histogram.
#[derive(Debug, Default)]
struct Side {
    offset: SomeIntegers,
    counts: Numbers<Int64Type>,
}

impl Values {
    /// Counts were checked to fit.
    pub fn append(&mut self, row: usize, kind: Kind, point: &Point<'_>) {
        match kind {
            Kind::Gauge | Kind::Sum => self.number(row, point.number),
            Kind::Histogram => self.histogram(row, &point.histogram),
            Kind::ExponentialHistogram => self.exponential(row, &point.exponential),
            Kind::Summary => self.summary(row, &point.summary),
        }
    }

    fn number(&mut self, row: usize, number: Option<Number>) {
        match number {
            None => {}
            Some(Number::Double(value)) => self.value.set(row, value),
            Some(Number::Int(value)) => {
                self.value.set(row, value as f64);
                self.value_int.set(row, value);
            }
        }
    }

    /// All but the bounds, which the head has.
    fn histogram(&mut self, row: usize, data: &Histogram<'_>) {
        self.moments(row, data.count, [data.sum, data.min, data.max]);
        self.bucket_counts.set(row, data.bucket_counts.integers().map(|count| count as i64));
    }

    fn exponential(&mut self, row: usize, data: &Exponential) {
        self.moments(row, data.count, [data.sum, data.min, data.max]);
        self.scale.set(row, data.scale);
        self.zero_count.set(row, data.zero_count as i64);
        self.zero_threshold.set(row, data.zero_threshold);
        let sides = [(&mut self.positive, &data.positive), (&mut self.negative, &data.negative)];
        for (side, buckets) in sides {
            if buckets.given {
                side.offset.set(row, buckets.offset);
                side.counts.set(row, buckets.counts.iter().map(|count| *count as i64));
            }
        }
    }

    fn summary(&mut self, row: usize, data: &Summary) {
        self.moments(row, data.count, [Some(data.sum), None, None]);
        for quantile in &data.quantiles {
            self.quantile.append_value(quantile.quantile);
            self.quantile_value.append_value(quantile.value);
            self.quantiles.element();
        }
        self.quantiles.end_row(row);
    }

    fn moments(&mut self, row: usize, count: u64, [sum, min, max]: [Option<f64>; 3]) {
        self.count.set(row, count as i64);
        self.sum.set_option(row, sum);
        self.min.set_option(row, min);
        self.max.set_option(row, max);
    }

    pub fn finish(
        self,
        finished: &mut Finished<'_>,
        schema: &Schema,
        rows: usize,
    ) -> Result<(), ArrowError> {
        let list = |name: &str| schema.field_with_name(name).map(|field| field.data_type());
        finished.add_if_any("value", self.value.column(rows));
        finished.add_if_any("value_int", self.value_int.column(rows));
        finished.add_if_any("count", self.count.column(rows));
        finished.add_if_any("sum", self.sum.column(rows));
        finished.add_if_any("min", self.min.column(rows));
        finished.add_if_any("max", self.max.column(rows));
        finished.add_if_any("scale", self.scale.column(rows));
        finished.add_if_any("zero_count", self.zero_count.column(rows));
        finished.add_if_any("zero_threshold", self.zero_threshold.column(rows));
        finished.add_if_any("positive_offset", self.positive.offset.column(rows));
        finished.add_if_any("negative_offset", self.negative.offset.column(rows));
        let counts = [
            ("bucket_counts", self.bucket_counts),
            ("positive_counts", self.positive.counts),
            ("negative_counts", self.negative.counts),
        ];
        for (name, numbers) in counts.into_iter().filter(|(_, numbers)| !numbers.is_empty()) {
            finished.add(name, numbers.finish(list(name)?, rows)?);
        }
        if !self.quantiles.is_empty() {
            let count = self.quantiles.elements();
            let fields = vec![self.quantile.column(count), self.quantile_value.column(count)];
            let quantiles = self.quantiles.finish(list("quantiles")?, fields, rows)?;
            finished.add("quantiles", quantiles);
        }
        Ok(())
    }
}
