//! Which rows make which file, and in which order.

use std::collections::BTreeMap;
use std::hash::Hash;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, Date32Type};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;
use schema::rows::Place;
use schema::table::PARTITION;
use schema::{Rows, TableDef};

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
///
/// Rows are compared as numbers: by the rank of a text among those that occur,
/// by a time or an id as it is.
pub fn days(table: &TableDef, batches: &[Rows]) -> Result<Vec<Day>, Error> {
    let mut days: BTreeMap<i32, Vec<(usize, usize)>> = BTreeMap::new();
    for (batch, rows) in batches.iter().enumerate() {
        let column = rows.column(PARTITION)?;
        let Some(dates) = column.as_primitive_opt::<Date32Type>() else {
            return Err(Error::Internal(format!("{}.date is not a date column", table.name)));
        };
        for row in 0..rows.num_rows() {
            let date = if dates.is_valid(row) { dates.value(row) } else { 0 };
            days.entry(date).or_default().push((batch, row));
        }
    }
    let numbers = Numbers::of(table, batches)?;
    for rows in days.values_mut() {
        // Keys beside their rows are compared without being looked for.
        match numbers.width {
            0 | 1 => order(rows, |row| numbers.near::<1>(row)),
            2 => order(rows, |row| numbers.near::<2>(row)),
            3 => order(rows, |row| numbers.near::<3>(row)),
            _ => order(rows, |row| numbers.key(row)),
        }
    }
    Ok(days.into_iter().map(|(date, rows)| Day { date, rows }).collect())
}

fn order<K: Ord>(rows: &mut Vec<(usize, usize)>, key: impl Fn((usize, usize)) -> K) {
    let mut keyed: Vec<(K, (usize, usize))> = rows.iter().map(|row| (key(*row), *row)).collect();
    if !keyed.is_sorted() {
        keyed.sort_unstable();
        *rows = keyed.into_iter().map(|(_, row)| row).collect();
    }
}

/// The sort columns of rows as numbers with the same order, row by row.
struct Numbers {
    /// Numbers per row.
    width: usize,
    batches: Vec<Vec<u64>>,
}

impl Numbers {
    fn of(table: &TableDef, batches: &[Rows]) -> Result<Numbers, Error> {
        let mut columns = Vec::with_capacity(table.sort.len());
        for name in table.sort {
            let place = table.layout.find(name)?;
            // What is held is ranked among itself, little as it is.
            let values: Vec<ArrayRef> = batches
                .iter()
                .map(|rows| match place {
                    Place::Held(set, column) => rows.held()[set].values.column(column).clone(),
                    Place::Own(column) | Place::Shaped { own: column, .. } => {
                        rows.own_column(column)
                    }
                })
                .collect();
            let ranks = ranks(table, name, &values)?;
            let most = ranks.iter().flatten().max().copied().unwrap_or(0);
            columns.push((place, ranks, u64::BITS - most.leading_zeros()));
        }
        // Ranks of few values share a number.
        let (mut width, mut free) = (0, 0);
        let place = |(_, _, bits): &(Place, Vec<Vec<u64>>, u32)| {
            if *bits > free {
                (width, free) = (width + 1, u64::BITS);
            }
            free -= bits;
            (width.max(1) - 1, free)
        };
        let places: Vec<(usize, u32)> = columns.iter().map(place).collect();
        let mut numbers = Numbers { width, batches: Vec::with_capacity(batches.len()) };
        numbers.batches.extend(batches.iter().map(|rows| vec![0; rows.num_rows() * width]));
        for ((of, ranks, bits), (index, shift)) in columns.into_iter().zip(places) {
            if bits == 0 {
                continue;
            }
            for ((rows, ranks), keys) in batches.iter().zip(ranks).zip(&mut numbers.batches) {
                let keys = keys.iter_mut().skip(index).step_by(width);
                match of {
                    Place::Own(_) | Place::Shaped { .. } => {
                        keys.zip(ranks).for_each(|(key, rank)| *key |= rank << shift);
                    }
                    Place::Held(set, _) => keys
                        .zip(rows.held()[set].of.iter())
                        .for_each(|(key, held)| *key |= ranks[*held as usize] << shift),
                }
            }
        }
        Ok(numbers)
    }

    fn key(&self, (batch, row): (usize, usize)) -> &[u64] {
        &self.batches[batch][row * self.width..(row + 1) * self.width]
    }

    /// The same, of a width that is known.
    fn near<const WIDTH: usize>(&self, row: (usize, usize)) -> [u64; WIDTH] {
        self.key(row).try_into().unwrap_or([0; WIDTH])
    }
}

/// Numbers that compare as the values of one column do, over all batches.
fn ranks(table: &TableDef, name: &str, columns: &[ArrayRef]) -> Result<Vec<Vec<u64>>, Error> {
    let integers: Option<Vec<ArrayRef>> = columns
        .iter()
        .map(|column| match column.data_type() {
            DataType::Int64 => Some(column.clone()),
            DataType::Timestamp(..) => cast(column, &DataType::Int64).ok(),
            _ => None,
        })
        .collect();
    if let Some(integers) = integers {
        let integers: Vec<_> = integers.iter().map(|column| column.as_primitive()).collect();
        return Ok(integer_ranks(&integers));
    }
    let texts: Option<Vec<&StringArray>> =
        columns.iter().map(|column| column.as_string_opt::<i32>()).collect();
    match texts {
        Some(texts) => Ok(dense_ranks(&texts.iter().map(|texts| texts.iter()).collect::<Vec<_>>())),
        None => Err(Error::Internal(format!(
            "{} cannot be sorted by {name}: it is neither text nor an integer",
            table.name
        ))),
    }
}

/// Where nothing is NULL, integers are their own ranks.
fn integer_ranks(columns: &[&Int64Array]) -> Vec<Vec<u64>> {
    if columns.iter().any(|column| column.null_count() > 0) {
        return dense_ranks(&columns.iter().map(|column| column.iter()).collect::<Vec<_>>());
    }
    let ordered = |value: &i64| *value as u64 ^ (1 << 63);
    columns.iter().map(|column| column.values().iter().map(ordered).collect()).collect()
}

/// The rank of each value among the distinct ones, from 1; of NULL, 0.
fn dense_ranks<T: Copy + Ord + Hash>(
    columns: &[impl Iterator<Item = Option<T>> + Clone],
) -> Vec<Vec<u64>> {
    let mut known: HashMap<T, usize> = HashMap::new();
    let mut codes: Vec<Vec<Option<usize>>> = Vec::with_capacity(columns.len());
    for column in columns {
        // Rows of one request come in runs of equal values.
        let mut last: Option<(T, usize)> = None;
        let mut code = |value: T| match last {
            Some((before, code)) if before == value => code,
            _ => {
                let next = known.len();
                let code = *known.entry(value).or_insert(next);
                last = Some((value, code));
                code
            }
        };
        codes.push(column.clone().map(|value| value.map(&mut code)).collect());
    }
    let mut sorted: Vec<(T, usize)> = known.into_iter().collect();
    sorted.sort_unstable();
    let mut ranks = vec![0; sorted.len()];
    for (rank, (_, code)) in sorted.into_iter().enumerate() {
        ranks[code] = rank as u64 + 1;
    }
    let rank = |code: Option<usize>| code.map_or(0, |code| ranks[code]);
    codes.into_iter().map(|codes| codes.into_iter().map(rank).collect()).collect()
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

    pub fn of(&self, table: &TableDef, rows: &RecordBatch) -> Result<arrow::row::Rows, Error> {
        let columns = table.sort.iter().map(|name| {
            let column = column(table, rows, name)?;
            let data_type = table.schema.field_with_name(name)?.data_type();
            // Texts may be by codes.
            Ok(cast(column, data_type)?)
        });
        Ok(self.0.convert_columns(&columns.collect::<Result<Vec<ArrayRef>, Error>>()?)?)
    }
}

fn column<'a>(table: &TableDef, rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Error> {
    rows.column_by_name(name)
        .ok_or_else(|| Error::Internal(format!("rows of {} have no column {name}", table.name)))
}
