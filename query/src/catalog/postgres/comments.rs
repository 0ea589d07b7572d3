//! `col_description` and `obj_description`: what columns and tables mean.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::super::View;
use super::relations;

/// Texts by a relation's number and a column's; 0 is the relation itself.
type Texts = HashMap<(i64, i64), String>;

/// Both, over what a statement sees.
pub(in crate::catalog) fn functions(view: &Arc<View>) -> [Arc<ScalarUDF>; 2] {
    ["obj_description", "col_description"].map(|name| {
        let signature = Signature::variadic_any(Volatility::Stable);
        let texts = OnceLock::new();
        Arc::new(ScalarUDF::new_from_impl(Comment { name, view: view.clone(), texts, signature }))
    })
}

struct Comment {
    name: &'static str,
    view: Arc<View>,
    /// Looked up when the first is asked for.
    texts: OnceLock<Texts>,
    signature: Signature,
}

impl Comment {
    fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| {
            let mut texts = Texts::new();
            for relation in relations::all(&self.view) {
                let docs = std::iter::once(relation.doc).chain(relation.docs);
                let told = (0i64..).zip(docs).filter(|(_, doc)| !doc.is_empty());
                texts.extend(told.map(|(at, doc)| ((i64::from(relation.oid), at), doc)));
            }
            texts
        })
    }
}

impl fmt::Debug for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Comment").field(&self.name).finish()
    }
}

// There is one of each in a session.
impl PartialEq for Comment {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Comment {}

impl Hash for Comment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Comment {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let numbers = |array: &ArrayRef| cast(array, &DataType::Int64);
        let Some(oids) = arrays.first().map(numbers).transpose()? else {
            return Ok(ColumnarValue::Scalar(DataType::Utf8.try_into()?));
        };
        // The second argument of the one is a column, of the other a catalog.
        let columns = match (self.name, arrays.get(1)) {
            ("col_description", Some(columns)) => Some(numbers(columns)?),
            _ => None,
        };
        let columns = columns.as_ref().map(|columns| columns.as_primitive::<Int64Type>());
        let texts = oids.as_primitive::<Int64Type>().iter().enumerate().map(|(row, oid)| {
            let column = columns.map_or(0, |columns| columns.value(row));
            self.texts().get(&(oid?, column)).map(String::as_str)
        });
        Ok(ColumnarValue::Array(Arc::new(texts.collect::<StringArray>())))
    }
}
