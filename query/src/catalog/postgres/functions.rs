//! The functions that telemetry is asked for with, beside PostgreSQL's own in
//! `pg_proc`: what `\df` lists.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::super::PUBLIC;
use super::relations::{SCHEMAS, number};
use crate::functions::table::{ALL, Kind};

/// Functions outside of FROM: name, kind as in `pg_proc`, arguments, result.
const OTHERS: [(&str, &str, &str, &str); 8] = [
    ("attr", "f", "key text", "text"),
    ("time_bucket", "f", "stride interval, time timestamp with time zone", INSTANT),
    ("p50", "a", NUMBER, NUMBER),
    ("p90", "a", NUMBER, NUMBER),
    ("p95", "a", NUMBER, NUMBER),
    ("p99", "a", NUMBER, NUMBER),
    ("quantile", "a", "double precision, q double precision", NUMBER),
    ("error_ratio", "a", "boolean", NUMBER),
];

const NUMBER: &str = "double precision";
const INSTANT: &str = "timestamp with time zone";

struct Function {
    oid: i32,
    name: &'static str,
    kind: &'static str,
    arguments: String,
    result: &'static str,
}

fn all() -> Vec<Function> {
    let of = |name, kind, arguments, result| {
        let oid = number("pg_proc", name);
        Function { oid, name, kind, arguments, result }
    };
    let tables = ALL.iter().map(|form| {
        let mut arguments = String::new();
        for (name, kind) in form.arguments {
            let between = if arguments.is_empty() { "" } else { ", " };
            let of = match kind {
                Kind::Text => "text",
                Kind::Number => NUMBER,
                Kind::Interval => "interval",
                Kind::Instant => INSTANT,
            };
            // Writing to a String cannot fail.
            write!(arguments, "{between}{name} {of}").ok();
        }
        of(form.name, "f", arguments, "SETOF record")
    });
    let others = OTHERS
        .iter()
        .map(|(name, kind, arguments, result)| of(name, kind, (*arguments).to_owned(), result));
    tables.chain(others).collect()
}

/// `pg_proc`: PostgreSQL's own, and these. What nobody asks of a function is as
/// it is for the first of PostgreSQL's.
pub(super) fn table() -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let theirs = &super::fixed()?.pg_proc;
    let (schema, mut batches) = (theirs.schema(), theirs.data().to_vec());
    let all = all();
    let public = SCHEMAS.iter().find(|(name, _)| *name == PUBLIC).map_or(0, |(_, oid)| *oid);
    if let Some(first) = batches.iter().find(|batch| batch.num_rows() > 0) {
        let same = UInt32Array::from(vec![0; all.len()]);
        let columns = schema.fields().iter().zip(first.columns()).map(|(field, column)| {
            let own: ArrayRef = match field.name().as_str() {
                "oid" => Arc::new(Int32Array::from_iter_values(all.iter().map(|f| f.oid))),
                "pronamespace" => Arc::new(Int32Array::from(vec![public; all.len()])),
                "proname" => Arc::new(StringArray::from_iter_values(all.iter().map(|f| f.name))),
                "prokind" => Arc::new(StringArray::from_iter_values(all.iter().map(|f| f.kind))),
                _ => return take(column, &same, None),
            };
            cast(&own, field.data_type())
        });
        let columns = columns.collect::<Result<_, _>>()?;
        batches.push(RecordBatch::try_new(schema.clone(), columns)?);
    }
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
}

/// What says how a function is called, and what it gives.
pub(crate) fn told() -> impl Iterator<Item = ScalarUDF> {
    [
        ("pg_get_function_arguments", false),
        ("pg_get_function_identity_arguments", false),
        ("pg_get_function_result", true),
    ]
    .into_iter()
    .map(|(name, result)| {
        let signature = Signature::any(1, Volatility::Stable);
        ScalarUDF::new_from_impl(Told { name, result, signature })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Told {
    name: &'static str,
    result: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Told {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    /// NULL for PostgreSQL's own.
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let all = all();
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(oids) = arrays.first() else {
            return datafusion::common::plan_err!("{} needs the number of a function", self.name);
        };
        let oids = cast(oids, &DataType::Int32)?;
        let texts = oids.as_primitive::<Int32Type>().iter().map(|oid| {
            let function = all.iter().find(|function| Some(function.oid) == oid)?;
            Some(if self.result { function.result } else { function.arguments.as_str() })
        });
        Ok(ColumnarValue::Array(Arc::new(texts.collect::<StringArray>())))
    }
}
