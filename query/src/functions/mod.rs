//! The functions of a session: the engine's own as far as they are safe
//! ([`crate::sandbox::functions`]), and ours.
//!
//! | file | functions |
//! | --- | --- |
//! | this | `attr`, which [`crate::attributes`] rewrites before it could run |

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, plan_err};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::sandbox;

/// The name under which a key is looked up in every scope.
pub(crate) const ATTR: &str = "attr";

pub(crate) fn scalar(all: Vec<Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let mut allowed = sandbox::functions::allowed(all);
    allowed.push(Arc::new(ScalarUDF::new_from_impl(Attr::default())));
    allowed
}

pub(crate) fn aggregate() -> Vec<Arc<AggregateUDF>> {
    Vec::new()
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
