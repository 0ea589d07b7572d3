//! Parameters in the arguments of a function in FROM.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::{
    Session, TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider,
};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Cast, Expr};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::{Kind, named};
use crate::catalog::View;

/// A function that is given values in the place of parameters.
pub(super) struct Bound {
    pub inner: Arc<TableFunction>,
    pub view: Arc<View>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bound").field(&self.inner.name()).finish()
    }
}

impl Bound {
    /// An argument with values put in, worked out as far as it goes.
    fn bind(
        &self,
        at: usize,
        argument: &Expr,
        session: &dyn Session,
    ) -> Result<Expr, DataFusionError> {
        let sample = sample(self.inner.name(), at);
        let value = |id: &str, sample| {
            Ok::<_, DataFusionError>(Expr::Literal(self.view.given.value(id, sample)?, None))
        };
        let bound = argument.clone().transform_down(|expr| {
            Ok(match expr {
                // What it is cast to is what it should be.
                Expr::Cast(Cast { expr, field }) if matches!(*expr, Expr::Placeholder(_)) => {
                    let Expr::Placeholder(Placeholder { id, .. }) = *expr else {
                        return Ok(Transformed::no(Expr::Cast(Cast { expr, field })));
                    };
                    let sample = sample.cast_to(field.data_type());
                    let sample = sample.or_else(|_| ScalarValue::new_one(field.data_type()))?;
                    let expr = Box::new(value(&id, sample)?);
                    Transformed::yes(Expr::Cast(Cast { expr, field }))
                }
                Expr::Placeholder(Placeholder { id, .. }) => {
                    Transformed::yes(value(&id, sample.clone())?)
                }
                other => Transformed::no(other),
            })
        })?;
        if !bound.transformed {
            return Ok(bound.data);
        }
        let context = SimplifyContext::builder()
            .with_config_options(Arc::new(session.config_options().clone()))
            .with_query_execution_start_time(session.execution_props().query_execution_start_time)
            .build();
        let simplifier = ExprSimplifier::new(context);
        simplifier.simplify(simplifier.coerce(bound.data, &DFSchema::empty())?)
    }
}

impl TableFunctionImpl for Bound {
    fn call_with_args(
        &self,
        args: TableFunctionArgs,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let session = args.session();
        let arguments = args.exprs().iter().enumerate();
        let arguments = arguments.map(|(at, argument)| self.bind(at, argument, session));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        self.inner.create_table_provider_with_args(TableFunctionArgs::new(&arguments, session))
    }
}

/// What stands for an argument while its value is not known: columns do not
/// depend on it.
fn sample(name: &str, at: usize) -> ScalarValue {
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    match named(name).and_then(|form| form.arguments.get(at)) {
        Some((_, Kind::Text)) => text("0"),
        Some((_, Kind::Number)) => ScalarValue::Float64(Some(0.5)),
        // As text: every client can send that.
        Some((_, Kind::Interval)) => text("1000 days"),
        Some(("from", Kind::Instant)) => instant(0),
        Some((_, Kind::Instant)) => instant(1 << 52),
        None => ScalarValue::Int64(Some(1)),
    }
}

fn instant(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}
