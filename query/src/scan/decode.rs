//! Text that is not copied out of Parquet before it is needed.
//!
//! A map decodes into two long columns of text. Here keys come as codes of
//! their dictionary and values as views of the pages; `attributes['k']` becomes
//! a [`Lookup`], which compares codes. Columns of few texts come as codes too,
//! for [`crate::codes`]. To everything above the scan the columns have the
//! table's types: what else is done with one sees it cast back.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, ScalarValue, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

use super::absent;
use crate::{attributes, codes};

type Result<T> = std::result::Result<T, DataFusionError>;

/// How a file of this schema is to be read. Columns that are compared with
/// bounds and bloom filters stay as they are.
pub(super) fn readable(file: &Schema, compared: &HashSet<String>) -> SchemaRef {
    let fields = file.fields().iter().map(|field| {
        let grouped = codes::is_few(field.name()) && !compared.contains(field.name());
        match field.data_type() {
            DataType::Utf8 if grouped => {
                Arc::new(field.as_ref().clone().with_data_type(dictionary()))
            }
            other => match coded(other) {
                Some(coded) => Arc::new(field.as_ref().clone().with_data_type(coded)),
                None => field.clone(),
            },
        }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), file.metadata().clone()))
}

/// Whether a column of this name and type can be read better than it is.
pub(super) fn is_better_coded(name: &str, data_type: &DataType) -> bool {
    coded(data_type).is_some() || (codes::is_few(name) && *data_type == DataType::Utf8)
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The type in which a map of text is read.
fn coded(map: &DataType) -> Option<DataType> {
    let DataType::Map(entries, sorted) = map else { return None };
    let DataType::Struct(fields) = entries.data_type() else { return None };
    let [key, value] = &fields[..] else { return None };
    if *key.data_type() != DataType::Utf8 || *value.data_type() != DataType::Utf8 {
        return None;
    }
    let key = key.as_ref().clone().with_data_type(dictionary());
    let value = value.as_ref().clone().with_data_type(DataType::Utf8View);
    let inside = DataType::Struct(vec![key, value].into());
    let entries = Field::new(entries.name(), inside, entries.is_nullable());
    Some(DataType::Map(Arc::new(entries), *sorted))
}

fn is_coded(map: &DataType) -> bool {
    let DataType::Map(entries, _) = map else { return false };
    let DataType::Struct(fields) = entries.data_type() else { return false };
    matches!(&fields[..], [key, value]
        if *key.data_type() == dictionary() && *value.data_type() == DataType::Utf8View)
}

/// Makes what DataFusion makes for a file, then finds what works on codes.
#[derive(Debug)]
pub(super) struct Adapters;

impl PhysicalExprAdapterFactory for Adapters {
    fn create(
        &self,
        logical: SchemaRef,
        physical: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let inner = DefaultPhysicalExprAdapterFactory.create(logical, physical.clone())?;
        let absent = absent::keys(&physical);
        Ok(Arc::new(Adapter { inner, physical, absent }))
    }
}

#[derive(Debug)]
struct Adapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    physical: SchemaRef,
    absent: absent::Keys,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let coded = |expr: Arc<dyn PhysicalExpr>| match self.coded(&expr)? {
            Some(coded) => Ok(Transformed::yes(coded)),
            None => Ok(Transformed::no(expr)),
        };
        self.inner.rewrite(expr)?.transform_up(coded).data()
    }
}

impl Adapter {
    fn coded(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() else { return Ok(None) };
        if self.is_absent(call) {
            return Ok(Some(Arc::new(Literal::new(ScalarValue::Utf8(None)))));
        }
        if let Some(lookup) = self.lookup(call)? {
            return Ok(Some(Arc::new(lookup)));
        }
        // `text_code(CAST(column AS …))`: the dictionary will do.
        let [text] = call.args() else { return Ok(None) };
        let Some(cast) = text.downcast_ref::<CastExpr>() else { return Ok(None) };
        let takes = codes::is_text_code(call.fun())
            && cast.expr().data_type(&self.physical)? == dictionary();
        Ok(takes.then(|| {
            let fun = Arc::new(call.fun().clone());
            let returns = Arc::new(Field::new(call.name(), DataType::Int32, true));
            let config = Arc::new(call.config_options().clone());
            let args = vec![cast.expr().clone()];
            Arc::new(ScalarFunctionExpr::new(call.name(), fun, args, returns, config)) as _
        }))
    }

    /// Whether no map of the file has the key.
    fn is_absent(&self, call: &ScalarFunctionExpr) -> bool {
        let [map, key] = call.args() else { return false };
        let map = map.downcast_ref::<CastExpr>().map_or(map, |cast| cast.expr());
        let key = key.downcast_ref::<Literal>().and_then(|key| key.value().try_as_str()).flatten();
        let (Some(map), Some(key)) = (map.downcast_ref::<Column>(), key) else { return false };
        attributes::is_access(call.fun())
            && *call.return_type() == DataType::Utf8
            && self.absent.contains(&(map.name().to_owned(), key.to_owned()))
    }

    /// `get_field(CAST(map AS …), 'k')`, of a map that is read coded.
    fn lookup(&self, call: &ScalarFunctionExpr) -> Result<Option<Lookup>> {
        let [map, key] = call.args() else { return Ok(None) };
        let key = key.downcast_ref::<Literal>().and_then(|key| key.value().try_as_str()).flatten();
        let (Some(cast), Some(key)) = (map.downcast_ref::<CastExpr>(), key) else {
            return Ok(None);
        };
        let found = attributes::is_access(call.fun())
            && *call.return_type() == DataType::Utf8
            && is_coded(&cast.expr().data_type(&self.physical)?);
        Ok(found.then(|| Lookup { map: cast.expr().clone(), key: key.to_owned() }))
    }
}

/// The value under a key of a coded map, as text.
#[derive(Debug, Eq)]
struct Lookup {
    map: Arc<dyn PhysicalExpr>,
    key: String,
}

// Derived ones would move the expression out (rust-lang/rust#78808).
impl PartialEq for Lookup {
    fn eq(&self, other: &Self) -> bool {
        self.map.eq(&other.map) && self.key == other.key
    }
}

impl Hash for Lookup {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.map.hash(state);
        self.key.hash(state);
    }
}

impl Display for Lookup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.map, self.key)
    }
}

impl PhysicalExpr for Lookup {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.map]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(map) => Ok(Arc::new(Lookup { map, key: self.key.clone() })),
            None => internal_err!("a lookup has a map"),
        }
    }

    fn fmt_sql(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.map.evaluate(batch)?.into_array(batch.num_rows())?;
        let map = array.as_map();
        let keys = map.keys().as_dictionary::<Int32Type>();
        let names = keys.values().as_string::<i32>();
        // A dictionary put together from several may say a name twice.
        let same = names.iter().map(|name| name == Some(self.key.as_str()));
        let wanted: Vec<bool> = same.collect();
        if !wanted.contains(&true) {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None)));
        }
        let codes = keys.keys().values();
        let is_wanted = |at: usize| wanted[codes[at] as usize];
        let (offsets, values) = (map.value_offsets(), map.values().as_string_view());
        let mut found = StringBuilder::with_capacity(map.len(), map.len() * 16);
        // Rows that follow each other mostly have the same keys.
        let mut place = 0;
        for (row, ends) in offsets.windows(2).enumerate() {
            let (from, to) = (ends[0] as usize, ends[1] as usize);
            let at = match from + place < to && is_wanted(from + place) {
                true => Some(from + place),
                false => (from..to).find(|at| is_wanted(*at)),
            };
            match at.filter(|at| map.is_valid(row) && values.is_valid(*at)) {
                Some(at) => {
                    place = at - from;
                    found.append_value(values.value(at));
                }
                None => found.append_null(),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(found.finish())))
    }
}
