//! Values of `$1`, `$2`, ….

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
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

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the values in the place of the parameters.
    pub(super) fn bind(self, plan: LogicalPlan) -> Result<LogicalPlan, Error> {
        let wanted = wanted(&plan)?.len();
        if wanted > self.0.len() {
            return Err(Error::invalid(format!(
                "the statement has {wanted} parameters and {} values were given",
                self.0.len()
            ))
            .with_hint("give one value per $1, $2, …"));
        }
        if wanted == 0 {
            return Ok(plan);
        }
        Ok(plan.with_param_values(ParamValues::from(self.0))?)
    }
}

/// A parameter's type, where its place in the statement tells.
pub(super) type Wanted = Vec<Option<DataType>>;

/// The types of `$1` to the highest number that the statement names.
pub(super) fn wanted(plan: &LogicalPlan) -> Result<Wanted, Error> {
    /// As many as the Postgres protocol can count.
    const MOST: usize = i16::MAX as usize;
    let mut types = Vec::new();
    let cast = cast_to(plan)?;
    for (name, known) in plan.get_parameter_types()? {
        let known = known.or_else(|| cast.get(&name).cloned());
        let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let Some(index @ 1..=MOST) = number else {
            return Err(Error::invalid(format!("{name} is not a parameter"))
                .with_hint("parameters are $1, $2, …"));
        };
        types.resize(types.len().max(index), None);
        types[index - 1] = known;
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
