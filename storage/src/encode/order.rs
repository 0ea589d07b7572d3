//! Which rows make which file, and in which order.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::Date32Type;
use arrow::row::{RowConverter, Rows, SortField};
use schema::TableDef;
use schema::table::PARTITION;

use crate::Error;

/// The rows of one day, in the table's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Days since 1970-01-01.
    pub date: i32,
    /// (batch, row within it).
    pub rows: Vec<(usize, usize)>,
}

/// Splits rows by `date` and orders each day by [`TableDef::sort`], ascending,
/// nulls first; equal rows keep the order in which they came. A row without a
/// date (decode makes none) goes to 1970-01-01 rather than stop its table.
pub fn days(table: &TableDef, batches: &[RecordBatch]) -> Result<Vec<Day>, Error> {
    let mut days: BTreeMap<i32, Vec<(usize, usize)>> = BTreeMap::new();
    for (batch, rows) in batches.iter().enumerate() {
        let dates = column(table, rows, PARTITION)?.as_primitive_opt::<Date32Type>();
        let Some(dates) = dates else {
            return Err(Error::Internal(format!("{}.date is not a date column", table.name)));
        };
        for row in 0..rows.num_rows() {
            let date = if dates.is_valid(row) { dates.value(row) } else { 0 };
            days.entry(date).or_default().push((batch, row));
        }
    }
    if !table.sort.is_empty() {
        let keys = Keys::new(table)?;
        let keys: Vec<Rows> =
            batches.iter().map(|rows| keys.of(table, rows)).collect::<Result<_, _>>()?;
        let key = |&(batch, row): &(usize, usize)| (keys[batch].row(row), batch, row);
        for rows in days.values_mut() {
            if !rows.is_sorted_by(|a, b| key(a) <= key(b)) {
                rows.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
            }
        }
    }
    Ok(days.into_iter().map(|(date, rows)| Day { date, rows }).collect())
}

/// The sort columns of rows in a form that compares bytewise.
#[derive(Debug)]
pub struct Keys(RowConverter);

impl Keys {
    pub fn new(table: &TableDef) -> Result<Keys, Error> {
        let options = SortOptions { descending: false, nulls_first: true };
        let mut fields = Vec::with_capacity(table.sort.len());
        for name in table.sort {
            let data_type = table.schema.field_with_name(name)?.data_type().clone();
            fields.push(SortField::new_with_options(data_type, options));
        }
        Ok(Keys(RowConverter::new(fields)?))
    }

    pub fn of(&self, table: &TableDef, rows: &RecordBatch) -> Result<Rows, Error> {
        let columns: Result<Vec<ArrayRef>, Error> =
            table.sort.iter().map(|name| column(table, rows, name).cloned()).collect();
        Ok(self.0.convert_columns(&columns?)?)
    }
}

fn column<'a>(table: &TableDef, rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Error> {
    rows.column_by_name(name)
        .ok_or_else(|| Error::Internal(format!("rows of {} have no column {name}", table.name)))
}
