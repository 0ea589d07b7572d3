//! `SUMMARIZE t`, `SUMMARIZE SELECT …`: a row about each column, as in DuckDB.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::functions::core::expr_fn::{get_field, named_struct};
use datafusion::functions_aggregate::expr_fn::{
    approx_distinct, approx_percentile_cont, avg, count, max, min, stddev,
};
use datafusion::functions_nested::make_array::make_array;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit, when};

use crate::catalog::describe::type_name;

const WORD: &str = "summarize";
const QUERIES: [&str; 4] = ["select", "with", "from", "values"];

/// The text without the word, and whether it began with it. What is left stands
/// where it stood.
pub(super) fn without_word(sql: &str) -> (Cow<'_, str>, bool) {
    let start = sql.len() - sql.trim_start().len();
    let word = sql.get(start..start + WORD.len());
    let rest = sql.get(start + WORD.len()..).unwrap_or_default();
    let is = word.is_some_and(|word| word.eq_ignore_ascii_case(WORD))
        && rest.starts_with(|c: char| c.is_whitespace() || c == '"' || c == '(');
    if !is {
        return (sql.into(), false);
    }
    let what = rest.trim_start();
    let first = what.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    let query = what.starts_with('(') || QUERIES.iter().any(|q| first.eq_ignore_ascii_case(q));
    let instead = if query { "         " } else { "FROM     " };
    (format!("{}{instead}{rest}", &sql[..start]).into(), true)
}

/// What there is to say of each column.
const SAID: [(&str, DataType); 12] = [
    ("column_name", DataType::Utf8),
    ("column_type", DataType::Utf8),
    ("min", DataType::Utf8),
    ("max", DataType::Utf8),
    ("approx_unique", DataType::Int64),
    ("avg", DataType::Float64),
    ("std", DataType::Float64),
    ("q25", DataType::Float64),
    ("q50", DataType::Float64),
    ("q75", DataType::Float64),
    ("count", DataType::Int64),
    ("null_percentage", DataType::Float64),
];

/// Rows in which columns of every kind are described, made in one pass.
pub(super) fn of(input: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let mut aggregates = vec![count(lit(1i64)).alias("rows")];
    let mut rows = Vec::new();
    for (n, (column, field)) in
        input.schema().columns().into_iter().zip(input.schema().fields()).enumerate()
    {
        let values = about(&column, field.data_type());
        let mut row = vec![lit(field.name().as_str()), lit(type_name(field.data_type()))];
        for (value, (name, of)) in values.into_iter().zip(&SAID[2..]) {
            let name = format!("{name}.{n}");
            row.push(match value {
                Some(value) => {
                    aggregates.push(value.alias(&name));
                    cast(Expr::Column(Column::from_name(name)), of.clone())
                }
                None => lit(ScalarValue::try_from(of)?),
            });
        }
        let filled = cast(row[10].clone(), DataType::Float64);
        let all = Expr::Column(Column::from_name("rows"));
        let share = lit(100.0) * (lit(1.0) - filled / cast(all.clone(), DataType::Float64));
        row.push(when(all.gt(lit(0i64)), share).end()?);
        let names = SAID.iter().map(|(name, _)| lit(*name));
        rows.push(named_struct(names.zip(row).flat_map(|(name, value)| [name, value]).collect()));
    }
    let said = SAID.iter().map(|(name, _)| get_field(col("row"), *name).alias(*name));
    LogicalPlanBuilder::from(input)
        .aggregate(Vec::<Expr>::new(), aggregates)?
        .project([make_array(rows).alias("row")])?
        .unnest_column("row")?
        .project(said)?
        .build()
}

/// From `min` to `count`; none where a type has no such thing.
fn about(column: &Column, of: &DataType) -> [Option<Expr>; 9] {
    let value = || Expr::Column(column.clone());
    let number = || cast(value(), DataType::Float64);
    let text = matches!(of, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
        || matches!(of, DataType::Dictionary(_, inner) if inner.is_string());
    let time = of.is_temporal() && !matches!(of, DataType::Interval(_));
    let ordered = of.is_numeric() || text || time;
    let distinct = of.is_integer() || text || time || *of == DataType::Boolean;
    let within = |q: f64| {
        of.is_numeric().then(|| approx_percentile_cont(number().sort(true, false), lit(q), None))
    };
    // A dictionary's own values are what is meant.
    let plain = || if text { cast(value(), DataType::Utf8) } else { value() };
    [
        ordered.then(|| cast(min(plain()), DataType::Utf8)),
        ordered.then(|| cast(max(plain()), DataType::Utf8)),
        distinct.then(|| approx_distinct(plain())),
        of.is_numeric().then(|| avg(number())),
        of.is_numeric().then(|| stddev(number())),
        within(0.25),
        within(0.5),
        within(0.75),
        Some(count(value())),
    ]
}
