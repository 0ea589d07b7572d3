//! `trace_tree`: the spans of one trace in the order of their tree.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{TableFunctionArgs, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, lit};
use schema::tables::common::timestamp;
use schema::tables::spans;

use super::arguments::Arguments;
use super::operator::{Begin, Work};
use super::provider::Computed;
use super::tree::{Placed, Span, grow};
use super::{Form, column, stored, typed};
use crate::Error;
use crate::catalog::View;

type Result<T> = std::result::Result<T, DataFusionError>;

/// Columns that pass as they are, after those that are computed.
const PASSED: [&str; 11] = [
    "service_name",
    "name",
    "kind",
    "time",
    "duration_ns",
    "is_error",
    "status_message",
    "trace_id",
    "span_id",
    "parent_span_id",
    "time_unix_nano",
];

/// Rows that are given out at once.
const ROWS: usize = 4_096;

/// What a span costs beside its row, in bytes: ids, places, lists of children.
const PER_SPAN: usize = 256;

fn schema() -> Schema {
    use DataType::{Boolean, Float64, Int64, Utf8};
    let of = |name: &str, of: DataType| Field::new(name, of, true);
    let computed = [
        of("position", Int64),
        of("depth", Int64),
        of("duration_ms", Float64),
        of("self_time_ms", Float64),
        of("critical_path", Boolean),
    ];
    let passed = PASSED.iter().map(|name| match *name {
        "time" => of(name, timestamp()),
        "duration_ns" | "time_unix_nano" => of(name, Int64),
        "is_error" => of(name, Boolean),
        _ => of(name, Utf8),
    });
    Schema::new(computed.into_iter().chain(passed).collect::<Vec<_>>())
}

pub(super) fn table(
    form: &'static Form,
    view: &View,
    args: &TableFunctionArgs<'_, '_>,
) -> std::result::Result<Arc<dyn TableProvider>, Error> {
    let arguments = Arguments::of(form, args)?;
    let id = arguments.text("trace_id")?.trim().to_lowercase();
    let input = stored(view, spans::NAME)?.filter(column("trace_id").eq(lit(id)))?.build()?;
    let schema = Arc::new(schema());
    let begin: Begin = {
        let schema = schema.clone();
        Arc::new(move || Box::new(Tree { schema: schema.clone(), rows: Vec::new(), grown: None }))
    };
    Ok(Arc::new(Computed {
        name: form.name,
        schema,
        input,
        order: Vec::new(),
        apart: &[],
        needs: Box::new(|_| PASSED.iter().copied().map(column).collect::<Vec<Expr>>()),
        begin,
    }))
}

/// Keeps a trace whole: the tree of half of it is another one.
struct Tree {
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
    grown: Option<Grown>,
}

struct Grown {
    rows: RecordBatch,
    placed: Vec<Placed>,
    given: usize,
}

impl Work for Tree {
    fn take(&mut self, rows: &RecordBatch) -> Result<Option<RecordBatch>> {
        self.rows.push(rows.clone());
        Ok(None)
    }

    fn rest(&mut self) -> Result<Option<RecordBatch>> {
        let grown = match &mut self.grown {
            Some(grown) => grown,
            none => {
                let Some(first) = self.rows.first() else { return Ok(None) };
                let rows = concat_batches(&first.schema(), &self.rows)?;
                self.rows.clear();
                let placed = grow(&spans(&rows)?);
                none.insert(Grown { rows, placed, given: 0 })
            }
        };
        let end = grown.placed.len().min(grown.given + ROWS);
        if grown.given == end {
            return Ok(None);
        }
        let from = std::mem::replace(&mut grown.given, end);
        let placed = &grown.placed[from..end];
        let taken = UInt64Array::from_iter_values(placed.iter().map(|at| at.span as u64));
        let passed = take_record_batch(&grown.rows, &taken)?;
        let duration: &Int64Array = typed(&passed, "duration_ns")?;
        let millis = |nanos: Option<i64>| nanos.map(|nanos| nanos as f64 / 1e6);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values((from as i64 + 1)..=(end as i64))),
            Arc::new(Int64Array::from_iter_values(placed.iter().map(|at| at.depth))),
            Arc::new(duration.iter().map(millis).collect::<Float64Array>()),
            Arc::new(placed.iter().map(|at| millis(Some(at.self_time))).collect::<Float64Array>()),
            Arc::new(placed.iter().map(|at| Some(at.critical)).collect::<BooleanArray>()),
        ];
        columns.extend(passed.columns().iter().cloned());
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }

    fn held(&self) -> usize {
        let rows = self.rows.iter().chain(self.grown.iter().map(|grown| &grown.rows));
        rows.map(|rows| rows.get_array_memory_size() + rows.num_rows() * PER_SPAN).sum()
    }
}

fn spans(rows: &RecordBatch) -> Result<Vec<Span>> {
    let ids: &StringArray = typed(rows, "span_id")?;
    let parents: &StringArray = typed(rows, "parent_span_id")?;
    let starts: &Int64Array = typed(rows, "time_unix_nano")?;
    let durations: &Int64Array = typed(rows, "duration_ns")?;
    let text = |of: &StringArray, row: usize| of.is_valid(row).then(|| of.value(row).to_owned());
    let number = |of: &Int64Array, row: usize| if of.is_valid(row) { of.value(row) } else { 0 };
    let span = |row: usize| Span {
        id: text(ids, row).unwrap_or_default(),
        parent: text(parents, row).filter(|parent| !parent.is_empty()),
        start: number(starts, row),
        duration: number(durations, row),
    };
    Ok((0..rows.num_rows()).map(span).collect())
}
