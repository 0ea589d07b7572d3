//! Bounds and null counts per column, taken from the footer that the Parquet
//! writer has just made, so that no value is compared twice.
//!
//! Sound before tight: a bound may lie outside what occurs, never inside. The
//! writer cuts text to 64 bytes and rounds a cut maximum up; doubles are
//! widened here, because JSON does not bring each back to the last bit. A
//! column with a NaN has no bounds at all, and ±infinity is no bound.

use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::statistics::Statistics;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, SchemaRef, TimeUnit};

use crate::{ColumnStats, FileStats, StatValue};

/// Bytes beyond which a text bound is not worth its place in the log. The
/// writer exceeds its own 64 only where no shorter text is greater.
const LONGEST_TEXT: usize = 256;

/// Whether a column of this type gets bounds.
pub fn bounded(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int32
            | DataType::Int64
            | DataType::Float64
            | DataType::Utf8
            | DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}

/// Leaves of a column of this type; Parquet counts them.
pub fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(field) | DataType::Map(field, _) => leaves(field.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        DataType::Dictionary(_, values) => leaves(values),
        _ => 1,
    }
}

/// The leaf that each top-level column starts with.
pub fn first_leaves(schema: &SchemaRef) -> Vec<usize> {
    let count = |next: &mut usize, field: &arrow::datatypes::FieldRef| {
        let first = *next;
        *next += leaves(field.data_type());
        Some(first)
    };
    schema.fields().iter().scan(0, count).collect()
}

/// Columns in which a NaN was seen; Parquet's statistics pass over them.
#[derive(Debug, Default)]
pub struct Nans(Vec<usize>);

impl Nans {
    pub fn look(&mut self, rows: &RecordBatch) {
        for (index, column) in rows.columns().iter().enumerate() {
            if *column.data_type() == DataType::Float64
                && !self.0.contains(&index)
                && column.as_primitive::<Float64Type>().values().iter().any(|v| v.is_nan())
            {
                self.0.push(index);
            }
        }
    }
}

/// What the footer of a file with this schema says of its columns.
pub fn from_footer(schema: &SchemaRef, footer: &ParquetMetaData, nans: &Nans) -> FileStats {
    let columns = schema.fields().iter().zip(first_leaves(schema)).enumerate();
    let columns = columns.filter(|(_, (field, _))| bounded(field.data_type()));
    let stats = columns.map(|(index, (field, leaf))| {
        let chunks = footer.row_groups().iter().map(|group| group.column(leaf));
        let mut of = Column::default();
        for chunk in chunks {
            of.chunk(field.data_type(), chunk.statistics(), chunk.num_values());
        }
        if nans.0.contains(&index) {
            (of.no_min, of.no_max) = (true, true);
        }
        (field.name(), of.finish())
    });
    stats.collect()
}

/// A column over the row groups of a file.
#[derive(Default)]
struct Column {
    min: Option<StatValue>,
    max: Option<StatValue>,
    /// Some row group has values and no bound for them.
    no_min: bool,
    no_max: bool,
    nulls: Option<u64>,
    unknown_nulls: bool,
}

impl Column {
    fn chunk(&mut self, data_type: &DataType, stats: Option<&Statistics>, values: i64) {
        let nulls = stats.and_then(Statistics::null_count_opt);
        match nulls {
            Some(count) => *self.nulls.get_or_insert(0) += count,
            None => self.unknown_nulls = true,
        }
        if nulls == u64::try_from(values).ok() {
            return;
        }
        let (low, high) = stats.map_or((None, None), |stats| bounds(data_type, stats));
        match low {
            None => self.no_min = true,
            Some(low) if self.min.as_ref().is_none_or(|min| less(&low, min)) => {
                self.min = Some(low)
            }
            Some(_) => {}
        }
        match high {
            None => self.no_max = true,
            Some(high) if self.max.as_ref().is_none_or(|max| less(max, &high)) => {
                self.max = Some(high);
            }
            Some(_) => {}
        }
    }

    fn finish(self) -> ColumnStats {
        ColumnStats {
            min: self.min.filter(|_| !self.no_min),
            max: self.max.filter(|_| !self.no_max),
            null_count: self.nulls.filter(|_| !self.unknown_nulls),
        }
    }
}

fn bounds(data_type: &DataType, stats: &Statistics) -> (Option<StatValue>, Option<StatValue>) {
    macro_rules! pair {
        ($stats:expr, $value:expr) => {
            ($stats.min_opt().map($value), $stats.max_opt().map($value))
        };
    }
    match (data_type, stats) {
        (DataType::Boolean, Statistics::Boolean(stats)) => pair!(stats, |v| StatValue::Bool(*v)),
        (DataType::Int32, Statistics::Int32(stats)) => {
            pair!(stats, |v| StatValue::Int((*v).into()))
        }
        (DataType::Int64, Statistics::Int64(stats)) => pair!(stats, |v| StatValue::Int(*v)),
        (DataType::Timestamp(..), Statistics::Int64(stats)) => {
            pair!(stats, |v| StatValue::Timestamp(*v))
        }
        (DataType::Float64, Statistics::Double(stats)) => {
            (stats.min_opt().and_then(|v| below(*v)), stats.max_opt().and_then(|v| above(*v)))
        }
        (DataType::Utf8, Statistics::ByteArray(stats)) => (
            stats.min_opt().and_then(|v| text(v.data())),
            stats.max_opt().and_then(|v| text(v.data())),
        ),
        _ => (None, None),
    }
}

fn text(bytes: &[u8]) -> Option<StatValue> {
    let short = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST_TEXT);
    short.map(|text| StatValue::Text(text.to_owned()))
}

/// A bound that stays below `value` over more JSON round trips than it makes.
pub fn below(value: f64) -> Option<StatValue> {
    let low = value - slack(value);
    low.is_finite().then_some(StatValue::Double(low))
}

/// The same from above.
pub fn above(value: f64) -> Option<StatValue> {
    let high = value + slack(value);
    high.is_finite().then_some(StatValue::Double(high))
}

/// Sixteen units in the last place, where two round trips lose four at most.
/// The smallest normal number sets both zeros inside.
fn slack(value: f64) -> f64 {
    value.abs() * 16.0 * f64::EPSILON + f64::MIN_POSITIVE
}

/// Order within one kind of value; values of two kinds never meet in a column.
pub fn less(a: &StatValue, b: &StatValue) -> bool {
    match (a, b) {
        (StatValue::Bool(a), StatValue::Bool(b)) => !a & b,
        (StatValue::Int(a), StatValue::Int(b)) => a < b,
        (StatValue::Timestamp(a), StatValue::Timestamp(b)) => a < b,
        (StatValue::Double(a), StatValue::Double(b)) => a < b,
        (StatValue::Text(a), StatValue::Text(b)) => a < b,
        _ => false,
    }
}
