//! Example measurements, with the traces they came from.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::super::Error;
use super::super::attributes::Sorted;
use super::super::columns::{Doubles, Longs, MapColumn, Structs, Texts, append_id};
use super::super::model::{Exemplar, Number};
use super::super::origin::Origin;
use super::super::text::nanos;

/// Numbers and offsets of an exemplar, roughly.
const BYTES: usize = 80;

#[derive(Debug, Default)]
pub(super) struct Exemplars {
    list: Structs<false>,
    time_unix_nano: Longs,
    value: Doubles,
    value_int: Longs,
    trace_id: Texts,
    span_id: Texts,
    attributes: MapColumn,
    sorted: Sorted,
}

impl Exemplars {
    /// Times were checked to fit.
    pub fn append(
        &mut self,
        row: usize,
        exemplars: &[Exemplar<'_>],
        origin: &mut Origin<'_>,
        hex: &mut String,
    ) -> Result<(), Error> {
        if exemplars.is_empty() {
            return Ok(());
        }
        for exemplar in exemplars {
            let (sorted, limits) = (&mut self.sorted, origin.limits());
            let warnings = &mut origin.notes.warnings;
            sorted.sort(&exemplar.filtered_attributes, None, limits, warnings);
            append_id(&mut self.trace_id, &exemplar.trace_id, hex, warnings);
            append_id(&mut self.span_id, &exemplar.span_id, hex, warnings);
            origin.charge(sorted.bytes + BYTES)?;
            sorted.append_map(&exemplar.filtered_attributes, &mut self.attributes);
            self.time_unix_nano.append_option(nanos(exemplar.time_unix_nano));
            let (value, value_int) = match exemplar.value {
                None => (None, None),
                Some(Number::Double(value)) => (Some(value), None),
                Some(Number::Int(value)) => (Some(value as f64), Some(value)),
            };
            self.value.append_option(value);
            self.value_int.append_option(value_int);
            self.list.element();
        }
        self.list.end_row(row);
        Ok(())
    }

    pub fn finish(self, list: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
        let count = self.list.elements();
        let fields = vec![
            self.time_unix_nano.column(count),
            self.value.column(count),
            self.value_int.column(count),
            self.trace_id.column(count),
            self.span_id.column(count),
            self.attributes.finish()?,
        ];
        self.list.finish(list, fields, rows)
    }
}
