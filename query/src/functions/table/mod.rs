//! Functions that stand in FROM: `SELECT * FROM red('1m', now() - interval '1 hour', now())`.
//!
//! Their arguments are constants. Each becomes a part of the plan over the
//! statement's own snapshots (S2), so what it reads is pruned, counted and
//! cancelled like everything else. There are these and the engine's
//! `generate_series` and `range`, and no others (S20).
//!
//! | file | what |
//! | --- | --- |
//! | this | [`ALL`], their names in the session, what they are made with |
//! | [`arguments`] | what they were called with |
//! | [`bound`] | parameters among that |
//! | [`metric`] | `metric_rate`, `metric_quantile` |
//! | [`red`], [`graph`] | `red`, `service_graph`: plain SQL |
//! | [`trace`], [`tree`] | `trace_tree`, and the arithmetic of trees |
//! | [`provider`], [`operator`] | a table whose rows are computed, and its plan node |

mod arguments;
mod bound;
mod graph;
mod metric;
mod operator;
mod provider;
mod red;
mod trace;
mod tree;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::catalog::{TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Column, DataFusionError, ParamValues, ScalarValue, internal_err};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, TypeSignature, Volatility,
};

use crate::Error;
use crate::catalog::{self, View};
use crate::scan::Table;
use bound::Bound;

/// How a function is called.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    pub name: &'static str,
    pub arguments: &'static [(&'static str, Kind)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Text,
    Number,
    Interval,
    Instant,
}

use Kind::{Instant, Interval, Number, Text};

const RATE: Form = Form {
    name: "metric_rate",
    arguments: &[("name", Text), ("step", Interval), ("from", Instant), ("to", Instant)],
};
const QUANTILE: Form = Form {
    name: "metric_quantile",
    arguments: &[
        ("name", Text),
        ("q", Number),
        ("step", Interval),
        ("from", Instant),
        ("to", Instant),
    ],
};
const RED: Form =
    Form { name: "red", arguments: &[("step", Interval), ("from", Instant), ("to", Instant)] };
const GRAPH: Form =
    Form { name: "service_graph", arguments: &[("from", Instant), ("to", Instant)] };
const TREE: Form = Form { name: "trace_tree", arguments: &[("trace_id", Text)] };

/// Every table function of ours.
pub(crate) static ALL: [Form; 5] = [RATE, QUANTILE, RED, GRAPH, TREE];

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.arguments.iter().map(|(name, _)| *name).collect();
        write!(f, "{}({})", self.name, names.join(", "))
    }
}

/// Puts them into a session over a view, and lets all there are take parameters.
pub(crate) fn register(state: &mut SessionState, view: &Arc<View>) {
    for form in &ALL {
        state.register_udtf(form.name, Arc::new(Call { form, view: view.clone() }));
    }
    let all: Vec<Arc<TableFunction>> = state.table_functions().values().cloned().collect();
    for inner in all {
        let name = inner.name().to_owned();
        state.register_udtf(&name, Arc::new(Bound { inner, view: view.clone() }));
    }
}

/// The form of a table function by its name.
pub(crate) fn named(name: &str) -> Option<&'static Form> {
    ALL.iter().find(|form| form.name.eq_ignore_ascii_case(name))
}

/// What to say of a table function that is not there.
pub(crate) fn unknown(name: &str) -> Error {
    let error = Error::invalid(format!("there is no table function {name}"));
    let known = ALL.iter().map(|form| form.name).chain(["generate_series", "range"]);
    match crate::sandbox::nearest(name, known) {
        Some(near) => match named(near) {
            Some(form) => error.with_hint(format!("did you mean {form}?")),
            None => error.with_hint(format!("did you mean {near}?")),
        },
        None => {
            let all: Vec<&str> = ALL.iter().map(|form| form.name).collect();
            error.with_hint(format!("there are {}, generate_series and range", all.join(", ")))
        }
    }
}

struct Call {
    form: &'static Form,
    view: Arc<View>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.form.name).finish()
    }
}

impl TableFunctionImpl for Call {
    fn call_with_args(
        &self,
        args: TableFunctionArgs,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let (form, view) = (self.form, &self.view);
        let table = match form.name {
            "metric_rate" => metric::rate(form, view, &args),
            "metric_quantile" => metric::quantile(form, view, &args),
            "red" => red::table(form, view, &args),
            "service_graph" => graph::table(form, view, &args),
            "trace_tree" => trace::table(form, view, &args),
            other => return internal_err!("{other} is listed and not made"),
        };
        Ok(table?)
    }
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// A scan of the statement's snapshot of a stored table.
fn stored(view: &View, name: &str) -> Result<LogicalPlanBuilder, DataFusionError> {
    let Some(snapshot) = view.pins.pin(name)? else {
        return internal_err!("there is no table {name}");
    };
    let table = Arc::new(Table::new(snapshot, view.pins.clone())?);
    LogicalPlanBuilder::scan(name, provider_as_source(table), None)
}

/// A view over SQL in which `$1`, `$2`, … are instants in microseconds.
fn view_of(view: &Arc<View>, sql: &str, instants: &[i64]) -> Result<Arc<dyn TableProvider>, Error> {
    let instant = |at: &i64| ScalarValue::TimestampMicrosecond(Some(*at), Some("UTC".into()));
    let values: Vec<ScalarValue> = instants.iter().map(instant).collect();
    let plan = catalog::planned_at_once(view, sql)?;
    let plan = plan.with_param_values(ParamValues::from(values))?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// A column of a batch in the type that the plan gives it.
fn typed<'a, A: 'static>(rows: &'a RecordBatch, name: &str) -> Result<&'a A, DataFusionError> {
    let column = rows.column_by_name(name);
    match column.and_then(|column| column.as_any().downcast_ref::<A>()) {
        Some(column) => Ok(column),
        None => internal_err!("column {name} is missing or of another type"),
    }
}

/// The same names among the scalar functions: who lists functions finds them,
/// and who calls one in SELECT is told where it belongs.
pub(super) fn listed() -> impl Iterator<Item = Arc<ScalarUDF>> {
    ALL.iter().map(|form| {
        let types = form.arguments.iter().map(|(_, kind)| match kind {
            Text => DataType::Utf8,
            Number => DataType::Float64,
            Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        });
        // The first is shown, the second lets every call come to its error.
        let types = vec![TypeSignature::Exact(types.collect()), TypeSignature::VariadicAny];
        let signature = Signature::one_of(types, Volatility::Volatile);
        Arc::new(ScalarUDF::new_from_impl(Listed { form, signature }))
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Listed {
    form: &'static Form,
    signature: Signature,
}

impl ScalarUDFImpl for Listed {
    fn name(&self) -> &str {
        self.form.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Null)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let error = Error::invalid(format!("{} is a table: it stands in FROM", self.form.name));
        Err(error.with_hint(format!("SELECT * FROM {}", self.form)).into())
    }
}
