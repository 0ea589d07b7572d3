//! Operators as functions, so that a guard fits them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{DataFusionError, internal_err};
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{self, Column, LikeExpr, Literal};

use super::Guarded;
use super::cost::Rule;

/// What stands between two operands whose types are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Binary(Operator),
    Like { negated: bool, case_insensitive: bool },
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Operated {
    kind: Kind,
    signature: Signature,
}

/// The operator of an expression under a guard; the expression itself, if it
/// needs none.
pub(super) fn guarded(expr: Expr) -> Result<Expr, Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let rule = match op {
                Operator::StringConcat => Rule::Joins,
                Operator::RegexMatch
                | Operator::RegexIMatch
                | Operator::RegexNotMatch
                | Operator::RegexNotIMatch => Rule::Matches,
                _ => return Err(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            };
            Ok(call(Kind::Binary(op), rule, *left, *right))
        }
        Expr::Like(like) if like.escape_char.is_none() => {
            let Like { negated, expr, pattern, case_insensitive, .. } = like;
            Ok(call(Kind::Like { negated, case_insensitive }, Rule::Likes, *expr, *pattern))
        }
        Expr::SimilarTo(like) if like.escape_char.is_none() => {
            let op = match (like.negated, like.case_insensitive) {
                (false, false) => Operator::RegexMatch,
                (false, true) => Operator::RegexIMatch,
                (true, false) => Operator::RegexNotMatch,
                (true, true) => Operator::RegexNotIMatch,
            };
            Ok(call(Kind::Binary(op), Rule::Matches, *like.expr, *like.pattern))
        }
        other => Err(other),
    }
}

fn call(kind: Kind, rule: Rule, left: Expr, right: Expr) -> Expr {
    let signature = Signature::any(2, Volatility::Immutable);
    let inner = Arc::new(ScalarUDF::new_from_impl(Operated { kind, signature }));
    let function = Arc::new(ScalarUDF::new_from_impl(Guarded { inner, rule }));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![left, right]))
}

impl Operated {
    fn symbol(&self) -> &'static str {
        match self.kind {
            Kind::Binary(Operator::StringConcat) => "||",
            Kind::Binary(Operator::RegexMatch) => "~",
            Kind::Binary(Operator::RegexIMatch) => "~*",
            Kind::Binary(Operator::RegexNotMatch) => "!~",
            Kind::Binary(_) => "!~*",
            Kind::Like { negated: false, case_insensitive: false } => "LIKE",
            Kind::Like { negated: false, case_insensitive: true } => "ILIKE",
            Kind::Like { negated: true, case_insensitive: false } => "NOT LIKE",
            Kind::Like { negated: true, case_insensitive: true } => "NOT ILIKE",
        }
    }
}

impl ScalarUDFImpl for Operated {
    fn name(&self) -> &str {
        self.symbol()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String, DataFusionError> {
        match args {
            [left, right] => {
                Ok(format!("{} {} {}", left.schema_name(), self.symbol(), right.schema_name()))
            }
            _ => internal_err!("{} stands between two", self.symbol()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match (self.kind, types) {
            (Kind::Like { .. }, _) => Ok(DataType::Boolean),
            (Kind::Binary(op), [left, right]) => {
                BinaryTypeCoercer::new(left, &op, right).get_result_type()
            }
            _ => internal_err!("{} stands between two", self.symbol()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef, DataFusionError> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.symbol(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut operands: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        for (value, field) in args.args.into_iter().zip(&args.arg_fields) {
            operands.push(match value {
                ColumnarValue::Scalar(scalar) => Arc::new(Literal::new(scalar)),
                ColumnarValue::Array(array) => {
                    let at = columns.len();
                    fields.push(Field::new(field.name(), array.data_type().clone(), true));
                    columns.push(array);
                    Arc::new(Column::new(field.name(), at))
                }
            });
        }
        let schema = Arc::new(Schema::new(fields));
        let rows = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?;
        let (Some(right), Some(left), None) = (operands.pop(), operands.pop(), operands.pop())
        else {
            return internal_err!("{} stands between two", self.symbol());
        };
        let expression: Arc<dyn PhysicalExpr> = match self.kind {
            Kind::Binary(op) => expressions::binary(left, op, right, &schema)?,
            Kind::Like { negated, case_insensitive } => {
                Arc::new(LikeExpr::new(negated, case_insensitive, left, right))
            }
        };
        expression.evaluate(&batch)
    }
}
