//! Short names for the aggregates that telemetry asks for most. Each is
//! rewritten into the engine's own before it runs.

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, not_impl_err};
use datafusion::functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility, cast, lit,
};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Meaning {
    /// `p95(x)`: the value that this many percent of the values do not exceed.
    Percentile(u8),
    /// `quantile(x, 0.95)`.
    Quantile,
    /// `error_ratio(is_error)`: the part of the rows for which it is true.
    Ratio,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Short {
    name: &'static str,
    meaning: Meaning,
    signature: Signature,
}

pub(super) fn all() -> Vec<Arc<AggregateUDF>> {
    use DataType::{Boolean, Float64};
    let short = |name, meaning, args| {
        let signature = Signature::exact(args, Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(Short { name, meaning, signature }))
    };
    vec![
        short("p50", Meaning::Percentile(50), vec![Float64]),
        short("p90", Meaning::Percentile(90), vec![Float64]),
        short("p95", Meaning::Percentile(95), vec![Float64]),
        short("p99", Meaning::Percentile(99), vec![Float64]),
        short("quantile", Meaning::Quantile, vec![Float64, Float64]),
        short("error_ratio", Meaning::Ratio, vec![Boolean]),
    ]
}

fn rewritten(call: AggregateFunction, meaning: Meaning) -> Result<Expr, DataFusionError> {
    let AggregateFunctionParams { args, distinct, filter, null_treatment, .. } = call.params;
    let mut args = args.into_iter();
    let (Some(value), second) = (args.next(), args.next()) else {
        return datafusion::common::plan_err!("{} needs an argument", call.func.name());
    };
    let value = cast(value, DataType::Float64);
    let (func, args, order) = match meaning {
        Meaning::Ratio => (avg_udaf(), vec![value], Vec::new()),
        Meaning::Percentile(percent) => {
            let part = lit(f64::from(percent) / 100.0);
            (
                approx_percentile_cont_udaf(),
                vec![value.clone(), part],
                vec![value.sort(true, false)],
            )
        }
        Meaning::Quantile => {
            let part = second.unwrap_or_else(|| lit(0.5));
            (
                approx_percentile_cont_udaf(),
                vec![value.clone(), part],
                vec![value.sort(true, false)],
            )
        }
    };
    let call = AggregateFunction::new_udf(func, args, distinct, filter, order, null_treatment);
    Ok(Expr::AggregateFunction(call))
}

impl AggregateUDFImpl for Short {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>, DataFusionError> {
        not_impl_err!("{} over a window; approx_percentile_cont works there", self.name)
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let meaning = self.meaning;
        Some(Box::new(move |call, _| rewritten(call, meaning)))
    }
}
