//! `metric_rate` and `metric_quantile`: a row per series and step.
//!
//! The points of one metric, from a little before the range up to its end, are
//! sorted by series and time, and pass by once: memory holds one step of one
//! series. Name and time reach the scan, so that files are pruned, and so does
//! a filter on `service_name` or `series_id`. What a point adds is said in
//! [`crate::series`].
//!
//! | file | what |
//! | --- | --- |
//! | this | the plan: which points, in which order |
//! | [`work`] | from points in order to rows |
//! | [`answer`] | what is read of a point and what a step says: [`Rate`](answer::Rate), [`Quantile`](answer::Quantile) |
//! | [`identity`] | a series' attributes, those with columns of their own included |

mod answer;
mod identity;
mod work;

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{TableFunctionArgs, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use schema::tables::common::{string_map, timestamp};
use schema::tables::metrics;

use super::arguments::Arguments;
use super::operator::{Begin, Work};
use super::provider::Computed;
use super::{Form, column, stored};
use crate::Error;
use crate::catalog::View;
use answer::{Answer, Quantile, Rate};
use identity::Promoted;

/// The longest pause between two points of a series that is no gap: senders
/// report every minute or more often. In microseconds; a step of more than
/// half of it makes it longer.
const REACH: i64 = 300_000_000;

/// What a row is about.
#[derive(Debug, Clone)]
struct Asked {
    name: String,
    /// Microseconds, as all of these.
    step: i64,
    range: Range<i64>,
    reach: i64,
}

impl Asked {
    fn by(arguments: &Arguments<'_>) -> Result<Asked, Error> {
        let step = arguments.step("step")?;
        let (name, range) = (arguments.text("name")?.to_owned(), arguments.range()?);
        Ok(Asked { name, step, range, reach: REACH.max(step.saturating_mul(2)) })
    }
}

pub(super) fn rate(
    form: &'static Form,
    view: &View,
    args: &TableFunctionArgs<'_, '_>,
) -> Result<Arc<dyn TableProvider>, Error> {
    let asked = Asked::by(&Arguments::of(form, args)?)?;
    table(form, view, asked, Rate)
}

pub(super) fn quantile(
    form: &'static Form,
    view: &View,
    args: &TableFunctionArgs<'_, '_>,
) -> Result<Arc<dyn TableProvider>, Error> {
    let arguments = Arguments::of(form, args)?;
    let q = arguments.share("q")?;
    table(form, view, Asked::by(&arguments)?, Quantile { q })
}

/// The columns of both.
fn schema() -> Schema {
    let of = |name: &str, of: DataType| Field::new(name, of, true);
    Schema::new(vec![
        of("time", timestamp()),
        of("service_name", DataType::Utf8),
        of("series_id", DataType::Int64),
        of("attributes", string_map()),
        of("scope_attributes", string_map()),
        of("resource_attributes", string_map()),
        of("value", DataType::Float64),
    ])
}

fn table<A: Answer>(
    form: &'static Form,
    view: &View,
    asked: Asked,
    answer: A,
) -> Result<Arc<dyn TableProvider>, Error> {
    let instant =
        |micros: i64| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
    let from = asked.range.start.saturating_sub(asked.reach);
    let points = column("metric_name")
        .eq(lit(asked.name.as_str()))
        .and(column("time").gt_eq(instant(from)))
        .and(column("time").lt(instant(asked.range.end)));
    let input = stored(view, metrics::NAME)?.filter(points)?.build()?;
    let order = ["service_name", "series_id", "time"].map(|name| column(name).sort(true, true));
    let def = view.pins.def(metrics::NAME);
    let promoted = Arc::new(Promoted::of(def.as_deref()));
    let needs = {
        let promoted = promoted.clone();
        move |shown: &[&str]| -> Vec<Expr> {
            let fixed = work::COLUMNS.iter().chain(A::COLUMNS).copied().map(column);
            let identity = if promoted.shown(shown) { promoted.columns() } else { Vec::new() };
            fixed.chain(identity).collect()
        }
    };
    let schema = Arc::new(schema());
    let begin: Begin = {
        let (schema, asked) = (schema.clone(), Arc::new(asked));
        Arc::new(move || -> Box<dyn Work> {
            let (schema, asked) = (schema.clone(), asked.clone());
            Box::new(work::Points::new(schema, asked, promoted.clone(), answer.clone()))
        })
    };
    Ok(Arc::new(Computed {
        name: form.name,
        schema,
        input,
        order: order.to_vec(),
        apart: &["service_name", "series_id"],
        needs: Box::new(needs),
        begin,
    }))
}
