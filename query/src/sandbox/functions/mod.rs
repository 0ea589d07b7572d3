//! Functions that a shared node cannot offer as they are (S20, S22).
//!
//! The engine evaluates a function over a batch at once, and does not ask what
//! that takes. A [`guard`] knows for each function that can take much how much
//! a row makes and costs at most ([`cost`]). It divides the batch into pieces
//! of bounded size, asks before each whether the statement has to stop
//! ([`Stop::work`]), and fails the statement when a piece would be too large
//! even by itself.
//!
//! | file | what |
//! | --- | --- |
//! | this | what is absent; [`Guarded`], a function in pieces |
//! | [`cost`] | what a row of each function makes and costs at most |
//! | [`pattern`] | regular expressions by their size |
//! | [`operators`] | `||`, `~`, `LIKE` as functions, so that they are guarded too |
//! | [`guard`] | the rules of planning that put guards in place |

mod cost;
pub(crate) mod guard;
mod operators;
mod pattern;

use std::sync::Arc;

use arrow::array::Array;
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, ExprSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};
use schema::ErrorKind;

use crate::Error;
use crate::engine::{size, stop::Stop};
use cost::{Cost, Costs, Rule};

/// Absent: they show object paths, or build lists of any length out of two
/// numbers (as table functions `range` and `generate_series` stream and stay).
const ABSENT: [&str; 6] = [
    "input_file_name",
    "file_row_index",
    "range",
    "generate_series",
    "array_repeat",
    "array_resize",
];

/// Bytes that one call over one batch may make. Functions that only change what
/// they are given ([`Rule::Keeps`]) may make that beyond it.
const MAX_MADE: usize = 64 << 20;

/// A piece makes and costs no more than this, unless it is one row.
const PIECE: Cost = Cost { makes: 16 << 20, works: 16 << 20 };

/// A row may cost this: below a second of what cannot be interrupted.
const MAX_WORK: usize = 256 << 20;

/// The scalar functions of a session, out of the engine's own.
pub(crate) fn allowed(all: Vec<Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    all.into_iter().filter(|f| !ABSENT.contains(&f.name())).collect()
}

/// A function that is evaluated in pieces of bounded size.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Guarded {
    inner: Arc<ScalarUDF>,
    rule: Rule,
}

impl Guarded {
    fn evaluate(
        &self,
        args: ScalarFunctionArgs,
        stop: &Stop,
    ) -> Result<ColumnarValue, DataFusionError> {
        let name = self.inner.name();
        let whole = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if whole { 1 } else { args.number_rows };
        let costs = Costs::of(self.rule, name, &args.args, rows)?;
        let room = match self.rule {
            Rule::Keeps => costs.given().saturating_add(MAX_MADE),
            _ => MAX_MADE,
        };
        let (pieces, makes) = pieces(&costs, rows, name)?;
        if self.rule.is_exact() && makes > room {
            return Err(too_much(name, room).into());
        }
        if whole {
            let value = stop.work(|| self.inner.invoke_with_args(args))?;
            if let ColumnarValue::Scalar(constant) = &value {
                stop.constant(constant.size())?;
            }
            return Ok(value);
        }
        if pieces.len() <= 1 {
            return stop.work(|| self.inner.invoke_with_args(args));
        }
        let mut made = 0usize;
        let mut working = stop.working();
        let mut parts = Vec::with_capacity(pieces.len());
        for (from, rows) in pieces {
            let piece = slice(&args, from, rows);
            let part = stop.work(|| self.inner.invoke_with_args(piece))?.to_array(rows)?;
            made += size::total(&part);
            working.set(made);
            if made > room {
                return Err(too_much(name, room).into());
            }
            parts.push(part);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

/// Divides rows, in order, into pieces by what they cost; and what all make.
fn pieces(costs: &Costs, rows: usize, name: &str) -> Result<(Vec<(usize, usize)>, usize), Error> {
    let (mut pieces, mut makes) = (Vec::new(), 0usize);
    let (mut from, mut sum) = (0, Cost::default());
    for row in 0..rows {
        let cost = costs.at(row)?;
        if cost.makes > MAX_MADE {
            let error = format!("{name} would make more than {} MiB of one row", MAX_MADE >> 20);
            return Err(Error::invalid(error));
        }
        if cost.works > MAX_WORK {
            return Err(Error::invalid(format!("{name} has too much to do for one row"))
                .with_hint("give it less of the text or list: left(body, 1000)"));
        }
        makes = makes.saturating_add(cost.makes);
        let with = sum.plus(cost);
        if row > from && (with.makes > PIECE.makes || with.works > PIECE.works) {
            pieces.push((from, row - from));
            (from, sum) = (row, cost);
        } else {
            sum = with;
        }
    }
    pieces.push((from, rows - from));
    Ok((pieces, makes))
}

fn slice(args: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let slice = |arg: &ColumnarValue| match arg {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        ColumnarValue::Scalar(scalar) => ColumnarValue::Scalar(scalar.clone()),
    };
    ScalarFunctionArgs {
        args: args.args.iter().map(slice).collect(),
        arg_fields: args.arg_fields.clone(),
        number_rows: rows,
        return_field: args.return_field.clone(),
        config_options: args.config_options.clone(),
    }
}

fn too_much(name: &str, room: usize) -> Error {
    Error::new(ErrorKind::TooLarge, format!("{name} makes more than {room} bytes of one batch"))
        .with_hint("shorten what it is given, or select fewer rows: left(body, 1000)")
}

/// The statement that asks; a plan that belongs to none is let through.
fn stop_of(options: &ConfigOptions) -> Option<&Stop> {
    options.extensions.get::<Stop>()
}

impl ScalarUDFImpl for Guarded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String, DataFusionError> {
        self.inner.schema_name(args)
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

    fn is_nullable(&self, args: &[Expr], schema: &dyn ExprSchema) -> bool {
        #[expect(deprecated, reason = "what stands inside may still say it this way")]
        self.inner.is_nullable(args, schema)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.inner.coerce_types(types)
    }

    /// What others simplify to would be without a guard.
    fn simplify(
        &self,
        args: Vec<Expr>,
        info: &SimplifyContext,
    ) -> Result<ExprSimplifyResult, DataFusionError> {
        match self.inner.name() {
            "regexp_like" => self.inner.simplify(args, info),
            _ => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn output_ordering(
        &self,
        inputs: &[ExprProperties],
    ) -> Result<SortProperties, DataFusionError> {
        self.inner.output_ordering(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let options = args.config_options.clone();
        match stop_of(&options) {
            Some(stop) => self.evaluate(args, stop).inspect_err(|error| {
                if let DataFusionError::External(own) = error
                    && let Some(own) = own.downcast_ref::<Error>()
                {
                    stop.refused(own);
                }
            }),
            None => self.inner.invoke_with_args(args),
        }
    }
}

/// The text of a scalar, if it is one and not null.
fn text_of(scalar: &ScalarValue) -> Option<&str> {
    scalar.try_as_str().flatten()
}
