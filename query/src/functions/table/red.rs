//! `red`: rate, errors, duration of what services serve.

use std::sync::Arc;

use datafusion::catalog::{TableFunctionArgs, TableProvider};

use super::arguments::Arguments;
use super::{Form, view_of};
use crate::Error;
use crate::catalog::View;

/// Spans of kind SERVER and CONSUMER: work that a service was asked for, once
/// per request. What it asks of others (CLIENT, PRODUCER) and what it does
/// meanwhile (INTERNAL) would count the same request again.
pub(super) fn table(
    form: &'static Form,
    view: &Arc<View>,
    args: &TableFunctionArgs<'_, '_>,
) -> Result<Arc<dyn TableProvider>, Error> {
    let arguments = Arguments::of(form, args)?;
    let (step, range) = (arguments.step("step")?, arguments.range()?);
    let (from, to) = (range.start, range.end);
    // Steps at the ends may be asked for in part only.
    let sql = format!(
        "SELECT time, service_name, calls, errors, \
         calls * 1e6 / (least({to}, at + {step}) - greatest({from}, at)) AS rate, \
         CAST(errors AS DOUBLE) / calls AS error_ratio, p50_ms, p95_ms, p99_ms \
         FROM (SELECT time, service_name, arrow_cast(time, 'Int64') AS at, calls, errors, \
         p50_ms, p95_ms, p99_ms \
         FROM (SELECT arrow_cast(date_bin(INTERVAL '{step} microseconds', time), \
         'Timestamp(Microsecond, Some(\"UTC\"))') AS time, service_name, \
         count(*) AS calls, count(*) FILTER (WHERE is_error) AS errors, \
         p50(duration_ns / 1e6) AS p50_ms, p95(duration_ns / 1e6) AS p95_ms, \
         p99(duration_ns / 1e6) AS p99_ms \
         FROM spans WHERE kind IN ('SERVER', 'CONSUMER') AND time >= $1 AND time < $2 \
         GROUP BY 1, 2))"
    );
    view_of(view, &sql, &[from, to])
}
