//! One access to an attribute, in the forms that its surroundings need.

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::functions::core::expr_fn::{coalesce, get_field};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, cast, lit, try_cast};
use schema::ColumnType;

/// Integers up to here are exact as doubles.
const EXACT: i64 = 1 << 53;

/// A key of a map column, and the column that it was promoted to, if it was.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub map: Expr,
    pub key: String,
    pub promoted: Option<(Column, ColumnType)>,
}

impl Access {
    fn in_map(&self) -> Expr {
        get_field(self.map.clone(), self.key.as_str())
    }

    /// The value as the map would hold it.
    pub fn text(&self) -> Expr {
        let Some((column, kind)) = &self.promoted else { return self.in_map() };
        let column = Expr::Column(column.clone());
        let text = match kind {
            ColumnType::Text => column,
            _ => cast(column, DataType::Utf8),
        };
        coalesce(vec![text, self.in_map()])
    }

    /// The value as a number of a type; NULL where it is none.
    pub fn number(&self, of: &DataType) -> Expr {
        match &self.promoted {
            Some((column, ColumnType::Int | ColumnType::Double)) => coalesce(vec![
                cast(Expr::Column(column.clone()), of.clone()),
                try_cast(self.in_map(), of.clone()),
            ]),
            _ => try_cast(self.text(), of.clone()),
        }
    }

    /// `self op other`, as a number when the other side is one.
    pub fn compared(
        &self,
        op: Operator,
        other: &Expr,
        other_type: &DataType,
        filter: bool,
    ) -> Expr {
        let compare = |left: Expr, right: Expr| {
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
        };
        let whole = match number_type(other, other_type) {
            Some(of) => compare(self.number(&of), cast(other.clone(), of)),
            None => compare(self.text(), other.clone()),
        };
        let ordered = matches!(
            op,
            Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
        );
        match self.as_stored(other).filter(|_| filter && ordered) {
            Some((column, value)) if op == Operator::Eq || self.same_order(other) => {
                guarded(compare(column.clone(), value), column, whole)
            }
            _ => whole,
        }
    }

    /// `self [NOT] IN (list)`.
    pub fn among(&self, list: &[Expr], negated: bool, filter: bool) -> Expr {
        let whole = match common_number_type(list) {
            Some(of) => {
                let list = list.iter().map(|item| cast(item.clone(), of.clone())).collect();
                Expr::InList(InList::new(Box::new(self.number(&of)), list, negated))
            }
            None => Expr::InList(InList::new(Box::new(self.text()), list.to_vec(), negated)),
        };
        let stored: Option<Vec<(Expr, Expr)>> =
            list.iter().map(|item| self.as_stored(item)).collect();
        match stored {
            Some(stored) if filter && !negated && !stored.is_empty() => {
                let column = stored[0].0.clone();
                let values = stored.into_iter().map(|(_, value)| value).collect();
                let part = Expr::InList(InList::new(Box::new(column.clone()), values, false));
                guarded(part, column, whole)
            }
            _ => whole,
        }
    }

    /// The promoted column and a literal in its own type, if the literal
    /// equals exactly those values that the access equals.
    fn as_stored(&self, other: &Expr) -> Option<(Expr, Expr)> {
        let (column, kind) = self.promoted.as_ref()?;
        let Expr::Literal(value, _) = other else { return None };
        let text = value.try_as_str().flatten();
        let value = match (kind, text) {
            (ColumnType::Text, Some(_)) => other.clone(),
            // `0500` is no integer's text, though it parses as one.
            (ColumnType::Int, Some(text)) => {
                lit(text.parse::<i64>().ok().filter(|int| int.to_string() == text)?)
            }
            (ColumnType::Int | ColumnType::Double, None) if is_number(&value.data_type()) => {
                exact(value)?;
                other.clone()
            }
            _ => return None,
        };
        Some((Expr::Column(column.clone()), value))
    }

    /// Numbers sort unlike their texts: `'9' > '10'`.
    fn same_order(&self, other: &Expr) -> bool {
        let is_text = matches!(other, Expr::Literal(value, _) if value.try_as_str().is_some());
        matches!((&self.promoted, is_text), (Some((_, ColumnType::Text)), true))
            || matches!(&self.promoted, Some((_, kind)) if *kind != ColumnType::Text && !is_text)
    }
}

/// Equal to `whole` for all values of column and map: where the column has a
/// value, `part` and `whole` are the same comparison; where it has none, the
/// first half is true.
fn guarded(part: Expr, column: Expr, whole: Expr) -> Expr {
    part.or(column.is_null()).and(whole)
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() && !matches!(data_type, DataType::Null)
}

/// An integer that a double holds exactly, or any finite double.
fn exact(value: &ScalarValue) -> Option<()> {
    match value {
        ScalarValue::Float64(Some(double)) => double.is_finite().then_some(()),
        other => match other.cast_to(&DataType::Int64).ok()? {
            ScalarValue::Int64(Some(int)) => (-EXACT < int && int < EXACT).then_some(()),
            _ => None,
        },
    }
}

/// The type in which an access is compared with a number; `None` when the
/// other side is no number.
fn number_type(other: &Expr, other_type: &DataType) -> Option<DataType> {
    if !is_number(other_type) {
        return None;
    }
    match other {
        Expr::Literal(value, _) if other_type.is_integer() && exact(value).is_none() => {
            Some(DataType::Int64)
        }
        _ => Some(DataType::Float64),
    }
}

/// The one type in which an access is compared with a list of numbers; `None`
/// when the list holds anything else.
fn common_number_type(list: &[Expr]) -> Option<DataType> {
    let mut whole = true;
    let mut wide = false;
    for item in list {
        let Expr::Literal(value, _) = item else { return None };
        let data_type = value.data_type();
        wide |= number_type(item, &data_type)? == DataType::Int64;
        whole &= data_type.is_integer();
    }
    (!list.is_empty()).then_some(if whole && wide { DataType::Int64 } else { DataType::Float64 })
}
