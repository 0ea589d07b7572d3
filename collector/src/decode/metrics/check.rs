//! What makes a data point unacceptable.

use super::super::model::{Exponential, Histogram, Kind, Point};
use super::super::outcome::{Reason, Warning, Warnings};
use super::super::text::nanos;

/// The flag by which a point says that nothing was measured.
const NO_RECORDED_VALUE: u32 = 1;

type Fault = (Reason, String);

/// The time of an acceptable point.
pub(super) fn point(point: &Point<'_>, kind: Kind, warnings: &mut Warnings) -> Result<i64, Fault> {
    if point.time_unix_nano == 0 {
        return Err((Reason::MissingTime, "has a point without time_unix_nano".into()));
    }
    let exemplars = point.exemplars.iter().map(|exemplar| exemplar.time_unix_nano);
    let mut times = exemplars.chain([point.start_time_unix_nano, point.time_unix_nano]);
    if times.any(|time| nanos(time).is_none()) {
        return Err((Reason::OutOfRange, "has a time after the year 2262".into()));
    }
    match kind {
        Kind::Gauge | Kind::Sum => {
            if point.number.is_none() && point.flags & NO_RECORDED_VALUE == 0 {
                let why = format!("has a {kind:?} point without a value");
                return Err((Reason::MissingValue, why));
            }
        }
        Kind::Histogram => histogram(&point.histogram, warnings)?,
        Kind::ExponentialHistogram => exponential(&point.exponential, warnings)?,
        Kind::Summary => in_range([point.summary.count])?,
    }
    Ok(point.time_unix_nano as i64)
}

fn in_range(counts: impl IntoIterator<Item = u64> + Clone) -> Result<(), Fault> {
    let over = |count: &u64| i64::try_from(*count).is_err();
    // Over is what has the highest bit; that any has it is seen at once.
    if !over(&counts.clone().into_iter().fold(0, |all, count| all | count)) {
        return Ok(());
    }
    let count = counts.into_iter().find(over).unwrap_or_default();
    Err((Reason::OutOfRange, format!("has the count {count}, over 2^63 - 1")))
}

fn histogram(data: &Histogram<'_>, warnings: &mut Warnings) -> Result<(), Fault> {
    let Histogram { bucket_counts, explicit_bounds, .. } = data;
    let (buckets, bounds) = (bucket_counts.len(), explicit_bounds.len());
    if buckets != bounds + 1 && (buckets, bounds) != (0, 0) {
        let why = format!("has {buckets} buckets and {bounds} bounds, needs one bound fewer");
        return Err((Reason::InvalidBuckets, why));
    }
    // Written so that NaN is not increasing either.
    let increasing = explicit_bounds.doubles().is_sorted_by(|a, b| a < b);
    if !increasing || explicit_bounds.doubles().any(f64::is_nan) {
        let why = "has bucket bounds that do not increase".into();
        return Err((Reason::InvalidBuckets, why));
    }
    in_range(bucket_counts.integers())?;
    in_range([data.count])?;
    if buckets > 0 {
        compare(data.count, sum(bucket_counts.integers()), warnings);
    }
    Ok(())
}

fn exponential(data: &Exponential, warnings: &mut Warnings) -> Result<(), Fault> {
    for buckets in data.sides() {
        in_range(buckets.counts.iter().copied())?;
    }
    in_range([data.count, data.zero_count])?;
    let sides = data.sides().map(|buckets| sum(buckets.counts.iter().copied()));
    compare(data.count, sides.sum::<u128>() + u128::from(data.zero_count), warnings);
    Ok(())
}

fn sum(counts: impl Iterator<Item = u64>) -> u128 {
    counts.map(u128::from).sum()
}

fn compare(count: u64, buckets: u128, warnings: &mut Warnings) {
    if buckets != u128::from(count) {
        warnings.add(Warning::CountMismatch);
    }
}
