//! By the bounds that a snapshot carries per file and column.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, UInt64Array};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use schema::table::PARTITION;
use storage::{ColumnStats, DataFile, StatValue};

/// The files that may hold a row for which `predicate` is true.
pub(crate) fn by_statistics(
    predicate: Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    files: Vec<Arc<DataFile>>,
) -> Vec<Arc<DataFile>> {
    let of = Files { schema, files: &files };
    let verdict = PruningPredicateBuilder::new()
        .with_file_schema(schema.clone())
        .try_build(predicate)
        .and_then(|pruning| pruning.prune(&of));
    match verdict {
        Ok(may_match) => {
            let pairs = files.into_iter().zip(may_match);
            pairs.filter_map(|(file, may_match)| may_match.then_some(file)).collect()
        }
        Err(error) => {
            tracing::debug!(error = %error, "a predicate cannot prune");
            files
        }
    }
}

/// A bound as a value of its column's type; `None` when it is of another.
pub(crate) fn scalar(value: &StatValue, data_type: &DataType) -> Option<ScalarValue> {
    Some(match (value, data_type) {
        (StatValue::Bool(v), DataType::Boolean) => ScalarValue::Boolean(Some(*v)),
        (StatValue::Int(v), DataType::Int64) => ScalarValue::Int64(Some(*v)),
        (StatValue::Int(v), DataType::Int32) => ScalarValue::Int32(Some(i32::try_from(*v).ok()?)),
        (StatValue::Double(v), DataType::Float64) => ScalarValue::Float64(Some(*v)),
        (StatValue::Text(v), DataType::Utf8) => ScalarValue::Utf8(Some(v.clone())),
        (StatValue::Timestamp(v), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*v), zone.clone())
        }
        _ => return None,
    })
}

struct Files<'a> {
    schema: &'a SchemaRef,
    files: &'a [Arc<DataFile>],
}

impl Files<'_> {
    fn bounds(
        &self,
        column: &Column,
        of: fn(&ColumnStats) -> &Option<StatValue>,
    ) -> Option<ArrayRef> {
        if column.name == PARTITION {
            let dates = self.files.iter().map(|file| file.date);
            return Some(Arc::new(Date32Array::from_iter_values(dates)));
        }
        let field = self.schema.field_with_name(&column.name).ok()?;
        let null = ScalarValue::try_from(field.data_type()).ok()?;
        let values = self.files.iter().map(|file| {
            let known = file.stats.get(&column.name).and_then(|stats| of(stats).as_ref());
            known.and_then(|v| scalar(v, field.data_type())).unwrap_or_else(|| null.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for Files<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| &stats.min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| &stats.max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts = self.files.iter().map(|file| match column.name == PARTITION {
            true => Some(0),
            false => file.stats.get(&column.name).and_then(|stats| stats.null_count),
        });
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.files.iter().map(|file| file.rows))))
    }

    /// Bloom filters are in the files; they are asked when one is opened.
    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
