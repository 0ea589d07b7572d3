//! What a table function was called with: constants, after folding.

use std::ops::Range;

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use super::Form;
use crate::Error;

const DAY: i64 = 86_400_000_000;

pub(super) struct Arguments<'a> {
    form: &'static Form,
    given: &'a [Expr],
    /// Where text without a zone is read.
    zone: String,
}

impl<'a> Arguments<'a> {
    pub fn of(form: &'static Form, args: &TableFunctionArgs<'a, '_>) -> Result<Self, Error> {
        let given = args.exprs();
        let zone = args.session().config_options().execution.time_zone.clone();
        let arguments = Arguments { form, given, zone: zone.unwrap_or_else(|| "UTC".into()) };
        match given.len() == form.arguments.len() {
            true => Ok(arguments),
            false => {
                let (wants, has) = (form.arguments.len(), given.len());
                Err(arguments.refused(format!("takes {wants} arguments and was given {has}")))
            }
        }
    }

    fn refused(&self, why: String) -> Error {
        Error::invalid(format!("{} {why}", self.form.name))
            .with_hint(format!("SELECT * FROM {}", self.form))
    }

    /// The constant in the place of an argument; never NULL.
    fn constant(&self, name: &str) -> Result<&'a ScalarValue, Error> {
        let place = self.form.arguments.iter().position(|(known, _)| *known == name);
        match place.and_then(|place| self.given.get(place)) {
            Some(Expr::Literal(value, _)) if value.is_null() => {
                Err(self.refused(format!("has no answer for a {name} that is NULL")))
            }
            Some(Expr::Literal(value, _)) => Ok(value),
            _ => Err(self.refused(format!(
                "needs a constant as {name}: a literal, or $1, or now() and intervals, and no column"
            ))),
        }
    }

    pub fn text(&self, name: &str) -> Result<&'a str, Error> {
        let value = self.constant(name)?;
        value.try_as_str().flatten().ok_or_else(|| self.refused(format!("takes {name} as text")))
    }

    /// A number from 0 to 1.
    pub fn share(&self, name: &str) -> Result<f64, Error> {
        let value = self.constant(name)?;
        let number = match value.data_type().is_numeric() {
            true => value.cast_to(&DataType::Float64).ok(),
            false => None,
        };
        match number {
            Some(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err(self.refused(format!("takes {name} as a number from 0 to 1"))),
        }
    }

    /// A positive stretch of time in microseconds.
    pub fn step(&self, name: &str) -> Result<i64, Error> {
        let wrong =
            || self.refused(format!("takes {name} as an interval: '1 minute', '30s', '1h'"));
        let value = self.constant(name)?;
        let readable = matches!(value.data_type(), DataType::Interval(_) | DataType::Duration(_))
            || value.try_as_str().is_some();
        let interval = match value {
            _ if !readable => return Err(wrong()),
            ScalarValue::DurationSecond(_)
            | ScalarValue::DurationMillisecond(_)
            | ScalarValue::DurationMicrosecond(_)
            | ScalarValue::DurationNanosecond(_) => {
                match value.cast_to(&DataType::Duration(TimeUnit::Nanosecond)) {
                    Ok(ScalarValue::DurationNanosecond(Some(nanos))) => {
                        IntervalMonthDayNano::new(0, 0, nanos)
                    }
                    _ => return Err(wrong()),
                }
            }
            _ => match value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano)) {
                Ok(ScalarValue::IntervalMonthDayNano(Some(interval))) => interval,
                _ => return Err(wrong()),
            },
        };
        if interval.months != 0 {
            return Err(self.refused(format!("takes no months as {name}: they differ in length")));
        }
        let days = i64::from(interval.days).checked_mul(DAY);
        match days.and_then(|days| days.checked_add(interval.nanoseconds / 1_000)) {
            Some(micros) if micros > 0 => Ok(micros),
            _ => Err(self.refused(format!("takes a {name} longer than 0"))),
        }
    }

    /// An instant in microseconds since 1970.
    fn instant(&self, name: &str) -> Result<i64, Error> {
        let wrong = || {
            self.refused(format!(
                "takes {name} as a time: '2026-11-23T10:00:00Z', now() - interval '1 hour'"
            ))
        };
        let value = self.constant(name)?;
        let of = value.data_type();
        let is_time = matches!(of, DataType::Timestamp(..) | DataType::Date32)
            || value.try_as_str().is_some();
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some(self.zone.as_str().into()));
        match is_time.then(|| value.cast_to(&micros)) {
            Some(Ok(ScalarValue::TimestampMicrosecond(Some(at), _))) => Ok(at),
            _ => Err(wrong()),
        }
    }

    /// From `from` up to, not including, `to`, in microseconds since 1970.
    pub fn range(&self) -> Result<Range<i64>, Error> {
        let (from, to) = (self.instant("from")?, self.instant("to")?);
        match from < to {
            true => Ok(from..to),
            false => Err(self.refused("has nothing to look at: from is not before to".into())),
        }
    }
}
