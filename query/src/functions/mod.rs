//! The functions of a session: the engine's own as far as they are safe
//! ([`crate::sandbox::functions`]), and ours.
//!
//! | file | functions |
//! | --- | --- |
//! | this | `attr`, which [`crate::attributes`] rewrites before it could run; `time_bucket`, which is `date_bin` |
//! | `postgres` | what PostgreSQL's clients call before they ask for rows |
//! | [`aggregate`] | `p50` `p90` `p95` `p99` `quantile` `error_ratio` |
//! | [`collect`] | `array_agg`, which counts what it keeps |
//! | [`table`] | `metric_rate` `metric_quantile` `red` `service_graph` `trace_tree`, which stand in FROM |

mod aggregate;
mod collect;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod table;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, plan_err};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::sandbox;

/// The name under which a key is looked up in every scope.
pub(crate) const ATTR: &str = "attr";

pub(crate) fn scalar(all: Vec<Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let mut allowed = sandbox::functions::allowed(all);
    let bin = datafusion::functions::datetime::date_bin();
    allowed.push(Arc::new(bin.as_ref().clone().with_aliases(["time_bucket"])));
    allowed.push(map_text());
    allowed.push(Arc::new(ScalarUDF::new_from_impl(Attr::default())));
    allowed.extend(table::listed());
    // After the engine's own `version`, which it stands for.
    #[cfg(feature = "postgres")]
    allowed.extend(postgres::all());
    allowed
}

/// The function behind `map->>'k'`.
pub(crate) const MAP_TEXT: &str = "map_text";

pub(crate) fn map_text() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let inner = datafusion::functions::core::get_field();
        Arc::new(ScalarUDF::new_from_impl(MapText { inner }))
    });
    FUNCTION.clone()
}

/// `get_field` under another name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MapText {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for MapText {
    fn name(&self) -> &str {
        MAP_TEXT
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String, DataFusionError> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        match args {
            [_, Expr::Literal(key, _)] => Ok(format!("{}->>{key}", names[0])),
            _ => Ok(names.join("->>")),
        }
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef, DataFusionError> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.inner.coerce_types(types)
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.placement(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        self.inner.invoke_with_args(args)
    }
}

pub(crate) fn aggregate() -> Vec<Arc<AggregateUDF>> {
    let mut all = aggregate::all();
    // After the engine's own, for which it stands.
    all.push(collect::array_agg());
    all
}

/// `attr('k')`: the record's attribute, else the scope's, else the resource's.
/// It reads columns that are not among its arguments, so it never runs itself.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Attr {
    signature: Signature,
}

impl Default for Attr {
    fn default() -> Attr {
        Attr { signature: Signature::string(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Attr {
    fn name(&self) -> &str {
        ATTR
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        plan_err!("attr takes one key as a text literal, over one table with attributes")
    }
}
