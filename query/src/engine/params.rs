//! Values of `$1`, `$2`, ….

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
use parking_lot::Mutex;
use serde_json::Value;

use crate::Error;

/// Values for a statement's parameters, in their order.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<ScalarValue>);

impl Params {
    /// Of values whose types a protocol says.
    pub(crate) fn of(values: Vec<ScalarValue>) -> Params {
        Params(values)
    }

    /// Of text, numbers, booleans and nulls.
    ///
    /// # Errors
    ///
    /// `Invalid` for an array or an object.
    pub fn from_json(values: &[Value]) -> Result<Params, Error> {
        Ok(Params(values.iter().map(scalar).collect::<Result<_, _>>()?))
    }

    fn too_few(&self, wanted: usize) -> Error {
        let given = self.0.len();
        let error = format!("the statement has {wanted} parameters and {given} values were given");
        Error::invalid(error).with_hint("give one value per $1, $2, …")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the values in the place of the parameters.
    pub(super) fn bind(self, plan: LogicalPlan) -> Result<LogicalPlan, Error> {
        let wanted = wanted(&plan)?.len();
        if wanted > self.0.len() {
            return Err(self.too_few(wanted));
        }
        if wanted == 0 {
            return Ok(plan);
        }
        Ok(plan.with_param_values(ParamValues::from(self.0))?)
    }
}

/// Values for parameters that stand in the arguments of functions in FROM. These
/// are called while the statement is planned, before values are put elsewhere.
#[derive(Debug)]
pub(crate) struct Given {
    values: Params,
    described: bool,
    /// Types of those that were asked for, by their place.
    asked: Mutex<BTreeMap<usize, DataType>>,
}

impl Given {
    pub fn new(values: Params, described: bool) -> Given {
        Given { values, described, asked: Mutex::default() }
    }

    /// The value of `$1`, `$2`, …. A statement that is only described may have
    /// none yet: then the `sample`, whose type is the one that it should have.
    pub fn value(&self, id: &str, sample: ScalarValue) -> Result<ScalarValue, Error> {
        let index = place(id)?;
        self.asked.lock().insert(index, sample.data_type());
        match self.values.0.get(index) {
            Some(value) => Ok(value.clone()),
            None if self.described => Ok(sample),
            None => Err(self.values.too_few(index + 1)),
        }
    }

    /// All parameters of a statement, given those that stand elsewhere.
    pub fn with(&self, mut wanted: Wanted) -> Wanted {
        for (index, data_type) in self.asked.lock().iter() {
            wanted.resize(wanted.len().max(index + 1), None);
            wanted[*index].get_or_insert_with(|| data_type.clone());
        }
        wanted
    }
}

/// Where the value of `$1`, `$2`, … stands.
fn place(id: &str) -> Result<usize, Error> {
    /// As many as the Postgres protocol can count.
    const MOST: usize = i16::MAX as usize;
    let number = id.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
    match number {
        Some(number @ 1..=MOST) => Ok(number - 1),
        _ => Err(Error::invalid(format!("{id} is not a parameter"))
            .with_hint("parameters are $1, $2, …")),
    }
}

/// A parameter's type, where its place in the statement tells.
pub(super) type Wanted = Vec<Option<DataType>>;

/// The types of `$1` to the highest number that the statement names.
pub(super) fn wanted(plan: &LogicalPlan) -> Result<Wanted, Error> {
    let mut types = Vec::new();
    let cast = cast_to(plan)?;
    for (name, known) in plan.get_parameter_types()? {
        let known = known.or_else(|| cast.get(&name).cloned());
        let index = place(&name)?;
        types.resize(types.len().max(index + 1), None);
        types[index] = known;
    }
    Ok(types)
}

/// `$1::bigint`: the type that a parameter is cast to is the one it should have.
fn cast_to(plan: &LogicalPlan) -> Result<HashMap<String, DataType>, Error> {
    let mut types = HashMap::new();
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Cast(Cast { expr, field }) = expr
                    && let Expr::Placeholder(placeholder) = expr.as_ref()
                {
                    types.insert(placeholder.id.clone(), field.data_type().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(types)
}

fn scalar(value: &Value) -> Result<ScalarValue, Error> {
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
        Value::String(text) => ScalarValue::Utf8(Some(text.clone())),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => ScalarValue::Int64(Some(int)),
            (None, Some(double)) => ScalarValue::Float64(Some(double)),
            (None, None) => return Err(Error::invalid("a parameter is a number of no known type")),
        },
        Value::Array(_) | Value::Object(_) => {
            return Err(Error::invalid("a parameter is an array or an object")
                .with_hint("pass each value of a list as its own parameter"));
        }
    })
}
